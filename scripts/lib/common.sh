# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What every script of this directory needs: messages, bounded waits, the
# packages of the distribution.  Sourced, never run; changes nothing when it
# is read.  The caller has set `top` to the root of the source tree.

# One package a line: its name, then what proves that it is there: a file
# (with a slash) or a command.  The proof counts, not the package, so that a
# tool from elsewhere is as good.
# shellcheck disable=SC2034  # read by the scripts
PA_BUILD_PACKAGES="
gcc            gcc
libc6-dev      /usr/include/stdio.h
make           make
autoconf       autoconf
automake       automake
pkg-config     pkg-config
libelf-dev     /usr/include/libelf.h
zlib1g-dev     /usr/include/zlib.h
libjansson-dev /usr/include/jansson.h
python3        /usr/bin/python3
"

# What the tests use beyond that.
# shellcheck disable=SC2034  # read by scripts/test
PA_TEST_PACKAGES="
libcmocka-dev  /usr/include/cmocka.h
gdb            gdb
binutils       readelf
xz-utils       xz
mandoc         mandoc
clang          clang
clang-tidy     clang-tidy
cppcheck       cppcheck
shellcheck     shellcheck
strace         strace
libjemalloc2   /usr/lib/x86_64-linux-gnu/libjemalloc.so.2
libtcmalloc-minimal4 /usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4
python3-pip    /usr/lib/python3/dist-packages/pip
"

# What `debootstrap` needs; only root can use it.
# shellcheck disable=SC2034
PA_CHROOT_PACKAGES="
debootstrap            debootstrap
debian-archive-keyring /usr/share/keyrings/debian-archive-keyring.gpg
gpgv                   gpgv
wget                   wget
ca-certificates        /etc/ssl/certs/ca-certificates.crt
"

say()
{
	printf '%s\n' "$*"
}

warn()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die()
{
	warn "$*"
	exit 1
}

is_root()
{
	[ "$(id -u)" -eq 0 ]
}

# bounded SECONDS COMMAND...: never waits longer; 124 says that it did.
bounded()
{
	local seconds=$1
	shift
	timeout --kill-after=10 "$seconds" "$@" &
	PA_CHILD=$!
	wait "$PA_CHILD"
}

# For traps: end what bounded is waiting for (timeout ends its children).
stop_child()
{
	[ -z "${PA_CHILD:-}" ] || kill "$PA_CHILD" 2>/dev/null || true
}

# logged FILE SECONDS COMMAND...: output to FILE, shown where it fails.
logged()
{
	local log=$1 seconds=$2 status=0
	shift 2
	bounded "$seconds" "$@" >>"$log" 2>&1 </dev/null || status=$?
	[ "$status" -eq 0 ] && return 0
	tail -n 40 "$log" >&2
	[ "$status" -eq 124 ] && warn "not done after $seconds s: $*"
	warn "failed (status $status): $*; all of it is in $log"
	return "$status"
}

have_proof()
{
	case $1 in
	*/*) [ -e "$1" ] ;;
	*) command -v "$1" >/dev/null 2>&1 ;;
	esac
}

# missing_packages TABLE: the names whose proof is not there.
missing_packages()
{
	local name proof
	while read -r name proof; do
		[ -z "$name" ] || have_proof "$proof" || printf '%s ' "$name"
	done <<<"$1"
}

apt_install()
{
	local log=$1
	shift
	export DEBIAN_FRONTEND=noninteractive
	# A broken third-party source must not stop us: what counts is
	# whether the packages can be had.
	logged "$log" 300 apt-get -o DPkg::Lock::Timeout=120 update ||
		warn "apt-get update had errors; trying to install all the same"
	logged "$log" 900 apt-get -o DPkg::Lock::Timeout=120 install -y \
		--no-install-recommends "$@"
}

# need_packages TABLE LOG: install what is missing, or say how to.
need_packages()
{
	local missing
	missing=$(missing_packages "$1")
	missing=${missing% }
	[ -z "$missing" ] && return 0
	is_root || die "missing packages: $missing; as root:" \
		"apt-get install --no-install-recommends $missing"
	command -v apt-get >/dev/null ||
		die "missing packages: $missing (no apt-get here to install them)"
	say "installing: $missing"
	# shellcheck disable=SC2086  # a list of words
	apt_install "$2" $missing || die "could not install: $missing"
	missing=$(missing_packages "$1")
	[ -z "$missing" ] || die "still missing after installation: $missing"
}

# build_tree DIRECTORY LOG CONFIGURE-OPTION...: configure and make there.
build_tree()
{
	local build=$1 log=$2
	shift 2
	# shellcheck disable=SC2154  # set by the script
	[ ! -e "$top/config.status" ] ||
		die "$top is configured in place; run 'make distclean' there first"
	if [ ! -x "$top/configure" ]; then
		logged "$log" 300 autoreconf -i "$top" || return
	fi
	mkdir -p "$build" || return
	if [ "$(cat "$build/.options" 2>/dev/null)" != "options: $*" ] ||
	   [ ! -e "$build/config.status" ]; then
		(cd "$build" && logged "$log" 300 "$top/configure" \
			--enable-silent-rules "$@") || return
		printf 'options: %s\n' "$*" >"$build/.options"
	fi
	logged "$log" 900 make -C "$build" -j"$(nproc)"
}

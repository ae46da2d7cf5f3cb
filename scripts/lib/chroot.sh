# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Debian chroots with further interpreters, made by debootstrap and kept in a
# cache outside the source tree.  Signatures are always checked.  Sourced after
# common.sh; root only.
#
# PA_CACHE names the cache, PA_MIRROR the archive where the machine's own apt
# sources are not to be used.

# A suite, then the packages that must be in it; those with a + come by apt
# when the rest works, and tests do without them where they cannot be had.
# shellcheck disable=SC2034  # read by interpreters.sh
PA_CHROOTS="
forky    python3.13 python3.14 python3.15 gdb
bullseye python3 +gdb
bookworm python3
"
PA_CACHE_DIR=${PA_CACHE:-/var/cache/pyattach-sample}
PA_STAMP=.pyattach-packages

# The archives that this machine installs its own release from, as apt itself
# understands its sources; a mirror list stands for its first entry.
apt_mirrors()
{
	local codename uri release
	codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
	[ -z "${PA_MIRROR:-}" ] || printf '%s\n' "$PA_MIRROR"
	# shellcheck disable=SC2016  # apt's placeholders, not ours
	apt-get indextargets --no-release-info \
		--format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
	while read -r uri release; do
		[ "$release" = "$codename" ] || continue
		uri=${uri%/}
		case $uri in
		mirror+file:*) awk '!/^#/ && NF { print $1; exit }' \
			"${uri#mirror+file:}" ;;
		http:* | https:* | file:*) printf '%s\n' "$uri" ;;
		esac
	done | awk '!seen[$0]++'
}

# wget, which debootstrap uses, knows nothing of apt's proxy.
use_apt_proxy()
{
	local proxy=
	eval "$(apt-config shell proxy Acquire::http::Proxy)"
	[ -z "$proxy" ] || export http_proxy="${http_proxy:-$proxy}"
}

# packages_there DIRECTORY PACKAGES: all of them installed and configured.
packages_there()
{
	local package state
	for package in $2; do
		state=$(dpkg-query --admindir="$1/var/lib/dpkg" \
			-W -f '${db:Status-Status}' "$package" 2>/dev/null)
		[ "$state" = installed ] || return 1
	done
	bounded 20 chroot "$1" /bin/true
}

# chroot_is_ready DIRECTORY SUITE PACKAGES: the stamp says so, or looking does.
chroot_is_ready()
{
	[ -d "$1" ] || return 1
	[ "$(cat "$1/$PA_STAMP" 2>/dev/null)" = "$2 $3" ] && return 0
	packages_there "$1" "$3" || return 1
	printf '%s %s\n' "$2" "$3" >"$1/$PA_STAMP"
}

# run_debootstrap SUITE PACKAGES DIRECTORY MIRROR
run_debootstrap()
{
	local script=sid
	[ -e "/usr/share/debootstrap/scripts/$1" ] && script=$1
	bounded 900 debootstrap --variant=minbase --force-check-gpg \
		--keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
		--include="${2// /,}" "$1" "$3" "$4" "$script" </dev/null
}

# remove_chroot DIRECTORY: never through a mount.
remove_chroot()
{
	[ -e "$1" ] || return 0
	if mountpoint -q "$1/proc"; then
		umount "$1/proc" || return
	fi
	rm -rf --one-file-system "$1"
}

# make_chroot SUITE PACKAGES DIRECTORY: try each archive, twice; the folder
# gets its name only when it is complete.
make_chroot()
{
	local new=$3.new mirror attempt
	for attempt in 1 2; do
		for mirror in $(apt_mirrors); do
			printf '== %s from %s, attempt %s\n' "$1" "$mirror" "$attempt"
			remove_chroot "$new" || return
			run_debootstrap "$1" "$2" "$new" "$mirror" || continue
			packages_there "$new" "$2" || continue
			printf '%s %s\n' "$1" "$2" >"$new/$PA_STAMP"
			remove_chroot "$3" && mv "$new" "$3"
			return
		done
	done
	remove_chroot "$new"
	return 1
}

# add_packages DIRECTORY PACKAGES LOG: what debootstrap cannot configure.
add_packages()
{
	packages_there "$1" "$2" && return 0
	use_apt_proxy
	# shellcheck disable=SC2086  # a list of words
	DEBIAN_FRONTEND=noninteractive bounded 600 chroot "$1" sh -c '
		apt-get update && exec apt-get install -y \
			--no-install-recommends "$@"' sh $2 \
		</dev/null >>"$3" 2>&1 ||
		warn "could not install $2 in $1, see $3; going without"
}

mount_proc()
{
	mountpoint -q "$1/proc" && return 0
	mount -t proc proc "$1/proc" || return
	warn "mounted $1/proc (stays mounted; 'umount $1/proc' undoes it)"
}

# chroot_directory SUITE PACKAGES: prints the folder of a usable chroot.
chroot_directory()
{
	local directory=$PA_CACHE_DIR/$1 log=$PA_CACHE_DIR/$1.log
	local base extra
	# shellcheck disable=SC2086  # a list of words
	base=$(printf '%s\n' $2 | grep -v '^+' | paste -sd ' ')
	# shellcheck disable=SC2086  # a list of words
	extra=$(printf '%s\n' $2 | sed -n 's/^+//p' | paste -sd ' ')
	mkdir -p "$PA_CACHE_DIR" || return
	(
		flock -w 1800 9 || die "$PA_CACHE_DIR/lock is held for too long"
		if ! chroot_is_ready "$directory" "$1" "$base"; then
			warn "making a chroot of $1 ($base), log in $log"
			need_packages "$PA_CHROOT_PACKAGES" "$log" >&2
			use_apt_proxy
			make_chroot "$1" "$base" "$directory" >"$log" 2>&1 ||
				exit
		fi
		[ -z "$extra" ] || add_packages "$directory" "$extra" "$log"
	) 9>"$PA_CACHE_DIR/lock" || return
	mount_proc "$directory" || return
	printf '%s\n' "$directory"
}

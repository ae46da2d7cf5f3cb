# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# numpy and gevent for the interpreters that run the heavy attach cases, in
# the cache or in the chroot itself, never in the system's own folders.  What
# cannot be had is left out, and its tests say so.  Sourced after chroot.sh.

PA_WHEELS="numpy gevent"

# install_wheels MINOR FOLDER: whole, or not at all.
install_wheels()
{
	local new=$2.new
	rm -rf "$new"
	# shellcheck disable=SC2086  # a list of words
	bounded 240 /usr/bin/python3 -m pip install --quiet --target "$new" \
		--python-version "3.$1" --implementation cp \
		--only-binary=:all: --no-compile $PA_WHEELS </dev/null &&
		mv "$new" "$2" && return
	rm -rf "$new"
	return 1
}

# prepare_wheels LOG: for Debian's 3.11 and 3.14, as far as there are rows.
prepare_wheels()
{
	local name prefix version link minor folder
	while IFS='	' read -r name prefix _ version link; do
		minor=${version#*.}
		minor=${minor%%.*}
		case $link-$minor in
		static-11 | static-14) ;;
		*) continue ;;
		esac
		folder=${prefix#chroot }
		[ "$prefix" != - ] || folder=$PA_CACHE_DIR
		folder=$folder/pa-wheels-3.$minor
		[ ! -d "$folder" ] || continue
		mkdir -p "${folder%/*}"
		install_wheels "$minor" "$folder" >>"$1" 2>&1 ||
			say "  not used with $name: $PA_WHEELS (see $1)"
	done <"$PA_ROWS"
}

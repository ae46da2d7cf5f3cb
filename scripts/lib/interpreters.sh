# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The interpreters to test on.  prepare_interpreters writes the rows that the
# attach tests read, and the matrix that people read.  A row is
#
#   name TAB prefix TAB python TAB version TAB static|shared
#
# where prefix is "-" or the "chroot DIR" to run the python with.  Whatever
# was looked for and cannot be used is named.  Sourced after common.sh.

PA_FIRST_MINOR=8
PA_LAST_MINOR=15
# With CI=true, a row of each of these must exist.
PA_REQUIRED_MINORS="9 11 13 14 15"

# Asked of every candidate, under its own interpreter.
PA_PROBE='
import os, sys
flags = getattr(sys, "abiflags", "")
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION").split()[1]
except Exception:
    libc = "none"
print("%s %d.%d.%d %s %s %s" % (
    getattr(getattr(sys, "implementation", None), "name", "cpython"),
    sys.version_info[0], sys.version_info[1], sys.version_info[2],
    "free-threaded" if "t" in flags else "gil", libc, os.uname()[4]))
'

not_a_row()
{
	say "  not used: $1 ($2)"
}

# pyenv's folders of versions: by its variable, its default, its shims.
pyenv_roots()
{
	local IFS=: entry
	printf '%s\n' "${PYENV_ROOT:-}" "${HOME:+$HOME/.pyenv}"
	for entry in $PATH; do
		case $entry in
		*/shims) printf '%s\n' "${entry%/shims}" ;;
		esac
	done
}

# host_candidates: "kind path" of everything that may be a Python 3.
host_candidates()
{
	local IFS root entry python
	for python in /usr/bin/python3 /usr/bin/python3.[0-9]*; do
		printf 'system %s\n' "$python"
	done
	while IFS= read -r root; do
		[ -n "$root" ] || continue
		for python in "$root"/versions/*/bin/python[23]; do
			printf 'pyenv %s\n' "$python"
		done
	done < <(pyenv_roots)
	IFS=:
	for entry in $PATH; do
		case $entry in
		*/shims) continue ;;
		esac
		for python in "$entry"/python3 "$entry"/python3.[0-9]*; do
			printf 'path %s\n' "$python"
		done
	done
}

# is_python_name PATH: not python3-config, python3.11-dbg and the like.
is_python_name()
{
	[[ ${1##*/} =~ ^python[23](\.[0-9]+t?)?$ ]] && [ -x "$1" ]
}

# linkage ROOT PATH: whether the interpreter is in a library of its own.
linkage()
{
	if readelf -d "$1$2" 2>/dev/null | grep -q 'NEEDED.*libpython'; then
		printf shared
	else
		printf static
	fi
}

# add_row KIND PREFIX ROOT PYTHON: probe it, then write a row or say why not.
# ROOT is the chroot's folder, empty on the host.
add_row()
{
	local kind=$1 prefix=$2 root=$3 python=$4 answer name version minor
	local implementation threads libc machine link
	local -a run=()
	[ "$prefix" = - ] || read -r -a run <<<"$prefix"
	if ! answer=$(bounded 20 "${run[@]}" "$python" -E -S -c "$PA_PROBE" \
			2>/dev/null </dev/null); then
		not_a_row "$kind $python" "it does not run"
		return 1
	fi
	read -r implementation version threads libc machine <<<"$answer"
	name=$kind-$version
	minor=${version#*.}
	minor=${minor%%.*}
	grep -q "^$name	" "$PA_ROWS" "$PA_OTHERS" && return 0
	link=$(linkage "$root" "$python")
	if [ "${version%%.*}" != 3 ] || [ "$minor" -lt $PA_FIRST_MINOR ] ||
	   [ "$minor" -gt $PA_LAST_MINOR ]; then
		printf '%s\t%s\t%s\t%s\t%s\n' "$name" "$prefix" "$python" \
			"$version" "$link" >>"$PA_OTHERS"
		return 0
	fi
	if [ "$implementation" != cpython ] || [ "$machine" != x86_64 ] ||
	   [ "$threads" != gil ] || [ "$libc" = none ]; then
		not_a_row "$name" "$implementation, $machine, $threads, libc $libc"
		return 1
	fi
	printf '%s\t%s\t%s\t%s\t%s\n' "$name" "$prefix" "$python" \
		"$version" "$link" >>"$PA_ROWS"
	printf '%-18s %-9s %-7s %-6s %s\n' "$name" "$version" "$link" "$libc" \
		"$([ "$prefix" = - ] && echo "$kind" || echo chroot)" >>"$PA_MATRIX"
}

host_rows()
{
	local kind python real seen=" "
	while read -r kind python; do
		is_python_name "$python" || continue
		real=$(readlink -f "$python")
		case $seen in
		*" $real "*) continue ;;
		esac
		seen="$seen$real "
		add_row "$kind" - "" "$real" || true
	done < <(host_candidates)
}

chroot_rows()
{
	local suite=$1 directory=$2 python real found=
	for python in "$directory"/usr/bin/python3.[0-9]*; do
		is_python_name "$python" || continue
		real=${python#"$directory"}
		add_row "$suite" "chroot $directory" "$directory" "$real" &&
			found=yes
	done
	[ -n "$found" ]
}

have_minor()
{
	awk -F '\t' -v minor="3.$1." 'index($4, minor) == 1 { found = 1 }
		END { exit !found }' "$PA_ROWS"
}

# The chroots: a suite and its packages.  bookworm only stands in for a
# missing 3.11; bullseye is wanted for its older glibc as well.
prepare_chroots()
{
	local suite packages directory
	while read -r suite packages; do
		[ -n "$suite" ] || continue
		if [ "$suite" = bookworm ] && have_minor 11; then
			continue
		fi
		if ! is_root; then
			say "  skipped: $suite ($packages): needs root for a chroot"
			PA_ROWS_SKIPPED=$((PA_ROWS_SKIPPED + 1))
			continue
		fi
		if directory=$(chroot_directory "$suite" "$packages") &&
		   chroot_rows "$suite" "$directory"; then
			continue
		fi
		say "  CANNOT BE PREPARED: $suite ($packages); see" \
			"$PA_CACHE_DIR/$suite.log"
		PA_ROWS_FAILED=$((PA_ROWS_FAILED + 1))
	done <<<"$PA_CHROOTS"
}

# prepare_interpreters DIRECTORY: writes rows, others and matrix there, prints
# the matrix.  Fails only where CI=true and a required version is missing.
prepare_interpreters()
{
	local minor missing=
	PA_ROWS=$1/interpreters
	PA_OTHERS=$1/interpreters.other
	PA_MATRIX=$1/interpreters.matrix
	PA_ROWS_FAILED=0
	PA_ROWS_SKIPPED=0
	mkdir -p "$1"
	: >"$PA_ROWS"; : >"$PA_OTHERS"; : >"$PA_MATRIX"
	say "interpreters:"
	host_rows
	prepare_chroots
	sort -t. -k2,2n -o "$PA_MATRIX" "$PA_MATRIX"
	sort -t'	' -k4,4V -k1,1 -o "$PA_ROWS" "$PA_ROWS"
	printf '  %-18s %-9s %-7s %-6s %s\n' row python linkage glibc from
	sed 's/^/  /' "$PA_MATRIX"
	for minor in $(seq $PA_FIRST_MINOR $PA_LAST_MINOR); do
		have_minor "$minor" || say "  no row for 3.$minor"
	done
	for minor in $PA_REQUIRED_MINORS; do
		have_minor "$minor" || missing="$missing 3.$minor"
	done
	[ -z "$missing" ] || [ "${CI:-}" != true ] || {
		warn "CI=true and no interpreter for:$missing"
		return 1
	}
}

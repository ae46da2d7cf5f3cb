# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Running groups of tests and adding up what they report.  A group function
# writes to $group_log and calls one of the count_ functions.  Sourced after
# common.sh.

total_passed=0
total_failed=0
total_skipped=0
group_log=/dev/null
group_tree=
fixed_addresses=()

# Old sanitizer runtimes do not start where the kernel randomises addresses
# by more bits than they know.
choose_address_layout()
{
	if setarch -R true 2>/dev/null; then
		# shellcheck disable=SC2034  # read by the group functions
		fixed_addresses=(setarch -R)
	fi
}

# Whether a program built with a sanitizer starts on this kernel.
sanitizer_works()
{
	# shellcheck disable=SC2154  # set by scripts/test
	local program=$logs/try-$1
	echo 'int main(void) { return 0; }' |
		"${CC:-cc}" -fsanitize="$1" -x c -o "$program" - &&
		bounded 20 "${fixed_addresses[@]}" "$program"
} >/dev/null 2>&1

count()
{
	group_passed=$1
	group_failed=$2
	group_skipped=$3
}

# A group that could not run counts as one failure.
count_broken()
{
	say "  $1"
	count 0 1 0
}

# sum_of WORD...: of automake's summary, "# WORD:  number".
sum_of()
{
	local word pattern=
	for word in "$@"; do
		pattern=$pattern${pattern:+|}$word
	done
	sed 's/\x1b\[[0-9;]*m//g' "$group_log" |
	awk -v pattern="^# ($pattern): " '$0 ~ pattern { n += $3 } END { print n + 0 }'
}

# count_automake STATUS: from `make check`.
count_automake()
{
	count "$(sum_of PASS XFAIL)" "$(sum_of FAIL XPASS ERROR)" "$(sum_of SKIP)"
	settle "$1"
}

# count_tap STATUS: from the lines of one TAP stream.
count_tap()
{
	# shellcheck disable=SC2046  # three words
	count $(awk '/^ok .*# SKIP/ { s++; next } /^ok / { p++ }
		/^not ok / { f++ } END { print p + 0, f + 0, s + 0 }' "$group_log")
	settle "$1"
}

# count_summary STATUS RUNS: the lines "N passed, N failed, N skipped" that so
# many runs ended with; a run without one counts as a failure.
count_summary()
{
	# shellcheck disable=SC2046  # three words
	count $(awk -v runs="$2" '
		/^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$/ {
			passed += $1; failed += $3; skipped += $5; runs--
		}
		END { print passed + 0, failed + runs, skipped + 0 }' "$group_log")
	settle "$1"
}

# A bad status without a failed test, or no test at all, is a failure too.
settle()
{
	[ "$1" -eq 0 ] || [ "$group_failed" -gt 0 ] || {
		say "  ended with status $1$([ "$1" -eq 124 ] && echo ' (too long)')"
		group_failed=1
	}
	[ $((group_passed + group_failed + group_skipped)) -gt 0 ] || {
		say "  no test was run"
		group_failed=1
	}
}

# show_test_logs TREE: the end of the log of each test that failed in `make
# check` there; the logs themselves are gone with the machine they ran on.
show_test_logs()
{
	local name log
	sed 's/\x1b\[[0-9;]*m//g' "$group_log" |
	sed -nE 's/^(FAIL|ERROR|XPASS): ([^ ]+).*/\2/p' | sort -u | head -n 8 |
	while read -r name; do
		log=$1/${name%.*}.log
		[ -s "$log" ] || log=$1/$name.log
		say "    the end of $log:"
		grep -v '^ok ' "$log" | tail -n 30 | cut -c 1-300 |
			sed 's/^/      /'
	done
}

# What a reader needs of a failed group, without opening the log.
show_failures()
{
	grep -E '^(not ok|FAIL|ERROR|XPASS)|error:|warning:' "$group_log" |
		head -n 40 | sed 's/^/    /'
	[ -z "$group_tree" ] || show_test_logs "$group_tree"
	say "    see $group_log"
}

run_group()
{
	local begin=$SECONDS
	group_log=$logs/$1.log
	group_tree=
	say "== $1"
	count 0 0 0
	"group_$1"
	[ "$group_failed" -eq 0 ] || show_failures
	total_passed=$((total_passed + group_passed))
	total_failed=$((total_failed + group_failed))
	total_skipped=$((total_skipped + group_skipped))
	say "== $1: $group_passed passed, $group_failed failed," \
		"$group_skipped skipped ($((SECONDS - begin)) s)"
}

closing_line()
{
	local skipped=
	[ $((total_passed + total_failed)) -gt 0 ] || {
		warn "no test was executed"
		total_failed=1
	}
	[ "$total_skipped" -eq 0 ] || skipped=", $total_skipped skipped"
	say "$total_passed passed, $total_failed failed$skipped"
	[ "$total_failed" -eq 0 ]
}

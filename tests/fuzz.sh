#!/bin/sh
# SPDX-License-Identifier: MIT
# Replays every committed input of every fuzz target: tests/fuzz/corpus/NAME/
# goes through tests/fuzz/fuzz_NAME.  It must end, well or with an error of
# its own, and never by a signal.
n=0
for corpus in "$PA_SRCDIR"/tests/fuzz/corpus/*/; do
	[ -d "$corpus" ] || continue
	name=$(basename "$corpus")
	n=$((n + 1))
	got=$("$PA_BUILDDIR/tests/fuzz/fuzz_$name" "$corpus"* 2>&1)
	if [ $? = 0 ]; then echo "ok $n - $name"; else
		printf '%s\n' "$got" | tail -20 | sed 's/^/# /'
		echo "not ok $n - $name"
	fi
done
if [ $n = 0 ]; then echo "1..0 # SKIP no corpus"; else echo "1..$n"; fi

#!/bin/sh
# SPDX-License-Identifier: MIT
# The layout that the compiler sees is the layout that was promised: a change
# needs a new PA_IMAGE_MINOR (appended) or PA_IMAGE_MAJOR, and abi.expected.
echo 1..1
got=$("$PA_BUILDDIR/tests/abi_dump" | diff -u "$PA_SRCDIR/tests/abi.expected" - 2>&1)
if [ -z "$got" ]; then echo "ok 1 - layout as in abi.expected"; else
	printf '%s\n' "$got" | sed 's/^/# /'
	echo "not ok 1 - layout differs from abi.expected"
fi

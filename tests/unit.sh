#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the absence of the unit tests visible: they are built with cmocka only.
if [ -z "$PA_UNIT_PROGRAMS" ]; then
	echo "1..0 # SKIP cmocka not found: no unit test was built"
	exit 0
fi
echo 1..1
echo "ok 1 - unit tests built:$(printf ' %s' $PA_UNIT_PROGRAMS)"

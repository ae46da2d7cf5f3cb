#!/bin/sh
# SPDX-License-Identifier: MIT
# What the payload asks of a process and adds to it, read from the file: two
# names, no library, no symbol version, little thread-local storage.
[ -n "$NM" ] && [ -n "$READELF" ] || { echo "1..0 # SKIP nm or readelf not found"; exit 0; }
n=0
check() { # condition-status text details
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else
		echo "not ok $n - $2"; printf '%s\n' "$3" | sed 's/^/# /'; fi
}
echo 1..8
got=$("$NM" -D --defined-only "$PA_PAYLOAD" | sed 's/.* //' | sort | tr '\n' ' ')
[ "$got" = "pa_start pa_trace_anchor " ]
check $? "exports pa_start and pa_trace_anchor, nothing else" "$got"
got=$("$READELF" -dW "$PA_PAYLOAD" | grep -E 'NEEDED|RPATH|RUNPATH|TEXTREL')
[ -z "$got" ]; check $? "needs no library" "$got"
got=$("$READELF" -VW "$PA_PAYLOAD" | grep -A3 'Version needs'; "$NM" -D "$PA_PAYLOAD" | grep @)
[ -z "$got" ]; check $? "needs no symbol version" "$got"
got=$("$NM" -D --undefined-only "$PA_PAYLOAD" | grep ' pa_')
[ -z "$got" ]; check $? "every function of ours is in it" "$got"
got=$("$READELF" -lW "$PA_PAYLOAD" | awk '$1 == "TLS" { print $6 }')
[ "$((${got:-0}))" -gt 0 ] && [ "$((${got:-0}))" -le 64 ]
check $? "thread-local storage is 1 to 64 bytes" "size ${got:-none}"
got=$("$READELF" -rW "$PA_PAYLOAD" | grep -E 'TLSDESC|DTPMOD')
[ -z "$got" ]; check $? "thread-local storage is initial-exec" "$got"
got=$("$READELF" -lW "$PA_PAYLOAD" | grep -E 'GNU_STACK|LOAD' | grep -E 'RWE')
[ -z "$got" ]; check $? "no segment is writable and executable" "$got"
got=$("$READELF" -nW "$PA_PAYLOAD" | grep PYATTACH)
[ -n "$got" ]; check $? "carries the note that leads to the directory" "no PYATTACH note"

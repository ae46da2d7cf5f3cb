# SPDX-License-Identifier: MIT
"""The process that bench/workloads measures: runs workloads on command.

Commands on stdin, one a line: `run` (every workload once; answers with one
JSON object of seconds per name), `exact on|off` (tracemalloc with one frame),
`quit`.  It measures process CPU time, so that another process on the machine
does not count.
"""
import gc
import json
import sys
import time
import tracemalloc

import workload_functions


def run_all():
    seconds = {}
    for function in workload_functions.WORKLOADS:
        gc.collect()
        start = time.process_time()
        function()
        seconds[function.__name__] = time.process_time() - start
    return seconds


def answer(value):
    print(json.dumps(value), flush=True)


def main():
    try:
        import sqlite3  # noqa: F401  (named where it is missing)
    except ImportError:
        workload_functions.WORKLOADS.remove(workload_functions.database)
    run_all()
    answer("ready " + sys.version.split()[0])
    for line in sys.stdin:
        words = line.split()
        if words == ["run"]:
            answer(run_all())
        elif words == ["exact", "on"]:
            tracemalloc.start(1)
            answer("on")
        elif words == ["exact", "off"]:
            tracemalloc.stop()
            answer("off")
        elif words == ["quit"]:
            break


if __name__ == "__main__":
    main()

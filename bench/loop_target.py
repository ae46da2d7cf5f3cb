# SPDX-License-Identifier: MIT
"""The process that bench/attach attaches to: idle, or an allocating loop.

`loop_target.py idle` waits for commands.  `loop_target.py busy` allocates in a
second thread and notes the gaps between its turns: the command `gaps` answers
with the worst one in ns since the last question.
"""
import json
import sys
import threading
import time


class Loop(threading.Thread):
    def __init__(self):
        super(Loop, self).__init__(daemon=True)
        self.worst = 0

    def run(self):
        clock = time.perf_counter_ns
        last = clock()
        while True:
            kept = [str(i) for i in range(20)]
            now = clock()
            if now - last > self.worst:
                self.worst = now - last
            last = now
            del kept


def main():
    loop = None
    if sys.argv[1:] == ["busy"]:
        loop = Loop()
        loop.start()
    print(json.dumps("ready " + sys.version.split()[0]), flush=True)
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        worst = 0
        if loop:
            worst, loop.worst = loop.worst, 0
        print(json.dumps(worst), flush=True)


if __name__ == "__main__":
    main()

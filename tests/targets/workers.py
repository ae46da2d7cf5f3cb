# SPDX-License-Identifier: MIT
"""Eight threads that live as long as the target and work on demand, each in
a function of its own name."""
import queue
import threading

import talk

KEPT = []
SOURCE = """\
def {name}(count, size):
    out = [None] * count
    for i in range(count):
        out[i] = bytes(size - 33)
    return out
"""


def worker(orders, done):
    while True:
        function, count, size = orders.get()
        KEPT.append(function(count, size))
        done.put(None)


ORDERS = [queue.Queue() for _ in range(8)]
DONE = queue.Queue()
for orders in ORDERS:
    threading.Thread(target=worker, args=(orders, DONE), daemon=True).start()


def work(label, count, size):
    """All threads: keep `count` blocks each, in functions `label`_N."""
    for index, orders in enumerate(ORDERS):
        space = {}
        name = "%s_%d" % (label, index)
        exec(compile(SOURCE.format(name=name), "workers/" + name, "exec"), space)
        orders.put((space[name], count, size))
    for _ in ORDERS:
        DONE.get()
    return len(KEPT)


talk.serve(work=work)

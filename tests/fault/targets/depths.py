# SPDX-License-Identifier: MIT
"""A thread that waits in the same call again and again, each time further
down its stack: frames of C lie between one wait and the next."""
import os
import threading

import talk

READ, WRITE = os.pipe()
GOT = []
TIDS = []


def wait(depth):
    GOT.append(os.read(READ, 1).decode())
    return list(map(wait, [depth + 1])) if GOT[-1] == "d" else depth


def run():
    TIDS.append(threading.get_native_id())
    while wait(0) != "never":
        pass


def tell(word):
    """One byte for the thread; d: deeper, u: up again."""
    return os.write(WRITE, word.encode())


threading.Thread(target=run, daemon=True).start()
talk.serve(tid=lambda: TIDS[0] if TIDS else 0, tell=tell, got=lambda: "".join(GOT))

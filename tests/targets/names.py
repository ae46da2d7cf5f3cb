# SPDX-License-Identifier: MIT
"""Weeks of exec'd code in a minute: a new file name for every call."""
import collections
import types

import talk

KEPT = collections.deque(maxlen=500)
SOURCE = """\
def body(size):
    return bytes(size - 33)
"""
MADE = [0]


def run(count, size):
    """Run one function under `count` file names of its own; the live bytes."""
    code = compile(SOURCE, "<x>", "exec")
    code = [c for c in code.co_consts if isinstance(c, types.CodeType)][0]
    for _ in range(count):
        MADE[0] += 1
        name = "/srv/application/templates/generated/%d.html.py" % MADE[0]
        KEPT.append(types.FunctionType(code.replace(co_filename=name), globals())(size))
    return len(KEPT) * size


talk.serve(run=run)

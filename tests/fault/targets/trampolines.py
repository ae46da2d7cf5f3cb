# SPDX-License-Identifier: MIT
"""Only one thread, and under `-X perf` no stack without trampolines; where the
interpreter has a JIT and PYTHON_JIT says so, hardly one without its code."""
import select
import sys

import talk


def deep(n):
    if n:
        return deep(n - 1)
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        sum([i for i in range(2000)])
    return 0


def wait(*_):
    return deep(10)


# the answers come from below trampolines too: input is looked for there
read = sys.stdin.readline
sys.stdin = type("Input", (), {"fileno": lambda self: 0,
                               "readline": lambda self: (wait(), read())[1]})()
talk.serve(active=lambda: sys.is_stack_trampoline_active(),
           jit=lambda: hasattr(sys, "_jit") and sys._jit.is_enabled())

# SPDX-License-Identifier: MIT
"""Millions of swaps of the allocators under threads that call them.

Static builds of Debian copy the pointers in 4-byte pieces: there a torn
pointer would show.  One library of the build tree holds payload and driver.
"""
import os
import shutil

from process import Failure, require, require_equal


def millions_of_swaps(context):
    library = os.path.join(os.path.dirname(context.tool.payload), "..", "tests", "swap.so")
    if not os.path.exists(library):
        context.skip("tests/swap.so was not built beside the payload")
    times = 3000000 if context.row.build == "static" else 300000
    with context.target("swap.py", unchanged=False) as target:
        shutil.copy(library, target.directory)
        before = target.ask("allocators")
        try:
            got = target.ask("swap", times, 2, 1 << 40, wait=600)
        except Failure:
            raise Failure("died amid %d swaps" % times, target.story())
        require_equal(got, 0, "error of the payload")
        require_equal(target.ask("allocators"), before, "allocators after %d swaps" % times)
        context.note("%d swaps" % times)


def nothing_to_tear(context):
    """Each hook lies in the 4 GiB window of what it replaces: a pointer half
    old, half new is one of the two.  (Whether a processor lets torn copies be
    seen is a matter of luck; this is not.)"""
    with context.target("maker.py") as target:
        context.tool.attach(target)
        now = target.ask("allocators")
        for domain, (old, new) in enumerate(zip(target.before, now)):
            require_equal(new[0], old[0], "ctx of domain %d is kept" % domain)
            require(new[1] != old[1], "domain %d is hooked" % domain)
            for a, b in zip(old[1:], new[1:]):
                require_equal(int(b, 16) >> 32, int(a, 16) >> 32, "window of %s and %s" % (a, b))


CASES = [nothing_to_tear, millions_of_swaps]

# SPDX-License-Identifier: MIT
"""What was there before is not what is there: addresses in slack and in unused
slots make nobody an owner, and heaps that were left are no damage."""
from census import at_rest, by_name, census, check_sum, near
from process import require, require_equal

COUNT = 2000
DEQUE_BLOCK = 544       # 528 bytes and what glibc adds


def stale_words(context):
    """In a list's slack, behind its items, behind those of a deque: all point
    at a block that nobody owns."""
    with context.target("leftover.py", unchanged=False) as target:
        left, items = target.ask("make", COUNT)
        require(left > COUNT / 2, "the addresses are gone", left)
        at_rest(target)
        found = by_name(census(context, target.pid))
        for name, own, buffers in (("Slack", 64, 0), ("Popped", 64, items),
                                   ("Queue", None, COUNT * DEQUE_BLOCK)):
            row = found["__main__", name]
            require_equal(row["objects"], COUNT, "objects of " + name)
            # glibc rounds some blocks up by 16 more
            near(row["bytes_with_buffers"] - row["bytes"], buffers, "buffers of " + name,
                 0.001)
            require(own is None or row["bytes"] == COUNT * own, "bytes of " + name, row)


def heaps_that_are_full(context):
    """Where glibc goes on in another heap it leaves two heads that are no
    chunks: no damage."""
    with context.target("leftover.py", unchanged=False) as target:
        count = target.ask("second_heap", 1200)
        at_rest(target)
        answer = census(context, target.pid)
        check_sum(answer)
        require_equal(by_name(answer)["__main__", "Chunk"]["objects"], count, "objects")
        require_equal(answer["damaged"], 0, "damage")


CASES = [stale_words, heaps_that_are_full]

# SPDX-License-Identifier: MIT
"""tracemalloc beside us: started before, after, stopped in between.  It must
neither crash nor lie, and neither may we."""
from process import require, require_equal

BLOCKS, SIZE = 2000, 1000


def traced(target, more):
    """tracemalloc sees `more` blocks of the kept line."""
    require_equal(target.ask("keep", BLOCKS, SIZE) > 0, True, "keep")
    seen = target.ask("tracing", "traced")
    require(abs(seen - more * SIZE) <= 400000 and seen >= more * SIZE,
            "tracemalloc sees %d bytes, %d were kept" % (seen, more * SIZE))


def taken(context, target):
    return context.tool.status(target)["samples"]["taken"]


def sampled(context, target):
    """We see what is made now."""
    before = taken(context, target)
    target.ask("keep", BLOCKS, SIZE)
    require(taken(context, target) - before > 300, "we no longer sample")


def started_before_stopped_after(context):
    with context.target("maker.py", unchanged=False) as target:
        before = target.ask("allocators")
        target.ask("tracing", "start")
        context.tool.attach(target, "--rate", "4KiB")
        traced(target, BLOCKS)
        sampled(context, target)
        context.tool.detach(target)
        traced(target, 3 * BLOCKS)
        target.ask("tracing", "stop")
        require_equal(target.ask("allocators"), before, "allocators")


def started_before_stopped_meanwhile(context):
    """stop() drops our hooks from the chain: status says so."""
    with context.target("maker.py", unchanged=False) as target:
        before = target.ask("allocators")
        target.ask("tracing", "start")
        context.tool.attach(target, "--rate", "4KiB")
        traced(target, BLOCKS)
        target.ask("tracing", "stop")
        target.ask("keep", BLOCKS, SIZE)
        status = context.tool.status(target)
        require_equal(status["hooks"], "bypassed", "hooks after stop()")
        context.tool.detach(target)
        require_equal(target.ask("allocators"), before, "allocators")
        target.ask("drop")
        context.tool.attach(target, "--rate", "4KiB")
        sampled(context, target)


def started_after_stopped_before(context):
    with context.target("maker.py") as target:
        context.tool.attach(target, "--rate", "4KiB")
        target.ask("keep", BLOCKS, SIZE)
        target.ask("tracing", "start")
        traced(target, BLOCKS)
        sampled(context, target)
        require_equal(context.tool.status(target)["hooks"], "on", "hooks below tracemalloc")
        target.ask("tracing", "stop")
        sampled(context, target)
        target.ask("drop")
        require_equal(target.ask("check"), target.work, "answer")


def started_after_detached_before_stop(context):
    """tracemalloc is above us at detach: we stay, idle, and do no harm."""
    with context.target("maker.py", unchanged=False) as target:
        before = target.ask("allocators")
        work = target.ask("check")
        context.tool.attach(target, "--rate", "4KiB")
        target.ask("tracing", "start")
        traced(target, BLOCKS)
        got = context.tool.detach(target)
        require_equal(got["hooks"], "pass-through", "hooks after detach")
        traced(target, 2 * BLOCKS)
        target.ask("tracing", "stop")
        require_equal(target.ask("check"), work, "answer")
        target.ask("drop")
        context.tool.no_trace(target)
        context.tool.attach(target, "--rate", "4KiB")
        sampled(context, target)
        context.tool.detach(target)
        require_equal(target.ask("allocators"), before, "allocators at last")
        require_equal(target.ask("check"), work, "answer")


def many_times(context):
    """Start and stop at every point of our life, over and over."""
    tool = context.tool
    with context.target("maker.py", unchanged=False) as target:
        work = target.ask("check")
        for _ in range(40 if context.full else 10):
            for what in context.random.choices(("tm", "us", "work"), k=12):
                if what == "tm":
                    on = target.ask("tracing", "ask")
                    target.ask("tracing", "stop" if on else "start")
                elif what == "us" and target.attached:
                    tool.detach(target)
                elif what == "us":
                    tool.attach(target, "--rate", "1KiB")
                else:
                    target.ask("keep", 200, 600)
                    target.ask("drop")
            require_equal(target.ask("check"), work, "answer")
        if target.ask("tracing", "ask"):
            target.ask("tracing", "stop")


CASES = [started_before_stopped_after, started_before_stopped_meanwhile,
         started_after_stopped_before, started_after_detached_before_stop, many_times]

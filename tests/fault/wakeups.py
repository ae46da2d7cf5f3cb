# SPDX-License-Identifier: MIT
"""Signals that come while a thread is stopped, or loads the payload: each
must end the system call that it would have ended, and no other."""

import contextlib

from fault_context import Faults, after_fault, fault_target
from process import require, require_equal, wait_until

# A handler with SA_RESTART does not end these.
BY_FLAG = ("futex", "read", "read_restarted", "sem_timedwait")
BETWEEN_MAX = 3		# signals in the kernel's own moment, 1 in 20000 stops


@contextlib.contextmanager
def woken_threads(context):
    """(target, {call: what its thread did}): threads that wait in a call each,
    woken by signals all the time; at the end none was lost, and what they did
    is brought up to date."""
    with fault_target(context, "wakeups.py", str(context.random.getrandbits(20))) as target:
        require_equal(target.ask("prepared"), 0, "the calls are prepared")
        facts = wait_until(lambda: all_sent(target), 60, "every thread to be woken once")
        before = {name: fact["sent"] for name, fact in facts.items()}
        yield target, facts
        facts.update(all_judged(target, before))


def every_signal_wakes(context):
    """A signal is sent to each waiting thread all the time, by one that waits
    for the effect; attaches go through these threads, or let them go."""
    faults = Faults(context)
    rounds = 12 if context.full else 4
    ok = (0, context.tool.status_of["no-safe-point"])
    attached = 0
    with woken_threads(context) as (target, facts):
        for turn in range(rounds):
            for name, fact in sorted(facts.items()):
                env = {"PA_FAULT_THREAD": str(fact["tid"]), "PA_FAULT_UNSAFE": str(turn % 2)}
                done = faults.run(target, env=env, timeout="10s")
                require(done.returncode in ok, "attach by the thread in %s: %s" % (
                    name, done.stderr))
                attached += done.returncode == 0
                after_fault(context, target)
    require(attached > rounds * len(facts) // 2, "attaches that came up", attached)
    context.note("%d attaches, %d signals" % (
        attached, sum(fact["sent"] for fact in facts.values())))


def dead_tool_loses_none(context):
    """The same where the tool dies before it can hand the call back, and, for
    the calls that every handler ends, when it has handed back the mask."""
    faults = Faults(context)
    rounds = 6 if context.full else 2
    deaths = 0
    with woken_threads(context) as (target, facts):
        for _ in range(rounds):
            for name, fact in sorted(facts.items()):
                for death in ["ptrace:7:after"] + (
                        [] if name in BY_FLAG else ["ptrace:12:before"]):
                    done = faults.run(target, death, {"PA_FAULT_THREAD": str(fact["tid"])})
                    deaths += done.returncode == -9
                    after_fault(context, target)
    require(deaths > rounds * len(facts) // 2, "tools that died", deaths)
    context.note("%d deaths" % deaths)


def all_judged(target, before):
    # one that was lost is known to be after 10 s
    last = target.ask("facts")
    wait_until(lambda: all(fact["sent"] > last[name]["sent"] + 1 for name, fact in
                           target.ask("facts").items()), 60, "every thread to be woken")
    facts = target.ask("facts")
    for name, fact in sorted(facts.items()):
        judge(name, fact, before[name])
    between = {name: fact["between"] for name, fact in facts.items() if fact["between"]}
    require(sum(between.values()) <= BETWEEN_MAX, "signals just before a call", between)
    target.ask("stop")
    return facts


def all_sent(target):
    facts = target.ask("facts")
    return facts if all(fact["handled"] for fact in facts.values()) else None


def judge(name, fact, before):
    require(fact["sent"] > before, "no signal was sent to the thread in " + name)
    require_equal(fact["lost"], 0, "signals that did not end " + name)
    require_equal(fact["wrong"], 0, "other results of %s (errno %d)" % (
        name, fact["last_errno"]))
    require(-1 <= fact["sent"] - fact["handled"] <= 1, "signals handled once", name, fact)
    if name == "read_restarted":
        require_equal(fact["ended"], 0, "calls that a handler with SA_RESTART ended")
    else:
        require(-1 <= fact["sent"] - fact["ended"] - fact["between"] <= 1,
                "signals against ends of calls", name, fact)


CASES = [every_signal_wakes, dead_tool_loses_none]

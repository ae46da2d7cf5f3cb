# SPDX-License-Identifier: MIT
"""census --pause: right, never longer than it may, and whatever ends the tool
lets the target go, with all its signals."""
import os
import signal
import subprocess
import time

import census
from process import require, require_equal, state, wait_until

LIMIT_S = 0.4


def tracers(pid):
    """Who traces any thread of it."""
    found = set()
    for tid in os.listdir("/proc/%d/task" % pid):
        try:
            with open("/proc/%d/task/%s/status" % (pid, tid)) as f:
                found.update(int(line.split()[1]) for line in f
                             if line.startswith("TracerPid:"))
        except OSError:
            pass
    return found - {0}


def require_free(target, what):
    """Untraced, and all threads go on; how soon is what stopped_tool() judges."""
    wait_until(lambda: not tracers(target.pid), 20, "nobody traces the target: " + what)
    # it is let go first, and woken then
    wait_until(lambda: state(target.pid) in "RSD", 20, "the target is not stopped: " + what)
    turns = target.ask("turns")
    wait_until(lambda: all(a < b for a, b in zip(turns, target.ask("turns"))), 60,
               "every thread goes on: " + what)


def begin(context, target, limit="400ms"):
    """Start a census and wait until it holds the target; None if it was over
    before that was seen."""
    tool = subprocess.Popen([context.program, "census", str(target.pid), "--json", "--pause",
                             "--max-pause", limit], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
    while tool.poll() is None:
        holder = tracers(target.pid)
        if holder:
            return tool, holder.pop()
    tool.communicate()
    return None, None


def end(tool):
    out, errors = tool.communicate(timeout=60)
    return tool.returncode, out, errors


def truth(context):
    """What is copied in a pause is what the target says, and the pause is told."""
    with context.target("census.py", 2) as target:
        rows = target.ask("truth")
        census.at_rest(target)
        before = census.rss(target.pid)
        answer = census.census(context, target.pid, "--pause", "--max-pause", "5s")
        census.check_rows(answer, rows)
        census.check_sum(answer)
        require_equal(answer["pools"]["changing"], 0, "changing pools")
        require(0 < answer["paused_ns"] <= 5e9, "paused_ns", answer["paused_ns"])
        require(abs(census.rss(target.pid) - before) <= before / 50, "RSS after it")
        table = context.tool.run("census", target.pid, "--pause", "--max-pause", "5s").stdout
        # words, for lines are filled
        require(b"stopped for" in b" ".join(table.split()), "the table", table)
        require_equal(census.census(context, target.pid)["paused_ns"], None, "not paused")
        context.note("stopped for %.0f ms" % (answer["paused_ns"] / 1e6))


def busy(context):
    """16 threads: consistent each time, the user's own objects exact."""
    with context.target("census.py", 1) as target:
        kept = [row for row in target.ask("truth") if row[1] != "Slotted"]
        target.ask("busy", 16)
        for _ in range(30 if context.full else 5):
            answer = census.census(context, target.pid, "--pause", "--max-pause", "5s")
            census.check_sum(answer)
            # a thread may have been stopped within the allocator, not two
            require(answer["pools"]["changing"] <= 1, "changing pools", answer["pools"])
            if not answer["pools"]["changing"]:
                census.check_rows(answer, kept, sizes=False)
        require_free(target, "after censuses")


def killed(context):
    """SIGKILL of the tool or of what holds the target: it goes on."""
    caught = {"tool": 0, "holder": 0}
    with context.target("census.py", 2) as target:
        target.ask("busy", 6)
        for i in range(60):
            victim = "tool" if i % 2 else "holder"
            if caught[victim] >= 4:
                continue
            tool, holder = begin(context, target)
            if not tool:
                continue
            try:
                os.kill(tool.pid if victim == "tool" else holder, signal.SIGKILL)
                caught[victim] += 1
            except ProcessLookupError:
                pass
            status, _, errors = end(tool)
            require_free(target, "%s was killed" % victim)
            if victim == "holder":
                require(status in (0, 23, 57), "status %d" % status, errors)
        require(min(caught.values()) >= 2, "too few were caught in the middle", caught)
        context.note("caught in the middle: %(tool)d and %(holder)d times" % caught)


def stopped_tool(context):
    """A tool that hangs in the middle does not hold the target for longer."""
    helds = []
    with context.target("census.py", 2) as target:
        target.ask("busy", 4)
        for _ in range(20):
            tool, holder = begin(context, target)
            if not tool:
                continue
            since = time.monotonic()
            os.kill(tool.pid, signal.SIGSTOP)
            try:
                os.kill(holder, signal.SIGSTOP)
            except OSError:
                pass
            wait_until(lambda: not tracers(target.pid), 20, "the limit ends the pause")
            held = time.monotonic() - since
            os.kill(tool.pid, signal.SIGCONT)
            status, _, errors = end(tool)
            require_free(target, "the limit ended the pause")
            if held > LIMIT_S / 2:
                helds.append(held)
            require(status in (0, 23, 57), "status %d" % status, errors)
            if len(helds) == 3:
                break
        require(helds, "no pause was caught in the middle")
        # we share the processors with what we measure: the best of three
        require(min(helds) < LIMIT_S + 0.25, "held for %.0f ms, the limit is %.0f" % (
            min(helds) * 1000, LIMIT_S * 1000))
        context.note("held for %.0f ms at most" % (max(helds) * 1000))


def is_traced(pid):
    return b"TracerPid:\t0\n" not in census.read_proc(pid, "status")


def signals(context):
    """No signal is lost or doubled, whoever dies when.  They are sent while the
    holder is about to stop the threads, many so that it takes a while: some
    are then seen by it first, and it dies with them in its hands."""
    rounds = 16
    with context.target("census.py", 1) as target:
        numbers = target.ask("count_signals")
        target.ask("idle", 150)
        for i in range(rounds):
            tool = subprocess.Popen([context.program, "census", str(target.pid), "--pause",
                                     "--max-pause", "1s"], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)
            wait_until(lambda: is_traced(target.pid) or tool.poll() is not None, 20, "a holder")
            for number in numbers:
                os.kill(target.pid, number)
            for holder in tracers(target.pid) if i % 4 else ():
                try:
                    os.kill(holder, signal.SIGKILL)
                except OSError:
                    pass
            tool.wait(60)
            wait_until(lambda: target.ask("signals") == [i + 1] * len(numbers), 60,
                       "each signal arrives once")
        context.note("%d signals" % (rounds * len(numbers)))


def refusals(context):
    """Too long beforehand, a file, no Python."""
    tool = context.tool
    with context.target("census.py", 2) as target:
        error = tool.refused("timeout", "census", target.pid, "--pause", "--max-pause", "1ms")
        require("--max-pause" in error["hint"], "hint", error)
        require(not tracers(target.pid), "it is traced")
        tool.refused("usage", "census", __file__, "--pause")
        tool.refused("usage", "census", target.pid, "--pause", "--max-pause", "0")
        tool.refused("usage", "census", target.pid, "--max-pause", "x")
        other = subprocess.Popen(["sleep", "60"])
        try:
            tool.refused("not-python", "census", other.pid, "--pause")
        finally:
            other.kill()
            other.wait()


def stays_stopped(context):
    """What was stopped by SIGSTOP is so afterwards."""
    with context.target("census.py", 1) as target:
        rows = target.ask("truth")
        os.kill(target.pid, signal.SIGSTOP)
        wait_until(lambda: state(target.pid) == "T", 10, "the target stops")
        try:
            answer = census.census(context, target.pid, "--pause", "--max-pause", "5s")
            census.check_rows(answer, rows)
            wait_until(lambda: state(target.pid) == "T", 30, "it is stopped again")
        finally:
            os.kill(target.pid, signal.SIGCONT)


CASES = [truth, busy, killed, stopped_tool, signals, refusals, stays_stopped]

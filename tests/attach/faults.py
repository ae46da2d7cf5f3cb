# SPDX-License-Identifier: MIT
"""The command is killed at any moment, or runs twice at once: the target
carries on, and a later attach works."""
import subprocess
import time

from process import our_threads, require, require_equal, wait_until


def start(context, target, *options):
    tool = context.tool
    return subprocess.Popen([tool.program, "attach", str(target.pid)] + tool.attach_options()
                            + list(options), stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


def alone(target):
    """One thread of ours is left: one that was refused ends after it has said
    so."""
    wait_until(lambda: len(our_threads(target.pid)) == 1, 30, "one thread of ours")


def killed_at_random(context):
    """SIGKILL within the first milliseconds, over and over."""
    tool = context.tool
    kills = 400 if context.full else 60
    with context.target("busy.py") as target:
        target.ask("start")
        for _ in range(kills):
            command = start(context, target, "--rate", "64KiB")
            time.sleep(context.random.uniform(0, 0.012))  # a random moment
            command.kill()
            command.wait()
            require_equal(target.ask("ping", 7), 7, "answer after a kill")
        # what was committed by a killed command may still come up, or not
        wait_until(lambda: tool.run("attach", target.pid, *tool.attach_options(),
                                    "--rate", "64KiB").status == 0, 30, "a good attach")
        target.attached = True
        tool.still_served(target)
        alone(target)
        require_equal(target.ask("stop")["wrong"], 0, "wrong answers of its threads")


def two_at_once(context, crowded=False):
    """Two commands attach at the same time: one payload, two good ends or a
    refusal that says why."""
    tool = context.tool
    for _ in range(10 if context.full else 4):
        with context.target("busy.py") as target:
            if crowded:
                target.ask("crowd")
            target.ask("start")
            commands = [start(context, target, "--format", "json") for _ in range(3)]
            statuses = [c.wait(60) for c in commands]
            target.attached = True
            allowed = [0] + [tool.status_of[w] for w in ("loading", "traced", "no-safe-point")]
            require(0 in statuses and all(s in allowed for s in statuses),
                    "statuses of three commands at once", statuses)
            tool.still_served(target)
            alone(target)
            require_equal(target.ask("stop")["wrong"], 0, "wrong answers of its threads")


def two_at_once_elsewhere(context):
    """The same where no low slot is free: they do not see each other before
    one has its hooks in."""
    two_at_once(context, True)


def busy_target(context):
    """Attach, report, change, detach, again and again, under every load."""
    tool = context.tool
    with context.target("busy.py") as target:
        target.ask("start")
        stopped = []
        for _ in range(60 if context.full else 15):
            stopped.append(tool.attach(target, "--rate", "16KiB")["stopped_ns"])
            tool.report(target)
            tool.detach(target)
        tool.attach(target, "--rate", "1KiB")
        tool.report(target)
        require_equal(target.ask("stop")["wrong"], 0, "wrong answers of its threads")
        context.note("stopped %.2f ms at most" % (max(stopped) / 1e6))


CASES = [killed_at_random, two_at_once, two_at_once_elsewhere, busy_target]

# SPDX-License-Identifier: MIT
"""The tool is killed at random moments and random steps, over and over, at
targets of every kind: no death, no hang, no wrong result."""
import os
import subprocess
import time

from fault_context import Faults, after_fault, beats_on, fault_target, placed
from process import Skip, require, require_equal, wait_until
from wider import LIBRARIES, MALLOCS, loads, wheel

KINDS = [("many.py",), ("locked.py",), ("alone.py", "cpu"), ("alone.py", "server"),
         ("alone.py", "storm"), ("locked.py", "python"), ("alone.py", "gevent")]
SHARE = {"many.py": 3}	# of the kills, against 1 for each other kind
FRESH = 25		# kills before a new target takes over
STEPS = {"ptrace": 8, "pwrite": 3, "waitid": 6, "process_vm_readv": 30, "openat": 30,
         "sendfile": 1, "unlinkat": 1, "nanosleep": 4}


class Toll:
    """What soak-attach prints."""

    def __init__(self):
        self.kills = self.killed = self.attached = self.deaths = self.hangs = 0
        self.wrong = []
        self.files = set()	# for the payload, still there after a kill
        self.gap = 0.0

    def __str__(self):
        return ("%d attaches, %d killed, %d came up all the same; %d deaths, %d hangs, "
                "%d wrong results, %d files left to the next attach, worst gap %.1f ms" % (
                    self.kills, self.killed, self.attached, self.deaths, self.hangs,
                    len(self.wrong), len(self.files), self.gap * 1e3))

    def note_file(self, context, path):
        if path and os.path.exists(path):
            self.files.add(path)


def at_a_step(context, faults, target):
    random = context.random
    name = random.choice(sorted(STEPS))
    fault = "%s:%d:%s" % (name, random.randint(1, STEPS[name]),
                          random.choice(("before", "after")))
    unsafe = {"PA_FAULT_UNSAFE": str(random.choice((0, 0, 1, 3)))}
    # what a killed request to the interpreter does is tests/fault/remote's
    done = faults.run(target, fault, unsafe, options=["-v", "--method", "ptrace"])
    return done.returncode, placed(context, done.stderr)


def at_a_moment(context, faults, target):
    command = subprocess.Popen(
        [faults.program, "attach", str(target.pid), "--payload", context.tool.payload,
         "--rate", "64KiB", "-v"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE)
    time.sleep(context.random.uniform(0, 0.015))	# the random moment itself
    command.kill()
    said = command.communicate()[1]
    return command.returncode, placed(context, said)


def sweeps(context, faults, target, toll):
    """The next attach removes the files of those that were killed."""
    done = faults.run(target, options=["-v"])
    require_equal(done.returncode, 0, "an attach after the kills: %s" % done.stderr)
    if placed(context, done.stderr):
        left = [path for path in toll.files if os.path.exists(path)]
        require(not left, "files of killed tools that are still there", left)
    after_fault(context, target)


def kill_in(context, kind, kills, toll, **how_made):
    """Some kills at one target."""
    faults = Faults(context)
    if kind[-1] == "gevent":
        how_made = dict(how_made, env={"PYTHONPATH": wheel(context, "gevent")})
    with fault_target(context, *kind, **how_made) as target:
        plain = target.ask("allocators")
        for number in range(kills):
            how = at_a_step if context.random.random() < 0.5 else at_a_moment
            toll.kills += 1
            status, path = how(context, faults, target)
            toll.killed += status == -9
            toll.attached += after_fault(context, target,
                                         plain if number == kills - 1 else None)
            toll.note_file(context, path)
        sweeps(context, faults, target, toll)
        beats_on(target)
        wrong = target.ask("wrong")
        toll.wrong += wrong
        toll.gap = max(toll.gap, target.ask("gap"))
        require(not wrong, "wrong results", wrong)


def usable_kinds(context):
    kinds = []
    for kind in KINDS:
        if kind[-1] == "gevent":
            try:
                wheel(context, "gevent")
            except Skip:
                continue
        kinds.append(kind)
    return kinds


def random_kills(context):
    """As many kills as --kills says, over all kinds of targets."""
    toll = Toll()
    kinds = usable_kinds(context)
    shares = [kind for kind in kinds for _ in range(SHARE.get(kind[0], 1))]
    left = context.kills
    turn = 0
    while left:
        some = min(FRESH, left)
        kill_in(context, shares[turn % len(shares)], some, toll)
        left -= some
        turn += 1
    context.note(str(toll))


def other_mallocs(context):
    """The same where jemalloc or tcmalloc is below the targets whose threads
    are hardly ever outside of it."""
    kills = max(10, context.kills // 20)
    for name, library in sorted(MALLOCS.items()):
        path = os.path.join(LIBRARIES, library)
        if context.row.root:
            context.skip("the libraries are those of this machine's own C library")
        if not os.path.exists(path) or not loads(context, path):
            context.skip("%s cannot be loaded" % path)
        toll = Toll()
        for kind in (("locked.py",), ("locked.py", "python")):
            kill_in(context, kind, kills, toll, env={"LD_PRELOAD": path})
        context.note("%s: %s" % (name, toll))


def state_survives(context):
    """Registers, flags, red zone and errno of threads in C, stopped at any
    instruction, attached and let go."""
    faults = Faults(context)
    rounds = 40 if context.full else 12
    with fault_target(context, "state.py") as target:
        for number in range(rounds):
            before = target.ask("beats")
            done = faults.run(target, env={"PA_FAULT_UNSAFE": str(number % 3)})
            require_equal(done.returncode, 0, "attach: %s" % done.stderr)
            after_fault(context, target)
            wait_until(lambda: target.ask("beats") != before, 30, "the threads to go on")
        wide = target.ask("wide")
        require_equal(target.ask("stop"), [0, 0, 0, 0], "values that changed")
        context.note("%d attaches, %s" % (rounds, "AVX-512" if wide else "no AVX-512 here"))


CASES = [random_kills, other_mallocs, state_survives]

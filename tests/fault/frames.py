# SPDX-License-Identifier: MIT
"""Stacks with frames that no table covers: followed where they lead back to
known code, refused by that name where they do not."""
import json

from fault_context import Faults, after_fault, fault_target
from process import require, require_equal, wait_until

ROUNDS = 10


def perf_trampolines(context):
    """Every Python frame goes through code that was made at run time."""
    if context.row.minor < 12:
        context.skip("-X perf came with 3.12")
    faults = Faults(context)
    with fault_target(context, "trampolines.py", python_options=["-X", "perf"]) as target:
        plain = target.ask("allocators")
        require(target.ask("active"), "trampolines are active")
        for _ in range(ROUNDS):
            done = faults.run(target)
            require_equal(done.returncode, 0, "attach under -X perf: %s" % done.stderr)
            after_fault(context, target, plain)


def jit(context):
    """The interpreter's own code, made at run time, of what runs often."""
    faults = Faults(context)
    with fault_target(context, "trampolines.py", env={"PYTHON_JIT": "1"}) as target:
        plain = target.ask("allocators")
        if not target.ask("jit"):
            context.skip("this interpreter has no JIT")
        stops = []
        for _ in range(ROUNDS):
            done = faults.run(target, options=["--method", "ptrace"], timeout="20s")
            require_equal(done.returncode, 0, "attach to what the JIT made: %s" % done.stderr)
            stops.append(json.loads(done.stdout.decode())["stops"])
            after_fault(context, target, plain)
        context.note("%d stops at most" % max(stops))


def bare(context, library, rounds, timeout):
    """Attach by the thread in the library: status and message."""
    faults = Faults(context)
    with fault_target(context, "bare.py", library) as target:
        tid = wait_until(lambda: target.ask("tid"), 30, "the thread to be in bare code")
        statuses = set()
        for _ in range(rounds):
            done = faults.run(target, env={"PA_FAULT_THREAD": str(tid)}, timeout=timeout)
            statuses.add(done.returncode)
            after_fault(context, target)
        require_equal(target.ask("end"), [ord("E")], "the result of bare code")
    return statuses, done.stderr.decode()


def frame_pointer(context):
    statuses, error = bare(context, "bare_fp.so", ROUNDS, "20s")
    require_equal(statuses, {0}, "attaches through a frame pointer: " + error)


def no_frame_pointer(context):
    statuses, error = bare(context, "bare.so", 2, "2s")
    require_equal(statuses, {context.tool.status_of["no-safe-point"]}, "statuses: " + error)
    require("without unwind data" in error and "stops; the last time" in error
            or "no thread of it came back" in error, "the reason is not told: " + error)


CASES = [perf_trampolines, jit, frame_pointer, no_frame_pointer]

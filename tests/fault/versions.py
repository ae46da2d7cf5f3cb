# SPDX-License-Identifier: MIT
"""A payload of another version, as an upgrade leaves it in its targets: it
stays readable and detachable, and then a new one is loaded beside it."""
import os
import subprocess
import tempfile

from fault_context import Faults, after_fault, fault_target
from process import mappings, our_threads, require, require_equal

OLD = "0.0.1-test"	# as in other_version.h


def payloads(target):
    """How many payloads are mapped: each is a file of its own."""
    return len({line.split()[4] for line in mappings(target.pid) if "/.pyattach-" in line
                and "r-x" in line})


def works(context, target, version):
    """Status, report, rate and snapshot, by the payload of that version."""
    tool = context.tool
    require_equal(tool.still_served(target)["payload_version"], version, "payload_version")
    require_equal(len(our_threads(target.pid)), 1, "threads of ours")
    target.ask("keep", 500, 5000)
    report = tool.report(target)
    require([r for r in report["rows"] if r["file"] == target.file], "rows of the target", report)
    tool.good("rate", target.pid, "16KiB")
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "image")
        tool.good("snapshot", target.pid, "-o", path)
        require_equal(tool.report(path)["pid"], target.pid, "pid in the image")
    again = tool.good("attach", target.pid, *tool.attach_options())
    require_equal((again["already_attached"], again["payload_version"]), (True, version),
                  "a second attach")


def old_then_new(context):
    """Also over and over: nothing is loaded twice."""
    tool = context.tool
    old = Faults(context).file("old.so")
    answer = subprocess.run([context.program, "--version"], stdout=subprocess.PIPE, timeout=20)
    new = answer.stdout.decode().split()[1]
    with fault_target(context, "harm.py") as target:
        plain = target.ask("allocators")
        got = tool.attach(target, "--rate", "8KiB", payload=old)
        require_equal(got["payload_version"], OLD, "payload_version")
        works(context, target, OLD)
        require(after_fault(context, target, plain), "the old one is detached")
        tool.refused("not-attached", "status", target.pid)
        for _ in range(5):
            got = tool.attach(target, "--rate", "8KiB")
            require_equal((got["already_attached"], got["payload_version"]), (False, new),
                          "the new one")
            works(context, target, new)
            require_equal(payloads(target), 2, "payloads that are mapped")
            require(after_fault(context, target, plain), "the new one is detached")


def old_left_by_a_kill(context):
    """The tool that loaded the old one died: it is in the way of nothing."""
    faults = Faults(context)
    old = faults.file("old.so")
    for step in ("unlinkat:1:before", "ptrace:5:after", "ptrace:7:after"):
        with fault_target(context, "harm.py") as target:
            plain = target.ask("allocators")
            faults.run(target, step, payload=old)
            after_fault(context, target, plain)
            context.tool.attach(target, "--rate", "8KiB")
            context.tool.still_served(target)
            require(after_fault(context, target, plain), "the new one is detached")


CASES = [old_then_new, old_left_by_a_kill]

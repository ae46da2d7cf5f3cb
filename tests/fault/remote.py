# SPDX-License-Identifier: MIT
"""The interpreter's own way in (remote debugging, Python 3.14 and later):
asked for, as a fallback, disabled, and where no thread ever takes it."""
import json
import os
import tempfile

from fault_context import Faults, after_fault, fault_target
from interrupted import place
from process import require, require_equal, wait_until
from wider import wheel

ALWAYS = {"PA_FAULT_UNSAFE": "1000000"}


def new_enough(context):
    return context.row.minor >= 14


def asked_for(context):
    """Loaded by it, then started again by it."""
    options = context.tool.attach_options()
    with fault_target(context, "many.py") as target:
        plain = target.ask("allocators")
        if not new_enough(context):
            error = context.tool.refused("no-remote-exec", "attach", target.pid, "--method",
                                         "remote-exec", *options)
            require("3.14" in error["message"], "message", error)
            after_fault(context, target, plain)
            return
        for _ in range(3):
            done = context.tool.good("attach", target.pid, "--method", "remote-exec",
                                     "--format", "json", *options)
            require_equal(done["method"], "remote-exec", "method")
            require_equal(done["stops"], 0, "stops in search of a safe point")
            context.tool.still_served(target)
            require(after_fault(context, target, plain), "it was attached")
        require_equal(target.ask("wrong"), [], "wrong results")


def when_no_safe_point(context):
    """A fallback where there is one; else the last reason is told."""
    faults = Faults(context)
    with fault_target(context, "many.py") as target:
        plain = target.ask("allocators")
        done = faults.run(target, env=ALWAYS, timeout="8s")
        expected = 0 if new_enough(context) else context.tool.status_of["no-safe-point"]
        require_equal(done.returncode, expected, "status: %s" % done.stderr)
        if new_enough(context):
            require(b'"remote-exec"' in done.stdout, "method", done.stdout)
        require_equal(after_fault(context, target, plain), new_enough(context), "attached")
        require_equal(target.ask("wrong"), [], "wrong results")


def disabled(context):
    if not new_enough(context):
        context.skip("remote debugging came with 3.14")
    for how in ({"env": {"PYTHON_DISABLE_REMOTE_DEBUG": "1"}},
                {"python_options": ["-X", "disable-remote-debug"]}):
        with fault_target(context, "many.py", **how) as target:
            error = context.tool.refused("no-remote-exec", "attach", target.pid, "--method",
                                         "remote-exec", *context.tool.attach_options())
            require("disabled" in error["message"], "message", error)
            done = Faults(context).run(target, env=ALWAYS, timeout="2s")
            require_equal(done.returncode, context.tool.status_of["no-safe-point"], "auto")
            after_fault(context, target)


def nobody_comes(context):
    """All threads stay in C calls: the request is taken back, and a thread
    that comes back later finds nothing."""
    if not new_enough(context):
        context.skip("remote debugging came with 3.14")
    with fault_target(context, "bare.py", "bare.so") as target:
        plain = target.ask("allocators")
        # read(), which ends with the next question
        wait_until(lambda: (place(target, target.pid) or b" ")[0] == b"0", 30,
                   "the target to wait for a question")
        error = context.tool.refused("no-safe-point", "attach", target.pid, "--method",
                                     "remote-exec", "--timeout", "1s",
                                     *context.tool.attach_options())
        require("came back to Python code" in error["message"], "message", error)
        require_equal(target.ask("end"), [ord("E")], "the thread that came back")
        require(not after_fault(context, target, plain), "something acted later")


def refused_by_the_loader(context):
    """A payload that needs what nobody has, by either way: the loader's own
    words are passed on, and nothing of ours is left."""
    with tempfile.TemporaryDirectory() as directory, fault_target(context, "many.py") as target:
        plain = target.ask("allocators")
        with open(context.tool.payload, "rb") as f:
            data = f.read()
        payload = os.path.join(directory, "broken.so")
        with open(payload, "wb") as f:
            f.write(data.replace(b"\0pthread_create\0", b"\0pthread_creatX\0"))
        ways = [("ptrace", "refused the payload")]
        if new_enough(context):
            ways.append(("remote-exec", "could not load the payload"))
        for method, part in ways:
            error = context.tool.refused("loader", "attach", target.pid, "--method", method,
                                         *context.tool.attach_options(payload))
            require(part in error["message"] and "pthread_creatX" in error["message"],
                    "message", error)
            require(not after_fault(context, target, plain), "it was attached")
        context.tool.attach(target, "--rate", "16KiB")
        context.tool.still_served(target)
        require(after_fault(context, target, plain), "it was attached")


def left_by_a_kill(context):
    """A tool that dies while it writes its request leaves a whole one, which
    is served, or none; never one that is in the way of the next tool's."""
    if not new_enough(context):
        context.skip("remote debugging came with 3.14")
    faults = Faults(context)
    method = ["--method", "remote-exec"]
    with fault_target(context, "alone.py", "server") as target:
        plain = target.ask("allocators")
        for step in ("ptrace:1:after", "pwrite:1:before", "pwrite:1:after", "pwrite:2:before",
                     "pwrite:2:after", "pwrite:3:before", "pwrite:3:after"):
            done = faults.run(target, step, options=method)
            require_equal(done.returncode, -9, "the tool's end at " + step)
            if step == "pwrite:3:after":	# the last
                wait_until(lambda: context.tool.run("status", target.pid).status == 0, 30,
                           "the whole request to be served")
            else:
                done = faults.run(target, options=method)
                require_equal(done.returncode, 0, "attach after %s: %s" % (step, done.stderr))
            require(after_fault(context, target, plain), "it was attached")
        require_equal(target.ask("wrong"), [], "wrong results")


def greenlets(context):
    """Stacks that are put together of several: no safe point at most stops.
    The interpreter is asked after some, not when half of the time is over."""
    if not new_enough(context):
        context.skip("remote debugging came with 3.14")
    faults = Faults(context)
    env = {"PYTHONPATH": wheel(context, "gevent")}
    asked = 0
    with fault_target(context, "alone.py", "gevent", env=env) as target:
        plain = target.ask("allocators")
        for _ in range(4):
            done = faults.run(target, timeout="20s")
            require_equal(done.returncode, 0, "attach: %s" % done.stderr)
            answer = json.loads(done.stdout.decode())
            asked += answer["method"] == "remote-exec"
            # half of 20 s is more than 40
            require(answer["stops"] < 40, "stops before it was asked", answer)
            require(after_fault(context, target, plain), "it was attached")
        require_equal(target.ask("wrong"), [], "wrong results")
    context.note("asked %d times in 4" % asked)


CASES = [greenlets, refused_by_the_loader, asked_for, when_no_safe_point, disabled, nobody_comes,
         left_by_a_kill]

# SPDX-License-Identifier: MIT
"""Who may attach to whom, and the sentence for each that may not."""
import os

from containers import container, every_verb
from context import NOBODY
from process import require

STRANGER = 54321
YAMA = "/proc/sys/kernel/yama/ptrace_scope"


def refused(context, target, part, **how):
    """Nothing works, and the reason is said."""
    tool = context.tool
    options = tool.attach_options(how.pop("payload", None))
    error = tool.refused("not-permitted", "attach", target.pid, *options, **how)
    require(part in error["message"], "the reason is not named: " + part, error)
    for verb, *more in (["status"], ["report"], ["rate", "1MiB"], ["detach"]):
        tool.refused("not-permitted", verb, target.pid, *more, **how)
    tool.no_trace(target)


def as_root(context):
    """Root may attach to the process of any user."""
    with context.target("harm.py", user=context.user_of_python(NOBODY)) as target:
        every_verb(context, target, target.pid)


def as_the_same_user(context):
    """No privilege is needed for a process of one's own."""
    with context.target("harm.py", user=context.user_of_python(NOBODY)) as target, \
            context.program_of_user(NOBODY) as how:
        every_verb(context, target, target.pid, **how)


def as_another_user(context):
    with context.target("harm.py", user=context.user_of_python(NOBODY)) as target, \
            context.program_of_user(STRANGER) as how:
        refused(context, target, "belongs to user %d, and you are user %d" % (
            NOBODY, STRANGER), **how)


def out_of_a_container(context):
    """Who is root in a namespace of his own has no right outside of it."""
    with context.target("harm.py", user=context.user_of_python(NOBODY)) as target, \
            context.program_of_user(NOBODY) as how:
        how["prefix"] = how["prefix"] + ["unshare", "-Ur"]
        refused(context, target, "another user namespace", **how)


def into_a_container(context):
    """A stranger has none in somebody else's."""
    with container(context) as target, context.program_of_user(STRANGER) as how:
        refused(context, target, "belongs to user %d" % NOBODY, **how)


def root_without_the_capability(context):
    """As in a container: root, but without CAP_SYS_PTRACE."""
    context.user(NOBODY)
    prefix = ["setpriv", "--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace"]
    with context.target("harm.py") as target:
        refused(context, target, "CAP_SYS_PTRACE", prefix=prefix)
        context.tool.attach(target)
        context.tool.still_served(target)


def not_dumpable(context):
    """A process that hides itself is hidden from its user, not from root."""
    with context.target("harm.py", user=context.user_of_python(NOBODY)) as target, \
            context.program_of_user(NOBODY) as how:
        target.ask("hide")
        refused(context, target, "non-dumpable", **how)
        every_verb(context, target, target.pid)


def yama(context):
    """At the level that this machine has, which is not changed."""
    if not os.path.exists(YAMA):
        context.skip("no Yama in this kernel: its levels are tested only through recorded "
                     "settings, by tests/unit/test_inspect")
    with open(YAMA) as f:
        level = int(f.read())
    with context.target("harm.py", user=context.user_of_python(NOBODY)) as target, \
            context.program_of_user(NOBODY) as how:
        context.note("level %d" % level)
        if level:
            refused(context, target, "ptrace_scope is %d" % level, **how)
        else:
            every_verb(context, target, target.pid, **how)
        if level < 3:
            every_verb(context, target, target.pid)


# It says the same everywhere.
HEAVY = ["yama"]
CASES = [as_root, as_the_same_user, as_another_user, out_of_a_container, into_a_container,
         root_without_the_capability, not_dumpable, yama]

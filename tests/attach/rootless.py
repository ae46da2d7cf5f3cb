# SPDX-License-Identifier: MIT
"""The host's root and a container that an ordinary user made: he is nobody
inside, and all the same everything works."""
from containers import OWN_RUN, container, every_verb


def from_outside_by_root(context):
    """By the host's root, who is nobody inside."""
    for script in ("", OWN_RUN):
        with container(context, script) as target:
            every_verb(context, target, target.pid)


CASES = [from_outside_by_root]

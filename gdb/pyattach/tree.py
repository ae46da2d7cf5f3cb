# SPDX-License-Identifier: MIT
"""Who called whom: the callers of live samples, outermost first."""
from . import text
from .decode import FIXED_SITES
from .layout import CONSTANTS as C
from .views import call_text

TREE_SHARE = 0.005      # branches below are not shown
TREE_DEPTH = 40


class _Branch:
    __slots__ = ('bytes', 'samples', 'children')

    def __init__(self):
        self.bytes, self.samples, self.children = 0.0, 0, {}


def _grow(table):
    """Branches by frame, outermost first, with what they hold."""
    root = _Branch()
    for (index, _), total in table.live_sums().items():
        stack = [] if index < C['SITE_FIRST'] else table.stack(index)
        path = list(reversed(stack))[:TREE_DEPTH] or [
            -(index or C['SITE_NO_PYTHON'])]
        branch = root
        branch.bytes += total.bytes
        branch.samples += total.samples
        for frame in path:
            branch = branch.children.setdefault(frame, _Branch())
            branch.bytes += total.bytes
            branch.samples += total.samples
    return root


def tree(table, limit):
    """Who called whom, outermost first; `limit` lines at most (0: all)."""
    root = _grow(table)
    lines = []
    branches = [(root, 0, 'all')]
    while branches:
        if limit and len(lines) == limit:
            lines.append('… more below (pyattach tree 0 shows all)')
            break
        branch, depth, label = branches.pop()
        lines.append('%10s  %5s  %s%s' % (
            text.human_bytes(branch.bytes), text.human_share(
                branch.bytes / root.bytes if root.bytes else 0),
            '  ' * min(depth, 30), label))
        children = sorted(branch.children.items(),
                          key=lambda item: item[1].bytes)
        for frame, child in children:
            if limit == 0 or child.bytes >= TREE_SHARE * root.bytes:
                branches.append((child, depth + 1, call_text(table.frame(frame))
                             if frame > 0 else FIXED_SITES.get(-frame, '?')))
    return lines

# SPDX-License-Identifier: MIT
"""What grew between two tables.

In two tables of one process a sample that is in both cancels exactly: only
what came and what went counts, and makes the interval.
"""
import math

from . import text
from .decode import FIXED_SITES
from .estimate import Sum, Z, difference, weigh
from .layout import CONSTANTS as C
from .views import aligned, call_text


def same_process(old, new):
    return all(old.fields[k] == new.fields[k] for k in (
        'pid', 'start_time', 'boot_id', 'attach_generation'))


def _by_line(table, wanted):
    """{(special, file, function, line): Sum} of the samples in a set of ids;
    None: all."""
    rows = {}
    for s in table.samples():
        if wanted is not None and s.id not in wanted:
            continue
        stack = table.stack(s.site) if s.site >= C['SITE_FIRST'] else []
        if stack:
            key = (0,) + table.frame(stack[0])[:3]
        else:
            key = (s.site or C['SITE_NO_PYTHON'], b'', b'', 0)
            if key[0] >= C['SITE_FIRST']:
                key = (C['SITE_NO_PYTHON'],) + key[1:]
        rows.setdefault(key, Sum()).add_samples(1, weigh(s.size, s.rate))
    return rows


def diff_rows(old, new):
    """(matched, [(key, (estimate, low, high), objects, significant)])."""
    matched = same_process(old, new)
    came_ids = went_ids = None
    if matched:
        before = {s.id for s in old.samples()}
        after = {s.id for s in new.samples()}
        came_ids, went_ids = after - before, before - after
    came, went = _by_line(new, came_ids), _by_line(old, went_ids)
    rows = []
    for key in set(came) | set(went):
        plus, minus = came.get(key, Sum()), went.get(key, Sum())
        bytes_, significant = difference(plus, minus)
        half = Z * math.sqrt(
            plus.objects_variance + minus.objects_variance)
        delta = plus.objects - minus.objects
        rows.append((key, bytes_, (delta, delta - half, delta + half),
                     significant))
    rows.sort(key=lambda row: (-row[1][0], row[0]))
    return matched, rows


def signed(value):
    return ('-' if value < 0 else '+') + text.human_bytes(abs(value))


def diff(matched, rows, limit):
    lines = ['Same process: samples are matched one by one.' if matched else
             'Two processes: nothing cancels, the intervals are wide.']
    if not rows:
        return lines + ['Nothing differs.']
    cells = []
    for (special, file, function, line), (delta, low, high), _o, sure in \
            rows[:limit or None]:
        where = FIXED_SITES.get(special) or call_text(
            (file, function, line, 0))
        cells.append((signed(delta), '%s … %s' % (signed(low), signed(high)),
                      'yes' if sure else 'no', where))
    lines += aligned(cells, ('growth', '95 % interval', 'sure', 'where'))
    if limit and len(rows) > limit:
        lines.append(text.several(len(rows) - limit, 'more line'))
    return lines

# SPDX-License-Identifier: MIT
"""What people read: tables as lists of lines; nothing here prints.

Names are hostile until text.safe() has made them printable.
"""
import math

from . import layout, text
from .decode import FIXED_SITES
from .estimate import Sum, probability
from .layout import CONSTANTS as C
from .report import DOMAIN_WORDS, Report, python_text

ODDS = (64, 4096, 512 << 10, 8 << 20)
WHERE_WIDTH = 60
NAME_WIDTH = 40


# -- where

def names_text(function, file, line):
    """(function, file:line), printable and of bounded width."""
    name = text.cut_right(text.safe(text.json_text(function)) or '?',
                          NAME_WIDTH)
    place = '%s:%d' % (text.safe(text.json_text(file)), line)
    return name, text.cut_left(place, WHERE_WIDTH)


def call_text(call):
    return '%s    %s' % names_text(call[1], call[0], call[2])


def _where(report, row):
    special = FIXED_SITES.get(row.special)
    if report.group_by == 'thread':
        return 'thread %d' % row.number
    if report.group_by == 'domain':
        return special or DOMAIN_WORDS[row.number]
    if special:
        return special
    if report.group_by == 'traceback':
        return call_text(row.stack[0])
    if report.group_by == 'file':
        return text.cut_left(text.safe(text.json_text(row.file)),
                             WHERE_WIDTH)
    line = row.line if report.group_by == 'line' else row.first_line
    return names_text(row.function, row.file, line)


# -- tables

def aligned(rows, header, left=1):
    """Lines of a table; the last `left` columns are flush left, the others
    flush right."""
    rows = [header] + rows
    last = len(header) - left
    widths = [max(text.width(row[k]) for row in rows)
              for k in range(len(header))]
    lines = []
    for row in rows:
        cells = []
        for k, cell in enumerate(row):
            pad = ' ' * (widths[k] - text.width(cell))
            cells.append(cell + pad if k >= last else pad + cell)
        lines.append('  '.join(cells).rstrip())
    return lines


def head(report):
    """The lines above every table: whose it is, and what it explains."""
    table, fields = report.table, report.fields
    uptime = table.uptime_ns()
    rate = 'every allocation' if fields['rate'] == 1 else \
        'one sample per %s' % text.human_bytes(fields['rate'])
    lines = ['pid %d, Python %s: %s from attach to the last sample, %s' % (
        fields['pid'], python_text(fields['python_version']),
        text.human_time(uptime), rate)]
    if fields['rate_effective'] != fields['rate']:
        lines[0] += ', thinned to one per %s' % text.human_bytes(
            fields['rate_effective'])
    total, low, high = report.bytes(report.total)
    what = {'live': 'Allocated since and still held',
            'allocated': 'Allocated since'}[report.of]
    lines.append('RSS was %s at attach. %s: %s (%s, 95 %%), from %s.'
                 % (text.human_bytes(fields['rss_at_attach']), what,
                    text.human_bytes(total), text.human_range(low, high),
                    text.several(report.total.samples, 'sample')))
    return lines


def top(report):
    rows, marked = [], []
    for row in report.shown:
        total, low, high = report.bytes(row.sum)
        where = _where(report, row)
        place = ''
        if isinstance(where, tuple):
            where, place = where
        marked.append(where)
        rows.append((text.human_bytes(total), text.human_range(low, high),
                     text.human_share(report.share(row.sum)),
                     text.human_count(row.sum.objects), where, place))
    lines = head(report) + ['']
    lines += aligned(rows, (report.of, '95 % interval', 'share', 'objects',
                            'where', ''), 2)
    hidden = len(report.rows) - len(report.shown)
    ending = '%d more %s hold%s %s. ' % (
        hidden, 'row' if hidden == 1 else 'rows', 's' if hidden == 1 else '',
        text.human_bytes(report.rest.bytes)) if hidden else ''
    lines.append(ending + _requested(report))
    return lines


def _requested(report):
    """What was asked for since the attach: exactly, or by estimate."""
    total, calls, unsure = report.table.requested()
    estimated = report.estimated()
    if unsure is None:
        return 'Requested since attach: about %s in %s calls, by estimate%s.' \
            % (text.human_bytes(estimated.bytes),
               text.human_count(estimated.objects),
               '; exactly ' + counted(report.table)
               if report.table.requested_age_ns() is not None else '')
    return ('Requested since attach: exactly %s in %s calls (estimate %s).'
            % (text.human_bytes(total), text.human_count(calls),
               text.human_bytes(estimated.bytes)))


def counted(table):
    """The exact totals of a memory, and when they were right: the payload
    brings them there every few seconds."""
    total, calls, _unsure = table.requested()
    age = table.requested_age_ns()
    return '%s in %s calls %s the last sample' % (
        text.human_bytes(total or 0), text.human_count(calls or 0),
        text.human_time(age) + ' before' if age else 'after')


def damage(table):
    """Lines that say what is wrong, or none."""
    lines = table.damage.lines()
    if table.damage:
        return ['DAMAGED: ' + line for line in lines]
    return ['Note: ' + line for line in lines]


def status(table, discovery, note):
    fields = table.fields
    lines = ['Trace table at 0x%x, found by %s, format %d.%d.' % (
        table.address, table.how, fields['major'], fields['minor'])]
    if note:
        lines.append('It was ' + note + '.' if note.startswith(
            ('detached', 'copied')) else 'Note: ' + note + '.')
    lines.append('Process %d, Python %s, payload %s, state %s, hooks %s.' % (
        fields['pid'], python_text(fields['python_version']),
        text.safe(text.json_text(table.text('payload_version'))) or '?',
        layout.STATES.get(fields['state'], '?'),
        layout.HOOKS.get(fields['hooks'], '?')))
    lines.append('Attached %s, last sample %s.' % (
        text.human_date(fields['attached_realtime_ns']),
        text.human_date(fields['heartbeat_realtime_ns'])
        if fields['heartbeat_realtime_ns'] else 'never'))
    lines.append('One sample per %s (asked for: %s); %d live, %d taken, '
                 '%d thinned, %d dropped.' % (
                     text.human_bytes(fields['rate_effective']),
                     text.human_bytes(fields['rate']),
                     fields['samples_live'], fields['samples_taken'],
                     fields['samples_thinned'], fields['dropped']))
    if table.requested_age_ns() is None:
        lines.append('Exact totals: their age is not known.')
    else:
        lines.append('Exact totals: %s.' % counted(table))
    lines.append('Memory of the payload: %s of %s.' % (
        text.human_bytes(fields['memory_used']),
        text.human_bytes(fields['memory_max'])))
    if not fields['coredump_filter'] & 1:
        lines.append('Bit 0 of coredump_filter was clear at attach: the '
                     'kernel does not dump the table of this process.')
    for candidate in discovery.candidates:
        if candidate.address != table.address:
            lines.append('Another table at 0x%x: state %s, process %d.' % (
                candidate.address, layout.STATES.get(
                    candidate.fields['state'], '?'), candidate.fields['pid']))
    for address, wrong in discovery.rejected[:8]:
        lines.append('Not used: 0x%x, %s.' % (address, wrong))
    return lines + damage(table)


# -- one address

def age_text(table, sample):
    now = table.now_ns()
    return text.human_time(now - sample.birth_ns) if now > sample.birth_ns \
        else '0 s'


def site_text(table, site):
    """The innermost line of a site."""
    if site in FIXED_SITES:
        return FIXED_SITES[site]
    stack = table.stack(site)
    return call_text(table.frame(stack[0])) if stack else \
        FIXED_SITES[C['SITE_NO_PYTHON']]


def find_at(table, address):
    """The live sample that covers an address, or None."""
    for sample in table.samples():
        if sample.covers(address):
            return sample
    return None


def percent(value):
    """A probability: two digits that matter, never 100 % unless it is."""
    value *= 100
    if value >= 99.995:
        return '100 %'
    digits = max(0, 1 - math.floor(math.log10(value))) if value > 0 else 0
    return '%.*f %%' % (min(digits, 6), value)


def at(table, address, size=None):
    sample = find_at(table, address)
    if sample:
        lines = ['0x%x is in a sampled block: 0x%x, %d bytes, offset %d' % (
            address, sample.address, sample.size, address - sample.address),
            'allocated %s before the last sample by thread %d (%s), sample '
            '%d, site %d:' % (age_text(table, sample), sample.thread,
                              DOMAIN_WORDS[sample.domain], sample.id,
                              sample.site)]
        return lines + stack_lines(table, sample.site)
    rate = max(1, table.fields['rate_effective'])
    lines = ['0x%x is in no sampled block. That does not say that nothing is '
             'there:' % address]
    for k in (size,) if size is not None else ODDS:
        lines.append('  a block of %s is sampled with probability %s' % (
            text.human_bytes(k), percent(probability(k, rate))))
    return lines


def stack_lines(table, site):
    if site in FIXED_SITES:
        return ['  ' + FIXED_SITES[site]]
    stack = [table.frame(x) for x in table.stack(site)]
    if not stack:
        return ['  ' + FIXED_SITES[C['SITE_NO_PYTHON']]]
    return ['  ' + call_text(call) for call in stack]


# -- sites

def find_sites(table, words):
    """Indexes of sites: by number, or FILE:LINE of the innermost frame."""
    if words.isdigit():
        index = int(words)
        return [index] if 0 < index < len(table.sites()) else []
    place, _, line = words.rpartition(':')
    if not place or not line.isdigit():
        return []
    found = []
    wanted = place.encode('utf-8', 'surrogateescape')
    for index in range(C['SITE_FIRST'], len(table.sites())):
        stack = table.stack(index)
        if not stack:
            continue
        file, _function, number, _first = table.frame(stack[0])
        if number == int(line) and (file == wanted or
                                    file.endswith(b'/' + wanted)):
            found.append(index)
    return found


def site(table, indexes, limit):
    """Each site: what it holds and what it ever took, and its stack."""
    live, allocated = table.live_sums(), table.allocated_sums()
    report = Report(table, limit=1)
    indexes = sorted(indexes, key=lambda k: -live.get((k, 0), Sum()).bytes)
    lines = []
    for index in indexes[:limit or None]:
        held = live.get((index, 0), Sum())
        taken = allocated.get((index, 0), Sum())
        fields = table.site(index)
        lines += ['site %d (%s): holds %s (%s) in %s objects, %s' % (
            index, DOMAIN_WORDS[fields['domain']] if fields['domain'] < 3
            else '?', text.human_bytes(held.bytes),
            text.human_range(*report.bytes(held)[1:]),
            text.human_count(held.objects),
            text.several(held.samples, 'sample')),
            '  allocated since attach %s, largest %s' % (
                text.human_bytes(taken.bytes),
                text.human_bytes(fields['peak_bytes']))]
        lines += stack_lines(table, index)
    if limit and len(indexes) > limit:
        lines.append(text.several(len(indexes) - limit, 'more site'))
    return lines


# -- the list

def listing(table, limit, larger=0, older_ns=0):
    """Live samples, the largest first."""
    now = table.now_ns()
    found = [s for s in table.samples() if s.size >= larger
             and max(0, now - s.birth_ns) >= older_ns]
    if not found:
        return ['No live sample is so large and so old.' if larger or older_ns
                else 'There is no live sample.']
    found.sort(key=lambda s: (-s.size, s.id))
    rows = [('0x%x' % s.address, text.human_bytes(s.size),
             age_text(table, s), str(s.thread), DOMAIN_WORDS[s.domain],
             site_text(table, s.site)) for s in found[:limit or None]]
    lines = aligned(rows, ('address', 'size', 'age', 'thread', 'domain',
                           'where'))
    if limit and len(found) > limit:
        lines.append(text.several(len(found) - limit, 'more sample'))
    return lines

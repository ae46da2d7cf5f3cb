# SPDX-License-Identifier: MIT
"""What people and programs read: tables, and the JSON objects of the tool.

The JSON is that of the command pyattach-sample, key by key (report/1,
status/1, diff/1).  Functions return lists of lines or plain objects; nothing
here prints.  Names are hostile until text.safe() or text.json_text().
"""
import json
import math

from . import layout, text
from .decode import FIXED_SITES
from .estimate import Sum, difference, probability
from .layout import CONSTANTS as C
from .report import DOMAIN_WORDS, Report, python_text

SCHEMA = 'pyattach-sample/%s/1'
ODDS = (64, 4096, 512 << 10, 8 << 20)
TREE_SHARE = 0.005      # branches below are not shown
TREE_DEPTH = 40
WHERE_WIDTH = 60


# -- JSON

def dumps(value):
    """One object on one line, never NaN."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False,
                      separators=(',', ':'))


def _estimate(values):
    return dict(zip(('estimate', 'low', 'high'), values))


def _name(name):
    return text.json_text(name) if name else None


def _call(call):
    file, function, line, _first = call
    return {'file': _name(file), 'line': line or None,
            'function': _name(function)}


def _where_json(report, row):
    """The keys that say what a row stands for."""
    by = report.group_by
    special = FIXED_SITES.get(row.special)
    if by == 'thread':
        return {'thread': row.number or None}
    if by == 'domain':
        return {'domain': special or DOMAIN_WORDS[row.number]}
    if by == 'traceback':
        return {'stack': [{'file': special, 'line': None,
                           'function': special}] if special else
                [_call(call) for call in row.stack]}
    value = {'file': special or _name(row.file)}
    if by == 'line':
        value['line'] = row.line or None
    if by == 'function':
        value['first_line'] = row.first_line or None
    if by != 'file':
        value['function'] = special or _name(row.function)
    return value


def _row_json(report, row):
    value = _where_json(report, row)
    value['bytes'] = _estimate(report.bytes(row.sum))
    value['objects'] = _estimate(report.objects(row.sum))
    value['samples'] = row.sum.samples
    value['share'] = report.share(row.sum)
    if report.of == 'live':
        value['age_ns'] = row.age_ns()
        value['oldest_ns'] = row.sum.oldest_ns
    return value


def _requested(fields):
    return {'bytes': fields['requested_bytes'],
            'calls': fields['requested_calls'],
            'uncounted_max': fields['uncounted_max']}


def time_of(table):
    """CLOCK_REALTIME of the table: a core carries none, so it is that of
    the last sample."""
    fields = table.fields
    if table.snapshot:
        return fields['snapshot_realtime_ns']
    return fields['heartbeat_realtime_ns'] or fields['attached_realtime_ns']


def uptime_of(table):
    """From the attach to the time of the table, in ns."""
    return max(0, table.now_ns() - table.fields['attached_monotonic_ns'])


def _estimated(report):
    total = report.estimated()
    return {'bytes': _estimate(report.bytes(total)),
            'calls': _estimate(report.objects(total))}


def _process(report):
    fields = report.fields
    rss = fields['rss'] if report.table.snapshot else 0
    return {'rss': rss or None,
            'rss_at_attach': fields['rss_at_attach'] or None,
            'unexplained': int(max(0, rss - report.all_live.bytes))
            if rss else None}


def report_json(report):
    """The report/1 object."""
    table, fields = report.table, report.fields
    damage = table.damage.counts
    return {
        'schema': SCHEMA % 'report', 'source': table.memory.kind,
        'sources': 1, 'pid': fields['pid'] or None,
        'python': python_text(fields['python_version']), 'title': None,
        'time_ns': time_of(table) or None,
        'attached_at_ns': fields['attached_realtime_ns'] or None,
        'uptime_ns': uptime_of(table), 'rate': fields['rate'] or None,
        'effective_rate': fields['rate_effective'] or None,
        'group_by': report.group_by, 'of': report.of, 'sort': report.sort,
        'requested': _requested(fields), 'estimated': _estimated(report),
        'process': _process(report),
        'totals': {'bytes': _estimate(report.bytes(report.total)),
                   'objects': _estimate(report.objects(report.total)),
                   'samples': report.total.samples},
        'rest': {'rows': len(report.rows) - len(report.shown),
                 'bytes': report.rest.bytes,
                 'samples': report.rest.samples},
        'damage': {'torn': damage.get('in-flight', 0),
                   'damaged': damage.get('bad-records', 0)
                   + damage.get('missing', 0),
                   'dropped': fields['dropped']},
        'rows': [_row_json(report, row) for row in report.shown]}


def status_json(table):
    """The status/1 object; what a dead process cannot say is null."""
    fields = table.fields
    report = Report(table, limit=1)
    flags = fields['flags']
    return {
        'schema': SCHEMA % 'status', 'pid': fields['pid'],
        'python': python_text(fields['python_version']),
        'payload_version': text.json_text(table.text('payload_version')),
        'rate': fields['rate'], 'effective_rate': fields['rate_effective'],
        'uptime_ns': uptime_of(table),
        'attached_at_ns': fields['attached_realtime_ns'],
        'hooks': layout.HOOKS.get(fields['hooks']),
        'stacks': 'off' if flags & C['FLAG_STACKS_OFF'] else 'verified'
        if flags & C['FLAG_STACKS_VERIFIED'] else None,
        'dropped': fields['dropped'],
        'samples': {'live': fields['samples_live'],
                    'taken': fields['samples_taken'],
                    'thinned': fields['samples_thinned']},
        'requested': _requested(fields),
        'estimated': _estimated(report),
        'memory': {'used': fields['memory_used'],
                   'limit': fields['memory_max']},
        'clients': None, 'refused_clients': fields['refused_clients'],
        'follow_fork': bool(flags & C['FLAG_FOLLOW_FORK'])}


# -- where

def call_text(call):
    file, function, line, _first = call
    name = text.safe(text.json_text(function))
    place = text.safe(text.json_text(file))
    return '%s    %s:%d' % (name or '?', place, line)


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
    file = text.safe(text.json_text(row.file))
    if report.group_by == 'file':
        return text.cut_left(file, WHERE_WIDTH)
    name = text.safe(text.json_text(row.function)) or '?'
    line = row.line if report.group_by == 'line' else row.first_line
    return name, text.cut_left('%s:%d' % (file, line), WHERE_WIDTH)


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
    uptime = uptime_of(table)
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
    lines.append('RSS was %s at attach. %s: %s (%s, 95 %%), from %d samples.'
                 % (text.human_bytes(fields['rss_at_attach']), what,
                    text.human_bytes(total), text.human_range(low, high),
                    report.total.samples))
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
    estimated = report.estimated()
    lines.append('%sRequested since attach: exactly %s in %s calls '
                 '(estimate %s).' % (
                     ending, text.human_bytes(report.fields[
                         'requested_bytes']),
                     text.human_count(report.fields['requested_calls']),
                     text.human_bytes(estimated.bytes)))
    return lines


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
        lines += ['site %d (%s): holds %s (%s) in %s objects, %d samples' % (
            index, DOMAIN_WORDS[fields['domain']] if fields['domain'] < 3
            else '?', text.human_bytes(held.bytes),
            text.human_range(*report.bytes(held)[1:]),
            text.human_count(held.objects), held.samples),
            '  allocated since attach %s, largest %s' % (
                text.human_bytes(taken.bytes),
                text.human_bytes(fields['peak_bytes']))]
        lines += stack_lines(table, index)
    if limit and len(indexes) > limit:
        lines.append('%d more sites' % (len(indexes) - limit))
    return lines


# -- the tree

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
    todo = [(root, 0, 'all')]
    while todo:
        if limit and len(lines) == limit:
            lines.append('… more below (pyattach tree 0 shows all)')
            break
        branch, depth, label = todo.pop()
        lines.append('%10s  %5s  %s%s' % (
            text.human_bytes(branch.bytes), text.human_share(
                branch.bytes / root.bytes if root.bytes else 0),
            '  ' * min(depth, 30), label))
        children = sorted(branch.children.items(),
                          key=lambda item: item[1].bytes)
        for frame, child in children:
            if limit == 0 or child.bytes >= TREE_SHARE * root.bytes:
                todo.append((child, depth + 1, call_text(table.frame(frame))
                             if frame > 0 else FIXED_SITES.get(-frame, '?')))
    return lines


# -- the list

def listing(table, limit, larger=0, older_ns=0):
    """Live samples, the largest first."""
    now = table.now_ns()
    found = [s for s in table.samples() if s.size >= larger
             and max(0, now - s.birth_ns) >= older_ns]
    found.sort(key=lambda s: (-s.size, s.id))
    rows = [('0x%x' % s.address, text.human_bytes(s.size),
             age_text(table, s), str(s.thread), DOMAIN_WORDS[s.domain],
             site_text(table, s.site)) for s in found[:limit or None]]
    lines = aligned(rows, ('address', 'size', 'age', 'thread', 'domain',
                           'where'))
    if limit and len(found) > limit:
        lines.append('%d more samples' % (len(found) - limit))
    return lines


# -- differences

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
        rows.setdefault(key, Sum()).add_sample(s.size, s.rate)
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
        half = 1.959963984540054 * math.sqrt(
            plus.objects_variance + minus.objects_variance)
        delta = plus.objects - minus.objects
        rows.append((key, bytes_, (delta, delta - half, delta + half),
                     significant))
    rows.sort(key=lambda row: (-row[1][0], row[0]))
    return matched, rows


def diff_json(matched, rows, limit):
    out = []
    for (special, file, function, line), bytes_, objects, sure in \
            rows[:limit or None]:
        name = FIXED_SITES.get(special)
        out.append({'file': name or text.json_text(file),
                    'line': None if name else line,
                    'function': None if name else text.json_text(function),
                    'bytes': _estimate(bytes_),
                    'objects': _estimate(objects), 'significant': sure})
    return {'schema': SCHEMA % 'diff', 'matched': matched, 'rows': out}


def signed(value):
    return ('-' if value < 0 else '+') + text.human_bytes(abs(value))


def diff(matched, rows, limit):
    lines = ['Same process: samples are matched one by one.' if matched else
             'Two processes: nothing cancels, the intervals are wide.']
    cells = []
    for (special, file, function, line), (delta, low, high), _o, sure in \
            rows[:limit or None]:
        where = FIXED_SITES.get(special) or call_text(
            (file, function, line, 0))
        cells.append((signed(delta), '%s … %s' % (signed(low), signed(high)),
                      'yes' if sure else 'no', where))
    lines += aligned(cells, ('growth', '95 % interval', 'sure', 'where'))
    if limit and len(rows) > limit:
        lines.append('%d more lines' % (len(rows) - limit))
    return lines

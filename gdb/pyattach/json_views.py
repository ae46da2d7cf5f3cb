# SPDX-License-Identifier: MIT
"""The JSON objects of the tool, key by key: report/1, status/1, diff/1.

As client/view_json.c writes them; what a dead process cannot say is null.
"""
import json
import math

from . import layout, text
from .decode import FIXED_SITES
from .layout import CONSTANTS as C
from .report import DOMAIN_WORDS, Report, python_text

COUNT_MAX = (1 << 63) - 1
SCHEMA = 'pyattach-sample/%s/1'


def _bounded(value):
    """Counts of a damaged table end where the tool's do, at 2^63 - 1."""
    if isinstance(value, dict):
        return {key: _bounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_bounded(part) for part in value]
    return COUNT_MAX if isinstance(value, int) and value > COUNT_MAX \
        else value


def dumps(value):
    """One object on one line, never NaN."""
    return json.dumps(_bounded(value), ensure_ascii=False, allow_nan=False,
                      separators=(',', ':'))


def _real(value):
    """With the 15 digits of the tool."""
    return float('%.15g' % value) if math.isfinite(value) else None


def _estimate(values):
    return dict(zip(('estimate', 'low', 'high'), map(_real, values)))


def _call(call):
    file, function, line, _first = call
    return {'file': text.json_text(file), 'line': line or None,
            'function': text.json_text(function)}


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
    value = {'file': special or text.json_text(row.file)}
    if by == 'line':
        value['line'] = row.line or None
    if by == 'function':
        value['first_line'] = row.first_line or None
    if by != 'file':
        value['function'] = special or text.json_text(row.function)
    return value


def _row_json(report, row):
    value = _where_json(report, row)
    value['bytes'] = _estimate(report.bytes(row.sum))
    value['objects'] = _estimate(report.objects(row.sum))
    value['samples'] = row.sum.samples
    value['share'] = _real(report.share(row.sum))
    if report.of == 'live':
        value['age_ns'] = row.age_ns()
        value['oldest_ns'] = row.sum.oldest_ns
    return value


def _requested(table):
    return dict(zip(('bytes', 'calls', 'uncounted_max'), table.requested()),
                age_ns=table.requested_age_ns())


def time_of(table):
    """CLOCK_REALTIME of the table: a core carries none, so it is that of
    the last sample."""
    fields = table.fields
    if table.snapshot:
        return fields['snapshot_realtime_ns']
    return fields['heartbeat_realtime_ns'] or fields['attached_realtime_ns']


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
    return {
        'schema': SCHEMA % 'report', 'source': table.memory.kind,
        'sources': 1, 'pid': fields['pid'] or None,
        'python': python_text(fields['python_version']), 'title': None,
        'time_ns': time_of(table) or None,
        'attached_at_ns': fields['attached_realtime_ns'] or None,
        'uptime_ns': table.uptime_ns(), 'rate': fields['rate'] or None,
        'effective_rate': fields['rate_effective'] or None,
        'group_by': report.group_by, 'of': report.of, 'sort': report.sort,
        'requested': _requested(table), 'estimated': _estimated(report),
        'process': _process(report),
        'totals': {'bytes': _estimate(report.bytes(report.total)),
                   'objects': _estimate(report.objects(report.total)),
                   'samples': report.total.samples},
        'rest': {'rows': len(report.rows) - len(report.shown),
                 'bytes': _estimate(report.bytes(report.rest)),
                 'samples': report.rest.samples},
        'damage': dict(table.damage.totals(), dropped=fields['dropped']),
        'rows': [_row_json(report, row) for row in report.shown]}


def _stacks(flags):
    return 'off' if flags & C['FLAG_STACKS_OFF'] else 'verified' \
        if flags & C['FLAG_STACKS_VERIFIED'] else None


def status_json(table):
    """The status/1 object; what a dead process cannot say is null."""
    fields = table.fields
    report = Report(table, limit=1)
    report.rate_max = fields['rate_effective']      # as client/cmd_status.c
    flags = fields['flags']
    value = {
        'schema': SCHEMA % 'status', 'pid': fields['pid'],
        'python': python_text(fields['python_version']),
        'payload_version': text.json_text(table.text('payload_version')),
        'rate': fields['rate'], 'effective_rate': fields['rate_effective'],
        'uptime_ns': table.uptime_ns(),
        'attached_at_ns': fields['attached_realtime_ns'] or None,
        'hooks': layout.HOOKS.get(fields['hooks']),
        'stacks': _stacks(flags), 'dropped': fields['dropped'],
        'samples': {word: fields['samples_' + word] for word in (
            'live', 'taken', 'thinned', 'freed')},
        'requested': _requested(table), 'estimated': _estimated(report),
        'memory': {'used': fields['memory_used'],
                   'limit': fields['memory_max']},
        'frames': fields['frames_max'], 'rss': None,
        'rss_at_attach': fields['rss_at_attach'] or None,
        'follow_fork': bool(flags & C['FLAG_FOLLOW_FORK']),
        'clients': None, 'socket': None}
    for name in ('sites_evicted', 'stacks_full', 'rebuilds', 'gil_wait_ns',
                 'refused_clients'):
        value[name] = fields[name]
    return value


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

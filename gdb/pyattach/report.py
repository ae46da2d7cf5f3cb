# SPDX-License-Identifier: MIT
"""Rows and totals of a table, ready for any view: as client/model.c.

Grouping, order and intervals happen here and nowhere else.  Names stay bytes
until a view shows them.
"""
from .decode import FIXED_SITES
from .estimate import Sum, bytes_interval, objects_interval
from .layout import CONSTANTS as C, SITE

GROUPS = ('line', 'function', 'file', 'traceback', 'thread', 'domain')
SORTS = ('bytes', 'objects', 'samples', 'age')
DOMAIN_WORDS = ('raw', 'mem', 'obj')
LEVELS = {0xa: 'a', 0xb: 'b', 0xc: 'rc'}


def python_text(version):
    """PY_VERSION_HEX as 3.13.0 or 3.14.0rc1."""
    text = '%d.%d.%d' % (version >> 24, version >> 16 & 255,
                         version >> 8 & 255)
    level = version >> 4 & 15
    return text if level == 15 else '%s%s%d' % (text, LEVELS.get(level, '?'),
                                                version & 15)


class Row:
    """What a row stands for, and its figures."""

    def __init__(self):
        self.special = 0        # a fixed site, or 0
        self.file = self.function = b''
        self.line = self.first_line = self.number = 0
        self.stack = ()         # of calls, innermost first, by traceback
        self.sum = Sum()

    def age_ns(self):
        return self.sum.age_ns()

    def order(self):
        """What decides between rows that are equal otherwise."""
        return self.file, self.line, self.function, self.number, self.stack


class Report:
    """The rows of one table."""

    def __init__(self, table, group_by='line', of='live', sort='bytes',
                 limit=20):
        self.table = table
        self.group_by, self.of, self.sort = group_by, of, sort
        self.fields = fields = table.fields
        self._rows, self._keys = {}, {}
        table.sites()           # finds the damage, also where no row needs it
        by = group_by if group_by in ('thread', 'domain') else 'site'
        live = table.live_sums(by)
        self.all_live = Sum()
        for total in live.values():
            self.all_live.add(total)
        self.rate_max = max(fields['rate_effective'], table.rate_max)
        for key, total in (live if of == 'live' else
                           table.allocated_sums()).items():
            self._row(*key).sum.add(total)
        self.total = Sum()
        for row in self._rows.values():
            self.total.add(row.sum)
        self.rows = sorted(self._rows.values(), key=self._order(sort))
        self.shown = self.rows[:limit] if limit else self.rows
        self.rest = Sum()
        for row in self.rows[len(self.shown):]:
            self.rest.add(row.sum)

    @staticmethod
    def _order(sort):
        def key(row):
            first = {'bytes': 0, 'objects': row.sum.objects,
                     'samples': row.sum.samples, 'age': row.age_ns()}[sort]
            return (-first, -row.sum.bytes) + row.order()
        return key

    def _special(self, site):
        """Which fixed site this one counts as, 0 for a real one."""
        if site == C['SITE_NONE']:
            return C['SITE_NO_PYTHON']
        if site < C['SITE_FIRST']:
            return site
        sites = self.table.sites()
        node = sites[site][SITE.names.index('node')]
        return 0 if node else C['SITE_NO_PYTHON']

    def _row(self, site, number):
        """The row that a site belongs to, made if need be."""
        if self.group_by == 'thread':
            key = number,
        elif self.group_by == 'domain':
            key = self._domain_key(site, number)
        else:
            if site not in self._keys:
                self._keys[site] = self._key(site)
            key = self._keys[site]
        if key not in self._rows:
            row = self._rows[key] = Row()
            self._fill(row, key)
        return self._rows[key]

    def _domain_key(self, site, number):
        if self.of == 'live':
            return number, 0
        special = self._special(site) if site < C['SITE_FIRST'] else 0
        return self.table.site(site)['domain'], special

    def _key(self, site):
        special = self._special(site)
        stack = [] if special else self.table.stack(site)
        if special:
            return special,
        if self.group_by == 'traceback':
            return 0, tuple(self.table.frame(x) for x in stack)
        file, function, line, first = self.table.frame(stack[0])
        return {'line': (0, file, function, line),
                'function': (0, file, function, first),
                'file': (0, file)}[self.group_by]

    def _fill(self, row, key):
        if self.group_by == 'thread':
            row.number, = key
        elif self.group_by == 'domain':
            row.number, row.special = key
        elif key[0]:
            row.special = key[0]
        elif self.group_by == 'traceback':
            row.stack = key[1]
        elif self.group_by == 'file':
            row.file = key[1]
        elif self.group_by == 'line':
            row.file, row.function, row.line = key[1:]
        else:
            row.file, row.function, row.first_line = key[1:]

    # -- figures

    def bytes(self, total):
        return bytes_interval(total, self.rate_max)

    def objects(self, total):
        return objects_interval(total, self.rate_max)

    def share(self, total):
        return total.bytes / self.total.bytes if self.total.bytes > 0 else 0.0

    def estimated(self):
        """The Sum of everything ever allocated, from the directory."""
        figures = [self.fields['estimated_' + name + part]
                   for name in ('bytes', 'objects')
                   for part in ('', '_variance', '_weight_max')]
        return Sum.of(self.fields['samples_taken'], [
            value if 0 <= value < float('inf') else 0.0 for value in figures])

    def special_name(self, row):
        return FIXED_SITES.get(row.special)

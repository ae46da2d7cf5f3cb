# SPDX-License-Identifier: MIT
"""The gdb commands: the only module that imports gdb.

Thin on purpose: words in, views out.  Anything that a user can cause becomes
gdb.GdbError, never a traceback.  A core on this machine is read from its file
and not through gdb, which gives zeros for what was not dumped.
"""
import os
import re
import time

import gdb

from . import (decode, diff, discover, files, json_views, memory, report,
               save, text, tree, views)
from .words import (FORMATS, SIZES, TIMES, Misuse, candidates, number_of,
                    rows_of, split)

MASK = (1 << 64) - 1


class GdbMemory(memory._Salvage):
    """A live process, or a core that this machine has no file of: through
    gdb, which cannot tell what was not dumped from zeros."""

    def __init__(self, inferior, kind):
        self.inferior = inferior
        self.kind = kind
        self.pid = inferior.pid or None
        self.files = []

    def read(self, address, size):
        try:
            return bytes(self.inferior.read_memory(address, size))
        except (gdb.MemoryError, OverflowError):
            raise memory.Loss(address, memory.UNMAPPED)

    def segments(self):
        lines = ''
        for command in ('info proc mappings', 'info files'):
            try:
                lines += gdb.execute(command, to_string=True)
            except gdb.error:
                pass
        found = set()
        for start, end in re.findall(
                r'^\s*(0x[0-9a-f]+)(?: -)?\s+(0x[0-9a-f]+)\s', lines, re.M):
            start, end = int(start, 16), int(end, 16)
            if start < end:
                found.add((start, end - start, end - start))
        return sorted(found)


# -- the table of the current inferior

class _Session:
    """Keeps decoded tables until what they were read from may change."""

    def __init__(self):
        self._tables = {}
        self._cores = {}

    def forget(self, _event=None):
        self._tables.clear()

    def core_path(self):
        """The core file of the current inferior, or None."""
        corefile = getattr(gdb.selected_inferior(), 'corefile', None)
        if corefile is not None:
            return corefile.filename
        try:
            files = gdb.execute('info files', to_string=True)
        except gdb.error:
            return None
        if 'Using the running image' in files:
            return None
        match = re.search(r"Local core dump file:\s*`(.*?)', file type", files,
                          re.S)
        return match.group(1) if match else None

    def memory(self):
        inferior = gdb.selected_inferior()
        path = self.core_path()
        if path is None:
            if not inferior.pid:
                raise gdb.GdbError('No process and no core: give one with '
                                   '`core-file FILE\' or `attach PID\'.')
            return GdbMemory(inferior, 'live')
        try:
            state = os.stat(path)
            key = (path, state.st_mtime, state.st_size)
            if key not in self._cores:
                self._cores = {key: memory.ElfCoreMemory(path)}
            return self._cores[key]
        except (OSError, ValueError, memory.NotAMemory):
            return GdbMemory(inferior, 'core')

    def table(self, full=False):
        """(table, discovery) or GdbError."""
        address = ADDRESS.number()
        source = self.memory()
        key = (gdb.selected_inferior().num, source.pid,
               source if hasattr(source, 'path') else None, address, full)
        if key not in self._tables:
            search = discover.Discovery(source, address, full)
            try:
                found = search.run()
                self._tables = {key: (decode.Table(source, found), search)}
            except discover.NoTable as none:
                raise gdb.GdbError('%s: %s' % (none.text, none.hint))
        return self._tables[key]


SESSION = _Session()


def clock(realtime_ns):
    return text.human_date(realtime_ns)


def usable(full=False):
    """The table, if it has samples at all; else why not."""
    table, _search = SESSION.table(full)
    fields = table.fields
    note = discover.note_of_state(fields, table.memory.pid, clock)
    if not table.holds_samples():
        raise gdb.GdbError('No samples: %s. See `info pyattach\'.'
                           % (note or 'the table is empty'))
    return table, note


def show(lines):
    for line in lines:
        gdb.write(line + '\n')


def warn(table, note):
    if note:
        show(['Note: ' + note + '.'])
    show(views.damage(table))


def address_of(word):
    try:
        return int(gdb.parse_and_eval(word)) & MASK
    except (gdb.error, TypeError, ValueError, OverflowError) as error:
        raise Misuse('%s is not an address: %s' % (text.safe(word), error))


def limit_of(plain, position=0):
    return rows_of(plain, position, LIMIT.value)


def the_file(plain, position, usage):
    if len(plain) != position + 1:
        raise Misuse('Usage: ' + usage)
    return plain[position]


# -- commands

class _Command(gdb.Command):
    """What they share: no repetition by Enter, no traceback, a quiet end
    at the pager's `q'."""

    name = None
    options = ()
    words = ()

    def __init__(self, kind=gdb.COMMAND_DATA):
        gdb.Command.__init__(self, self.name, kind)

    def invoke(self, argument, _from_tty):
        self.dont_repeat()
        try:
            self.run(*split(gdb.string_to_argv(argument or ''), self.options))
        except KeyboardInterrupt:
            gdb.write('Quit\n')
        except Misuse as misuse:
            raise gdb.GdbError(str(misuse))
        except (gdb.error, OSError, MemoryError) as error:
            raise gdb.GdbError(str(error) or type(error).__name__)

    def run(self, plain, given):
        """The words and the options of this command."""

    def complete(self, line, word):
        return candidates(line, word, self.options, self.words)


class Prefix(gdb.Command):
    """Read the trace table that pyattach-sample keeps in a Python process.
Usage: pyattach COMMAND

Works on a core file and on a live process, without symbols of Python.
Start with `info pyattach' and `pyattach top'."""

    def __init__(self):
        gdb.Command.__init__(self, 'pyattach', gdb.COMMAND_DATA,
                             gdb.COMPLETE_NONE, True)

    def invoke(self, argument, _from_tty):
        if argument:
            raise gdb.GdbError('Undefined pyattach command: "%s".  Try "help '
                               'pyattach".' % text.safe(argument))
        gdb.execute('help pyattach')


class Info(_Command):
    """Show where the trace table is, what it counts and whether it is whole.
Usage: info pyattach [-json] [-full]

-json  one status/1 object, as `pyattach-sample status --json' prints it
-full  look at every page of a core if the table is not found otherwise

Where there is no table it says why, and what to do."""

    name = 'info pyattach'
    options = ('-json', '-full')

    def __init__(self):
        _Command.__init__(self, gdb.COMMAND_STATUS)

    def run(self, plain, given):
        if plain:
            raise Misuse('Usage: info pyattach [-json] [-full]')
        table, search = SESSION.table('-full' in given)
        if '-json' in given:
            show([json_views.dumps(json_views.status_json(table))])
            return
        table.live_sums()       # finds the damage
        note = discover.note_of_state(table.fields, table.memory.pid, clock)
        show(views.status(table, search, note))


class Top(_Command):
    """Show the lines of Python that hold the most memory.
Usage: pyattach top [N] [-by GROUP] [-of live|allocated] [-sort KEY] [-json]

N      rows; 0 shows all; the default is `show pyattach limit'
-by    line, function, file, traceback, thread or domain
-of    live: still held; allocated: ever since the attach
-sort  bytes, objects, samples or age
-json  one report/1 object, as `pyattach-sample report --json' prints it"""

    name = 'pyattach top'
    options = ('-by', '-of', '-sort', '-json')

    def run(self, plain, given):
        if len(plain) > 1:
            raise Misuse('Usage: pyattach top [N] [-by GROUP] '
                               '[-of live|allocated] [-sort KEY] [-json]')
        table, note = usable()
        rows = make_report(table, given, limit_of(plain))
        if '-json' in given:
            show([json_views.dumps(json_views.report_json(rows))])
            return
        warn(table, note)
        show(views.top(rows))


def make_report(table, given, limit):
    if given.get('-of') == 'allocated':
        for option, word, why in (
                ('-by', 'thread', 'totals are not kept by thread'),
                ('-sort', 'age', 'what was freed has none')):
            if given.get(option) == word:
                raise Misuse('%s %s is for -of live: %s.' % (option, word,
                                                             why))
    return report.Report(table, given.get('-by', 'line'),
                         given.get('-of', 'live'),
                         given.get('-sort', 'bytes'), limit)


class Site(_Command):
    """Show what a site holds, and its stack.
Usage: pyattach site NUMBER|FILE:LINE

A site is a stack in one allocator domain.  FILE:LINE gives every site whose
innermost frame is there; FILE may be the end of the path."""

    name = 'pyattach site'

    def run(self, plain, _given):
        if len(plain) != 1:
            raise Misuse('Usage: pyattach site NUMBER|FILE:LINE')
        table, note = usable()
        found = views.find_sites(table, plain[0])
        if not found:
            raise Misuse('No site %s.  `pyattach top\' and `pyattach '
                               'list\' show some.' % text.safe(plain[0]))
        warn(table, note)
        show(views.site(table, found, LIMIT.value or 0))


class Tree(_Command):
    """Show what each caller holds, outermost frame first.
Usage: pyattach tree [N]

N lines; 0 shows every branch, else those below 0.5 % are left out."""

    name = 'pyattach tree'

    def run(self, plain, _given):
        table, note = usable()
        limit = limit_of(plain)
        table.live_sums()
        warn(table, note)
        show(tree.tree(table, limit))


class List(_Command):
    """List live samples, the largest first.
Usage: pyattach list [N] [-larger SIZE] [-older TIME]

SIZE is a number with k, M or G; TIME one with s, m, h or d."""

    name = 'pyattach list'
    options = ('-larger', '-older')

    def run(self, plain, given):
        limit = limit_of(plain)
        larger = number_of(given.get('-larger', '0'), SIZES, 'size')
        older = number_of(given.get('-older', '0'), TIMES, 'time')
        table, note = usable()
        warn(table, note)
        show(views.listing(table, limit, larger, older * 10**9))


class At(_Command):
    """Say which sampled allocation covers an address, its line and its age.
Usage: pyattach at ADDRESS [SIZE]

ADDRESS is an expression; quote one that has spaces.  Where no sample covers
it, the odds are shown that a block of SIZE (or of some sizes) would have been
sampled: most blocks are not."""

    name = 'pyattach at'

    def run(self, plain, _given):
        if len(plain) not in (1, 2):
            raise Misuse('Usage: pyattach at ADDRESS [SIZE]')
        address = address_of(plain[0])
        size = int(number_of(plain[1], SIZES, 'size')) if len(plain) == 2 \
            else None
        table, note = usable()
        warn(table, note)
        show(views.at(table, address, size))


class Diff(_Command):
    """Show what grew between another core or snapshot and this one.
Usage: pyattach diff FILE [N] [-json]

FILE is the older of the two.  Of one process, what is live in both cancels
exactly."""

    name = 'pyattach diff'
    options = ('-json',)

    def run(self, plain, given):
        if len(plain) not in (1, 2):
            raise Misuse('Usage: pyattach diff FILE [N] [-json]')
        table, note = usable()
        older = files.open_table(plain[0])
        limit = limit_of(plain, 1)
        matched, rows = diff.diff_rows(older, table)
        if '-json' in given:
            show([json_views.dumps(json_views.diff_json(matched, rows, limit))])
            return
        warn(older, '')
        warn(table, note)
        show(diff.diff(matched, rows, limit))


class Save(_Command):
    """Write the table as a snapshot file that pyattach-sample reads.
Usage: pyattach save FILE [-force]

The file is small and holds names, lines, sizes and addresses, but no
contents of the process's memory."""

    name = 'pyattach save'
    options = ('-force',)

    def run(self, plain, given):
        path = the_file(plain, 0, 'pyattach save FILE [-force]')
        table, note = usable()
        data = save.snapshot(table)
        files.write(path, data, '-force' in given)
        warn(table, note)
        show(['%s: %s, %s.' % (
            text.safe(path), text.human_bytes(len(data)), text.several(sum(
                total.samples for total in table.live_sums().values()),
                'sample'))])


class Export(_Command):
    """Write the report to a file.
Usage: pyattach export FORMAT FILE [-by GROUP] [-of live|allocated] [-force]

FORMAT is table or json.  All rows are written."""

    name = 'pyattach export'
    options = ('-by', '-of', '-force')
    words = FORMATS

    def run(self, plain, given):
        usage = 'pyattach export table|json FILE [-by GROUP] [-force]'
        path = the_file(plain, 1, usage)
        if plain[0] not in FORMATS:
            raise Misuse('%s is not a format: table or json.'
                               % text.safe(plain[0]))
        table, _note = usable()
        rows = make_report(table, given, 0)
        if plain[0] == 'json':
            data = json_views.dumps(json_views.report_json(rows)) + '\n'
        else:
            data = '\n'.join(views.damage(table) + views.top(rows)) + '\n'
        files.write(path, data.encode('utf-8', 'backslashreplace'),
                   '-force' in given)
        show(['%s: %s.' % (text.safe(path),
                           text.several(len(rows.shown), 'row'))])


class Check(_Command):
    """Check every part of the table, and say what is damaged.
Usage: pyattach check"""

    name = 'pyattach check'

    def run(self, plain, _given):
        if plain:
            raise Misuse('Usage: pyattach check')
        table, note = usable()
        start = time.time()
        totals = table.live_sums()
        table.allocated_sums()
        sites = len(table.sites())
        for index in range(sites):
            for frame in table.stack(index):
                table.frame(frame)
        if note:
            show(['Note: ' + note + '.'])
        show(['%d live samples, %d sites, %d frames, %d nodes, %s of strings:'
              ' %s (%.1f s).' % (
                  sum(t.samples for t in totals.values()), sites,
                  len(table.frames()), len(table.nodes()),
                  text.human_bytes(len(table.raw('STRINGS'))),
                  'damaged' if table.damage else 'whole',
                  time.time() - start)])
        show(views.damage(table))


# -- settings

def no_words(verb, argument):
    if argument:
        raise gdb.GdbError('Undefined %s pyattach command: "%s".  Try "help '
                           '%s pyattach".' % (verb, text.safe(argument),
                                              verb))


class _SetPrefix(gdb.Command):
    """Set how pyattach commands behave."""

    def __init__(self):
        gdb.Command.__init__(self, 'set pyattach', gdb.COMMAND_DATA,
                             gdb.COMPLETE_NONE, True)

    def invoke(self, argument, _from_tty):
        no_words('set', argument)
        gdb.execute('help set pyattach')


class _ShowPrefix(gdb.Command):
    """Show how pyattach commands behave."""

    def __init__(self):
        gdb.Command.__init__(self, 'show pyattach', gdb.COMMAND_DATA,
                             gdb.COMPLETE_NONE, True)

    def invoke(self, argument, _from_tty):
        no_words('show', argument)
        gdb.execute('show pyattach limit')
        gdb.execute('show pyattach address')


class Limit(gdb.Parameter):
    """How many rows pyattach commands show; 0 shows all."""

    set_doc = 'Set how many rows pyattach commands show.'
    show_doc = 'Show how many rows pyattach commands show.'

    def __init__(self):
        gdb.Parameter.__init__(self, 'pyattach limit', gdb.COMMAND_DATA,
                               gdb.PARAM_ZUINTEGER)
        self.value = 20         # only after __init__

    def get_set_string(self):
        return ''

    def get_show_string(self, value):
        return 'pyattach commands show %s rows.' % (
            'all' if value == '0' else value)


class Address(gdb.Parameter):
    """The address of the directory page: an expression; 0 or empty searches."""

    set_doc = 'Set the address of the trace table\'s directory page.'
    show_doc = 'Show the address of the trace table\'s directory page.'

    def __init__(self):
        self._number = 0
        gdb.Parameter.__init__(self, 'pyattach address', gdb.COMMAND_DATA,
                               gdb.PARAM_STRING_NOESCAPE)
        self.value = ''

    def number(self):
        return self._number

    def get_set_string(self):
        try:
            self._number = address_of(self.value) if self.value else 0
        except Misuse as misuse:
            self.value = hex(self._number) if self._number else ''
            raise gdb.GdbError(str(misuse))
        return ''

    def get_show_string(self, _value):
        return 'The trace table is %s.' % (
            'at 0x%x' % self._number if self._number else 'searched for')


# -- convenience functions

def argument_of(arguments, name):
    if len(arguments) != 1:
        raise gdb.GdbError('Usage: $%s (ADDRESS)' % name)
    try:
        return int(arguments[0]) & MASK
    except (gdb.error, TypeError, ValueError, OverflowError) as error:
        raise gdb.GdbError('$%s: not an address: %s' % (name, error))


def string_of(value):
    """A string that printf takes without a process to store it in: gdb
    before 14 does so with a convenience variable's only."""
    gdb.set_convenience_variable('_pyattach', value)
    return gdb.convenience_variable('_pyattach')


class AtFunction(gdb.Function):
    """$_pyattach_at (ADDRESS): the start of the sampled block that covers it.

0 where no sampled block does: most blocks are not sampled."""

    def __init__(self):
        gdb.Function.__init__(self, '_pyattach_at')

    def invoke(self, *arguments):
        address = argument_of(arguments, '_pyattach_at')
        table, _note = usable()
        sample = views.find_at(table, address)
        return sample.address if sample else 0


class SiteFunction(gdb.Function):
    """$_pyattach_site (ADDRESS): the line that allocated the block there.

"<not sampled>" where no sampled block covers the address."""

    def __init__(self):
        gdb.Function.__init__(self, '_pyattach_site')

    def invoke(self, *arguments):
        address = argument_of(arguments, '_pyattach_site')
        table, _note = usable()
        sample = views.find_at(table, address)
        return string_of(views.site_text(table, sample.site) if sample
                         else '<not sampled>')


Prefix()
_SetPrefix()
_ShowPrefix()
LIMIT = Limit()
ADDRESS = Address()
for _class in (Info, Top, Site, Tree, List, At, Diff, Save, Export, Check,
               AtFunction, SiteFunction):
    _class()
for _name in ('cont', 'exited', 'stop', 'inferior_call', 'memory_changed'):
    getattr(gdb.events, _name).connect(SESSION.forget)

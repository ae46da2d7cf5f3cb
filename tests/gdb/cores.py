#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Cores made by hand: where the table is found, what is said where it is not,
and how much of a cut core is saved.  Every case also through the tool."""
import json
import os
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common                                             # noqa: E402
from common import PROGRAM, differences, program_works    # noqa: E402
from make_core import core, payload_page                  # noqa: E402
from make_image import synthetic                          # noqa: E402
from pyattach import (decode, discover, json_views, layout,  # noqa: E402
                      memory, report)
from pyattach.layout import CONSTANTS as C                # noqa: E402
from tap import done, ok, skip                            # noqa: E402

SLOT = C['SLOT_FIRST']
HEAP = (0x555500000000, b'h' * 8192)
STACK = (0x7ffffffde000, b's' * 8192)


def write(data, path='x.core'):
    with open(path, 'wb') as f:
        f.write(data)
    return path


def read(path, override=None, full=False):
    """(table, discovery) of a core, or the NoTable that was raised."""
    source = memory.ElfCoreMemory(path)
    search = discover.Discovery(source, override, full)
    try:
        return decode.Table(source, search.run()), search
    except discover.NoTable as none:
        return none, search


def rows_of(table):
    value = json_views.report_json(report.Report(table, limit=0))
    return {key: value[key] for key in ('rows', 'totals')}


def tool(path, *options):
    """(object or None, error word or '') of `core --json`."""
    return common.report_of_tool(path, *options, verb='core')


def the_image(seed=1, **fields):
    image = synthetic(200, 20, seed, freed=20)
    image.set(**fields)
    return image


# -- found

def found(name, data, how, truth, **options):
    path = write(data)
    table, _search = read(path, **options)
    good = isinstance(table, decode.Table)
    ok(good and table.how == how and rows_of(table) == truth
       and not table.damage.counts, 'found: ' + name,
       table if not good else (table.how, table.damage.counts))
    if program_works():
        words = ['--address', hex(options['override'])] \
            if 'override' in options else []
        words += ['--full'] if 'full' in options else []
        value, error = tool(path, *words)
        ok(value and not differences(
            {k: value[k] for k in truth}, json.loads(json.dumps(truth))),
           'the tool finds: ' + name, error)


def places():
    image = the_image()
    pieces = image.memory()
    write(core(pieces))
    truth = rows_of(read('x.core')[0])
    ok(truth['totals']['samples'] == 200, 'a plain core is read', truth)
    found('low slot', core([HEAP, STACK] + pieces), 'low slot', truth)
    found('segments in any order', core([STACK] + pieces[::-1] + [HEAP],
                                        sort=False), 'low slot', truth)
    found('number of segments in section 0', core(pieces + [HEAP],
                                                  xnum=True),
          'low slot', truth)
    found('section 0 cut off', core(pieces + [HEAP], xnum=True)[:-64],
          'low slot', truth)
    by_gdb = core(pieces + [HEAP], by_gdb=True)
    found('as gcore writes it', by_gdb, 'low slot', truth)
    by_gdb = core(pieces + [HEAP], by_gdb=True, xnum=True)
    found('as gcore writes it, section 0 cut off', by_gdb[:-64], 'low slot',
          truth)
    found('many segments', core(pieces + [(0x10000000 + k * 8192, b'x')
                                          for k in range(3000)]),
          'low slot', truth)
    for at, name in ((SLOT + 5 * C['SLOT_STEP'], 'the sixth slot'),):
        found(name, core(the_image(self=at).memory() + [HEAP]), 'low slot',
              truth)
    high = 0x7f1200000000
    found('start of a segment', core(the_image(self=high).memory()
                                     + [HEAP]), 'start of a segment', truth)
    notes(high, truth)
    merged(truth)


def notes(high, truth):
    """Neither at the start of a segment nor at 2 MiB: the note leads there."""
    inside = high + 0x5000
    pieces = the_image(self=inside).memory(0x7f2200000000)
    pieces[0] = (high, bytes(0x5000) + pieces[0][1])
    base = 0x7f3300000000
    anchor = base + 0x3000
    found('the note', core(pieces + [
        (base, payload_page(base, anchor)),
        (anchor, struct.pack('<q', inside))]), 'ELF note', truth)
    absent('every page is looked at on request only', core(pieces), 'never',
           'nothing was attached', 'no-table')
    found('what the user says', core(pieces), 'given', truth,
          override=inside)
    found('a full scan', core(pieces), 'full scan', truth, full=True)
    last_byte()


class Watched:
    """A map of a file that keeps where find() was told to end."""

    def __init__(self, of):
        self.of, self.ends = of, []

    def __getitem__(self, part):
        return self.of[part]

    def find(self, what, start, end):
        self.ends.append(end)
        return self.of.find(what, start, end)


def last_byte():
    """mmap.find() of 3.11.2, which gdb 13 embeds, looks at the byte behind
    the end it is given: behind the file there may be no memory at all."""
    source = memory.ElfCoreMemory(write(core([(0x7f1200000000, b'x' * 8192)])))
    watched = source._map = Watched(source._map)
    places = list(source.pages_with(C['IMAGE_MAGIC']))
    ok(watched.ends and max(watched.ends) < source.size and not places,
       'a full scan ends before the end of the file', watched.ends,
       source.size)


def merged(truth):
    """A neighbour below: 2 MiB steps find it."""
    at = 0x7f4400200000
    pieces = the_image(self=at).memory(0x7f5500000000)
    pieces[0] = (at - 0x3000, bytes(0x3000) + pieces[0][1])
    found('2 MiB probe', core(pieces), '2 MiB probe', truth)


def choice():
    """Of two tables the attached one, else the one of this pid."""
    old = the_image(2, state=C['STATE_DETACHED'])
    new = the_image(3, self=SLOT + C['SLOT_STEP'])
    write(core(old.memory(0x7f1100000000) + new.memory(0x7f2200000000)))
    table, search = read('x.core')
    ok(table.address == SLOT + C['SLOT_STEP'] and
       len(search.candidates) == 2, 'an attached table is preferred')
    other = the_image(4, pid=9)
    mine = the_image(5, self=SLOT + C['SLOT_STEP'], pid=4711)
    write(core(other.memory(0x7f1100000000) + mine.memory(0x7f2200000000)))
    table, _search = read('x.core')
    ok(table.fields['pid'] == 4711, 'the table of this pid is preferred')
    copy = the_image(6).memory()
    write(core([(0x7f7700000000, copy[0][1])] + copy[1:]))
    table, search = read('x.core')
    ok(isinstance(table, discover.NoTable) and table.why == 'damaged' and
       'copy' in table.text, 'a copy elsewhere is no directory', table)


# -- not found

def absent(name, data, why, words, error):
    path = write(data)
    none, _search = read(path)
    good = isinstance(none, discover.NoTable)
    ok(good and none.why == why and words in none.text + none.hint,
       'told apart: ' + name, none if not good else (none.why, none.text,
                                                     none.hint))
    if program_works():
        value, got = tool(path)
        ok(not value and got == error, 'the tool tells: ' + name, got)


def reasons():
    pieces = the_image().memory()
    absent('never attached', core([HEAP, STACK]), 'never',
           'nothing was attached to process 4711', 'no-table')
    absent('directory not dumped', core([(SLOT, b'', 4096), HEAP]),
           'not-dumped', 'coredump_filter', 'no-table')
    absent('no memory dumped', core([(HEAP[0], b'', 8192)]), 'not-dumped',
           'coredump_filter', 'no-table')
    absent('payload there, table not', core(
        [HEAP], files=[(0x7f3300000000, 0x7f3300001000, 0,
                        '/tmp/pyattach-payload.so (deleted)')]),
        'not-dumped', 'coredump_filter', 'no-table')
    for name in ('/tmp/.pyattach-0123456789abcdef0123456789abcdef.so',
                 '/memfd:pyattach (deleted)'):
        absent('the payload as ' + name, core([HEAP], files=[
            (0x7f3300000000, 0x7f3300001000, 0, name)]), 'not-dumped',
            'coredump_filter', 'no-table')
    absent('a file in a directory of that name', core([HEAP], files=[(
        0x7f3300000000, 0x7f3300001000, 0, '/srv/pyattach-sample/lib.so')]),
        'never', 'nothing was attached', 'no-table')
    absent('a sanitizer\'s shadow over the slots', core(
        [(0x8fff7000, b'', 0x20000000000), HEAP]), 'never',
        'nothing was attached', 'no-table')
    absent('other memory at a slot', core([(SLOT, bytes(1 << 20)), HEAP]),
           'never', 'nothing was attached', 'no-table')
    absent('zeros at the slot', core([(SLOT, bytes(4096)), HEAP]), 'damaged',
           'damaged', 'damaged')
    page = bytearray(pieces[0][1])
    page[60] ^= 1
    absent('a bit of the identity flipped',
           core([(SLOT, bytes(page))] + pieces[1:]), 'damaged', 'checksum',
           'damaged')
    future = the_image(major=2).memory()
    absent('a later format', core(future), 'damaged', 'format 2.',
           'future-image')
    data = core(pieces + [HEAP])
    absent('cut before the table', data[:4096 + 500], 'truncated', 'ulimit',
           'truncated')


def states():
    """What is told before the numbers, or instead of them."""
    clock = str
    gone = the_image(state=C['STATE_DETACHED'], detached_realtime_ns=77)
    write(core(gone.memory()[:1]))
    table, _search = read('x.core')
    note = discover.note_of_state(table.fields, 4711, clock)
    table.live_sums()
    ok(not table.regions and 'detached at 77' in note and not table.damage,
       'detached: no damage', note, table.damage.counts)
    fork = the_image(state=C['STATE_FORKED'], parent_pid=4700)
    write(core(fork.memory()))
    table, _search = read('x.core')
    note = discover.note_of_state(table.fields, 4711, clock)
    ok(table.regions and 'copied by fork' in note and '4700' in note,
       'copied by fork', note)
    write(core(the_image().memory(), pid=99))
    table, search = read('x.core')
    note = discover.note_of_state(table.fields, search.memory.pid, clock)
    ok('99' in note and '4711' in note, 'another pid is said', note)
    if program_works():
        write(core(gone.memory()[:1]))
        value, error = tool('x.core')
        ok(not value and error == 'no-table', 'the tool: detached', error)
        write(core(fork.memory()))
        value, error = tool('x.core')
        ok(value and value['rows'], 'the tool: copied by fork', error)


# -- damage

def parts_missing():
    """Regions that were not dumped are zeros, counted, never guessed."""
    pieces = the_image().memory()
    for index, name in enumerate(('directory', 'sites', 'strings', 'frames',
                                  'nodes', 'live')):
        if not index:
            continue
        holes = list(pieces)
        address, data = holes[index]
        holes[index] = (address, b'', len(data))
        write(core(holes))
        table, _search = read('x.core')
        table.live_sums()
        counts = dict(table.damage.counts)
        if name != 'live':
            table.sites()
            for k in range(len(table.sites())):
                table.stack(k)
            counts = dict(table.damage.counts)
        ok(counts.get('not-dumped', 0) > 0, '%s not dumped' % name, counts)
        if program_works():
            value, error = tool('x.core')
            ok(value and value['damage']['lost'] > 0, 'the tool: %s not '
               'dumped' % name, error or value['damage'])


def counted_once():
    """What the directory counts and is not there, whatever is asked."""
    image = the_image(samples_live=300)
    write(core(image.memory()))
    table, _search = read('x.core')
    for by in 'site', 'thread', 'domain', 'site':
        table.live_sums(by)
    ok(table.damage.counts == {'missing': 100}, 'missing records are counted '
       'once', table.damage.counts)


def in_flight():
    image = the_image()
    image.live[5]['seq'] = 3
    image.live[6]['check'] = 1
    write(core(image.memory()))
    table, _search = read('x.core')
    table.live_sums()
    ok(table.damage.counts == {'in-flight': 1, 'bad-records': 1},
       'records in flight and harmed are counted', table.damage.counts)
    if program_works():
        value, error = tool('x.core')
        ok(value and value['damage']['torn'] == 1 and
           value['damage']['damaged'] == 1, 'the tool counts them', error)
        wanted = rows_of(table)
        ok(not differences({k: value[k] for k in wanted}, json.loads(
            json.dumps(wanted))), 'and says the same of the others')


def cuts(data):
    """Where to cut: every MiB, every segment's edge, one byte either way."""
    source = memory.ElfCoreMemory(write(data))
    edges = set(range(0, len(data), 1 << 20)) | {64, 120, 4096}
    for start, _size, present in source.segments():
        place = next(source._spans(start, 1))[2]
        edges |= {place, place + present, place + 4096,
                  place + present // 2}
    source.close()
    return sorted({cut + d for cut in edges for d in (-1, 0, 1)
                   if 0 <= cut + d <= len(data)})


def truncation():
    """Never a traceback; what is saved grows with what is there."""
    data = core(synthetic(20000, 300, 7).memory() + [HEAP, STACK])
    saved, wrong, n = 0, [], 0
    for cut in cuts(data):
        path = write(data[:cut])
        n += 1
        try:
            table, _search = read(path)
            samples = sum(t.samples for t in table.live_sums().values()) \
                if isinstance(table, decode.Table) else 0
            if isinstance(table, decode.Table) and cut < len(data) - 16384 \
                    and not table.damage:
                wrong.append('%d: no damage seen' % cut)
        except memory.NotAMemory:
            samples = 0
        if samples < saved:
            wrong.append('%d: %d after %d' % (cut, samples, saved))
        saved = samples
        if program_works():
            value, error = tool(path)
            if (value['totals']['samples'] if value else 0) != samples or \
                    not value and error not in (
                        'no-table', 'damaged', 'truncated', 'not-an-image'):
                wrong.append('%d: the tool: %s' % (cut, error or value[
                    'totals']))
    ok(saved == 20000 and not wrong, '%d cuts: never a traceback, more is '
       'never less' % n, *wrong[:10])


def pipe(data, *options):
    """`core -` on a pipe that is fed with data: (object, error, bytes that
    were taken)."""
    mine, its = os.pipe()
    feeder = os.fork()
    if not feeder:
        os.close(mine)
        written = 0
        try:
            while written < len(data):
                written += os.write(its, data[written:written + 65536])
        except BrokenPipeError:
            pass
        with open('written', 'w') as f:
            f.write(str(written))
        os._exit(0)
    os.close(its)
    status, out, err = common.run([PROGRAM, 'core', '-', '--limit', '0',
                                   '--json'] + list(options), stdin=mine)
    os.close(mine)
    os.waitpid(feeder, 0)
    with open('written') as f:
        taken = int(f.read())
    if status == 0:
        return json.loads(out), '', taken
    try:
        return None, json.loads(err)['error'], taken
    except ValueError:
        return None, '%r %s' % (status, err), taken


def pipes():
    """A core from a pipe: the same answer, and no more read than needed."""
    image = synthetic(3000, 100, 8)
    big = (0x7f9000000000, bytes(64 << 20))
    data = core(image.memory(SLOT + (1 << 20)) + [HEAP, big])
    write(data)
    wanted, _error = tool('x.core')
    value, error, taken = pipe(data)
    if value:
        value['title'] = wanted['title']
    ok(value and not differences(value, wanted), 'a core from a pipe', error)
    ok(taken < 8 << 20, 'a pipe is read as far as the table: %d of %d bytes'
       % (taken, len(data)))
    value, error, _taken = pipe(data[:data.find(b'PYATTD') + 200000])
    ok(value and value['damage']['lost'] > 0 and
       0 < value['totals']['samples'] < 3000, 'a cut pipe gives what it has',
       error)
    high = the_image(self=0x7f8000000000).memory(0x7f7000000000)
    value, error, _taken = pipe(core(high + [HEAP]))
    ok(error == 'no-table', 'a table before its directory: said', error)
    value, error, _taken = pipe(core([HEAP, STACK]))
    ok(error == 'no-table', 'a pipe without a table', error)
    value, error, _taken = pipe(b'')
    ok(error == 'truncated', 'an empty pipe', error)
    for xnum in False, True:
        data = core(image.memory(SLOT + (1 << 20)) + [HEAP, big],
                    by_gdb=True, xnum=xnum)
        value, error, taken = pipe(data)
        if value:
            value['title'] = wanted['title']
        ok(value and not differences(value, wanted) and taken < 8 << 20,
           'as gcore writes it, notes last, from a pipe', error, taken)
    for words in ('--address', hex(SLOT)), ('--full',):
        _value, error, _taken = pipe(data, *words)
        ok(error == 'usage', words[0] + ' needs a file', error)
    os.mkfifo('fifo')
    status, _out, err = common.run([PROGRAM, 'core', 'fifo', '--timeout',
                                    '0.2s'], seconds=20)
    ok(status == 92, 'a pipe that nobody writes to', status, err)


def same_of_both(path, image):
    """Every grouping, order and format: the same of a core and its image."""
    wrong = []
    for words in [['--group-by', by] for by in report.GROUPS] + [
            ['--sort', 'objects'], ['--of', 'allocated'], ['--limit', '3'],
            ['--min-size', '1MiB'], ['--include', '*app*']]:
        for form in 'table', 'json', 'csv':
            a, b = (common.run([PROGRAM, verb, name, '--format', form]
                               + words)[:2]
                    for verb, name in (('core', path), ('report', image)))
            if a[0] or b[0] or (a[1].replace(path, image).replace(
                    '"source": "core"', '"source": "image"') != b[1]):
                wrong.append((words, form, a, b))
    ok(not wrong, 'the image says the same in all forms', *wrong[:2])


def extraction():
    """-o keeps the image; every reader says the same of it."""
    write(core(synthetic(500, 40, 2, hostile=True).memory() + [HEAP]))
    wanted, _error = tool('x.core')
    status, out, err = common.run([PROGRAM, 'core', 'x.core', '-o',
                                   'x.image'])
    ok(status == 0 and 'x.image' in out, 'core -o', err)
    value, error = common.report_of_tool('x.image')
    ok(value and not differences(value['rows'], wanted['rows']),
       'report of the kept image', error)
    value, error = common.report_of_tool('x.core')
    ok(value and value['source'] == 'core' and
       not differences(value, wanted), 'report FILE takes a core', error)
    status, _out, err = common.run([PROGRAM, 'core', 'x.core', '-o',
                                    'x.image'])
    ok(status == 94, 'nothing is overwritten', status, err)
    same_of_both('x.core', 'x.image')
    source = memory.FileImage.open('x.image')
    table = decode.Table(source, discover.open_snapshot(source))
    ok(not differences(json.loads(json.dumps(rows_of(table)['rows'])),
                       wanted['rows']), 'the decoder in Python reads it')


def cpu_seconds():
    """What we and our children used of processors: the machine may be busy."""
    return sum(os.times()[:4])


def sparse():
    """A core of 10 GiB with holes: fast, as nothing is scanned."""
    pieces = the_image(self=0x7f8000000000).memory(0x7f8100000000)
    data = bytearray(core(pieces + [(0x10000000, b'', 10 << 30)]))
    at = 64
    while struct.unpack_from('<I', data, at)[0] != 1 or \
            struct.unpack_from('<Q', data, at + 40)[0] != 10 << 30:
        at += 56
    end = (len(data) + 4095) // 4096 * 4096
    struct.pack_into('<Q', data, at + 8, end)
    struct.pack_into('<Q', data, at + 32, 10 << 30)
    write(bytes(data))
    os.truncate('x.core', end + (10 << 30))
    start = cpu_seconds()
    table, _search = read('x.core')
    seconds = cpu_seconds() - start
    ok(isinstance(table, decode.Table) and seconds < 1,
       'a sparse core of 10 GiB: %.3f s' % seconds, table)
    start = cpu_seconds()
    value, error = tool('x.core')
    seconds = cpu_seconds() - start
    ok(value and seconds < 1, 'the tool: %.3f s' % seconds, error)
    os.unlink('x.core')


def shrinks():
    """A core that is cut while it is read: said, never the end by a signal."""
    data = core(synthetic(60000, 50, 9).memory())
    statuses = {}
    for k in range(40):
        write(data)
        process = subprocess.Popen(
            [PROGRAM, 'core', 'x.core', '--json'], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        end = time.monotonic() + k * 0.0004     # another moment each time
        while time.monotonic() < end:
            pass
        os.truncate('x.core', 8192)
        out, err = process.communicate(timeout=60)
        status = process.returncode
        said = json.loads(err)['status'] if status else \
            json.loads(out)['schema']
        if said not in (status, 'pyattach-sample/report/1'):
            status = 'confused'
        statuses[status] = statuses.get(status, 0) + 1
    ok(set(statuses) <= {0, 91, 92}, 'a core that shrinks while it is read',
       statuses)
    print('# statuses %r' % statuses)


def not_cores():
    for name, data in (('empty', b''), ('short', b'\x7fELF'),
                       ('text', b'hello world ' * 100),
                       ('a program', open('/proc/self/exe', 'rb').read(9999)),
                       ('32 bit', b'\x7fELF\x01\x01' + bytes(200)),
                       ('a header of nonsense', core([HEAP])[:32] + b'\xff' *
                        64)):
        path = write(data)
        try:
            memory.ElfCoreMemory(path)
            good = False
        except (memory.NotAMemory, ValueError):
            good = True
        ok(good, 'refused: ' + name)
        if program_works():
            value, error = tool(path)
            ok(not value and error in ('not-an-image', 'truncated',
                                       'damaged'), 'the tool refuses: ' +
               name, error)


def golden():
    """Cores in the tree, and what they said when they were made."""
    here = os.path.dirname(os.path.abspath(__file__))
    for version in '1.0', '1.1':
        base = os.path.join(here, 'golden-' + version)
        source = memory.ElfCoreMemory(base + '.core')
        table = decode.Table(source, discover.Discovery(source).run())
        value = json.loads(json_views.dumps(json_views.report_json(
            report.Report(table, 'traceback', limit=0))))
        with open(base + '.json', encoding='utf-8') as f:
            wanted = json.load(f)
        found = differences(value, wanted)
        ok(not found, 'the core of %s says what it always said' % version,
           *found[:10])
        if not program_works():
            continue
        value, error = tool(base + '.core', '--group-by', 'traceback')
        found = value and differences(dict(value, title=None), wanted)
        ok(value and not found, 'the tool reads that of ' + version, error,
           found)


def main():
    where = common.scratch()
    os.chdir(where)
    assert layout.DIRECTORY.size < 4096
    golden()
    places()
    choice()
    reasons()
    states()
    parts_missing()
    in_flight()
    counted_once()
    not_cores()
    truncation()
    if program_works():
        extraction()
        pipes()
        sparse()
        shrinks()
    else:
        skip('the tool on the same cores', 'no program')
    done()


main()

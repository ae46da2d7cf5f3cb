#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The decoder in Python: its layout, its numbers, and that the decoder in C
says the same of the same images, field by field."""
import ast
import glob
import json
import math
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common                                             # noqa: E402
from common import PROGRAM, SOURCE, differences, program_works  # noqa: E402
from make_core import core                             # noqa: E402
from make_image import HOSTILE, Image, fnv1a, synthetic   # noqa: E402
from pyattach import (checksum, decode, discover, estimate,  # noqa: E402
                      json_views, layout, memory, report, save, text, tree,
                      views)
from pyattach.layout import CONSTANTS as C                # noqa: E402
from tap import done, ok, skip                            # noqa: E402

GROUPS = [(by, of) for by in report.GROUPS for of in ('live', 'allocated')
          if (by, of) != ('thread', 'allocated')]


def table_of(data):
    source = memory.FileImage(data)
    return decode.Table(source, discover.open_snapshot(source))


def json_of(table, **question):
    question.setdefault('limit', 0)
    value = json_views.report_json(report.Report(table, **question))
    return json.loads(json_views.dumps(value))


def layout_matches():
    """The tables made from image.h are what a C compiler makes of it."""
    with open(os.path.join(SOURCE, 'tests', 'abi.expected')) as f:
        lines = f.read().splitlines()
    wrong, record, seen = [], None, 0
    for line in lines[1:]:
        field = re.match(r'  (\w+)\s+@(\d+)\s+\+(\d+)', line)
        if not field:
            name, size = line.split()
            record = layout.RECORDS[name[3:]]
            if record['size'] != int(size):
                wrong.append(line)
            continue
        rows = [r for r in record['fields'] if r[0] == field.group(1)]
        seen += 1
        if not rows or rows[0][2] != int(field.group(2)):
            wrong.append(line)
    ok(seen > 100 and not wrong, 'every field is where the compiler puts it',
       *wrong)
    ok(lines[0] == 'image %d.%d' % (C['IMAGE_MAJOR'], C['IMAGE_MINOR']),
       'the version is that of the header')


def generator():
    path = os.path.join(SOURCE, 'gdb', 'gen_image_fields.py')
    header = os.path.join(SOURCE, 'common', 'image.h')
    made = subprocess.run([sys.executable, '-B', path, header],
                          stdout=subprocess.PIPE, check=True, timeout=60)
    space = {}
    exec(made.stdout.decode(), space)
    ok(space['RECORDS'] == layout.RECORDS and space['CONSTANTS'] == C,
       'the generated module says the same as the header')


def old_syntax():
    """The oldest gdb embeds Python 3.6; no walrus, no dataclass."""
    files = glob.glob(os.path.join(SOURCE, 'gdb', '**', '*.py'),
                      recursive=True)
    wrong = []
    for path in files:
        with open(path, encoding='utf-8') as f:
            source = f.read()
        try:
            if sys.version_info >= (3, 8):
                ast.parse(source, path, feature_version=(3, 6))
            else:
                ast.parse(source, path)
        except SyntaxError as error:
            wrong.append('%s: %s' % (path, error))
        if re.search(r'\bf[\'"][^\'"]*=\}', source):
            wrong.append(path)
        if 'import gdb' in re.sub(r'""".*?"""', '', source, flags=re.S) \
                and not path.endswith('commands.py'):
            wrong.append('%s imports gdb' % path)
    ok(len(files) > 15 and not wrong, 'Python 3.6, and gdb in one file only',
       *wrong)


# What gdb 9's manual has of those that we may want.
GDB_9 = set("""COMMAND_DATA COMMAND_STATUS COMPLETE_EXPRESSION
    COMPLETE_FILENAME COMPLETE_NONE COMPLETE_SYMBOL Command Function GdbError
    MemoryError PARAM_BOOLEAN PARAM_ENUM PARAM_STRING PARAM_STRING_NOESCAPE
    PARAM_ZUINTEGER Parameter Value VERSION convenience_variable error events
    execute flush lookup_type parameter parse_and_eval selected_inferior
    set_convenience_variable string_to_argv write""".split())
GDB_9_EVENTS = {'clear_objfiles', 'cont', 'exited', 'inferior_deleted',
                'new_inferior', 'new_objfile', 'stop'}
GDB_9_INFERIOR = {'is_valid', 'num', 'pid', 'progspace', 'read_memory',
                  'threads', 'was_attached'}


def attributes_of(path):
    """[(what it is asked of, its name)]; what is asked for by getattr() with
    a default may be missing."""
    with open(path, encoding='utf-8') as f:
        tree = ast.parse(f.read(), path)
    return [(ast.unparse(node.value), node.attr) for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)]


def old_gdb():
    """Only what gdb 9 has already is asked of it."""
    wrong = []
    for path in glob.glob(os.path.join(SOURCE, 'gdb', '**', '*.py*'),
                          recursive=True):
        if not path.endswith(('.py', '.py.in')):
            continue
        for owner, name in attributes_of(path):
            known = {'gdb': GDB_9, 'gdb.events': GDB_9_EVENTS,
                     'inferior': GDB_9_INFERIOR, 'self._inferior':
                     GDB_9_INFERIOR, 'gdb.selected_inferior()':
                     GDB_9_INFERIOR}.get(owner)
            if known is not None and name not in known:
                wrong.append('%s: %s.%s' % (path, owner, name))
    ok(not wrong, 'gdb 9 has all that is asked of it', *wrong)


def checks():
    rng = common.seed()
    data = bytes(rng.getrandbits(8) for _ in range(64 * 500))
    low, high = checksum.low_half(data, 64, 8, 64)
    ok(all(fnv1a(data[k * 64 + 8:k * 64 + 64]) & 0xffff == low[k] | high[k]
           << 8 for k in range(500)), 'checks of many records at a time')


def numbers():
    p = estimate.probability(4095, 524288)
    ok(abs(p - (1 - math.exp(-4096 / 524288))) < 1e-15, 'probability')
    ok(estimate.probability(10**6, 1) == 1, 'rate 1 takes everything')
    nothing = estimate.bytes_interval(estimate.Sum(), 1000)
    ok(nothing[:2] == (0, 0) and abs(nothing[2] - 3688.879) < 0.001,
       'nothing seen: up to 3.69 rates')
    total = estimate.Sum()
    for _ in range(400):
        total.add_samples(1, estimate.weigh(100, 524288))
    e, low, high = estimate.bytes_interval(total, 524288)
    ok(0.88 < low / e < 0.92 and 1.08 < high / e < 1.12,
       '400 samples: about 10 %% either way (%g %g)' % (low / e, high / e))


def order():
    """Sums say the same whatever the order, and however grouped."""
    rng = common.seed()
    sizes = [int(rng.lognormvariate(6, 3)) for _ in range(3000)]
    wanted = None
    for k in range(4):
        rng.shuffle(sizes)
        total, part = estimate.Sum(), estimate.Sum()
        for size in sizes:
            whose = total if size % 3 else part
            whose.add_samples(1, estimate.weigh(size, 4096), size * 1000)
        total.add(part)
        got = total.exact, total.age_ns()
        wanted = wanted or got
        ok(got == wanted, 'a sum knows no order')
    many, one = estimate.Sum(), estimate.Sum()
    weights = estimate.weigh(4711, 65536)
    many.add_samples(1000, weights, 5000)
    for _ in range(1000):
        one.add_samples(1, weights, 5)
    ok(many.exact == one.exact, 'a group is the sum of its members')
    huge = estimate.Sum.of(1, [1e300, 1e300, 0.0, 1e300, 1e300, 0.0])
    huge.add(huge)
    ok(set(huge.exact[:4]) == {estimate.TOP}, 'too large stays at the top')


def images():
    """{name: bytes} of images that every reader must agree on."""
    empty = Image()
    exact = Image(rate=1)
    for k in range(50):
        exact.sample([('exact.py', 'f', k)], k)
    mixed = synthetic(300, 20, 3)
    for k in range(100):
        mixed.sample([('mixed.py', 'f', k % 5), ('main.py', 'm', 1)],
                     10**k if k < 15 else 4096, rate=4096 << k % 9)
    longer = synthetic(50, 5, 4)
    longer.extra_regions.append((77, 24, bytes(240)))
    second = synthetic(50, 5, 5)
    second.active = 1
    return {'empty': empty.snapshot(), 'rate 1': exact.snapshot(),
            'mixed rates': mixed.snapshot(),
            'hostile names': synthetic(500, 40, 2, hostile=True,
                                       freed=200).snapshot(),
            'unknown region': longer.snapshot(),
            'the other set': second.snapshot()}


def agreement(where):
    """Field by field against the tool."""
    for name, data in images().items():
        path = os.path.join(where, 'x.image')
        with open(path, 'wb') as f:
            f.write(data)
        table = table_of(data)
        found = []
        for by, of in GROUPS:
            mine = json_of(table, group_by=by, of=of)
            tool, error = common.report_of_tool(path, '--group-by', by,
                                                '--of', of)
            if tool is None:
                found.append(error)
                continue
            tool['title'] = None        # the name of the file
            found += differences(mine, tool, '%s %s' % (by, of))
        ok(not found, 'both decoders agree: ' + name, *found[:20])


def sorting(where):
    data = synthetic(800, 60, 9, freed=100).snapshot()
    path = os.path.join(where, 'x.image')
    with open(path, 'wb') as f:
        f.write(data)
    for sort in report.SORTS:
        tool, error = common.report_of_tool(path, '--sort', sort)
        found = [error] if tool is None else differences(
            json_of(table_of(data), sort=sort)['rows'], tool['rows'])
        ok(not found, 'the same order by ' + sort, *found[:5])


def saved(where):
    """What save writes is what was read, for both decoders."""
    table = table_of(synthetic(500, 40, 2, hostile=True, freed=50).snapshot())
    data = save.snapshot(table)
    again = table_of(data)
    found = differences(json_of(table), json_of(again))
    ok(not found and not again.damage.counts, 'a saved table is the same',
       *found[:10])
    path = os.path.join(where, 'saved.image')
    with open(path, 'wb') as f:
        f.write(data)
    if program_works():
        tool, error = common.report_of_tool(path)
        ok(tool and not differences(tool['rows'], json_of(table)['rows']),
           'the tool reads a saved table', error)


def hostile():
    """No view lets a name reach the terminal as it is."""
    table = table_of(synthetic(300, 40, 2, hostile=True).snapshot())
    rows = report.Report(table, limit=0)
    lines = views.top(rows) + tree.tree(table, 0) + views.listing(table, 0)
    for index in range(4, len(table.sites())):
        lines += views.site(table, [index], 0)
    for by in ('function', 'file', 'traceback'):
        lines += views.top(report.Report(table, group_by=by, limit=0))
    longest = max(text.width(line) for line in lines)
    ok(longest < 250, 'no line is endless: %d' % longest)
    shown = '\n'.join(lines)
    ok(not text.HIDDEN.search(shown.replace('\n', '')),
       'no control or bidi character is shown')
    ok('\\x1b]0;owned\\x07' in shown and '\\u202e' in shown and
       'lone\\udcff' in shown, 'they are shown as escapes')
    value = json_views.dumps(json_views.report_json(rows))
    ok('\n' not in value and json.loads(value), 'JSON is one line')
    names = {row.get('file') for row in json.loads(value)['rows']}
    missing = [n for n in HOSTILE if n and
               n.replace('\udcff', '\\udcff') not in names]
    ok(not missing, 'JSON keeps every name', missing)


def at():
    image = Image(rate=4096)
    image.sample([('a.py', 'f', 3)], 100, address=0x5000)
    table = table_of(image.snapshot())
    ok(views.find_at(table, 0x5000) and views.find_at(table, 0x5063) and
       not views.find_at(table, 0x5064) and not views.find_at(table, 0x4fff),
       'a block covers its own bytes only')
    ok('a.py:3' in '\n'.join(views.at(table, 0x5063)), 'at names the line')
    odds = views.at(table, 1, 4095)
    ok(any('63 %' in line for line in odds), 'at gives the odds', *odds)


def fields_and_status():
    table = table_of(synthetic(20, 5, 1).snapshot())
    status = json_views.status_json(table)
    ok(status['schema'] == 'pyattach-sample/status/1' and
       status['samples']['live'] == 20 and status['clients'] is None,
       'status/1 of a dead process')


def age_of_totals(where):
    """A core has the exact totals of some seconds before its end: both readers
    say how old they are, and an image of version 1.0 does not know."""
    def image(**fields):
        made = synthetic(20, 5, 1)
        made.set(requested_bytes=5 << 20, requested_calls=700, **fields)
        return made

    second = 10**9
    for what, made, age, words in (
            ('before', image(), 2 * second, '700 calls 2.0 s before the last'),
            ('after', image(requested_monotonic_ns=5601 * second), 0,
             '700 calls after the last'),
            ('not known', image(requested_monotonic_ns=0), None, 'not known'),
            ('of version 1.0', image(header_size=1360, minor=0), None,
             'not known')):
        path = os.path.join(where, 'age.core')
        with open(path, 'wb') as f:
            f.write(core(made.memory()))
        source = memory.ElfCoreMemory(path)
        search = discover.Discovery(source)
        table = decode.Table(source, search.run())
        shown = '\n'.join(views.status(table, search, ''))
        mine = json_of(table)['requested']
        ok(mine['age_ns'] == age and words in shown and
           ('; exactly' in '\n'.join(views.top(report.Report(table)))) ==
           (age is not None), 'age of the exact totals: ' + what, mine, shown)
        if not program_works():
            continue
        tool, error = common.report_of_tool(path)
        ok(tool and tool['requested'] == mine, 'the tool: ' + what, error,
           tool and tool['requested'])
        status, out, error = common.run([common.PROGRAM, 'core', path])
        ok(not status and ('; exactly 5 MiB in ' + words in ' '.join(
            out.split())) ==
           (age is not None), 'its table: ' + what, out, error)
        status, _out, error = common.run(
            [common.PROGRAM, 'core', path, '--force', '-o',
             path + '.image'])
        tool, error = common.report_of_tool(path + '.image')
        ok(tool and tool['requested'] == mine and mine == json_of(
            table_of(save.snapshot(table)))['requested'],
           'an image taken out of it: ' + what, error)
    data = bytearray(image().snapshot())
    data[layout.DIRECTORY.offsets['requested_monotonic_ns']] ^= 1
    path = os.path.join(where, 'age.image')
    with open(path, 'wb') as f:
        f.write(data)
    try:
        table_of(bytes(data))
        wrong = ''
    except discover.NoTable as error:
        wrong = error.text
    ok('second checksum' in wrong, 'a wrong age is damage', wrong)
    if program_works():
        tool, error = common.report_of_tool(path)
        ok(not tool and error == 'damaged', 'the tool: a wrong age', error)


def main():
    where = common.scratch()
    os.chdir(where)
    layout_matches()
    generator()
    old_syntax()
    if hasattr(ast, 'unparse'):
        old_gdb()
    else:
        skip('gdb 9 has all that is asked of it', 'Python 3.9 is needed')
    checks()
    numbers()
    order()
    hostile()
    at()
    fields_and_status()
    saved(where)
    age_of_totals(where)
    if program_works():
        agreement(where)
        sorting(where)
    else:
        skip('both decoders agree', 'no program: %s' % (PROGRAM or 'not set'))
    done()


main()

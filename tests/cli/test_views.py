#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The views of a report: every grouping, hostile names, filters, widths."""
import json
import os
import subprocess

import common
from common import HIDDEN, PROGRAM, has, run, server
from make_image import C, Image, synthetic
from tap import ok


def views(directory, image):
    path = os.path.join(directory, 'hostile')
    with open(path, 'wb') as f:
        f.write(synthetic(samples=3000, hostile=True).snapshot())
    for by in ('line', 'function', 'file', 'traceback', 'thread', 'domain'):
        for of in ('live', 'allocated'):
            if (by, of) == ('thread', 'allocated'):
                continue
            options = ['--group-by', by, '--of', of, '--limit', '0']
            got = run('report', path, *options)
            ok(got.status == 0 and not HIDDEN.search(got.text) and
               max(len(x) for x in got.text.splitlines()) <= 100,
               'table by %s of %s' % (by, of), got)
            got = has(run('report', path, '--json', *options), 'report',
                      'rows', 'json by %s of %s' % (by, of))
            ok(abs(sum(r['share'] for r in got['rows']) - 1) < 1e-6 and
               all(r['bytes']['low'] <= r['bytes']['estimate'] <=
                   r['bytes']['high'] for r in got['rows']),
               'shares and intervals by %s of %s' % (by, of))
            got = run('report', path, '--format', 'csv', *options)
            ok(got.status == 0 and not HIDDEN.search(
                got.text.replace('\r\n', '\n')),
               'csv by %s of %s' % (by, of), got)
    for width in ('1', '40', '60', '80', '200', '99999', 'x', '-5'):
        got = subprocess.run([PROGRAM, 'report', path], timeout=20,
                             stdout=subprocess.PIPE,
                             env=dict(os.environ, COLUMNS=width))
        lines = got.stdout.decode().splitlines()
        limit = max(40, int(width)) if width.isdigit() else 120
        ok(got.returncode == 0 and max(map(len, lines)) <= limit,
           'COLUMNS=%s' % width, max(map(len, lines)))
    rows = run('report', path, '--json', '--limit', '0').json['rows']
    files = {r['file'] for r in rows}
    ok('lone\\udcff.py' in files and 'new\nline.py' in files and
       '</script><b>&amp;.py' in files and '\x00nul' in files and
       'x' * 65536 in files, 'names come back in JSON')
    ok(not [r for r in rows if r['file'] == '<no Python frame>'
            and r['line'] is not None], 'a row without a frame has no line')
    for sort in ('bytes', 'objects', 'samples', 'age'):
        got = run('report', path, '--json', '--sort', sort).json['rows']
        value = {'bytes': lambda r: r['bytes']['estimate'],
                 'objects': lambda r: r['objects']['estimate'],
                 'samples': lambda r: r['samples'],
                 'age': lambda r: r['age_ns']}[sort]
        values = [value(r) for r in got]
        ok(values == sorted(values, reverse=True), '--sort ' + sort, values)
    old = run('report', path, '--json', '--min-age', '5m').json
    new = run('report', path, '--json', '--max-age', '5m').json
    both = old['totals']['samples'] + new['totals']['samples']
    ok(3000 <= both <= 3001, '--min-age and --max-age', both)
    got = run('report', path, '--json', '--limit', 0, '--include', '*mod*',
              '--exclude', '*mod1*').json['rows']
    ok(all('mod' in r['file'] and 'mod1' not in r['file'] for r in got),
       '--include and --exclude')
    got = run('report', path, '--json', '--limit', 0, '--min-size',
              '10MiB').json
    ok(got['rows'] and min(r['bytes']['estimate'] for r in got['rows']) >=
       10 << 20 and got['rest']['rows'], '--min-size')
    one = run('report', path, '--json', '--limit', 0).json
    two = run('report', path, path, '--json', '--limit', 0).json
    ok(len(one['rows']) == len(two['rows']) and two['totals']['samples'] ==
       2 * one['totals']['samples'], 'two sources are merged')
    out = os.path.join(directory, 'report.json')
    got = run('report', path, '--json', '-o', out)
    ok(got.status == 0 and not got.out and json.load(open(out)), 'report -o')
    got = run('report', path, '-o', out)
    ok(got.status == 94, 'report -o does not overwrite', got)
    got = run('report', path, '--color', 'always')
    ok('\x1b[1m' in got.text, '--color always')
    got = run('report', path)
    ok('\x1b' not in got.text, 'no colour in a pipe')


def advice(directory, image):
    path = os.path.join(directory, 'small')
    image = Image()
    image.sample([('a.py', 'f', 1)], 100)
    image.set(rss=1 << 30)
    with open(path, 'wb') as f:
        f.write(image.snapshot())
    got = run('report', path)
    ok('Less than a tenth of RSS is explained' in got.text,
       'what to do where little is explained', got)
    with server('good', path) as (pid, _path):
        got = run('report', pid)
        ok('pyattach-sample census %d' % pid in ' '.join(got.text.split()),
           'of a process, census is named', got)
    image = Image(rate=1)
    for k in range(100):
        image.sample([('a.py', 'f', k % 3)], 1000 + k)
    with open(path, 'wb') as f:
        f.write(image.snapshot())
    total = run('report', path, '--json').json['totals']
    exact = float(sum(1000 + k for k in range(100)))
    ok(total['bytes'] == {'estimate': exact, 'low': exact, 'high': exact} and
       total['objects']['high'] == 100, 'rate 1 is exact', total)
    image = Image()
    for site in (C['SITE_EVICTED'], C['SITE_FULL'], C['SITE_NO_PYTHON']):
        image.sample(site, 100)
    with open(path, 'wb') as f:
        f.write(image.snapshot())
    got = run('report', path)
    ok(all(n in got.text for n in ('<evicted>', '<stacks full>',
                                   '<no Python frame>')), 'special rows', got)


common.main(views, advice)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The command against a fake payload, files made by hand, and nonsense.

No ptrace and no payload: a process of our own answers on the socket, well
(every verb, every key of the JSON) and badly (garbage, halves, silence, huge
lengths): then a clear error within the time limit.  PA_PROGRAM is the
program; TAP on stdout.
"""
import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..'), os.path.join(HERE, '..', 'gdb')]

from make_image import C, Image, synthetic             # noqa: E402
from tap import done, ok, skip                         # noqa: E402

PROGRAM = os.environ['PA_PROGRAM']
HIDDEN = re.compile('[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f'
                    '\u202a-\u202e\u2066-\u2069]')
ESTIMATE = {'estimate', 'low', 'high'}


class Answer:
    def __init__(self, arguments, status, out, err, seconds):
        self.arguments, self.status, self.seconds = arguments, status, seconds
        self.out, self.err = out, err
        self.text = out.decode('utf-8', 'replace')

    @property
    def json(self):
        return json.loads(self.out.decode())

    @property
    def error(self):
        try:
            return json.loads(self.err.decode()).get('error')
        except ValueError:
            return 'no JSON: %r' % self.err[:300]

    def __str__(self):
        return '%s -> %s in %.1f s\nstdout %r\nstderr %r' % (
            self.arguments, self.status, self.seconds, self.out[:700],
            self.err[:700])


def has_shadow_memory():
    """Was the program built with a sanitizer that reserves terabytes?"""
    with open(PROGRAM, 'rb') as program:
        return b'__asan_init' in program.read()


def limit_memory():
    if not has_shadow_memory():
        resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20))


def run(*arguments, wait=20, stdout=subprocess.PIPE, limited=False, **extra):
    environment = dict(os.environ, COLUMNS='100', **extra)
    start = time.monotonic()
    got = subprocess.run([PROGRAM] + [str(a) for a in arguments],
                         stdin=subprocess.DEVNULL, stdout=stdout,
                         stderr=subprocess.PIPE, timeout=wait, env=environment,
                         preexec_fn=limit_memory if limited else None)
    return Answer(arguments, got.returncode, got.stdout or b'', got.stderr,
                  time.monotonic() - start)


@contextlib.contextmanager
def server(mode, image, pid=None):
    """A process that answers like a payload; its pid."""
    command = [sys.executable, '-S', os.path.join(HERE, 'fake_server.py'),
               mode, image] + ([str(pid)] if pid else [])
    process = subprocess.Popen(command, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    try:
        path = process.stdout.readline().decode().strip()
        yield process.pid, path
    finally:
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        if os.path.exists(path):
            os.unlink(path)


def has(answer, schema, keys, what):
    try:
        got = answer.json
    except ValueError:
        got = {}
    missing = set(keys.split()) - set(got)
    ok(answer.status == 0 and not answer.err and not missing and
       got.get('schema') == 'pyattach-sample/%s/1' % schema and
       answer.out.count(b'\n') == 1, what, missing, answer)
    return got


# ---- every verb against a good answer ----

def verbs_in_json(directory, image):
    with server('good', image) as (pid, path):
        got = has(run('status', pid, '--json'), 'status', 'pid python '
                  'payload_version rate effective_rate uptime_ns '
                  'attached_at_ns hooks stacks dropped samples requested '
                  'estimated memory clients refused_clients follow_fork',
                  'status has every key')
        ok(got.get('hooks') == 'on' and got.get('stacks') == 'verified' and
           got.get('python') == '3.13.0' and got['pid'] == pid and
           set(got['estimated']['bytes']) == ESTIMATE and
           set(got['requested']) == {'bytes', 'calls', 'uncounted_max'},
           'status has the right words', got)
        got = has(run('report', pid, '--json'), 'report', 'source pid python '
                  'time_ns attached_at_ns rate effective_rate group_by of '
                  'requested process totals rows', 'report has every key')
        ok(got.get('source') == 'live' and got['pid'] == pid and
           len(got['rows']) == 20 and set(got['process']) ==
           {'rss', 'rss_at_attach', 'unexplained'}, 'report is live')
        row = got['rows'][0]
        ok(set(row) >= {'file', 'line', 'function', 'bytes', 'objects',
                        'samples', 'share'} and set(row['bytes']) == ESTIMATE,
           'a row has every key', row)
        got = has(run('rate', pid, '1MiB', '--json'), 'rate',
                  'pid rate previous', 'rate answers')
        ok((got.get('rate'), got.get('previous')) == (1 << 20, 1 << 19),
           'rate and previous', got)
        got = has(run('attach', pid, '--json'), 'attach', 'pid python build '
                  'free_threaded rate socket already_attached method '
                  'stopped_ns total_ns stops payload_version',
                  'attach to an attached process')
        ok(got.get('already_attached') is True and got['rate'] == 1 << 20 and
           got['socket'] == path, 'it keeps the rate', got)
        got = run('--json', '-p', pid, '--rate', '64K').json
        ok(got['rate'] == 65536, 'attach again changes the rate', got)
        got = run('attach', pid, '--frames', 32, '--json')
        ok(got.status == 56 and got.error == 'fixed-option',
           '--frames cannot change', got)
        got = run('attach', pid, '--max-memory=17M', '--json')
        ok(got.status == 56 and got.error == 'fixed-option',
           '--max-memory cannot change', got)
        got = run(pid, '--frames', 64, '--max-memory', '16MiB')
        ok(got.status == 0 and path in got.text, 'equal ones may be given',
           got)
        got = has(run('list', '--json'), 'list', 'processes', 'list answers')
        mine = [p for p in got.get('processes', []) if p['pid'] == pid]
        ok(len(mine) == 1 and set(mine[0]) >= {
            'pid', 'user', 'python', 'rate', 'uptime_ns', 'command', 'socket'}
           and 'fake_server' in mine[0]['command'], 'list has it', got)
        out = os.path.join(directory, 'kept')
        has(run('snapshot', pid, '-o', out, '--json'), 'snapshot',
            'pid file bytes', 'snapshot answers')
        with open(out, 'rb') as a, open(image, 'rb') as b:
            ok(a.read() == b.read(), 'snapshot keeps the image')
        got = run('snapshot', pid, '-o', '-')
        with open(image, 'rb') as b:
            ok(got.out == b.read() and not got.err, 'snapshot -o -', got.err)
        got = run('snapshot', pid, '-o', out, '--json')
        ok(got.status == 94 and got.error == 'exists', 'no overwriting', got)
        ok(run('snapshot', pid, '-o', out, '--force').status == 0, '--force')
        ok(os.listdir(directory).count('kept') == 1 and
           not [n for n in os.listdir(directory) if n.startswith('.kept')],
           'no temporary file is left', os.listdir(directory))
        for bad in ('-1', '0', '10EiB', 'nan', 'x', '512KB'):
            got = run('rate', pid, bad)
            ok(got.status in (2, 75) and got.err.startswith(
                b'pyattach-sample: '), 'rate %s is refused' % bad, got)
        got = has(run('detach', pid, '--json'), 'detach',
                  'pid hooks uptime_ns samples_taken', 'detach answers')
        ok(got.get('hooks') == 'off', 'hooks are off', got)
    ok(not os.path.exists(path), 'the fake server cleaned up')


def verbs_in_words(image):
    with server('hostile', image) as (pid, path):
        for arguments in (['attach'], ['status'], ['report'], ['rate', '1M'],
                          ['attach', '-v'], ['attach', '--rate', '2M'],
                          ['detach']):
            got = run(arguments[0], pid, *arguments[1:])
            ok(got.status == 0 and got.out and not HIDDEN.search(got.text)
               and max(len(x) for x in got.text.splitlines()) <= 200,
               ' '.join(arguments) + ' in words', got)
        got = run('attach', pid, '-q')
        ok(got.status == 0 and not got.out and not got.err, 'attach -q', got)
        got = run('status', '-p%d' % pid)
        ok(got.status == 0, '-pPID', got)
        got = run('list')
        ok(got.status == 0 and str(pid) in got.text, 'list in words', got)


# ---- bad answers ----

BAD = {
    'garbage': ['protocol'], 'flood': ['protocol'], 'half': ['protocol'],
    'half-hang': ['timeout'], 'half-head': ['timeout'],
    'nothing': ['protocol'], 'silent': ['timeout'], 'huge': ['protocol'],
    'endless': ['protocol'], 'below-zero': ['protocol'],
    'no-number': ['protocol'], 'too-much': ['protocol'], 'busy': ['busy'],
    'err-hostile': ['failed'], 'err-unknown': ['failed'],
    'err-empty': ['protocol', 'failed'], 'nan': ['protocol'],
    'negative': ['protocol'], 'missing': ['protocol'],
    'reused': ['wrong-peer'], 'future': ['other-version'],
    'drip': ['timeout'],
}


def bad_answers(image):
    for mode, words in sorted(BAD.items()):
        with server(mode, image) as (pid, _path):
            got = run('status', pid, '--timeout', '1', '--json')
            ok(got.error in words and got.status and not got.out and
               got.seconds < 6, 'answer %s: %s' % (mode, ' or '.join(words)),
               got)
            if mode not in ('reused', 'future', 'drip'):
                got = run('report', pid, '--timeout', '0.5s', limited=True)
                ok(got.status >= 1 and not got.out and got.seconds < 6 and
                   not HIDDEN.search(got.err.decode()) and
                   got.err.count(b'\n') == 1,
                   'answer %s: one clean line' % mode, got)
    for mode, verb, words in (('late', 'report', ['timeout']),
                              ('cut', 'report', ['not-an-image', 'truncated']),
                              ('cut', 'snapshot', ['not-an-image']),
                              ('no-rate', 'rate', ['protocol'])):
        with server(mode, image) as (pid, _path):
            more = {'rate': ['4096'], 'snapshot': ['-o', image + '.never']}
            got = run(verb, pid, *more.get(verb, []), '--timeout', '1',
                      '--json', limited=True)
            ok(got.error in words and got.seconds < 6, '%s of %s: %s' % (
                verb, mode, ' or '.join(words)), got)
    ok(not os.path.exists(image + '.never'), 'a bad snapshot is not kept')


def wrong_peer(image):
    with subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'],
                          stdin=subprocess.PIPE) as other:
        with server('good', image, other.pid):
            got = run('status', other.pid, '--json')
            ok(got.error == 'wrong-peer' and got.status == 71,
               'a socket of another process', got)
            got = run('detach', other.pid, '--json')
            ok(got.error == 'wrong-peer', 'nothing is sent to it', got)
        got = run('status', other.pid, '--json')
        ok(got.error == 'not-attached' and got.status == 70 and
           str(other.pid) in json.loads(got.err.decode())['hint'],
           'not attached, with the command to type', got)
        other.stdin.close()


def stopped_process(image):
    with server('good', image) as (pid, _path):
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        got = run('status', pid, '--json', '--timeout', 2)
        ok(got.error == 'stopped' and got.seconds < 2, 'a stopped process',
           got)
        os.kill(pid, signal.SIGCONT)
        ok(run('status', pid).status == 0, 'and continued')


# ---- files ----

def refused_file(name, words, directory, data=None):
    path = name
    if data is not None:
        path = os.path.join(directory, name)
        with open(path, 'wb') as f:
            f.write(data)
    got = run('report', path, '--json', '--timeout', '2', limited=True)
    ok(got.error in words and not got.out and got.seconds < 10,
       'report %s: %s' % (os.path.basename(path) or path, ' or '.join(words)),
       got)


def sources(directory, image):
    with open(image, 'rb') as f:
        data = f.read()
    refused_file('/dev/zero', ['not-an-image'], directory)
    refused_file('/dev/null', ['truncated', 'not-an-image'], directory)
    refused_file(directory, ['read'], directory)
    refused_file(os.path.join(directory, 'missing'), ['read'], directory)
    fifo = os.path.join(directory, 'fifo')
    os.mkfifo(fifo)
    refused_file(fifo, ['truncated', 'not-an-image', 'timeout'], directory)
    holder = os.open(fifo, os.O_RDWR)
    refused_file(fifo, ['timeout'], directory)
    os.close(holder)
    refused_file('text', ['not-an-image'], directory, b'hello\n' * 2000)
    refused_file('elf', ['not-an-image'], directory,
                 b'\x7fELF' + bytes(8000))
    for cut in (1, 15, 16, 100, 4095, 4096, 5000, len(data) - 8):
        refused_file('cut%d' % cut, ['truncated', 'not-an-image'], directory,
                     data[:cut])
    missed = []
    for k in range(60):
        bad = bytearray(data)
        at = (k * 2654435761) % (len(bad) if k & 1 else 4096)
        bad[at] ^= 1 << k % 8
        path = os.path.join(directory, 'flip')
        with open(path, 'wb') as f:
            f.write(bad)
        got = run('report', path, '--json')
        if got.status not in (90, 91, 92, 93):
            missed.append(at)
    ok(not missed, 'a flipped bit is seen', missed)
    later = Image()
    later.set(major=2)
    refused_file('later', ['future-image'], directory, later.snapshot())
    empty = Image()
    path = os.path.join(directory, 'empty')
    with open(path, 'wb') as f:
        f.write(empty.snapshot())
    got = has(run('report', path, '--json'), 'report', 'rows', 'empty image')
    high = got['totals']['bytes']['high'] / 524288
    ok(got['rows'] == [] and got['totals']['samples'] == 0 and
       got['totals']['bytes']['low'] == 0 and 3.6 < high < 3.8,
       'no samples: [0, 3.69 rate]', got['totals'])
    got = run('report', path)
    ok(got.status == 0 and 'no sample' in got.text, 'empty in words', got)
    pipe = subprocess.Popen(['cat', image], stdout=subprocess.PIPE)
    got = subprocess.run([PROGRAM, 'report', '/dev/stdin', '--json'],
                         stdin=pipe.stdout, stdout=subprocess.PIPE, timeout=20)
    pipe.stdout.close()
    pipe.wait()
    ok(got.returncode == 0, 'an image from a pipe')
    os.chdir(directory)
    os.link(image, '4711')
    ok(run('report', './4711').status == 0, './4711 is a file')


def hostile_pointers(directory):
    """Indexes that lead out of their tables, with good checksums."""
    def make(what):
        image = synthetic(samples=50, sites=5)
        if what == 'site':
            image.live[3]['site'] = 10 ** 6
        elif what == 'parent':
            image.nodes[2] = (9, image.nodes[2][1])
        elif what == 'self':
            image.nodes[2] = (2, image.nodes[2][1])
        elif what == 'frame':
            image.nodes[2] = (0, 10 ** 6)
        elif what == 'string':
            image.frames[1] = (10 ** 9,) + image.frames[1][1:]
        elif what == 'string-end':
            image.strings += b'\xff\xff\xff\x7f'
            image.frames[1] = (len(image.strings) - 4,) + image.frames[1][1:]
        elif what == 'rate':
            image.live[3]['rate'] = 0
        elif what == 'size':
            image.live[3]['size'] = 2 ** 64 - 1
        elif what == 'nan':
            image.sites[5]['allocated_bytes'] = float('nan')
        elif what == 'infinite':
            image.set(estimated_bytes_variance=float('inf'))
        elif what == 'below':
            image.sites[5]['allocated_bytes_variance'] = -1.0
        elif what == 'rate-of-all':
            image.set(rate_effective=0)
        elif what == 'domain':
            image.live[3]['domain'] = 77
        return image.snapshot()
    for what in ('site', 'parent', 'self', 'frame', 'string', 'string-end',
                 'rate', 'size', 'nan', 'infinite', 'below', 'rate-of-all',
                 'domain'):
        refused_file('bad-' + what, ['damaged'], directory, make(what))


# ---- views ----

def views(directory):
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


def advice(directory):
    path = os.path.join(directory, 'small')
    image = Image()
    image.sample([('a.py', 'f', 1)], 100)
    image.set(rss=1 << 30)
    with open(path, 'wb') as f:
        f.write(image.snapshot())
    got = run('report', path)
    ok('Less than a tenth of RSS is explained' in got.text,
       'what to do where little is explained', got)
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


# ---- the command line ----

def usage(image):
    for arguments in ([], ['--nonsense'], ['frobnicate'], ['attach'],
                      ['attach', 'x'], ['attach', '0'], ['attach', '-1'],
                      ['attach', '1', '2'], ['status', '1', '2'],
                      ['-p', '1', '1'], ['report'], ['snapshot', '1'],
                      ['rate', '1'], ['rate', '1', '2', '3'], ['list', '1'],
                      ['attach', '1', '--follow-fork'],
                      ['attach', '1', '--subprocesses'],
                      ['attach', '1', '--frames', '0'],
                      ['attach', '1', '--frames', '1025'],
                      ['attach', '1', '--max-memory', '1k'],
                      ['attach', '1', '--rate', 'x'],
                      ['attach', '1', '--rate', '1MB'],
                      ['attach', '1', '--rate', 'nan'],
                      ['attach', '1', '--rate', ''], ['attach', '1', '--rate'],
                      ['attach', '1', '--timeout', '0'],
                      ['attach', '1', '--timeout', '-1'],
                      ['attach', '1', '--timeout', '5w'],
                      ['attach', '1', '--for', '0'], ['attach', '1', '-z'],
                      ['attach', '1', '--json=1'], ['census', '1', '2'],
                      ['diff', 'a'], ['diff', 'a', 'b', 'c'], ['top', '1'],
                      ['diff', 'a', 'b', '--format', 'csv'],
                      ['run', '--', 'x'],
                      ['report', image, '--format', 'pprof'],
                      ['report', image, '--format', 'xml'],
                      ['report', image, '--group-by', 'type'],
                      ['report', image, '--group-by', 'process'],
                      ['report', image, '--of', 'peak'],
                      ['report', image, '--view', 'tree'],
                      ['report', image, '--limit', '-1'],
                      ['report', image, '--limit', '1.5'],
                      ['report', image, '--of', 'allocated', '--min-age',
                       '1'], ['status', '1', '--format', 'csv'],
                      ['snapshot', '1', '-o', '-', '--json'],
                      ['status', '1', '--rate', '5']):
        got = run(*arguments)
        ok(got.status == 2 and not got.out and (
            '--json' in arguments or re.match(
                rb'^pyattach-sample: [^\n]+: [^\n]+\n$', got.err)),
           'usage: ' + ' '.join(arguments).replace(image, 'IMAGE'), got)
    for size in ('0', '-1', '10EiB', '2TiB', '0.4'):
        got = run('attach', 1, '--rate', size, '--json')
        ok(got.status == 75 and got.error == 'bad-rate', 'rate ' + size, got)
    got = run('attach', '--format', 'json', '--nonsense')
    ok(got.status == 2 and got.error == 'usage' and not got.out,
       'usage errors in JSON', got)
    for verb in ('attach', 'report', 'snapshot', 'status', 'rate', 'detach',
                 'list'):
        got = run(verb, '--help')
        ok(got.status == 0 and got.text.startswith('Usage: pyattach-sample ' +
           verb) and not got.err and max(map(len, got.text.splitlines())) <= 80,
           verb + ' --help', got)
        ok(run(verb, '--version').text.startswith('pyattach-sample '),
           verb + ' --version')
    got = run('status', 4194304, '--json')
    ok(got.status == 10 and got.error == 'no-such-process', 'no process', got)
    got = run('status', 99999999999)
    ok(got.status == 2, 'a pid that cannot be', got)


# ---- censuses that were kept ----

def kept_censuses(directory, image):
    """diff of files made by hand, right and wrong."""
    def write(name, value):
        path = os.path.join(directory, name)
        with open(path, 'wb') as f:
            f.write(value if isinstance(value, bytes) else
                    json.dumps(value).encode())
        return path

    def census(rows, **more):
        return dict({'schema': 'pyattach-sample/census/1', 'rss': 1 << 30,
                     'memory': [{'kind': 'small live', 'bytes': 1 << 29}],
                     'rows': [dict(zip(('module', 'type', 'objects', 'bytes',
                                        'bytes_with_buffers'), row))
                              for row in rows]}, **more)
    hostile = 'Evil\x1b[2J\u202e\n' + 'x' * 500
    old = write('old', census([['a', 'T', 1, 100, 200]]))
    new = write('new', census([['a', 'T', 3, 300, 2 << 30],
                               [hostile, hostile, 1, 1, 1],
                               [None, '<native>', 5, 5, 5]]))
    got = run('diff', old, new, '--json')
    rows = got.json['rows']
    ok(got.status == 0 and [r['is_new'] for r in rows] == [False, True, True]
       and rows[0]['bytes']['estimate'] == (2 << 30) - 200 and
       rows[0]['objects']['low'] == 2 and got.json['matched'] is False,
       'diff of two files', got)
    got = run('diff', old, new)
    ok(got.status == 0 and not HIDDEN.search(got.text) and
       max(map(len, got.text.splitlines())) <= 100, 'a hostile name', got)
    far = 2 ** 63 - 1
    wild = write('wild', census([['a', 'T', far, far, far], ['a', 'T', -5,
                                 'x', None], ['b', 'U', 1.5, {}, []]],
                                rss=far, pid='x', memory={'kind': 1}))
    ok(run('diff', old, wild).status == 0 and
       run('diff', wild, old, '--json').status == 0, 'numbers without sense')
    for what, value, status in (
            ('no row', census([[1, 2, 3, 4, 5]]), 91),
            ('no census', {'schema': 'pyattach-sample/report/1'}, 90),
            ('of later', census([], schema='pyattach-sample/census/2'), 93),
            ('cut', b'{"schema": "pyattach-sample/census/1", "rows": [', 91),
            ('deep', b'{' + b'"a":{' * 100000, 91), ('empty', b'', 90),
            ('bytes', b'{\xff\x00', 91), ('a list', b'[]', 90)):
        got = run('diff', old, write('bad', value), '--json')
        ok(got.status == status and got.error and not got.out,
           'diff refuses: ' + what, got)
    ok(run('diff', image, new).status == 90, 'an image is no census')
    ok(run('diff', directory, new).status == 96, 'a directory is none')


def outputs(directory, image):
    def closed():
        os.close(1)
    got = subprocess.run([PROGRAM, 'report', image], stderr=subprocess.PIPE,
                         timeout=20, preexec_fn=closed)
    ok(got.returncode == 95, 'stdout closed', got)
    if os.path.exists('/dev/full'):
        for arguments in (['report', image], ['report', image, '--json',
                                              '--limit', '0'], ['--help'],
                          ['report', image, '-o', '/dev/full']):
            with open('/dev/full', 'w') as full:
                got = run(*arguments, stdout=full)
            ok(got.status == 95 and got.err.count(b'\n') == 1,
               'disk full: ' + arguments[-1].replace(image, 'IMAGE'), got)
    else:
        skip('disk full', 'no /dev/full')
    got = run('report', image, '-o', os.path.join(directory, 'no', 'where'))
    ok(got.status == 95, 'no such directory', got)
    got = run('report', image, '-o', directory, '--force')
    ok(got.status == 95, 'a directory', got)
    got = run('report', image, '-o', '/dev/null', '--force')
    ok(got.status == 0 and not os.path.isfile('/dev/null'),
       '/dev/null stays what it is', got)
    first, second = os.pipe()
    os.close(first)
    got = subprocess.run([PROGRAM, 'report', image], stdout=second,
                         stderr=subprocess.PIPE, timeout=20)
    os.close(second)
    ok(got.returncode in (-signal.SIGPIPE, 95) and not got.stderr,
       'nobody reads: quiet', got)


def main():
    with tempfile.TemporaryDirectory() as directory:
        image = os.path.join(directory, 'image')
        with open(image, 'wb') as f:
            f.write(synthetic(samples=500, freed=100).snapshot())
        try:
            verbs_in_json(directory, image)
            verbs_in_words(image)
            bad_answers(image)
            wrong_peer(image)
            stopped_process(image)
            usage(image)
            kept_censuses(directory, image)
            outputs(directory, image)
            views(directory)
            advice(directory)
            hostile_pointers(directory)
            sources(directory, image)
        finally:
            os.chdir('/')
    done()


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sources that are no image, images made to harm, and outputs that cannot be
written to."""
import bz2
import gzip
import lzma
import os
import signal
import subprocess

import common
from common import PROGRAM, has, run
from make_image import Image, synthetic
from tap import ok, skip


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
    for program, packed in (('gzip', gzip.compress(data)), ('xz', lzma.compress(data)),
                            ('bzip2', bz2.compress(data)), ('zstd', b'\x28\xb5\x2f\xfd' + data),
                            ('lz4', b'\x04\x22\x4d\x18' + data)):
        path = os.path.join(directory, 'packed')
        with open(path, 'wb') as f:
            f.write(packed)
        got = run('report', path)
        ok(got.status == 90 and got.err == b'pyattach-sample: %s is compressed by %s: give what '
           b'`%s -dc` makes of it: SOURCE is - for a pipe\n' % (
               path.encode(), program.encode(), program.encode()),
           'what %s made: how to read it' % program, got)
        got = run('census', path)
        ok(got.status == 90 and got.err == b'pyattach-sample: %s is compressed by %s: write what '
           b'`%s -dc` makes of it to a file first\n' % (
               path.encode(), program.encode(), program.encode()),
           'what %s made: how to count it' % program, got)
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


def hostile_pointers(directory, image):
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


common.main(outputs, hostile_pointers, sources)

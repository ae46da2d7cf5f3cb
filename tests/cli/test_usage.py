#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The command line: what is refused, --help, --version."""
import re

import common
from common import run
from tap import ok


def usage(directory, image):
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
                 'list', 'census', 'diff', 'core'):
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


common.main(usage)

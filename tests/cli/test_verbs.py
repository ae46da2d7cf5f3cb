#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every verb against a payload that answers well: every key of the JSON, the
words, and that nothing stays behind."""
import os

import common
from common import ESTIMATE, HIDDEN, has, run, server
from tap import ok


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
           set(got['requested']) == {'bytes', 'calls', 'uncounted_max', 'age_ns'},
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


def verbs_in_words(directory, image):
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
    with server('good', image) as (pid, path):
        for arguments in (['attach'], ['attach', '--rate', '2M'], ['status'],
                          ['rate', '1M'], ['detach']):
            got = run(arguments[0], pid, *arguments[1:], COLUMNS='80')
            ok(got.status == 0 and
               max(len(x) for x in got.text.splitlines()) <= 80,
               ' '.join(arguments) + ' fits 80 columns', got)


common.main(verbs_in_json, verbs_in_words)

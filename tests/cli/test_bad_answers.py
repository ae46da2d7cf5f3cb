#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Payloads that answer garbage, halves, silence or huge lengths: a clear error
within the time limit; sockets of others, stopped processes."""
import json
import os
import signal
import subprocess
import sys
import time

import common
from common import HIDDEN, run, server
from tap import ok


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
    'drip': ['timeout'], 'detached': ['not-attached'],
    'start-failed': ['not-attached'],
}


def bad_answers(directory, image):
    for mode, words in sorted(BAD.items()):
        with server(mode, image) as (pid, _path):
            # what comes at once may come late where the machine is busy
            patience = '1' if 'timeout' in words else '30'
            got = run('status', pid, '--timeout', patience, '--json')
            ok(got.error in words and got.status and not got.out and
               got.seconds < 25, 'answer %s: %s' % (mode, ' or '.join(words)),
               got)
            if mode not in ('reused', 'future', 'drip'):
                got = run('report', pid, '--timeout', '0.5s', limited=True)
                ok(got.status >= 1 and not got.out and got.seconds < 15 and
                   not HIDDEN.search(got.err.decode()) and
                   got.err.count(b'\n') == 1,
                   'answer %s: one clean line' % mode, got)
    for mode, verb, words in (('late', 'report', ['timeout']),
                              ('cut', 'report', ['not-an-image', 'truncated']),
                              ('cut', 'snapshot', ['not-an-image']),
                              ('no-rate', 'rate', ['protocol'])):
        with server(mode, image) as (pid, _path):
            more = {'rate': ['4096'], 'snapshot': ['-o', image + '.never']}
            got = run(verb, pid, *more.get(verb, []), '--timeout',
                      '1' if 'timeout' in words else '30', '--json', limited=True)
            ok(got.error in words and got.seconds < 25, '%s of %s: %s' % (
                verb, mode, ' or '.join(words)), got)
    ok(not os.path.exists(image + '.never'), 'a bad snapshot is not kept')


def wrong_peer(directory, image):
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


def stopped_process(directory, image):
    with server('good', image) as (pid, _path):
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        got = run('status', pid, '--json', '--timeout', 30)
        ok(got.error == 'stopped' and got.seconds < 15, 'a stopped process',
           got)
        os.kill(pid, signal.SIGCONT)
        ok(run('status', pid).status == 0, 'and continued')


def a_start_that_failed(directory, image):
    """Nothing had been attached, so that nothing was detached."""
    for mode, word in (('detached', 'was detached'),
                       ('start-failed', 'nothing is attached')):
        with server(mode, image) as (pid, _path):
            got = run('status', pid, '--json')
            ok(got.status == 70 and
               word in json.loads(got.err.decode())['message'],
               '%s: %s' % (mode, word), got)


def waits_for_an_answer(command):
    """In poll(), or ended."""
    try:
        with open('/proc/%d/syscall' % command.pid) as f:
            waits = f.read().startswith(('7 ', '271 '))
    except OSError:
        waits = False
    return waits or command.poll() is not None


def interrupted(directory, image):
    """attach catches signals, and ends by them while it waits for whoever
    answers there."""
    for mode in ('silent', 'half-hang'):
        with server(mode, image) as (pid, _path):
            command = subprocess.Popen(
                [common.PROGRAM, 'attach', str(pid), '--timeout', '50'],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            while not waits_for_an_answer(command):
                time.sleep(0.002)
            command.terminate()
            try:
                err = command.communicate(timeout=25)[1]
            except subprocess.TimeoutExpired:
                command.kill()
                err = command.communicate()[1]
            ok(command.returncode == -signal.SIGTERM and
               b'before process %d was touched' % pid in err,
               'attach, interrupted, %s' % mode, err)


common.main(bad_answers, wrong_peer, stopped_process, a_start_that_failed,
            interrupted)

# SPDX-License-Identifier: MIT
"""What the tests of the command share: running it, its answers, a process
that answers on a socket like a payload.  PA_PROGRAM is the program."""
import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..'), os.path.join(HERE, '..', 'gdb')]

from make_image import synthetic                       # noqa: E402
from tap import done, ok                               # noqa: E402

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


def run(*arguments, wait=60, stdout=subprocess.PIPE, limited=False, **extra):
    environment = dict(os.environ, **dict({'COLUMNS': '100'}, **extra))
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


def main(*tests):
    """Each with a directory and an image of 500 samples in it."""
    with tempfile.TemporaryDirectory() as directory:
        image = os.path.join(directory, 'image')
        with open(image, 'wb') as f:
            f.write(synthetic(samples=500, freed=100).snapshot())
        try:
            for test in tests:
                test(directory, image)
        finally:
            os.chdir('/')
    done()

# SPDX-License-Identifier: MIT
"""What the tests of gdb/ share: paths, comparison, gdb with a time limit.

Importing this puts tests/, tests/gdb/ and gdb/ on the path.
"""
import atexit
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.environ.get('PA_SRCDIR') or os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.environ.get('PA_PROGRAM', '')
PAYLOAD = os.environ.get('PA_PAYLOAD', '')
GDB = os.environ.get('GDB') or shutil.which('gdb') or ''
SCRIPT = os.path.join(SOURCE, 'gdb', 'pyattach-gdb.py')
sys.dont_write_bytecode = True
for _path in (os.path.join(SOURCE, 'tests'), HERE,
              os.path.join(SOURCE, 'gdb')):
    if _path not in sys.path:
        sys.path.insert(0, _path)

GDB_SECONDS = 120


def scratch():
    """A directory that goes when the test ends."""
    path = tempfile.mkdtemp(prefix='pa-gdb-')
    atexit.register(shutil.rmtree, path, True)
    return path


def seed():
    """The seed of a test that draws numbers: printed, and can be set."""
    value = int(os.environ.get('PA_SEED', 0)) or random.SystemRandom(
        ).randrange(1, 1 << 32)
    print('# seed %d (set PA_SEED to repeat)' % value)
    return random.Random(value)


def run(command, seconds=60, **more):
    """(status, stdout, stderr) of a command that is ended after a time."""
    environment = dict(os.environ, LC_ALL='C.UTF-8', HOME=os.getcwd(),
                       PYTHONDONTWRITEBYTECODE='1', DEBUGINFOD_URLS='')
    process = subprocess.Popen(
        command, stdin=more.pop('stdin', subprocess.DEVNULL),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        start_new_session=True, **more)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        return 'too long', out.decode(errors='replace'), \
            err.decode(errors='replace')
    return process.returncode, out.decode(errors='replace'), \
        err.decode(errors='replace')


def gdb(commands, before=(), arguments=(), load=True, seconds=GDB_SECONDS):
    """gdb in batch mode: `before` runs before the commands are loaded."""
    command = [GDB, '-nx', '-q', '-batch', '-iex',
               'set debuginfod enabled off']
    words = list(before) + (['source ' + SCRIPT] if load else []) \
        + list(commands)
    for word in words:
        command += ['-ex', word]
    return run(command + list(arguments), seconds)


def gdb_works():
    """Is there a gdb, and does it embed a Python that is new enough?"""
    if not GDB:
        return False
    status, out, _err = gdb(['python import sys; print(sys.version_info '
                             '>= (3, 6))'], load=False)
    return status == 0 and 'True' in out


def program_works():
    return bool(PROGRAM) and os.access(PROGRAM, os.X_OK)


def differences(a, b, where=''):
    """Where two JSON values differ, to the last digit; [] if nowhere."""
    number = (int, float)
    if isinstance(a, number) and isinstance(b, number) \
            and not isinstance(a, bool) and not isinstance(b, bool):
        return [] if a == b else ['%s: %r %r' % (where, a, b)]
    if type(a) is not type(b):
        return ['%s: %r %r' % (where, a, b)]
    if isinstance(a, dict):
        found = ['%s.%s: only in one' % (where, k) for k in set(a) ^ set(b)]
        for key in sorted(set(a) & set(b)):
            found += differences(a[key], b[key], '%s.%s' % (where, key))
        return found
    if isinstance(a, list):
        found = [] if len(a) == len(b) else [
            '%s: %d and %d long' % (where, len(a), len(b))]
        for index, (x, y) in enumerate(zip(a, b)):
            found += differences(x, y, '%s[%d]' % (where, index))
        return found
    return [] if a == b else ['%s: %r %r' % (where, a, b)]


def report_of_tool(path, *options, verb='report'):
    """(object, '') of `report --json`, or (None, the error's word)."""
    status, out, err = run([PROGRAM, verb, path, '--limit', '0',
                            '--json'] + list(options))
    if status == 0:
        return json.loads(out), ''
    try:
        return None, json.loads(err)['error']
    except ValueError:
        return None, '%r %s' % (status, err)

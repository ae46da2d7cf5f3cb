#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""payload/python*.c against every interpreter given, in TAP.

test_python_layer.py [--seed N] [--scale X] [--groups A,B] [INTERPRETER...]

An interpreter is a path, or ROOT:path for one inside a chroot.  Without any,
those of PA_TEST_PYTHONS (separated by spaces), else the one that runs this.
Scale 1 is the full length, 0.1 a quick look.  CC names the compiler.
"""
import argparse
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
FLAGS = ('-std=gnu11 -O2 -g -Wall -Wextra -fPIC -fvisibility=hidden '
         '-ftls-model=initial-exec -fno-stack-protector -ffreestanding '
         '-shared -nostdlib -Wl,-z,now -Wl,-z,nodelete').split()
LIMIT = 600     # seconds for one interpreter


def build(out):
    sources = sorted(glob.glob(os.path.join(TOP, 'payload', 'python*.c')))
    subprocess.check_call(os.environ.get('CC', 'gcc').split() + FLAGS +
                          ['-I', TOP, '-o', out,
                           os.path.join(HERE, 'harness.c')] + sources)


def run(interpreter, harness, options, environment):
    """(lines of the worker, how it ended or '')"""
    root, _, python = interpreter.rpartition(':')
    worker = os.path.join(HERE, 'layer_worker.py')
    command, inside = [], None
    if root:
        inside = tempfile.mkdtemp(prefix='pa-layer-', dir=root + '/tmp')
        harness = shutil.copy(harness, inside)
        worker = shutil.copy(worker, inside)
        harness, worker = ('/' + os.path.relpath(p, root)
                           for p in (harness, worker))
        command = ['chroot', root]
    try:
        done = subprocess.run(
            command + [python, worker, harness, str(options.seed),
                       str(options.scale)] +
            list(filter(None, options.groups.split(','))),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=LIMIT, env=dict(os.environ, **environment))
    except subprocess.TimeoutExpired as e:
        return (e.stdout or b''), 'no end within %d s' % LIMIT
    except OSError as e:
        return b'', str(e)
    finally:
        if inside:
            shutil.rmtree(inside)
    return done.stdout, 'status %d' % done.returncode \
        if done.returncode else ''


def wanted(options):
    names = options.interpreters or \
        os.environ.get('PA_TEST_PYTHONS', '').split() or [sys.executable]
    for name in names:
        yield name, {}
        if any(v in name for v in ('3.14', '3.15')):
            yield name, {'PYTHON_JIT': '1'}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seed', type=int, default=int(time.time()))
    parser.add_argument('--scale', type=float,
                        default=float(os.environ.get('PA_TEST_SCALE', '0.3')))
    parser.add_argument('--groups', default='')
    parser.add_argument('interpreters', nargs='*')
    options = parser.parse_args()
    count = 0
    print('# seed %d, scale %g' % (options.seed, options.scale))
    with tempfile.TemporaryDirectory(prefix='pa-layer-') as directory:
        harness = os.path.join(directory, 'harness.so')
        build(harness)
        for interpreter, environment in wanted(options):
            start = time.monotonic()
            output, ended = run(interpreter, harness, options, environment)
            label = ' '.join([interpreter] + ['%s=%s' % e
                                              for e in environment.items()])
            done = False
            for line in output.decode(errors='backslashreplace').split('\n'):
                verdict, _, rest = line.partition('ok ')
                if verdict in ('', 'not ') and rest:
                    count += 1
                    print('%sok %d - %s: %s' % (verdict, count, label, rest))
                elif line.startswith('done '):
                    done = True
                elif line.strip():
                    print('# ' + line)
            count += 1
            print('%sok %d - %s: ran to its end in %.1f s %s'
                  % ('' if done and not ended else 'not ', count, label,
                     time.monotonic() - start, ended))
            sys.stdout.flush()
    print('1..%d' % count)


if __name__ == '__main__':
    main()

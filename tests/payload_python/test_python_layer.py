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
    sources.append(os.path.join(TOP, 'payload', 'process.c'))
    sources += [os.path.join(HERE, part) for part in ('harness.c', 'harness_gil.c')]
    subprocess.check_call(os.environ.get('CC', 'gcc').split() + FLAGS +
                          ['-I', TOP, '-o', out] + sources)


def run(interpreter, harness, options, environment):
    """(lines of the worker, how it ended or '')"""
    root, _, python = interpreter.rpartition(':')
    worker = os.path.join(HERE, 'layer_worker.py')
    command, inside = [], None
    if root:
        inside = tempfile.mkdtemp(prefix='pa-layer-', dir=root + '/tmp')
        harness = shutil.copy(harness, inside)
        for part in glob.glob(os.path.join(HERE, 'layer_*.py')):
            shutil.copy(part, inside)
        worker = os.path.join(inside, 'layer_worker.py')
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


EXIT = """
import ctypes, sys, threading, time
h, p = ctypes.CDLL(sys.argv[1]), ctypes.PyDLL(sys.argv[1])
assert h.pt_init() == 0
class Late:
    def __del__(self): p.pt_sleep(5)
late = Late()
threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
h.pt_gil_start(4000, {delay})
p.pt_sleep({hold})
"""


def exits(python, harness):
    """The target ends while the GIL is being taken: nothing shows."""
    bad = []
    for i in range(24):
        script = EXIT.format(delay=i % 6, hold=(i * 7) % 20)
        done = subprocess.run([python, '-c', script, harness],
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60)
        if done.returncode or done.stdout:
            bad.append((i, done.returncode, done.stdout[-200:]))
    yield not bad, 'ends while the GIL is taken %r' % bad


def embedded(python, harness, directory):
    """libpython loaded RTLD_LOCAL, where this interpreter has one."""
    library = subprocess.check_output(
        [python, '-c', 'import sysconfig as s, os;'
         'print(os.path.join(s.get_config_var("LIBDIR"),'
         's.get_config_var("INSTSONAME") or "none"))'],
        universal_newlines=True).strip()
    if not os.path.exists(library) or '.so' not in library:
        return
    program = os.path.join(directory, 'embed')
    subprocess.check_call(os.environ.get('CC', 'gcc').split() +
                          ['-std=gnu11', '-O1', '-w', '-I', TOP, '-o', program,
                           os.path.join(HERE, 'embed.c'), '-ldl'])
    home = subprocess.check_output(
        [python, '-c', 'import sys; print(sys.prefix)'],
        universal_newlines=True).strip()
    done = subprocess.run([program, harness, library], timeout=60,
                          env=dict(os.environ, PYTHONHOME=home),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for line in done.stdout.decode(errors='replace').splitlines():
        if line.startswith(('ok ', 'not ok ')):
            yield line.startswith('ok'), line.partition('ok ')[2]
        else:
            print('# ' + line)
    yield not done.returncode, 'embed: status %d' % done.returncode


NO_READV = """
#include <errno.h>
long process_vm_readv(void) { errno = EPERM; return -1; }
"""


def forbidden(python, harness, directory):
    """process_vm_readv answers EPERM, as under some seccomp filters."""
    shim = os.path.join(directory, 'shim.so')
    subprocess.run(os.environ.get('CC', 'gcc').split() +
                   ['-shared', '-fPIC', '-x', 'c', '-', '-o', shim],
                   input=NO_READV.encode(), check=True)
    done = subprocess.run(
        [python, os.path.join(HERE, 'layer_worker.py'), harness, '1', '0.1',
         'gil', 'safe_read', 'subinterpreters'],
        env=dict(os.environ, LD_PRELOAD=shim), timeout=LIMIT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = done.stdout.decode(errors='replace').splitlines()
    bad = [l for l in lines if not l.startswith(('ok', 'done 0', '#'))]
    yield not bad and 'done 0' in lines, 'without process_vm_readv %r' % bad


OLD = 'import ctypes, sys; sys.exit(-ctypes.CDLL(sys.argv[1]).pt_init())'


def too_old(harness):
    for python in os.environ.get('PA_TEST_OLD_PYTHONS', '').split():
        status = subprocess.call([python, '-c', OLD, harness])
        yield status == 16, '%s is refused as old: %d' % (python, status)


def wanted(options):
    names = options.interpreters or \
        os.environ.get('PA_TEST_PYTHONS', '').split() or [sys.executable]
    for name in names:
        yield name, {}
        if any(v in name for v in ('3.14', '3.15')):
            yield name, {'PYTHON_JIT': '1'}


def others(options, harness, directory):
    """What needs processes of its own; not inside chroots."""
    if options.groups:
        return
    yield from too_old(harness)
    for python in dict.fromkeys(name for name, _ in wanted(options)):
        if ':' in python:
            continue
        for check in (exits(python, harness),
                      embedded(python, harness, directory),
                      forbidden(python, harness, directory)):
            for good, text in check:
                yield good, python + ': ' + text


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
        for good, text in others(options, harness, directory):
            count += 1
            print('%sok %d - %s' % ('' if good else 'not ', count, text))
            sys.stdout.flush()
    print('1..%d' % count)


if __name__ == '__main__':
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `make install` puts where for gdb, and `pyattach-sample gdb`: one file
that `source` accepts, its package beside it, a loader for gdbinit.d, and
nothing beside the payload."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common                                             # noqa: E402
from common import PROGRAM                                # noqa: E402
from make_core import core                                # noqa: E402
from make_image import synthetic                          # noqa: E402
from tap import done, ok, skip, skip_all                  # noqa: E402

BUILD = os.environ.get('PA_BUILDDIR', '')
HEAP = (0x555500000000, b'h' * 8192)


def installed(where):
    """{path under DESTDIR} after `make install`, or None."""
    keep = {k: v for k, v in os.environ.items()
            if k not in ('MAKEFLAGS', 'MFLAGS', 'MAKELEVEL', 'DESTDIR')}
    result = subprocess.run(
        ['make', '-s', '-C', BUILD, 'install', 'DESTDIR=' + where], env=keep,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=300)
    ok(result.returncode == 0, 'make install', result.stdout.decode(
        errors='replace')[-2000:])
    return {os.path.join(folder, name)[len(where):]
            for folder, _folders, names in os.walk(where) for name in names}


def ending(paths, end):
    """The one path that ends so."""
    found = [path for path in paths if path.endswith(end)]
    ok(len(found) == 1, 'one file is installed as ' + end, *found)
    return found[0] if found else ''


def files(where):
    paths = installed(where)
    payload = ending(paths, '/pyattach-payload.so')
    beside = [path for path in paths
              if os.path.dirname(path) == os.path.dirname(payload)]
    ok(beside == [payload], 'nothing is beside the payload', *beside)
    script = ending(paths, '/gdb/pyattach-gdb.py')
    package = os.path.dirname(script) + '/pyattach/'
    ending(paths, package + 'commands.py')
    ending(paths, package + 'image_fields.py')
    sources = set(os.listdir(os.path.join(common.SOURCE, 'gdb', 'pyattach')))
    missing = [name for name in sources
               if name.endswith('.py') and package + name not in paths]
    ok(not missing, 'every module is installed', *missing)
    loader = ending(paths, '/gdb/gdbinit.d/pyattach.py')
    with open(where + loader, encoding='utf-8') as f:
        text = f.read()
    ok('"%s"' % script in text, 'the loader names the script', text)
    names = re.search('^COMMANDS = "(.*)"$', text, re.M)
    _status, out, _err = common.gdb(['complete pyattach '], [
        'source ' + where + script], load=False)
    ok(names and sorted(names.group(1).split()) == sorted(
        line[9:] for line in out.splitlines()), 'and every command', text,
       out)
    return where + script, text.replace(
        os.path.dirname(script), where + os.path.dirname(script))


def in_gdb(script, loader):
    status, out, err = common.gdb(['source ' + script, 'pyattach top 2'],
                                  ['core-file x.core'], load=False)
    ok(status == 0 and '95 % interval' in out, 'source accepts it', out, err)
    with open('loader.py', 'w', encoding='utf-8') as f:
        f.write(loader)
    status, out, err = common.gdb(['info pyattach'], [
        'core-file x.core', 'source loader.py'], load=False)
    ok(status == 0 and 'found by low slot' in out, 'so does the loader', out,
       err)


def answers(what, *commands):
    """What `pyattach-sample gdb` prints, given commands on its input."""
    with open('commands', 'w', encoding='utf-8') as f:
        f.write(''.join(word + '\n' for word in commands + ('quit',)))
    with open('commands', 'rb') as f:
        return common.run([PROGRAM, 'gdb', what], common.GDB_SECONDS, stdin=f)


def started():
    status, out, err = answers('x.core', 'info pyattach', 'pyattach top 2')
    ok(status == 0 and 'found by low slot' in out and '95 % interval' in out,
       'pyattach-sample gdb CORE', status, out, err)
    process = subprocess.Popen([sys.executable, '-c',
                                'import sys; sys.stdin.read()'],
                               stdin=subprocess.PIPE)
    try:
        status, out, err = answers(str(process.pid), 'info pyattach')
        ok('nothing was attached' in out + err, 'pyattach-sample gdb PID',
           status, out, err)
        ok(process.poll() is None, 'the process lives on')
    finally:
        process.stdin.close()
        process.wait(60)
    status, out, err = answers('no.core')
    ok(status == 96 and 'no.core cannot be read' in err, 'no such core',
       status, err)
    status, _out, err = common.run([PROGRAM, 'gdb'])
    ok(status == 2 and 'CORE or a PID' in err, 'no operand', status, err)
    status, _out, err = common.run([PROGRAM, 'gdb', 'x.core', '-p', '1'])
    ok(status == 2 and 'one CORE or a PID is needed' in err, 'two operands', status, err)
    for words in (['4194305'], ['--pid', '4194305']):
        status, _out, err = common.run([PROGRAM, 'gdb'] + words)
        ok(status == 10 and 'no process 4194305' in err, 'no such process', status, err)


def main():
    where = common.scratch()
    os.chdir(where)
    if not common.gdb_works():
        skip_all('no gdb with Python 3.6 or later')
    with open('x.core', 'wb') as f:
        f.write(core(synthetic(100, 20, 3).memory() + [HEAP]))
    if os.path.exists(os.path.join(BUILD, 'Makefile')):
        in_gdb(*files(where + '/installed'))
    else:
        skip('make install', 'no build tree: %s' % (BUILD or 'not set'))
    if common.program_works():
        started()
    else:
        skip('pyattach-sample gdb', 'no program')
    done()


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The commands in a real gdb, on hand-made cores: what they print, what they
refuse, help, completion, settings, convenience functions.  Every gdb has a
time limit and is ended."""
import json
import os
import re
import select
import shutil
import signal
import stat
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common                                             # noqa: E402
from common import differences                            # noqa: E402
from make_core import core                                # noqa: E402
from make_image import synthetic                          # noqa: E402
from pyattach import (decode, discover, json_views,       # noqa: E402
                      memory, report)
from pyattach.layout import CONSTANTS as C                # noqa: E402
from tap import done, ok, skip_all                        # noqa: E402

HEAP = (0x555500000000, b'h' * 8192)
COMMANDS = ('at', 'census', 'check', 'diff', 'export', 'list', 'save', 'site',
            'top', 'tree')
ADDRESS = 0x7e0000000000 + 5 * 65536    # of the fifth sample


def write(data, path='x.core'):
    with open(path, 'wb') as f:
        f.write(data)


def on_core(*commands, path='x.core', **more):
    """(status, what was printed after the marker, what went wrong)."""
    status, out, err = common.gdb(('echo MARK\\n',) + commands,
                                  ['core-file ' + path], **more)
    return status, out.partition('MARK\n')[2], err


def own(path='x.core', **question):
    source = memory.ElfCoreMemory(path)
    table = decode.Table(source, discover.Discovery(source).run())
    return json.loads(json_views.dumps(json_views.report_json(
        report.Report(table, **question))))


def answers():
    status, out, err = on_core('info pyattach')
    ok(status == 0 and 'found by low slot' in out and 'DAMAGED' not in out,
       'info pyattach', out, err)
    status, out, err = on_core('pyattach top 3')
    ok(status == 0 and '95 % interval' in out and 'more rows hold' in out,
       'pyattach top 3', out, err)
    for words, question in (
            ('', {}), (' 0', {'limit': 0}), (' -by traceback 5', {
                'group_by': 'traceback', 'limit': 5}),
            (' -of allocated -sort objects', {'of': 'allocated',
                                              'sort': 'objects'})):
        status, out, err = on_core('pyattach top -json' + words)
        try:
            found = differences(json.loads(out), own(**question))
        except ValueError as error:
            found = [str(error), out[:500]]
        ok(status == 0 and not found, 'top -json%s is report/1' % words, err,
           *found[:5])
    status, out, err = on_core('info pyattach -json')
    ok(json.loads(out)['schema'] == 'pyattach-sample/status/1',
       'info -json is status/1', err)
    status, out, err = on_core('pyattach check')
    ok('400 live samples' in out and 'whole' in out, 'pyattach check', out)
    status, out, err = on_core('pyattach tree 5')
    ok('100 %  all' in out and out.count('\n') <= 7, 'pyattach tree', out)
    status, out, err = on_core('pyattach list 4 -larger 1k -older 0')
    ok(out.count('0x') == 4 and 'more samples' in out, 'pyattach list', out)
    status, out, err = on_core('pyattach list -larger 1G')
    ok(out == 'No live sample is so large and so old.\n',
       'pyattach list of none', out)
    status, out, err = on_core('pyattach site 5')
    ok(out.startswith('site 5') and 'holds' in out, 'pyattach site', out)


def addresses():
    status, out, err = on_core('pyattach at 0x%x' % (ADDRESS + 3))
    ok('in a sampled block: 0x%x' % ADDRESS in out and 'offset 3' in out,
       'at: a sampled block', out, err)
    status, out, err = on_core('pyattach at 64')
    ok(out.count('probability') == 4 and '64 B' in out and '8 MiB' in out,
       'at: the odds of four sizes', out)
    status, out, err = on_core('pyattach at "60 + 4" 4KiB')
    ok(out.count('probability') == 1 and '4 KiB' in out,
       'at: an expression and a size', out, err)
    status, out, err = on_core(
        'printf "%%lu %%s|\\n", $_pyattach_at(0x%x), $_pyattach_site(0x%x)'
        % (ADDRESS, ADDRESS), 'output $_pyattach_site(64)',
        'print $_pyattach_at(64)')
    ok('"<not sampled>"' in out and '= 0' in out,
       'functions where nothing is sampled', out, err)
    status, out, err = on_core(
        'printf "%%s|%%#lx|\\n", $_pyattach_site(0x%x), $_pyattach_at(0x%x)'
        % (ADDRESS, ADDRESS), 'printf "%s|\\n", $_pyattach_site(64)')
    ok(status == 0 and '|0x%x|' % ADDRESS in out and
       '<not sampled>|' in out, 'printf takes what they give', out, err)
    status, out, err = on_core('print $_pyattach_at(0x%x) == 0x%x'
                               % (ADDRESS + 3, ADDRESS))
    ok('= 1' in out or '= true' in out, '$_pyattach_at', out, err)


def files():
    status, out, err = on_core('pyattach save s.image')
    ok(status == 0 and '400 samples' in out, 'pyattach save', out, err)
    source = memory.FileImage.open('s.image')
    table = decode.Table(source, discover.open_snapshot(source))
    value = json.loads(json_views.dumps(json_views.report_json(
        report.Report(table))))
    ok(not differences(value['rows'], own()['rows']),
       'the saved table says the same')
    status, out, err = on_core('pyattach save s.image')
    ok(status != 0 and 'exists' in err, 'save overwrites nothing', err)
    status, out, err = on_core('pyattach save s.image -force')
    ok(status == 0, 'save -force does', err)
    status, out, err = on_core('pyattach save no/such/directory/x')
    ok(status != 0 and 'No such file' in err, 'save to nowhere', err)
    odd_files()
    status, out, err = on_core('pyattach export json r.json')
    with open('r.json') as f:
        found = differences(json.load(f), own(limit=0))
    ok(status == 0 and not found and 'r.json: ' in out,
       'pyattach export json', out, *found[:5])
    status, out, err = on_core('pyattach export table r.txt')
    with open('r.txt', encoding='utf-8') as f:
        ok('95 % interval' in f.read(), 'pyattach export table', err)
    status, out, err = on_core('pyattach diff y.core 5')
    ok('Same process' in out and 'growth' in out, 'pyattach diff', out, err)
    status, out, err = on_core('pyattach diff x.core')
    ok('Nothing differs.' in out, 'pyattach diff to itself', out, err)
    status, out, err = on_core('pyattach diff x.core -json')
    ok(json.loads(out) == {'schema': 'pyattach-sample/diff/1',
                           'matched': True, 'rows': []},
       'no difference to itself', out, err)


def odd_files():
    """Where a file is to be written and something else is."""
    os.symlink('s.image', 'link')
    os.symlink('nowhere', 'dangling')
    os.mkdir('directory')
    for where, said in (('link', 'exists'), ('dangling', 'exists'),
                        ('directory', 'Is a directory'),
                        ('directory -force', 'Is a directory'),
                        # never with -force: root could lose the device
                        ('/dev/full', 'No space left')):
        status, out, err = on_core('pyattach save ' + where)
        ok(status != 0 and said in err, 'save to ' + where, out, err)
    ok(os.path.islink('link') and os.path.islink('dangling') and
       not os.path.exists('nowhere'), 'links stay what they are')
    os.truncate('s.image', 0)
    status, out, err = on_core('pyattach save link -force')
    ok(status == 0 and os.path.islink('link') and
       os.path.getsize('s.image') > 4096, 'of a link the file behind it', err)
    status, out, err = on_core('pyattach save dangling -force')
    ok(status == 0 and os.path.islink('dangling') and
       os.path.getsize('nowhere') > 4096, 'and where there was none', err)
    os.mkfifo('pipe')
    for words in 'pipe', 'pipe -force':
        reader = os.open('pipe', os.O_RDONLY | os.O_NONBLOCK)
        status, out, err = on_core('pyattach export table ' + words)
        ok(status == 0 and b'95 % interval' in os.read(reader, 65536) and
           stat.S_ISFIFO(os.stat('pipe').st_mode),
           'a pipe is written to: ' + words, out, err)
        os.close(reader)
    mask = os.umask(0o077)
    status, out, err = on_core('pyattach save private')
    os.umask(mask)
    ok(status == 0 and os.stat('private').st_mode & 0o777 == 0o600,
       'a new file has the rights of the umask', err)
    left = [name for name in os.listdir('.') if name.startswith('.')]
    ok(not left, 'no temporary file is left', *left)


def refusals():
    """One clear sentence, a bad status, never a traceback."""
    for words, said in (
            ('pyattach top x', 'not a number of rows'),
            ('pyattach top 1 2', 'Usage'), ('pyattach top -by colour',
                                            'is one of'),
            ('pyattach top -of', 'needs a value'),
            ('pyattach top -larger 3', 'no option'),
            ('pyattach site', 'Usage'), ('pyattach site nowhere.py:1',
                                         'No site'),
            ('pyattach site 99999', 'No site'), ('pyattach at', 'Usage'),
            ('pyattach at nonsense', 'not an address'),
            ('pyattach at 1 2 3', 'Usage'), ('pyattach at 1 huge',
                                             'not a size'),
            ('pyattach list -older ever', 'not a time'),
            ('pyattach diff', 'Usage'), ('pyattach diff /dev/null',
                                         'not a regular file'),
            ('pyattach diff no-such-file', 'No such file'),
            ('pyattach diff text', 'not an ELF file'),
            ('pyattach export xml f', 'not a format'),
            ('pyattach save', 'Usage'), ('pyattach nonsense', 'Undefined'),
            ('set pyattach limit -3', ''),
            ('set pyattach address nonsense', 'not an address'),
            ('print $_pyattach_at()', ''), ('pyattach top "', ''),
            ('print $_pyattach_at("x")', 'not an address'),
            ('print $_pyattach_site("x")', 'not an address'),
            ('print $_pyattach_site($no_such)', 'not an address'),
            ('print $_pyattach_site(1, 2)', 'Usage'),
            ('pyattach tree 1 2', 'One word too many: 2'),
            ('pyattach list 1 2', 'One word too many: 2'),
            ('pyattach top --json', 'no option --json'),
            ('pyattach top -by thread -of allocated', 'not kept by thread'),
            ('pyattach top -sort age -of allocated', 'is for -of live'),
            ('pyattach at 64 1KB', 'KiB'),
            ('set pyattach nonsense', 'Undefined set pyattach command'),
            ('show pyattach nonsense', 'Undefined show pyattach command')):
        status, out, err = on_core(words)
        ok(status != 0 and said in err and 'Traceback' not in out + err and
           'Error occurred in Python' not in err, 'refused: ' + words,
           status, out, err)


def no_table():
    """Why there is none, for each command."""
    write(core([HEAP]), 'none.core')
    write(core([(C['SLOT_FIRST'], b'', 4096), HEAP]), 'filtered.core')
    for path, said in (('none.core', 'nothing was attached'),
                       ('filtered.core', 'coredump_filter')):
        for words in ('info pyattach', 'pyattach top', 'pyattach check',
                      'pyattach at 64', 'print $_pyattach_at(64)'):
            status, _out, err = on_core(words, path=path)
            ok(status != 0 and said in err and 'Traceback' not in err,
               '%s: %s' % (path, words), err)
    gone = synthetic(50, 2, 1)
    gone.set(state=C['STATE_DETACHED'],
             detached_realtime_ns=1700000300 * 10**9)
    write(core(gone.memory()[:1]), 'gone.core')
    status, out, err = on_core('info pyattach', path='gone.core')
    ok(status == 0 and 'detached at 2023' in out and 'DAMAGED' not in out,
       'info of a detached one', out, err)
    status, out, err = on_core('pyattach top', path='gone.core')
    ok(status != 0 and 'detached at 2023' in err, 'top of a detached one',
       err)
    status, out, err = common.gdb(['pyattach top'])
    ok(status != 0 and 'No process and no core' in err, 'nothing at all',
       err)


def settings():
    status, out, err = on_core('set pyattach limit 2', 'show pyattach limit',
                               'pyattach top -json')
    rows = json.loads(out.splitlines()[-1])['rows']
    ok('show 2 rows' in out and len(rows) == 2, 'set pyattach limit', out)
    status, out, err = on_core('set pyattach address 0x2000000000',
                               'info pyattach', 'show pyattach address')
    ok('found by given' in out and 'at 0x2000000000' in out,
       'set pyattach address', out, err)
    status, out, err = on_core('set pyattach address 0x555500000000',
                               'info pyattach')
    ok(status != 0 and 'no directory' in err, 'a wrong address', err)


def help_texts():
    for name in COMMANDS:
        status, out, err = on_core('help pyattach ' + name)
        lines = out.splitlines()
        ok(status == 0 and lines and len(lines[0]) <= 75 and
           lines[0].endswith('.') and lines[1].startswith(
               'Usage: pyattach ' + name), 'help pyattach ' + name, out)
    status, out, err = on_core('pyattach')
    ok(status == 0 and all('pyattach ' + name in out for name in COMMANDS),
       '`pyattach\' alone lists the commands', out)
    status, out, err = on_core('complete pyattach ', 'complete pyattach top -',
                               'complete pyattach top -by t',
                               'complete pyattach export ')
    want = ['pyattach ' + name for name in COMMANDS] + [
        'pyattach top -by', 'pyattach top -json', 'pyattach top -of',
        'pyattach top -sort', 'pyattach top -by thread',
        'pyattach top -by traceback', 'pyattach export table',
        'pyattach export json']
    missing = [w for w in want if w not in out.splitlines()]
    ok(not missing, 'completion', missing, out)


def hostile():
    write(core(synthetic(300, 40, 2, hostile=True).memory()), 'hostile.core')
    status, out, err = on_core('pyattach top 0', 'pyattach tree 0',
                               'pyattach list 0', path='hostile.core')
    bad = re.findall('[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]', out)
    ok(status == 0 and not bad and '\\x1b]0;owned' in out,
       'hostile names are shown as escapes', bad[:5], err)


class Terminal:
    """gdb as a person has it; ended whatever happens."""

    def __init__(self, *commands):
        words = [common.GDB, '-nx', '-q', '-iex',
                 'set debuginfod enabled off']
        for command in ('set height 8', 'set width 80') + commands:
            words += ['-ex', command]
        self.pid, self.fd = os.forkpty()
        if not self.pid:
            os.environ.update(HOME=os.getcwd(), TERM='dumb')
            os.execv(words[0], words)

    def until(self, word, seconds=120):
        """What it prints until a word comes."""
        got, end = b'', time.monotonic() + seconds
        while word not in got and time.monotonic() < end:
            if select.select([self.fd], [], [], 0.5)[0]:
                try:
                    got += os.read(self.fd, 65536)
                except OSError:
                    break
        return got.decode('utf-8', 'replace')

    def say(self, text):
        os.write(self.fd, text)

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def paging():
    """`q' at the pager and ^C end a command quietly."""
    more = b'to quit, c to continue'
    terminal = Terminal('core-file x.core', 'source ' + common.SCRIPT)
    try:
        terminal.until(b'(gdb) ')
        for command in (b'pyattach top 0', b'pyattach list 0',
                        b'pyattach tree 0'):
            for key in (b'q\n', b'\x03'):
                terminal.say(command + b'\n')
                first = terminal.until(more)
                terminal.say(key)
                rest = terminal.until(b'(gdb) ')
                ok('continue' in first and 'Quit' in rest and
                   'Traceback' not in rest and 'Error' not in rest,
                   'the pager ends %s by %r' % (command.decode(), key), rest)
        terminal.say(b'info pyattach\n')
        ok('Trace table' in terminal.until(b'(gdb) '), 'and gdb goes on')
    finally:
        terminal.close()


def loader():
    """The file for gdbinit.d loads the commands at their first use."""
    with open(os.path.join(common.SOURCE, 'gdb', 'gdbinit.py.in')) as f:
        text = f.read().replace('@gdbdir@', os.path.dirname(common.SCRIPT))
    text = text.replace('@commands@', ' '.join(COMMANDS))
    write(text.encode(), 'loader.py')
    status, out, err = common.gdb(['complete pyattach ', 'help pyattach top'],
                                  ['source loader.py'], load=False)
    ok(status == 0 and [line[9:] for line in out.splitlines() if
       line.startswith('pyattach ')] == list(COMMANDS) and
       'loaded at their first use' in out, 'complete before that', out, err)
    for words, said in (('info pyattach', 'found by low slot'),
                        ('pyattach top 2', 'more rows hold'),
                        ('print $_pyattach_site(64)', 'not sampled'),
                        ('printf "%s", $_pyattach_site(64)', 'not sampled'),
                        ('set pyattach limit 3', ''),
                        ('show pyattach limit', 'show 20 rows')):
        status, out, err = common.gdb(
            [words], ['core-file x.core', 'source loader.py',
                      'python import sys; print("pyattach.commands" in '
                      'sys.modules)'], load=False)
        ok(status == 0 and said in out and 'False' in out,
           'loaded at the first use: ' + words, out, err)
    status, out, err = common.gdb(['print $_pyattach_at("x")'], [
        'core-file x.core', 'source loader.py'], load=False)
    ok(status != 0 and 'not an address' in err and
       'Error occurred' not in err, 'a wrong first use', out, err)


def another_core():
    """The file that gdb has open becomes another one of the same process."""
    shutil.copy('y.core', 'changes.core')
    status, out, err = on_core('pyattach check', 'shell cp x.core changes.core',
                               'pyattach check', path='changes.core')
    ok(status == 0 and '350 live samples' in out and '400 live samples' in
       out, 'a core that was replaced is read again', out, err)


def no_other_file():
    """A core on its own: without the program, in a directory of nothing."""
    status, out, err = on_core('pyattach top -json', arguments=())
    ok(status == 0 and json.loads(out)['source'] == 'core',
       'needs nothing but the core', err)


def main():
    os.chdir(common.scratch())
    if not common.gdb_works():
        skip_all('no gdb with Python 3.6 or later')
    image = synthetic(400, 40, 3, freed=40)
    write(core(image.memory() + [HEAP]))
    write(core(synthetic(350, 40, 3, freed=40).memory()), 'y.core')
    write(b'text ' * 100, 'text')
    answers()
    addresses()
    files()
    refusals()
    no_table()
    settings()
    help_texts()
    hostile()
    another_core()
    no_other_file()
    loader()
    paging()
    done()


main()

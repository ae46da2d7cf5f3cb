# SPDX-License-Identifier: MIT
"""`pyattach census': registered beside the commands of commands.py.

Thin: which memory it is, words in, lines out.  gdb itself is reached through
commands.py only.
"""
import os

from . import census, commands, json_views, text
from .words import Misuse


def tracer_of(pid):
    """Who traces a process of this machine, or 0."""
    try:
        with open('/proc/%d/status' % pid) as status:
            for line in status:
                if line.startswith('TracerPid:'):
                    return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0


def source_of(memory):
    """What the command can read itself: a core file, or a process that this
    gdb holds on this machine; else None."""
    if getattr(memory, 'path', None):
        return memory.path
    if memory.kind == 'live' and memory.pid and \
            tracer_of(memory.pid) == os.getpid():
        return memory.pid
    return None


class Census(commands._Command):
    """Show what the process holds, by type, whoever allocated it when.
Usage: pyattach census [N] [-json]

N      rows; 0 shows all; the default is `show pyattach limit'
-json  one census/1 object, as `pyattach-sample census --json' prints it

Needs no attach.  Where pyattach-sample is not installed only objects of up to
512 bytes are counted, without the buffers that they own."""

    name = 'pyattach census'
    options = ('-json',)

    def run(self, plain, given):
        if len(plain) > 1:
            raise Misuse('Usage: pyattach census [N] [-json]')
        limit = commands.limit_of(plain)
        memory = commands.SESSION.memory()
        answer = self.take(memory, limit)
        if '-json' in given:
            commands.show([json_views.dumps(answer)])
        else:
            commands.show(census.table(answer))

    @staticmethod
    def take(memory, limit):
        source = source_of(memory)
        remark = None
        if source is not None:
            try:
                answer = census.by_tool(source, limit)
                if answer:
                    return answer
            except (census.ToolFailed, OSError) as why:
                remark = '%s: %s' % (census.PROGRAM, text.safe(str(why)))
        more = commands.GdbMemory(commands.gdb.selected_inferior(),
                                  memory.kind)
        answer = census.by_pass(memory, more.read, limit)
        if remark:
            answer['remarks'] = [remark, 'Hence only objects of up to 512 '
                                 'bytes, without the buffers that they own.']
        return answer


Census()

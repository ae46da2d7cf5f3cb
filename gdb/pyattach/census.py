# SPDX-License-Identifier: MIT
"""What a process holds, by type: through the command where it is installed,
else by a pass over the pools of small objects in Python.

The pass counts objects of up to 512 bytes without the buffers that they own.
A pool is known by its header, and by an equation that chance cannot meet:
blocks carved - blocks free = blocks counted.  The memory may hold anything:
nothing read from it is trusted, and every loop is bounded by its size.
"""
import json
import shutil
import struct
import subprocess

from . import text, views
from .memory import Loss

PROGRAM = 'pyattach-sample'
SECONDS = 600
PIECE = 1 << 20
POOLS = (4096, 16384)
HEADER = 48
PAGE = 4096

# In a type object: tp_name, tp_basicsize, tp_flags; all versions alike.
NAME, BASICSIZE, FLAGS, TYPE_SIZE = 24, 32, 168, 176
PRE_HEAD, HAS_GC, IS_STR, IS_TYPE = 3 << 3, 1 << 14, 1 << 28, 1 << 31
LEAST_STR = 40
HEAD = struct.Struct('<I4xQ16xIIII')


class ToolFailed(Exception):
    """The command is there and gave no census; the text says why."""


def by_tool(source, limit):
    """census/1 of a PID or a core by the command; None where there is none."""
    program = shutil.which(PROGRAM)
    if not program:
        return None
    process = subprocess.Popen(
        [program, 'census', str(source), '--json', '--limit', str(limit)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    try:
        out, errors = process.communicate(timeout=SECONDS)
        if process.returncode:
            raise ToolFailed(json.loads(errors.decode('utf-8'))['message'])
        answer = json.loads(out.decode('utf-8'))
    except subprocess.TimeoutExpired:
        raise ToolFailed('it did not end in %d s' % SECONDS)
    except (ValueError, KeyError, TypeError):
        raise ToolFailed('its answer was not understood')
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return answer


# -- the pass in Python

class _Types:
    """Is there a type object at this address?"""

    def __init__(self, read, more):
        self.read = read
        self.more = more        # also for constants of programs
        self.known = {}         # address: None or (flags, basicsize, name_at)

    def _flags(self, address):
        try:
            return struct.unpack_from('<Q', self.read(address + FLAGS, 8))[0]
        except Loss:
            return 0

    def _is_type(self, metatype):
        """Does a chain of metatypes lead to one that is its own type?"""
        for _ in range(8):
            if metatype % 8 or not self._flags(metatype) & IS_TYPE:
                return False
            following = struct.unpack('<Q', self.read(metatype + 8, 8))[0]
            if following == metatype:
                return True
            metatype = following
        return False

    def at(self, address):
        if address not in self.known:
            self.known[address] = self._look(address)
        return self.known[address]

    def _look(self, address):
        if address % 8 or not 65536 <= address < 1 << 47:
            return None
        try:
            body = self.read(address, TYPE_SIZE)
            metatype, = struct.unpack_from('<Q', body, 8)
            name, size = struct.unpack_from('<QQ', body, NAME)
            flags, = struct.unpack_from('<Q', body, FLAGS)
            if not self._is_type(metatype) or not name or \
                    not 16 <= size < 1 << 31 or not flags & 1 << 12:
                return None
        except Loss:
            return None
        return flags, size, name

    def name(self, address):
        """(module or None, name) by the C string of the type."""
        at = self.known[address][2]
        name = b''
        while len(name) < 256 and b'\0' not in name:
            part = PAGE - (at + len(name)) % PAGE
            try:
                name += self.more(at + len(name), min(part, 256))
            except Loss:
                break
        name = text.json_text(name.split(b'\0')[0][:256])
        if not name:
            return None, '<type at 0x%x>' % address
        module, _, last = name.rpartition('.')
        return module or None, last


def _pool(data, place, address):
    """(size of pool, of a block, blocks carved, free ones as a set); None if
    there is no pool; an empty set of numbers (size, 0, 0, None) if it was
    changing."""
    live, free, _arena, szclass, following, most = HEAD.unpack_from(data, place)
    if szclass >= 32:
        return None
    size = (szclass + 1) * 16
    pool = most + size
    if pool not in POOLS or address % pool or place + pool > len(data) or \
            following < HEADER + size or following > most + size or \
            (following - HEADER) % size or live > (pool - HEADER) // size:
        return None
    carved = (following - HEADER) // size
    missing = set()
    while free:
        k, odd = divmod(free - address - HEADER, size)
        if odd or not 0 <= k < carved or k in missing:
            return pool, 0, 0, None
        missing.add(k)
        free, = struct.unpack_from('<Q', data, place + HEADER + k * size)
    if carved - len(missing) != live:
        return pool, 0, 0, None
    return pool, size, carved, missing


def _object(types, words, size):
    """The type of the object in a block, by the words at its start."""
    for offset in (0, 2, 4):
        if offset + 1 >= len(words) or words[offset] >> 32 & 0xffff:
            continue
        found = types.at(words[offset + 1])
        if not found:
            continue
        flags, basic, _name = found
        want = (2 if flags & HAS_GC else 0) + (2 if flags & PRE_HEAD else 0)
        least = LEAST_STR if flags & IS_STR else basic
        if want == offset and offset * 8 + least <= size:
            return words[offset + 1], words[offset] & 0xffffffff
    return None, 0


class Pass:
    """Counts of a whole memory, by type."""

    def __init__(self, memory, more):
        self.memory = memory
        self.types = _Types(memory.read, more)
        self.count = {}         # address of a type: [objects, bytes]
        self.pools = self.changing = 0
        self.native = [0, 0]
        self.kept = [0, 0]

    def _blocks(self, data, place, size, carved, missing):
        words = min(size // 8, 6)
        form = struct.Struct('<%dQ' % words)
        for k in range(carved):
            if k in missing:
                continue
            kind, references = _object(self.types, form.unpack_from(
                data, place + HEADER + k * size), size)
            if kind is None:
                row = self.native
            elif not references:
                row = self.kept
            else:
                row = self.count.setdefault(kind, [0, 0])
            row[0] += 1
            row[1] += size

    def _segment(self, start, present):
        # whole pools in a piece: pieces begin at a multiple of the largest
        place = -start % PAGE
        while place < present:
            address = start + place
            size = min(PIECE - address % POOLS[-1] if address % POOLS[-1]
                       else PIECE, present - place)
            data, _losses = self.memory.salvage(address, size)
            at = 0
            while at + HEADER <= len(data):
                pool = _pool(data, at, address + at)
                if pool is None:
                    at += PAGE
                    continue
                if pool[3] is None:
                    self.changing += 1
                    at += PAGE
                    continue
                self.pools += 1
                self._blocks(data, at, *pool[1:])
                at += pool[0]
            place += size

    def run(self):
        for start, _size, present in self.memory.segments():
            self._segment(start, present)
        return self

    def rows(self):
        total = sum(size for _n, size in self.count.values()) or 1
        found = []
        for kind, (objects, size) in self.count.items():
            module, name = self.types.name(kind)
            found.append({
                'type': name, 'module': module, 'objects': objects,
                'bytes': size, 'bytes_with_buffers': None,
                'share': size / total})
        return found


def by_pass(memory, more, limit):
    """An object like census/1 from the pass alone; what it cannot tell is
    null.  more(address, size) reads constants too."""
    found = Pass(memory, more).run()
    rows = sorted(found.rows(), key=lambda row: (-row['bytes'], row['type']))
    shown = rows[:limit] if limit else rows
    return {
        'schema': 'pyattach-sample/census/1', 'source': memory.kind,
        'pid': memory.pid, 'python': None, 'time_ns': None, 'rss': None,
        'pools': {'read': found.pools, 'changing': found.changing},
        'objects': sum(row['objects'] for row in rows), 'rows': shown,
        'left_out': len(rows) - len(shown),
        'remarks': ['Objects of up to 512 bytes, without the buffers that '
                    'they own: %s is not installed here.' % PROGRAM]}


# -- for people

def table(answer):
    """Lines of a census, by either way."""
    rows = []
    for row in answer['rows']:
        size = row['bytes_with_buffers']
        name = row['type'] if row['module'] in (None, 'builtins') else \
            '%s.%s' % (row['module'], row['type'])
        rows.append(('' if size is None else text.human_bytes(size),
                     text.human_bytes(row['bytes']),
                     text.human_count(row['objects']),
                     text.human_share(row['share']),
                     text.cut_left(text.safe(name), views.WHERE_WIDTH)))
    lines = views.aligned(rows, ('bytes', 'own', 'objects', 'share', 'type'))
    if answer.get('left_out'):
        lines.append('%d more types.' % answer['left_out'])
    for part in answer.get('memory') or ():
        if part['bytes']:
            lines.append('%12s   %s' % (text.human_bytes(part['bytes']),
                                        text.safe(part['kind'])))
    return lines + [text.safe(remark) for remark in answer['remarks']]

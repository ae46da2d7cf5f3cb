# SPDX-License-Identifier: MIT
"""Memories to read a trace table from, all with one interface.

    kind            'core', 'live' or 'image'
    pid             of the process, or None
    read(a, n)      exactly n bytes, or Loss
    salvage(a, n)   n bytes with zeros where there are none, and the losses
    segments()      [(start, size, bytes present)]: what is mapped

The point of reading cores here, and not through gdb, is that "absent" is
never mistaken for "zero".  Nothing here knows the image format.  Every loop
is bounded by the size of the file or by the caller's n.
"""
import bisect
import mmap
import os
import struct

PAGE = 4096

# Why bytes are missing.
UNMAPPED = 'not mapped'
NOT_DUMPED = 'not dumped'
TRUNCATED = 'cut off'


class Loss(Exception):
    """Bytes at an address that are not there."""

    def __init__(self, address, why):
        Exception.__init__(self, '%s at 0x%x' % (why, address))
        self.address = address
        self.why = why


class NotAMemory(Exception):
    """The file is not what it was taken for; the text says why."""


class _Salvage:
    """salvage() in terms of read(): halve until a page is lost."""

    def salvage(self, address, size):
        losses = []
        data = bytearray(size)
        stack = [(0, size)]
        while stack:
            at, n = stack.pop()
            try:
                data[at:at + n] = self.read(address + at, n)
            except Loss as loss:
                if n <= PAGE:
                    losses.append((at, n, loss.why))
                    continue
                half = (n // 2 + PAGE - 1) // PAGE * PAGE
                stack.append((at + half, n - half))
                stack.append((at, half))
        return data, losses


class FileImage:
    """A snapshot file; an address is an offset in it."""

    kind = 'image'
    pid = None

    def __init__(self, data):
        self.data = data

    @classmethod
    def open(cls, path, limit=2 << 30):
        with open(path, 'rb') as source:
            return cls(source.read(limit))

    def segments(self):
        return [(0, len(self.data), len(self.data))]

    def read(self, address, size):
        data = self.data[address:address + size]
        if len(data) != size:
            raise Loss(address + len(data), TRUNCATED)
        return bytes(data)

    def salvage(self, address, size):
        data = bytearray(self.data[address:address + size])
        missing = size - len(data)
        if not missing:
            return data, []
        at = len(data)
        data += bytes(missing)
        return data, [(at, missing, TRUNCATED)]


class ProcMemory(_Salvage):
    """A running process, through /proc/PID/mem; it is not stopped."""

    kind = 'live'

    def __init__(self, pid):
        self.pid = pid
        self._fd = os.open('/proc/%d/mem' % pid, os.O_RDONLY | os.O_CLOEXEC)

    def close(self):
        os.close(self._fd)

    def segments(self):
        found = []
        with open('/proc/%d/maps' % self.pid, errors='replace') as maps:
            for line in maps:
                span, flags = line.split(None, 2)[:2]
                start, end = (int(x, 16) for x in span.split('-'))
                size = end - start
                found.append((start, size, size if 'r' in flags else 0))
        return found

    def read(self, address, size):
        data = b''
        while len(data) < size:
            try:
                part = os.pread(self._fd, size - len(data),
                                address + len(data))
            except (OSError, OverflowError):
                part = b''
            if not part:
                raise Loss(address + len(data), UNMAPPED)
            data += part
        return data


class ElfCoreMemory:
    """A core file: ELF, 64 bit, little-endian.  Opens no other file."""

    kind = 'core'

    def __init__(self, path):
        self.path = path
        self.pid = None
        self.signal = None
        self.command = None
        self.files = []         # [(start, end, offset, name)] of NT_FILE
        with open(path, 'rb') as source:
            self.size = os.fstat(source.fileno()).st_size
            if self.size < 64:
                raise NotAMemory('%s: too short for a core' % path)
            self._map = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
            self._fd = os.dup(source.fileno())
        loads, notes = self._program_headers()
        self._loads = sorted(loads)
        self._starts = [load[0] for load in self._loads]
        self.truncated = any(at + present > self.size
                             for _, _, at, present in self._loads)
        for at, size in notes[:16]:
            self._read_notes(at, min(size, 64 << 20))

    def close(self):
        self._map.close()
        os.close(self._fd)

    def _program_headers(self):
        head = self._map[:64]
        if head[:4] != b'\x7fELF':
            raise NotAMemory('%s: not an ELF file' % self.path)
        if head[4:6] != b'\x02\x01':
            raise NotAMemory('%s: not 64-bit little-endian' % self.path)
        kind, = struct.unpack_from('<H', head, 16)
        if kind != 4:
            raise NotAMemory('%s: an ELF file, but not a core' % self.path)
        table, sections = struct.unpack_from('<QQ', head, 32)
        each, number = struct.unpack_from('<HH', head, 54)
        if number == 0xffff:
            number = self._count_segments(table, sections)
        if each != 56 or table > self.size:
            raise NotAMemory('%s: its header is damaged' % self.path)
        number = min(number, (self.size - table) // each)
        loads, notes = [], []
        rows = self._map[table:table + number * each]
        for kind, _, at, address, _, present, size, _ in struct.iter_unpack(
                '<IIQQQQQQ', rows):
            if kind == 1 and address + size < 1 << 64:
                loads.append((address, size, at, min(present, size)))
            elif kind == 4:
                notes.append((at, present))
        return loads, notes

    def _count_segments(self, table, sections):
        """Beyond 65534 the number is in sh_info of section 0, which a cut
        core has lost; what follows the table says as much: the notes, or in
        a core of gdb's the first segment."""
        if 0 < sections <= self.size - 64:
            return struct.unpack_from('<I', self._map, sections + 44)[0]
        first = self._map[table:table + 2 * 56]
        starts = [struct.unpack_from('<Q', first, k + 8)[0]
                  for k in range(0, len(first) - 55, 56)]
        return (min(starts) - table) // 56 if starts and min(
            starts) > table else 0

    def _read_notes(self, at, size):
        data = self._map[at:min(at + size, self.size)]
        place = 0
        while place + 12 <= len(data):
            name_size, size, kind = struct.unpack_from('<III', data, place)
            body = place + 12 + (name_size + 3) // 4 * 4
            if body + size > len(data):
                return
            self._note(kind, data[body:body + size])
            place = body + (size + 3) // 4 * 4

    def _note(self, kind, body):
        if kind == 3 and len(body) >= 56 and self.pid is None:
            self.pid, = struct.unpack_from('<i', body, 24)     # PRPSINFO
            self.command = body[40:56].split(b'\0')[0].decode(
                'utf-8', 'backslashreplace')
        elif kind == 1 and len(body) >= 36 and self.signal is None:
            self.signal, = struct.unpack_from('<h', body, 12)  # PRSTATUS
        elif kind == 0x46494c45 and len(body) >= 16 and not self.files:
            number, page = struct.unpack_from('<QQ', body)
            number = min(number, (len(body) - 16) // 24)
            names = body[16 + 24 * number:].split(b'\0')
            spans = struct.iter_unpack('<QQQ', body[16:16 + 24 * number])
            for (start, end, offset), name in zip(spans, names):
                self.files.append((start, end, offset * page, name.decode(
                    'utf-8', 'backslashreplace')))

    def segments(self):
        return [(start, size, max(0, min(present, self.size - at)))
                for start, size, at, present in self._loads]

    def _spans(self, address, size):
        """[(offset from address, length, place in the file or None, why)]"""
        done = 0
        while done < size:
            here = address + done
            index = bisect.bisect_right(self._starts, here) - 1
            start, length, at, present = self._loads[index] \
                if index >= 0 else (0, 0, 0, 0)
            if here >= start + length:          # between two segments
                following = self._starts[index + 1] if index + 1 < len(
                    self._starts) else here + size
                n = min(size - done, following - here)
                yield done, n, None, UNMAPPED
            elif here >= start + present:
                n = min(size - done, start + length - here)
                yield done, n, None, NOT_DUMPED
            else:
                place = at + here - start
                n = min(size - done, start + present - here)
                if place >= self.size:
                    yield done, n, None, TRUNCATED
                else:
                    n = min(n, self.size - place)
                    yield done, n, place, ''
            done += n

    def read(self, address, size):
        parts = []
        for done, n, place, why in self._spans(address, size):
            if place is None:
                raise Loss(address + done, why)
            parts.append(self._map[place:place + n])
        return parts[0] if len(parts) == 1 else b''.join(parts)

    def salvage(self, address, size):
        data, losses = bytearray(size), []
        for done, n, place, why in self._spans(address, size):
            if place is None:
                losses.append((done, n, why))
            else:
                data[done:done + n] = self._map[place:place + n]
        return data, losses

    def pages_with(self, magic):
        """Addresses of pages that begin with magic; holes of a sparse file
        are skipped, and the last byte of the file."""
        for start, _, at, present in self._loads:
            end = min(at + present, self.size)
            place = at
            while place < end:
                try:
                    data = os.lseek(self._fd, place, os.SEEK_DATA)
                    hole = os.lseek(self._fd, data, os.SEEK_HOLE)
                except OSError:
                    break
                place = max(place, data)
                # find() of Python 3.11.2 looks a byte behind what it is given
                stop = min(end, hole, self.size - 1)
                while place < stop:
                    place = self._map.find(magic, place, stop)
                    if place < 0:
                        break
                    if (place - at) % PAGE == 0:
                        yield start + place - at
                    place += 1
                place = max(hole, stop)

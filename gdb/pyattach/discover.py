# SPDX-License-Identifier: MIT
"""Find the directory page in a memory, or say why there is none.

The order: what the user says, the low slots, the starts of segments, the ELF
note of the payload, every 2 MiB, and every page only on request.  A page is
accepted only if its magic, its own address, byte order, version and CRC are
right.  Nothing here prints.
"""
import re
import struct
import zlib

from . import layout
from .layout import CONSTANTS as C, DIRECTORY
from .memory import NOT_DUMPED, TRUNCATED, Loss

MAGIC = C['IMAGE_MAGIC']
SLOTS = [C['SLOT_FIRST'] + k * C['SLOT_STEP'] for k in range(C['SLOT_COUNT'])]
PROBE_STEP = 2 << 20
PROBES_MAX = 1 << 20
NOTES_MAX = 64          # notes looked at in one ELF header
# A directory stands alone between guards: what only covers a slot is no trace
# of one, like the shadow of a sanitizer.
ALONE_MAX = 16 * C['IMAGE_PAGE']
PAYLOAD = re.compile('/(%s|memfd:%s|%s)' % tuple(
    re.escape(C['PAYLOAD_' + name].decode()) for name in
    ('COPY', 'MEMFD', 'INSTALLED')))

HINT_ATTACH = ('only a process that was attached when it died has a table: '
               'pyattach-sample PID')
HINT_FILTER = ('bit 0 of /proc/PID/coredump_filter must be set before the '
               'next dump: echo 0x33 > /proc/PID/coredump_filter')
HINT_SIZE = ('get a complete core: raise `ulimit -c`, or ProcessSizeMax and '
             'ExternalSizeMax of systemd-coredump')


class NoTable(Exception):
    """There is no usable table; why is a word, hint what to do."""

    def __init__(self, why, text, hint):
        Exception.__init__(self, text)
        self.why = why
        self.text = text
        self.hint = hint


class Candidate:
    """An accepted directory page."""

    def __init__(self, address, how, data):
        self.address = address
        self.how = how
        self.data = data
        self.fields = DIRECTORY.read(data)
        if self.fields['header_size'] < DIRECTORY.size:
            self.fields['requested_monotonic_ns'] = 0   # version 1.0

    def rank(self, pid):
        """Larger is better."""
        return (self.fields['state'] == C['STATE_ATTACHED'],
                self.fields['pid'] == pid,
                self.fields['attach_generation'],
                self.fields['attached_realtime_ns'])


def judge(data, address):
    """Why these bytes are no directory, or None.  address None: a file."""
    get = DIRECTORY.get
    if data[:16] != MAGIC:
        return 'no directory'
    if get(data, 'endian') != C['IMAGE_ENDIAN']:
        return 'another byte order'
    if get(data, 'major') != C['IMAGE_MAJOR']:
        return 'format %d.%d, this reader knows %d' % (
            get(data, 'major'), get(data, 'minor'), C['IMAGE_MAJOR'])
    if get(data, 'header_size') < C['IMAGE_HEADER_MIN']:
        return 'its header is too short'
    end = DIRECTORY.offsets['identity_crc']
    if zlib.crc32(data[:end]) != get(data, 'identity_crc'):
        return 'its checksum is wrong'
    if address is not None and get(data, 'self') != address:
        return 'a copy of the one at 0x%x' % get(data, 'self')
    return None


class Discovery:
    """The search of one memory.  After run(): chosen, candidates, rejected."""

    def __init__(self, memory, override=None, full=False):
        self.memory = memory
        self.override = override
        self.full = full
        self.candidates = []
        self.rejected = []      # [(address, text)]: had the magic, not more
        self._seen = set()

    def run(self):
        """The best candidate; NoTable if there is none."""
        if self.override:
            self._look(self.override, 'given')
            if not self.candidates:
                self._fail_override()
        for step in (self._slots, self._starts, self._notes, self._probe,
                     self._pages):
            if self._attached():
                break
            step()
        if not self.candidates:
            raise self._explain()
        pid = self.memory.pid
        return max(self.candidates, key=lambda c: c.rank(pid))

    def _attached(self):
        return any(c.fields['state'] == C['STATE_ATTACHED']
                   for c in self.candidates) or (
                       self.override and self.candidates)

    def _look(self, address, how):
        """Consider one address; True if the magic is there."""
        if address in self._seen:
            return False
        self._seen.add(address)
        try:
            if self.memory.read(address, 16) != MAGIC:
                return False
            data = self.memory.read(address, DIRECTORY.size)
        except Loss:
            return False
        wrong = judge(data, address)
        if wrong:
            self.rejected.append((address, wrong))
        else:
            self.candidates.append(Candidate(address, how, data))
        return True

    def _slots(self):
        for address in SLOTS:
            self._look(address, 'low slot')

    def _starts(self):
        for start, _size, present in self.memory.segments():
            if present >= DIRECTORY.size:
                self._look(start, 'start of a segment')

    def _probe(self):
        if self.candidates:
            return
        left = PROBES_MAX
        for start, _size, present in self.memory.segments():
            first = (start + PROBE_STEP - 1) // PROBE_STEP * PROBE_STEP
            for address in range(first, start + present, PROBE_STEP):
                self._look(address, '2 MiB probe')
                left -= 1
                if not left:
                    return

    def _pages(self):
        if self.full and hasattr(self.memory, 'pages_with'):
            for address in self.memory.pages_with(MAGIC):
                self._look(address, 'full scan')

    # -- the ELF note in page 0 of the payload

    def _notes(self):
        if self.candidates:
            return
        for start, _size, present in self.memory.segments():
            if present < 64:
                continue
            try:
                head = self.memory.read(start, min(present, 4096))
            except Loss:
                continue
            if head[:6] == b'\x7fELF\x02\x01':
                for address in self._anchors(start, head):
                    self._look(address, 'ELF note')

    def _anchors(self, start, head):
        table, = struct.unpack_from('<Q', head, 32)
        each, number = struct.unpack_from('<HH', head, 54)
        for index in range(min(number, 64)):
            at = table + index * each
            if each < 56 or at + 56 > len(head):
                return
            kind, = struct.unpack_from('<I', head, at)
            offset, = struct.unpack_from('<Q', head, at + 8)
            size, = struct.unpack_from('<Q', head, at + 32)
            if kind != 4 or offset >= len(head):
                continue
            for body, owner, note in note_list(head, offset, size):
                if owner == C['NOTE_OWNER'] and note == C['NOTE_ANCHOR']:
                    yield self._follow(start + body, head, body)

    def _follow(self, place, head, body):
        """The directory that a note's descriptor leads to, or 0."""
        try:
            relative, = struct.unpack_from('<q', head, body)
            anchor = (place + relative) & (1 << 64) - 1
            return struct.unpack('<Q', self.memory.read(anchor, 8))[0]
        except (Loss, struct.error):
            return 0

    # -- why there is none

    def _fail_override(self):
        address = self.override
        text = dict(self.rejected).get(address)
        if text is None:
            try:
                self.memory.read(address, DIRECTORY.size)
                text = 'no directory'
            except Loss as loss:
                text = loss.why
        raise NoTable('no-table', 'no trace table at 0x%x: %s'
                      % (address, text), 'clear the address to search: '
                      'set pyattach address 0')

    def _explain(self):
        where = {'core': 'this core', 'live': 'this process',
                 'image': 'this file'}[self.memory.kind]
        if self.rejected:
            address, text = self.rejected[0]
            return NoTable('damaged', 'the trace table at 0x%x is damaged: %s'
                           % (address, text),
                           'look for another core of the same process')
        sizes = {start: size for start, size, _ in self.memory.segments()}
        for address in SLOTS:
            if not 0 < sizes.get(address, 0) <= ALONE_MAX:
                continue
            try:
                self.memory.read(address, DIRECTORY.size)
            except Loss as loss:
                if loss.why == NOT_DUMPED:
                    return NoTable(
                        'not-dumped', 'the trace table at 0x%x was not dumped '
                        'into %s' % (address, where), HINT_FILTER)
                if loss.why == TRUNCATED:
                    return NoTable(
                        'truncated', 'the trace table at 0x%x is cut off: %s '
                        'is incomplete' % (address, where), HINT_SIZE)
            else:
                return NoTable(
                    'damaged', 'the page at 0x%x, where a trace table would '
                    'be, holds none: it is damaged' % address,
                    'look for another core of the same process')
        return self._explain_absent(where)

    def _explain_absent(self, where):
        """No trace of a table at all; an incomplete memory cannot prove it."""
        memory = self.memory
        if getattr(memory, 'truncated', False):
            return NoTable('truncated', 'no trace table in the part of %s '
                           'that is there' % where, HINT_SIZE)
        if any(PAYLOAD.search(row[3]) for row in getattr(memory, 'files', [])):
            return NoTable('not-dumped', 'the payload was loaded, but its '
                           'trace table is not in %s' % where, HINT_FILTER)
        segments = memory.segments()
        if memory.kind == 'core' and segments and not any(
                present for _start, _size, present in segments):
            return NoTable('not-dumped', 'no memory at all was dumped into '
                           + where, HINT_FILTER)
        process = 'process %d' % memory.pid if memory.pid else 'the process'
        return NoTable('never', 'no trace table in %s: nothing was attached '
                       'to %s' % (where, process), HINT_ATTACH)


def note_list(data, offset, size):
    """(offset of the descriptor, owner, type) of each ELF note."""
    end = min(len(data), offset + size)
    for _ in range(NOTES_MAX):
        if offset + 12 > end:
            return
        name_size, desc_size, kind = struct.unpack_from('<III', data, offset)
        body = offset + 12 + (name_size + 3) // 4 * 4
        if body + desc_size > end:
            return
        yield body, data[offset + 12:offset + 12 + name_size].rstrip(b'\0'), \
            kind
        offset = body + (desc_size + 3) // 4 * 4


def open_snapshot(memory):
    """The candidate that a snapshot file is, or NoTable."""
    try:
        data = memory.read(0, DIRECTORY.size)
    except Loss:
        raise NoTable('truncated', 'the image is cut short',
                      'take a new snapshot; is the disk full?')
    wrong = judge(data, None)
    if wrong:
        raise NoTable('damaged', 'the image is damaged: ' + wrong,
                      'take a new snapshot')
    if not DIRECTORY.get(data, 'flags') & C['FLAG_SNAPSHOT']:
        raise NoTable('damaged', 'the image is not a snapshot',
                      'take a new snapshot')
    end = DIRECTORY.offsets['snapshot_crc']
    if zlib.crc32(data[:end]) != DIRECTORY.get(data, 'snapshot_crc'):
        raise NoTable('damaged', 'the image is damaged: the checksum of its '
                      'directory is wrong', 'take a new snapshot')
    if not _tail_right(data):
        raise NoTable('damaged', 'the image is damaged: the second checksum '
                      'of its directory is wrong', 'take a new snapshot')
    return Candidate(0, 'file', data)


def _tail_right(data):
    """The checksum over what version 1.0 does not have."""
    start = DIRECTORY.offsets['requested_monotonic_ns']
    end = DIRECTORY.offsets['tail_crc']
    return (DIRECTORY.get(data, 'header_size') < DIRECTORY.size
            or zlib.crc32(data[start:end]) == DIRECTORY.get(data, 'tail_crc')
            and not DIRECTORY.get(data, 'tail_reserved'))


def note_of_state(fields, pid, clock):
    """What a reader must be told before the numbers, or ''.  clock turns
    nanoseconds since 1970 into text."""
    state = fields['state']
    if state == C['STATE_DETACHED']:
        return 'detached at %s: attached from %s, the final counters follow' \
            % (clock(fields['detached_realtime_ns']),
               clock(fields['attached_realtime_ns']))
    if state == C['STATE_FORKED']:
        return ('copied by fork: this is the table of the parent, process %d,'
                ' at the time of the fork' % fields['parent_pid'])
    if state == C['STATE_STARTING']:
        return 'the attach had not finished'
    if state == C['STATE_FAILED']:
        return 'the last attach failed'
    if state == C['STATE_EMPTY']:
        return 'nothing was ever attached'
    if state not in layout.STATES:
        return 'state %d is not known to this reader' % state
    if pid and pid != fields['pid']:
        return ('the table says process %d, the core says %d: copied by a raw'
                ' clone, or another pid namespace' % (fields['pid'], pid))
    return ''

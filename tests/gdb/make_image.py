#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write images of the trace table by hand: for tests of every reader.

    make_image.py -o FILE [--samples N] [--sites N] [--seed N] [--rate B]
                  [--hostile] [--state attached|detached|forked] [--freed N]

    from make_image import Image
    image = Image(rate=524288)
    image.sample([('app.py', 'handle', 42), ('app.py', 'main', 7)], size=100)
    open('x.img', 'wb').write(image.snapshot())

Stacks are given innermost first.  `snapshot()` gives the bytes of a snapshot
file; `memory()` the same table as [(address, bytes)] in a target's memory.
Independent of the payload on purpose: an error in both must be made twice.
Python 3.6 syntax; no module outside the source tree.
"""
import argparse
import math
import os
import random
import struct
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', '..', 'gdb'))
from pyattach import layout                               # noqa: E402
from pyattach.layout import CONSTANTS as C                # noqa: E402

KINDS = ('SITES', 'STRINGS', 'FRAMES', 'NODES', 'LIVE')
MiB = 1 << 20


def fnv1a(data):
    """The 32-bit FNV-1a hash; a live record stores its low half."""
    value = 0x811c9dc5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xffffffff
    return value


def probability(size, rate):
    return 1.0 if rate == 1 else -math.expm1(-(size + 1.0) / rate)


class Image:
    """A trace table under construction."""

    def __init__(self, rate=512 * 1024, **identity):
        self.rate = rate
        self.identity = {
            'major': C['IMAGE_MAJOR'], 'minor': C['IMAGE_MINOR'],
            'header_size': layout.DIRECTORY.size, 'self': C['SLOT_FIRST'],
            'endian': C['IMAGE_ENDIAN'], 'page_size': C['IMAGE_PAGE'],
            'pid': 4711, 'start_time': 123456, 'attach_generation': 1,
            'python_version': 0x030d00f0, 'coredump_filter': 0x33,
            'flags': C['FLAG_LOW_SLOT'] | C['FLAG_STACKS_VERIFIED'],
            'frames_max': 64, 'memory_max': 16 * MiB,
            'attached_realtime_ns': 1700000000 * 10**9,
            'attached_monotonic_ns': 5000 * 10**9,
            'rss_at_attach': 64 * MiB, 'state': C['STATE_ATTACHED']}
        self.counters = {
            'rate': rate, 'rate_effective': rate,
            'hooks': C['HOOKS_ON'], 'server_tid': 4712, 'start_status': 1,
            'heartbeat_realtime_ns': 1700000600 * 10**9,
            'heartbeat_monotonic_ns': 5600 * 10**9,
            'snapshot_realtime_ns': 1700000720 * 10**9,
            'snapshot_monotonic_ns': 5720 * 10**9, 'rss': 128 * MiB,
            'memory_used': 3 * MiB, 'uncounted_max': 8 * rate,
            'requested_monotonic_ns': 5598 * 10**9}
        self.texts = {'payload_version': b'0.1.0', 'boot_id': b'\x42' * 16,
                      'socket': b'/run/user/1000/pyattach-sample/4711.sock'}
        self.set(**identity)
        self.strings = bytearray(4)
        self.frames = [(0, 0, 0, 0)]
        self.nodes = [(0, 0)]
        self.sites = [{'node': 0, 'domain': 0} for _ in range(C['SITE_FIRST'])]
        self.live = [None]          # dicts of fields; None = a free slot
        self._string, self._frame, self._node, self._site = {}, {}, {}, {}
        self.base = {'LIVE': 0x7f0000000000}
        self.generation = 3
        self.active = 0
        self.extra_regions = []     # (kind, elem_size, bytes): unknown kinds

    def set(*image, **fields):
        """Overwrite directory fields by name; one is called `self`."""
        image, = image
        for name, value in fields.items():
            for where in (image.identity, image.texts):
                if name in where:
                    where[name] = value
                    break
            else:
                if name not in layout.DIRECTORY.offsets:
                    raise KeyError(name)
                image.counters[name] = value

    # -- the parts of a stack; each returns an index

    def string(self, text):
        data = text if isinstance(text, bytes) else text.encode(
            'utf-8', 'surrogatepass')
        if not data:
            return 0
        if data not in self._string:
            self._string[data] = len(self.strings)
            self.strings += struct.pack('<I', len(data)) + data
            self.strings += bytes(-len(self.strings) % 4)
        return self._string[data]

    def frame(self, file, function, line, first_line=None):
        key = (self.string(file), self.string(function), line,
               max(1, line - 1) if first_line is None else first_line)
        if key not in self._frame:
            self._frame[key] = len(self.frames)
            self.frames.append(key)
        return self._frame[key]

    def node(self, stack):
        """The node of a stack, innermost frame first."""
        node = 0
        for frame in reversed(list(stack)):
            key = (node, self.frame(*frame))
            if key not in self._node:
                self._node[key] = len(self.nodes)
                self.nodes.append(key)
            node = self._node[key]
        return node

    def site(self, stack, domain=C['DOMAIN_OBJ']):
        if isinstance(stack, int):
            return stack            # one of the fixed sites
        key = (self.node(stack), domain)
        if key not in self._site:
            self._site[key] = len(self.sites)
            self.sites.append({'node': key[0], 'domain': domain})
        return self._site[key]

    def sample(self, stack, size, domain=C['DOMAIN_OBJ'], rate=None,
               address=None, birth_ns=None, thread=4711, luck=None,
               freed=False):
        """Enter a sample; a freed one counts only as allocated.  Gives its
        index in the live table."""
        rate = self.rate if rate is None else rate
        index = self.site(stack, domain)
        number = self.counters.get('samples_taken', 0) + 1
        self._count(self.sites[index], size, rate, freed, birth_ns or 0)
        self.counters['samples_taken'] = number
        if freed:
            self.counters['samples_freed'] = self.counters.get(
                'samples_freed', 0) + 1
            return 0
        self.live.append({
            'seq': 2, 'domain': domain, 'size': size, 'rate': rate,
            'address': 0x7e0000000000 + number * 64 * 1024
            if address is None else address, 'id': number, 'site': index,
            'birth_ns': 5000 * 10**9 + number * 10**6
            if birth_ns is None else birth_ns, 'thread': thread,
            'luck': number * 2654435761 & 0xffffffff if luck is None else luck})
        self.counters['samples_live'] = self.counters.get(
            'samples_live', 0) + 1
        return len(self.live) - 1

    def _count(self, site, size, rate, freed, birth_ns):
        p = probability(size, rate)
        w, n = size / p, 1 / p

        def add(where, key, value):
            where[key] = where.get(key, 0) + value

        def raise_to(where, key, value):
            where[key] = max(where.get(key, 0.0), value)

        for where, prefix, unit in ((site, 'allocated_', 'objects'),
                                    (self.counters, 'estimated_', 'objects')):
            add(where, prefix + 'bytes', w)
            add(where, prefix + 'bytes_variance', w * w * (1 - p))
            raise_to(where, prefix + 'bytes_weight_max', w * (1 - p))
            add(where, prefix + unit, n)
            add(where, prefix + unit + '_variance', (1 - p) / (p * p))
            raise_to(where, prefix + unit + '_weight_max', (1 - p) / p)
        add(site, 'allocated_samples', 1)
        site['last_ns'] = max(site.get('last_ns', 0), birth_ns)
        add(self.counters, 'requested_bytes', int(round(w)))
        add(self.counters, 'requested_calls', int(round(n)))
        if not freed:
            add(site, 'live_samples', 1)
            add(site, 'live_bytes', w)
            add(site, 'live_objects', n)
        raise_to(site, 'peak_bytes', site.get('live_bytes', 0.0))

    # -- bytes

    def live_bytes(self):
        out = []
        for record in self.live:
            data = bytearray(layout.LIVE.pack(**(record or {})))
            if record and 'check' not in record:
                start = layout.LIVE.offsets['address']
                layout.LIVE.put(data, 'check', fnv1a(data[start:]) & 0xffff)
            out.append(bytes(data))
        return b''.join(out)

    def regions(self):
        """[(kind, elem_size, bytes)] in the order of a snapshot."""
        def seq(site):
            return dict({'seq': 2}, **site)
        table = {
            'SITES': b''.join(layout.SITE.pack(**seq(s)) for s in self.sites),
            'STRINGS': bytes(self.strings),
            'FRAMES': b''.join(struct.pack('<IIII', *f) for f in self.frames),
            'NODES': b''.join(struct.pack('<II', *n) for n in self.nodes),
            'LIVE': self.live_bytes()}
        sizes = {'STRINGS': 1, 'SITES': layout.SITE.size, 'FRAMES': 16,
                 'NODES': 8, 'LIVE': layout.LIVE.size}
        return [(C['KIND_' + k], sizes[k], table[k]) for k in KINDS] \
            + list(self.extra_regions)

    def directory(self, regions, snapshot):
        """The directory's bytes; regions as [(kind, elem, bytes, address,
        file offset)]."""
        record = layout.DIRECTORY
        page = bytearray(C['IMAGE_PAGE'])
        page[0:16] = C['IMAGE_MAGIC']
        identity = dict(self.identity)
        if snapshot:
            identity['flags'] |= C['FLAG_SNAPSHOT']
        for fields in (identity, self.counters, self.texts):
            for name, value in fields.items():
                record.put(page, name, value)
        if not snapshot:
            for name in ('snapshot_realtime_ns', 'snapshot_monotonic_ns',
                         'rss'):
                record.put(page, name, 0)
        record.put(page, 'active_set', self.active)
        self._set(page, self.active, self.generation, regions)
        self._counts(page, self.active, regions)
        end = record.offsets['identity_crc']
        record.put(page, 'identity_crc', zlib.crc32(bytes(page[:end])))
        if snapshot:
            for j, (_kind, _elem, data, _address, _at) in enumerate(regions):
                struct.pack_into('<I', page, record.offsets['region_crc']
                                 + 4 * j, zlib.crc32(data))
            end = record.offsets['snapshot_crc']
            record.put(page, 'snapshot_crc', zlib.crc32(bytes(page[:end])))
            record.put(page, 'tail_crc', zlib.crc32(bytes(
                page[record.offsets['requested_monotonic_ns']:
                     record.offsets['tail_crc']])))
        return page

    @staticmethod
    def _set(page, which, generation, regions):
        base = layout.DIRECTORY.offsets['set'] + which * layout.SET.size
        layout.SET.put(page, 'generation', generation, base)
        layout.SET.put(page, 'n_regions', len(regions), base)
        first = base + layout.SET.offsets['region']
        for j, (kind, elem, data, address, offset) in enumerate(regions):
            at = first + j * layout.REGION.size
            page[at:at + layout.REGION.size] = layout.REGION.pack(
                kind=kind, elem_size=elem, address=address,
                file_offset=offset, capacity=len(data) // elem)
        head = bytes(page[base:base + layout.SET.offsets['crc']])
        body = bytes(page[first:base + layout.SET.size])
        layout.SET.put(page, 'crc', zlib.crc32(body, zlib.crc32(head)), base)

    @staticmethod
    def _counts(page, which, regions):
        base = layout.DIRECTORY.offsets['count'] \
            + which * 8 * C['IMAGE_REGIONS']
        for j, (_kind, elem, data, _address, _offset) in enumerate(regions):
            struct.pack_into('<Q', page, base + 8 * j, len(data) // elem)

    def snapshot(self):
        """The bytes of a snapshot file: directory page, then the regions,
        each at a multiple of 8."""
        placed, offset = [], C['IMAGE_PAGE']
        for kind, elem, data in self.regions():
            placed.append((kind, elem, data, 0x7f0000000000 + offset, offset))
            offset += len(data) + -len(data) % 8
        out = self.directory(placed, True)
        for _kind, _elem, data, _address, _offset in placed:
            out += data + bytes(-len(data) % 8)
        return bytes(out)

    def memory(self, base=0x7f0000000000):
        """The table as a target holds it: [(address, bytes)], page-aligned
        mappings with a hole of one page between them."""
        placed, address = [], base
        for kind, elem, data in self.regions():
            placed.append((kind, elem, data, address, 0))
            address += (len(data) + 4095) // 4096 * 4096 + 8192
        pieces = [(self.identity['self'],
                   bytes(self.directory(placed, False)))]
        for _kind, _elem, data, at, _offset in placed:
            pieces.append((at, data + bytes(-len(data) % 4096)))
        return pieces


HOSTILE = ['\x1b]0;owned\x07\x1b[31mred.py', 'new\nline.py', 'tab\tquote"\'.py',
           '\u202egnp.exe.py', '</script><b>&amp;.py', 'lone\udcff.py',
           'sem;colon with space.py', '\u4e2d\u6587/\u0444\u0430\u0439\u043b.py', 'x' * 65536,
           '=cmd|\' /C calc\'!A0', '\x00nul', '\x9bcsi', '']


def synthetic(samples=1000, sites=50, seed=1, rate=512 * 1024, hostile=False,
              freed=0):
    """An image of so many random samples, the same for the same seed."""
    rng = random.Random(seed)
    image = Image(rate)
    stacks = []
    for k in range(sites):
        depth = rng.randint(1, 12)
        stacks.append([('/srv/app/mod%d.py' % rng.randint(0, 20),
                        'f%d' % rng.randint(0, 30), rng.randint(1, 500))
                       for _ in range(depth)])
        if hostile:
            name = HOSTILE[k % len(HOSTILE)]
            stacks[-1][0] = (name, name, k + 1)
    stacks[0] = C['SITE_NO_PYTHON']
    for k in range(samples + freed):
        size = int(rng.lognormvariate(6, 2.5))
        image.sample(stacks[min(int(rng.expovariate(4 / sites)), sites - 1)],
                     size, domain=rng.choice((0, 1, 2, 2, 2)),
                     thread=4711 + rng.randint(0, 3), freed=k >= samples,
                     luck=rng.getrandbits(32),
                     birth_ns=5000 * 10**9 + rng.randint(0, 700 * 10**9))
    return image


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('-o', required=True, metavar='FILE')
    parser.add_argument('--samples', type=int, default=1000)
    parser.add_argument('--sites', type=int, default=50)
    parser.add_argument('--freed', type=int, default=100)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--rate', type=int, default=512 * 1024)
    parser.add_argument('--hostile', action='store_true')
    parser.add_argument('--state', default='attached')
    options = parser.parse_args()
    image = synthetic(options.samples, options.sites, options.seed,
                      options.rate, options.hostile, options.freed)
    image.set(state=C['STATE_' + options.state.upper()])
    with open(options.o, 'wb') as out:
        out.write(image.snapshot())


if __name__ == '__main__':
    main()

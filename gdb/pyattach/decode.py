# SPDX-License-Identifier: MIT
"""From the bytes of a table to samples, sites and stacks.

Pure decoding: no search, no views, no gdb.  Damage never raises; it is
counted in Table.damage by kind.  A table without a valid set of regions is
refused by NoTable.  Every loop is bounded by a count that is checked against
the bytes that are there; stacks are bounded by parent < node.
"""
import struct
import zlib

from . import checksum
from .discover import NoTable
from .estimate import Sum, weigh
from .layout import (CONSTANTS as C, DIRECTORY, FRAME, KIND_RECORDS, LIVE,
                     NODE, REGION, SET, SITE)
from .memory import NOT_DUMPED, TRUNCATED

CHUNK = 16384           # live records at a time: bounds our memory
BYTES_MAX = 1 << 30     # of all regions: the payload's own limit
INFINITY = float('inf')
SITE_DOUBLES = ('allocated_bytes', 'allocated_bytes_variance',
                'allocated_bytes_weight_max', 'allocated_objects',
                'allocated_objects_variance', 'allocated_objects_weight_max',
                'peak_bytes')
KIND_NAMES = {C['KIND_SITES']: 'sites', C['KIND_STRINGS']: 'strings',
              C['KIND_FRAMES']: 'frames', C['KIND_NODES']: 'nodes',
              C['KIND_LIVE']: 'live'}
FIXED_SITES = {C['SITE_EVICTED']: '<evicted>', C['SITE_FULL']: '<stacks full>',
               C['SITE_NO_PYTHON']: '<no Python frame>'}
RATE_MAX = 1 << 40
ESTIMATES = [name for name in DIRECTORY.names
             if name.startswith('estimated_')]
SIZE_MAX = 1 << 62
GROUPS_MAX = 1 << 16    # of equal samples in memory at a time
NOT_KNOWN = (1 << 64) - 1
IN_FLIGHT_MAX = 8       # threads that may be writing a record at once


class Region:
    """Where one region is."""

    def __init__(self, index, row, count):
        self.index = index
        self.kind = row['kind']
        self.elem_size = row['elem_size']
        self.address = row['address']
        self.file_offset = row['file_offset']
        self.count = count
        self.size = count * self.elem_size


class Damage:
    """What is wrong with a table, counted by kind."""

    TEXTS = {
        'in-flight': 'records were being written when the process stopped',
        'bad-records': 'live records are wrong',
        'bad-stacks': 'links of stacks lead nowhere',
        'bad-sites': 'sites make no sense',
        'bad-strings': 'frames have names outside of the strings',
        'missing': 'live records that the directory counts are missing',
        'not-dumped': 'bytes of the table were not dumped',
        'cut-off': 'bytes of the table are cut off',
        'not-mapped': 'bytes of the table are not mapped',
        'bad-regions': 'regions cannot be used',
        'bad-counters': 'counters of the directory make no sense',
        'bad-sets': 'sets of regions have a wrong checksum'}

    def __init__(self):
        self.counts = {}

    def add(self, kind, number=1):
        if number:
            self.counts[kind] = self.counts.get(kind, 0) + number

    def __bool__(self):
        return any(kind not in ('in-flight', 'bad-sets')
                   for kind in self.counts)

    def totals(self):
        """The four figures of the tool's JSON."""
        kinds = {'torn': ('in-flight',),
                 'damaged': ('bad-records', 'missing'),
                 'repaired': ('bad-stacks', 'bad-strings', 'bad-sites',
                              'bad-regions', 'bad-counters'),
                 'lost': ('not-dumped', 'cut-off', 'not-mapped')}
        return {word: sum(self.counts.get(kind, 0) for kind in parts)
                for word, parts in kinds.items()}

    def lines(self):
        return ['%d %s' % (number, self.TEXTS[kind])
                for kind, number in sorted(self.counts.items())]


class Sample:
    """One live sample, as a view shows it."""

    __slots__ = ('address', 'size', 'rate', 'id', 'birth_ns', 'site',
                 'thread', 'domain', 'type')

    def __init__(self, fields):
        for name in self.__slots__:
            setattr(self, name, fields[name])

    def covers(self, address):
        return self.address <= address < self.address + max(self.size, 1)


class Table:
    """A decoded table.  memory is where candidate was found."""

    def __init__(self, memory, candidate):
        self.memory = memory
        self.address = candidate.address
        self.how = candidate.how
        self.directory = candidate.data
        self.fields = candidate.fields
        self.damage = Damage()
        self._sound_counters()
        self.snapshot = bool(memory.kind == 'image')
        self.regions = self._regions()
        self._cache, self._names = {}, {}
        self._sums = {}
        self.rate_max = 0       # the largest of a live sample

    # -- the directory

    def _sound_counters(self):
        """Counters are in no checksum: a wrong one must not cost the
        table."""
        fields = self.fields
        for name in ESTIMATES:
            if not 0 <= fields[name] < INFINITY:
                fields[name] = 0.0
                self.damage.add('bad-counters')
        for name in ('rate', 'rate_effective'):
            if not 1 <= fields[name] <= RATE_MAX and self.holds_samples():
                fields[name] = 1
                self.damage.add('bad-counters')

    def holds_samples(self):
        """Only these states have a table beside the directory."""
        return self.fields['state'] in (C['STATE_ATTACHED'],
                                        C['STATE_FORKED'])

    def text(self, field):
        """A text field of the directory, as bytes up to its NUL."""
        return self.fields[field].split(b'\0')[0]

    def _set_is_valid(self, base):
        data = self.directory
        first = base + SET.offsets['region']
        crc = zlib.crc32(data[base:base + SET.offsets['crc']])
        crc = zlib.crc32(data[first:base + SET.size], crc)
        return (crc == SET.get(data, 'crc', base)
                and SET.get(data, 'n_regions', base) <= C['IMAGE_REGIONS'])

    def _regions(self):
        """{kind: Region} of the valid set with the higher generation."""
        best = None
        for which in (0, 1):
            base = DIRECTORY.offsets['set'] + which * SET.size
            generation = SET.get(self.directory, 'generation', base)
            if not self._set_is_valid(base):
                self.damage.add('bad-sets', generation != 0)
            elif best is None or generation > best[0]:
                best = (generation, which, base)
        if not self.holds_samples():
            self.damage = Damage()
            return {}           # withdrawn, or the attach never came so far
        if best is None:
            raise NoTable('damaged', 'the directory at 0x%x has no valid set '
                          'of regions' % self.address,
                          'look for another core of the same process')
        self.generation = best[0]
        return self._read_set(best[1], best[2])

    def _read_set(self, which, base):
        data, regions, bad = self.directory, {}, set()
        counts = DIRECTORY.offsets['count'] + which * 8 * C['IMAGE_REGIONS']
        for index in range(SET.get(data, 'n_regions', base)):
            row = REGION.read(data, base + SET.offsets['region']
                              + index * REGION.size)
            count, = struct.unpack_from('<Q', data, counts + 8 * index)
            record = KIND_RECORDS.get(row['kind'])
            if row['kind'] not in KIND_NAMES:
                continue        # a later version's
            elem_size, largest = row['elem_size'], C['IMAGE_PAGE']
            left = BYTES_MAX - sum(r.size for r in regions.values())
            if (row['kind'] in regions or count < 1
                    or not self.snapshot and count > row['capacity']
                    or not (record.size if record else 1) <= elem_size
                    or elem_size > (largest if record else 1)
                    or count * elem_size > left):
                self.damage.add('bad-regions')
                bad.add(row['kind'])
                continue
            regions[row['kind']] = Region(index, row, count)
        self.damage.add('bad-regions', len(
            set(KIND_NAMES) - set(regions) - bad))
        return regions

    # -- regions as bytes

    def _locate(self, region):
        return region.file_offset if self.snapshot else region.address

    def _read(self, kind):
        """All bytes of a region; what is missing is zero and is counted."""
        region = self.regions.get(C['KIND_' + kind])
        if region is None:
            return b'', 0
        data, losses = self.memory.salvage(self._locate(region), region.size)
        self._count_losses(losses)
        self._check_region(region, zlib.crc32(data), losses)
        return bytes(data), region.elem_size

    def _check_region(self, region, crc, losses):
        if not self.snapshot or losses:
            return
        stored, = struct.unpack_from(
            '<I', self.directory, DIRECTORY.offsets['region_crc']
            + 4 * region.index)
        if stored != crc:
            self.damage.add('bad-regions')

    def _count_losses(self, losses):
        for _at, size, why in losses:
            self.damage.add({NOT_DUMPED: 'not-dumped', TRUNCATED: 'cut-off'
                             }.get(why, 'not-mapped'), size)

    def _rows(self, kind, record, fields):
        """Tuples of some fields of every element."""
        data, elem_size = self._read(kind)
        return list(struct.iter_unpack(_form(
            record, fields, max(elem_size, record.size)), data))

    # -- strings, frames, nodes, sites

    def raw(self, kind):
        """The bytes of a region, read once."""
        if kind not in self._cache:
            self._cache[kind] = self._read(kind)[0]
        return self._cache[kind]

    def name(self, offset):
        """The bytes of a string; b'' for offset 0 and where damaged."""
        if offset not in self._names:
            self._names[offset] = self._name(offset)
        return self._names[offset]

    def has_name(self, offset):
        if not offset:
            return True         # the empty one, whatever lies there
        data = self.raw('STRINGS')
        if offset + 4 > len(data):
            return False
        length, = struct.unpack_from('<I', data, offset)
        return length <= len(data) - offset - 4

    def _name(self, offset):
        if not offset or not self.has_name(offset):
            return b''
        data = self.raw('STRINGS')
        length, = struct.unpack_from('<I', data, offset)
        return data[offset + 4:offset + 4 + length]

    # What refers to nothing refers to element 0 from here on, and is counted:
    # users of these lists need no further check.

    def frames(self):
        """[(file, function, line, first_line)]: offsets of names."""
        return self._once('frames', self._sound_frames)

    def nodes(self):
        """[(parent, frame)], parent < own index."""
        return self._once('nodes', self._sound_nodes)

    def sites(self):
        """Tuples of all fields of a site, in the order of SITE.names."""
        return self._once('sites', self._sound_sites)

    def _once(self, key, make):
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    def _sound_frames(self):
        rows = self._rows('FRAMES', FRAME, ('file', 'function', 'line',
                                            'first_line'))
        self.raw('STRINGS')     # counts what is lost, also if none is named
        for index, (file, function, line, first) in enumerate(rows):
            if not self.has_name(file) or not self.has_name(function):
                self.damage.add('bad-strings')
                rows[index] = (file if self.has_name(file) else 0,
                               function if self.has_name(function) else 0,
                               line, first)
        return rows or [(0, 0, 0, 0)]

    def _sound_nodes(self):
        rows, frames = self._rows('NODES', NODE, ('parent', 'frame')), \
            len(self.frames())
        for index, (parent, frame) in enumerate(rows):
            if index and (parent >= index or frame >= frames):
                self.damage.add('bad-stacks')
                rows[index] = (0, 0)
        return rows or [(0, 0)]

    def _sound_sites(self):
        rows, nodes = self._rows('SITES', SITE, tuple(SITE.names)), \
            len(self.nodes())
        node, domain = (SITE.names.index(x) for x in ('node', 'domain'))
        doubles = [SITE.names.index(x) for x in SITE_DOUBLES]
        nothing = SITE.struct.unpack(bytes(SITE.size))
        for index, row in enumerate(rows):
            if (row[node] >= nodes or row[domain] > 2 or
                    not all(0 <= row[k] < INFINITY for k in doubles)):
                self.damage.add('bad-sites')
                rows[index] = nothing
        return rows or [nothing]

    def site(self, index):
        """A dict of one site's fields."""
        return dict(zip(SITE.names, self.sites()[index]))

    def frame(self, index):
        """(file, function, line, first line) of a frame; names as bytes."""
        file, function, line, first = self.frames()[index]
        return self.name(file), self.name(function), line, first

    def stack(self, site):
        """Frame indexes of a site, innermost first."""
        nodes = self.nodes()
        node = self.sites()[site][SITE.names.index('node')]
        found = []
        while node:
            node, frame = nodes[node]
            found.append(frame)
        return found

    # -- live samples

    def chunks(self):
        """The good live records, compact, some thousand at a time:
        (bytes, size of one).  Counts what is wrong as it goes, once."""
        region = self.regions.get(C['KIND_LIVE'])
        if region is None:
            return
        first = 'counted' not in self._cache
        self._cache['counted'] = True
        silent = self.damage
        if not first:
            self.damage = Damage()      # nothing is counted twice
        try:
            yield from self._chunks(region)
        finally:
            self.damage = silent

    def _chunks(self, region):
        crc, gone = 0, []
        for start in range(0, region.count, CHUNK):
            number = min(CHUNK, region.count - start)
            data, losses = self.memory.salvage(
                self._locate(region) + start * region.elem_size,
                number * region.elem_size)
            self._count_losses(losses)
            gone += losses
            if self.snapshot:
                crc = zlib.crc32(data, crc)
            if not start:
                data = data[region.elem_size:]      # element 0 is reserved
            data = bytes(data)
            good = self._good(data, region.elem_size)
            if good:
                yield good, region.elem_size
        self._check_region(region, crc, gone)

    def _good(self, data, size):
        """Only the records that are in use, complete and unharmed."""
        form = struct.Struct(_form(LIVE, ('seq', 'address'), size))
        keep = []
        flying = 0
        for index, (seq, address) in enumerate(form.iter_unpack(data)):
            if seq & 1:
                flying += 1
            elif seq and address:
                keep.append(index)
        self.damage.add('in-flight', flying)
        data = _pick(data, size, keep)
        data = self._without(data, size, self._bad_checks(data, size))
        return self._without(data, size, self._bad_fields(data, size))

    def _without(self, data, size, bad):
        """The records that are not in a set of indexes, which is counted."""
        if not bad:
            return data
        self.damage.add('bad-records', len(bad))
        return _pick(data, size, [k for k in range(len(data) // size)
                                  if k not in bad])

    @staticmethod
    def _bad_checks(data, size):
        at = LIVE.offsets['check']
        low, high = checksum.low_half(data, size, LIVE.offsets['address'],
                                      LIVE.size)
        if data[at::size] == low and data[at + 1::size] == high:
            return set()
        return {k for k in range(len(low))
                if data[k * size + at] != low[k]
                or data[k * size + at + 1] != high[k]}

    def _bad_fields(self, data, size):
        """Records whose check is right and whose fields are not: looked at
        by columns, one by one only where there might be any."""
        if not data:
            return set()
        names = any(any(data[LIVE.offsets['type'] + k::size])
                    for k in range(4))
        domains = data[LIVE.offsets['domain']::size]
        rows = struct.iter_unpack(_form(LIVE, ('size', 'rate', 'site',
                                               'type'), size), data)
        number = len(self.sites())
        return {k for k, (length, rate, site, kind) in enumerate(rows)
                if not 1 <= rate <= RATE_MAX or length >= SIZE_MAX
                or site >= number or domains[k] > 2
                or names and not self.has_name(kind)}

    def samples(self):
        """Every good live sample."""
        for data, size in self.chunks():
            for base in range(0, len(data), size):
                yield Sample(LIVE.read(data, base))

    def live_sums(self, by='site'):
        """{(site, thread or domain or 0): Sum} of the live samples; `by`
        says which."""
        if by not in self._sums:
            self._sums[by] = sums = {}
            groups = {}
            fields = ('size', 'rate', 'site') + (
                (by,) if by != 'site' else ())
            fields = sorted(fields, key=LIVE.offsets.get)
            for data, size in self.chunks():
                self._group(groups, data, size, fields)
                if len(groups) > GROUPS_MAX:
                    self._add_groups(sums, groups, fields, by)
            self._add_groups(sums, groups, fields, by)
            self._compare(sum(total.samples for total in sums.values()))
        return self._sums[by]

    def _group(self, groups, data, size, fields):
        """Count equal samples: {fields: [number, sum of ages, largest]}.
        The loop over all samples, so the fewest steps for each."""
        now, get = self.now_ns(), groups.get
        keys = struct.iter_unpack(_form(LIVE, fields, size), data)
        births = struct.iter_unpack(_form(LIVE, ('birth_ns',), size), data)
        for key, (birth,) in zip(keys, births):
            group = get(key)
            age = now - birth if birth < now else 0
            if group is None:
                groups[key] = [1, age, age]
            else:
                group[0] += 1
                group[1] += age
                if age > group[2]:
                    group[2] = age

    def _add_groups(self, sums, groups, fields, by):
        """Weigh the groups, add them to their sites, and forget them."""
        at = [fields.index(x) for x in ('size', 'rate', 'site')]
        for key, (n, ages, oldest) in groups.items():
            size, rate, site = (key[k] for k in at)
            self.rate_max = max(self.rate_max, rate)
            whose = site, (0 if by == 'site' else key[fields.index(by)])
            total = sums.get(whose)
            if total is None:
                total = sums[whose] = Sum()
            total.add_samples(n, weigh(size, rate), ages, oldest)
        groups.clear()

    def _compare(self, count):
        """Counted against what the directory says."""
        have = count + self.damage.counts.get('in-flight', 0) \
            + self.damage.counts.get('bad-records', 0)
        stated = self.fields['samples_live']
        if (not self.snapshot and self.holds_samples()
                and 'missing' not in self.damage.counts
                and stated > have + IN_FLIGHT_MAX):
            self.damage.add('missing', stated - have)

    def allocated_sums(self):
        """{(site, 0): Sum} of all samples ever taken."""
        sums = {}
        for index, row in enumerate(self.sites()):
            fields = dict(zip(SITE.names, row))
            if not index or not fields['allocated_samples']:
                continue
            sums[index, 0] = Sum.of(
                fields['allocated_samples'],
                [fields[name] for name in SITE_DOUBLES[:6]])
        return sums

    def now_ns(self):
        """CLOCK_MONOTONIC at the time of the table: the age's other end."""
        return (self.snapshot and self.fields['snapshot_monotonic_ns']
                or self.fields['heartbeat_monotonic_ns'])

    def requested(self):
        """(bytes, calls, not yet counted at most); None where not known: of
        a memory the figures are some seconds old (doc/IMAGE.md)."""
        fields = self.fields
        figures = fields['requested_bytes'], fields['requested_calls']
        unsure = fields['uncounted_max']
        if not self.snapshot or unsure == NOT_KNOWN:
            return figures[0] or None, figures[1] or None, None
        return figures + (unsure,)

    def requested_age_ns(self):
        """How much older than the table the exact totals are; None where
        that is not known."""
        then = self.fields['requested_monotonic_ns']
        return max(0, self.now_ns() - then) if then else None

    def uptime_ns(self):
        """From the attach to the time of the table."""
        return max(0, self.now_ns() - self.fields['attached_monotonic_ns'])


def _pick(data, size, keep):
    """The records with these indexes."""
    if len(keep) * size == len(data):
        return data
    return b''.join([data[k * size:k * size + size] for k in keep])


def _form(record, fields, size):
    """A struct format for some fields of elements of `size` bytes."""
    form, at = '<', 0
    for name in sorted(fields, key=record.offsets.get):
        unit = record.code(name)
        form += '%dx%s' % (record.offsets[name] - at, unit)
        at = record.offsets[name] + struct.calcsize('<' + unit)
    return form + '%dx' % (size - at)

# SPDX-License-Identifier: MIT
"""Write a decoded table as a snapshot file that every reader accepts.

Only what is sound is written: records that were in flight or harmed are left
out, links that lead nowhere are cut, so that the file is whole though the
core was not.
"""
import struct
import zlib

from .decode import NOT_KNOWN
from .layout import (CONSTANTS as C, DIRECTORY, FRAME, LIVE, NODE, REGION,
                     SET, SITE)

PAD = 8


def _packed(record, names, rows):
    return b''.join([record.pack(**dict(zip(names, row))) for row in rows])


def _sites(table):
    at = SITE.names.index('seq')
    # none is in flight any more
    rows = [row[:at] + (row[at] & ~1,) + row[at + 1:] for row in
            table.sites()]
    return _packed(SITE, SITE.names, rows)


def _live(table):
    out = [bytes(LIVE.size)]
    keep = {s.id for s in table.samples()}
    for data, size in table.chunks():
        for base in range(0, len(data), size):
            if LIVE.get(data, 'id', base) in keep:
                out.append(data[base:base + LIVE.size])
    return b''.join(out)


def _place(parts):
    """(directory page without checksums of its own, the regions' bytes)."""
    page = bytearray(C['IMAGE_PAGE'])
    base = DIRECTORY.offsets['set']
    first = base + SET.offsets['region']
    body = bytearray()
    for index, (kind, elem_size, data) in enumerate(parts):
        row = REGION.pack(kind=kind, elem_size=elem_size, address=0,
                          file_offset=len(page) + len(body),
                          capacity=len(data) // elem_size)
        at = first + index * REGION.size
        page[at:at + REGION.size] = row
        struct.pack_into('<Q', page, DIRECTORY.offsets['count'] + 8 * index,
                         len(data) // elem_size)
        struct.pack_into('<I', page, DIRECTORY.offsets['region_crc']
                         + 4 * index, zlib.crc32(data))
        body += data + bytes(-len(data) % PAD)
    SET.put(page, 'generation', 1, base)
    SET.put(page, 'n_regions', len(parts), base)
    crc = zlib.crc32(page[base:base + SET.offsets['crc']])
    SET.put(page, 'crc', zlib.crc32(page[first:base + SET.size], crc), base)
    return page, body


def _identity(table, page):
    """The directory's own fields, with what a snapshot adds."""
    fields = dict(table.fields)
    fields['flags'] |= C['FLAG_SNAPSHOT']
    fields['minor'] = C['IMAGE_MINOR']
    fields['header_size'] = DIRECTORY.size
    fields['active_set'] = fields['reserved'] = 0
    fields['tail_reserved'] = 0
    if not table.snapshot:
        fields['uncounted_max'] = NOT_KNOWN
        fields['snapshot_realtime_ns'] = (fields['heartbeat_realtime_ns']
                                          or fields['attached_realtime_ns'])
        fields['snapshot_monotonic_ns'] = (fields['heartbeat_monotonic_ns']
                                           or fields['attached_monotonic_ns'])
    for name in DIRECTORY.names:
        if name not in ('identity_crc', 'snapshot_crc', 'tail_crc'):
            DIRECTORY.put(page, name, fields[name])
    start = DIRECTORY.offsets['requested_monotonic_ns']
    end = DIRECTORY.offsets['tail_crc']
    DIRECTORY.put(page, 'tail_crc', zlib.crc32(page[start:end]))
    end = DIRECTORY.offsets['identity_crc']
    DIRECTORY.put(page, 'identity_crc', zlib.crc32(page[:end]))
    end = DIRECTORY.offsets['snapshot_crc']
    DIRECTORY.put(page, 'snapshot_crc', zlib.crc32(page[:end]))


def snapshot(table):
    """The bytes of a snapshot file."""
    page, body = _place([
        (C['KIND_SITES'], SITE.size, _sites(table)),
        (C['KIND_STRINGS'], 1, table.raw('STRINGS') or bytes(4)),
        (C['KIND_FRAMES'], FRAME.size, _packed(
            FRAME, FRAME.names, table.frames())),
        (C['KIND_NODES'], NODE.size, _packed(
            NODE, NODE.names, table.nodes())),
        (C['KIND_LIVE'], LIVE.size, _live(table))])
    _identity(table, page)
    return bytes(page + body)

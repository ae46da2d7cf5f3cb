#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write core files by hand, tiny and golden: for tests of every reader.

    from make_core import core
    data = core([(0x2000000000, page_bytes), ...], pid=4711)

As the kernel writes them: ELF header, program headers, notes (PRSTATUS,
PRPSINFO, NT_FILE), then the segments, page-aligned.  A segment is (address,
bytes) or (address, bytes, memory size) where not all was dumped.
Python 3.6 syntax.
"""
import struct

PAGE = 4096
PT_LOAD, PT_NOTE = 1, 4


def note(kind, body, owner=b'CORE\0'):
    name = owner + bytes(-len(owner) % 4)
    return struct.pack('<III', len(owner), len(body), kind) + name \
        + body + bytes(-len(body) % 4)


def notes(pid, signal, files, page=PAGE):
    status = bytearray(336)
    struct.pack_into('<h', status, 12, signal)
    struct.pack_into('<i', status, 32, pid)
    info = bytearray(136)
    struct.pack_into('<i', info, 24, pid)
    info[40:46] = b'python'
    out = note(1, bytes(status)) + note(3, bytes(info))
    if files is not None:
        body = struct.pack('<QQ', len(files), page)
        body += b''.join(struct.pack('<QQQ', a, b, o // page)
                         for a, b, o, _name in files)
        body += b''.join(name.encode() + b'\0' for _a, _b, _o, name in files)
        out += note(0x46494c45, body)
    return out


def core(segments, pid=4711, signal=11, files=(), sort=True, xnum=False,
         by_gdb=False):
    """The bytes of a core.  xnum: the number of program headers is kept in
    section header 0, as beyond 65534 of them.  by_gdb: as gcore writes it, the
    notes behind the segments, and nothing on a page of its own."""
    segments = [s if len(s) == 3 else (s[0], s[1], len(s[1]))
                for s in segments]
    if sort:
        segments.sort(key=lambda s: s[0])
    the_notes = notes(pid, signal, files)
    number = len(segments) + 1
    page = 1 if by_gdb else PAGE
    at = start = 64 + 56 * number
    if not by_gdb:
        at += len(the_notes)
    at += -at % page
    rows = []
    for address, data, size in segments:
        rows.append(struct.pack('<IIQQQQQQ', PT_LOAD, 6, at, address, 0,
                                len(data), max(size, len(data)), page))
        at += len(data) + -len(data) % page
    rows.insert(0, struct.pack('<IIQQQQQQ', PT_NOTE, 0, at if by_gdb else
                               start, 0, 0, len(the_notes), 0, 4))
    if by_gdb:
        at += len(the_notes)
    sections = at if xnum else 0    # behind everything
    header = struct.pack(
        '<4sBBBB8xHHIQQQIHHHHHH', b'\x7fELF', 2, 1, 1, 0, 4, 62, 1, 0, 64,
        sections, 0, 64, 56, 0xffff if xnum else number,
        64 if xnum else 0, 1 if xnum else 0, 0)
    out = bytearray(header + b''.join(rows))
    if not by_gdb:
        out += the_notes
    for _address, data, _size in segments:
        out += bytes(-len(out) % page) + data
    if by_gdb:
        out += the_notes
    if xnum:
        section = bytearray(64)
        struct.pack_into('<I', section, 44, number)
        out += bytes(sections - len(out)) + section
    return bytes(out)


def payload_page(base, anchor):
    """Page 0 of an ELF file at `base` with our note, its descriptor the way
    from itself to `anchor`."""
    page = bytearray(PAGE)
    page[:64] = struct.pack(
        '<4sBBBB8xHHIQQQIHHHHHH', b'\x7fELF', 2, 1, 1, 0, 3, 62, 1, 0, 64, 0,
        0, 64, 56, 1, 0, 0, 0)
    at = 64 + 56
    descriptor = at + 12 + 12
    body = note(1, struct.pack('<q', anchor - (base + descriptor)),
                b'PYATTACH\0')
    page[at:at + len(body)] = body
    page[64:120] = struct.pack('<IIQQQQQQ', PT_NOTE, 4, at, base + at, 0,
                               len(body), len(body), 4)
    return bytes(page)

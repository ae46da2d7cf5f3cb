# SPDX-License-Identifier: MIT
"""Layouts that are wrong, versions that are not known.  Spoils the layout."""
import ctypes
import struct
import threading

from layer_base import *


@group
def wrong_layouts():
    """The self-test must find a layout that does not fit, without harm."""
    H.pt_watch(0, 1, 0, 0)
    stop = threading.Event()
    ts = [threading.Thread(target=stop.wait) for i in range(3)]
    [t.start() for t in ts]
    text = ctypes.create_string_buffer(128)
    names = (ctypes.c_char_p * 64).in_dll(H, 'pt_field_names')
    lost = []
    for i, name in enumerate(names):
        if not name:
            break
        name = name.decode()
        if name.startswith(('runtime', 'interp', 'gil', 'frame_tlbc',
                            'code_tlbc', 'code_bytes', 'object_references',
                            'code_traceable', 'frame_owner')):
            continue    # no part of the walk, or not always to be seen
        if not H.pt_shift_field(i, 0):
            continue    # this version has none
        if name == 'thread_frame' and V == (3, 8):
            continue    # seen at the first sample there
        for by in (-16, -8, 8, 16):
            H.pt_shift_field(i, by)
            if P.pt_self_test(text, 128):
                lost.append('%s%+d' % (name, by))
            H.pt_shift_field(i, -by)
    good = P.pt_self_test(text, 128)
    stop.set()
    [t.join() for t in ts]
    report(good and not lost, 'wrong_layouts', 'not found: %s' % lost)


@group
def refusals():
    """Versions and descriptions that are not known.  The last group: it
    spoils the layout."""
    H.pt_watch(0, 1, 0, 0)
    new, old, free_threaded = -17, -16, -37

    def described(version, free=0, **words):
        text = bytearray(b'xdebugpy' + bytes(1016))
        struct.pack_into('<QQ', text, 8, version, free)
        return bytes(text)
    for name, want, version, text in (
            ('2.7', old, 0x02071200, b''), ('3.7', old, 0x030710f0, b''),
            ('3.16', new, 0x031000f0, b''), ('4.0', new, 0x040000f0, b''),
            ('3.12 alpha', new, 0x030c00a3, b''),
            ('3.14 beta', new, 0x030e00b1, described(0x030e00b1)),
            ('no cookie', new, 0x030d00f0, bytes(1024)),
            ('other version', new, 0x030d00f0, described(0x030d01f0)),
            ('nothing described', new, 0x030d00f0, described(0x030d00f0)),
            ('free-threaded', free_threaded, 0x030e00f0,
             described(0x030e00f0, 1)),
            ('huge offsets', new, 0x030f00f0,
             b'xdebugpy' + struct.pack('<QQ', 0x030f00f0, 0) + b'\xff' * 1000)):
        got = H.pt_pick(ctypes.c_uint32(version), text or None)
        report(got == want, 'refuses ' + name, '%d' % got)

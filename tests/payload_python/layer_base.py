# SPDX-License-Identifier: MIT
"""The ground of layer_*.py: the harness, the truth, the comparison.

Every marked allocation has a size that names the stack which T() wrote down
on the same line; afterwards each stack that the payload took must be that
one: every frame's file, function and line.  Prints "ok NAME ..." and
"not ok NAME ..." lines.
"""
import ctypes
import random
import sys
import threading
import time

SO, SEED, SCALE = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
GROUPS = sys.argv[4:]
V = sys.version_info[:2]
H = ctypes.CDLL(SO)     # releases the GIL
P = ctypes.PyDLL(SO)    # keeps it
H.pt_watch.argtypes = [ctypes.c_uint, ctypes.c_size_t, ctypes.c_size_t,
                       ctypes.c_uint]
H.pt_capture_mean_ns.restype = ctypes.c_double
H.pt_string_calls.restype = ctypes.c_ulong
MEM, OBJ, RAW = 2, 4, 1
B = 25013               # elements of the smallest marked list
N = 100000
FT = 0
TRUTH = [None] * N
I = 0
failures = 0
rng = random.Random(SEED)
lock = threading.Lock()


def name_of(code):
    return getattr(code, 'co_qualname', code.co_name)


def stack(frame):
    out = []
    while frame:
        code = frame.f_code
        out.append((code.co_filename, name_of(code), frame.f_lineno or 0,
                    code.co_firstlineno))
        frame = frame.f_back
    return out


def T():
    """Write the caller's stack down; the number of elements that names it."""
    global I
    with lock:
        I += 1
        i = I
    TRUTH[i] = stack(sys._getframe(1))
    return B + i


def utf8(text):
    raw = text.encode('utf-8', 'surrogatepass')
    if len(raw) <= 65536:
        return raw
    cut = 65533
    while raw[cut] & 0xc0 == 0x80:
        cut -= 1
    return raw[:cut] + b'\xe2\x80\xa6'


def encode(frames, depth):
    out = [(utf8(f), utf8(n), l, d) for f, n, l, d in frames]
    if len(out) > depth:
        out = out[:depth] + [(b'', b'<truncated>', 0, 0)]
    return out


words = (ctypes.c_uint64 * (6 * 1100))()


def events():
    out = []
    for i in range(H.pt_events()):
        n = H.pt_event(i, words, len(words))
        size, thread, domain, bits = words[0:4]
        frames = []
        for k in range(4, n, 6):
            fa, fl, na, nl, line, first = words[k:k + 6]
            frames.append((ctypes.string_at(fa, fl), ctypes.string_at(na, nl),
                           line, first))
        out.append((size, thread, domain, bits & 1, bits >> 1, frames))
    H.pt_reset()
    return out


def report(good, name, text=''):
    global failures
    failures += not good
    print('%s %s %s' % ('ok' if good else 'not ok', name, text))
    sys.stdout.flush()


def watch(mask=MEM, depth=128):
    global I
    I = 0
    H.pt_reset()
    low = 8 * B if mask == MEM else B + 33
    H.pt_watch(mask, low, (8 if mask == MEM else 1) * (B + N), depth)


def index_of(size, mask):
    if mask == MEM:
        return (size - FT) // 8 - B if (size - FT) % 8 == 0 else 0
    return size - 33 - B


def check(name, depth=128, mask=MEM, least=1):
    """Compare all events since watch() with the truth."""
    H.pt_watch(0, 1, 0, 0)
    seen, wrong, frames = set(), 0, 0
    for size, thread, domain, full, held, got in events():
        i = index_of(size, mask)
        if not 0 < i <= I:
            continue
        want = encode(TRUTH[i], depth)
        seen.add(i)
        frames += len(want)
        if got != want:
            wrong += 1
            if wrong <= 3:
                for k in range(max(len(got), len(want))):
                    a = want[k] if k < len(want) else None
                    b = got[k] if k < len(got) else None
                    if a != b:
                        print('#   %s: frame %d wanted %.200r got %.200r'
                              % (name, k, a, b))
                        break
    missing = I - len(seen)
    report(not wrong and not missing and I >= least, name,
           '%d stacks, %d frames, %d wrong, %d missing'
           % (len(seen), frames, wrong, missing))


def group(function):
    if not GROUPS or function.__name__ in GROUPS:
        try:
            function()
        except Exception as e:
            import traceback
            traceback.print_exc()
            report(False, function.__name__, repr(e))
    return function


def times(n):
    return range(max(3, int(n * SCALE)))


def start():
    global FT
    error = H.pt_init()
    report(error == 0 and H.pt_version() == sys.hexversion & 0xffffffff,
           'init', 'error %d version %x' % (error, H.pt_version()))
    if error:
        sys.exit(1)
    if hasattr(sys, '_is_gil_enabled') and 't' in getattr(sys, 'abiflags', ''):
        FT = 8
    H.pt_install()


start()

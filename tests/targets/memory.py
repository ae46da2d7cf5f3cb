# SPDX-License-Identifier: MIT
"""A program with memory of every kind, for the census: shared, of files,
private, stacks, arenas of threads, blocks whose mapping was cut in pieces."""
import ctypes
import mmap
import os
import sys
import tempfile
import threading

import talk

MIB = 1 << 20
HUGE_PAGE, DO_NOT_FORK = 14, 10     # for madvise
KEPT = []
BLOBS = []
END = threading.Event()


class Blob(bytes):
    """Too large for pools: the C library's blocks."""
    __slots__ = ()


class Huge(bytearray):
    __slots__ = ()


def advise(address, size, how):
    if ctypes.CDLL(None).madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), how):
        raise OSError("madvise")


def touched(pages):
    for at in range(0, len(pages), mmap.PAGESIZE):
        pages[at:at + 8] = b"AAAAAAAA"
    KEPT.append(pages)


def make_files():
    """Shared memory and files; bytes of them that are in memory now."""
    memory = os.memfd_create("shared")
    os.ftruncate(memory, 3 * MIB)
    touched(mmap.mmap(memory, 3 * MIB))
    os.close(memory)
    touched(mmap.mmap(-1, 4 * MIB))
    with tempfile.TemporaryFile() as file:
        file.write(bytes(2 * MIB))
        file.flush()
        touched(mmap.mmap(file.fileno(), 2 * MIB, access=mmap.ACCESS_COPY))
    return 9 * MIB


def make_anonymous():
    touched(mmap.mmap(-1, 5 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    return 5 * MIB


def make_huge(count):
    """Large blocks with advice for their middle: the kernel's maps are cut
    there, the blocks are not."""
    for _ in range(count):
        huge = Huge(12 * MIB)
        start = ctypes.addressof((ctypes.c_char * len(huge)).from_buffer(huge))
        advise((start + 4 * MIB) & -2 * MIB, 4 * MIB, HUGE_PAGE)
        advise((start + 9 * MIB) & -mmap.PAGESIZE, mmap.PAGESIZE, DO_NOT_FORK)
        ctypes.memset(start, 65, len(huge))
        KEPT.append(huge)


def make_blobs(count):
    """In the main heap, which is cut as well, and in arenas of threads."""
    def work(ready):
        BLOBS.extend([Blob(2000) for _ in range(count)])
        deep(60, ready)
    for _ in range(5):
        ready = threading.Event()
        threading.Thread(target=work, args=(ready,), daemon=True).start()
        ready.wait()
    main = [Blob(2000) for _ in range(count)]
    advise(id(main[count // 2]) + 8192 & -mmap.PAGESIZE, mmap.PAGESIZE, DO_NOT_FORK)
    BLOBS.extend(main)


def deep(depth, ready):
    """Use some of the stack, then wait for the end."""
    if depth:
        max([depth], key=lambda n: deep(n - 1, ready))
    else:
        ready.set()
        END.wait()


def make():
    """What there is now that was not before: bytes of kinds and of large
    blocks, and types as [name, objects, bytes with buffers or null]."""
    parts = {"files": make_files(), "other anonymous": make_anonymous()}
    make_huge(2)
    make_blobs(1000)
    blobs = len(BLOBS) * (sys.getsizeof(BLOBS[0]) + 8 + 15 & ~15)
    huge = 2 * (12 * MIB + mmap.PAGESIZE)
    # from 3.15 on a bytes object has the data
    return {"parts": parts, "large": blobs + huge, "types": [
        ["Blob", len(BLOBS), blobs], ["Huge", 2, huge if sys.version_info < (3, 15) else None]]}


def c_function(name, result, *arguments):
    function = ctypes.CDLL(None)[name]
    function.restype, function.argtypes = result, arguments
    return function


def forgotten(size, count):
    """Blocks of the C library that no object knows."""
    malloc = c_function("malloc", ctypes.c_void_p, ctypes.c_size_t)
    for _ in range(count):
        ctypes.memset(malloc(size), 1, size)


def become(what):
    """64 MiB of one sort."""
    if what == "held":
        KEPT.append(["text %d" % i for i in range(MIB)])
    elif what in ("fragmented", "in part"):
        texts = ["text %d" % i for i in range(MIB)]
        KEPT.append(texts[::60] if what == "fragmented" else
                    [t for i, t in enumerate(texts) if i % 8 < 5])
    elif what == "large fragmented":
        blobs = [Blob(20000) for _ in range(3300)]
        KEPT.append(blobs[::25])
    elif what == "C":
        forgotten(1000, 1 << 16)
    elif what == "anonymous":
        touched(mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    elif what == "shared":
        touched(mmap.mmap(-1, 64 * MIB))
    else:
        raise ValueError(what)


talk.serve(make=make, become=become)

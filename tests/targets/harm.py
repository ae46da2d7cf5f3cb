# SPDX-License-Identifier: MIT
"""Does to itself what may hurt a payload: gives privileges up, closes every
descriptor, uses the numbers again, runs into its limits."""
import ctypes
import fcntl
import mmap
import os
import resource
import socket
import threading

import talk

# The pipe to the test outlives os.closerange().
talk._out = os.fdopen(1, "w", encoding="ascii", closefd=False)
KEPT = []
PAIRS = []
COUNTERS = []
BOUND = []
LIBC = ctypes.CDLL(None)
MAPPED = []
END = threading.Event()


def keep(count, size):
    KEPT.append([bytes(size - 33) for _ in range(count)])
    return len(KEPT)


def threads(count):
    for _ in range(count):
        threading.Thread(target=END.wait, daemon=True).start()
    return threading.active_count()


def drop(user, group):
    """As servers do, in their order; the ids that it has then."""
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    return list(os.getresuid()) + list(os.getresgid())


def hide():
    """PR_SET_DUMPABLE 0: what keepers of secrets do."""
    return LIBC.prctl(4, 0, 0, 0, 0)


def close_all(first, end):
    os.closerange(first, end)
    return True


def pairs(least):
    """Connected sockets until their numbers are beyond `least`; what each
    number is."""
    while not PAIRS or PAIRS[-1].fileno() < least:
        PAIRS.extend(socket.socketpair())
    return {s.fileno(): os.fstat(s.fileno()).st_ino for s in PAIRS}


def pairs_are_whole():
    """What is wrong with them: number, flags, or what comes through."""
    wrong = []
    for one, two in zip(PAIRS[::2], PAIRS[1::2]):
        for a, b in ((one, two), (two, one)):
            a.sendall(b"word")
            if b.recv(100, socket.MSG_DONTWAIT) != b"word":
                wrong.append([b.fileno(), "other bytes"])
            if fcntl.fcntl(a, fcntl.F_GETFL) & os.O_NONBLOCK or a.getsockopt(
                    socket.SOL_SOCKET, socket.SO_ERROR):
                wrong.append([a.fileno(), "changed"])
    return wrong


def close_pairs():
    for one in PAIRS:
        one.close()
    del PAIRS[:]
    return True


def bind_only(path):
    """A socket that is not yet listened on, and the lock of its directory;
    the file's inode."""
    lock = os.open(os.path.dirname(path), os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    one = socket.socket(socket.AF_UNIX)
    one.bind(path)
    BOUND.extend((one, lock))
    return os.stat(path).st_ino


def unbind():
    """As if that copy had died: the file stays."""
    BOUND[0].close()
    os.close(BOUND[1])
    del BOUND[:]
    return True


def counters(least):
    """Event counters of 7 until their numbers are beyond `least`."""
    while not COUNTERS or COUNTERS[-1] < least:
        COUNTERS.append(LIBC.eventfd(7, os.O_NONBLOCK))
    return COUNTERS


def counters_are_whole():
    """The numbers whose count is another; it is put back."""
    count = ctypes.c_uint64()
    wrong = [fd for fd in COUNTERS
             if LIBC.eventfd_read(fd, ctypes.byref(count)) or count.value != 7]
    for fd in COUNTERS:
        LIBC.eventfd_write(fd, ctypes.c_uint64(7))
    return wrong


def close_counters():
    while COUNTERS:
        os.close(COUNTERS.pop())
    return True


def fork():
    """A child that ends at once; its status."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def spawn(path):
    """A child whose first file is to be opened before it is there, while this
    thread sleeps as after vfork; its status."""
    pid = os.posix_spawn("/bin/true", ["true"], {}, file_actions=[
        (os.POSIX_SPAWN_OPEN, 0, path, os.O_RDONLY, 0)])
    return os.waitpid(pid, 0)[1]


def limit(name, value):
    """Set a soft limit; the one before.  -1: none."""
    which = getattr(resource, "RLIMIT_" + name)
    before = resource.getrlimit(which)
    resource.setrlimit(which, (value, before[1]))
    return before[0]


def fill_descriptors():
    """Until EMFILE; how many."""
    try:
        while True:
            KEPT.append(os.open("/", os.O_RDONLY))
    except OSError:
        return sum(type(k) is int for k in KEPT)


def free_descriptors(count=None):
    """All that fill_descriptors() opened, or so many of them."""
    for fd in [k for k in KEPT if type(k) is int][:count]:
        os.close(fd)
        KEPT.remove(fd)
    return True


def map_pages(count):
    """`count` more mappings: pages of one region, every second read-only."""
    page = mmap.PAGESIZE
    region = mmap.mmap(-1, count * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(region))
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for at in range(1, count, 2):
        if protect(start + at * page, page, mmap.PROT_READ):
            break
    MAPPED.append(region)
    return True


talk.serve(keep=keep, threads=threads, drop=drop, hide=hide, close_all=close_all,
           pairs=pairs, pairs_are_whole=pairs_are_whole, close_pairs=close_pairs,
           counters=counters, counters_are_whole=counters_are_whole,
           close_counters=close_counters, fork=fork, spawn=spawn,
           limit=limit, bind_only=bind_only, unbind=unbind,
           fill_descriptors=fill_descriptors, free_descriptors=free_descriptors,
           map_pages=map_pages)

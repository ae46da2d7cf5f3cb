#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A process that answers on a payload's socket, well or badly.

    fake_server.py MODE IMAGE [PID]

Prints one line when it listens, and ends when its input does.  PID: listen
under the name of that process instead of the own one.
"""
import contextlib
import ctypes
import os
import socket
import struct
import sys
import time
import zlib

MODE = sys.argv[1]
RATE = [524288]
OLD = []


def start_time():
    with open('/proc/self/stat') as f:
        return int(f.read().rsplit(')', 1)[1].split()[19])


def status(hooks=1):
    values = {
        'protocol': 2 if MODE == 'future' else 1,
        'payload_version': '0.0.1\x1b[31m' if MODE == 'hostile' else '0.0.1',
        'pid': os.getpid(),
        'start_time': start_time() + (1 if MODE == 'reused' else 0),
        'python_version': 0x030d00f0, 'state': 2, 'hooks': hooks,
        'flags': '0x%x' % 0x88, 'rate': RATE[0], 'rate_effective': RATE[0],
        'frames_max': 64, 'memory_max': 16 << 20, 'memory_used': 3 << 20,
        'attached_realtime_ns': 10 ** 18, 'uptime_ns': 720 * 10 ** 9,
        'samples_live': 431, 'samples_taken': 500, 'samples_thinned': 0,
        'samples_freed': 69, 'dropped': 0, 'sites_evicted': 0,
        'stacks_full': 0, 'rebuilds': 0, 'requested_bytes': 1 << 40,
        'requested_calls': 10 ** 9, 'uncounted_max': 4096,
        'estimated_bytes': '262144000.5', 'estimated_bytes_variance': '1.3e14',
        'estimated_bytes_weight_max': '524000', 'estimated_objects': '2e6',
        'estimated_objects_variance': '1e10',
        'estimated_objects_weight_max': '9000', 'rss': 1 << 30,
        'rss_at_attach': 1 << 29, 'gil_wait_ns': 1000, 'server_tid': 1,
        'clients': 1, 'refused_clients': 0, 'attach_generation': 1,
        'socket': PATH, 'a_line_of_later': 'any thing'}
    if MODE == 'nan':
        values['estimated_bytes'] = 'nan'
    if MODE == 'negative':
        values['rate'] = '-5'
    if MODE == 'missing':
        del values['rate']
    return ''.join('%s %s\n' % pair for pair in values.items()).encode()


def good(body):
    return b'OK %d\n' % len(body) + body


def answer(line):
    """The bytes of a good answer, by request."""
    word, _, argument = line.partition(b' ')
    if word == b'STATUS':
        return good(status())
    if word == b'SNAPSHOT':
        with open(sys.argv[2], 'rb') as f:
            return good(f.read())
    if word == b'RATE':
        old, RATE[0] = RATE[0], int(argument)
        return good(b'%d\n' % old)
    if word == b'DETACH':
        return good(status(hooks=0))
    return b'ERR bad-request the request was not understood\n'


BAD = {
    'garbage': [b'\xff\x00garbage\n'],
    'flood': [b'x' * (1 << 20)],
    'half': [b'OK 1000\nprotocol 1\n', 'close'],
    'half-hang': [b'OK 1000\nprotocol 1\n', 'hang'],
    'half-head': [b'OK 10', 'hang'],
    'nothing': ['close'],
    'detached': ['close'],      # and its directory says so
    'start-failed': ['close'],  # the same
    'silent': ['hang'],
    'huge': [b'OK 99999999999999\n', 'hang'],
    'endless': [b'OK 999999999999999999999999999\n'],
    'below-zero': [b'OK -1\n'],
    'no-number': [b'OK \n'],
    'too-much': [b'OK 3\nabcdefgh'],
    'busy': [b'ERR busy too many clients at once\n'],
    'err-hostile': [b'ERR failed \x1b[2J\xe2\x80\xaered\n'],
    'err-unknown': [b'ERR out-of-cheese try again\n'],
    'err-empty': [b'ERR\n', 'close'],
}


def say(connection, parts):
    for part in parts:
        if part == 'close':
            connection.close()
            return False
        if part == 'hang':
            connection.settimeout(60)
            connection.recv(1)
            return False
        connection.sendall(part)
    return True


def drip(connection, data):
    for i in range(len(data)):
        connection.sendall(data[i:i + 1])
        time.sleep(0.05)
    return True


def serve(connection):
    for line in connection.makefile('rb'):
        line = line.rstrip(b'\n')
        if MODE in BAD:
            more = say(connection, BAD[MODE])
        elif MODE == 'drip':
            more = drip(connection, answer(line))
        elif MODE == 'late' and line == b'SNAPSHOT':
            more = say(connection, [b'OK 900000000\n' + b'x' * 1000, 'hang'])
        elif MODE == 'cut' and line == b'SNAPSHOT':
            more = say(connection, [good(answer(line)[20:5000])])
        elif MODE == 'no-rate' and line.startswith(b'RATE'):
            more = say(connection, [good(b'x\n')])
        else:
            more = say(connection, [answer(line)])
        if not more:
            return


def map_directory(state):
    """What is found of a payload in memory: a page at a low slot."""
    at = 0x2000000000
    mmap = ctypes.CDLL(None).mmap
    mmap.restype = ctypes.c_void_p
    # readable, writable; private, anonymous, only if it is free
    got = mmap(ctypes.c_void_p(at), ctypes.c_size_t(4096), 3, 0x100022, -1,
               ctypes.c_long(0))
    assert got == at, got
    page = bytearray(124)
    struct.pack_into('<16sHHIQIII', page, 0,
                     b'\x89PYATTD\r\n\x1a\n\0\0\0\0', 1, 1, 1376, at,
                     0x01020304, 4096, os.getpid())
    struct.pack_into('<I', page, 120, state)
    page += struct.pack('<I', zlib.crc32(page))
    ctypes.memmove(at, bytes(page), len(page))


STATES = {'detached': 3, 'start-failed': 5}     # PA_STATE_... of the directory
DIRECTORY = '/tmp/pyattach-sample-%d' % os.geteuid()
if os.path.isdir('/run/user/%d' % os.geteuid()):
    DIRECTORY = '/run/user/%d/pyattach-sample' % os.geteuid()
PATH = '%s/%s.sock' % (DIRECTORY, sys.argv[3] if len(sys.argv) > 3 else
                       os.getpid())


def main():
    os.makedirs(DIRECTORY, 0o700, exist_ok=True)
    if MODE in STATES:
        map_directory(STATES[MODE])
    listener = socket.socket(socket.AF_UNIX)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(PATH)         # of a process that was killed under our pid
    listener.bind(PATH)
    listener.listen(8)
    listener.settimeout(0.05)
    try:
        print(PATH, flush=True)
        os.set_blocking(0, False)
        while sys.stdin.buffer.raw.read(1) is None:
            try:
                connection = listener.accept()[0]
                connection.settimeout(60)
            except socket.timeout:
                continue
            try:
                serve(connection)
            except OSError:
                pass
            OLD.append(connection)      # closed when we end, not before
    finally:
        os.unlink(PATH)


main()

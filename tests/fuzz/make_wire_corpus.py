#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the corpus of fuzz_wire: answers of a payload, good and bad."""
import os
import sys

STATUS = b''.join(b'%s %s\n' % pair for pair in [
    (b'protocol', b'1'), (b'payload_version', b'0.1.0'), (b'pid', b'4711'),
    (b'start_time', b'99'), (b'python_version', b'51183856'),
    (b'state', b'2'), (b'hooks', b'1'), (b'flags', b'0x88'),
    (b'rate', b'524288'), (b'rate_effective', b'1048576'),
    (b'estimated_bytes', b'262144000.5'),
    (b'estimated_bytes_variance', b'1.3e14'),
    (b'socket', b'/run/user/1000/pyattach-sample/4711.sock'),
    (b'a_line_of_later', b'any thing')])

CORPUS = {
    'status': b'OK %d\n' % len(STATUS) + STATUS,
    'two': b'OK 3\na 1OK 0\n',
    'error': b'ERR busy too many clients at once\n',
    'unknown': b'ERR out-of-cheese \x1b[2J\xe2\x80\xae\n',
    'huge': b'OK 99999999999999999999\n',
    'large': b'OK 900000000\nxxxx',
    'cut': b'OK 1000\nprotocol 1\n',
    'no-newline': b'OK 1000',
    'long': b'x' * 3000,
    'nan': b'OK 20\nestimated_bytes nan\n',
    'nothing': b'',
}


def main():
    for name, data in CORPUS.items():
        with open(os.path.join(sys.argv[1], name), 'wb') as f:
            f.write(data)


main()

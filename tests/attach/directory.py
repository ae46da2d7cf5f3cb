# SPDX-License-Identifier: MIT
"""The directory page in the memory of a target, read and written from
outside: what a reader of a core sees, and states that are hard to meet."""
import os
import zlib

from process import Failure, mappings

TREE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
MAGIC = b"\x89PYATTD\r"
STARTING, ATTACHED = 1, 2       # PA_STATE_... of common/image.h


def layout():
    """{field: (offset, bytes)} of the directory."""
    fields = {}
    with open(os.path.join(TREE, "tests", "abi.expected"), encoding="utf-8") as f:
        for line in f:
            words = line.split()
            if len(words) > 2 and words[1].startswith("@") and words[2].startswith("+"):
                fields[words[0]] = int(words[1][1:]), int(words[2][1:])
    return fields


class Directory:
    """Of the payload in a target, found without asking it."""

    def __init__(self, target):
        self.pid = target.pid
        self.fields = layout()
        for line in mappings(target.pid):
            low, high = (int(x, 16) for x in line.split()[0].split("-"))
            if not line.split()[1].startswith("rw") or high - low > 1 << 20:
                continue
            for self.address in range(low, high, 4096):
                if self.bytes(0, len(MAGIC)) == MAGIC and self.read("self") == self.address:
                    return
        raise Failure("no directory in the memory of %d" % target.pid)

    def bytes(self, offset, size):
        with open("/proc/%d/mem" % self.pid, "rb", 0) as memory:
            memory.seek(self.address + offset)
            return memory.read(size)

    def read(self, name):
        return int.from_bytes(self.bytes(*self.fields[name]), "little")

    def write(self, name, value):
        """And the sum over the part that it covers."""
        with open("/proc/%d/mem" % self.pid, "r+b", 0) as memory:
            for field in name, "identity_crc":
                offset, size = self.fields[field]
                if field == "identity_crc":
                    value = zlib.crc32(self.bytes(0, offset))
                memory.seek(self.address + offset)
                memory.write(value.to_bytes(size, "little"))

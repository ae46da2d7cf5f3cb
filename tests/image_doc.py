#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tables of doc/IMAGE.md are those of abi.expected: every field of every
record, at its offset, with its size."""
import os
import re

from tap import done, ok

SOURCE = os.environ["PA_SRCDIR"]
SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "f64": 8, "pa_region": 32,
         "pa_set": 272, "char": 1}


def read(*path):
    with open(os.path.join(SOURCE, *path), encoding="utf-8") as f:
        return f.read()


def size_of(text):
    """8 x `pa_region` or u64[2][8] or f64, in bytes."""
    times, name, dimensions = re.match(
        r"(?:(\d+) x )?`?(\w+)`?((?:\[\d+\])*)$", text).groups()
    size = SIZES[name] * int(times or 1)
    for number in re.findall(r"\d+", dimensions):
        size *= int(number)
    return size


def expected():
    """{record: [(field, offset, size)]}"""
    records, fields = {}, []
    for line in read("tests", "abi.expected").splitlines():
        name = re.match(r"(pa_\w+) \d+$", line)
        field = re.match(r"  (\w+) +@(\d+) +\+(\d+)", line)
        if name:
            fields = records[name.group(1)] = []
        elif field:
            fields.append((field.group(1), int(field.group(2)),
                           int(field.group(3))))
    return records


def described():
    """The same fields of every table, in the order of the page."""
    tables = []
    for line in read("doc", "IMAGE.md").splitlines():
        row = re.match(r"\| (\d+) \| (.+?) \| `(\w+)` \|", line)
        if line.startswith("| offset |"):
            tables.append([])
        elif row:
            tables[-1].append((row.group(3), int(row.group(1)),
                               size_of(row.group(2))))
    return tables


def main():
    records, tables = expected(), described()
    ok(len(tables) == len(records), "a table for every record",
       "%d tables, %d records" % (len(tables), len(records)))
    for name, fields in records.items():
        ok(fields in tables, name + " is as in abi.expected", fields)
    version = re.search(r"\*\*major (\d+), minor (\d+)\*\*",
                        read("doc", "IMAGE.md")).groups()
    ok(read("tests", "abi.expected").startswith("image %s.%s\n" % version),
       "the version", version)
    done()


main()

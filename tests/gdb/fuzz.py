#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Flipped bits, zeroed and shuffled pages, wild counts in cores and snapshots:
no traceback, no hang, damage is named and counted, and both decoders say the
same.  PA_SEED repeats a run, PA_FUZZ sets the number of rounds."""
import json
import os
import signal
import struct
import sys
import time
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common                                             # noqa: E402
from common import PROGRAM, differences, program_works    # noqa: E402
from make_core import core                                # noqa: E402
from make_image import synthetic                          # noqa: E402
from pyattach import (decode, discover, json_views, layout,  # noqa: E402
                      memory, report, save, tree, views)
from pyattach.layout import CONSTANTS as C                # noqa: E402
from tap import done, ok, skip                            # noqa: E402

ROUNDS = int(os.environ.get('PA_FUZZ', 150))
SECONDS = 60        # one decode; a good one takes 0.02


class TooLong(Exception):
    pass


def alarm(_signal, _frame):
    raise TooLong('no end after %d s' % SECONDS)


def everything(table):
    """Call every view; the JSON of the report."""
    rows = report.Report(table, limit=0)
    value = json.loads(json_views.dumps(json_views.report_json(rows)))
    json_views.dumps(json_views.status_json(table))
    for by in report.GROUPS:
        views.top(report.Report(table, group_by=by, limit=5))
    tree.tree(table, 50)
    views.listing(table, 5)
    views.at(table, 0x7e0000050003)
    for index in range(0, len(table.sites()), 7):
        views.site(table, [index], 1)
    views.damage(table)
    data = save.snapshot(table)
    source = memory.FileImage(data)
    again = decode.Table(source, discover.open_snapshot(source))
    again.live_sums()
    if again.damage.counts:
        raise AssertionError('a saved table is damaged: %r'
                             % again.damage.counts)
    return value


def read(path):
    """The report's JSON, or the reason that there is none."""
    signal.alarm(SECONDS)
    try:
        if path.endswith('.core'):
            source = memory.ElfCoreMemory(path)
            found = discover.Discovery(source).run()
        else:
            source = memory.FileImage.open(path)
            found = discover.open_snapshot(source)
        table = decode.Table(source, found)
        if not table.holds_samples():
            return 'no samples'
        return everything(table)
    except (discover.NoTable, memory.NotAMemory) as none:
        return str(none)
    finally:
        signal.alarm(0)


# -- what is done to a file

def flip(rng, data):
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        at = rng.randrange(len(data))
        data[at] ^= 1 << rng.randrange(8)


def flip_directory(rng, data):
    at = data.find(C['IMAGE_MAGIC'])
    for _ in range(rng.choice((1, 2, 4))):
        data[at + rng.randrange(layout.DIRECTORY.size)] ^= \
            1 << rng.randrange(8)


def zero_pages(rng, data):
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(data) // 4096) * 4096
        data[at:at + 4096] = bytes(4096)


def swap_pages(rng, data):
    a, b = (rng.randrange(1, len(data) // 4096) * 4096 for _ in range(2))
    data[a:a + 4096], data[b:b + 4096] = data[b:b + 4096], data[a:a + 4096]


def wild_words(rng, data):
    """Numbers that like to overflow, at aligned places."""
    for _ in range(rng.choice((1, 2, 6))):
        at = rng.randrange(len(data) // 8) * 8
        struct.pack_into('<Q', data, at, rng.choice((
            0, 1, 0xffffffff, (1 << 64) - 1, 1 << 63, 1 << 40, len(data),
            0x7ff0000000000000, 0x7ff8000000000000, 1 << 32)))


def wild_sealed(rng, data):
    """A wild directory whose checksums are right: made to harm."""
    at = data.find(C['IMAGE_MAGIC'])
    page = bytearray(data[at:at + 4096])
    record, base = layout.DIRECTORY, layout.DIRECTORY.offsets['set']
    for _ in range(rng.choice((1, 2, 3))):
        place = base + rng.randrange((2 * layout.SET.size + 128) // 8) * 8
        struct.pack_into('<Q', page, place, rng.choice((
            0, 1, 2, 8, 9, 0xffffffff, (1 << 64) - 1, 1 << 63, 1 << 40,
            rng.getrandbits(33))))
    for k in (0, 1):
        start = base + k * layout.SET.size
        first = start + layout.SET.offsets['region']
        crc = zlib.crc32(page[start:start + layout.SET.offsets['crc']])
        crc = zlib.crc32(page[first:start + layout.SET.size], crc)
        layout.SET.put(page, 'crc', crc, start)
    end = record.offsets['snapshot_crc']
    record.put(page, 'snapshot_crc', zlib.crc32(page[:end]))
    data[at:at + 4096] = page


HARMS = (flip, flip_directory, zero_pages, swap_pages, wild_words,
         wild_sealed)


def compare(path, mine):
    """'' where the tool says the same."""
    status, out, err = common.run([PROGRAM, 'report', path, '--limit', '0',
                                   '--json'], seconds=SECONDS)
    if status == 0:
        if not isinstance(mine, dict):
            return 'a report here, there: %s' % mine
        tool = json.loads(out)
        tool['title'] = None
        found = differences(mine, tool)
        return '; '.join(found[:4])
    try:
        error = json.loads(err)
    except ValueError:
        return 'status %r: %s' % (status, err[-300:])
    if isinstance(mine, dict) and path.endswith('.core'):
        return 'refused: %s' % error['message']
    return '' if not isinstance(mine, dict) or mine['damage'] else \
        'refused: %s' % error['message']


def keep(number, name, data):
    """A file that shows an error, where PA_KEEP names a directory."""
    if os.environ.get('PA_KEEP'):
        path = 'bad-%d.%s' % (number, name)
        with open(os.path.join(os.environ['PA_KEEP'], path), 'wb') as f:
            f.write(data)


def rounds(rng, name, good):
    wrong, saved, named, slowest = [], 0, 0, 0.0
    for k in range(ROUNDS):
        data = bytearray(good)
        harm = rng.choice(HARMS)
        harm(rng, data)
        path = 'x.' + name
        with open(path, 'wb') as f:
            f.write(data)
        start = time.time()
        try:
            mine = read(path)
        except Exception as error:
            wrong.append('%d %s: %r' % (k, harm.__name__, error))
            keep(k, name, data)
            continue
        slowest = max(slowest, time.time() - start)
        saved += isinstance(mine, dict)
        named += not isinstance(mine, dict)
        if program_works():
            said = compare(path, mine)
            if said:
                wrong.append('%d %s: %s' % (k, harm.__name__, said))
                keep(k, name, data)
    ok(not wrong, '%d harmed %ss: %d read, %d refused by name, slowest '
       '%.2f s' % (ROUNDS, name, saved, named, slowest), *wrong[:15])
    return saved


def main():
    os.chdir(common.scratch())
    signal.signal(signal.SIGALRM, alarm)
    rng = common.seed()
    image = synthetic(400, 40, 6, hostile=False, freed=40)
    ok(isinstance(read_good(image), dict), 'the good ones are read')
    saved = rounds(rng, 'core', core(image.memory() + [
        (0x555500000000, b'h' * 8192)]))
    ok(saved > ROUNDS // 4, 'much of what is harmed is read all the same')
    rounds(rng, 'image', image.snapshot())
    if not program_works():
        skip('the tool says the same', 'no program')
    done()


def read_good(image):
    with open('good.core', 'wb') as f:
        f.write(core(image.memory()))
    return read('good.core')


main()

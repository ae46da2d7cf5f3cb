#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make golden-VERSION.core and .json of the format that there is now; those of
older versions stay as they are: python3 tests/gdb/make_golden.py"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common                                             # noqa: E402,F401
from make_core import core                                # noqa: E402
from make_image import C, Image                           # noqa: E402
from pyattach import (decode, discover, json_views,       # noqa: E402
                      memory, report)

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    image = Image()
    for k in range(40):
        image.sample([('/srv/app.py', 'handle', 40 + k % 3),
                      ('/srv/app.py', 'main', 7)], 100 + 37 * k,
                     domain=k % 3)
    image.sample([('/srv/b\udcffd.py', 'cach\u00e9', 9)], 3000000)
    image.sample(C['SITE_NO_PYTHON'], 64)
    base = os.path.join(HERE, 'golden-%d.%d' % (C['IMAGE_MAJOR'],
                                                C['IMAGE_MINOR']))
    path = base + '.core'
    with open(path, 'wb') as f:
        f.write(core(image.memory()))
    source = memory.ElfCoreMemory(path)
    table = decode.Table(source, discover.Discovery(source).run())
    value = json_views.report_json(report.Report(table, 'traceback', limit=0))
    with open(base + '.json', 'w', encoding='utf-8') as f:
        json.dump(value, f, indent=1, sort_keys=True)
        f.write('\n')


main()

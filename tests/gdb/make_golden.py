#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make golden.core and golden.json again, after a change of the format that
was meant: python3 tests/gdb/make_golden.py"""
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
    path = os.path.join(HERE, 'golden.core')
    with open(path, 'wb') as f:
        f.write(core(image.memory()))
    source = memory.ElfCoreMemory(path)
    table = decode.Table(source, discover.Discovery(source).run())
    value = json_views.report_json(report.Report(table, 'traceback', limit=0))
    with open(os.path.join(HERE, 'golden.json'), 'w', encoding='utf-8') as f:
        json.dump(value, f, indent=1, sort_keys=True)
        f.write('\n')


main()

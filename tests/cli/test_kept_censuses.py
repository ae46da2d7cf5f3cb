#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""diff of censuses made by hand, right and wrong."""
import json
import os

import common
from common import HIDDEN, run
from tap import ok


def kept_censuses(directory, image):
    """diff of files made by hand, right and wrong."""
    def write(name, value):
        path = os.path.join(directory, name)
        with open(path, 'wb') as f:
            f.write(value if isinstance(value, bytes) else
                    json.dumps(value).encode())
        return path

    def census(rows, **more):
        return dict({'schema': 'pyattach-sample/census/1', 'rss': 1 << 30,
                     'memory': [{'kind': 'small live', 'bytes': 1 << 29}],
                     'rows': [dict(zip(('module', 'type', 'objects', 'bytes',
                                        'bytes_with_buffers'), row))
                              for row in rows]}, **more)
    hostile = 'Evil\x1b[2J\u202e\n' + 'x' * 500
    old = write('old', census([['a', 'T', 1, 100, 200]]))
    new = write('new', census([['a', 'T', 3, 300, 2 << 30],
                               [hostile, hostile, 1, 1, 1],
                               [None, '<native>', 5, 5, 5]]))
    got = run('diff', old, new, '--json')
    rows = got.json['rows']
    ok(got.status == 0 and [r['is_new'] for r in rows] == [False, True, True]
       and rows[0]['bytes']['estimate'] == (2 << 30) - 200 and
       rows[0]['objects']['low'] == 2 and got.json['matched'] is False,
       'diff of two files', got)
    got = run('diff', old, new)
    ok(got.status == 0 and not HIDDEN.search(got.text) and
       max(map(len, got.text.splitlines())) <= 100, 'a hostile name', got)
    got = run('diff', old, old)
    ok(got.status == 0 and 'Where it went' not in got.text, 'no change', got)
    far = 2 ** 63 - 1
    wild = write('wild', census([['a', 'T', far, far, far], ['a', 'T', -5,
                                 'x', None], ['b', 'U', 1.5, {}, []]],
                                rss=far, pid='x', memory={'kind': 1}))
    ok(run('diff', old, wild).status == 0 and
       run('diff', wild, old, '--json').status == 0, 'numbers without sense')
    for what, value, status in (
            ('no row', census([[1, 2, 3, 4, 5]]), 91),
            ('no census', {'schema': 'pyattach-sample/report/1'}, 90),
            ('of later', census([], schema='pyattach-sample/census/2'), 93),
            ('cut', b'{"schema": "pyattach-sample/census/1", "rows": [', 91),
            ('deep', b'{' + b'"a":{' * 100000, 91), ('empty', b'', 90),
            ('bytes', b'{\xff\x00', 91), ('a list', b'[]', 90)):
        got = run('diff', old, write('bad', value), '--json')
        ok(got.status == status and got.error and not got.out,
           'diff refuses: ' + what, got)
    ok(run('diff', image, new).status == 90, 'an image is no census')
    ok(run('diff', directory, new).status == 96, 'a directory is none')


common.main(kept_censuses)

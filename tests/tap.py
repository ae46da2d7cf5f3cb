# SPDX-License-Identifier: MIT
"""TAP for the scripts of `make check`: ok(condition, text), then done()."""
import sys

_count = 0


def ok(condition, text, *details):
    """One point; details are shown where it fails."""
    global _count
    _count += 1
    text = str(text).replace("#", "\\#").replace("\n", " ")
    print("%sok %d - %s" % ("" if condition else "not ", _count, text))
    if not condition:
        for detail in details:
            for line in str(detail)[:3000].splitlines():
                print("# " + line)
    return bool(condition)


def skip(text, reason):
    global _count
    _count += 1
    print("ok %d - %s # SKIP %s" % (_count, text, reason))


def skip_all(reason):
    print("1..0 # SKIP " + reason)
    sys.exit(0)


def done():
    print("1..%d" % _count)

# SPDX-License-Identifier: MIT
"""Code whose file and function names try to harm whoever shows them."""
import types

import talk

KEPT = []
SOURCE = """\
def plain(count):
    out = []
    for _ in range(count):
        out.append(bytes(3000))
    return out
"""
NAMES = [
    "\x1b[2J\x1b]0;owned\x07",
    "line\nbreak\r\n\tand tab",
    "\u202egnp.exe\u202c \u2066isolate\u2069 \u200f\u061c",
    "quote\"s and 'single' and \\back\\",
    "</script><script>alert(1)</script>",
    "<!-- &amp; ]]> -->",
    "\x00nul\x01\x7f\x9b31m\x85",
    "semi;colon space  end ",
    "\udcff\ud800 lone",
    "=cmd|' /C calc'!A0,comma",
    "\ufeffbom \u2028line separator \u2029",
    "%s%n%x {0} $(id) `id`",
    "L" * 65536,
    "\U0001f40d\u0301\u200d wide \u6f22\u5b57",
    "",
]


def rename(code, file, name):
    try:
        return code.replace(co_filename=file, co_name=name, co_qualname=name)
    except TypeError:
        return code.replace(co_filename=file, co_name=name)


def work(count):
    """Every name as a file and as a function."""
    code = compile(SOURCE, "<x>", "exec")
    code = [c for c in code.co_consts if isinstance(c, types.CodeType)][0]
    for name in NAMES:
        for file, function in ((name, "plain"), ("plain.py", name), (name, name)):
            KEPT.append(types.FunctionType(rename(code, file, function), globals())(count))
    return NAMES


talk.serve(work=work)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every refusal has a test that asserts its sentence.

The sentences are read out of the sources: each pa_fail() of injector/ with its
error and its text.  A test asserts one if its file names the error (its
word, or PA_E_...) and has a string that is a part of the text, and of no other
text of that error.  Every word of common/errors.def is named by some test, too.
`refusals.py --table` prints which test it is.
"""
import ast
import glob
import os
import re
import sys

from tap import done, ok

SOURCE = os.environ["PA_SRCDIR"]
STRINGS = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
CALL = re.compile(r"pa_fail\(\s*[^,]+,\s*(PA_E_\w+),\s*" + STRINGS)
CONVERSION = re.compile(r"%[-.*0-9]*(?:ll|l|z)?[a-zA-Z]")
LEAST = 8		# characters of a text that say which one it is, two words
# Of no refusal: our own memory, a signal that we got.
OTHER = ["PA_E_FAILED"]


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def joined(literals):
    return "".join(ast.literal_eval('"%s"' % part)
                   for part in re.findall(r'"((?:[^"\\]|\\.)*)"', literals))


def sentences():
    """{error: {text: source}} of every pa_fail() whose error is known."""
    found = {}
    for path in sorted(glob.glob(os.path.join(SOURCE, "injector", "*.c"))):
        for error, literals in CALL.findall(read(path)):
            text = joined(literals)
            if error not in OTHER and not re.match(r"^(%s[: ]*|process %d: )+$", text):
                found.setdefault(error, {}).setdefault(text, os.path.basename(path))
    return found


def strings_of_python(text):
    return [(node.lineno, node.value) for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)] + [
                (node.lineno, node.value.decode("utf-8", "replace"))
                for node in ast.walk(ast.parse(text))
                if isinstance(node, ast.Constant) and isinstance(node.value, bytes)]


def strings_of_c(text):
    return [(text.count("\n", 0, m.start()) + 1, joined(m.group(1)))
            for m in re.finditer(STRINGS, text) if "\\x" not in m.group(1)]


def tests():
    """[(name, text, [(line, string)])] of every file with tests."""
    found = []
    for pattern, strings in (("attach/*.py", strings_of_python), ("fault/*.py", strings_of_python),
                             ("unit/*.c", strings_of_c)):
        for path in sorted(glob.glob(os.path.join(SOURCE, "tests", pattern))):
            text = read(path)
            found.append((os.path.relpath(path, SOURCE), text, strings(text)))
    return found


def parts_of(text):
    return [part for part in CONVERSION.split(text) if part.strip()]


def says(string, text):
    """Is a part of it, or has its longest part."""
    string = string.strip()
    longest = max(parts_of(text), key=len).strip()
    return len(string) >= LEAST and " " in string and (longest in string or any(
        string in part for part in parts_of(text)))


def tests_of(error, word, text, others, files):
    """Where the text is asserted."""
    found = []
    for name, content, strings in files:
        if '"%s"' % word not in content and not re.search(r"\b%s\b" % error, content):
            continue
        found += ["%s:%d" % (name, line) for line, string in strings if says(string, text)
                  and not any(says(string, other) for other in others)]
    return found


def main():
    words = dict(re.findall(r'^X\((\w+),\s*"([^"]+)"', read(os.path.join(
        SOURCE, "common", "errors.def")), re.M))
    files = tests()
    everything = "".join(text for _, text, _ in files) + "".join(
        read(p) for p in glob.glob(os.path.join(SOURCE, "tests", "*", "*.py")))
    used = "".join(read(path) for folder in ("injector", "payload") for path in
                   glob.glob(os.path.join(SOURCE, folder, "*.c")))
    for symbol, word in words.items():
        if not re.search(r"\bPA_E_%s\b" % symbol, used):
            continue
        ok('"%s"' % word in everything or "PA_E_%s" % symbol in everything,
           "%s is named by a test" % word)
    count = 0
    for error, texts in sorted(sentences().items()):
        for text, source in sorted(texts.items()):
            where = tests_of(error, words[error[5:]], text, set(texts) - {text}, files)
            ok(where, "%s, %s: %s" % (words[error[5:]], source, text))
            count += 1
            if where and "--table" in sys.argv:
                print("# " + ", ".join(where))
    ok(count > 60, "the sources were understood", count)
    done()


main()

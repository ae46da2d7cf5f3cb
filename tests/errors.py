#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The one list of errors: its own rules, and that man page and program follow.

Rules: unique words and statuses, statuses within 10 to 99, words in lower
case, a sentence and a hint each; every status used once is used for ever, so
the numbers are those of tests/errors.expected.
"""
import json
import os
import re
import subprocess

from tap import done, ok

SOURCE = os.environ["PA_SRCDIR"]
PROGRAM = os.environ["PA_PROGRAM"]
ROW = re.compile(r'^X\((\w+),\s*"([^"]*)",\s*(\d+),\s*"([^"]*)",\s*"([^"]*)"\)$', re.M)


def read(name):
    with open(os.path.join(SOURCE, name), encoding="utf-8") as f:
        return f.read()


def plain(man):
    """A man page as text: font changes and escapes removed."""
    return re.sub(r"\\f.|\\&|\\\(..|\\\[\w+\]", "", man).replace("\\-", "-")


def the_list(rows, text):
    ok(len(rows) == len(re.findall(r"^X\(", text, re.M)), "every row is understood")
    words = [r[1] for r in rows]
    statuses = [int(r[2]) for r in rows]
    ok(len(set(words)) == len(words), "words are unique", words)
    ok(len(set(statuses)) == len(statuses), "statuses are unique", statuses)
    ok(all(10 <= s <= 99 for s in statuses), "statuses are 10 to 99", statuses)
    ok(all(re.match(r"^[a-z0-9]+(-[a-z0-9]+)*$", w) for w in words),
       "words are of one form", words)
    ok(all(r[3] and r[4] for r in rows), "every row has a sentence and a hint")
    ok(not [r for r in rows if r[3].endswith(".") or r[3][0].isupper() and r[3][1].islower()],
       "sentences can follow a colon")
    now = "".join("%d %s\n" % (s, w) for s, w in sorted(zip(statuses, words)))
    was = read("tests/errors.expected")
    lost = [line for line in was.splitlines() if line not in now.splitlines()]
    ok(not lost, "no status changed or vanished", *lost)
    new = [line for line in now.splitlines() if line not in was.splitlines()]
    ok(not new, "new rows are in tests/errors.expected", *new)


def the_man_page(rows):
    text = plain(read("doc/pyattach-sample.1"))
    for _, word, status, _, _ in rows:
        found = re.search(r"\b%s\b[^\n]*\n?[^\n]*%s\b|\b%s\b[^\n]*\n?[^\n]*\b%s\b" % (
            status, re.escape(word), re.escape(word), status), text)
        ok(found, "the man page has %s %s" % (status, word))


def run(*arguments):
    done_ = subprocess.run([PROGRAM] + list(arguments), stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    return done_.returncode, done_.stdout.decode(), done_.stderr.decode()


def a_failure(rows, word, *arguments):
    """The same failure as text and as JSON, each of its fixed form."""
    _, _, status, _, hint = [r for r in rows if r[1] == word][0]
    what = " ".join(arguments)
    got = run(*arguments)
    ok(got[0] == int(status) and not got[1], "%s: status %s" % (what, status), got)
    ok(re.match(r"^pyattach-sample: [^\n]+: [^\n]+\n$", got[2]), "%s: one line" % what, got)
    got = run(*arguments, "--format", "json")
    try:
        error = json.loads(got[2])
    except ValueError:
        error = {}
    ok(got[0] == int(status) and not got[1] and error.get("error") == word
       and error.get("status") == int(status) and error.get("message")
       and error.get("hint") and error.get("schema") == "pyattach-sample/error/1",
       "%s: the same in JSON" % what, got)


def usage_errors():
    for arguments in ([], ["--no-such-option"], ["no-such-verb"], ["attach"],
                      ["attach", "1", "2"], ["report"], ["snapshot", "1"],
                      ["rate", "1"], ["attach", "--frames", "0", "1"],
                      ["attach", "--frames", "x", "1"], ["attach", "-p", "x"],
                      ["attach", "--timeout", "-1s", "1"], ["report", "--format", "xml", "1"],
                      ["report", "--group-by", "colour", "1"], ["status", "--color", "red", "1"],
                      ["report", "--limit", "-3", "1"], ["attach", "--pid", "99999999999999"]):
        got = run(*arguments)
        ok(got[0] == 2 and not got[1] and got[2].startswith("pyattach-sample: "),
           "usage: %s" % (" ".join(arguments) or "(nothing)"), got)
    for size in ("0", "-1", "10EiB", "nan", "x", "", "1KB", "2MB", "3GB", "1TB", "inf",
                 "1e30", "0.1", "2TiB", "1 2", "0x", "1KiBs"):
        got = run("attach", "--rate=" + size, str(os.getpid()))
        ok(got[0] in (2, 75) and not got[1] and got[2].startswith("pyattach-sample: "),
           "rate %r is refused" % size, got)
    for size in ("1KB", "2MB", "3GB"):
        got = run("attach", "--rate=" + size, "1")
        ok(size[:-1] + "iB" in got[2] or "iB" in got[2], "%s: the hint names KiB" % size, got)


def main():
    text = read("common/errors.def")
    rows = ROW.findall(text)
    the_list(rows, text)
    the_man_page(rows)
    a_failure(rows, "no-such-process", "attach", "4194305")
    a_failure(rows, "no-such-process", "status", "4194305")
    a_failure(rows, "not-python", "attach", str(os.getppid()))
    a_failure(rows, "not-an-image", "report", os.path.join(SOURCE, "LICENSE"))
    a_failure(rows, "read", "report", "./no-such-file")
    usage_errors()
    done()


main()

# SPDX-License-Identifier: MIT
"""Hostile names through every view and format, and nothing is harmed."""
import csv
import io
import itertools
import json
import os
import tempfile
import unicodedata

from process import require, require_equal
from truth import shown

BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
           "\u2028\u2029")
GROUPS = ("line", "function", "file", "traceback")
OTHERS = (("--of", "live"), ("--of", "allocated"))


def harmless(raw, what):
    """Text that a terminal may be given: newline is the only control."""
    text = raw.decode("utf-8")	# fails where it is not UTF-8
    bad = sorted({c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cs")
                  or c in BIDI})
    require(not bad, "%s holds raw %s" % (what, ["U+%04X" % ord(c) for c in bad]))
    return text


def table(context, source, *options):
    answer = context.tool.run("report", source, "--limit", "0", *options,
                              env=dict(os.environ, COLUMNS="120", LC_ALL="C.UTF-8"))
    require_equal(answer.status, 0, "status of the table " + " ".join(options))
    text = harmless(answer.stdout, "the table " + " ".join(options))
    harmless(answer.stderr, "stderr")
    require(max(len(line) for line in text.splitlines()) <= 400, "a line is endless")
    return text


def check_csv(context, source, *options):
    """One record a row, as many fields as names, nothing a sheet would run."""
    answer = context.tool.run("report", source, "--limit", "0", "--format", "csv", *options)
    require_equal(answer.status, 0, "status of the CSV " + " ".join(options))
    text = harmless(answer.stdout.replace(b"\r\n", b"\n"), "the CSV")
    csv.field_size_limit(1 << 24)
    records = list(csv.reader(io.StringIO(text)))
    require(len(records) > 1, "no records", answer)
    require_equal({len(r) for r in records}, {len(records[0])}, "fields a record")
    formulas = [f for r in records for f in r if f[:1] in "=+-@\t\r" and f[:1]]
    require(not formulas, "fields that a spreadsheet would run", formulas[:3])


def check_json(context, source, names, *options):
    answer = context.tool.run("report", source, "--limit", "0", "--format", "json", *options)
    require_equal(answer.status, 0, "status")
    raw = answer.stdout.decode("utf-8")
    require_equal(raw.count("\n"), 1, "lines of the JSON")
    report = json.loads(raw)
    require_equal(json.loads(json.dumps(report)), report, "round trip")
    require(report["rows"], "no rows")
    return report


def names_come_back(report, names):
    """In JSON each name is what it was; the longest may be cut."""
    files = {r["file"] for r in report["rows"]}
    functions = {r["function"] for r in report["rows"]}
    for name in names:
        if not name or len(name) > 4096:
            continue
        require(shown(name) in files, "file name %r is missing" % name, sorted(map(str, files)))
        require(shown(name) in functions, "function name %r is missing" % name)
    require([f for f in files if f and f.startswith("LLLL")], "the long name is missing")


def every_view_is_harmless(context):
    tool = context.tool
    with context.target("hostile.py") as target:
        tool.attach(target, "--rate", "4KiB")
        names = target.ask("work", 40)
        with tempfile.TemporaryDirectory() as directory:
            image = os.path.join(directory, "hostile.image")
            tool.good("snapshot", target.pid, "-o", image)
            for source, group, other in itertools.product(
                    (str(target.pid), image), GROUPS, OTHERS):
                options = ("--group-by", group) + other
                table(context, source, *options)
                check_csv(context, source, *options)
                report = check_json(context, source, names, *options)
                if group == "line":
                    names_come_back(report, names)


def titles_are_harmless(context):
    """The command line of the process is hostile too."""
    tool = context.tool
    with context.target("maker.py", "\x1b[31mred\x07", "a\nb", "\u202eevil",
                        "</script>") as target:
        tool.attach(target)
        entry = [p for p in tool.good("list")["processes"] if p["pid"] == target.pid][0]
        require("maker.py" in entry["command"], "command", entry)
        for verb in (["list"], ["status", target.pid], ["report", target.pid],
                     ["attach", target.pid], ["status", "-v", target.pid]):
            answer = tool.run(*verb)
            require_equal(answer.status, 0, "status of %s" % verb)
            harmless(answer.stdout, "stdout of %s" % verb)
            harmless(answer.stderr, "stderr of %s" % verb)
        for argument in ("\x1b[31mno-such-file", "./\u202efile\nname"):
            answer = tool.run("report", argument)
            require(answer.status != 0, "must fail", answer)
            harmless(answer.stderr, "the error")
            require_equal(answer.stderr.count(b"\n"), 1, "lines of the error")


CASES = [every_view_is_harmless, titles_are_harmless]

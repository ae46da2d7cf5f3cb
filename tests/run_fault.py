#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Faults, kills and attacks: the target must not notice.

    run_fault.py --rows FILE [--row NAME]... [--group NAME]... [--case NAME]...
                 [--kills N] [--full] [--seed N] [--program P] [--payload P]

Prints one verdict for each case and row, the seed, and at the end
`N passed, N failed, N skipped`.  Needs root and the programs that
`make check TESTS=` builds.  Python 3.8, standard library.
"""
import argparse
import importlib
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "attach"), os.path.join(HERE, "fault")]
sys.dont_write_bytecode = True

from context import Context  # noqa: E402
from rows import read_rows  # noqa: E402
from run_attach import Verdicts, wanted  # noqa: E402
from tool import Tool, error_list  # noqa: E402

GROUPS = ["points", "interrupted", "wakeups", "filters", "races", "frames", "remote", "versions",
          "kills"]
# One row of each family, as they are named and by what they are.
FAMILIES = [("static 3.11", lambda r: r.build == "static" and r.minor == 11 and not r.root),
            ("shared 3.12", lambda r: r.build == "shared" and r.minor == 12),
            ("chroot 3.14", lambda r: r.root and r.minor == 14)]


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", required=True, help="list of interpreters")
    parser.add_argument("--list", action="store_true", help="print the groups")
    parser.add_argument("--row", action="append", help="only this row")
    parser.add_argument("--group", action="append", choices=GROUPS, help="only this group")
    parser.add_argument("--case", action="append", help="only this case")
    parser.add_argument("--kills", type=int, default=300, help="for each interpreter")
    parser.add_argument("--full", action="store_true", help="every step, every row")
    parser.add_argument("--seed", type=int, help="of moments and steps")
    parser.add_argument("--program", default=os.environ.get("PA_PROGRAM"))
    parser.add_argument("--payload", default=os.environ.get("PA_PAYLOAD"))
    options = parser.parse_args(arguments)
    if options.seed is None:
        options.seed = random.SystemRandom().getrandbits(32)
    return options


def chosen_rows(options):
    rows = read_rows(options.rows)
    if options.row:
        return [r for r in rows if r.name in options.row]
    if options.full:
        return rows
    families = [[r for r in rows if fits(r)][:1] for _, fits in FAMILIES]
    return [row for family in families for row in family] or rows[:1]


def main():
    sys.stdout.reconfigure(errors="backslashreplace")
    options = options_of(sys.argv[1:])
    if options.list:
        print(*(options.group or GROUPS), sep="\n")
        return 0
    errors = error_list(os.path.join(HERE, "..", "common", "errors.def"))
    tools = Tool(options.program, options.payload, random.Random(options.seed), errors)
    print("seed %d" % options.seed)
    verdicts = Verdicts()
    for group in options.group or GROUPS:
        module = importlib.import_module(group)
        start = time.monotonic()
        rows = chosen_rows(options)
        for row in rows:
            seeds = random.Random("%d %s %s" % (options.seed, group, row.name))
            context = Context(row, tools, options, seeds)
            context.kills = options.kills
            for case in wanted(options, module.CASES):
                if case.__name__ in getattr(module, "ONCE", []) and row is not rows[0] \
                        and not options.full:
                    continue
                verdicts.run("%s %s %s" % (group, row, case.__name__), case, context)
        print("group %s took %.1f s" % (group, time.monotonic() - start))
    print("seed %d" % options.seed)
    print("%d passed, %d failed, %d skipped" % (
        verdicts.passed, verdicts.failed, verdicts.skipped))
    return 1 if verdicts.failed or not verdicts.passed else 0


if __name__ == "__main__":
    sys.exit(main())

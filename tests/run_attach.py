#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Attach to every interpreter of a list and check what must hold.

    run_attach.py --rows FILE [--group NAME]... [--row NAME]... [--full]
                  [--seed N] [--program P] [--payload P] [--list]

Prints the matrix, one verdict for each case and row with its time, the seed,
and at the end `N passed, N failed, N skipped`.  Needs the right to ptrace
its own children, and root for rows in a chroot.  Python 3.8, standard library.
"""
import argparse
import importlib
import os
import random
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "attach"))
sys.dont_write_bytecode = True

from context import Context  # noqa: E402
from process import Failure, Skip  # noqa: E402
from rows import read_rows  # noqa: E402
from tool import Tool, error_list  # noqa: E402

# The order in which groups run: what everything rests on comes first.
GROUPS = ["truth", "exact", "detach", "rate", "faults", "blocked", "finalisers", "threads",
          "names", "badinput", "clients", "files", "hostile", "forks", "exits", "tracemalloc_",
          "allocators", "thinning", "harm", "limits", "wider",
          "containers", "users", "placement", "swap", "cores", "census", "census_where",
          "census_cores", "census_refused", "leftover", "pause", "holders"]

# What belongs to work that is not finished: run by name or with --full, and
# named wherever it is left out.
UNFINISHED = []


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", required=True, help="list of interpreters")
    parser.add_argument("--row", action="append", help="only this row")
    parser.add_argument("--group", action="append", help="only this group")
    parser.add_argument("--case", action="append", help="only this case")
    parser.add_argument("--full", action="store_true", help="heavy cases on every row")
    parser.add_argument("--seed", type=int, help="of the samplers and of the tests")
    parser.add_argument("--program", default=os.environ.get("PA_PROGRAM"))
    parser.add_argument("--payload", default=os.environ.get("PA_PAYLOAD"))
    parser.add_argument("--list", action="store_true", help="print groups and cases")
    options = parser.parse_args(arguments)
    if options.seed is None:
        options.seed = random.SystemRandom().getrandbits(32)
    for group in options.group or []:
        if group.rstrip("_") not in [g.rstrip("_") for g in GROUPS]:
            parser.error("no group %s; there are: %s" % (
                group, " ".join(g.rstrip("_") for g in GROUPS)))
    return options


class Verdicts:
    """Counts, and one printed line for each case on each row."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def tell(self, word, what, seconds, text=""):
        print("%-6s %s (%.1f s)%s" % (word, what, seconds, text))
        sys.stdout.flush()

    def run(self, what, function, context):
        start = time.monotonic()
        context.notes = []
        try:
            function(context)
        except Skip as e:
            self.skipped += 1
            self.tell("skip", what, time.monotonic() - start, " # SKIP %s" % e)
        except Failure as e:
            self.failed += 1
            self.tell("not ok", what, time.monotonic() - start)
            print("    " + str(e))
        except Exception:
            self.failed += 1
            self.tell("not ok", what, time.monotonic() - start)
            print("    " + traceback.format_exc().replace("\n", "\n    "))
        else:
            self.passed += 1
            self.tell("ok", what, time.monotonic() - start,
                      "".join("; " + n for n in context.notes).replace(";", ":", 1))


def wanted(options, cases):
    return [c for c in cases if not options.case or c.__name__ in options.case]


def left_out(module, case, row, rows, options):
    """The cases in a group's HEAVY run on two rows only, unless --full."""
    return (case.__name__ in getattr(module, "HEAVY", []) and not options.full
            and not row.heavy and any(r.heavy for r in rows))


def run_group(name, rows, tools, options, verdicts):
    """All cases of a group on all rows, then its verdict over all rows."""
    module = importlib.import_module(name)
    start = time.monotonic()
    label = name.rstrip("_")
    contexts = []
    for row in rows:
        seeds = random.Random("%d %s %s" % (options.seed, label, row.name))
        tools.seeds = seeds
        context = Context(row, tools, options, seeds)
        contexts.append(context)
        for case in wanted(options, module.CASES):
            if left_out(module, case, row, rows, options):
                continue
            verdicts.run("%s %s %s" % (label, row, case.__name__), case, context)
    for case in wanted(options, getattr(module, "OVER_ALL", [])):
        class everything:
            notes = []
            rows = contexts
            note = staticmethod(lambda text: everything.notes.append(text))
        verdicts.run("%s all %s" % (label, case.__name__), case, everything)
    print("group %s took %.1f s" % (label, time.monotonic() - start))


def main():
    sys.stdout.reconfigure(errors="backslashreplace")
    options = options_of(sys.argv[1:])
    named = [o.rstrip("_") for o in options.group or ()]
    groups = [g for g in GROUPS if (g.rstrip("_") in named if named
                                    else options.full or g not in UNFINISHED)]
    if UNFINISHED and not named and not options.full:
        print("left out, run them by --group: " + " ".join(UNFINISHED), file=sys.stderr)
    if options.list:
        for group in groups:
            module = importlib.import_module(group)
            print(group.rstrip("_"), *[c.__name__ for c in module.CASES])
        return 0
    rows = [r for r in read_rows(options.rows) if not options.row or r.name in options.row]
    errors = error_list(os.path.join(HERE, "..", "common", "errors.def"))
    tools = Tool(options.program, options.payload, random.Random(options.seed), errors)
    print("seed %d%s" % (options.seed, "" if tools.has_seed else " (of the tests only)"))
    print("matrix of %d interpreters:" % len(rows))
    for row in rows:
        print("  %-12s %-9s %-7s %s" % (row.name, row.version, row.build,
                                        " ".join(row.command)))
    verdicts = Verdicts()
    for group in groups:
        run_group(group, rows, tools, options, verdicts)
    print("seed %d" % options.seed)
    print("%d passed, %d failed, %d skipped" % (
        verdicts.passed, verdicts.failed, verdicts.skipped))
    return 1 if verdicts.failed or not verdicts.passed else 0


if __name__ == "__main__":
    sys.exit(main())

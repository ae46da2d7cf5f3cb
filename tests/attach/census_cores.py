# SPDX-License-Identifier: MIT
"""A census of a core says what the process said: of gcore, of a signal, and
by gdb's own command."""
import contextlib
import json
import os
import shutil
import signal
import subprocess

import cores
from census import at_rest, by_name, census, check_rows, check_sum, memory_of, near
from census_where import check_types
from process import require, require_equal


def core(context):
    """gcore's core, and that of a signal, say what the process said."""
    with context.target("census.py", 1) as target:
        truth = target.ask("truth")
        at_rest(target)
        live = census(context, target.pid)
        compare_core(context, gcore(context, target), truth, live, by_gdb=True)


def gcore(context, target):
    program = shutil.which("gcore")
    if not program:
        context.skip("no gcore")
    path = os.path.join(target.directory, "core")
    subprocess.run([program, "-o", path, str(target.pid)], stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
    path = "%s.%d" % (path, target.pid)
    require(os.path.exists(path), "no core by gcore")
    return path


def cut_in_pieces(context):
    """Blocks whose mappings were cut are whole in a core as well."""
    with context.target("memory.py", unchanged=False) as target:
        truth = target.ask("make")
        at_rest(target)
        live = memory_of(census(context, target.pid))
        answer = census(context, gcore(context, target))
        check_sum(answer)
        check_types(answer, truth["types"])
        # only what was touched of stacks and of arenas
        near(memory_of(answer)["large live"], live["large live"], "large blocks", 0.04)
        require(answer["rss"] < 100 << 20, "what was reserved counts", memory_of(answer))


def compare_core(context, path, truth, live, by_gdb=False):
    """What the process said, and the same table as while it lived.  by_gdb:
    the core has pages that were never touched, so blocks are larger there."""
    answer = census(context, path)
    require_equal(answer["source"], "core", "source")
    require_equal(answer["python"], context.row.version, "python")
    check_rows(answer, truth)
    check_sum(answer)
    before, after = same_numbers(live), same_numbers(answer)
    if not any(name.startswith("<type at ") for _, name in after):
        require_equal(set(after), set(before), "types")
    for name in set(after) & set(before):
        if by_gdb:
            require_equal(after[name][0], before[name][0], "objects of %s.%s" % name)
            near(after[name][1], before[name][1], "bytes of %s.%s" % name)
            require(after[name][2] >= before[name][2], "buffers of %s.%s" % name)
        else:
            require_equal(after[name], before[name], "the row of %s.%s" % name)
    for kind, size in memory_of(live).items():
        if kind in ("small live", "pool headers", "large live") and not by_gdb:
            near(memory_of(answer)[kind], size, kind, 0.001)
    # names of built-in types are constants, and the files of a chroot are not
    # where the core says: then they have none, but are counted as well
    require_equal(sorted(row[0] for row in after.values()),
                  sorted(row[0] for row in before.values()), "the numbers of all types")


def same_numbers(answer):
    """Of types: (objects, bytes, bytes with buffers)."""
    return {name: (row["objects"], row["bytes"], row["bytes_with_buffers"])
            for name, row in by_name(answer).items() if name[0] or name[1][:6] == "<type "}


@contextlib.contextmanager
def path_with(directory):
    """PATH with a directory in front, or without any pyattach-sample."""
    old = os.environ["PATH"]
    plain = [d for d in old.split(":") if not os.path.exists(d + "/pyattach-sample")]
    os.environ["PATH"] = ":".join([directory] * bool(directory) + plain)
    try:
        yield
    finally:
        os.environ["PATH"] = old


def in_gdb(context):
    """`pyattach census' of a live process and of its core: as the command says
    where it is installed, and small objects exact where it is not."""
    program = os.path.dirname(os.path.abspath(context.program))
    with cores.Place(context) as place:
        gdb = cores.Gdb(context, place.path)
        with context.target("census.py", 1) as target:
            truth = [row for row in target.ask("truth") if row[1] in SMALL_ONLY]
            path = os.path.join(place.path, "core")
            for commands, arguments in (
                    (("generate-core-file " + gdb.inside + "/core",), ("-p", str(target.pid))),
                    ((), ("-core", gdb.inside + "/core"))):
                with path_with(None):
                    check_gdb(gdb.run(*commands, "pyattach census 0 -json",
                                      arguments=arguments), truth)
                if not gdb.prefix:
                    with path_with(program):
                        answer = check_gdb(gdb.run("pyattach census 0 -json",
                                                   arguments=arguments), truth, by_tool=True)
                    require(answer["rss"] > 0, "rss", answer)
            text = gdb.run("pyattach census 3", "pyattach census 1 2", arguments=arguments)
            require("share  type" in text[1] and text[1].count("Slotted") <= 1
                    and "Usage: pyattach census" in text[2], "the table", text)
            require(os.path.exists(path), "the core")


SMALL_ONLY = ("Slotted", "Weak", "List", "Dict", "Set", "Deque", "Node", "OfMeta", "Managed")


def check_gdb(done, truth, by_tool=False):
    lines = [line for line in done[1].splitlines() if line.startswith('{"schema"')]
    require(lines, "gdb gave no census", done)
    answer = json.loads(lines[-1])
    found = {}
    for row in answer["rows"]:
        if row["module"] in (None, "__main__"):
            found[row["type"]] = row
    for _, name, row in truth:
        require(name in found, "no row of " + name, sorted(found)[:60])
        require_equal(found[name]["objects"], row["objects"], "objects of " + name)
        require_equal(found[name]["bytes_with_buffers"] is not None, by_tool, "who counted")
        if row["bytes"] is not None:
            near(found[name]["bytes"], row["bytes"], "bytes of " + name)
    return answer


def signal_core(context):
    """The same of a process that died by SIGSEGV."""
    pattern = cores.need_plain_cores(context)
    with cores.Place(context) as place:
        with context.target("census.py", 1, unchanged=False) as target:
            target.ask("dump_to", place.inside)
            truth = target.ask("truth")
            at_rest(target)
            live = census(context, target.pid)
            os.kill(target.pid, signal.SIGSEGV)
            path = cores.core_of(target, place.path, pattern)
            compare_core(context, path, truth, live)


# gdb writes hundreds of MiB.
HEAVY = ["cut_in_pieces"]
CASES = [core, cut_in_pieces, signal_core, in_gdb]

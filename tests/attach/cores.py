# SPDX-License-Identifier: MIT
"""Real cores: by a signal, by abort, by gcore, of a live process in gdb; the
tool, gdb and the decoder without gdb must say the same of all of them."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from process import Failure, mappings, require, require_equal

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TREE, "gdb"))
from pyattach import (decode, discover, json_views, memory, report)  # noqa: E402

GDB_SECONDS = 120
TORN = 50
HEAVY = ("deb311", "forky314")


# ---- readers ----

def comparable(value):
    """Rows and totals without what depends on the time of the reading."""
    rows = [{k: v for k, v in row.items() if k not in ("age_ns", "oldest_ns")}
            for row in value["rows"]]
    return {"rows": rows, "totals": value["totals"]}


def text_of(value):
    """Rows and totals as bytes: equal is equal to the last digit."""
    return json.dumps(comparable(value), sort_keys=True)


def same(a, b, what):
    require(text_of(a) == text_of(b), "another answer from " + what,
            text_of(a)[:600], text_of(b)[:600])


def decoded(path):
    """(table, report/1) by the decoder in Python, without gdb."""
    source = memory.ElfCoreMemory(path)
    table = decode.Table(source, discover.Discovery(source).run())
    value = json_views.report_json(report.Report(table, limit=0))
    return table, json.loads(json_views.dumps(value))


class Gdb:
    """The gdb of a row, or ours; with a time limit."""

    def __init__(self, context, directory):
        row = context.row
        self.directory = directory
        self.prefix = []
        self.inside = directory
        if row.root and os.path.exists(row.root + "/usr/bin/gdb"):
            self.prefix = ["chroot", row.root]
            self.inside = directory[len(row.root):]
            shutil.copytree(os.path.join(TREE, "gdb"), directory + "/gdb")
            shutil.copytree(os.path.join(TREE, "common"), directory + "/common")
            self.script = self.inside + "/gdb/pyattach-gdb.py"
        else:
            self.script = os.path.join(TREE, "gdb", "pyattach-gdb.py")
            if not shutil.which("gdb"):
                context.skip("no gdb")

    def run(self, *commands, arguments=()):
        words = self.prefix + ["gdb", "-nx", "-q", "-batch", "-iex",
                               "set debuginfod enabled off"]
        for command in ("source " + self.script,) + commands:
            words += ["-ex", command]
        environment = dict(os.environ, HOME="/tmp", PYTHONDONTWRITEBYTECODE="1")
        process = subprocess.Popen(words + list(arguments), env=environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, start_new_session=True)
        try:
            out, err = process.communicate(timeout=GDB_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise Failure("gdb did not end", " ".join(words))
        return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def report(self, *arguments, before=()):
        """report/1 by the commands in gdb."""
        name = "gdb-%d.json" % time.monotonic_ns()
        done = self.run(*before, "pyattach export json %s/%s" % (self.inside, name),
                        arguments=arguments)
        path = os.path.join(self.directory, name)
        require(os.path.exists(path), "gdb gave no report", done)
        with open(path, encoding="utf-8") as f:
            return json.load(f)


# ---- targets ----

def need_plain_cores(context):
    with open("/proc/sys/kernel/core_pattern") as f:
        pattern = f.read().strip()
    if "/" in pattern or "|" in pattern or "%" in pattern:
        context.skip("kernel.core_pattern is %s, not a plain name" % pattern)
    return pattern


def core_of(target, directory, pattern):
    """Wait for its end; the path of its core.  The signal that ends it comes
    from here: the target must not allocate for it."""
    target.wait(60)
    names = {pattern, "%s.%d" % (pattern, target.pid)}
    found = [n for n in os.listdir(directory) if n in names]
    require(found, "no core was written", os.listdir(directory))
    return os.path.join(directory, found[0])


class Place:
    """A directory for cores that the target can write to."""

    def __init__(self, context):
        self.path = context.row.private_directory()
        os.chmod(self.path, 0o777)
        self.inside = self.path[len(context.row.root):]

    def __enter__(self):
        return self

    def __exit__(self, *_why):
        shutil.rmtree(self.path, ignore_errors=True)


def dying(context, place, coredump_filter=None):
    """A target, prepared; attached by whoever needs it."""
    return context.target("dying.py", unchanged=False), \
        ("prepare", place.inside, coredump_filter)


# ---- cases ----

def same_status(context, gdb, target):
    """`info pyattach -json' of the live process is its status/1."""
    _status, out, err = gdb.run("info pyattach -json", arguments=("-p", str(target.pid)))
    lines = [line for line in out.splitlines() if line.startswith("{")]
    require(lines, "gdb gave no status", out, err)
    got, wanted = json.loads(lines[-1]), context.tool.status(target)
    require_equal(sorted(got), sorted(wanted), "keys of status/1")
    for key in ("schema", "pid", "python", "payload_version", "rate", "effective_rate",
                "hooks", "stacks", "dropped", "samples", "memory", "frames", "follow_fork",
                "attached_at_ns"):
        require_equal(got[key], wanted[key], key + " in status/1")
    for what in ("bytes", "calls"):
        for end, value in got["estimated"][what].items():
            # STATUS is text with three decimals
            require(abs(value - wanted["estimated"][what][end]) <= 1e-6 * value,
                    "estimated in status/1", got["estimated"], wanted["estimated"])


def same_everywhere(context):
    """Live report, snapshot, gcore, gdb attached, SIGSEGV; then SIGABRT."""
    pattern = need_plain_cores(context)
    tool = context.tool
    for number in (signal.SIGSEGV, signal.SIGABRT):
        with Place(context) as place:
            manager, prepare = dying(context, place)
            with manager as target:
                gdb = Gdb(context, place.path)
                target.ask(*prepare)
                tool.attach(target, "--rate", "16KiB")
                target.ask("keep", 4000, 3000)
                truth = tool.report(target)
                require(len(truth["rows"]) >= 2, "rows", truth)
                if number == signal.SIGSEGV:
                    same(truth, gdb.report("-p", str(target.pid)), "gdb attached")
                    same_status(context, gdb, target)
                    gcore(context, gdb, place, target, truth)
                    same(truth, tool.report(target), "the process afterwards")
                os.kill(target.pid, number)
                path = core_of(target, place.path, pattern)
                in_all(context, gdb, place, path, truth, target)


def in_all(context, gdb, place, path, truth, target):
    tool = context.tool
    inside = path[len(context.row.root):] if gdb.prefix else path
    same(truth, tool.good("core", path, "--limit", "0"), "the tool on " + path)
    same(truth, tool.report(path), "report on " + path)
    same(truth, decoded(path)[1], "the decoder on " + path)
    same(truth, gdb.report(before=["core-file " + inside]), "gdb on " + path)
    same(truth, gdb.report(before=["file " + target.row.python, "core-file " + inside]),
         "gdb with the program on " + path)
    image = os.path.join(place.path, "x.image")
    tool.good("core", path, "-o", image, "--force")
    same(truth, tool.report(image), "the image kept of " + path)


def gcore(context, gdb, place, target, truth):
    """gdb's own core of the live process."""
    path = os.path.join(place.path, "gcore.%d" % target.pid)
    inside = path[len(context.row.root):] if gdb.prefix else path
    done = gdb.run("generate-core-file " + inside, arguments=("-p", str(target.pid)))
    require(os.path.exists(path), "no core by gcore", done)
    in_all(context, gdb, place, path, truth, target)


def filters(context):
    """What coredump_filter leaves out is said, with what to do."""
    pattern = need_plain_cores(context)
    tool = context.tool
    for bits in (0, 1, 2, 0x10, 0x33, 0x3f):
        with Place(context) as place:
            manager, prepare = dying(context, place, bits)
            with manager as target:
                require_equal(target.ask(*prepare), bits, "coredump_filter")
                tool.attach(target, "--rate", "16KiB")
                target.ask("keep", 1000, 3000)
                truth = tool.report(target)
                os.kill(target.pid, signal.SIGSEGV)
                path = core_of(target, place.path, pattern)
                if bits & 1:
                    same(truth, tool.good("core", path, "--limit", "0"), "filter %#x" % bits)
                    same(truth, decoded(path)[1], "filter %#x" % bits)
                    continue
                error = tool.refused("no-table", "core", path)
                require("coredump_filter" in error["hint"] and "not dumped" in error["message"],
                        "filter %#x" % bits, error)
                try:
                    decoded(path)
                    raise Failure("a table with filter %#x" % bits)
                except discover.NoTable as none:
                    require_equal(none.why, "not-dumped", "filter %#x" % bits)


def without_a_table(context):
    """Never attached, and detached: told apart."""
    pattern = need_plain_cores(context)
    tool = context.tool
    for attached in (False, True):
        with Place(context) as place:
            manager, prepare = dying(context, place)
            with manager as target:
                target.ask(*prepare)
                if attached:
                    tool.attach(target)
                    tool.detach(target)
                os.kill(target.pid, signal.SIGSEGV)
                path = core_of(target, place.path, pattern)
                error = tool.refused("no-table", "core", path)
                said = "detached at" if attached else "nothing was attached to process %d" \
                    % target.pid
                require(said in error["message"], "the reason", error)


def again(context):
    """Detach and attach again: the core has the second table."""
    pattern = need_plain_cores(context)
    tool = context.tool
    with Place(context) as place:
        manager, prepare = dying(context, place)
        with manager as target:
            target.ask(*prepare)
            tool.attach(target, "--rate", "16KiB")
            target.ask("keep", 2000, 3000)
            tool.detach(target)
            tool.attach(target, "--rate", "64KiB")
            target.ask("keep", 1000, 5000)
            truth = tool.report(target)
            os.kill(target.pid, signal.SIGSEGV)
            path = core_of(target, place.path, pattern)
            got = tool.good("core", path, "--limit", "0")
            require_equal(got["rate"], 65536, "rate of the second attach")
            same(truth, got, "the second table")
            same(truth, decoded(path)[1], "the second table")


def forked_child(context):
    """A child that dies has a copy of its parent's table: said so."""
    pattern = need_plain_cores(context)
    tool = context.tool
    with Place(context) as place:
        manager, prepare = dying(context, place)
        with manager as target:
            target.ask(*prepare)
            tool.attach(target, "--rate", "16KiB")
            target.ask("keep", 2000, 3000)
            child = target.ask("child_dies", int(signal.SIGSEGV))
            path = os.path.join(place.path, pattern)
            if not os.path.exists(path):
                path += ".%d" % child
            answer = tool.run("core", path)
            text = (answer.stdout + answer.stderr).decode("utf-8", "replace")
            require("fork" in text and str(target.pid) in text, "a copy by fork is said",
                    answer)
            tool.still_served(target)


def torn(context):
    """Crashes amid work: damage is at most a record a thread, and counted."""
    pattern = need_plain_cores(context)
    tool = context.tool
    rounds = TORN if context.full or context.row.name in HEAVY else 10
    flying = 0
    for k in range(rounds):
        with Place(context) as place:
            manager, prepare = dying(context, place)
            with manager as target:
                target.ask(*prepare)
                tool.attach(target, "--rate", "1" if k % 3 else "4KiB")
                threads = target.ask("churn_on", 2)
                # no moment is better than another
                time.sleep(context.random.random() / 20 + 0.01)
                os.kill(target.pid, signal.SIGSEGV)
                path = core_of(target, place.path, pattern)
                got = tool.good("core", path, "--limit", "0")
                damage = got["damage"]
                flying += damage["torn"]
                require(damage["torn"] <= threads + 1 and not damage["damaged"] and
                        not damage["lost"] and not damage["repaired"],
                        "damage of a crash", damage)
                same(got, decoded(path)[1], "the decoder")
    context.note("%d cores, %d records in flight" % (rounds, flying))


NO_EXEC = """for d in /tmp /var/tmp /dev/shm /run; do
mount --bind $d $d && mount -o remount,bind,noexec $d || exit 9; done; exec "$@" """


def payload_in_a_memfd(context):
    """No directory to load from: the payload's file is a memfd.  gdb opens
    the names of what is loaded; it must not hang."""
    if context.row.root:
        context.skip("needs a mount namespace of our own root")
    pattern = need_plain_cores(context)
    tool = context.tool
    with Place(context) as place:
        with context.target("dying.py", unchanged=False, prefix=(
                "unshare", "-m", "sh", "-c", NO_EXEC, "sh")) as target:
            gdb = Gdb(context, place.path)
            target.ask("prepare", place.inside)
            tool.attach(target, "--rate", "16KiB")
            require(any("memfd" in line for line in mappings(target.pid)), "a memfd is mapped",
                    *mappings(target.pid)[-30:])
            target.ask("keep", 2000, 3000)
            truth = tool.report(target)
            same(truth, gdb.report("-p", str(target.pid)), "gdb attached")
            gcore(context, gdb, place, target, truth)
            os.kill(target.pid, signal.SIGSEGV)
            path = core_of(target, place.path, pattern)
            in_all(context, gdb, place, path, truth, target)


def without_the_payload(context):
    """The payload's installed file is gone or another one when the core is
    read: no reader opens it."""
    pattern = need_plain_cores(context)
    tool = context.tool
    with Place(context) as place:
        manager, prepare = dying(context, place)
        with manager as target:
            gdb = Gdb(context, place.path)
            target.ask(*prepare)
            copy = os.path.join(place.path, "payload.so")
            shutil.copy(tool.payload, copy)
            tool.good("attach", target.pid, "--payload", copy, "--rate", "16KiB")
            target.attached = True
            target.ask("keep", 2000, 3000)
            truth = tool.report(target)
            with open(copy, "r+b") as f:
                f.write(b"another file" * 1000)
            os.kill(target.pid, signal.SIGSEGV)
            path = core_of(target, place.path, pattern)
            in_all(context, gdb, place, path, truth, target)
            os.unlink(copy)
            in_all(context, gdb, place, path, truth, target)


def many_mappings(context):
    """40 000 mappings: found at once, in gdb too."""
    pattern = need_plain_cores(context)
    tool = context.tool
    with Place(context) as place:
        manager, prepare = dying(context, place)
        with manager as target:
            gdb = Gdb(context, place.path)
            target.ask(*prepare)
            tool.attach(target, "--rate", "16KiB")
            target.ask("keep", 2000, 3000)
            count = target.ask("map_many", 40000)
            require(count > 39000, "mappings", count)
            truth = tool.report(target)
            os.kill(target.pid, signal.SIGSEGV)
            path = core_of(target, place.path, pattern)
            start = time.monotonic()
            same(truth, tool.good("core", path, "--limit", "0"), "the tool")
            seconds = time.monotonic() - start
            require(seconds < 5, "the tool took %.1f s" % seconds)
            same(truth, decoded(path)[1], "the decoder")
            inside = path[len(context.row.root):] if gdb.prefix else path
            same(truth, gdb.report(before=["core-file " + inside]), "gdb")
            context.note("%d mappings, the tool %.3f s" % (count, seconds))


def cut(context):
    """A core that ran into a limit: what is there is read, at any length."""
    pattern = need_plain_cores(context)
    tool = context.tool
    with Place(context) as place:
        manager, prepare = dying(context, place)
        with manager as target:
            target.ask(*prepare)
            tool.attach(target, "--rate", "4KiB")
            target.ask("keep", 4000, 3000)
            truth = tool.report(target)
            os.kill(target.pid, signal.SIGSEGV)
            path = core_of(target, place.path, pattern)
            size = os.path.getsize(path)
            whole = None
            for length in range(size - (1 << 20), 0, -(1 << 20)):
                os.truncate(path, length)
                answer = tool.run("core", path, "--limit", "0", "--json")
                require(answer.status in (0, 92, 97, 91), "status", answer)
                if answer.status == 0 and text_of(answer.json) == text_of(truth):
                    whole = length
            require(whole and whole < size * 0.7, "the table lies early in the core",
                    whole, size)
            context.note("whole in the first %d %% of the core" % (whole * 100 // size))


CASES = [same_everywhere, filters, without_a_table, again, forked_child, torn,
         payload_in_a_memfd, without_the_payload, many_mappings, cut]

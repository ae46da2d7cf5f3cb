# SPDX-License-Identifier: MIT
"""census --holders and --path-to: right holders with the right bytes, of a
process and of its core; hostile names in every format."""
import os
import re
import subprocess

from census import at_rest, by_name, check_sum, near
from census_cores import gcore
from process import require, require_equal

HIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def holders_of(answer):
    """{path: holder}"""
    return {tuple(h["path"]): h for h in answer["holders"]}


def at(found, *path):
    require(path in found, "no holder %r" % (path,),
            sorted(p for p in found if p[0] == path[0]) or sorted(found)[:60])
    return found[path]


def tree(context):
    """Who retains what; garbage and what only C code holds."""
    with context.target("holding.py", 400, unchanged=False) as target:
        truth = target.ask("sizes")
        lost = target.ask("only_c", 300)
        at_rest(target)
        answer = context.tool.good("census", target.pid, "--holders", "--limit", "0")
        check_sum(answer)
        check_tree(answer, truth)
        found = holders_of(answer)
        # between the call and now it may have been taken for held by a stack
        near(sum(h["objects"] for p, h in found.items() if h["type"] == "Lost"), 300,
             "objects that only C code holds", 0.02)
        lost_root = {p[0] for p, h in found.items() if h["type"] == "Lost"}
        require(lost_root & {"<C code>"}, "only C code holds them", lost_root)
        require(at(found, "<C code>")["retained"] >= 290 * lost, "bytes of C code",
                at(found, "<C code>"), lost)


def check_tree(answer, truth):
    count, one = truth["count"], truth["one"]
    found = holders_of(answer)
    near(at(found, "app.session", "OPEN")["retained"], 5 * count * one["Order"],
         "app.session.OPEN", 0.03)
    require_equal(at(found, "app.session", "OPEN")["type"], "dict", "type of OPEN")
    near(at(found, "app.cache", "RECENT")["retained"], count * one["Order"],
         "app.cache.RECENT", 0.03)
    orders = [(p, h) for p, h in found.items() if h["type"] == "Order"]
    require_equal(sorted({p[0] for p, h in orders}), ["app.cache", "app.session"],
                  "roots of all orders")
    near(sum(h["objects"] for p, h in orders if p[0] == "app.session"), 5 * count,
         "orders of sessions", 0)
    path = max((p for p, h in orders if p[0] == "app.session"), key=len)
    require(path[:2] == ("app.session", "OPEN") and "orders" in path
            and "app.session.Session" in path, "the way to the orders", path)
    require_equal({p[0] for p, h in found.items() if h["type"] == "Kept"}, {"app.models.Order"},
                  "what a class holds")
    near(answer["garbage"]["objects"], 4 * count, "garbage", 0.05)
    near(answer["garbage"]["bytes"], 2 * count * one["Cycle"], "bytes of garbage", 0.05)
    require_equal({p[0] for p, h in found.items() if h["type"] == "Cycle"}, {"<garbage>"},
                  "the cycles")
    local = {p[0] for p, h in found.items() if h["type"] == "Local"}
    require_equal(local, {"<local variables>"}, "what a frame holds")
    evil = at(found, "app.cache", truth["hostile"])
    near(evil["retained"], count * one["Evil"], "the hostile name", 0.03)


def generators(context):
    """What only the locals of suspended generators hold."""
    with context.target("holding.py", 50, unchanged=False) as target:
        count = target.ask("generators", 400)
        at_rest(target)
        found = holders_of(context.tool.good("census", target.pid, "--holders", "--limit", "0"))
        objects = {}
        for path, holder in found.items():
            if holder["type"] == "Running":
                objects[path[:2]] = objects.get(path[:2], 0) + holder["objects"]
        # what a frame has not used yet may hold words of what was there before
        near(objects.get(("app.cache", "RUNNING"), 0), count, "held by generators", 0.05)


def no_holders(context):
    """What is kept for reuse holds nothing, nor does a number within a block,
    nor the version of a dict."""
    with context.target("holding.py", 10, unchanged=False) as target:
        one = target.ask("sizes")["one"]["Order"]
        count, size = target.ask("recycle", 300), target.ask("numbers", 2 << 20)
        items = target.ask("version", 1200)
        at_rest(target)
        answer = context.tool.good("census", target.pid, "--holders", "--limit", "0")
        found = holders_of(answer)
        near(at(found, "app.cache", "RECYCLED")["retained"], count * one, "RECYCLED", 0.03)
        near(at(found, "app.cache", "LARGE")["retained"], size, "LARGE", 0.03)
        near(at(found, "app.cache", "ITEMS")["retained"], items * one, "ITEMS", 0.03)


def paths(context):
    """The ways to the instances of a type, and how many are reached."""
    with context.target("holding.py", 200, unchanged=False) as target:
        at_rest(target)
        for name in "Order", "app.models.Order":
            answer = context.tool.good("census", target.pid, "--path-to", name)
            require_equal(answer["path_to"]["instances"], 1200, "instances")
            require_equal(answer["path_to"]["unreached"], 0, "not reached")
            ways = {p["path"]: p["instances"] for p in answer["paths"]}
            require_equal(sum(ways.values()), 1200, "instances on paths")
            recent = [n for p, n in ways.items() if p.startswith("app.cache.RECENT → list")]
            require_equal(sum(recent), 200, "on app.cache.RECENT")
            opened = [n for p, n in ways.items() if p.startswith("app.session.OPEN → dict")
                      and "app.session.Session.orders → list" in p]
            require_equal(sum(opened), 1000, "on app.session.OPEN")
        answer = context.tool.good("census", target.pid, "--path-to", "app.models.Cycle")
        require_equal(answer["path_to"]["instances"], 400, "instances of Cycle")
        # the collector's own list may point at one
        require(answer["path_to"]["unreached"] >= 380, "garbage has no path", answer["paths"])
        answer = context.tool.good("census", target.pid, "--path-to", "no.such.Type")
        require_equal((answer["path_to"]["instances"], answer["paths"]), (0, []), "no such type")
        table = context.tool.run("census", target.pid, "--path-to", "Order")
        text = " ".join(table.stdout.decode().split())
        require(table.status == 0 and "Paths to Order: 1.2 k objects" in text
                and "app.cache.RECENT → list" in text, "table", table)
        table = context.tool.run("census", target.pid, "--path-to", "no.such.Type")
        require(table.status == 0 and b"No object of such a type" in table.stdout, "none", table)
        target.ask("recycle", 1)
        at_rest(target)
        answer = context.tool.good("census", target.pid, "--path-to", "Nested")
        require_equal(answer["path_to"]["instances"], 1, "recycle.<locals>.Nested")


def formats(context):
    """Table, collapsed, flame graph: the same numbers, no raw name."""
    tool = context.tool
    with context.target("holding.py", 200, unchanged=False) as target:
        env = dict(os.environ, COLUMNS="100")
        at_rest(target)
        table = tool.run("census", target.pid, "--holders", "--limit", "60", env=env)
        text = table.stdout.decode()
        require(table.status == 0 and "Who holds it" in text and ".OPEN: dict" in text
                and not HIDDEN.search(text), "the table", text)
        require(max(map(len, text.splitlines())) <= 100, "its width",
                max(text.splitlines(), key=len))
        text = tool.run("census", target.pid, "--format", "collapsed").stdout.decode()
        total = 0
        for line in text.splitlines():
            stack, number = line.rsplit(" ", 1)
            require(not HIDDEN.search(line) and all(stack.split(";")), "a line", line)
            total += int(number)
        require("app.session;.OPEN: dict" in text and "\\x3b" in text, "collapsed", text[:3000])
        answer = tool.good("census", target.pid, "--holders", "--limit", "0")
        whole = sum(h["retained"] for h in answer["holders"] if len(h["path"]) == 1)
        near(total, whole, "the sum of collapsed stacks", 0.02)
        page = tool.run("census", target.pid, "--format", "flamegraph").stdout.decode()
        require(page.startswith("<!DOCTYPE html>") and page.rstrip().endswith("</html>")
                and "<b>" not in page and not HIDDEN.search(page)
                and "evil\\x1b[2J&lt;b&gt;" in page and "http://" not in page
                and "https://" not in page, "the flame graph", page[:3000])
        for options in (("--format", "csv", "--holders"), ("--format", "csv", "--path-to", "x"),
                        ("--format", "collapsed", "--path-to", "x"), ("--path-to", "")):
            require_equal(tool.run("census", target.pid, *options).status, 2, str(options))


def core(context):
    """A core says the same, and so does a pause."""
    same_in_a_core(context)


def core_at_fixed_addresses(context):
    """The heap lies right behind the data of the program, as under gdb."""
    if subprocess.run(["setarch", "-R", "true"], stderr=subprocess.DEVNULL).returncode:
        context.skip("addresses are always random here")
    same_in_a_core(context, prefix=["setarch", "-R"])


def same_in_a_core(context, **how):
    with context.target("holding.py", 300, unchanged=False, **how) as target:
        truth = target.ask("sizes")
        at_rest(target)
        live = context.tool.good("census", target.pid, "--holders", "--limit", "0", "--pause",
                                 "--max-pause", "5s")
        check_tree(live, truth)
        answer = context.tool.good("census", gcore(context, target), "--holders", "--limit", "0")
        check_tree(answer, truth)
        a, b = holders_of(live), holders_of(answer)
        for key in (("app.session", "OPEN"), ("app.cache", "RECENT")):
            require_equal(a[key]["objects"], b[key]["objects"], "objects of %s" % (key,))
            near(b[key]["retained"], a[key]["retained"], "retained by %s" % (key,))
        require_equal(by_name(answer)["app.models", "Order"]["objects"], 1800, "orders")


CASES = [tree, generators, no_holders, paths, formats, core,
         core_at_fixed_addresses]

# SPDX-License-Identifier: MIT
"""Other allocators below us: the path where every free is hooked."""
from exact import row_of
from process import require, require_equal

MODES = ("debug", "malloc", "malloc_debug", "pymalloc_debug", "pymalloc")


def other_allocators(context):
    """PYTHONMALLOC in each value: counts exact, frees seen, detach clean."""
    tool = context.tool
    for mode in MODES:
        with context.target("maker.py", env={"PYTHONMALLOC": mode}) as target:
            tool.attach(target, "--rate", "1")
            line = target.ask("keep", 3000, 400)
            churned = target.ask("churn", 2000, 5000)
            row = row_of(tool.report(target), target, line)
            require(3000 <= row["objects"]["estimate"] <= 3001, "blocks under " + mode, row)
            made = row_of(tool.report(target, "--of", "allocated"), target, churned)
            require_equal(made["objects"]["estimate"], 2000, "churned blocks under " + mode)
            require_equal(made["bytes"]["estimate"], 2000 * 5000, "churned bytes under " + mode)
            target.ask("drop")
            left = [r for r in tool.report(target)["rows"] if r["file"] == target.file
                    and r["line"] == line and r["objects"]["estimate"] > 1]
            require(not left, "freed blocks are still shown under " + mode, left)


def development_mode(context):
    """-X dev, -X faulthandler, -O, -I: nothing special."""
    for options in (["-X", "dev"], ["-X", "faulthandler", "-O"], ["-S"]):
        with context.target("maker.py", python_options=options) as target:
            context.tool.attach(target, "--rate", "4KiB")
            target.ask("keep", 3000, 400)
            require(context.tool.status(target)["samples"]["taken"] > 150, "samples")


CASES = [other_allocators, development_mode]

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Help and man page agree with each other and with what was promised.

PROMISED is the list of verbs and long options that scripts rely on; nothing
of it may vanish.
"""
import os
import re
import subprocess

from tap import done, ok

SOURCE = os.environ["PA_SRCDIR"]
PROGRAM = os.environ["PA_PROGRAM"]
COMMON = ["--format", "--json", "--help", "--version", "--color", "--quiet", "--verbose"]
PROMISED = {
    "attach": ["--pid", "--rate", "--frames", "--max-memory", "--timeout"],
    "report": ["--group-by", "--of", "--sort", "--limit"],
    "snapshot": ["--pid", "--output", "--force"],
    "status": ["--pid"],
    "rate": ["--pid"],
    "detach": ["--pid"],
    "list": [],
    "core": ["--group-by", "--of", "--sort", "--limit", "--output", "--force", "--address", "--full"],
    "gdb": ["--pid"],
    "diff": ["--sort", "--limit", "--include", "--exclude", "--output", "--force"],
    "census": ["--pid", "--sort", "--limit", "--include", "--exclude", "--output", "--force",
               "--pause", "--max-pause", "--holders", "--path-to"],
}
SHORT = {"--output": "-o", "--quiet": "-q", "--verbose": "-v", "--pid": "-p"}


def run(*arguments, **environment):
    got = subprocess.run([PROGRAM] + list(arguments), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                         env=dict(os.environ, **environment))
    return got.returncode, got.stdout.decode(), got.stderr.decode()


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text))


def named(option, text):
    """The long form, or the short one where only that was promised."""
    return option in options_in(text) or (
        option in SHORT and re.search(r"(?<![\w-])%s\b" % SHORT[option], text))


def main():
    with open(os.path.join(SOURCE, "doc", "pyattach-sample.1"), encoding="utf-8") as f:
        man = re.sub(r"\\f.|\\&", "", f.read()).replace("\\-", "-")
    general = run("--help")
    ok(general[0] == 0 and not general[2], "--help goes to stdout", general)
    version = run("--version")
    ok(version[0] == 0 and re.match(r"^pyattach-sample \d+\.\d+\.\d+", version[1]),
       "--version", version)
    everything = general[1]
    for verb, options in PROMISED.items():
        text = run(verb, "--help")
        ok(text[0] == 0 and text[1] and not text[2], "%s --help" % verb, text)
        ok(verb in general[1], "--help names %s" % verb)
        everything += text[1]
        for option in options:
            ok(named(option, text[1]), "%s --help names %s" % (verb, option), text[1])
        ok(re.search(r"\b%s\b" % verb, man), "the man page names %s" % verb)
        ok(max([len(line) for line in text[1].splitlines()] + [0]) <= 80,
           "%s --help fits 80 columns" % verb)
        ok("\x1b" not in text[1], "%s --help has no escape sequences in a pipe" % verb)
    for option in COMMON:
        ok(named(option, everything), "help names %s" % option)
    for option in sorted(options_in(everything)):
        ok(named(option, man), "the man page has %s" % option)
    for option in sorted(set(sum(PROMISED.values(), COMMON))):
        ok(named(option, man), "the man page has the promised %s" % option)
    hidden = options_in(man) - options_in(everything)
    ok(not hidden or all(SHORT.get(h) for h in hidden),
       "no option is in the man page only", sorted(hidden))
    done()


main()

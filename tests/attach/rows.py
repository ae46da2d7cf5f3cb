# SPDX-License-Identifier: MIT
"""The interpreters to attach to, one row of a file each.

name TAB prefix ("chroot DIR" or "-") TAB python TAB version TAB static|shared
"""
import os
import shutil
import tempfile

from process import TARGETS


class Row:
    def __init__(self, name, prefix, python, version, build):
        words = [] if prefix == "-" else prefix.split()
        if words and words[0] != "chroot":
            raise ValueError("row %s: unknown prefix %r" % (name, prefix))
        self.name = name
        self.root = words[1].rstrip("/") if words else ""
        self.python = python
        self.version = version
        self.build = build
        self.command = words + [python]
        self.minor = int(version.split(".")[1])
        # where heavy cases run by default: Debian's 3.11 and 3.14
        self.heavy = build == "static" and self.minor in (11, 14)

    def private_directory(self):
        """A fresh directory where the row's python finds the targets."""
        path = tempfile.mkdtemp(prefix="pa-test-", dir=self.root + "/tmp")
        os.chmod(path, 0o755)
        for name in os.listdir(TARGETS):
            if name.endswith(".py"):
                shutil.copy(os.path.join(TARGETS, name), path)
        return path

    def inside(self, path):
        """A path of the target, seen from here."""
        return self.root + path

    def __str__(self):
        return self.name


def read_rows(path):
    rows = []
    with open(path) as f:
        for line in f:
            line = line.rstrip("\n")
            if line and not line.startswith("#"):
                rows.append(Row(*line.split("\t")))
    return rows

# SPDX-License-Identifier: MIT
"""Tables in files, and files that are written whole or not at all."""
import os
import stat

from . import text
from .decode import Table
from .discover import MAGIC, Discovery, NoTable, open_snapshot
from .memory import ElfCoreMemory, FileImage, NotAMemory
from .words import Misuse


def open_table(path, address=None):
    """The table of a core or a snapshot file, told apart by content."""
    path = os.path.expanduser(path)
    name = text.safe(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Misuse('%s: not a regular file.' % name)
        with open(path, 'rb') as source:
            start = source.read(16)
        if start == MAGIC:
            source = FileImage.open(path)
            return Table(source, open_snapshot(source))
        source = ElfCoreMemory(path)
        return Table(source, Discovery(source, address).run())
    except OSError as error:
        raise Misuse('%s: %s.' % (name, error.strerror))
    except NotAMemory as error:
        raise Misuse('%s.' % text.safe(str(error)))
    except NoTable as none:
        raise Misuse('%s: %s: %s' % (name, none.text, none.hint))


def write(path, data, force):
    """Never over another file unless told so."""
    path = os.path.expanduser(path)
    name = text.safe(path)
    if os.path.exists(path) and not force:
        raise Misuse('%s exists: add -force to overwrite it.' % name)
    part = '%s.%d.part' % (path, os.getpid())
    try:
        with open(part, 'wb') as out:
            out.write(data)
        os.rename(part, path)
    except OSError as error:
        try:
            os.unlink(part)
        except OSError:
            pass
        raise Misuse('%s: %s.' % (name, error.strerror))

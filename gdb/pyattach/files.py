# SPDX-License-Identifier: MIT
"""Tables in files, and files that are written whole or not at all."""
import os
import stat
import tempfile

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


def _temporary(path, data):
    """A new file beside `path' that holds the data; no name in a directory
    of everybody's can be foreseen."""
    mask = os.umask(0)
    os.umask(mask)
    fd, part = tempfile.mkstemp(
        dir=os.path.dirname(path) or '.',
        prefix='.%s.' % os.path.basename(path)[:200])
    try:
        with os.fdopen(fd, 'wb') as out:
            out.write(data)
        os.chmod(part, 0o666 & ~mask)
    except BaseException:
        os.unlink(part)
        raise
    return part


def _into_place(part, path, force):
    """Give a temporary file its name."""
    if not force:
        try:
            os.link(part, path)         # never over what came meanwhile
            os.unlink(part)
            return
        except FileExistsError:
            raise
        except OSError:                 # a file system without links
            _need_none(path)
    os.rename(part, path)


def _need_none(path):
    """A link that leads nowhere is something, too."""
    if os.path.lexists(path):
        raise FileExistsError(path)


def _replace(path, data, force):
    """A whole file, or none."""
    if force:
        path = os.path.realpath(path)   # of a link the file behind it
    else:
        _need_none(path)
    part = _temporary(path, data)
    try:
        _into_place(part, path, force)
    except BaseException:
        os.unlink(part)
        raise


def write(path, data, force):
    """Never over another file unless told so; devices and pipes are written
    to, as they are nothing to replace."""
    path = os.path.expanduser(path)
    name = text.safe(path)
    try:
        kind = os.stat(path).st_mode if os.path.exists(path) else 0
        if stat.S_ISDIR(kind):
            raise Misuse('%s: Is a directory.' % name)
        if kind and not stat.S_ISREG(kind):
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            os.set_blocking(fd, True)
            with os.fdopen(fd, 'wb') as out:
                out.write(data)
        else:
            _replace(path, data, force)
    except FileExistsError:
        raise Misuse('%s exists: add -force to overwrite it.' % name)
    except OSError as error:
        raise Misuse('%s: %s.' % (name, error.strerror))

"""Writes what a job made, the way a compiler would: all or nothing, with the launcher's umask.

Each file is written beside its target under a temporary name and renamed, so that nobody ever sees half an object, and
a job that is done twice by mistake replaces equal bytes by equal bytes.  A target that is not a plain file (a
device, a link, a pipe) or read-only is not ours to replace: such a job stays local.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable

from zdistcc.errors import InfraError


class NotWritten(InfraError):
    """An output could not be written; the local compiler will say why in its own words."""


def is_plain_target(path: bytes, *, like_new: int | None = None) -> bool:
    """Return whether ``path`` is a plain file that may be written, or nothing yet.

    Some compilers write assembler text into the file that is there.  With the umask ``like_new``, that file must not
    differ from a new one in its mode, nor have a second name.
    """
    try:
        there = os.lstat(path)
    except OSError:
        return True  # nothing there; if its directory is not there either, writing will tell
    if not stat.S_ISREG(there.st_mode) or not os.access(path, os.W_OK):
        return False
    return like_new is None or (stat.S_IMODE(there.st_mode) == 0o666 & ~like_new and there.st_nlink == 1)


def write(path: bytes, data: bytes, *, umask: int, unique: str, still_wanted: Callable[[], bool]) -> None:
    """Put ``data`` at ``path``; :class:`NotWritten` leaves everything as it was.

    ``unique`` sets the temporary name apart from other jobs'; ``still_wanted`` is asked right before the rename.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, b"." + name[:200] + b".zdistcc-" + unique.encode())
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NotWritten(f"{os.fsdecode(path)}: {error.strerror}") from error
    try:
        try:
            os.fchmod(handle, 0o666 & ~umask)  # open() would apply the agent's own umask as well
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fchmod(handle, 0o666 & ~umask)  # the agent's own umask is stricter
        finally:
            os.close(handle)
        if not still_wanted():
            raise NotWritten("the compile command has ended")
        os.rename(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise NotWritten(f"{os.fsdecode(path)}: {error.strerror}") from error
        raise

"""Writes what a job made, the way a compiler would: all or nothing, with the launcher's umask.

Each file is written beside its target, without a name where the system can do that, and renamed, so that nobody ever
sees half an object, an agent that is killed leaves nothing behind, and a job that is done twice by mistake replaces
equal bytes by equal bytes.  A target that is not a plain file (a
device, a link, a pipe) or read-only is not ours to replace: such a job stays local.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from typing import Final

from zdistcc.errors import InfraError

_NAMELESS: Final[int] = getattr(os, "O_TMPFILE", 0)


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
        handle, named = _open(directory, temporary)
    except OSError as error:
        raise NotWritten(f"{os.fsdecode(path)}: {error.strerror}") from error
    try:
        try:
            os.fchmod(handle, 0o666 & ~umask)  # open() would apply the agent's own umask as well
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fchmod(handle, 0o666 & ~umask)  # the agent's own umask is stricter
            if not still_wanted():
                raise NotWritten("the compile command has ended")
            if not named:  # the directory descriptor is there to have links followed; the path is absolute
                os.link(f"/proc/self/fd/{handle}".encode(), temporary, src_dir_fd=handle)
        finally:
            os.close(handle)
        os.rename(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise NotWritten(f"{os.fsdecode(path)}: {error.strerror}") from error
        raise


def _open(directory: bytes, temporary: bytes) -> tuple[int, bool]:
    """Return a new file in ``directory``, and whether it is called ``temporary`` already."""
    if _NAMELESS and os.path.exists("/proc/self/fd"):
        with contextlib.suppress(OSError):  # not every file system can, those of networks mostly not
            return os.open(directory or b".", os.O_WRONLY | os.O_CLOEXEC | _NAMELESS, 0o600), False
    return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), True

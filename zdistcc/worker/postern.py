"""The private door of a user's worker: a unix socket in the runtime directory, open to that user alone.

Whoever holds the lock beside it is the one worker that listens there: a ``zdistccd`` that the user has started, or one
that ``zdistccd --stdio`` has (it writes its process id into the lock, and gives way to the former).

Must not know: what comes through the door.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import socket
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zdistcc import paths

HANDOVER_S: Final = 20.0
"""How long the jobs of a worker that gives way may go on."""
HANDOVER_LOOK_S: Final = 0.05
BACKLOG: Final = 64
_log = logging.getLogger("zdistcc.worker")


def is_private(directory: Path) -> bool:
    """Return whether ``directory``, made if need be, is this user's alone: in /tmp anybody could have made it."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    found = os.lstat(directory)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def lock(env: Mapping[str, str]) -> int | None:
    """Return the lock's descriptor if nobody else has it."""
    handle = os.open(paths.stdio_path(env, "lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    os.ftruncate(handle, 0)
    return handle


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """An open door: the listening socket, its path, and the lock that keeps others from opening theirs."""

    listener: socket.socket
    path: Path
    lock: int

    def close(self) -> None:
        """Close the door; the lock goes last, so that nobody's new socket is removed."""
        self.listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        os.close(self.lock)


def open_door(env: Mapping[str, str], handle: int) -> Door:
    """Listen; ``handle`` is the lock, which the door owns from now on."""
    path = paths.stdio_path(env, "sock")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(os.fspath(path))
        os.chmod(path, 0o600)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        os.close(handle)
        raise
    return Door(listener=listener, path=path, lock=handle)


def claim(env: Mapping[str, str]) -> Door | None:
    """Open the door of a worker that the user has started; ``None`` if another such has it, or it cannot be had.

    One that ``--stdio`` has started is asked to leave: its clients come back and find this one.
    """
    try:
        if not is_private(paths.runtime_dir(env)):
            return None
        handle = lock(env)
        end = time.monotonic() + HANDOVER_S
        if handle is None and _ask_to_leave(env):
            while handle is None and time.monotonic() < end:
                time.sleep(HANDOVER_LOOK_S)
                handle = lock(env)
        if handle is None:
            return None
        return open_door(env, handle)
    except OSError as error:
        _log.debug("no private door: %s", error)
        return None


def _ask_to_leave(env: Mapping[str, str]) -> bool:
    text = paths.stdio_path(env, "lock").read_text()
    if not text.strip().isdigit():
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(text), signal.SIGTERM)
    return True

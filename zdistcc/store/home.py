"""The store's directory: its layout, its lock, and putting it back when somebody deletes it.

::

    DIR/                            mode 0700; made if it does not exist
        zdistcc-store.lock          flock()ed by the zdistccd that uses DIR; marks DIR as a store
        blobs/ab/cdef...-1234       one file for each content: SHA-256 in hexadecimal, its first byte as the
                                    directory, then "-" and the size in bytes; mode 0444; never changed
        incoming/PID-N              content on its way in; removed at start
        trees/RUN-N/                one tree (root of a mirrored file system); all removed at start
        trash/RUN-N                 trees on their way out; removed in the background

All of it is a cache.  Deleting any part of it at any time, also under a running zdistccd, costs time and
never correctness: a blob that is gone is asked for again, a tree that is gone is built again.

One zdistccd uses a directory at a time.  A second one gets :class:`StoreInUse`; a private subdirectory for
it was rejected because it would fill the disk twice, unseen.  A directory that holds something else is
refused, since the start empties ``trees``.  If DIR is deleted and made anew by a second zdistccd before the
first one notices, both write to it: blobs are safe (they appear by rename and are verified before use),
trees have names of their own, and a tree removed by the other is noticed like any other deletion.

Must not know: what a blob or a tree is.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from pathlib import Path

from zdistcc.store.failures import StoreError, StoreInUse, StoreUnusable

LOCK_NAME = "zdistcc-store.lock"
IGNORED = frozenset({"lost+found"})  # a file system of its own has this in its root
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


class Home:
    """A locked store directory; ``blobs`` … ``trash`` are its parts as bytes without a trailing slash."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        base = os.fsencode(os.path.realpath(directory))  # GCC shortens names of system headers to real ones
        if b"=" in base or b"\n" in base:
            # compilers split -ffile-prefix-map=OLD=NEW at "="
            raise StoreUnusable(f"the store directory {directory} has '=' or a newline in its name; choose another")
        self.blobs = base + b"/blobs"
        self.incoming = base + b"/incoming"
        self.trees = base + b"/trees"
        self.trash = base + b"/trash"
        self._base = base
        self._lock_path = base + b"/" + os.fsencode(LOCK_NAME)
        self._run = secrets.token_hex(4)
        self._count = 0
        self._lock = -1
        try:
            os.makedirs(base, mode=0o700, exist_ok=True)
            self._refuse_foreign()
            self._lock = self._take_lock()
            self._make_parts()
        except OSError as error:
            self.close()
            raise StoreUnusable(f"the store directory {directory} cannot be used: {error.strerror}") from error
        except BaseException:
            self.close()
            raise

    def fresh_name(self) -> bytes:
        """A file name that no other call, process or earlier run uses."""
        self._count += 1
        return f"{self._run}-{self._count}".encode()

    def restore(self) -> None:
        """Put back what was deleted of the layout.  Raises StoreError if it can't be done."""
        try:
            os.makedirs(self._base, mode=0o700, exist_ok=True)
            if not self._holds_lock():
                taken = self._take_lock()
                os.close(self._lock)
                self._lock = taken
            self._make_parts()
        except StoreInUse as error:
            raise StoreError("the store directory was deleted and is now used by another zdistccd") from error
        except OSError as error:
            raise StoreError(f"the store directory cannot be put back: {error.strerror}") from error

    def close(self) -> None:
        """Give the directory up; the next zdistccd may have it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _refuse_foreign(self) -> None:
        names = set(os.listdir(self._base.decode(errors="surrogateescape"))) - IGNORED
        if names and LOCK_NAME not in names:
            raise StoreUnusable(
                f"the directory {self.directory} holds other files and no store; give an empty or a new one"
            )

    def _take_lock(self) -> int:
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise StoreInUse(
                f"another zdistccd uses the store {self.directory}; give this one its own with --store DIR"
            ) from error
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _holds_lock(self) -> bool:
        try:
            there = os.lstat(self._lock_path)
        except FileNotFoundError:
            return False
        ours = os.fstat(self._lock)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _make_parts(self) -> None:
        for part in (self.blobs, self.incoming, self.trees, self.trash):
            with contextlib.suppress(FileExistsError):
                os.mkdir(part)

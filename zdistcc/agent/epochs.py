"""Epochs: which tree on the workers a job belongs to.

An epoch is an append-only map of paths to contents: what a worker has mirrored for it stays true as long as no path
changes its content and none disappears.  When one does, the next job begins a new epoch, and workers build a new tree
(of hard links).  A closure that was admitted before costs one look-up, and one ``stat`` for each directory that has
files in the tree: a file that vanished changes its directory.  A build that puts its objects beside its sources changes
the directory with every job, and listing it takes longer than all the rest of the job: jobs whose closures were
found before the last look at the directories share that look.

Must not know: workers, the wire.  Rejected: one tree for each job (hundreds of links a job), deleting from trees
(jobs run in them).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from zdistcc.sources.model import Closure

FRESH_NS: Final = 2_500_000_000
"""A directory that changed this recently may change again without its time showing it (coarse file systems: 2 s)."""
Signature = tuple[int, int, int]


class _Directory:
    """A directory of the epoch: the names in it, and its signature when they were last all seen."""

    __slots__ = ("names", "signature")

    def __init__(self) -> None:
        self.names: set[bytes] = set()
        self.signature: Signature | None = None


class Epochs:
    """The current epoch and what is in it."""

    def __init__(self, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._clock_ns = clock_ns
        self._number = 0
        self._contents: dict[bytes, object] = {}
        self._directories: dict[bytes, _Directory] = {}
        self._admitted: set[int] = set()
        self._looks = 0
        self._renew()

    @property
    def looks(self) -> int:
        """How often the directories were looked at: asked when a closure is found, for :meth:`admit`."""
        return self._looks

    def admit(self, closure: Closure, looks: int) -> int:
        """Return the number of the epoch that ``closure`` belongs to, which is a new one if it has to be.

        The directories are looked at, unless that was done after ``closure`` was found, when there had been ``looks``.
        """
        known = closure.serial in self._admitted
        if not known:
            if not self._fits(closure):
                self._renew()
            self._add(closure)
        if not known or self._looks == looks:
            if self._nothing_vanished():
                self._looks += 1
            else:
                self._renew()
                self._add(closure)
        return self._number

    def abandon(self) -> None:
        """Something was wrong with the current epoch's trees: the next job begins a new one."""
        self._renew()

    def _renew(self) -> None:
        self._number += 1
        self._contents.clear()
        self._directories.clear()
        self._admitted.clear()

    def _fits(self, closure: Closure) -> bool:
        known = self._contents
        return all(known.get(file.path, file.digest) == file.digest for file in closure.files) and all(
            known.get(link.path, link.target) == link.target for link in closure.links
        )

    def _add(self, closure: Closure) -> None:
        self._admitted.add(closure.serial)
        for path, content in [
            *((file.path, file.digest) for file in closure.files),
            *((link.path, link.target) for link in closure.links),
        ]:
            if path not in self._contents:
                self._contents[path] = content
                above, _, name = path.rpartition(b"/")
                directory = self._directories.setdefault(above or b"/", _Directory())
                directory.names.add(name)
                directory.signature = None
        for path in closure.directories:
            self._directories.setdefault(path, _Directory())

    def _nothing_vanished(self) -> bool:
        fresh = self._clock_ns() - FRESH_NS
        for path, directory in self._directories.items():
            try:
                found = os.stat(path)
            except OSError:
                return False
            signature = found.st_mtime_ns, found.st_ino, found.st_dev
            if signature == directory.signature:
                continue
            try:
                if directory.names and not directory.names.issubset(os.listdir(path)):
                    return False
            except OSError:
                return False
            directory.signature = signature if found.st_mtime_ns < fresh else None
        return True

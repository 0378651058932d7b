"""Removed trees: out of the way at once by a rename, deleted in small portions.

Deleting a tree of thousands of files takes long enough to be felt by every job on the event loop, and a
thread for it would compete for the same disk and lock.  Leftovers of an earlier run go the same way.

Must not know: what was in the trees.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from zdistcc.store.home import Home


class Trash:
    """The ``trash`` directory of a store; takes over what an earlier run left there and in ``trees``."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._waiting: list[bytes] = [home.trash + b"/" + name for name in os.listdir(home.trash)]
        self._work: Iterator[None] = iter(())
        for name in os.listdir(home.trees):
            self.take(home.trees + b"/" + name)

    def __len__(self) -> int:
        """How many trees have not been begun with."""
        return len(self._waiting)

    def take(self, tree: bytes) -> None:
        """Move it here.  A tree that is gone is fine; one that can't be moved is deleted where it is."""
        there = self._home.trash + b"/" + self._home.fresh_name()
        try:
            os.rename(tree, there)
        except OSError:
            there = tree
        self._waiting.append(there)

    def reap(self, budget: int) -> bool:
        """Delete up to ``budget`` files and directories; True if there is more."""
        while budget > 0:
            for _ in self._work:
                budget -= 1
                if budget == 0:
                    return True
            if not self._waiting:
                return False
            self._work = _delete(self._waiting.pop())
        return True

    def empty(self) -> None:
        """Delete all of it now."""
        while self.reap(1 << 20):
            pass


def _delete(path: bytes) -> Iterator[None]:
    """Delete a tree (or file), one entry a step.  Not recursive: a hostile tree is 1000 levels deep."""
    if os.path.islink(path) or not os.path.isdir(path):
        with contextlib.suppress(OSError):
            os.unlink(path)
        yield
        return
    pending = [(path, False)]
    while pending:
        at, emptied = pending.pop()
        with contextlib.suppress(OSError):  # someone else deleted it, or wrote into it: the next start tries again
            if emptied:
                os.rmdir(at)
            else:
                pending.append((at, True))
                with os.scandir(at) as entries:
                    listed = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
                for child, directory in listed:
                    if directory:
                        pending.append((child, False))
                    else:
                        with contextlib.suppress(OSError):
                            os.unlink(child)
                        yield
        yield

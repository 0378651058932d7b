"""Where a path as the compiler spells it really is, and which links and directories lead there.

The kernel resolves ``a/../x.h`` by way of ``a``: it has to exist, and if it is a link, ``..`` is the
parent of its target.  So a replica needs the real file, each link on the way (its end made real) and
each directory that is only passed through.

Must not know: what is in the files.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from zdistcc.sources.model import Link


class Place(NamedTuple):
    """``real``: the path without links; ``links``, ``passed``: what has to exist besides it."""

    real: bytes
    links: tuple[Link, ...]
    passed: tuple[bytes, ...]


_ROOT = Place(b"/", (), ())


class Places:
    """Remembers resolved paths; :meth:`forget` when a link may have changed."""

    def __init__(self) -> None:
        self._directories: dict[bytes, Place] = {b"": _ROOT, b"/": _ROOT}
        self._files: dict[bytes, tuple[tuple[int, ...], Place]] = {}

    def file(self, path: bytes, identity: tuple[int, ...]) -> Place:
        """``identity``: (inode, device) the path was last seen with; another one makes us look again."""
        known = self._files.get(path)
        if known is not None:
            if known[0] == identity:
                return known[1]
            self.forget()
        above, _, name = path.rpartition(b"/")
        place = _step(self.directory(above), name)
        self._files[path] = (identity, place)
        return place

    def directory(self, path: bytes) -> Place:
        known = self._directories.get(path)
        if known is None:
            above, _, name = path.rpartition(b"/")
            known = self._directories[path] = _step(self.directory(above), name)
        return known

    def forget(self) -> None:
        self._directories = {b"": _ROOT, b"/": _ROOT}
        self._files.clear()


def _step(above: Place, name: bytes) -> Place:
    if name in (b"", b"."):
        return above
    if name == b"..":
        parent = above.real.rpartition(b"/")[0] or b"/"
        return Place(parent, above.links, (*above.passed, above.real))
    path = above.real.rstrip(b"/") + b"/" + name
    target = link_target(path)
    if target is None:
        return Place(path, above.links, above.passed)
    return Place(target, (*above.links, Link(path, target)), above.passed)


def link_target(path: bytes) -> bytes | None:
    """The real path that a symbolic link leads to; None if ``path`` is no link, or leads nowhere."""
    try:
        os.readlink(path)
    except OSError:
        return None
    try:
        return os.path.realpath(path, strict=True)
    except OSError:
        return None

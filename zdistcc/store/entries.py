"""What can be in a tree.  Entries compare by identity: keep them, and asking for them again costs a look-up.

Must not know: the disk.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class File:
    """A regular file with this content.  ``mtime_s`` is the client's, in whole seconds, ``size`` its bytes if told."""

    path: bytes
    digest: bytes
    mtime_s: int | None = None
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HardLink:
    """Another name of the file at ``of``, which is a File of this or an earlier call."""

    path: bytes
    of: bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Symlink:
    """A symlink with the target as it is on the client."""

    path: bytes
    target: bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Directory:
    """A directory that may be empty."""

    path: bytes


Entry = File | HardLink | Symlink | Directory

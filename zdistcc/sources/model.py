"""The values that go into and come out of :mod:`zdistcc.sources`.

A :class:`ClosureRequest` says what is compiled; a :class:`Closure` says which files, links and
directories make up a partial replica of the file system in which the same compile gives the same
result.  The answers that are not a closure are values too.

Paths in a closure are *real*: absolute, without symbolic links, ``.`` or ``..``.  How the compiler
spells a path needs no record, because in a replica with the same links and directories every
spelling leads where it leads here.  Rejected: one entry per path as opened (``a/../x.h`` and ``x.h``
became two files, and clang's ``#pragma once`` saw two).

Must not know: the disk, the compiler, the wire.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from zdistcc.errors import Reason


class ForcedKind(enum.Enum):
    """How the command line makes the compiler read a file before the source."""

    INCLUDE = "-include"
    IMACROS = "-imacros"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosureRequest:
    """One compile, as far as it decides what is read; equal requests read the same files.

    ``search_words``: the words that affect the header search, in command-line order, each as given
    (``-I``, ``dir`` may be two words).  ``defines``: ``-DNAME[=BODY]``, joined.  ``env``: the variables
    that affect the search (``CPATH`` ...), sorted.  ``language``: as ``-x`` names it.
    """

    compiler: bytes
    compiler_key: str
    language: str
    cwd: bytes
    source: bytes
    search_words: tuple[bytes, ...] = ()
    forced: tuple[tuple[ForcedKind, bytes], ...] = ()
    defines: tuple[bytes, ...] = ()
    env: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchContext:
    """Where one compiler searches headers under one set of flags; every path is absolute.

    ``quote`` is searched before ``angle`` for ``#include "..."``.  ``existing`` are directories the
    compiler looked at and found (listed, or dropped as duplicates), ``missing`` those it dropped because
    they did not exist, ``volatile`` those of which any change may change this answer.
    """

    quote: tuple[bytes, ...]
    angle: tuple[bytes, ...]
    embed: tuple[bytes, ...] = ()
    existing: tuple[bytes, ...] = ()
    missing: tuple[bytes, ...] = ()
    volatile: tuple[bytes, ...] = ()


class SourceFile(NamedTuple):
    """One file to ship.  ``mtime_s`` is 0, or the file's modification time if another file of the
    closure has the same bytes: GCC takes equal files of equal time for one file at ``#pragma once``."""

    path: bytes
    digest: bytes
    size: int
    mtime_s: int = 0


class Link(NamedTuple):
    """A symbolic link to create: both ends are real paths.  Hard links appear as links, too."""

    path: bytes
    target: bytes


class Caution(NamedTuple):
    """Something in the closure that the caller has to judge, and the file it was found in."""

    reason: Reason
    path: bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Closure:
    """What a job reads.  The same object is returned as long as nothing changed.

    ``files[0]`` is the primary source.  ``directories`` must exist even if no file is in them.
    ``serial`` is unique within one index and grows.
    """

    files: tuple[SourceFile, ...]
    links: tuple[Link, ...]
    directories: tuple[bytes, ...]
    cautions: tuple[Caution, ...]
    serial: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclosable:
    """This job's files can't be told for certain: it falls through to the next mode."""

    reason: Reason
    detail: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsSearchPath:
    """Ask the compiler for its search path and hand it to ``SourceIndex.learn_search_path``."""

    request: ClosureRequest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeedsCompiler:
    """Run the compiler with ``-M`` and the job's own flags, and hand its output and this value to ``teach``.

    ``asked_at_ns`` (wall clock) and ``read`` (what the scanner had found by then) let ``teach`` notice
    a file that changed while the compiler ran.
    """

    request: ClosureRequest
    reason: Reason
    detail: bytes
    asked_at_ns: int
    read: frozenset[tuple[bytes, bytes]]


Answer = Closure | Unclosable | NeedsSearchPath | NeedsCompiler


class Refused(Exception):
    """Carries an :class:`Unclosable` out of a deep search; never leaves this package.

    ``paths``: what, if it changes, may turn the answer, besides what was reached before.
    """

    def __init__(self, reason: Reason, detail: bytes = b"", *paths: bytes) -> None:
        super().__init__(reason.word, detail)
        self.value = Unclosable(reason=reason, detail=detail)
        self.paths = set(paths)


class Now(NamedTuple):
    """One moment: ``wall_ns`` compares with file times, ``steady_ns`` measures spans."""

    wall_ns: int
    steady_ns: int


Clock = Callable[[], Now]

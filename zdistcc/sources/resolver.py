"""From a name in a directive to the files it may mean, searched as the compiler searches.

Sources: GCC's "Search Path" and "#include_next" in the CPP manual, and what GCC 12 and clang 14 were seen
to do.  ``"name"``: the directory of the file that has the directive, then ``quote``, then ``angle``;
``<name>``: ``angle``; ``#include_next``: after the directory the file was found in.  A directory that
has the name as a directory, or as a link to nothing, is passed over.  GCC and clang disagree on
``#include_next`` in a file that was found beside its includer, so all directories that have
the name count there (one file more, and no need to know how a file was reached).

Every answer carries the directories that it depends on, those searched in vain too: a file that
appears earlier in the path is a change like any other.

Must not know: what is in the files, how the search path was found out.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from zdistcc.errors import Reason
from zdistcc.sources.model import Refused, SearchContext
from zdistcc.sources.scanner import Form, Include, Kind
from zdistcc.sources.world import Directory, World

MAX_DEPTH: Final = 200  # directories in one name: paths are followed by recursion
_PRECOMPILED_SUFFIXES = (b".gch", b".pch")


class Found(NamedTuple):
    """``paths``: the files, as the compiler spells them; ``precompiled``: what stands beside them."""

    paths: tuple[bytes, ...]
    watched: frozenset[Directory]
    precompiled: tuple[bytes, ...] = ()


NOTHING = Found((), frozenset())


def joined(directory: bytes, name: bytes) -> bytes:
    """The path of ``name`` in ``directory``, without ``//`` and ``/./``, which mean nothing; ``..`` stays."""
    path = name if name.startswith(b"/") else directory + b"/" + name
    while b"//" in path:
        path = path.replace(b"//", b"/")
    while b"/./" in path:
        path = path.replace(b"/./", b"/")
    return path[:-2] or b"/" if path.endswith(b"/.") else path


class Resolver:
    """Answers for one search context; forgotten when ``world.shape`` moves."""

    def __init__(self, context: SearchContext, world: World) -> None:
        self._context = context
        self._world = world
        self._chain = context.quote + context.angle
        self._quoted: dict[bytes, Found] = {}
        self._angled: dict[bytes, Found] = {}
        self._every: dict[bytes, Found] = {}

    def find(self, include: Include, beside: bytes) -> Found:
        """What a directive in a file of directory ``beside`` may mean; its form is not MACRO.

        For a file that the assembler opens ``beside`` is the working directory.
        """
        name = include.name
        if not name or b"\0" in name:
            return NOTHING
        if name.count(b"/") > MAX_DEPTH:
            raise Refused(Reason.SOURCE_UNREADABLE, name[:200])
        if name.startswith(b"/"):
            return self._first((b"",), name, as_text=include.kind not in (Kind.EMBED, Kind.ASSEMBLER))
        match include.kind:
            case Kind.NEXT | Kind.PROBE_NEXT:
                return self._all(beside if include.form is Form.QUOTE else None, name)
            case Kind.EMBED:
                return self._data((beside, *self._context.embed), name)
            case Kind.ASSEMBLER:
                return self._data((beside, *self._chain), name)
            case Kind.PROBE if self._context.embed:
                plain = self.find(include._replace(kind=Kind.INCLUDE), beside)
                return _united([plain, self._data((beside, *self._context.embed), name)])
            case Kind.INCLUDE | Kind.PROBE:
                if include.form is Form.ANGLE:
                    return self._angle(name)
                here = self._first((beside,), name)
                if here.paths:
                    return here
                further = self._quote(name)
                return Found(further.paths, here.watched | further.watched, further.precompiled)

    def _angle(self, name: bytes) -> Found:
        found = self._angled.get(name)
        if found is None:
            found = self._angled[name] = self._first(self._context.angle, name)
        return found

    def _quote(self, name: bytes) -> Found:
        found = self._quoted.get(name)
        if found is None:
            found = self._first(self._context.quote, name)
            if not found.paths:
                further = self._angle(name)
                found = Found(further.paths, found.watched | further.watched, further.precompiled)
            self._quoted[name] = found
        return found

    def _all(self, near: bytes | None, name: bytes) -> Found:
        everywhere = self._every.get(name)
        if everywhere is None:
            each = [self._first((directory,), name) for directory in self._chain]
            everywhere = self._every[name] = _united(each)
        return everywhere if near is None else _united([self._first((near,), name), everywhere])

    def _data(self, directories: tuple[bytes, ...], name: bytes) -> Found:
        return _united([self._first((directory,), name, as_text=False) for directory in directories])

    def _first(self, directories: tuple[bytes, ...], name: bytes, *, as_text: bool = True) -> Found:
        world = self._world
        watched: set[Directory] = set()
        for directory in directories:
            path = joined(directory, name)
            above, _, last = path.rpartition(b"/")
            present, witness = world.consult(above or b"/", last)
            watched.add(witness)
            beside = tuple(path + suffix for suffix in _PRECOMPILED_SUFFIXES if last + suffix in witness.precompiled)
            if not present:
                if beside and beside[0].endswith(b".gch") and witness.path == (above or b"/"):
                    raise Refused(Reason.STALE_PRECOMPILED_HEADER, beside[0], beside[0])  # GCC would use it by itself
                continue
            if world.file(path, as_text=as_text) is not None:
                return Found((path,), frozenset(watched), beside if as_text else ())
            watched.add(world.directory(path))  # a directory, or a link to nothing
        return Found((), frozenset(watched))


def _united(each: list[Found]) -> Found:
    return Found(
        tuple(dict.fromkeys(path for found in each for path in found.paths)),
        frozenset().union(*(found.watched for found in each)),
        tuple(dict.fromkeys(path for found in each for path in found.precompiled)),
    )

"""From files as the compiler spells them to what a replica of the file system needs.

A file reached by several spellings appears once, under its real path; two names of one inode become a
file and a link, so that compilers that compare inodes see one file there as they do here.

Must not know: why a file is needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from zdistcc.sources.model import Caution, Closure, Link, SourceFile, Unclosable
from zdistcc.sources.places import Places
from zdistcc.sources.world import File, World

MAX_INTERNED: Final = 200_000


class Replica:
    """Builds closures; equal files are the same object in all of them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._places = Places()
        self._interned: dict[SourceFile, SourceFile] = {}
        self._serial = 0
        self._shape = world.shape

    def forget(self) -> None:
        self._places.forget()
        self._interned.clear()

    def closure(
        self,
        files: list[File],
        searched: Iterable[bytes],
        cautions: Iterable[Caution],
        previous: Closure | Unclosable | None,
    ) -> Closure:
        """``files``: the primary source first; ``searched``: directories whose existence the compiler
        sees.  ``previous`` is returned if it says the same."""
        if self._shape != self._world.shape:
            self._shape = self._world.shape
            self._places.forget()
        sharing = Counter(file.content.digest for file in files if file.content.size)
        shipped: dict[bytes, SourceFile] = {}
        names: dict[tuple[int, ...], bytes] = {}
        links: dict[Link, None] = {}
        directories: dict[bytes, None] = {}
        for file in files:
            identity = file.signature[3:]
            place = self._places.file(file.path, identity)
            links.update(dict.fromkeys(place.links))
            directories.update(dict.fromkeys(place.passed))
            name = names.setdefault(identity, place.real)
            if name != place.real:
                links[Link(place.real, name)] = None
            elif place.real not in shipped:
                shipped[name] = self._intern(file, name, sharing[file.content.digest] > 1)
        for path in searched:
            place = self._places.directory(path)
            links.update(dict.fromkeys(place.links))
            directories.update(dict.fromkeys((*place.passed, place.real)))
        parts = (
            tuple(shipped.values()),
            tuple(links),
            tuple(sorted(directories)),
            tuple(dict.fromkeys(cautions)),
        )
        if isinstance(previous, Closure) and parts == (
            previous.files,
            previous.links,
            previous.directories,
            previous.cautions,
        ):
            return previous
        self._serial += 1
        return Closure(files=parts[0], links=parts[1], directories=parts[2], cautions=parts[3], serial=self._serial)

    def _intern(self, file: File, real: bytes, shared: bool) -> SourceFile:
        if len(self._interned) > MAX_INTERNED:
            self._interned.clear()
        source = SourceFile(real, file.content.digest, file.content.size, file.signature[1] // 10**9 if shared else 0)
        return self._interned.setdefault(source, source)

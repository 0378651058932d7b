"""The sample project that `zdistcc demo` compiles: forty units of our own C and C++ in `project/`.

Large enough that a second machine shows, small enough for a slow one alone.  The program that comes out
checks itself, so a demonstration also proves that the objects are right.  `project/Makefile` builds the
same with any compiler; a test holds it and `units` together.

Must not know: compilers, workers, anything else of this package.  Rejected: downloading a known
project (a demonstration has to work without the internet) and generating sources (all alike, they
would say nothing about real headers).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath


class Language(enum.Enum):
    """The two languages of the units; the value is the ending of their names."""

    C = ".c"
    CXX = ".cc"


_COMMON = (b"-O2",)
_CHECKED = (b"-Wall", b"-Wextra", b"-Iinclude")
_FLAGS = {
    Language.C: (*_COMMON, b"-std=c11", *_CHECKED),
    Language.CXX: (*_COMMON, b"-std=c++17", *_CHECKED),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One file to compile, by its path in the project, which is also the directory to compile in."""

    source: bytes
    language: Language
    flags: tuple[bytes, ...]


def _walk(directory: Traversable, below: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _walk(entry, f"{below}{entry.name}/")
        else:
            yield below + entry.name, entry


def _project() -> Iterator[tuple[str, Traversable]]:
    return _walk(files(__name__) / "project")


def units() -> tuple[Unit, ...]:
    """All units, in the order of their paths. The linker needs `-lm`, and the C++ compiler's help."""
    by_ending = {language.value: language for language in Language}
    sources = [(path, by_ending.get(PurePosixPath(path).suffix)) for path, _entry in _project()]
    return tuple(
        Unit(source=path.encode(), language=language, flags=_FLAGS[language])
        for path, language in sources
        if language is not None
    )


def copy_to(directory: Path) -> None:
    """Write the project into `directory`, which is made if need be; existing files are replaced."""
    for path, entry in _project():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(entry.read_bytes())

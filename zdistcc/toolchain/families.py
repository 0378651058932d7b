"""What a command is called, and what that suggests.

The name only *guesses*: on macOS ``gcc`` is clang, and ``cc`` is anything.  The guess decides which programs
of a directory are worth asking (``probe``) and whether a driver was called as a C++ one, which no probe can
tell from the compiler's words, as gcc and g++ are one build with one id.

A name is ``[PREFIX-]STEM[SUFFIX]``; the stems are the table below, prefixes are whatever ends in a dash,
because nobody can list all vendors' triples.

Must not know: files, processes, what the compiler answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from zdistcc.toolchain.identity import Family, Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Stem:
    """A row: the name without prefix and version, the family it suggests, the language its driver assumes.

    ``rank`` orders several names of one compiler, the plainest (0) first: the one shown and run.
    """

    name: str
    family: Family
    driver: Language
    rank: int = 0


STEMS: tuple[Stem, ...] = (
    Stem(name="gcc", family=Family.GCC, driver=Language.C),
    Stem(name="g++", family=Family.GCC, driver=Language.CXX, rank=1),
    Stem(name="clang", family=Family.CLANG, driver=Language.C),
    Stem(name="clang++", family=Family.CLANG, driver=Language.CXX, rank=1),
    Stem(name="icc", family=Family.INTEL, driver=Language.C),
    Stem(name="icpc", family=Family.INTEL, driver=Language.CXX, rank=1),
    Stem(name="icx", family=Family.INTEL, driver=Language.C),
    Stem(name="icpx", family=Family.INTEL, driver=Language.CXX, rank=1),
    Stem(name="suncc", family=Family.SUN, driver=Language.C),
    Stem(name="sunCC", family=Family.SUN, driver=Language.CXX),
    Stem(name="CC", family=Family.SUN, driver=Language.CXX, rank=2),
    Stem(name="cc", family=Family.UNKNOWN, driver=Language.C, rank=2),
    Stem(name="c++", family=Family.UNKNOWN, driver=Language.CXX, rank=3),
    Stem(name="gobjc", family=Family.GCC, driver=Language.C, rank=4),
    Stem(name="c89-gcc", family=Family.GCC, driver=Language.C, rank=5),
    Stem(name="c99-gcc", family=Family.GCC, driver=Language.C, rank=5),
    Stem(name="c89", family=Family.UNKNOWN, driver=Language.C, rank=5),
    Stem(name="c99", family=Family.UNKNOWN, driver=Language.C, rank=5),
)

# Programs that stand in front of a compiler of the same name.  `sccache` and `buildcache` install no links,
# but people make them.
WRAPPERS: frozenset[bytes] = frozenset(
    {b"ccache", b"distcc", b"icecc", b"icecream", b"sccache", b"buildcache", b"zdistcc"}
)

_BY_NAME = {stem.name: stem for stem in STEMS}
# gcc-12, gcc-12.2.0, clang++-14, gcc12 (BSD), gcc-mp-13 (MacPorts), gcc-posix and gcc-12-win32 (mingw-w64)
_NAME = re.compile(
    r"(?P<prefix>(?:[A-Za-z0-9_.]+-){0,4}?)"
    rf"(?P<stem>{'|'.join(sorted((re.escape(name) for name in _BY_NAME), key=len, reverse=True))})"
    r"(?P<suffix>(?:-mp)?(?:-?\d+(?:\.\d+)*)?(?:-posix|-win32)?)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What a name suggests: ``prefix`` without its dash, ``suffix`` with whatever joins it."""

    family: Family
    driver: Language
    stem: str
    prefix: str
    suffix: str

    @property
    def plainness(self) -> tuple[int, int, int]:
        """Sorts names of one compiler, the plainest first: unprefixed, then without version, then by stem."""
        return (bool(self.prefix), bool(self.suffix), _BY_NAME[self.stem].rank)


def looks_like_compiler(name: bytes) -> Guess | None:
    """The guess from a command's name or path; None if no compiler is called like that."""
    found = _NAME.fullmatch(name.rpartition(b"/")[2].decode("ascii", "replace"))
    if found is None:
        return None
    stem = _BY_NAME[found["stem"]]
    return Guess(
        family=stem.family,
        driver=stem.driver,
        stem=stem.name,
        prefix=found["prefix"].removesuffix("-"),
        suffix=found["suffix"],
    )


def driver_of(name: bytes) -> Language:
    """The language the driver of this name assumes (``C`` unless it is called like a C++ one).

    A C++ driver reads ``.c`` as C++, a C driver reads ``.cc`` as C++ too: given ``-x LANGUAGE`` (clang: or
    ``--driver-mode=g++``) the two give the same object.
    """
    guess = looks_like_compiler(name)
    return guess.driver if guess is not None else Language.C


def is_wrapper(real_path: bytes) -> bool:
    """True for a resolved path whose program passes its command on to another compiler of the same name."""
    return real_path.rpartition(b"/")[2] in WRAPPERS


def check_table() -> list[str]:
    """What is wrong with the table; empty in a release.  Every row must be found under its own name."""
    faults = [f"{name}: listed twice" for name in _BY_NAME if sum(stem.name == name for stem in STEMS) > 1]
    for stem in STEMS:
        guess = looks_like_compiler(stem.name.encode())
        if guess is None or (guess.stem, guess.prefix, guess.suffix) != (stem.name, "", ""):
            faults.append(f"{stem.name}: its own name is read as {guess}")
        if stem.driver not in (Language.C, Language.CXX):
            faults.append(f"{stem.name}: no driver assumes {stem.driver}")
        if stem.family is Family.UNKNOWN and stem.rank == 0:
            faults.append(f"{stem.name}: a name anybody may have is not the plainest one")
    return faults

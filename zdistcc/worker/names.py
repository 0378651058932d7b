"""Which of the worker's compilers a client of stock distcc means.  Pure.

Such a client names a command, not a compiler.  The command is never run: it is read as ``[TRIPLE-]STEM[-VERSION]``, and
what is run is a compiler of the worker's own list that fits by identity::

    gcc, g++             the gcc found first on the worker's PATH
    clang, clang++       the clang found first there, for its own target or that of -target/--target=
    cc, c++              whatever these names are on this worker, if that is on the list
    gcc-12, clang-14.0   that version, field by field: 12 is 12.2.0, 14.0 is 14.0.6, 1 is neither
    TRIPLE-gcc…          for that target (x86_64-redhat-linux is x86_64-linux-gnu); clang for any that it knows
    /usr/bin/NAME        NAME: build systems call compilers so, and the stock client passes it on

Where more than one fits, the one whose own plain name was asked for is meant, then the one that the plain name of the
family means; else it is unclear, and none is.  Any other path is not served: who writes /opt/x/bin/gcc means that very
program, which need not be this worker's gcc.  Nor is c99 and the like, scripts that add options of their own.

A bare ``gcc`` says neither version nor target.  Stock clients say the target where they can (they ask for
``x86_64-linux-gnu-gcc`` if there is such a program on their side) and find workers by the version of their ``cc``; what
is left is their own risk, with every server of that protocol.

Must not know: files, processes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from zdistcc.toolchain.families import driver_of, looks_like_compiler
from zdistcc.toolchain.identity import CompilerId, Family, Offer, canonical_target, serves_target
from zdistcc.toolchain.identity import Language as DriverLanguage
from zdistcc.toolchain.languages import Driver

DIRECTORIES: Final = (b"/usr/bin", b"/bin")
"""Of commands with a path, those in these directories are looked up by their names."""
GENERIC: Final = ("cc", "c++")
"""Names that say nothing of the family."""
_STEMS: Final = {"gcc": "gcc", "g++": "gcc", "clang": "clang", "clang++": "clang", "cc": "cc", "c++": "c++"}
"""Names that are served, and the plain name of each one's family."""
_VERSION: Final = re.compile(r"-?(\d+(?:\.\d+)*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One compiler of the worker: ``name`` is what its driver is called, without the directory."""

    offer: Offer
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spellings:
    """All of them in the order of the PATH, and what the names of :data:`GENERIC` are here."""

    compilers: Sequence[Known]
    generic: Mapping[str, CompilerId]


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """The compiler to run, called as ``driver``; ``target`` is to be made explicit if it is not empty (clang)."""

    offer: Offer
    driver: Driver
    target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """Why none is run."""

    sentence: str


def find(command: bytes, args: Sequence[bytes], here: Spellings) -> Meant | Unclear:
    """Return what is meant by ``command`` with the words ``args`` after it."""
    shown = ascii(command[:60].decode("utf-8", "replace"))[1:-1]
    directory, slash, _ = command.rpartition(b"/")
    if slash and directory not in DIRECTORIES:
        return Unclear(sentence=f"{shown} is a path, and compilers are called by their names here")
    guess = looks_like_compiler(command)
    plain = _STEMS.get(guess.stem) if guess is not None else None
    version = _VERSION.fullmatch(guess.suffix) if guess is not None and guess.suffix else None
    if guess is None or plain is None or (guess.suffix and version is None):
        return Unclear(sentence=f"{shown} is no name of a compiler that is served here")
    target = _target(args) or guess.prefix
    default = here.generic.get(plain)
    fitting = [
        known
        for known in here.compilers
        if _of_family(known.offer, guess.family, default)
        and (_for_target(target, known.offer) if target else not _has_prefix(known.name))
        and (version is None or _is_version(version[1], known.offer.id.version))
    ]
    asked = f"{guess.prefix}{'-' if guess.prefix else ''}{plain}{guess.suffix}"
    chosen = _choose(fitting, asked, _plain_one(here, plain), default)
    if chosen is None:
        why = "is not on this worker" if not fitting else f"may be any of {len(fitting)} compilers of this worker"
        return Unclear(sentence=f"{shown} {why}")
    clang = chosen.offer.id.family is Family.CLANG
    return Meant(
        offer=chosen.offer,
        driver=Driver.CXX if driver_of(command) is DriverLanguage.CXX else Driver.C,
        target=guess.prefix if clang and not _target(args) else "",
    )


def _target(args: Sequence[bytes]) -> str:
    """Return the target that the words name; as clang does it, the last one counts."""
    target = b""
    for number, word in enumerate(args):
        if word.startswith(b"--target="):
            target = word[len(b"--target=") :]
        elif word == b"-target" and number + 1 < len(args):
            target = args[number + 1]
    return target.decode("ascii", "replace")


def _of_family(offer: Offer, family: Family, generic: CompilerId | None) -> bool:
    """Whether the name fits the compiler; a generic one fits what it is here, in whichever version."""
    wanted = generic.family if family is Family.UNKNOWN and generic is not None else family
    return offer.id.family is wanted


def _for_target(target: str, offer: Offer) -> bool:
    if offer.id.family is Family.CLANG:
        return serves_target(target, offer)
    return canonical_target(target) == canonical_target(offer.id.target)


def _has_prefix(name: str) -> bool:
    """Whether a compiler is called by its target, so that it is not the one for the machine itself."""
    guess = looks_like_compiler(name.encode())
    return guess is not None and bool(guess.prefix)


def _is_version(asked: str, version: str) -> bool:
    return version == asked or version.startswith(asked + ".")


def _plain_one(here: Spellings, plain: str) -> CompilerId | None:
    """Return what the plain name of a family means on this worker."""
    return next((known.offer.id for known in here.compilers if known.name == plain), None)


def _choose(fitting: Sequence[Known], asked: str, plain: CompilerId | None, generic: CompilerId | None) -> Known | None:
    by_name = [known for known in fitting if known.name == asked]
    usual = [known for known in fitting if known.offer.id in (generic, plain)]
    if by_name or usual:
        return (by_name or usual)[0]
    return fitting[0] if len(fitting) == 1 else None

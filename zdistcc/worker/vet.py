"""Vetting: turns an untrusted job into an order that is safe to run, or says why not.  Pure.

Nothing of what the client sent reaches a command line unexamined: the compiler is one of our own list, language
and stage are words of closed sets, the arguments are parsed with the table that the client used and rebuilt from
it, the file name loses its directory, and of the environment only variables that the *output* depends on pass.

Must not know: where compilers are, files, processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from zdistcc.toolchain.environment import VARIABLES, EnvEffect
from zdistcc.toolchain.identity import Offer
from zdistcc.toolchain.languages import Language
from zdistcc.toolchain.options import Side
from zdistcc.toolchain.pathwords import PathWord
from zdistcc.toolchain.vetting import Refused, vet, vet_headers
from zdistcc.wire.messages import Job, PathArg, RefusalCode, Refuse, Stage, TreeJob, sentence

ENVIRONMENT: Final = frozenset(
    name.decode()
    for name, (effect, _) in VARIABLES.items()
    if effect in (EnvEffect.COMPILE, EnvEffect.MESSAGES) and name != b"SDKROOT"
)
"""What a job may set: message language and colours, and what ends up in an object.  Never a path, never ``LD_*``."""
_SOURCE_ENVIRONMENT: Final = ENVIRONMENT | {"SOURCE_DATE_EPOCH"}
"""Where the preprocessor runs on the worker, the date it prints matters as well."""
PATH_VARIABLES: Final = frozenset(
    {"CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "OBJC_INCLUDE_PATH", "OBJCPLUS_INCLUDE_PATH"}
)
_SEARCH_OPTIONS: Final = {
    "-isystem": (b"-isystem",),
    "-internal-isystem": (b"-Xclang", b"-internal-isystem", b"-Xclang"),
    "-internal-externc-isystem": (b"-Xclang", b"-internal-externc-isystem", b"-Xclang"),
}
_SIDES: Final = {side.value: side for side in Side}
_MAX_VALUE_BYTES: Final = 4096
_SOURCE_LANGUAGES: Final = frozenset(language.value.decode() for language in Language if not language.preprocessed)
_TEXT_LANGUAGES: Final = frozenset(language.value.decode() for language in Language if language.preprocessed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job that may be run: ``offer`` is the compiler, ``args`` the rebuilt words, ``name`` a bare file name."""

    offer: Offer
    args: tuple[bytes, ...]
    language: str
    stage: Stage
    name: bytes
    env: dict[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeOrder:
    """A job on shipped sources that may be run; paths are the client's until a tree's root is known.

    ``search`` are whole words for the directories that the client's compiler searches by itself, each path marked;
    ``paths`` environment variables whose value is a list of directories.  ``output`` is only given together with
    ``sides``, the files that are written beside it.
    """

    offer: Offer
    args: tuple[bytes | PathWord, ...]
    search: tuple[bytes | PathWord, ...]
    language: str
    stage: Stage
    source: bytes
    cwd: bytes
    env: dict[bytes, bytes]
    paths: dict[bytes, bytes]
    dependencies: bool
    output: PathWord | None
    sides: tuple[tuple[str, PathWord], ...]
    own_system: bool = False
    """System headers are this machine's own, not the tree's (distcc's version 3)."""


def examine_tree(job: TreeJob, offers: Sequence[Offer]) -> TreeOrder | Refuse:
    """As :func:`examine`, for a job on shipped sources."""
    offer = _find(job.compiler, offers)
    if isinstance(offer, Refuse):
        return offer
    if job.language not in _SOURCE_LANGUAGES:
        return _bad(f"language {job.language!r} is not one of source code")
    if b"\0" in job.source or job.source.startswith((b"-", b"@")) or not _is_plain(job.cwd):
        return _bad("the source or the working directory cannot be used")
    words = [PathWord(word.before, word.path, word.after) if isinstance(word, PathArg) else word for word in job.args]
    if any(kind not in _SIDES for kind, _ in job.sides) or bool(job.sides) is not bool(job.output):
        return _bad("the job names outputs that this worker does not make")
    args = vet_headers(
        words, family=offer.id.family, allow_side_outputs=frozenset(_SIDES[kind] for kind, _ in job.sides)
    )
    if isinstance(args, Refused):
        return _bad_word(args)
    search: list[bytes | PathWord] = []
    for option, directory in job.search:
        if option not in _SEARCH_OPTIONS or not directory.startswith(b"/") or b"\0" in directory:
            return _bad(f"search option {option[:40]!r} is not known")
        search += [*_SEARCH_OPTIONS[option], PathWord(b"", directory)]
    return TreeOrder(
        offer=offer,
        args=tuple(args),
        search=tuple(search),
        language=job.language,
        stage=job.stage,
        source=job.source,
        cwd=job.cwd,
        env=_environment(job.env, _SOURCE_ENVIRONMENT),
        paths=_environment(job.paths, PATH_VARIABLES),
        dependencies=job.dependencies,
        output=PathWord(b"", job.output) if job.output else None,
        sides=tuple((kind, PathWord(b"", path)) for kind, path in job.sides),
    )


def _is_plain(path: bytes) -> bool:
    """Whether ``path`` is absolute and says where it leads without ``..``."""
    return path.startswith(b"/") and b"\0" not in path and b".." not in path.split(b"/")


def _find(build_id: str, offers: Sequence[Offer]) -> Offer | Refuse:
    for offer in offers:
        if offer.id.build_id == build_id:
            return offer
    return Refuse(
        code=RefusalCode.NO_COMPILER,
        sentence="this worker no longer has that compiler",
        remedy="nothing: its list is sent again",
    )


def _environment(sent: Iterable[tuple[str, bytes]], allowed: frozenset[str]) -> dict[bytes, bytes]:
    return {
        key.encode(): value
        for key, value in sent
        if key in allowed and b"\0" not in value and len(value) <= _MAX_VALUE_BYTES
    }


def examine(job: Job, offers: Sequence[Offer]) -> Order | Refuse:
    """Return the order in ``job``, or the refusal to send."""
    offer = _find(job.compiler, offers)
    if isinstance(offer, Refuse):
        return offer
    if job.language not in _TEXT_LANGUAGES:
        return _bad(f"language {job.language!r} is not one of preprocessed text")
    name = job.name.rpartition(b"/")[2]
    if not name or name.startswith(b"-") or name in (b".", b"..") or b"\0" in name:
        return _bad("the file's name cannot be used")
    args = vet(job.args, family=offer.id.family)
    if isinstance(args, Refused):
        return _bad_word(args)
    return Order(
        offer=offer,
        args=tuple(args),
        language=job.language,
        stage=job.stage,
        name=name,
        env=_environment(job.env, ENVIRONMENT),
    )


def _bad_word(refused: Refused) -> Refuse:
    return _bad(f"argument {refused.word.decode('utf-8', 'replace')[:200]!r}: {refused.why.text}")


def _bad(why: str) -> Refuse:
    return Refuse(
        code=RefusalCode.ARGUMENTS,
        sentence=sentence(why),
        remedy="compile this file locally; if the option is harmless, report it",
    )

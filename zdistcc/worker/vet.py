"""Vetting: turns an untrusted job into an order that is safe to run, or says why not.  Pure.

Nothing of what the client sent reaches a command line unexamined: the compiler is one of our own list, language
and stage are words of closed sets, the arguments are parsed with the table that the client used and rebuilt from
it, the file name loses its directory, and of the environment only variables that the *output* depends on pass.

Must not know: where compilers are, files, processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from zdistcc.toolchain.environment import VARIABLES, EnvEffect
from zdistcc.toolchain.identity import Offer
from zdistcc.toolchain.languages import Language
from zdistcc.toolchain.vetting import Refused, vet
from zdistcc.wire.messages import Job, RefusalCode, Refuse, Stage, sentence

ENVIRONMENT: Final = frozenset(
    name.decode()
    for name, (effect, _) in VARIABLES.items()
    if effect in (EnvEffect.COMPILE, EnvEffect.MESSAGES) and name != b"SDKROOT"
)
"""What a job may set: message language and colours, and what ends up in an object.  Never a path, never ``LD_*``."""
_MAX_VALUE_BYTES: Final = 4096
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


def examine(job: Job, offers: Sequence[Offer]) -> Order | Refuse:
    """Return the order in ``job``, or the refusal to send."""
    offer = next((offer for offer in offers if offer.id.build_id == job.compiler), None)
    if offer is None:
        return Refuse(
            code=RefusalCode.NO_COMPILER,
            sentence="this worker no longer has that compiler",
            remedy="nothing: its list is sent again",
        )
    if job.language not in _TEXT_LANGUAGES:
        return _bad(f"language {job.language!r} is not one of preprocessed text")
    name = job.name.rpartition(b"/")[2]
    if not name or name.startswith(b"-") or name in (b".", b"..") or b"\0" in name:
        return _bad("the file's name cannot be used")
    args = vet(job.args, family=offer.id.family)
    if isinstance(args, Refused):
        return _bad(f"argument {args.word.decode('utf-8', 'replace')[:200]!r}: {args.why}")
    return Order(
        offer=offer,
        args=tuple(args),
        language=job.language,
        stage=job.stage,
        name=name,
        env={
            key.encode(): value
            for key, value in job.env
            if key in ENVIRONMENT and b"\0" not in value and len(value) <= _MAX_VALUE_BYTES
        },
    )


def _bad(why: str) -> Refuse:
    return Refuse(
        code=RefusalCode.ARGUMENTS,
        sentence=sentence(why),
        remedy="compile this file locally; if the option is harmless, report it",
    )

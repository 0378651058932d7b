"""From a request of stock distcc to an order of this worker, or why not.  Pure.

The command that came is read with the table that our own client uses, and rebuilt by the same functions; what they
make is then judged as any client's words are (vet.py).  So an option that is safe for our jobs is safe here, and no
other is.  The output's name stays on the client, as far as it is no target of the dependencies; the environment is
the worker's.

Configure probes are served: our own client keeps them, but a stock client that was refused one would leave this worker
alone for a minute.

Must not know: files, processes, connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from zdistcc.errors import ExitCode
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.invocation import Invocation, scan
from zdistcc.toolchain.options import Effect, Mark, Undistributable, split, table_of
from zdistcc.toolchain.pathwords import PathWord
from zdistcc.toolchain.rebuild import headers_args, remote_args
from zdistcc.toolchain.vetting import Refused, vet, vet_headers
from zdistcc.wire.distcc_events import JobAnnounced, Version
from zdistcc.wire.messages import Stage
from zdistcc.worker.names import Meant, Spellings, Unclear, find
from zdistcc.worker.vet import Order, TreeOrder

_DEPENDENCIES: Final = (b"-MD", b"-MMD")
_TEXT_NAME: Final = b"preprocessed.i"
"""GCC quotes lines of the file that the text names, if there is one: under the source's own name it would quote lines
of the text, which are others.  Clang quotes what it reads, and records its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """What a client is told instead, and the exit code that distcc has for that."""

    sentence: str
    code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """What is to be done, and the client's name for what is compiled."""

    order: Order | TreeOrder
    source: bytes


def translate(job: JobAnnounced, here: Spellings) -> Translated | Declined:
    """Return what is to be done for ``job``."""
    meant = find(job.args[0], job.args[1:], here)
    if isinstance(meant, Unclear):
        return Declined(sentence=meant.sentence, code=ExitCode.COMPILER_MISSING)
    family = meant.offer.id.family
    words, outputs = _without_output(job.args[1:], family)
    if job.version is Version.PUMP:
        words = _with_dependencies(words, outputs, family)
    inv = scan(words, family=family, driver=meant.driver, env={}, read_file=_no_file, allow_probes=True)
    if isinstance(inv, Undistributable):
        return _declined(inv.detail, inv.reason.text)
    try:
        order = _tree_order(inv, meant, job.cwd) if job.version is Version.PUMP else _text_order(inv, meant)
    except ValueError:
        return _declined(inv.native[0], "native is the client's machine, not this one")
    return order if isinstance(order, Declined) else Translated(order=order, source=inv.source)


def _no_file(path: bytes) -> bytes | None:
    return None


def _without_output(args: Sequence[bytes], family: Family) -> tuple[list[bytes], list[bytes]]:
    """Return ``args`` without ``-o``, and its values."""
    table = table_of(family)
    if table is None:
        return list(args), []
    found, trouble = split(args, table)
    if trouble is not None:
        return list(args), []  # as it is, for scan to say what is wrong
    outputs = [arg for arg in found if arg.row is not None and arg.row.effect is Effect.OUTPUT]
    words = [word for arg in found if arg not in outputs for word in arg.words]
    return words, [arg.value for arg in outputs]


def _with_dependencies(words: list[bytes], outputs: Sequence[bytes], family: Family) -> list[bytes]:
    """Version 3 has dependencies in every answer; their target is what the client's compiler would write."""
    table = table_of(family)
    found = split(words, table)[0] if table is not None else []
    if any(arg.row is not None and arg.row.mark is Mark.PASSTHROUGH and b"-M" in arg.value for arg in found):
        return words  # the kernel's way to ask; scan knows it
    names = [arg.row.name for arg in found if arg.row is not None and arg.row.effect is Effect.DEPEND]
    asked = [] if any(name in names for name in _DEPENDENCIES) else [b"-MMD"]
    target = [b"-MQ" + outputs[-1]] if outputs and not {b"-MT", b"-MQ"} & set(names) else []
    return [*asked, *target, *words]


def _text_order(inv: Invocation, meant: Meant) -> Order | Declined:
    args = vet([*_explicit(meant), *remote_args(inv)], family=inv.family)
    if isinstance(args, Refused):
        return _declined(args.word, args.why.text)
    name = inv.source.rpartition(b"/")[2]
    if not _is_name(name):
        return _declined(inv.source, "the file's name cannot be used")
    return Order(
        offer=meant.offer,
        args=args,
        language=inv.language.text.value.decode(),
        stage=Stage(inv.stage.name.lower()),
        name=_TEXT_NAME if inv.family is Family.GCC else name,
        env={},
    )


def _tree_order(inv: Invocation, meant: Meant, cwd: bytes) -> TreeOrder | Declined:
    words = headers_args(inv)
    if isinstance(words, Undistributable):
        return _declined(words.detail, words.reason.text)
    args = vet_headers([*_explicit(meant), *words], family=inv.family)
    if isinstance(args, Refused):
        return _declined(args.word, args.why.text)
    source = PathWord(b"", inv.source)
    if inv.source.startswith((b"-", b"@")) or source.placed(root=b"", cwd=cwd) is None:
        return _declined(inv.source, "the file's name cannot be used")
    return TreeOrder(
        offer=meant.offer,
        args=args,
        search=(),
        language=inv.language.value.decode(),
        stage=Stage(inv.stage.name.lower()),
        source=inv.source,
        cwd=cwd,
        env={},
        paths={},
        dependencies=True,
        output=None,
        sides=(),
        own_system=True,
    )


def _explicit(meant: Meant) -> list[bytes]:
    return [b"--target=" + meant.target.encode()] if meant.target else []


def _is_name(name: bytes) -> bool:
    return bool(name) and not name.startswith((b"-", b"@")) and name not in (b".", b"..")


def _declined(word: bytes, why: str) -> Declined:
    return Declined(sentence=f"{word.decode('utf-8', 'replace')[:200]!r}: {why}", code=ExitCode.BAD_ARGUMENTS)

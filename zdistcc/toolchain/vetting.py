"""The worker's judgement of a list of options that a client sent.

It is read through the same table as the client's own command line, and only what
`rebuild` could have made passes: no input, no output, no option that names or makes a
file, runs a program or loads code.

Must not know: the disk, the compiler's place, who sent the list.

Rejected: repairing a list by leaving words out.  A client that sends what ours never sends is not
ours, and a compile without that word would not be the compile it asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from zdistcc.errors import Reason
from zdistcc.toolchain.dependencies import passthrough
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.invocation import NOTHING
from zdistcc.toolchain.options import Arg, Effect, Mark, Side, is_native, split, table_of
from zdistcc.toolchain.pathwords import PathWord, marked

MAX_WORDS = 4096  # an expansion of -march=native is some 90 words; generated lists of -W reach hundreds
MAX_WORD_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Refused:
    """A list that is not compiled: the word, and why."""

    word: bytes
    why: Reason


def vet(
    args: Sequence[bytes], *, family: Family, allow_side_outputs: AbstractSet[Side] = NOTHING
) -> tuple[bytes, ...] | Refused:
    """The list rebuilt from allowed options only, equal to ``args`` if they come from our client."""
    found = _read(args, family, allow_side_outputs, _TEXT)
    if isinstance(found, Refused):
        return found
    return tuple(word for arg in found for word in arg.words)


def vet_headers(
    args: Sequence[bytes | PathWord], *, family: Family, allow_side_outputs: AbstractSet[Side] = NOTHING
) -> tuple[bytes | PathWord, ...] | Refused:
    """As `vet`, for `rebuild.headers_args`: every path has to be marked as one, nothing else may be.

    That a relative path stays in the tree is for `PathWord.placed` to say, which knows the directory.
    """
    flat = [word.word if isinstance(word, PathWord) else word for word in args]
    found = _read(flat, family, allow_side_outputs, _SOURCES)
    if isinstance(found, Refused):
        return found
    words: list[bytes | PathWord] = []
    for arg in found:
        if arg.row is not None and arg.row.name == b"-MF":
            return Refused(arg.words[0][:64], Reason.SPECIAL_OUTPUT)
        if arg.row is not None and arg.row.mark is Mark.PASSTHROUGH:
            inner = passthrough([arg])
            if not all(word[:2] in (b"-D", b"-U") for word in inner):
                return Refused(arg.words[0][:64], Reason.PREPROCESSOR_OPTION)
        words += marked(arg)
    for sent, ours, word in zip(args, words, flat, strict=True):
        if sent != ours:
            return Refused(word[:64], Reason.UNKNOWN_FILE)
    return tuple(words)


_TEXT = frozenset({Effect.BOTH})
_SOURCES = frozenset({Effect.BOTH, Effect.PREPROCESS, Effect.DEPEND})


def _read(
    args: Sequence[bytes], family: Family, sides: AbstractSet[Side], effects: AbstractSet[Effect]
) -> list[Arg] | Refused:
    """The options of a list, all of which have one of these effects or a side output taken here."""
    table = table_of(family)
    if table is None:
        return Refused(str(family).encode(), Reason.UNSUPPORTED_COMPILER)
    if len(args) > MAX_WORDS:
        return Refused(b"", Reason.UNKNOWN_OPTION)
    for word in args:
        if len(word) > MAX_WORD_BYTES or (word[:1] != b"-" and word[:1] in (b"@", b"")):
            return Refused(word[:64], Reason.UNKNOWN_OPTION)
    found, trouble = split(args, table)
    if trouble is not None:
        return Refused(trouble.detail[:64], trouble.reason)
    for arg in found:
        row = arg.row
        if row is None:
            return Refused(arg.value[:64], Reason.SEVERAL_INPUTS)
        if row.effect is Effect.SIDE and row.side not in sides:
            return Refused(arg.words[0][:64], row.reason or Reason.SIDE_OUTPUT)
        if row.effect is not Effect.SIDE and row.effect not in effects:
            return Refused(arg.words[0][:64], row.reason or Reason.UNKNOWN_OPTION)
        if is_native(arg):
            return Refused(arg.words[0], Reason.NATIVE_UNKNOWN)
    return found

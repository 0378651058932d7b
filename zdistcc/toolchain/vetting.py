"""The worker's judgement of a list of options that a client sent.

It is read through the same table as the client's own command line, and only what
`rebuild.remote_args` could have made passes: no input, no output, no option that names or makes a
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
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.invocation import NOTHING
from zdistcc.toolchain.options import Effect, Mark, Side, split, table_of

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
    words: list[bytes] = []
    for arg in found:
        row = arg.row
        if row is None:
            return Refused(arg.value[:64], Reason.SEVERAL_INPUTS)
        if row.effect is Effect.SIDE and row.side not in allow_side_outputs:
            return Refused(arg.words[0][:64], row.reason or Reason.SIDE_OUTPUT)
        if row.effect not in (Effect.BOTH, Effect.SIDE):
            return Refused(arg.words[0][:64], row.reason or Reason.UNKNOWN_OPTION)
        if row.mark is Mark.MACHINE and arg.value == b"native":
            return Refused(arg.words[0], Reason.NATIVE_UNKNOWN)
        words.extend(arg.words)
    return tuple(words)

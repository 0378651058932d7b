"""What an option row is, how its value attaches, and how a word finds its row.

The rows themselves are in :mod:`zdistcc.toolchain.gcc` and :mod:`zdistcc.toolchain.clang`; this
module composes them into one :class:`Table` for each family and splits a list of words into
:class:`Arg` by it.  Client (`invocation`) and worker (`vetting`) read words through the same
function, so they cannot disagree about which word is a value and which an input.

Must not know: what a job is, the disk, the environment.

Rejected: guessing whether the word after an unknown option is its value (every peer that did
took ``-Xclang x.c`` or ``-o x`` for an input sooner or later): an unknown option is an outcome.
A regular expression for each option: order of alternatives would decide, not the longest name.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from zdistcc.errors import Reason
from zdistcc.toolchain.identity import Family


class Form(enum.Flag):
    """How the value of an option attaches to its name."""

    FLAG = enum.auto()
    """The name alone."""
    JOINED = enum.auto()
    """``-Idir``: a value that is not empty follows the name in the same word."""
    SEPARATE = enum.auto()
    """``-I dir``: the value is the next word."""
    EQUALS = enum.auto()
    """``--sysroot=dir``: the value, perhaps empty, follows an equals sign."""
    PREFIX = enum.auto()
    """``-fanything``: the name begins the word; the rest, perhaps empty, is the value."""


class Effect(enum.Enum):
    """What an option means for a job."""

    BOTH = "both"
    """Matters to the preprocessor and to the compiler of its text: kept on both sides."""
    PREPROCESS = "preprocess"
    """Matters only until the text is preprocessed."""
    DRIVER = "driver"
    """Matters only to this machine's driver, or to where it finds its parts."""
    LINK = "link"
    """Matters only to the linker."""
    DEPEND = "depend"
    """Asks for, or shapes, the dependency file."""
    STAGE = "stage"
    OUTPUT = "output"
    LANGUAGE = "language"
    SIDE = "side"
    """Makes the compiler write a further file: local unless the caller takes that kind."""
    PREPROCESS_ONLY = "preprocess-only"
    QUERY = "query"
    LOCAL = "local"
    """The job stays on this machine, for the row's reason."""


class Side(enum.Enum):
    """Files a compile writes beside its output and dependency file."""

    DWO = "dwo"
    GCNO = "gcno"
    SU = "su"


class Mark(enum.Enum):
    """What `scan` collects from an option beyond its effect."""

    ARCHITECTURE = "architecture"
    COLOUR = "colour"
    COLUMNS = "columns"
    DEBUG = "debug"
    DEFINE = "define"
    FORCED = "forced"
    MACHINE = "machine"
    PASSTHROUGH = "passthrough"
    PATH_MAP = "path-map"
    SEARCH = "search"
    UNDEFINE = "undefine"


MACHINE_MARKS = (Mark.ARCHITECTURE, Mark.MACHINE)

Check = Callable[[bytes], Reason | None]
"""Judges an option's value; a reason makes the job local, or refused on a worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionRow:
    """One option.

    ``reason`` belongs to `Effect.LOCAL` and `Effect.SIDE` and says why; ``check`` judges the value.
    """

    name: bytes
    forms: Form
    effect: Effect
    value_is_path: bool = False
    families: frozenset[Family] = frozenset({Family.GCC, Family.CLANG})
    reason: Reason | None = None
    check: Check | None = None
    mark: Mark | None = None
    side: Side | None = None


class Arg(NamedTuple):
    """An option with its value, or an input (``row`` is None).  ``words`` is as it was written.

    A tuple, as one is made for each word of each compile: a frozen dataclass costs three times that.
    """

    row: OptionRow | None
    words: tuple[bytes, ...]
    value: bytes


@dataclass(frozen=True, slots=True)
class Undistributable:
    """A command that runs on this machine: why, and the word that says so."""

    reason: Reason
    detail: bytes


def is_native(arg: Arg) -> bool:
    """Whether an option means the machine that the compiler runs on."""
    return arg.value == b"native" and arg.row is not None and arg.row.name in _TAKE_NATIVE


_TAKE_NATIVE = (b"-march=", b"-mcpu=", b"-mtune=")


class Table:
    """The rows of one family.  Finding a row costs a few dictionary look-ups."""

    __slots__ = ("_exact", "_joined", "_lengths", "rows")

    def __init__(self, rows: Iterable[OptionRow]) -> None:
        self.rows = tuple(rows)
        exact: dict[bytes, tuple[OptionRow, Form]] = {}
        joined: dict[bytes, tuple[OptionRow, Form]] = {}
        for row in self.rows:
            for form in row.forms:
                key = row.name + b"=" if form is Form.EQUALS else row.name
                if form in Form.FLAG | Form.SEPARATE | Form.PREFIX:
                    _add(exact, key, row, form)
                if form in Form.JOINED | Form.EQUALS | Form.PREFIX:
                    _add(joined, key, row, form)
        self._exact = exact
        self._joined = joined
        # a word's first three bytes tell which lengths of name are worth a look-up
        lengths: dict[bytes, set[int]] = {}
        for key in joined:
            lengths.setdefault(key[:3], set()).add(len(key))
        self._lengths = {
            lead: tuple(sorted(found | lengths.get(lead[:2], set()), reverse=True)) for lead, found in lengths.items()
        }

    def find(self, word: bytes) -> tuple[OptionRow, Form, bytes] | None:
        """The row of an option word, its form and its attached value; None if unknown."""
        hit = self._exact.get(word)
        if hit is not None:
            return hit[0], hit[1], b""
        lengths = self._lengths.get(word[:3])
        if lengths is None:
            lengths = self._lengths.get(word[:2], ())
        joined = self._joined
        for length in lengths:
            hit = joined.get(word[:length])
            if hit is not None and (len(word) > length or hit[1] is Form.EQUALS):
                return hit[0], hit[1], word[length:]
        return None


def _add(where: dict[bytes, tuple[OptionRow, Form]], key: bytes, row: OptionRow, form: Form) -> None:
    if key in where:
        raise ValueError(f"two rows claim {key!r}")
    where[key] = (row, form)


@cache
def table_of(family: Family) -> Table | None:
    """The option table of a family, or None where its options are not known."""
    from zdistcc.toolchain import clang, gcc

    groups = gcc.GROUPS + clang.GROUPS
    rows = [row for group in groups for row in group if family in row.families]
    return Table(rows) if rows else None


def split(words: Sequence[bytes], table: Table) -> tuple[list[Arg], Undistributable | None]:
    """Words as arguments, and the first thing found that keeps the command on this machine.

    Goes on after a finding, so that the caller can still tell a link from a compile.
    """
    args: list[Arg] = []
    # no operating system passes these on, and an empty word is an input that no driver can open
    odd = b"" in words or b"\0" in b"".join(words)
    trouble = Undistributable(Reason.UNKNOWN_OPTION, b"") if odd else None
    only_inputs = False
    position, count = 0, len(words)
    # members of an enumeration are slow to look up, and this loop runs for each word of each compile
    find, separate, local = table.find, Form.SEPARATE, Effect.LOCAL
    while position < count:
        word = words[position]
        position += 1
        if word[:1] != b"-" or word == b"-" or only_inputs:
            args.append(Arg(None, (word,), word))
            continue
        found = find(word)
        if found is None:
            trouble = trouble or Undistributable(Reason.UNKNOWN_OPTION, word)
            continue
        row, form, value = found
        if form is not separate:
            args.append(Arg(row, (word,), value))
        elif position < count:
            value = words[position]
            position += 1
            args.append(Arg(row, (word, value), value))
        else:
            trouble = trouble or Undistributable(Reason.MISSING_VALUE, word)
            break
        if trouble is None:
            reason = row.check(value) if row.check is not None else None
            if reason is not None:
                trouble = Undistributable(reason, word)
            elif row.effect is local and row.reason is not None:
                trouble = Undistributable(row.reason, word)
        if word == b"--":
            only_inputs = True
    return args, trouble

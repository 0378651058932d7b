"""What ``-march=native`` means, in words that mean the same on another machine.

The driver knows: asked with ``-###`` it prints the command of the compiler proper, in which ``native`` has
become a processor, a feature each, and cache sizes.  This module reads that command and writes the words
that make another driver print it again; ``probe`` runs the driver, and once more with the words to see that
they do.

The replacement is for *all* machine words of a job, not only for the native ones, because their order
counts: an explicit ``-mno-avx`` beats ``-march=native`` on whichever side of it it stands, but not ``-mavx``.
Nor may clang's features be sorted: ``-avx`` turns ``avx2`` off if it comes later, and is undone if earlier.

gcc 12, measured: objects are identical also with ``-O3 -funroll-loops``, but with ``-mtune=native`` (or
``-march=native`` alone, which implies it) the driver moves the cache sizes behind the tuning, and that order
is recorded in ``DW_AT_producer`` (``-g``), ``.GCC.command.line`` and LTO objects: ``recorded_alike`` is
false.  To hand all words over by ``-Wp,`` keeps the order but the driver appends its default ``-mtune``.

Must not know: processes, files.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

NATIVE_WORDS: frozenset[bytes] = frozenset({b"-march=native", b"-mtune=native", b"-mcpu=native"})

# Features of every processor of the architecture: clang lists them but has no option for them.
_IMPLIED_FEATURES = frozenset({"64bit", "cx8", "cmov", "x87", "64bit-mode"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeExpansion:
    """The words that replace all of a job's machine words.

    ``recorded_alike`` is false if objects that record their options (gcc: ``-g``, ``-frecord-gcc-switches``,
    ``-flto``) would differ in that record.  clang records options only with ``-grecord-command-line`` and
    ``-frecord-command-line``, word by word as given: a job with these is not to be expanded at all.
    """

    words: tuple[bytes, ...]
    recorded_alike: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClangMachine:
    """What clang's ``-cc1`` command says about the processor."""

    processor: str
    tuning: str
    features: tuple[tuple[str, bool], ...]


def compiler_command(text: str) -> list[str] | None:
    """The words of the first call of a compiler proper (cc1, ``clang -cc1``) in ``-v`` or ``-###`` output."""
    for line in text.splitlines():
        if not line.startswith(" "):
            continue
        try:
            words = shlex.split(line)
        except ValueError:
            continue
        if len(words) > 1 and (words[0].rpartition("/")[2].startswith("cc1") or words[1] == "-cc1"):
            return words
    return None


def gcc_machine_words(command: Sequence[str]) -> tuple[str, ...]:
    """The words about the machine in a cc1 command, in order, each ``--param`` in one word with its value.

    Of words that contradict or repeat each other only the last is kept, as driver and cc1 themselves do.
    """
    found: dict[str, str] = {}
    words = iter(command)
    for word in words:
        if word == "--param":
            word = f"--param={next(words, '')}"
        if word.startswith(("-m", "--param=")):
            setting, equals, value = word.partition("=")
            subject = f"{setting}={value.partition('=')[0]}" if setting == "--param" else setting
            subject = subject.replace("-mno-", "-m", 1) if not equals else subject
            found.pop(subject, None)
            found[subject] = word
    return tuple(found.values())


def by_kind(machine: Sequence[str]) -> tuple[list[str], set[str]]:
    """The parts whose order counts, ``-mno-avx`` before or after ``-mavx2``, and those without one."""
    return [w for w in machine if w.startswith("-m") and "=" not in w], {w for w in machine if "=" in w}


def words_without_paths(command: Sequence[str]) -> list[str]:
    """A ``-cc1`` command less everything that depends on where things are installed."""
    kept: list[str] = []
    for word in command[1:]:
        if "/" in word:
            if kept and kept[-1].startswith(("-internal-", "-resource-dir", "-isysroot")):
                kept.pop()
            continue
        kept.append(word)
    return kept


def clang_machine(command: Sequence[str]) -> ClangMachine:
    """Processor, tuning and features of a ``-cc1`` command; of a feature named twice the last counts."""
    values = {"-target-cpu": "", "-tune-cpu": ""}
    features: dict[str, bool] = {}
    for word, value in itertools.pairwise(command):
        if word in values:
            values[word] = value
        elif word == "-target-feature":
            features.pop(value[1:], None)
            features[value[1:]] = value[0] == "+"
    return ClangMachine(
        processor=values["-target-cpu"],
        tuning=values["-tune-cpu"],
        features=tuple((name, on) for name, on in features.items() if name not in _IMPLIED_FEATURES),
    )


def clang_words(given: Sequence[bytes], machine: ClangMachine, *, x86: bool) -> tuple[bytes, ...]:
    """Driver words for ``machine`` in place of the native ones among ``given``.

    Features have an option each on x86 only; elsewhere ``-mcpu=`` implies them, or the check fails.
    """
    words: list[bytes] = []
    for word in given:
        if word not in NATIVE_WORDS:
            words.append(word)
        elif word == b"-mtune=native":
            words.append(b"-mtune=" + machine.tuning.encode())
        else:
            words.append(word.removesuffix(b"native") + machine.processor.encode())
    if x86 and (b"-march=native" in given):
        words += [(b"-m" if on else b"-mno-") + name.encode() for name, on in machine.features]
    return tuple(words)

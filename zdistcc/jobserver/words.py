"""The words of build tools that say how many jobs to run: found in a command line, read from and written to MAKEFLAGS.

A tool that is told ``-j`` on its command line leaves a jobserver that it was offered.  So that word, and no other, is
taken out and becomes the bound of the jobserver.  What a tool would not understand stays, for the tool to say so.

Must not know: processes, the environment, which jobserver there is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """What of a tool's options has to be known to find ``-j`` among them.

    ``valued`` are the letters and ``long_valued`` the names of options whose value may be the next word; ``rest`` are
    letters whose value is never another word; ``ends`` are letters after which the words are somebody else's.
    ``long_jobs`` are other spellings of ``-j``.  ``optional``: ``-j`` may have no number.  ``zero``: 0 is no limit.
    """

    valued: frozenset[str]
    rest: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    long_valued: frozenset[str] = frozenset()
    long_jobs: frozenset[str] = frozenset()
    optional: bool = False
    zero: bool = False


MAKE: Final = Grammar(
    valued=frozenset("CEfIoW"),
    rest=frozenset("lO"),
    long_valued=frozenset(
        {
            *{"--directory", "--file", "--makefile", "--include-dir", "--eval"},
            *{"--old-file", "--assume-old", "--new-file", "--assume-new", "--what-if"},
        }
    ),
    long_jobs=frozenset({"--jobs"}),
    optional=True,
)
NINJA: Final = Grammar(valued=frozenset("Cdfklw"), ends=frozenset("t"), zero=True)
CMAKE_BUILD: Final = Grammar(
    valued=frozenset("t"),
    long_valued=frozenset({"--build", "--preset", "--target", "--config", "--resolve-package-references"}),
    long_jobs=frozenset({"--parallel"}),
    optional=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """What a command line says: whether it has a ``-j``, the last one's number (None: no limit), all other words."""

    said: bool
    bound: int | None
    others: tuple[str, ...]


def find_jobs(words: Iterable[str], grammar: Grammar) -> Jobs:
    """Return what ``words``, a command line without the tool's name, say about the number of jobs."""
    left = list(words)
    others: list[str] = []
    said, bound = False, None
    while left:
        word = left.pop(0)
        if word == "--" or _hands_over(word, grammar):
            others += [word, *left]
            break
        kept, value, takes_next = _read(word, grammar)
        if value is None:  # no -j in it
            others.append(word)
            if takes_next and left:
                others.append(left.pop(0))
            continue
        used = 0
        if not value and left and left[0].isdecimal():
            value, used = left[0], 1
        number = int(value) if value else None
        if (number is None and not grammar.optional) or (number == 0 and not grammar.zero):
            others.append(word)
            continue
        said, bound = True, number or None
        del left[:used]
        if kept:
            others.append(kept)
    return Jobs(said=said, bound=bound, others=tuple(others))


def _hands_over(word: str, grammar: Grammar) -> bool:
    return len(word) > 1 and word[0] == "-" and word[1] in grammar.ends


def _read(word: str, grammar: Grammar) -> tuple[str, str | None, bool]:
    """Return ``word`` without a ``-j`` in it, the text of its number (None: no ``-j``), whether a value follows."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        if name in grammar.long_jobs and (value.isdecimal() or not equals):
            return "", value, False
        return word, None, name in grammar.long_valued and not equals
    if not word.startswith("-"):
        return word, None, False
    for place, letter in enumerate(word[1:], 1):
        if letter == "j":
            value = word[place + 1 :]
            if value and not value.isdecimal():
                return word, None, False
            return word[:place] if place > 1 else "", value, False
        if letter in grammar.rest:
            return word, None, False
        if letter in grammar.valued:
            return word, None, place == len(word) - 1
    return word, None, False


# --- MAKEFLAGS ----------------------------------------------------------------------------------------

_BETWEEN: Final = re.compile(r"(?<!\\)\s+")


def has_jobserver(makeflags: str) -> bool:
    """Whether an outer make, or another jobserver, tells where its tokens are."""
    return any(word.startswith(("--jobserver-auth=", "--jobserver-fds=")) for word in _BETWEEN.split(makeflags))


def flags_of(makeflags: str) -> Jobs:
    """Return what a ``MAKEFLAGS`` says of ``-j``."""
    words = [word for word in _BETWEEN.split(makeflags) if word]
    if words and words[0][0] != "-" and "=" not in words[0]:
        words[0] = f"-{words[0]}"  # single letters may come without a dash, but only in front
    return find_jobs(words, MAKE)


def with_jobserver(makeflags: Sequence[str], jobs: int, auth: str) -> str:
    """Return a ``MAKEFLAGS`` of these words and a jobserver; variables stay behind their ``--``."""
    words = list(makeflags)
    place = words.index("--") if "--" in words else len(words)
    words[place:place] = [f"-j{jobs}", f"--jobserver-auth={auth}"]
    return " ".join(words)


_VERSION: Final = re.compile(r"(\d+)\.(\d+)")


def version_in(text: str) -> tuple[int, int]:
    """Return the first ``N.N`` in what a tool says of its version; (0, 0) if there is none."""
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2])) if found else (0, 0)

"""Reads the make rule that ``-M`` prints: the compiler's own word on which files it read.

Grammar (GCC's ``mkdeps`` and clang's ``DependencyFile``)::

    targets ":" *( blank prerequisite )     ; "\\" newline is a blank
    in a name: "\\ " space, "\\#" hash, "$$" dollar; 2n+1 backslashes before a space are n and the space

Rules after the first (``-MP``, modules) have no prerequisite of interest.  Pure.
"""

from __future__ import annotations

import re

_WORD = re.compile(rb"(?:\\[ \t#]|[^\s])+")
_TARGET_END = re.compile(rb":(?=\s|$)")
_ESCAPED = re.compile(rb"(\\*)\\([ \t#])")


def parse_dependencies(text: bytes) -> list[bytes]:
    """The prerequisites of the first rule, in order, each once, as printed; empty if there is no rule."""
    lines = text.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines()
    for line in lines:
        end = _TARGET_END.search(line)
        if end is not None:
            words = _WORD.findall(line[end.end() :])
            return list(dict.fromkeys(_unescaped(word) for word in words))
    return []


def _unescaped(word: bytes) -> bytes:
    plain = _ESCAPED.sub(lambda hit: hit[1][: len(hit[1]) // 2] + hit[2], word)
    return plain.replace(b"$$", b"$")

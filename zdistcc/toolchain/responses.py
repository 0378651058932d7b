"""Response files: ``@file`` words are replaced by the words in the file.

Quoting is that of GCC's and Clang's drivers where these agree: white space separates, quotes
group, a backslash takes the next character literally.  Releases differ on a backslash inside
quotes before anything but a quote or a backslash, on form feeds and on encodings other than bytes:
such a file keeps the job on this machine.

Must not know: the disk (files come through a reader), options.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from zdistcc.errors import Reason
from zdistcc.toolchain.options import Undistributable

ReadFile = Callable[[bytes], bytes | None]
"""Gives a file's content, or None if it can't be read."""

MAX_DEPTH = 16  # drivers stop far later; files that include each other are a mistake
MAX_FILES = 256
MAX_BYTES = 8 << 20  # a command of this size would not fit an exec elsewhere

_TOKEN = re.compile(rb"""(?:[^\s'"\\\x0b\x0c]|\\[^\x0b\x0c]|'(?:[^'\\]|\\['\\])*'|"(?:[^"\\]|\\["\\])*")+""", re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*")
_PIECE = re.compile(rb"""\\(.)|'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\\'"]+)""", re.DOTALL)


def expand(words: Sequence[bytes], read_file: ReadFile) -> list[bytes] | Undistributable:
    """All words with response files expanded, however deep."""
    if not any(word[:1] == b"@" for word in words):
        return list(words)
    found: list[bytes] = []
    files = size = 0
    waiting = [(word, 0) for word in reversed(words)]
    while waiting:
        word, depth = waiting.pop()
        if word[:1] != b"@":
            found.append(word)
            continue
        text = read_file(word[1:]) if depth < MAX_DEPTH and files < MAX_FILES else None
        if text is None or size + len(text) > MAX_BYTES:
            return Undistributable(Reason.RESPONSE_FILE, word)
        files += 1
        size += len(text)
        inner = tokens(text)
        if inner is None:
            return Undistributable(Reason.RESPONSE_FILE, word)
        waiting.extend((each, depth + 1) for each in reversed(inner))
    return found


def tokens(text: bytes) -> list[bytes] | None:
    """The words in a response file, or None where drivers could read it differently."""
    if b"\0" in text or text[:3] == b"\xef\xbb\xbf" or text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return None
    found = []
    position = _skip(text, 0)
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return None
        found.append(_unquote(match[0]))
        # a token ends at white space or the end of the file; anything else did not parse
        after = _skip(text, match.end())
        if after == match.end() and after < len(text):
            return None
        position = after
    return found


def _skip(text: bytes, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _unquote(token: bytes) -> bytes:
    if not re.search(rb"[\\'\"]", token):
        return token
    pieces = []
    for escaped, single, double, rest in _PIECE.findall(token):
        pieces.append(escaped or rest or re.sub(rb"\\(.)", rb"\1", single or double, flags=re.DOTALL))
    return b"".join(pieces)

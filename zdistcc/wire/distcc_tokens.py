"""What messages of stock distcc are made of: tokens, limits, and the law of the paths in version 3.

Every message is tokens in a fixed order (the orders are in distcc.py)::

    token    = name value [payload]
    name     = 4 capital letters
    value    = 8 lower-case hexadecimal digits          ; a number, or how many bytes of payload follow

A reader is a generator: it yields how many bytes it needs next and is sent exactly those.  So it reads like the
grammar, and how the bytes were cut on their way cannot matter.

The law of the paths.  A version 3 request builds a tree on the server: names are absolute and plain (no empty, ``.``
or ``..`` part), each comes once, and none lies under a file or a link.  A link's target may climb (``..``) only at its
start, in a relative one, and not past the root: since nothing is created through a link, what remains cannot leave
the tree, whatever other links it leads through.  One form of link out of the tree has a meaning of its own: stock
clients do not send the directories in which the compiler itself looks for headers, but a link whose target climbs
past any root and then names that same directory, "the server's own".

Must not know: sockets, files, which compiler a job names.  Rejected: taking upper-case digits, as stock distcc does
(nobody sends them, and what is not what a distcc program would send is best refused early).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Final, TypeVar

from zdistcc.errors import RemoteProtocolError

NAME_SIZE: Final = 4
VALUE_SIZE: Final = 8
PIECE_BYTES: Final = 64 << 10
"""Bodies that are not packed are handed on in pieces of this size."""
MAX_STATUS: Final = 0xFFFF
_VALUE: Final = re.compile(rb"[0-9a-f]{8}", re.ASCII)
_T = TypeVar("_T")
Reader = Generator[int, bytes, _T]


class Token(enum.Enum):
    """The names of tokens."""

    DIST = b"DIST"  # number: version of the request
    CDIR = b"CDIR"  # current directory
    ARGC = b"ARGC"  # number: arguments
    ARGV = b"ARGV"  # an argument
    DOTI = b"DOTI"  # preprocessed source
    NFIL = b"NFIL"  # number: names
    NAME = b"NAME"  # a path
    FILE = b"FILE"  # content of the path just named
    LINK = b"LINK"  # target of the path just named
    DONE = b"DONE"  # number: version of the response
    STAT = b"STAT"  # number: wait status
    SERR = b"SERR"  # standard error
    SOUT = b"SOUT"  # standard output
    DOTO = b"DOTO"  # object
    DOTD = b"DOTD"  # dependencies


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one side takes from the other.  All sizes are those of what is unpacked."""

    arguments: int = 16_384
    argument_bytes: int = 65_535
    all_arguments_bytes: int = 2 << 20
    path_bytes: int = 4095
    all_paths_bytes: int = 8 << 20
    files: int = 65_536
    directories: int = 32_768
    message_bytes: int = 16 << 20
    total_bytes: int = 256 << 20


SERVER_LIMITS: Final = Limits()
"""For requests: many times what the largest sources of real projects preprocess to (some 30 MB)."""
CLIENT_LIMITS: Final = Limits(total_bytes=1 << 30)
"""For responses: an object may be as large as in our own protocol."""


def encode(token: Token, value: int) -> bytes:
    """Return a token without its payload."""
    return b"%s%08x" % (token.value, value)


def packed_limit(limit: int) -> int:
    """Return how long ``limit`` bytes can be when packed with LZO: what cannot be packed grows."""
    return limit + limit // 16 + 67


def shown(data: bytes) -> str:
    """Return what a peer sent for use in a sentence."""
    return ascii(data[:40])[1:] + ("…" if len(data) > 40 else "")


def read_name() -> Reader[Token]:
    """Read the name of the next token."""
    name = yield NAME_SIZE
    try:
        return Token(name)
    except ValueError:
        raise RemoteProtocolError(f"{shown(name)} is no token of distcc") from None


def read_value() -> Reader[int]:
    """Read the eight digits of a token."""
    digits = yield VALUE_SIZE
    if not _VALUE.fullmatch(digits):
        raise RemoteProtocolError(f"{shown(digits)} is not eight hexadecimal digits")
    return int(digits, 16)


def read_number(token: Token, lowest: int, highest: int) -> Reader[int]:
    """Read ``token``, a number from ``lowest`` to ``highest``."""
    yield from expect(token)
    return (yield from read_bounded(token, lowest, highest))


def read_bounded(token: Token, lowest: int, highest: int) -> Reader[int]:
    """Read the value of ``token``, whose name has been read."""
    value = yield from read_value()
    if not lowest <= value <= highest:
        raise RemoteProtocolError(f"{token.name} {value} is not between {lowest} and {highest}")
    return value


def read_text(token: Token, highest: int) -> Reader[bytes]:
    """Read ``token`` with a payload of at most ``highest`` bytes, none of them zero: an argument or a path."""
    yield from expect(token)
    return (yield from read_text_payload(token, highest))


def read_text_payload(token: Token, highest: int) -> Reader[bytes]:
    """Read the rest of ``token``, whose name has been read."""
    length = yield from read_bounded(token, 0, highest)
    text = yield length
    if b"\0" in text:
        raise RemoteProtocolError(f"{token.name} contains a zero byte")
    return text


def expect(*tokens: Token) -> Reader[Token]:
    """Read the name of a token, which has to be one of ``tokens``."""
    found = yield from read_name()
    if found not in tokens:
        raise RemoteProtocolError(f"{found.name} where {' or '.join(token.name for token in tokens)} was to come")
    return found


class LinkKind(enum.Enum):
    """Where a link in a request leads."""

    WITHIN = "within"  # the tree
    SYSTEM = "system"  # to the directory of the same name on the server itself
    OUTSIDE = "outside"


def kind_of_link(path: bytes, target: bytes) -> LinkKind:
    """Return where ``target`` leads from ``path`` (plain and absolute)."""
    parts = target.split(b"/")
    if target.startswith(b"/"):
        return LinkKind.OUTSIDE if b".." in parts else LinkKind.WITHIN
    climbs = 0
    while climbs < len(parts) and parts[climbs] == b"..":
        climbs += 1
    rest = parts[climbs:]
    depth = path.count(b"/") - 1
    if not target or b".." in rest:
        return LinkKind.OUTSIDE
    if climbs <= depth:
        return LinkKind.WITHIN
    return LinkKind.SYSTEM if b"/" + b"/".join(rest) == path else LinkKind.OUTSIDE


def complaint_about_path(path: bytes, limits: Limits) -> str:
    """Return what is wrong with an absolute path, or nothing.  The root itself is one (as a current directory)."""
    if len(path) > limits.path_bytes:
        return f"a path of {len(path)} bytes"
    if not path.startswith(b"/"):
        return f"the path {shown(path)} is not absolute"
    if b"\0" in path:
        return f"the path {shown(path)} contains a zero byte"
    if path != b"/" and not {b"", b".", b".."}.isdisjoint(path[1:].split(b"/")):
        return f"the path {shown(path)} has a part that is empty, . or .."
    return ""


class Places:
    """The tree that one request builds, as far as names tell."""

    __slots__ = ("_directories", "_leaves", "_left", "_limits")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._leaves: set[bytes] = set()
        self._directories: set[bytes] = set()
        self._left = limits.all_paths_bytes

    def add(self, path: bytes) -> str:
        """Take a file or a link of that name; return why it must not be, or nothing."""
        complaint = complaint_about_path(path, self._limits)
        if complaint:
            return complaint
        self._left -= len(path)
        if self._left < 0:
            return f"names of more than {self._limits.all_paths_bytes} bytes"
        if path == b"/" or path in self._leaves or path in self._directories:
            return f"the path {shown(path)} is there already"
        place = path.rpartition(b"/")[0]
        while place and place not in self._directories:
            if place in self._leaves:
                return f"the path {shown(path)} lies under a file or a link"
            if len(self._directories) >= self._limits.directories:
                return f"more than {self._limits.directories} directories"
            self._directories.add(place)
            place = place.rpartition(b"/")[0]
        self._leaves.add(path)
        return ""

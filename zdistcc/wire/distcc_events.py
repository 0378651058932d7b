"""What is asked and answered in the protocol of stock distcc (distcc.py), once it is no longer bytes.

Must not know: how any of it travels.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from zdistcc.wire.distcc_tokens import Token


class Version(enum.IntEnum):
    """Versions of the protocol."""

    PLAIN = 1
    LZO = 2
    PUMP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of a version 3 request; ``packed`` when ``data`` is what ``lzo.pack`` gave (headers are sent again)."""

    path: bytes
    data: bytes
    packed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A symbolic link of a version 3 request."""

    path: bytes
    target: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAnnounced:
    """To the server: a client wants ``args`` run in ``cwd`` (version 3, else empty); ``names`` of files follow."""

    version: Version
    args: tuple[bytes, ...]
    cwd: bytes = b""
    names: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReceived:
    """To the server: a piece of preprocessed source; ``last`` when that is all."""

    data: bytes
    last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReceived:
    """To the server: the job reads a file."""

    path: bytes
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkReceived:
    """To the server: the job reads through a link; an absolute ``target`` means the client's root, so the tree's."""

    path: bytes
    target: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemDirectoryNamed:
    """To the server: the job reads a directory of that name that belongs to the server's compiler, not the client."""

    path: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JobComplete:
    """To the server: the client has said everything."""


class Part(enum.Enum):
    """The outputs of a compile."""

    OBJECT = Token.DOTO
    DEPENDENCIES = Token.DOTD


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """To the client: how the compile ended (``status`` as of ``wait``) and what the compiler said."""

    status: int
    stderr: bytes
    stdout: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputReceived:
    """To the client: a piece of an output; ``last`` when that output is complete."""

    part: Part
    data: bytes
    last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerComplete:
    """To the client: the server has said everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The peer closed; ``clean`` when it owed nothing, ``heard`` when it had said anything."""

    clean: bool
    heard: bool


Event = (
    JobAnnounced
    | SourceReceived
    | FileReceived
    | LinkReceived
    | SystemDirectoryNamed
    | JobComplete
    | Answered
    | OutputReceived
    | AnswerComplete
    | Closed
)

"""Frames: how a byte stream between agent and worker is cut into pieces.

Grammar (big-endian; ``man 7 zdistcc-protocol`` has the prose)::

    stream   = preface *frame
    preface  = "ZDCC" version:u16 CR LF                  ; each side sends one, first
    frame    = length:u32 kind:u8 zero:u8 slot:u16 stream:u32 payload
    kind     = 1 (message: payload is MessagePack) | 2 (chunk of the body in `slot` of `stream`)

The preface's first four bytes tell this protocol from others on the same port (stock distcc begins
with ``DIST``).  ``length`` counts the payload only.  Every limit is checked as soon as the header is
complete, before any payload is buffered, so a hostile peer can make us hold one frame at most.

Must not know: what a message means (messages.py), which message may come when (connection.py).
Rejected: HTTP/2 (a dependency as large as the rest of the wire for a handful of its features), one
connection per job (a handshake and a slow start each), netstrings (no room for the stream number).
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Final

from zdistcc.errors import LocalProtocolError, RemoteProtocolError

PROTOCOL_VERSION: Final = 1
MAGIC: Final = b"ZDCC"
_PREFACE: Final = struct.Struct("!4sH2s")
PREFACE_SIZE: Final = _PREFACE.size
_HEADER: Final = struct.Struct("!IBBHI")
HEADER_SIZE: Final = _HEADER.size

MAX_MESSAGE_BYTES: Final = 4 << 20
"""A job naming 20,000 files fits; HTTP/2 implementations bound header blocks far lower, but ours are lists."""
MAX_CHUNK_BYTES: Final = 64 << 10
"""Small enough that a large body cannot delay another job's message by more than 5 ms at 100 Mbit/s."""
MAX_SLOT: Final = 0xFFFF
MAX_STREAM: Final = 0xFFFF_FFFF


class FrameKind(enum.IntEnum):
    """The second field of a frame's header."""

    MESSAGE = 1
    CHUNK = 2


_LIMITS: Final = {FrameKind.MESSAGE: MAX_MESSAGE_BYTES, FrameKind.CHUNK: MAX_CHUNK_BYTES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame as it was cut from the stream."""

    kind: FrameKind
    stream: int
    slot: int
    payload: bytes


def encode_preface(version: int = PROTOCOL_VERSION) -> bytes:
    """Return the eight bytes that open a connection."""
    return _PREFACE.pack(MAGIC, version, b"\r\n")


def encode_header(kind: FrameKind, stream: int, slot: int, length: int) -> bytes:
    """Return a frame header; :class:`LocalProtocolError` when a field is out of range."""
    if length > _LIMITS[kind]:
        raise LocalProtocolError(f"a {kind.name.lower()} of {length} bytes exceeds {_LIMITS[kind]}")
    if not (0 <= stream <= MAX_STREAM and 0 <= slot <= MAX_SLOT):
        raise LocalProtocolError(f"stream {stream} or slot {slot} is out of range")
    return _HEADER.pack(length, kind, 0, slot, stream)


class FrameReader:
    """Cuts received bytes into the preface and frames; raises :class:`RemoteProtocolError` on anything else."""

    __slots__ = ("_buffer", "peer_version")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.peer_version: int | None = None

    @property
    def empty(self) -> bool:
        """True between frames: the only places where the peer may close."""
        return not self._buffer and self.peer_version is not None

    def receive_data(self, data: bytes) -> list[Frame]:
        """Add ``data``; return the frames that are complete now."""
        buffer = self._buffer
        buffer += data
        position = 0
        if self.peer_version is None:
            if not self._read_preface():
                return []
            position = PREFACE_SIZE
        frames: list[Frame] = []
        size = len(buffer)
        while size - position >= HEADER_SIZE:
            length, kind_number, zero, slot, stream = _HEADER.unpack_from(buffer, position)
            kind = self._check_header(length, kind_number, zero)
            end = position + HEADER_SIZE + length
            if size < end:
                break
            payload = bytes(memoryview(buffer)[position + HEADER_SIZE : end])
            frames.append(Frame(kind=kind, stream=stream, slot=slot, payload=payload))
            position = end
        if position:
            del buffer[:position]
        return frames

    def _read_preface(self) -> bool:
        seen = bytes(self._buffer[:PREFACE_SIZE])
        if not MAGIC.startswith(seen[:4]):
            raise RemoteProtocolError(f"the peer does not speak this protocol (it began with {seen[:4]!r})")
        if len(seen) < PREFACE_SIZE:
            return False
        _, version, line_end = _PREFACE.unpack(seen)
        if line_end != b"\r\n":
            raise RemoteProtocolError("the preface was altered on its way (line end)")
        if version != PROTOCOL_VERSION:
            raise RemoteProtocolError(
                f"the peer speaks protocol {version}, this side {PROTOCOL_VERSION}: update the older of the two"
            )
        self.peer_version = version
        return True

    @staticmethod
    def _check_header(length: int, kind_number: int, zero: int) -> FrameKind:
        try:
            kind = FrameKind(kind_number)
        except ValueError:
            raise RemoteProtocolError(f"unknown frame kind {kind_number}") from None
        if zero:
            raise RemoteProtocolError("the reserved byte of a frame is not zero")
        if length > _LIMITS[kind]:
            raise RemoteProtocolError(f"a {kind.name.lower()} of {length} bytes exceeds {_LIMITS[kind]}")
        return kind

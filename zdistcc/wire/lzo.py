"""LZO1X, as stock distcc packs bodies: a raw stream that says neither its own length nor that of its content.

``lzallright`` does the work, imported when the first body needs it: stock distcc is not on every network, and
the package has no wheels for some machines (:func:`available`).  It grows its output without a bound, so what a
stream unpacks to is found out first: by a bound that costs nothing, and where that exceeds the limit, by
walking the instructions and adding up their lengths.  A bomb (255 : 1 at most) is refused without being unpacked.

The instructions, as documented with the Linux kernel (``Documentation/staging/lzo.rst``)::

    first byte          18-255: that minus 17 literals follow; otherwise it is an instruction
    0000 LLLL           after no literals: 3 + L literals (L = 0: 18 + extension)
    0000 DDSS  D        after 1-3 literals: copy 2; after 4 or more: copy 3
    0001 HLLL  DS DD    copy 2 + L (L = 0: 9 + extension); distance 0: the end
    001L LLLL  DS DD    copy 2 + L (L = 0: 33 + extension)
    01LD DDSS  D        copy 3 + L
    1LLD DDSS  D        copy 5 + L

S is the number of literals after the copy; an extension is zero bytes of 255 each, then a byte that is not zero.

Must not know: messages, sockets.  Rejected: unpacking in Python (a hundred times slower), LZO libraries that link
liblzo2 (GPL).
"""

from __future__ import annotations

from types import ModuleType
from typing import Final

from zdistcc.errors import LocalProtocolError, RemoteProtocolError

_ZERO_BYTE_YIELDS: Final = 255
_OTHER_BYTE_YIELDS: Final = 72
"""The most productive instruction without zero bytes: 4 bytes that copy 33 + 255."""
_FIRST_LITERALS: Final = 17


def available() -> bool:
    """Return whether this machine can pack and unpack LZO."""
    return _library() is not None


def _library() -> ModuleType | None:
    try:
        import lzallright
    except ImportError:
        return None
    library: ModuleType = lzallright
    return library


def pack(data: bytes) -> bytes:
    """Return ``data`` packed; nothing stays nothing, as stock distcc has it."""
    library = _library()
    if library is None:
        raise LocalProtocolError("LZO is asked for, and the package lzallright is not installed")
    return bytes(library.LZOCompressor().compress(data)) if data else b""


def unpack(data: bytes, limit: int) -> bytes:
    """Return what ``data`` packs; :class:`RemoteProtocolError` when that is damaged or longer than ``limit``."""
    library = _library()
    if library is None:
        raise RemoteProtocolError("the peer packs with LZO, and the package lzallright is not installed here")
    if not data:
        return b""
    zeros = data.count(0)
    hint = None
    if zeros * _ZERO_BYTE_YIELDS + (len(data) - zeros) * _OTHER_BYTE_YIELDS > limit:
        hint = unpacked_size(data, limit)
    try:
        return bytes(library.LZOCompressor.decompress(data, hint))
    except library.LZOError as error:
        raise RemoteProtocolError(f"a body packed with LZO is damaged ({error.args[0]})") from None


def unpacked_size(data: bytes, limit: int) -> int:
    """Return how many bytes ``data`` unpacks to; :class:`RemoteProtocolError` when damaged or more than ``limit``."""
    try:
        return _walk(data, limit)
    except IndexError:
        raise RemoteProtocolError("a body packed with LZO is cut short") from None


def _walk(data: bytes, limit: int) -> int:
    """Add up what the instructions yield.  One function, because calls would double its time."""
    place = size = literals = 0
    if data[0] > _FIRST_LITERALS:
        literals = data[0] - _FIRST_LITERALS
        place, size = 1 + literals, literals
    while size <= limit:
        code = data[place]
        if code >= 64:
            size += (code >> 5) + 1 if code >= 128 else 3 + (code >> 5 & 1)
            literals = code & 3
            place += 2
        elif code >= 16:
            mask, long = (31, 33) if code >= 32 else (7, 9)
            length = code & mask
            place += 1
            if length:
                length += 2
            else:
                start = place
                while not data[place]:
                    place += 1
                length = long + (place - start) * 255 + data[place]
                place += 1
            literals = data[place] & 3
            if code < 32 and not code & 8 and not data[place] >> 2 and not data[place + 1]:
                return size
            size += length
            place += 2
        elif literals:
            size += 2 if literals < 4 else 3
            literals = code & 3
            place += 2
        else:
            literals = 3 + code
            place += 1
            if not code:
                start = place
                while not data[place]:
                    place += 1
                literals = 18 + (place - start) * 255 + data[place]
                place += 1
        size += literals
        place += literals
    raise RemoteProtocolError(f"a body packed with LZO unpacks to more than {limit} bytes")

"""What is known of files' contents, on disk, so that a new agent starts warm.

File: ``b"zdistcc sources " + version + b"\\n"``, SHA-256 of the rest, the rest: a MessagePack array of
:class:`_Entry`.  An entry is found by a file's signature and says what no later write can have changed
(only settled contents are written), so it needs no path and can't be out of date.  What is not exactly
this is an empty cache; deleting the file costs time, never correctness.

Must not know: paths of sources, the index.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping

import msgspec

from zdistcc.sources.scanner import SCANNER_VERSION, Directives, Hazard, Include
from zdistcc.sources.world import Content, Signature

_FORMAT = 1
_HEAD = b"zdistcc sources %d.%d\n" % (_FORMAT, SCANNER_VERSION)
_DIGEST_BYTES = 32


class _Entry(msgspec.Struct, array_like=True, frozen=True):
    signature: tuple[int, int, int, int, int]
    digest: bytes
    size: int
    is_text: bool
    includes: tuple[Include, ...]
    wrappers: tuple[bytes, ...]
    hazards: int


_DECODER = msgspec.msgpack.Decoder(list[_Entry])


def load(path: bytes) -> dict[Signature, Content]:
    """The contents saved at ``path``; empty if there are none or they are damaged."""
    try:
        with open(path, "rb") as file:
            head = file.read(len(_HEAD))
            digest = file.read(_DIGEST_BYTES)
            body = file.read()
        if head != _HEAD or hashlib.sha256(body).digest() != digest:
            return {}
        entries = _DECODER.decode(body)
    except (OSError, msgspec.MsgspecError):
        return {}
    return {entry.signature: _content(entry) for entry in entries}


def save(path: bytes, contents: Mapping[Signature, Content]) -> bool:
    """Write the contents, replacing the file at once; False if the disk does not let us."""
    body = msgspec.msgpack.encode([_entry(signature, content) for signature, content in contents.items()])
    temporary = path + b".%d.tmp" % os.getpid()
    try:
        with open(temporary, "wb") as file:
            file.write(_HEAD + hashlib.sha256(body).digest() + body)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        return False
    return True


def _entry(signature: Signature, content: Content) -> _Entry:
    directives = content.directives or Directives()
    changed, modified, size, inode, device = signature
    return _Entry(
        signature=(changed, modified, size, inode, device),
        digest=content.digest,
        size=content.size,
        is_text=content.directives is not None,
        includes=directives.includes,
        wrappers=directives.wrappers,
        hazards=int(directives.hazards),
    )


def _content(entry: _Entry) -> Content:
    directives = Directives(includes=entry.includes, wrappers=entry.wrappers, hazards=Hazard(entry.hazards))
    return Content(digest=entry.digest, size=entry.size, directives=directives if entry.is_text else None)

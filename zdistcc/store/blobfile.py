"""One blob file: its name, reading it whole, and the signature that shows whether anybody touched it.

The size in the name is checked at start, so what a power loss truncated is gone before anybody asks.

Must not know: which blobs there are, limits, who uses them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from typing import NamedTuple

BLOB_MODE = 0o444
BLOCK_BYTES = 4096  # what even one byte takes on usual file systems; a store of headers is mostly this
_HEX = frozenset("0123456789abcdef")


class Signature(NamedTuple):
    """What of a file's status shows that nobody touched it."""

    device: int
    inode: int
    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, st: os.stat_result) -> Signature:
        return cls(st.st_dev, st.st_ino, st.st_mode, st.st_size, st.st_mtime_ns, st.st_ctime_ns)


def footprint(size: int) -> int:
    """Disk space in bytes that a file of ``size`` bytes is counted with."""
    return max(BLOCK_BYTES, -(-size // BLOCK_BYTES) * BLOCK_BYTES)


def name(digest: bytes, size: int) -> bytes:
    """Path below the directory of blobs."""
    text = digest.hex()
    return f"{text[:2]}/{text[2:]}-{size}".encode()


def listing(blobs: bytes) -> Iterator[tuple[float, bytes, bytes, int]]:
    """(last use, digest, path, size) of each; files of a wrong size are removed, foreign names ignored."""
    for first in os.listdir(blobs):
        if len(first) != 2 or not _HEX.issuperset(first.decode("latin-1")):
            continue
        try:
            with os.scandir(blobs + b"/" + first) as entries:
                found = list(entries)
        except NotADirectoryError:
            continue
        for entry in found:
            rest, _, size = entry.name.decode("latin-1").partition("-")
            if len(rest) != 62 or not _HEX.issuperset(rest):
                continue
            st = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(st.st_mode) and size == str(st.st_size):
                yield (
                    max(st.st_atime, st.st_mtime),
                    bytes.fromhex(first.decode() + rest),
                    entry.path,
                    st.st_size,
                )
            else:
                remove(entry.path)


def load(path: bytes, size: int) -> tuple[bytes, Signature] | None:
    """Content and signature of a blob file; None unless it is, and stays, as we make them."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        before = Signature.of(os.fstat(file))
        if before.mode != stat.S_IFREG | BLOB_MODE or before.size != size:
            return None
        data = _read_all(file, size + 1)
        after = Signature.of(os.fstat(file))
    except OSError:
        return None
    finally:
        os.close(file)
    return (data, before) if before == after and len(data) == size else None


def remove(path: bytes) -> None:
    """Whatever is there, as far as it can be removed."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError:
        with contextlib.suppress(OSError):
            shutil.rmtree(path)


def _read_all(file: int, limit: int) -> bytes:
    """All of the file, but at most ``limit`` bytes."""
    data = os.read(file, limit)
    if len(data) == limit or not data:
        return data
    pieces = [data]
    left = limit - len(data)
    while left and (data := os.read(file, left)):
        pieces.append(data)
        left -= len(data)
    return b"".join(pieces)

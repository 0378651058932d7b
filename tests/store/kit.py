"""What the tests of the store share: contents, damage, and waiting for the file system's clock."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from zdistcc.store.blobs import BlobStore
from zdistcc.store.trees import TreeStore

MIB = 1 << 20


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def add(blobs: BlobStore, data: bytes) -> bytes:
    blobs.put(sha(data), data)
    return sha(data)


def blob_file(blobs: BlobStore, digest: bytes) -> Path:
    (found,) = Path(os.fsdecode(blobs.home.blobs)).glob(f"{digest.hex()[:2]}/{digest.hex()[2:]}-*")
    return found


def on_disk(directory: Path) -> dict[bytes, bytes]:
    """Digest by name → content, of all blob files."""
    return {
        bytes.fromhex(path.parent.name + path.name.partition("-")[0]): path.read_bytes()
        for path in (directory / "blobs").glob("??/*-*")
        if path.is_file()  # one may have been replaced by a FIFO, which would block
    }


def let_clock_tick(directory: Path) -> None:
    """Until a file changed now gets another timestamp than one changed before."""
    probe = directory / "tick"
    deadline = time.monotonic() + 10
    probe.touch()
    first = probe.stat().st_mtime_ns
    while probe.stat().st_mtime_ns == first:
        assert time.monotonic() < deadline, "the file system's clock stands still"
        probe.touch()
    probe.unlink()


def _open_and(path: Path, flags: int, action: Callable[[int], object]) -> None:
    path.chmod(0o644)
    file = os.open(path, flags)
    try:
        action(file)
    finally:
        os.close(file)
    path.chmod(0o444)


def flip(path: Path) -> None:
    data = path.read_bytes()
    changed = bytes([data[0] ^ 1]) if data else b"x"
    _open_and(path, os.O_WRONLY, lambda file: os.pwrite(file, changed, 0))


def flip_keeping_mtime(path: Path) -> None:
    st = path.stat()
    flip(path)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def truncate(path: Path) -> None:
    if path.stat().st_size:
        _open_and(path, os.O_WRONLY, lambda file: os.ftruncate(file, 0))
    else:
        flip(path)


def append(path: Path) -> None:
    _open_and(path, os.O_WRONLY | os.O_APPEND, lambda file: os.write(file, b"more"))


def replace(path: Path) -> None:
    size = path.stat().st_size
    path.unlink()
    path.write_bytes(b"?" * max(size, 1))
    path.chmod(0o444)


def replace_by_symlink(path: Path) -> None:
    twin = path.parent / "elsewhere"
    path.rename(twin)
    path.symlink_to(twin)


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inner").write_bytes(b"")


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def delete(path: Path) -> None:
    path.unlink()


def delete_directory(path: Path) -> None:
    for other in path.parent.iterdir():
        other.unlink()
    path.parent.rmdir()


def make_unreadable(path: Path) -> None:
    path.chmod(0)


def make_writable(path: Path) -> None:
    path.chmod(0o644)


DAMAGES: list[Callable[[Path], None]] = [
    flip,
    flip_keeping_mtime,
    truncate,
    append,
    replace,
    replace_by_symlink,
    replace_by_directory,
    replace_by_fifo,
    delete,
    delete_directory,
    make_unreadable,
    make_writable,
]


@contextmanager
def opened(directory: Path, limit_bytes: int = 64 * MIB) -> Iterator[BlobStore]:
    blobs = BlobStore(directory, limit_bytes)
    try:
        yield blobs
        blobs.check()
    finally:
        blobs.close()


@contextmanager
def opened_trees(directory: Path, limit_bytes: int = 64 * MIB, **options: int) -> Iterator[TreeStore]:
    with opened(directory, limit_bytes) as blobs:
        trees = TreeStore(blobs, **options)
        yield trees
        trees.check()

"""Content by SHA-256: what any client ever sent, kept on disk within a limit and shared by all of them.

For the layout on disk see :mod:`zdistcc.store.home`.

**When a blob is trusted.**  Content is hashed when it arrives.  Afterwards a blob file is trusted as long
as its signature (device, inode, mode, size, mtime, ctime) is the one seen when it was last hashed *by this
process*; each use begins with one ``stat`` that checks it.  Otherwise it is hashed again, and dropped if it
differs.  So the first use after a start always hashes, which is why nothing is ever fsynced: a file that a
power loss left empty or torn fails on its size at start or on its hash at first use.  Hard links made and
removed by the trees change ctime too: those we make ourselves are accounted for, those the trash removes
cost one more hash (some 30 µs).

Covered: a blob written to, truncated, replaced, deleted, made unreadable, or swapped for a link, by anybody
at any time before it enters a tree, also with its mtime put back.  Not covered: bytes that rot on the disk
without any write after this process hashed them, and a write within the same tick of the file system's
clock (some ms) as our own last look at the file.  What happens to a file *after* it entered a tree is the
business of ``Tree.intact``.

**What may be evicted.**  Everything that is not pinned, least recently used first.  Pins are counted per
digest and hold for content that has yet to arrive, too.  A tree pins what it links to, so blobs and trees
together stay below one limit.  Recency lives in memory and, six-hourly, in the atime of the file.

Rejected: an index file (one more thing to be torn; reading 100,000 names takes under a second); SQLite
(fsyncs); ``O_TMPFILE`` (no temporaries to clean, but missing on NFS and some overlays).

Must not know: connections, jobs, paths of clients.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from zdistcc.store import blobfile
from zdistcc.store.blobfile import BLOB_MODE, Signature, footprint
from zdistcc.store.failures import BlobMismatch, StoreError, StoreFull, StoreUnusable
from zdistcc.store.home import NO_SPACE, Home

RECENCY_S = 6 * 3600  # how stale the recency on disk may get: a restart need not know more
RELIEF_FRACTION = 16  # a full disk is answered by freeing at least this part of the store, not byte by byte
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobUsage:
    """Counters and sizes; ``bytes`` is disk space in whole blocks, uploads and trees included."""

    bytes: int
    limit_bytes: int
    blobs: int
    pinned: int
    reserved_bytes: int
    hits: int
    misses: int
    evictions: int
    dropped: int
    hashed: int


class _Blob:
    __slots__ = ("path", "signature", "size", "used_s")

    def __init__(self, path: bytes, size: int, used_s: float, signature: Signature | None) -> None:
        self.path = path
        self.size = size
        self.used_s = used_s  # the recency on disk
        self.signature = signature  # None: not hashed by this process yet


class BlobStore:
    """All blobs of a directory.  Synchronous, for one thread.

    Raises StoreInUse or StoreUnusable when it can't be opened; afterwards only StoreError.
    """

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self.home = Home(directory)
        self.limit_bytes = limit_bytes
        self.reclaim: Callable[[], bool] = lambda: False  # drops something that pins blobs; False: nothing left
        self.empty_trash: Callable[[], None] = lambda: None  # empties the trash, because the disk is full
        self.lost: Callable[[bytes], None] = lambda digest: None  # told of each pinned blob that was dropped
        self._blobs: dict[bytes, _Blob] = {}
        self._idle: OrderedDict[bytes, None] = OrderedDict()  # the unpinned ones, least recently used first
        self._pins: dict[bytes, int] = {}
        self._blob_bytes = 0
        self._reserved = 0
        self._hits = self._misses = self._evictions = self._dropped = self._hashed = 0
        try:
            self._load()
        except OSError as error:
            self.home.close()
            raise StoreUnusable(f"the store {directory} cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Unlock the directory."""
        self.home.close()

    # --- asking ---------------------------------------------------------------------------------

    def missing(self, digests: Iterable[bytes]) -> list[bytes]:
        """Those of the digests that are not here, each once, in order.  Touches no disk."""
        blobs, idle = self._blobs, self._idle
        absent: dict[bytes, None] = {}
        asked = 0
        for digest in digests:
            asked += 1
            if digest not in blobs:
                absent[digest] = None
            elif digest in idle:
                idle.move_to_end(digest)
        self._misses += len(absent)
        self._hits += asked - len(absent)
        return list(absent)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._blobs

    def read(self, digest: bytes) -> bytes | None:
        """The whole content, hashed as it is read; None if it is not (or no longer) here."""
        blob = self._blobs.get(digest)
        return None if blob is None else self._load_verified(digest, blob)

    def checked(self, digest: bytes) -> tuple[bytes, Signature] | None:
        """The blob file to link to and its signature, verified now; None if it is not (any more) here."""
        blob = self._blobs.get(digest)
        if blob is None:
            return None
        try:
            seen = Signature.of(os.lstat(blob.path))
        except OSError:
            self._drop(digest)
            return None
        if seen != blob.signature and self._load_verified(digest, blob) is None:
            return None
        self._note_use(digest, blob)
        assert blob.signature is not None
        return blob.path, blob.signature

    def linked(self, digest: bytes, st: os.stat_result) -> bool:
        """Account for the change of ctime by a hard link just made; False if ``st`` is of another file."""
        blob = self._blobs.get(digest)
        after = Signature.of(st)
        if blob is None or blob.signature is None or after[:-1] != blob.signature[:-1]:
            return False
        blob.signature = after
        return True

    # --- bringing in ----------------------------------------------------------------------------

    def put(self, digest: bytes, data: bytes) -> None:
        """Store content.  Raises BlobMismatch, StoreFull, StoreError."""
        with self.writer(digest, len(data)) as writer:
            writer.write(data)
            writer.commit()

    def writer(self, digest: bytes, size: int) -> BlobWriter:
        """Store content that comes in pieces.  Raises StoreFull if it can never fit, StoreError."""
        if len(digest) != hashlib.sha256().digest_size or size < 0:
            raise BlobMismatch("not a SHA-256 digest and a size")
        if footprint(size) > self.limit_bytes:
            raise StoreFull(f"a file of {size} bytes is larger than the store")
        return BlobWriter(self, digest, size)

    # --- keeping --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def pinned(self, digests: Iterable[bytes]) -> Iterator[None]:
        """Keep these, as far as they are here or arrive, until the end of the block."""
        kept = list(digests)
        for digest in kept:
            self.pin(digest)
        try:
            yield
        finally:
            for digest in kept:
                self.unpin(digest)

    def pin(self, digest: bytes) -> None:
        self._pins[digest] = self._pins.get(digest, 0) + 1
        self._idle.pop(digest, None)

    def unpin(self, digest: bytes) -> None:
        left = self._pins[digest] - 1
        if left:
            self._pins[digest] = left
            return
        del self._pins[digest]
        if digest in self._blobs:
            self._idle[digest] = None

    def reserve(self, size: int) -> None:
        """Count ``size`` bytes that somebody else is about to write, evicting for them.  Raises StoreFull."""
        while self._blob_bytes + self._reserved + size > self.limit_bytes:
            if not (self._evict_one() or self.reclaim()):
                raise StoreFull(f"no room for {size} bytes: everything here is needed by running jobs")
        self._reserved += size

    def unreserve(self, size: int) -> None:
        self._reserved -= size

    def relieve(self, size: int) -> None:
        """The disk is full: free ``size`` bytes and some more, as far as possible.  May take long."""
        self.empty_trash()
        goal = self._blob_bytes + self._reserved - max(size, (self._blob_bytes + self._reserved) // RELIEF_FRACTION)
        while self._blob_bytes + self._reserved > goal and (self._evict_one() or self.reclaim()):
            pass
        self.empty_trash()

    # --- looking in -----------------------------------------------------------------------------

    def usage(self) -> BlobUsage:
        return BlobUsage(
            bytes=self._blob_bytes + self._reserved,
            limit_bytes=self.limit_bytes,
            blobs=len(self._blobs),
            pinned=len(self._blobs) - len(self._idle),
            reserved_bytes=self._reserved,
            hits=self._hits,
            misses=self._misses,
            evictions=self._evictions,
            dropped=self._dropped,
            hashed=self._hashed,
        )

    def check(self) -> None:
        """Assert the invariants of what is in memory."""
        assert self._blob_bytes == sum(footprint(blob.size) for blob in self._blobs.values())
        assert set(self._idle) == {digest for digest in self._blobs if digest not in self._pins}
        assert all(count > 0 for count in self._pins.values())
        assert self._reserved >= 0
        assert self._reserved + self._blob_bytes <= self.limit_bytes

    # --- inside ---------------------------------------------------------------------------------

    def _load(self) -> None:
        for name in os.listdir(self.home.incoming):
            os.unlink(self.home.incoming + b"/" + name)
        for used_s, digest, path, size in sorted(blobfile.listing(self.home.blobs)):
            if digest in self._blobs:  # two sizes for one digest: at least one of them is a lie
                self._drop(digest)
                blobfile.remove(path)
            else:
                self._add(digest, _Blob(path, size, used_s, None))
        while self._blob_bytes > self.limit_bytes and self._evict_one():
            pass

    def _add(self, digest: bytes, blob: _Blob) -> None:
        self._blobs[digest] = blob
        self._blob_bytes += footprint(blob.size)
        if digest not in self._pins:
            self._idle[digest] = None

    def _forget(self, digest: bytes) -> None:
        blob = self._blobs.pop(digest)
        self._idle.pop(digest, None)
        self._blob_bytes -= footprint(blob.size)
        blobfile.remove(blob.path)

    def _drop(self, digest: bytes) -> None:
        """The file is not what it should be."""
        self._forget(digest)
        self._dropped += 1
        if digest in self._pins:
            self.lost(digest)

    def _evict_one(self) -> bool:
        if not self._idle:
            return False
        self._forget(next(iter(self._idle)))
        self._evictions += 1
        return True

    def _note_use(self, digest: bytes, blob: _Blob) -> None:
        if digest in self._idle:
            self._idle.move_to_end(digest)
        now = time.time()
        if now - blob.used_s > RECENCY_S and blob.signature is not None:
            blob.used_s = now
            with contextlib.suppress(OSError):
                os.utime(blob.path, ns=(int(now * 1e9), blob.signature.mtime_ns), follow_symlinks=False)
                self.linked(digest, os.lstat(blob.path))

    def _load_verified(self, digest: bytes, blob: _Blob) -> bytes | None:
        """Read and hash; drops the blob unless it is what it should be."""
        self._hashed += 1
        loaded = blobfile.load(blob.path, blob.size)
        if loaded is None or hashlib.sha256(loaded[0]).digest() != digest:
            self._drop(digest)
            return None
        data, blob.signature = loaded
        return data

    def open_incoming(self) -> tuple[int, bytes]:
        """A new file to write to, and its path.  Raises OSError if the disk is full, else StoreError."""
        path = self.home.incoming + b"/" + self.home.fresh_name()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            try:
                return os.open(path, flags, 0o600), path
            except FileNotFoundError:
                self.restore()
                return os.open(path, flags, 0o600), path
        except OSError as error:
            if error.errno in NO_SPACE:
                raise
            raise StoreError(f"the store cannot be written: {error.strerror}") from error

    def restore(self) -> None:
        """Somebody deleted (parts of) the directory: put the layout back and forget what is gone."""
        self.home.restore()
        for digest in [digest for digest, blob in self._blobs.items() if not os.path.lexists(blob.path)]:
            if digest in self._blobs:
                self._drop(digest)

    def adopt(self, digest: bytes, size: int, incoming: bytes) -> None:
        """Rename a hashed file to its place.  ``size`` is reserved by the caller, who gives that up next."""
        if self.checked(digest) is not None:
            os.unlink(incoming)
            return
        path = self.home.blobs + b"/" + blobfile.name(digest, size)
        try:
            os.rename(incoming, path)
        except (FileNotFoundError, NotADirectoryError):
            if not os.path.isdir(self.home.blobs):
                self.restore()
            if not os.path.isdir(os.path.dirname(path)):
                blobfile.remove(os.path.dirname(path))
                os.mkdir(os.path.dirname(path))
            os.rename(incoming, path)
        st = os.lstat(path)
        self._add(digest, _Blob(path, size, time.time(), Signature.of(st)))


def with_room(store: BlobStore, size: int, action: Callable[[], T]) -> T:
    """Do it; if the disk is full, free ``size`` bytes and do it once more.  Raises StoreFull, OSError."""
    try:
        return action()
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
    store.relieve(size)
    try:
        return action()
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise StoreFull("the disk of the store is full") from error


class BlobWriter:
    """One upload.  Use it as a context manager: what is not committed at its end is removed."""

    def __init__(self, store: BlobStore, digest: bytes, size: int) -> None:
        self._store = store
        self._digest = digest
        self._size = size
        self._hash = hashlib.sha256()
        self._written = 0
        self._reserved = 0
        self._file, self._path = with_room(store, size, store.open_incoming)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append.  Raises BlobMismatch (too long), StoreFull, StoreError; then the writer is finished."""
        try:
            if self._written + len(data) > self._size:
                raise BlobMismatch(f"more than the announced {self._size} bytes")
            self._reserve(self._written + len(data))
            self._hash.update(data)
            rest = memoryview(data)
            while rest:
                rest = rest[with_room(self._store, len(rest), partial(os.write, self._file, rest)) :]
            self._written += len(data)
        except OSError as error:
            self.abort()
            raise StoreError(f"the store cannot be written: {error.strerror}") from error
        except BaseException:
            self.abort()
            raise

    def commit(self) -> None:
        """Verify and keep.  Raises BlobMismatch, StoreFull, StoreError; the writer is finished anyway."""
        try:
            if self._written != self._size or self._hash.digest() != self._digest:
                raise BlobMismatch("content arrived that does not have the announced digest")
            self._reserve(self._size)
            os.fchmod(self._file, BLOB_MODE)
            with_room(self._store, self._size, lambda: self._store.adopt(self._digest, self._size, self._path))
            self._path = b""
        except OSError as error:
            raise StoreError(f"the store cannot be written: {error.strerror}") from error
        finally:
            self.abort()

    def abort(self) -> None:
        """Remove what was written.  Does nothing the second time."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self._path:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            self._path = b""
        self._store.unreserve(self._reserved)
        self._reserved = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _reserve(self, size: int) -> None:
        wanted = footprint(size)
        if wanted > self._reserved:
            self._store.reserve(wanted - self._reserved)
            self._reserved = wanted

"""One tree on disk: making entries exist, and noticing when somebody else touched them.

**Identity of files.**  Compilers ask whether two paths are one file (``#pragma once``, ``#import``): clang
by inode, gcc by mtime in seconds, size and content.  So in a tree:

* the first path of a content is a hard link to the blob: no bytes are copied;
* a second path with equal content (:class:`File`) is a copy with an inode of its own, whose mtime in
  seconds equals the first's exactly if the client's do (``mtime_s``; without it, it differs);
* a second *name* of a file is a hard link to it (:class:`HardLink`), a symlink a symlink (:class:`Symlink`).

Reflinks for the copies were rejected: such twins are rare, and a copy is hashed on the way and works
anywhere.

**Damage.**  A hard link lets whoever writes to a tree's file change the blob.  Blobs are read-only files, a
compiler doesn't write to its inputs and its vetted outputs lie outside the tree; if it happens nonetheless
(same user, or root), it is noticed: before a blob is linked again (see ``blobs``), and after a job by
:meth:`Tree.intact`, which compares inode, size and mtime of everything the job named with what was put
there, and condemns the tree on any difference.  The caller then throws the job's outputs away.  So deleting
or overwriting files under a running job can't make a wrong object.  Not covered: a write that puts the
mtime back while the job runs; files that somebody *adds* to a tree.  When a blob that trees link to proves
bad, all of them are condemned.

Must not know: other trees, clients, connections, compilers.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from zdistcc.store.blobfile import BLOCK_BYTES, footprint
from zdistcc.store.blobs import BlobStore, with_room
from zdistcc.store.entries import Directory, Entry, File, HardLink, Symlink
from zdistcc.store.failures import StoreError, TreeConflict, TreeLost, TreeRefused
from zdistcc.store.mirror import Mirror

PATH_MAX_BYTES = 4095  # Linux: PATH_MAX, without the terminating NUL
NODES_MAX = 200_000  # in one tree; a client that wants more is broken or hostile
_COPY_ERRNOS = frozenset({errno.EMLINK, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


class _Node:
    """One thing on disk: what it was when we put it there."""

    __slots__ = ("digest", "inode", "mtime_key", "mtime_ns", "path", "size")

    def __init__(self, path: bytes, st: os.stat_result, digest: bytes = b"", mtime_key: int | None = None) -> None:
        self.path = path
        self.inode = st.st_ino
        directory = stat.S_ISDIR(st.st_mode)  # size and mtime of a directory change as we add to it
        self.size = -1 if directory else st.st_size
        self.mtime_ns = -1 if directory else st.st_mtime_ns
        self.digest = digest
        self.mtime_key = mtime_key

    def untouched(self) -> bool:
        try:
            st = os.lstat(self.path)
        except OSError:
            return False
        return st.st_ino == self.inode and (
            self.size < 0 or (st.st_size == self.size and st.st_mtime_ns == self.mtime_ns)
        )


class Tree:
    """One epoch of one client.  Only between ``TreeStore.acquire`` and ``release``."""

    def __init__(self, blobs: BlobStore, root: bytes, condemn: Callable[[Tree], None]) -> None:
        self.root = root  # for --sysroot; absolute, without a trailing slash
        self.acquired = 0
        self.condemned = False
        self.released_s = 0.0
        self.cost = 0  # bytes reserved for copies, directories and links
        self.pinned: set[bytes] = set()  # the blobs that we link to
        self._blobs = blobs
        self._condemn = condemn
        self._mirror = Mirror(PATH_MAX_BYTES - len(root))
        self._root_inode = os.lstat(root).st_ino
        self._nodes: dict[bytes, _Node] = {}  # by physical path
        self._done: dict[Entry, _Node] = {}  # by identity: what callers keep and name again costs one look-up
        self._twins: dict[bytes, list[_Node]] = {}  # by digest

    @property
    def nodes(self) -> int:
        return len(self._nodes)

    def alive(self) -> bool:
        """Whether the root is still there."""
        try:
            return os.lstat(self.root).st_ino == self._root_inode
        except OSError:
            return False

    def pending(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those of ``entries`` that :meth:`ensure` has not made yet."""
        done = self._done
        return [entry for entry in entries if entry not in done]

    def ensure(self, entries: Sequence[Entry]) -> list[bytes]:
        """Make the entries exist; the result are the digests that are needed first.

        Call it again with the same entries when these have arrived.  Keep the Entry objects: one that was
        materialised before costs a look-up of its identity.  Some 30 µs for each other one: slice long lists.
        Symlinks are made first, in the given order, so a link's parents come before what lies behind it.
        Raises TreeRefused, TreeConflict, TreeLost, StoreFull, StoreError; what was made stays.
        """
        done = self._done
        todo = self.pending(entries)
        if not todo:
            return []
        if len(done) > 4 * len(self._nodes) + len(entries):
            done.clear()  # entries of connections that are gone
            todo = list(entries)
        missing: dict[bytes, None] = {}
        try:
            for kind in (Symlink, Directory, File, HardLink):
                for entry in todo:
                    if isinstance(entry, kind):
                        if self.condemned:
                            raise TreeLost("a file of the tree proved damaged")
                        node = self._make(entry, missing)
                        if node is not None:
                            done[entry] = node
        except (FileNotFoundError, FileExistsError, NotADirectoryError) as error:
            self._condemn(self)
            raise TreeLost("somebody else changed the tree") from error
        except OSError as error:
            raise StoreError(f"the tree cannot be written: {error.strerror}") from error
        if self.condemned:
            raise TreeLost("a file of the tree proved damaged")
        return list(missing)

    def intact(self, entries: Iterable[Entry]) -> bool:
        """Whether all these, materialised before, are still what was put there; otherwise condemns the tree.

        To be asked when the compiler has ended and before its outputs are believed: some µs for each entry.
        """
        try:
            if not self.condemned and all(self._node(entry).untouched() for entry in entries):
                return True
        except (StoreError, OSError):
            pass
        self._condemn(self)
        return False

    def check(self) -> None:
        """Assert the invariants of what is in memory."""
        mirror = self._mirror
        named = mirror.files | mirror.links.keys() | (mirror.directories - {b""})
        assert set(self._nodes) == named
        assert len(named) == len(mirror.files) + len(mirror.links) + len(mirror.directories) - 1
        assert all(physical[: physical.rindex(b"/")] in mirror.directories for physical in named)

    # --- inside ---------------------------------------------------------------------------------

    def _node(self, entry: Entry) -> _Node:
        """Of an entry that was materialised, though perhaps forgotten since."""
        node = self._done.get(entry) or self._make(entry, {})
        if node is None:
            raise TreeLost("a file of the job is not in the tree")
        return node

    def _make(self, entry: Entry, missing: dict[bytes, None]) -> _Node | None:
        if len(self._nodes) >= NODES_MAX:
            raise TreeRefused("too many files in one tree")
        match entry:
            case File():
                return self._make_file(entry, missing)
            case HardLink():
                return self._make_hard_link(entry, missing)
            case Symlink():
                return self._make_symlink(entry)
            case Directory():
                physical, needed = self._mirror.resolve_directory(entry.path)
                self._make_directories(needed)
                return self._nodes[physical] if physical else _Node(self.root, os.lstat(self.root))

    def _make_directories(self, needed: list[bytes]) -> None:
        for physical in needed:
            path = self.root + physical
            self._spend(BLOCK_BYTES)
            with_room(self._blobs, BLOCK_BYTES, partial(os.mkdir, path))
            self._mirror.add_directory(physical)
            self._nodes[physical] = _Node(path, os.lstat(path))

    def _make_symlink(self, entry: Symlink) -> _Node:
        physical, target, needed = self._mirror.resolve_link(entry.path, entry.target)
        if (known := self._mirror.links.get(physical)) is not None:
            if known != target:
                raise TreeConflict("a link with another target than before")
            return self._nodes[physical]
        self._make_directories(needed)
        path = self.root + physical
        self._spend(BLOCK_BYTES)
        with_room(self._blobs, BLOCK_BYTES, lambda: os.symlink(target, path))
        self._mirror.add_link(physical, target)
        node = self._nodes[physical] = _Node(path, os.lstat(path))
        return node

    def _make_file(self, entry: File, missing: dict[bytes, None]) -> _Node | None:
        physical, needed = self._mirror.resolve_file(entry.path)
        if (known := self._nodes.get(physical)) is not None:
            return self._same_file(known, entry)
        digest = entry.digest
        twins = self._twins.get(digest)
        node = None
        if digest in self._blobs:
            self._make_directories(needed)
            path = self.root + physical
            node = self._copy(path, entry) if twins else self._link(path, entry)
        if node is None:
            missing[digest] = None
            return None
        self._twins.setdefault(digest, []).append(node)
        self._mirror.add_file(physical)
        self._nodes[physical] = node
        return node

    def _same_file(self, known: _Node, entry: File) -> _Node:
        """An entry for a path that exists: the same content, and the same relation to its twins."""
        if known.digest != entry.digest:
            raise TreeConflict("a path with other content than before")
        if entry.mtime_s is not None and known.mtime_key != entry.mtime_s:
            if len(self._twins[entry.digest]) > 1:
                raise TreeConflict("one of several files of equal content was touched")
            known.mtime_key = entry.mtime_s
        return known

    def _make_hard_link(self, entry: HardLink, missing: dict[bytes, None]) -> _Node | None:
        of, absent = self._mirror.resolve_file(entry.of)
        original = None if absent else self._nodes.get(of)
        if original is None:
            if not missing:
                raise TreeConflict("a second name of a file that the tree doesn't have")
            return None
        physical, needed = self._mirror.resolve_file(entry.path)
        if (known := self._nodes.get(physical)) is not None:
            if known.inode != original.inode:
                raise TreeConflict("two files that the client now calls one")
            return known
        self._make_directories(needed)
        path = self.root + physical
        with_room(self._blobs, BLOCK_BYTES, lambda: os.link(original.path, path, follow_symlinks=False))
        st = os.lstat(path)
        self._blobs.linked(original.digest, st)
        self._mirror.add_file(physical)
        node = self._nodes[physical] = _Node(path, st, original.digest, original.mtime_key)
        return node

    def _link(self, path: bytes, entry: File) -> _Node | None:
        found = self._blobs.checked(entry.digest)
        if found is None:
            return None
        blob_path, _ = found
        try:
            with_room(self._blobs, BLOCK_BYTES, lambda: os.link(blob_path, path, follow_symlinks=False))
        except OSError as error:
            if error.errno in _COPY_ERRNOS:
                return self._copy(path, entry)
            if error.errno == errno.ENOENT and self._blobs.checked(entry.digest) is None:
                return None  # the blob vanished just now
            raise
        st = os.lstat(path)
        if not self._blobs.linked(entry.digest, st):
            os.unlink(path)
            raise TreeLost("a blob was replaced while it was linked")
        if entry.digest not in self.pinned:
            self.pinned.add(entry.digest)
            self._blobs.pin(entry.digest)
        return _Node(path, st, entry.digest, entry.mtime_s)

    def _copy(self, path: bytes, entry: File) -> _Node | None:
        data = self._blobs.read(entry.digest)
        if data is None:
            return None
        self._spend(footprint(len(data)))
        with_room(self._blobs, len(data), lambda: _write_new(path, data))
        if twins := self._twins.get(entry.digest):
            seconds = [twin.mtime_ns // 10**9 for twin in twins]
            same = [s for s, twin in zip(seconds, twins, strict=True) if twin.mtime_key == entry.mtime_s is not None]
            mtime_ns = (same[0] if same else min(seconds) - 1) * 10**9
            os.utime(path, ns=(mtime_ns, mtime_ns))
        return _Node(path, os.lstat(path), entry.digest, entry.mtime_s)

    def _spend(self, size: int) -> None:
        self._blobs.reserve(size)
        self.cost += size


def _write_new(path: bytes, data: bytes) -> None:
    """Write a file that doesn't exist yet; nothing is left of it if that fails."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fchmod(file, 0o444)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(file)

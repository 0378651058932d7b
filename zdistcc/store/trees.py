"""Trees: a client's files under their own absolute paths, for ``--sysroot=ROOT -ffile-prefix-map=ROOT=``.

A tree belongs to a client and an **epoch** of it: an append-only map from absolute path to content.  A path
that changes or disappears makes the client start the next epoch; until then every job of the client adds
what it needs. A tree is a cache like the blobs it is made from; see :mod:`zdistcc.store.home` for the
layout.

What a tree guarantees of its files is said in :mod:`zdistcc.store.tree`.

A tree is never removed while somebody has acquired it.  Removal is a rename into the trash, which
:meth:`TreeStore.reap` empties in small portions; what lies there is not counted any more.

Must not know: connections, compilers, how clients number their files.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from zdistcc.store.blobfile import BLOCK_BYTES
from zdistcc.store.blobs import BlobStore, BlobUsage, with_room
from zdistcc.store.failures import StoreError, StoreFull
from zdistcc.store.home import NO_SPACE
from zdistcc.store.trash import Trash
from zdistcc.store.tree import Tree

EPOCHS_PER_CLIENT = 4  # a branch switch and back, two builds at once
TREES_MAX = 64
IDLE_S = 4 * 3600  # then a tree's blobs should compete with the others again


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeUsage:
    """Numbers of trees: kept, in use by jobs, built, condemned for damage; things in kept trees; trash."""

    trees: int
    acquired: int
    built: int
    condemned: int
    nodes: int
    bytes: int
    trash: int
    blobs: BlobUsage


class TreeStore:
    """All trees of a blob store's directory.  Synchronous, for one thread, one for each BlobStore."""

    def __init__(
        self,
        blobs: BlobStore,
        *,
        epochs_per_client: int = EPOCHS_PER_CLIENT,
        trees_max: int = TREES_MAX,
        idle_s: float = IDLE_S,
    ) -> None:
        self.blobs = blobs
        self._epochs_per_client = epochs_per_client
        self._trees_max = trees_max
        self._idle_s = idle_s
        self._trees: OrderedDict[tuple[str, int], Tree] = OrderedDict()  # least recently acquired first
        self._condemned: set[Tree] = set()  # damaged, but still acquired
        self._built = self._condemnations = 0
        self._trash = Trash(blobs.home)
        blobs.reclaim = self._drop_oldest
        blobs.empty_trash = self._trash.empty
        blobs.lost = self._condemn_holders

    @contextlib.contextmanager
    def job(self, client: str, epoch: int) -> Iterator[Tree]:
        """``acquire`` and ``release`` around a block."""
        tree = self.acquire(client, epoch)
        try:
            yield tree
        finally:
            self.release(tree)

    def acquire(self, client: str, epoch: int) -> Tree:
        """The tree of this epoch, perhaps a new, empty one; it stays until released.  Raises StoreError."""
        key = (client, epoch)
        tree = self._trees.get(key)
        if tree is not None and not tree.alive():
            self.condemn(tree)
            tree = None
        if tree is None:
            tree = self._build()
            self._trees[key] = tree
            tree.acquired = 1
            self._bound(client)
            return tree
        self._trees.move_to_end(key)
        tree.acquired += 1
        return tree

    def release(self, tree: Tree) -> None:
        """The job has ended."""
        tree.acquired -= 1
        tree.released_s = time.monotonic()
        if tree.condemned and not tree.acquired:
            self._condemned.discard(tree)
            self._discard(tree)

    def forget(self, client: str) -> None:
        """The client is gone for good: drop its trees, those in use when they are released."""
        for key in [key for key in self._trees if key[0] == client]:
            self._remove(key)

    def condemn(self, tree: Tree) -> None:
        """Never give this tree out again; removed as soon as nobody has it.  Does nothing the second time."""
        for key, other in self._trees.items():
            if other is tree:
                self._condemnations += 1
                self._remove(key)
                return

    def reap(self, budget: int) -> bool:
        """Delete up to ``budget`` files of removed trees; True if there is more.  Call it between jobs.

        Also removes what nobody has acquired for some hours.
        """
        now = time.monotonic()
        for key, tree in list(self._trees.items()):
            if not tree.acquired and now - tree.released_s > self._idle_s:
                self._remove(key)
        return self._trash.reap(budget)

    def usage(self) -> TreeUsage:
        return TreeUsage(
            trees=len(self._trees),
            acquired=sum(1 for tree in self._trees.values() if tree.acquired) + len(self._condemned),
            built=self._built,
            condemned=self._condemnations,
            nodes=sum(tree.nodes for tree in self._trees.values()),
            bytes=sum(tree.cost for tree in self._trees.values()),
            trash=len(self._trash),
            blobs=self.blobs.usage(),
        )

    def check(self) -> None:
        """Assert the invariants of what is in memory, the blob store's included."""
        self.blobs.check()
        held = [*self._trees.values(), *self._condemned]
        for tree in held:
            tree.check()
            assert tree.acquired >= 0
        assert all(not tree.condemned for tree in self._trees.values())
        assert all(tree.condemned and tree.acquired for tree in self._condemned)
        assert sum(tree.cost for tree in held) <= self.blobs.usage().reserved_bytes

    # --- inside ---------------------------------------------------------------------------------

    def _build(self) -> Tree:
        root = self.blobs.home.trees + b"/" + self.blobs.home.fresh_name()
        try:
            try:
                with_room(self.blobs, BLOCK_BYTES, lambda: os.mkdir(root))
            except FileNotFoundError:
                self.blobs.restore()
                os.mkdir(root)
            tree = Tree(self.blobs, root, self.condemn)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise StoreFull("the disk of the store is full") from error
            raise StoreError(f"a tree cannot be made: {error.strerror}") from error
        self._built += 1
        return tree

    def _bound(self, client: str) -> None:
        own = [key for key in self._trees if key[0] == client]
        self._trim(own, len(own) - self._epochs_per_client)
        self._trim(list(self._trees), len(self._trees) - self._trees_max)

    def _trim(self, oldest_first: list[tuple[str, int]], excess: int) -> None:
        for key in oldest_first:
            if excess <= 0:
                return
            if not self._trees[key].acquired:
                self._remove(key)
                excess -= 1

    def _drop_oldest(self) -> bool:
        for key, tree in self._trees.items():
            if not tree.acquired:
                self._remove(key)
                return True
        return False

    def _condemn_holders(self, digest: bytes) -> None:
        for tree in [tree for tree in self._trees.values() if digest in tree.pinned]:
            self.condemn(tree)

    def _remove(self, key: tuple[str, int]) -> None:
        tree = self._trees.pop(key)
        tree.condemned = True
        if tree.acquired:
            self._condemned.add(tree)
        else:
            self._discard(tree)

    def _discard(self, tree: Tree) -> None:
        for digest in tree.pinned:
            self.blobs.unpin(digest)
        tree.pinned.clear()
        self.blobs.unreserve(tree.cost)
        tree.cost = 0
        self._trash.take(tree.root)

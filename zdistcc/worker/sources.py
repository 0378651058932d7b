"""The sources of jobs on shipped files: brings a job's tree up to date, asking the client for what is missing.

Content that several jobs, of whichever clients, lack at the same moment is asked for once: the first asks, the
others wait for its arrival, and ask themselves only if it never comes.

Files below directories that a compiler searches whatever it is told (its own headers) are read from this machine, not
from the tree.  They are compared with the client's by digest before they are relied on.

Must not know: connections (``fetch`` is a function), slots.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from zdistcc.errors import InfraError, Reason
from zdistcc.store.blobs import BlobStore
from zdistcc.store.entries import Entry, File
from zdistcc.store.failures import TreeLost
from zdistcc.store.tree import Tree
from zdistcc.store.trees import TreeStore
from zdistcc.toolchain.identity import CompilerId, Family

ASK_AT_ONCE_BYTES: Final = 32 << 20
ASK_AT_ONCE_COUNT: Final = 2048
SLICE: Final = 128
"""Entries that are materialised before other connections get a turn: some 3 ms."""
REAP_BUDGET: Final = 32

Fetch = Callable[[Sequence[bytes]], Awaitable[Mapping[bytes, bytes]]]


class ForeignHeader(InfraError):
    """A compiler's own header differs from the client's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EntrySet:
    """What one job reads.  Compared by identity: the same set is the same object as long as a connection lives."""

    entries: tuple[Entry, ...]


class Sources:
    """The worker's store of sources and what is on its way into it."""

    def __init__(self, blobs: BlobStore, trees: TreeStore) -> None:
        self.blobs = blobs
        self.trees = trees
        self._arriving: dict[bytes, asyncio.Future[None]] = {}
        self._own_headers = OwnHeaders()

    @contextlib.contextmanager
    def tree(self, client: str, epoch: int) -> Iterator[Tree]:
        """The client's tree for ``epoch``, which stays as long as the context does."""
        with self.trees.job(client, epoch) as tree:
            yield tree

    async def materialise(self, tree: Tree, files: EntrySet, fetch: Fetch) -> None:
        """Put everything of ``files`` in its place; raises :class:`StoreError` or what ``fetch`` raises."""
        while missing := await self._ensure(tree, files.entries):
            mine = [digest for digest in missing if digest not in self._arriving]
            if mine:
                await self._ask(self._portion(mine, files), fetch)
            else:
                await asyncio.wait([self._arriving[digest] for digest in missing if digest in self._arriving])

    async def _ensure(self, tree: Tree, entries: Sequence[Entry]) -> list[bytes]:
        todo = tree.pending(entries)
        missing: dict[bytes, None] = {}
        for start in range(0, len(todo), SLICE):
            if start:
                await asyncio.sleep(0)
            missing |= dict.fromkeys(tree.ensure(todo[start : start + SLICE]))
        return list(missing)

    def _portion(self, digests: Sequence[bytes], files: EntrySet) -> list[bytes]:
        """As much of ``digests`` as is asked for at once."""
        sizes = {entry.digest: entry.size for entry in files.entries if isinstance(entry, File)}
        portion: list[bytes] = []
        total = 0
        for digest in digests[:ASK_AT_ONCE_COUNT]:
            total += sizes.get(digest, 0)
            if portion and total > ASK_AT_ONCE_BYTES:
                break
            portion.append(digest)
        return portion

    async def _ask(self, digests: Sequence[bytes], fetch: Fetch) -> None:
        loop = asyncio.get_running_loop()
        waiting = {digest: loop.create_future() for digest in digests}
        self._arriving |= waiting
        try:
            for number, (digest, data) in enumerate((await fetch(digests)).items()):
                if number % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
                self.blobs.put(digest, data)
        finally:
            for digest, future in waiting.items():
                del self._arriving[digest]
                future.set_result(None)

    def own_headers_agree(
        self, driver: bytes, compiler: CompilerId, language: str, root: bytes, files: EntrySet
    ) -> None:
        """Raise :class:`ForeignHeader` when a header that is read from this machine is not the client's."""
        if compiler.family is Family.GCC:
            self._own_headers.compare(driver, compiler, language, root, files)

    def believe(self, tree: Tree, files: EntrySet) -> None:
        """Raise :class:`TreeLost` when somebody meddled with ``files`` while the job ran."""
        if not tree.intact(files.entries):
            self.trees.condemn(tree)
            raise TreeLost("files of the tree were changed while the job ran")

    def tidy(self) -> None:
        """Do a little of the cleaning up."""
        self.trees.reap(REAP_BUDGET)


class OwnHeaders:
    """Directories that GCC searches on this machine whatever ``--sysroot`` says, and whether files there agree."""

    def __init__(self) -> None:
        self._directories: dict[tuple[CompilerId, str], tuple[bytes, ...]] = {}
        self._agreed: dict[tuple[bytes, bytes], tuple[int, int, int]] = {}
        self._members: dict[tuple[EntrySet, CompilerId], tuple[File, ...]] = {}

    def compare(self, driver: bytes, compiler: CompilerId, language: str, root: bytes, files: EntrySet) -> None:
        key = files, compiler
        members = self._members.get(key)
        if members is None:
            directories = self._search(driver, compiler, language, root)
            members = tuple(
                entry for entry in files.entries if isinstance(entry, File) and entry.path.startswith(directories)
            )
            if len(self._members) > 20_000:
                self._members.clear()
            self._members[key] = members
        for entry in members:
            self._agree(entry)

    def _agree(self, entry: File) -> None:
        try:
            found = os.stat(entry.path)
            signature = found.st_ino, found.st_mtime_ns, found.st_size
            if self._agreed.get((entry.path, entry.digest)) == signature:
                return
            with open(entry.path, "rb") as file:
                same = hashlib.sha256(file.read()).digest() == entry.digest
        except OSError:
            same = False
        if not same:
            raise ForeignHeader(f"{os.fsdecode(entry.path)} is another one here: {Reason.OWN_HEADERS_DIFFER.text}")
        self._agreed[entry.path, entry.digest] = signature

    def _search(self, driver: bytes, compiler: CompilerId, language: str, root: bytes) -> tuple[bytes, ...]:
        key = compiler, language
        if key not in self._directories:
            words = [driver, b"--sysroot=" + root, b"-nostdinc++", b"-x", language.encode(), b"-v", b"-E", b"/dev/null"]
            ended = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                env={b"PATH": b"/usr/bin:/bin", b"LC_ALL": b"C"}, timeout=20, check=False,
            )  # fmt: skip
            _, _, listed = ended.stderr.partition(b"#include <...> search starts here:\n")
            lines = listed.partition(b"End of search list.")[0].splitlines()
            self._directories[key] = tuple(
                os.path.normpath(line.strip()) + b"/" for line in lines if not line.strip().startswith(root)
            )
        return self._directories[key]

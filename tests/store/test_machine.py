"""The store against a model, in every order of use, damage, eviction and restart that hypothesis finds."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from zdistcc.store.blobfile import BLOCK_BYTES
from zdistcc.store.blobs import BlobStore
from zdistcc.store.entries import Entry, File, Symlink
from zdistcc.store.failures import StoreFull, TreeConflict, TreeLost, TreeRefused
from zdistcc.store.tree import Tree
from zdistcc.store.trees import TreeStore

from .kit import DAMAGES, flip_keeping_mtime, let_clock_tick, make_unreadable, make_writable, on_disk, sha

LIMIT_BYTES = 24 * BLOCK_BYTES
CONTENTS = [b"", *(bytes([65 + n]) * size for n, size in enumerate((1, 2, 4096, 4097, 9000, 20000, 3, 5)))]
BY_DIGEST = {sha(data): data for data in CONTENTS}
PATHS = [b"/a", b"/d/a", b"/d/b", b"/d/e/a", b"/l/a", b"/l/../b", b"/d/e/../c", b"/l", b"/d/l/l"]
MTIMES = [None, 1, 2]
numbers = st.integers(0, len(CONTENTS) - 1)  # not the contents: hypothesis prints what it drew
clients = st.sampled_from(["one", "two"])


def make_file(path: bytes, number: int, mtime_s: int | None) -> File:
    return File(path=path, digest=sha(CONTENTS[number]), mtime_s=mtime_s)


def make_link(path: bytes, target: bytes) -> Symlink:
    return Symlink(path=path, target=target)


files = st.builds(make_file, st.sampled_from(PATHS), numbers, st.sampled_from(MTIMES))
links = st.builds(make_link, st.sampled_from([b"/l", b"/d/l"]), st.sampled_from([b"d", b"/d/e", b"..", b"/x"]))


class Job:
    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.entries: list[Entry] = []
        self.shows: dict[bytes, bytes] = {}  # path → content that a compile would read


class StoreMachine(RuleBasedStateMachine):
    jobs = Bundle("jobs")

    @initialize()
    def start(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="store-machine-"))
        self.pins: Counter[bytes] = Counter()
        self.running: set[Job] = set()
        self.sound: set[bytes] = set()  # put and never damaged since
        self.open()

    def open(self) -> None:
        self.blobs = BlobStore(self.base / "store", LIMIT_BYTES)
        self.trees = TreeStore(self.blobs, epochs_per_client=2, trees_max=3)

    def teardown(self) -> None:
        if not hasattr(self, "base"):
            return
        for job in self.running:
            self.trees.release(job.tree)
        for digest in self.pins.elements():
            self.blobs.unpin(digest)
        for client in ("one", "two"):
            self.trees.forget(client)
        self.trees.check()
        assert self.blobs.usage().reserved_bytes == 0
        assert self.blobs.usage().pinned == 0
        while self.trees.reap(100):
            pass
        self.blobs.close()
        shutil.rmtree(self.base)

    @rule(number=numbers, pieces=st.integers(1, 3))
    def put(self, number: int, pieces: int) -> None:
        data = CONTENTS[number]
        try:
            with self.blobs.writer(sha(data), len(data)) as writer:
                step = max(1, -(-len(data) // pieces))
                for at in range(0, len(data), step):
                    writer.write(data[at : at + step])
                writer.commit()
        except StoreFull:
            assert self.pins or self.running  # else there is room for any of them
        else:
            assert self.blobs.missing([sha(data)]) == []
            self.sound.add(sha(data))

    @rule(number=numbers)
    def read(self, number: int) -> None:
        data = CONTENTS[number]
        assert self.blobs.read(sha(data)) in (None, data)

    @rule(number=numbers)
    def pin(self, number: int) -> None:
        data = CONTENTS[number]
        if len(self.pins) < 3:
            self.blobs.pin(sha(data))
            self.pins[sha(data)] += 1
            if sha(data) not in self.blobs:
                self.sound.discard(sha(data))

    @rule(number=numbers)
    def unpin(self, number: int) -> None:
        data = CONTENTS[number]
        if self.pins[sha(data)]:
            self.blobs.unpin(sha(data))
            self.pins -= Counter([sha(data)])

    @rule(number=st.integers(0, 20), damage_number=st.integers(0, len(DAMAGES) - 1))
    def damage_a_blob(self, number: int, damage_number: int) -> None:
        damage = DAMAGES[damage_number]
        found = sorted(path for path in (self.base / "store/blobs").glob("??/*-*") if path.is_file())
        if found:
            let_clock_tick(self.base)
            damage(found[number % len(found)])
            self.sound.clear()
            if damage in (flip_keeping_mtime, make_unreadable, make_writable):
                for job in self.running:  # what Tree.intact doesn't promise to see; see tree.py
                    job.shows.clear()

    @rule()
    def delete_everything(self) -> None:
        shutil.rmtree(self.base / "store", ignore_errors=True)
        self.sound.clear()

    @rule()
    def restart(self) -> None:
        if self.running:
            return
        self.blobs.close()
        self.pins.clear()
        self.sound.clear()
        (self.base / "store/incoming").mkdir(parents=True, exist_ok=True)
        (self.base / "store/zdistcc-store.lock").touch()
        (self.base / "store/incoming/torn").write_bytes(b"to")
        self.open()
        assert not list((self.base / "store/incoming").iterdir())

    @rule(target=jobs, client=clients, epoch=st.integers(1, 4))
    def begin(self, client: str, epoch: int) -> Any:
        if len(self.running) >= 3:
            return multiple()
        job = Job(self.trees.acquire(client, epoch))
        self.running.add(job)
        return job

    @rule(job=jobs, entries=st.lists(st.one_of(files, links), max_size=5))
    def ensure(self, job: Job, entries: list[File | Symlink]) -> None:
        try:
            missing = job.tree.ensure(entries)
        except (TreeConflict, TreeRefused, TreeLost, StoreFull):
            return
        wanted = {entry.digest for entry in entries if isinstance(entry, File)}
        assert set(missing) <= wanted
        assert not set(missing) & {digest for digest in self.sound if digest in self.blobs}
        job.entries.extend(entry for entry in entries if isinstance(entry, Symlink))
        for entry in entries:
            if isinstance(entry, File) and entry.digest not in missing:
                job.entries.append(entry)
                job.shows[entry.path] = BY_DIGEST[entry.digest]

    @rule(job=consumes(jobs))
    def end(self, job: Job) -> None:
        compiled: dict[bytes, bytes | None] = {}
        for path in job.shows:
            try:
                compiled[path] = Path(os.fsdecode(job.tree.root + path)).read_bytes()
            except OSError:
                compiled[path] = None
        if job.tree.intact(job.entries):  # then the outputs are believed
            assert compiled == job.shows
        else:
            assert job.tree.condemned
        self.trees.release(job.tree)
        self.running.discard(job)

    @rule(client=clients)
    def forget(self, client: str) -> None:
        self.trees.forget(client)

    @rule(budget=st.integers(1, 9))
    def reap(self, budget: int) -> None:
        self.trees.reap(budget)

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "base"):
            return
        self.trees.check()
        for digest in self.sound & set(self.pins):
            assert digest in self.blobs, "pinned content was evicted"
        if self.sound:
            stored = on_disk(self.base / "store")
            for digest in self.sound & stored.keys():
                assert sha(stored[digest]) == digest


StoreMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestStore = StoreMachine.TestCase

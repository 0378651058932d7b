"""kill -9 at any moment leaves whole blobs or nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

from .kit import on_disk, opened_trees, sha

ROUNDS = 12
WRITER = """
import hashlib, pathlib, random, sys
from zdistcc.store.blobs import BlobStore
from zdistcc.store.entries import File
from zdistcc.store.trees import TreeStore
blobs = BlobStore(pathlib.Path(sys.argv[1]), 1 << 20)  # small: so it evicts, too
trees = TreeStore(blobs, epochs_per_client=1)
chance = random.Random(sys.argv[2])
for number in range(5000):
    data = chance.randbytes(chance.randrange(60_000))
    digest = hashlib.sha256(data).digest()
    with blobs.writer(digest, len(data)) as writer:
        for at in range(0, len(data), 7000):
            writer.write(data[at : at + 7000])
        writer.commit()
    with trees.job("client", number // 5) as tree:
        tree.ensure([File(path=path % number, digest=digest) for path in (b"/d%d/f", b"/twin%d")])
    trees.reap(10)
    print(number, flush=True)
"""


def test_kill_9_while_writing(tmp_path: Path) -> None:
    store = tmp_path / "store"
    chance = random.Random(7)
    torn = 0
    for round_number in range(10 * ROUNDS):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store), str(round_number)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        with writer, writer.stdout:
            for _ in range(chance.randrange(1, 20)):
                assert writer.stdout.readline()
            # not at the line's end, but somewhere in the middle of the next writes
            timer = threading.Timer(chance.random() / 200, os.kill, (writer.pid, signal.SIGKILL))
            timer.start()
            writer.stdout.read()
            timer.join()
        assert writer.returncode == -signal.SIGKILL
        torn += len(list((store / "incoming").iterdir()))
        for digest, data in on_disk(store).items():
            assert sha(data) == digest
        with opened_trees(store, 1 << 20) as trees:
            assert list((store / "incoming").iterdir()) == []
            assert list((store / "trees").iterdir()) == []
            for digest, data in on_disk(store).items():
                assert trees.blobs.read(digest) == data
            while trees.reap(1000):
                pass
            assert list((store / "trash").iterdir()) == []
            assert trees.blobs.usage().dropped == 0
            assert trees.blobs.usage().blobs > 0
        if torn and round_number >= ROUNDS:
            break
    assert torn > 0, "no kill hit a write: the test has lost its point"

"""What the store costs, as ratios within one run.  Usage: python tests/bench/bench_store.py [--json]

466 headers of 17 kB are what one C++ file with the standard library reads.  Times are minima of N.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from zdistcc.store.blobs import BlobStore
from zdistcc.store.entries import Entry, File
from zdistcc.store.trees import TreeStore

FILES = 466
FILE_BYTES = 17_000
DIRECTORIES = 40
ROUNDS = 20


def best_us(action: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Minimum time of a call in microseconds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - start)
    return best * 1e6


def measure(directory: Path) -> dict[str, float]:
    chance = random.Random(1)
    contents = [chance.randbytes(FILE_BYTES) for _ in range(FILES)]
    digests = [hashlib.sha256(data).digest() for data in contents]
    results = {"hash all contents": best_us(lambda: [hashlib.sha256(data).digest() for data in contents], 3)}

    def write_plainly() -> None:
        for number, data in enumerate(contents):
            (directory / f"plain-{number}").write_bytes(data)

    results["write all contents to plain files"] = best_us(write_plainly, 3)
    paths = [os.fspath(directory / f"plain-{number}") for number in range(FILES)]
    results["stat all plain files"] = best_us(lambda: [os.stat(path) for path in paths])

    blobs = BlobStore(directory / "store", 1 << 30)
    trees = TreeStore(blobs)
    entries: list[Entry] = [
        File(path=b"/usr/include/%d/header-%d.h" % (number % DIRECTORIES, number), digest=digest)
        for number, digest in enumerate(digests)
    ]

    def put_all() -> None:
        for digest, data in zip(digests, contents, strict=True):
            blobs.put(digest, data)

    epoch = iter(range(1_000_000))

    def new_tree() -> None:
        with trees.job("client", next(epoch)) as tree:
            assert tree.ensure(entries) == []

    def reap_all() -> None:
        trees.forget("client")
        while trees.reap(1000):
            pass

    results["put: all contents, once"] = best_us(put_all, 1)
    results["missing: all digests"] = best_us(lambda: blobs.missing(digests))
    results["new tree: all files"] = best_us(new_tree, 5)
    with trees.job("client", 0) as tree:
        tree.ensure(entries)
        results["warm job: acquire, ensure, release"] = best_us(lambda: warm_job(trees, entries))
        results["warm job: intact"] = best_us(lambda: tree.intact(entries))
    results["remove all trees (6)"] = best_us(reap_all, 1)
    results["new tree after that: all files hashed again"] = best_us(new_tree, 1)
    blobs.close()
    results["restart: read the index"] = best_us(lambda: BlobStore(directory / "store", 1 << 30).close(), 5)
    return results


def warm_job(trees: TreeStore, entries: list[Entry]) -> None:
    with trees.job("client", 0) as tree:
        assert tree.ensure(entries) == []


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        results = measure(Path(name))
    if "--json" in sys.argv[1:]:
        print(json.dumps({"files": FILES, "bytes": FILES * FILE_BYTES, "us": results}, indent=1))
        return
    unit = results["stat all plain files"]
    print(f"{FILES} files, {FILES * FILE_BYTES / 1e6:.1f} MB; 1.0 = stat of all of them")
    for what, us in results.items():
        print(f"{what:48} {us:10.0f} us {us / unit:9.2f}")


if __name__ == "__main__":
    main()

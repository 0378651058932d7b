"""A really full disk: a small tmpfs in a mount namespace of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# In a user namespace one may mount where one is nobody; as root it takes a mount namespace only.
UNSHARE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
MOUNT = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"'

COMMON = """
import hashlib, os, pathlib, sys
from zdistcc.store.blobs import BlobStore
from zdistcc.store.entries import Directory, File
from zdistcc.store.failures import StoreFull
from zdistcc.store.trees import TreeStore
base = pathlib.Path(sys.argv[1])
blobs = BlobStore(base / "store", 1 << 40)
trees = TreeStore(blobs)
def content(number, size):
    return (b"%d " % number * size)[:size]
def add(number, size=50_000):
    data = content(number, size)
    digest = hashlib.sha256(data).digest()
    blobs.put(digest, data)
    return digest
def free():
    st = os.statvfs(base)
    return st.f_bavail * st.f_bsize
"""

CASES = {
    "evicts_and_goes_on": """
digests = [add(n) for n in range(200)]
usage = blobs.usage()
assert usage.evictions > 100, usage
assert len(digests) - len(blobs.missing(digests)) == usage.blobs >= 5
assert blobs.read(digests[-1]) == content(199, 50_000)
assert not os.listdir(base / "store/incoming")
""",
    "refuses_when_all_is_needed": """
digests = []
try:
    while True:
        digest = hashlib.sha256(content(len(digests), 50_000)).digest()
        blobs.pin(digest)
        digests.append(add(len(digests)))
except StoreFull as error:
    assert error.reason.word == "store-full"
else:
    raise AssertionError
assert len(digests) > 10
assert blobs.missing(digests) == [] and all(blobs.read(digest) for digest in digests)
assert not os.listdir(base / "store/incoming")
for digest in digests[:3]:
    blobs.unpin(digest)
add(1000)
assert all(blobs.read(digest) for digest in digests[3:])
""",
    "an_upload_in_pieces_goes_on_after_evicting": """
old = [add(n) for n in range(15)]
data = content(99, 900_000)
with blobs.writer(hashlib.sha256(data).digest(), len(data)) as writer:
    for at in range(0, len(data), 30_000):
        writer.write(data[at : at + 30_000])
    writer.commit()
assert blobs.read(hashlib.sha256(data).digest()) == data
assert blobs.usage().evictions
""",
    "others_fill_the_disk": """
kept = add(1)
(base / "ballast").write_bytes(bytes(free()))
try:
    with blobs.pinned([kept]):
        add(2)
except StoreFull:
    pass
else:
    raise AssertionError
assert blobs.read(kept) == content(1, 50_000)
(base / "ballast").unlink()
add(2)
""",
    "trees_give_way": """
for epoch in range(3):
    with trees.job("client", epoch) as tree:
        digests = [add(100 * epoch + n) for n in range(4)]
        assert tree.ensure([File(path=b"/%d" % n, digest=d) for n, d in enumerate(digests)]) == []
        assert tree.ensure([File(path=b"/t%d" % n, digest=digests[0]) for n in range(3)]) == []
(base / "ballast").write_bytes(bytes(free()))
add(1000, 100_000)
assert trees.usage().trees < 3 and trees.usage().trash == 0
""",
    "no_room_for_a_copy": """
with trees.job("client", 1) as tree:
    digest = add(1)
    entry = File(path=b"/one", digest=digest)
    assert tree.ensure([entry]) == []
    (base / "ballast").write_bytes(bytes(free()))
    try:
        tree.ensure([File(path=b"/two", digest=digest)])
    except StoreFull:
        pass
    else:
        raise AssertionError
    assert not os.path.exists(tree.root + b"/two")
    (base / "ballast").unlink()
    assert tree.ensure([File(path=b"/two", digest=digest)]) == []
    assert tree.intact([entry])
""",
    "no_inodes_left": """
with trees.job("client", 1) as tree:
    entries = [Directory(path=b"/d/%d" % n) for n in range(1000)]
    try:
        tree.ensure(entries)
    except StoreFull:
        pass
    else:
        raise AssertionError
    try:
        trees.acquire("other", 1)
    except StoreFull:
        pass
    else:
        raise AssertionError
trees.acquire("other", 1)
trees.release(trees.acquire("other", 1))
""",
}


@pytest.mark.parametrize("case", CASES)
def test_on_a_full_disk(tmp_path: Path, case: str) -> None:
    options = "size=64m,nr_inodes=200" if case == "no_inodes_left" else "size=1m"
    script = COMMON + CASES[case] + "\ntrees.check()\nblobs.close()\n"
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path)]
    result = subprocess.run(
        [*UNSHARE, "sh", "-c", MOUNT, "sh", options, str(tmp_path), *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert list(tmp_path.iterdir()) == []  # the mount was nobody else's

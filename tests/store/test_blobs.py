"""The blob store: what arrives, what stays, what is noticed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zdistcc.errors import Reason
from zdistcc.store.blobfile import BLOCK_BYTES
from zdistcc.store.blobs import BlobStore
from zdistcc.store.failures import BlobMismatch, StoreError, StoreFull, StoreInUse, StoreUnusable

from .kit import DAMAGES, add, blob_file, let_clock_tick, on_disk, opened, sha


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[BlobStore]:
    with opened(tmp_path / "store") as store:
        yield store


def test_what_was_put_is_read_back(blobs: BlobStore) -> None:
    for data in (b"", b"x", b"y" * 300_000):
        assert blobs.read(sha(data)) is None
        add(blobs, data)
        assert blobs.read(sha(data)) == data
        assert blob_file(blobs, sha(data)).stat().st_mode & 0o777 == 0o444
    assert os.listdir(blobs.home.incoming) == []


def test_missing_names_each_absent_digest_once_and_in_order(blobs: BlobStore) -> None:
    here = add(blobs, b"here")
    absent = [sha(bytes([n])) for n in range(5)]
    assert blobs.missing([absent[3], here, absent[1], absent[3], here]) == [absent[3], absent[1]]
    assert (blobs.usage().hits, blobs.usage().misses) == (3, 2)


def test_wrong_content_is_refused_and_leaves_nothing(blobs: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(BlobMismatch) as raised:
        blobs.put(sha(b"promised"), b"deliver!")
    assert raised.value.reason is Reason.BLOB_MISMATCH
    with pytest.raises(BlobMismatch):
        blobs.put(b"short", b"")
    with blobs.writer(sha(b"abc"), 3) as writer, pytest.raises(BlobMismatch):
        writer.write(b"abcd")
    with blobs.writer(sha(b"abc"), 4) as writer, pytest.raises(BlobMismatch):
        writer.write(b"abc")
        writer.commit()
    assert on_disk(tmp_path / "store") == {}
    assert os.listdir(blobs.home.incoming) == []
    assert blobs.usage().bytes == 0


def test_an_upload_in_pieces(blobs: BlobStore) -> None:
    with blobs.writer(sha(b"abcdef"), 6) as writer:
        for piece in (b"ab", b"", memoryview(b"cde"), bytearray(b"f")):
            writer.write(piece)
        assert sha(b"abcdef") not in blobs
        writer.commit()
    assert blobs.read(sha(b"abcdef")) == b"abcdef"


def test_two_uploads_of_one_content_at_once(blobs: BlobStore) -> None:
    with blobs.writer(sha(b"abc"), 3) as one, blobs.writer(sha(b"abc"), 3) as two:
        one.write(b"a")
        two.write(b"abc")
        two.commit()
        one.write(b"bc")
        one.commit()
    assert blobs.usage().bytes == BLOCK_BYTES


def test_an_abandoned_upload_leaves_nothing(blobs: BlobStore) -> None:
    with blobs.writer(sha(b"abc"), 3) as writer:
        writer.write(b"ab")
    assert os.listdir(blobs.home.incoming) == []
    assert blobs.usage().bytes == 0


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed_and_the_content_asked_for_again(
    blobs: BlobStore, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    digest = add(blobs, b"precious content")
    assert blobs.checked(digest) is not None
    let_clock_tick(tmp_path)
    damage(blob_file(blobs, digest))
    assert blobs.checked(digest) is None
    assert blobs.missing([digest]) == [digest]
    assert blobs.usage().dropped == 1
    add(blobs, b"precious content")
    assert blobs.checked(digest) is not None
    assert blobs.read(digest) == b"precious content"


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_between_two_runs_is_noticed(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    with opened(tmp_path / "store") as blobs:
        digest = add(blobs, b"precious content")
        damage(blob_file(blobs, digest))
    with opened(tmp_path / "store") as blobs:
        assert blobs.checked(digest) is None
        assert blobs.missing([digest]) == [digest]
        add(blobs, b"precious content")
        assert blobs.read(digest) == b"precious content"


def test_damage_is_noticed_by_whoever_sends_the_content_again(blobs: BlobStore, tmp_path: Path) -> None:
    digest = add(blobs, b"content")
    let_clock_tick(tmp_path)
    blob_file(blobs, digest).unlink()
    add(blobs, b"content")
    assert blobs.read(digest) == b"content"


def test_nothing_is_hashed_twice_while_untouched(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as blobs:
        digest = add(blobs, b"content")
        assert blobs.checked(digest) and blobs.checked(digest)
        assert blobs.usage().hashed == 0
    with opened(tmp_path / "store") as blobs:
        assert blobs.checked(digest) and blobs.checked(digest)
        assert blobs.usage().hashed == 1


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    with opened(tmp_path / "store", 3 * BLOCK_BYTES) as blobs:
        a, b, c = (add(blobs, data) for data in (b"a", b"b", b"c"))
        assert blobs.missing([a]) == []  # a question is a use
        d = add(blobs, b"d")
        assert blobs.missing([a, b, c, d]) == [b]
        assert blobs.checked(a) is not None  # so is this: the order is now c, d, a
        e = add(blobs, b"e")
        assert blobs.missing([a, c, d, e]) == [c]
        assert len(on_disk(tmp_path / "store")) == 3
        assert blobs.usage().evictions == 2


def test_recency_outlives_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as blobs:
        digests = [add(blobs, bytes([n])) for n in range(4)]
        for age, digest in zip((10, 90, 20, 30), digests, strict=True):
            path = blob_file(blobs, digest)
            then = path.stat().st_mtime_ns - age * 24 * 3600 * 10**9
            os.utime(path, ns=(then, then))
    with opened(tmp_path / "store") as blobs:
        assert blobs.checked(digests[1]) is not None  # now the most recently used
        assert blobs.checked(digests[1]) is not None
        assert blobs.usage().hashed == 1  # noting the use on disk is no reason to doubt the content
    with opened(tmp_path / "store", 2 * BLOCK_BYTES) as blobs:
        assert blobs.missing(digests) == [digests[2], digests[3]]
        assert blobs.read(digests[1]) == b"\x01"


def test_pinned_content_is_never_evicted(tmp_path: Path) -> None:
    with opened(tmp_path / "store", 2 * BLOCK_BYTES) as blobs:
        a = add(blobs, b"a")
        with blobs.pinned([a, sha(b"b")]):
            b = add(blobs, b"b")  # pinned before it arrived
            with pytest.raises(StoreFull) as raised:
                add(blobs, b"c")
            assert raised.value.reason is Reason.STORE_FULL
            assert blobs.read(a) == b"a" and blobs.read(b) == b"b"
            with blobs.pinned([a]):
                pass
            with pytest.raises(StoreFull):
                add(blobs, b"c")
        add(blobs, b"c")
        assert blobs.usage().blobs == 2


def test_uploads_under_way_count(tmp_path: Path) -> None:
    with opened(tmp_path / "store", 4 * BLOCK_BYTES) as blobs:
        big = b"x" * (3 * BLOCK_BYTES)
        with blobs.writer(sha(big), len(big)) as writer:
            assert blobs.usage().bytes == 0  # a promise takes no room and evicts nothing
            writer.write(big)
            assert blobs.usage().bytes == 3 * BLOCK_BYTES
            with pytest.raises(StoreFull):
                blobs.put(sha(big + b"y"), big + b"y")
        assert blobs.usage().bytes == 0


def test_what_can_never_fit_is_refused_at_once(tmp_path: Path) -> None:
    with opened(tmp_path / "store", 4 * BLOCK_BYTES) as blobs:
        kept = add(blobs, b"kept")
        with pytest.raises(StoreFull):
            blobs.writer(bytes(32), 4 * BLOCK_BYTES + 1)
        assert kept in blobs


def test_a_smaller_limit_at_restart_evicts(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as blobs:
        for n in range(5):
            add(blobs, bytes([n]))
    with opened(tmp_path / "store", 2 * BLOCK_BYTES) as blobs:
        assert blobs.usage().blobs == 2
        assert len(on_disk(tmp_path / "store")) == 2


def test_start_removes_leftovers_and_leaves_strange_files_alone(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as blobs:
        digest = add(blobs, b"x")
        blob = blob_file(blobs, digest)
        (tmp_path / "store/incoming/left-over").write_bytes(b"half")
        other_size = blob.with_name(blob.name.replace("-1", "-2"))
        other_size.write_bytes(b"xx")
        (blob.parent / "README").write_bytes(b"x")
        (tmp_path / "store/blobs/notes").write_bytes(b"x")
        (tmp_path / "store/blobs/zz").mkdir()
        (tmp_path / "store/blobs/00").write_bytes(b"a file where a directory belongs")
    with opened(tmp_path / "store") as blobs:
        assert os.listdir(tmp_path / "store/incoming") == []
        assert blobs.missing([digest]) == [digest]  # of two sizes one must be a lie; neither is believed
        assert {entry.name for entry in blob.parent.iterdir()} == {"README"}
        in_the_way = next(data for n in range(9999) if sha(data := b"%d" % n)[0] == 0)
        assert blobs.read(add(blobs, in_the_way)) == in_the_way


def test_the_directory_deleted_under_a_running_store(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as blobs:
        digests = [add(blobs, bytes([n])) for n in range(20)]
        with blobs.writer(sha(b"late"), 4) as writer:
            writer.write(b"la")
            shutil.rmtree(tmp_path / "store")
            assert blobs.checked(digests[0]) is None
            writer.write(b"te")
            with pytest.raises(StoreError) as raised:
                writer.commit()
            assert raised.value.reason is Reason.STORE_FAILED
        add(blobs, b"late")
        assert blobs.missing([*digests, sha(b"late")]) == digests
        assert blobs.read(sha(b"late")) == b"late"
        with pytest.raises(StoreInUse):
            BlobStore(tmp_path / "store", 1 << 20)


def test_the_directory_deleted_and_taken_by_another(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as first:
        add(first, b"x")
        shutil.rmtree(tmp_path / "store")
        with opened(tmp_path / "store") as second:
            digest = add(second, b"y")
            shutil.rmtree(tmp_path / "store/incoming")
            with pytest.raises(StoreError, match="another zdistccd"):
                add(first, b"z")
            add(second, b"z")
            assert second.read(digest) == b"y"


def test_an_unwritable_store_is_an_error_of_ours(blobs: BlobStore) -> None:
    shutil.rmtree(blobs.home.incoming)
    Path(os.fsdecode(blobs.home.incoming)).write_bytes(b"")
    with pytest.raises(StoreError):
        add(blobs, b"x")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\nfrom zdistcc.store.blobs import BlobStore\n"
        "from zdistcc.store.failures import StoreInUse\n"
        "try:\n BlobStore(pathlib.Path(sys.argv[1]), 1 << 20)\nexcept StoreInUse as e:\n sys.exit(str(e))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "store")]
    with opened(tmp_path / "store") as blobs:
        digest = add(blobs, b"x")
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert "--store" in second.stderr
        assert blobs.read(digest) == b"x"
    assert subprocess.run(command, check=False).returncode == 0


def test_a_directory_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trees").mkdir()
    (tmp_path / "trees/oak").write_bytes(b"mine")
    with pytest.raises(StoreUnusable):
        BlobStore(tmp_path, 1 << 20)
    assert (tmp_path / "trees/oak").read_bytes() == b"mine"
    (tmp_path / "disk/lost+found").mkdir(parents=True)
    BlobStore(tmp_path / "disk", 1 << 20).close()


def test_a_directory_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for name in ("file", "file/below", "a=b"):
        with pytest.raises(StoreUnusable):
            BlobStore(tmp_path / name, 1 << 20)
    (tmp_path / "store").mkdir()
    (tmp_path / "store/zdistcc-store.lock").write_bytes(b"")
    (tmp_path / "store/blobs").write_bytes(b"")
    with pytest.raises(StoreUnusable):
        BlobStore(tmp_path / "store", 1 << 20)

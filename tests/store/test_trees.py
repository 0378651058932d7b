"""Trees: what lies where, which files are one, and what happens when somebody meddles."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zdistcc.errors import Reason
from zdistcc.store import tree as tree_module
from zdistcc.store.blobfile import BLOCK_BYTES
from zdistcc.store.entries import Directory, Entry, File, HardLink, Symlink
from zdistcc.store.failures import StoreError, StoreFull, TreeConflict, TreeLost, TreeRefused
from zdistcc.store.trees import TreeStore

from .kit import (
    DAMAGES,
    add,
    blob_file,
    flip_keeping_mtime,
    let_clock_tick,
    make_unreadable,
    make_writable,
    opened_trees,
    sha,
)


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[TreeStore]:
    with opened_trees(tmp_path / "store") as store:
        yield store


def file(path: bytes, data: bytes, mtime_s: int | None = None) -> File:
    return File(path=path, digest=sha(data), mtime_s=mtime_s)


def everything_below(directory: str) -> set[str]:
    return {os.path.join(at, name) for at, dirs, files in os.walk(directory) for name in (*dirs, *files)}


def test_entries_appear_when_their_content_has_arrived(trees: TreeStore) -> None:
    entries: list[Entry] = [
        file(b"/p/src/a.c", b"a"),
        file(b"/p/inc/b.h", b"b"),
        Directory(path=b"/p/empty"),
        Directory(path=b"/"),
        Symlink(path=b"/p/include", target=b"/p/inc"),
        HardLink(path=b"/p/other.h", of=b"/p/include/b.h"),
    ]
    with trees.job("client", 1) as tree:
        add(trees.blobs, b"a")
        assert tree.ensure(entries) == [sha(b"b")]
        add(trees.blobs, b"b")
        assert tree.ensure(entries) == []
        assert tree.ensure(entries) == []
        assert Path(os.fsdecode(tree.root + b"/p/src/a.c")).read_bytes() == b"a"
        assert Path(os.fsdecode(tree.root + b"/p/include/b.h")).read_bytes() == b"b"
        assert os.path.samefile(tree.root + b"/p/other.h", tree.root + b"/p/inc/b.h")
        assert os.readlink(tree.root + b"/p/include") == b"../p/inc"
        assert os.listdir(tree.root + b"/p/empty") == []
        assert tree.intact(entries)


def test_equal_content_is_two_files_one_file_with_two_names_is_one(trees: TreeStore) -> None:
    add(trees.blobs, b"x")
    entries: list[Entry] = [
        HardLink(path=b"/two-again", of=b"/two"),
        Symlink(path=b"/link", target=b"one"),
        file(b"/one", b"x", 100),
        file(b"/two", b"x", 100),
        file(b"/three", b"x", 200),
        file(b"/four", b"x", 300),
        file(b"/five", b"x", 200),
        file(b"/six", b"x"),
        file(b"/seven", b"x"),
    ]
    with trees.job("client", 1) as tree:
        assert tree.ensure(entries) == []

        def status(name: bytes) -> os.stat_result:
            return os.stat(tree.root + b"/" + name)

        names = (b"one", b"two", b"three", b"four", b"five", b"six", b"seven")
        assert len({status(name).st_ino for name in names}) == len(names)
        assert status(b"link").st_ino == status(b"one").st_ino
        assert status(b"two-again").st_ino == status(b"two").st_ino
        mtimes = [int(status(name).st_mtime) for name in names]
        assert mtimes[0] == mtimes[1] and mtimes[2] == mtimes[4]
        assert len(set(mtimes)) == 5  # 100, 200, 300, and two of which nothing is known
        assert tree.intact(entries)
    with trees.job("client", 2) as other:
        assert other.ensure([file(b"/one", b"x", 100)]) == []
        assert os.path.samefile(other.root + b"/one", tree.root + b"/one")  # no bytes were copied


def test_a_touched_file_matters_only_if_it_has_a_twin(trees: TreeStore) -> None:
    add(trees.blobs, b"x")
    with trees.job("client", 1) as tree:
        assert tree.ensure([file(b"/one", b"x", 100)]) == []
        assert tree.ensure([file(b"/one", b"x", 200)]) == []
        assert tree.ensure([file(b"/two", b"x", 200), file(b"/one", b"x")]) == []
        assert int(os.stat(tree.root + b"/one").st_mtime) == int(os.stat(tree.root + b"/two").st_mtime)
        with pytest.raises(TreeConflict):
            tree.ensure([file(b"/one", b"x", 300)])


def test_contradictions_ask_for_a_new_epoch(trees: TreeStore) -> None:
    for data in (b"x", b"y"):
        add(trees.blobs, data)
    with trees.job("client", 1) as tree:
        tree.ensure([file(b"/d/f", b"x"), file(b"/d/g", b"y"), Symlink(path=b"/l", target=b"d")])
        contradictions: list[Entry] = [
            file(b"/d/f", b"y"),
            file(b"/l/f", b"y"),
            file(b"/d", b"x"),
            file(b"/d/f/x", b"x"),
            Directory(path=b"/d/f"),
            Symlink(path=b"/d", target=b"x"),
            Symlink(path=b"/d/f", target=b"x"),
            Symlink(path=b"/l", target=b"e"),
            HardLink(path=b"/d/g", of=b"/d/f"),
            HardLink(path=b"/h", of=b"/nothing"),
            HardLink(path=b"/h", of=b"/not/even/here"),
        ]
        for entry in contradictions:
            with pytest.raises(TreeConflict) as raised:
                tree.ensure([entry])
            assert raised.value.reason is Reason.TREE_CONFLICT
        assert tree.ensure([HardLink(path=b"/h", of=b"/d/f"), HardLink(path=b"/h", of=b"/l/f")]) == []
        assert tree.ensure([Symlink(path=b"/l", target=b"./d")]) == []  # the same, said differently
        assert tree.intact([file(b"/d/f", b"x")])
    with trees.job("client", 2) as tree:
        assert tree.ensure([file(b"/d/f", b"y")]) == []


def test_a_planted_link_cannot_be_used_to_write_outside(trees: TreeStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    add(trees.blobs, b"x")
    here = os.fsencode(outside)
    with trees.job("client", 1) as tree:
        up = b"../" * 30
        hostile: list[Entry] = [
            Symlink(path=b"/l1", target=up + here),
            Symlink(path=b"/a/l2", target=b"s/../../.." + here),
            Directory(path=b"/../outside/d"),
            HardLink(path=b"/h", of=b"/.." + here),
        ]
        for entry in hostile:
            with pytest.raises((TreeRefused, TreeConflict)):
                tree.ensure([entry])
        tree.ensure([Symlink(path=b"/l", target=here), file(b"/l/planted", b"x"), Directory(path=b"/l/d")])
        assert list(outside.iterdir()) == []
        assert os.path.exists(tree.root + here + b"/planted")


def test_a_tree_has_a_limit_of_entries(trees: TreeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_module, "NODES_MAX", 10)
    with trees.job("client", 1) as tree, pytest.raises(TreeRefused) as raised:
        tree.ensure([Directory(path=b"/%d" % n) for n in range(20)])
    assert raised.value.reason is Reason.TREE_REFUSED


def test_the_longest_path_is_one_that_the_kernel_takes(trees: TreeStore) -> None:
    add(trees.blobs, b"x")
    with trees.job("client", 1) as tree:
        room = 4095 - len(tree.root)
        path = (b"/" + b"d" * 99) * (room // 100) + b"/" + b"f" * 200
        path = path[:room]
        assert tree.ensure([file(path, b"x")]) == []
        assert os.stat(tree.root + path).st_size == 1
        with pytest.raises(TreeRefused):
            tree.ensure([file(path + b"y", b"x")])
    trees.forget("client")
    while trees.reap(7):
        pass
    assert everything_below(os.fsdecode(trees.blobs.home.trash)) == set()


NOT_TREE_DAMAGE = (flip_keeping_mtime, make_unreadable, make_writable)  # see the docstring of tree.py


@pytest.mark.parametrize("damage", [damage for damage in DAMAGES if damage not in NOT_TREE_DAMAGE])
def test_damage_in_a_tree_is_noticed_after_the_job(
    trees: TreeStore, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    add(trees.blobs, b"content")
    add(trees.blobs, b"more")
    entries = [file(b"/p/f", b"content"), file(b"/p/g", b"more"), file(b"/q/twin", b"content")]
    for victim in (b"/p/f", b"/q/twin"):
        with trees.job("client", 1) as tree:
            assert tree.ensure(entries) == [] and tree.intact(entries)
            let_clock_tick(tmp_path)
            damage(Path(os.fsdecode(tree.root + victim)))
            assert not tree.intact(entries)
            with pytest.raises(TreeLost) as raised:
                tree.ensure([Directory(path=b"/new")])
            assert raised.value.reason is Reason.TREE_LOST
        with trees.job("client", 1) as again:
            assert again is not tree
            for digest in again.ensure(entries):  # damage through a hard link has hit the blob, too
                trees.blobs.put(digest, {sha(b"content"): b"content", sha(b"more"): b"more"}[digest])
            assert again.ensure(entries) == []
            assert Path(os.fsdecode(again.root + victim)).read_bytes() == b"content"
            assert again.intact(entries)
    assert trees.usage().condemned == 2


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_blob_condemns_the_trees_that_link_to_it(
    trees: TreeStore, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    digest = add(trees.blobs, b"content")
    with trees.job("idle", 1) as idle:
        idle.ensure([file(b"/f", b"content")])
    busy = trees.acquire("busy", 1)
    busy.ensure([file(b"/f", b"content")])
    let_clock_tick(tmp_path)
    damage(blob_file(trees.blobs, digest))
    with trees.job("new", 1) as tree:
        assert tree.ensure([file(b"/f", b"content")]) == [digest]
    assert busy.condemned and idle.condemned
    assert os.path.isdir(busy.root) and not os.path.exists(idle.root)
    assert not busy.intact([])
    trees.release(busy)
    assert not os.path.exists(busy.root)


def test_a_blob_that_proves_damaged_for_a_second_path(trees: TreeStore, tmp_path: Path) -> None:
    digest = add(trees.blobs, b"content")
    with trees.job("client", 1) as tree:
        tree.ensure([file(b"/f", b"content")])
        let_clock_tick(tmp_path)
        blob_file(trees.blobs, digest).unlink()
        with pytest.raises(TreeLost):
            tree.ensure([file(b"/g", b"content")])
    with trees.job("client", 1) as tree:
        assert tree.ensure([file(b"/g", b"content")]) == [digest]


@pytest.mark.parametrize("part", ["", "trees", "blobs", "trash", "incoming"])
def test_parts_of_the_store_deleted_while_jobs_run(trees: TreeStore, tmp_path: Path, part: str) -> None:
    contents = [b"%d" % n for n in range(10)]
    entries = [file(b"/p/%d" % n, data) for n, data in enumerate(contents)]
    for data in contents:
        add(trees.blobs, data)
    running = trees.acquire("client", 1)
    assert running.ensure(entries) == []
    shutil.rmtree(tmp_path / "store" / part)
    if part in ("", "trees"):
        assert not running.intact(entries)
    for _ in range(3):
        with trees.job("client", 1) as tree:
            for digest in tree.ensure(entries):
                trees.blobs.put(digest, next(data for data in contents if sha(data) == digest))
            assert tree.ensure(entries) == []
            assert tree.intact(entries)
            assert all(
                Path(os.fsdecode(tree.root + entry.path)).read_bytes() == data
                for entry, data in zip(entries, contents, strict=True)
            )
        trees.forget("other")
    trees.release(running)
    trees.forget("client")
    while trees.reap(3):
        pass


def test_a_tree_deleted_between_ensure_calls(trees: TreeStore) -> None:
    add(trees.blobs, b"x")
    with trees.job("client", 1) as tree:
        tree.ensure([Directory(path=b"/d")])
        shutil.rmtree(tree.root)
        with pytest.raises(TreeLost):
            tree.ensure([file(b"/d/f", b"x")])
    with trees.job("client", 1) as tree:
        tree.ensure([Directory(path=b"/d")])
        Path(os.fsdecode(tree.root + b"/d/f")).write_bytes(b"in the way")
        with pytest.raises(TreeLost):
            tree.ensure([file(b"/d/f", b"x")])


def test_old_epochs_and_clients_go_first_but_none_that_is_used(tmp_path: Path) -> None:
    with opened_trees(tmp_path / "store", epochs_per_client=2, trees_max=4) as trees:
        first = trees.acquire("a", 1)
        for epoch in range(2, 6):
            with trees.job("a", epoch):
                pass
        assert trees.usage().trees == 2
        with trees.job("a", 1) as again:
            assert again is first
        for client in "bcdef":
            with trees.job(client, 1):
                pass
        assert trees.usage().trees == 4
        with trees.job("a", 1) as again:
            assert again is first
        trees.release(first)
        trees.forget("a")
        assert trees.usage().trees == 3


def test_forgetting_a_client_spares_its_running_job(trees: TreeStore) -> None:
    add(trees.blobs, b"x")
    with trees.job("client", 1) as tree:
        tree.ensure([file(b"/f", b"x")])
        trees.forget("client")
        assert trees.usage().acquired == 1
        assert os.path.exists(tree.root + b"/f")
    assert not os.path.exists(tree.root)


def test_what_nobody_uses_for_long_is_removed(tmp_path: Path) -> None:
    with opened_trees(tmp_path / "store", idle_s=-1) as trees:
        with trees.job("client", 1):
            trees.reap(1)
            assert trees.usage().trees == 1
        trees.reap(1)
        assert trees.usage().trees == 0


def test_trees_and_blobs_share_one_limit(tmp_path: Path) -> None:
    with opened_trees(tmp_path / "store", 8 * BLOCK_BYTES) as trees:
        for n in range(3):
            add(trees.blobs, b"%d" % n)
        with trees.job("client", 1) as tree:
            assert tree.ensure([file(b"/%d" % n, b"%d" % n) for n in range(3)]) == []
            for n in range(3, 20):
                add(trees.blobs, b"%d" % n)  # evicts what the tree doesn't need
            assert trees.usage().blobs.blobs == 8
            assert tree.ensure([file(b"/twin%d" % n, b"0") for n in range(5)]) == []
            with pytest.raises(StoreFull):
                tree.ensure([file(b"/twin5", b"0")])
            with pytest.raises(StoreFull):
                add(trees.blobs, b"new")
            assert tree.intact([file(b"/0", b"0")])
        add(trees.blobs, b"new")  # takes the tree, now that nobody uses it
        assert trees.usage().trees == 0
        assert trees.usage().blobs.bytes == 4 * BLOCK_BYTES


def test_a_start_begins_without_trees_and_empties_the_trash(tmp_path: Path) -> None:
    with opened_trees(tmp_path / "store") as trees:
        add(trees.blobs, b"x")
        for epoch in range(3):
            with trees.job("client", epoch) as tree:
                tree.ensure([file(b"/d/%d" % n, b"x") for n in range(9)])
        trees.forget("client")
        (tmp_path / "store/trash/file").write_bytes(b"")
        with trees.job("client", 9) as tree:
            tree.ensure([file(b"/f", b"x"), Symlink(path=b"/l", target=b"/")])
    with opened_trees(tmp_path / "store") as trees:
        assert os.listdir(tmp_path / "store/trees") == []
        assert trees.reap(5)
        assert everything_below(str(tmp_path / "store/trash"))
        while trees.reap(5):
            pass
        assert everything_below(str(tmp_path / "store/trash")) == set()
        assert trees.blobs.missing([sha(b"x")]) == []


def test_reaping_deletes_no_more_than_its_budget(trees: TreeStore) -> None:
    with trees.job("client", 1) as tree:
        tree.ensure([Directory(path=b"/d/e/%d" % n) for n in range(20)])
    trees.forget("client")
    trash = os.fsdecode(trees.blobs.home.trash)
    before = len(everything_below(trash))
    add(trees.blobs, b"x")
    while trees.reap(4):
        left = len(everything_below(trash))
        assert before - left <= 23
        before = left
    assert everything_below(trash) == set()


def test_new_entry_objects_for_old_paths_are_not_kept_forever(trees: TreeStore) -> None:
    add(trees.blobs, b"x")

    class Counted(File):
        pass

    with trees.job("client", 1) as tree:
        for _ in range(200):
            again = [Counted(path=b"/%d" % n, digest=sha(b"x")) for n in range(3)]
            assert tree.ensure(again) == []
        assert tree.intact(again)
        assert tree.intact([file(b"/1", b"x")])
        assert not tree.intact([file(b"/9", b"y")])
    gc.collect()
    assert sum(isinstance(thing, Counted) for thing in gc.get_objects()) < 30


def test_a_file_system_without_hard_links(trees: TreeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add(trees.blobs, b"x")

    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(1, "no hard links here")

    with trees.job("client", 1) as tree:
        monkeypatch.setattr(os, "link", refuse)
        assert tree.ensure([file(b"/f", b"x")]) == []
        assert Path(os.fsdecode(tree.root + b"/f")).read_bytes() == b"x"
        with pytest.raises(StoreError):
            tree.ensure([HardLink(path=b"/g", of=b"/f")])

"""Hostile paths and links: nothing in a tree leads out of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zdistcc.store.failures import StoreError, TreeConflict, TreeRefused
from zdistcc.store.mirror import Mirror


def tree(*, links: dict[bytes, bytes] | None = None, files: tuple[bytes, ...] = ()) -> Mirror:
    mirror = Mirror(3000)
    for path, target in (links or {}).items():
        physical, rewritten, needed = mirror.resolve_link(path, target)
        for directory in needed:
            mirror.add_directory(directory)
        mirror.add_link(physical, rewritten)
    for path in files:
        physical, needed = mirror.resolve_file(path)
        for directory in needed:
            mirror.add_directory(directory)
        mirror.add_file(physical)
    return mirror


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"a",
        b"a/b",
        b"./a",
        b"../a",
        b"/..",
        b"/../a",
        b"/a/../../b",
        b"/a\0b",
        b"/a/" + b"x" * 256,
        b"/" + b"x/" * 2000,
        b"/" + b"x" * 256 + b"/a",
    ],
)
def test_hostile_paths_are_refused(path: bytes) -> None:
    mirror = tree(files=(b"/a/known.h",))
    for ask in (mirror.resolve_file, mirror.resolve_directory, lambda path: mirror.resolve_link(path, b"x")):
        with pytest.raises((TreeRefused, TreeConflict)):
            ask(path)
    with pytest.raises(TreeRefused):
        tree(files=(b"/known/x.h",)).resolve_file(b"/known/" + b"x" * 256)  # also behind a known directory


def test_dots_and_slashes_are_normalised() -> None:
    assert tree().resolve_file(b"//a/./b//c.h") == (b"/a/b/c.h", [b"/a", b"/a/b"])


def test_going_up_needs_the_directory_to_go_up_from() -> None:
    assert tree().resolve_file(b"/p/foo/../bar.h") == (b"/p/bar.h", [b"/p", b"/p/foo"])
    assert tree().resolve_directory(b"/p/foo/..") == (b"/p", [b"/p", b"/p/foo"])
    assert tree(files=(b"/p/foo/x.h",)).resolve_file(b"/p/foo/../bar.h") == (b"/p/bar.h", [])


def test_going_up_through_a_link_goes_where_the_link_leads() -> None:
    mirror = tree(links={b"/p/foo": b"/deep/er/est"})
    assert mirror.resolve_file(b"/p/foo/../bar.h")[0] == b"/deep/er/bar.h"


@pytest.mark.parametrize(
    ("path", "target", "physical", "rewritten"),
    [
        (b"/a/b/l", b"c", b"/a/b/l", b"c"),
        (b"/a/b/l", b"../c", b"/a/b/l", b"../c"),
        (b"/a/b/l", b"../b/c", b"/a/b/l", b"../b/c"),
        (b"/a/b/l", b"/x/y", b"/a/b/l", b"../../x/y"),
        (b"/a/b/l", b"/a/y", b"/a/b/l", b"../../a/y"),
        (b"/a/b/l", b"/", b"/a/b/l", b"../.."),
        (b"/a/b/l", b".", b"/a/b/l", b"."),
        (b"/a/b/l", b"../..", b"/a/b/l", b"../.."),
        (b"/l", b"/l", b"/l", b"l"),
        (b"/s/l", b"/x/y", b"/one/two/three/l", b"../../../x/y"),
        (b"/s/l", b"../y", b"/one/two/three/l", b"../y"),
        (b"/s/l", b"/one/../x", b"/one/two/three/l", b"../../../x"),
        (b"/l", b"s/../../z", b"/l", b"one/z"),
    ],
)
def test_links_are_rewritten_relative_to_where_they_really_are(
    path: bytes, target: bytes, physical: bytes, rewritten: bytes
) -> None:
    mirror = tree(links={b"/s": b"one/two/three"}, files=(b"/one/two/three/f",))
    assert mirror.resolve_link(path, target)[:2] == (physical, rewritten)


@pytest.mark.parametrize(
    "target",
    [b"", b"..", b"../x", b"x/../../y", b"/..", b"/../x", b"a\0b", b"x" * 256, b"x/" * 2000, b"unknown/../x"],
)
def test_hostile_targets_are_refused(target: bytes) -> None:
    with pytest.raises(TreeRefused):
        tree().resolve_link(b"/l", target)


def test_a_loop_of_links_is_refused() -> None:
    mirror = tree(links={b"/a": b"b", b"/b": b"a"})
    for path in (b"/a", b"/a/x"):
        with pytest.raises(TreeRefused):
            mirror.resolve_file(path)


def test_a_file_reached_through_links() -> None:
    mirror = tree(links={b"/inc/x.h": b"../real/x.h", b"/usr/lib": b"/real"})
    assert mirror.resolve_file(b"/inc/x.h") == (b"/real/x.h", [b"/real"])
    assert mirror.resolve_file(b"/inc/y.h") == (b"/inc/y.h", [])  # no memory of where its neighbour led
    assert mirror.resolve_file(b"/usr/lib/z.h") == (b"/real/z.h", [b"/real"])


def test_what_is_one_kind_cannot_be_another() -> None:
    mirror = tree(links={b"/l": b"d", b"/root": b"/"}, files=(b"/d/f",))
    for path in (b"/d", b"/l", b"/d/f/x", b"/root", b"/root/d"):
        with pytest.raises(TreeConflict):
            mirror.resolve_file(path)
    for path in (b"/", b"/d/..", b"/d/f/", b"/d/f/."):
        with pytest.raises(TreeRefused):
            mirror.resolve_file(path)
    for path in (b"/d/f", b"/d/f/x", b"/l/f/.."):
        with pytest.raises(TreeConflict):
            mirror.resolve_directory(path)
    for path in (b"/d", b"/d/f", b"/d/f/x"):
        with pytest.raises(TreeConflict):
            mirror.resolve_link(path, b"x")
    for path in (b"/", b"/d/.."):
        with pytest.raises(TreeRefused):
            mirror.resolve_link(path, b"x")


NAMES = st.sampled_from([b"a", b"b", b"c", b"..", b"."])
PATHS = st.lists(NAMES, min_size=1, max_size=6).map(b"/".join)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("file"), PATHS.map(lambda path: b"/" + path), st.just(b"")),
        st.tuples(st.just("directory"), PATHS.map(lambda path: b"/" + path), st.just(b"")),
        st.tuples(
            st.just("link"),
            PATHS.map(lambda path: b"/" + path),
            st.one_of(PATHS, PATHS.map(lambda path: b"/" + path)),
        ),
    ),
    max_size=14,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_the_kernel_agrees_and_nothing_escapes(steps: list[tuple[str, bytes, bytes]]) -> None:
    """Do to a real directory what the mirror says: every path leads where the mirror says, and inside."""
    with tempfile.TemporaryDirectory() as name:
        root = os.path.realpath(os.fsencode(name)) + b"/root"
        os.mkdir(root)
        mirror = Mirror(3000)
        for kind, path, target in steps:
            try:
                _do(root, mirror, kind, path, target)
            except StoreError:
                continue
        for physical in (*mirror.files, *mirror.links, *mirror.directories):
            real = os.path.realpath(root + physical)
            assert real == root or real.startswith(root + b"/")


def _do(root: bytes, mirror: Mirror, kind: str, path: bytes, target: bytes) -> None:
    if kind == "link":
        physical, rewritten, needed = mirror.resolve_link(path, target)
        if physical in mirror.links:
            return
    elif kind == "file":
        physical, needed = mirror.resolve_file(path)
        if physical in mirror.files:
            return
    else:
        physical, needed = mirror.resolve_directory(path)
    for directory in needed:
        os.mkdir(root + directory)
        mirror.add_directory(directory)
    match kind:
        case "link":
            os.symlink(rewritten, root + physical)
            mirror.add_link(physical, rewritten)
        case "file":
            Path(os.fsdecode(root + physical)).write_bytes(path)
            mirror.add_file(physical)
            assert os.path.samefile(root + path, root + physical)
        case _:
            assert os.path.samefile(root + path, root + (physical or b"/"))

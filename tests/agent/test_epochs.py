"""Which changes begin a new epoch, and which do not."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import pytest

from zdistcc.agent.epochs import Epochs
from zdistcc.sources.model import Closure, Link, SourceFile

SERIALS = itertools.count(1)
LONG_AGO_S = 1_000_000_000


def closure(root: Path, files: dict[str, bytes], *, links: dict[str, str] | None = None, passed: str = "") -> Closure:
    """A closure of files that exist below ``root``; digests are stand-ins."""
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return Closure(
        files=tuple(SourceFile(os.fsencode(root / name), digest, 1) for name, digest in files.items()),
        links=tuple(Link(os.fsencode(root / a), os.fsencode(root / b)) for a, b in (links or {}).items()),
        directories=(os.fsencode(root / passed),) if passed else (),
        cautions=(),
        serial=next(SERIALS),
    )


def test_what_is_added_stays_in_the_epoch(tmp_path: Path) -> None:
    epochs = Epochs()
    first = closure(tmp_path, {"a.c": b"1", "i/x.h": b"2"})
    number = epochs.admit(first, epochs.looks)
    assert epochs.admit(first, epochs.looks) == number
    assert epochs.admit(closure(tmp_path, {"b.c": b"3", "i/x.h": b"2"}), epochs.looks) == number
    assert epochs.admit(first, epochs.looks) == number


def test_another_content_begins_a_new_one_for_everybody(tmp_path: Path) -> None:
    epochs = Epochs()
    first = closure(tmp_path, {"a.c": b"1", "x.h": b"2"})
    number = epochs.admit(first, epochs.looks)
    changed = closure(tmp_path, {"a.c": b"1", "x.h": b"9"})
    assert epochs.admit(changed, epochs.looks) == number + 1
    assert epochs.admit(changed, epochs.looks) == number + 1
    # and back, as when a branch is checked out twice: the old closure does not fit what replaced it
    assert epochs.admit(first, epochs.looks) == number + 2


def test_another_target_of_a_link(tmp_path: Path) -> None:
    epochs = Epochs()
    for target in ("r1", "r2"):
        (tmp_path / target).mkdir()
    (tmp_path / "cur").symlink_to("r1")
    number = epochs.admit(closure(tmp_path, {"a.c": b"1"}, links={"cur": "r1"}), epochs.looks)
    assert epochs.admit(closure(tmp_path, {"a.c": b"1"}, links={"cur": "r2"}), epochs.looks) == number + 1


@pytest.mark.parametrize("old", [False, True])
def test_a_file_that_vanishes(tmp_path: Path, old: bool) -> None:
    """Also one that only another job reads: it could be found first now where it is not on the client."""
    epochs = Epochs()
    first = closure(tmp_path, {"a.c": b"1", "i/x.h": b"2"})
    second = closure(tmp_path, {"a.c": b"1", "j/x.h": b"2"})
    if old:
        os.utime(tmp_path / "i", (LONG_AGO_S, LONG_AGO_S))
    number = epochs.admit(first, epochs.looks)
    assert epochs.admit(second, epochs.looks) == number
    (tmp_path / "i/x.h").unlink()
    assert epochs.admit(second, epochs.looks) == number + 1
    assert epochs.admit(second, epochs.looks) == number + 1


def test_a_file_that_vanishes_and_comes_back_in_between(tmp_path: Path) -> None:
    epochs = Epochs()
    only = closure(tmp_path, {"a.c": b"1", "i/x.h": b"2"})
    number = epochs.admit(only, epochs.looks)
    (tmp_path / "i/x.h").rename(tmp_path / "i/y.h")
    (tmp_path / "i/y.h").rename(tmp_path / "i/x.h")
    assert epochs.admit(only, epochs.looks) == number


def test_a_directory_that_vanishes(tmp_path: Path) -> None:
    epochs = Epochs()
    (tmp_path / "gone").mkdir()
    number = epochs.admit(closure(tmp_path, {"a.c": b"1", "i/x.h": b"2"}, passed="gone"), epochs.looks)
    other = closure(tmp_path, {"a.c": b"1"})
    assert epochs.admit(other, epochs.looks) == number
    (tmp_path / "gone").rmdir()
    assert epochs.admit(other, epochs.looks) == number + 1
    shutil.rmtree(tmp_path / "i")
    assert epochs.admit(other, epochs.looks) == number + 1


def test_a_tree_in_doubt_is_abandoned(tmp_path: Path) -> None:
    epochs = Epochs()
    only = closure(tmp_path, {"a.c": b"1"})
    number = epochs.admit(only, epochs.looks)
    epochs.abandon()
    assert epochs.admit(only, epochs.looks) == number + 1

"""Epochs on a real disk: what begins a new one, and when the directories are looked at."""

from __future__ import annotations

import hashlib
import itertools
import os
from pathlib import Path

import pytest

from zdistcc.agent.epochs import Epochs
from zdistcc.sources.model import Closure, SourceFile

SERIALS = itertools.count(1)


def closure(*paths: Path) -> Closure:
    files = tuple(
        SourceFile(os.fsencode(path), hashlib.sha256(path.read_bytes()).digest(), path.stat().st_size) for path in paths
    )
    return Closure(files=files, links=(), directories=(), cautions=(), serial=next(SERIALS))


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("a.c", "b.c", "h.h")]
    for path in paths:
        path.write_text(path.name)
    return paths


def test_an_epoch_grows(sources: list[Path]) -> None:
    a, b, header = sources
    epochs = Epochs()
    first = epochs.admit(closure(a, header), epochs.looks)
    assert epochs.admit(closure(b, header), epochs.looks) == first


def test_changed_content_begins_an_epoch(sources: list[Path]) -> None:
    a, b, header = sources
    epochs = Epochs()
    first = epochs.admit(closure(a, header), epochs.looks)
    header.write_text("other")
    assert epochs.admit(closure(b, header), epochs.looks) > first


def test_a_vanished_file_begins_an_epoch(sources: list[Path]) -> None:
    a, b, header = sources
    epochs = Epochs()
    one, two = closure(a, header), closure(b)
    first = epochs.admit(one, epochs.looks)
    assert epochs.admit(two, epochs.looks) == first
    header.unlink()
    assert epochs.admit(two, epochs.looks) > first


def test_jobs_share_a_look_that_came_after_their_closures(sources: list[Path]) -> None:
    a, b, header = sources
    epochs = Epochs()
    one, two = closure(a, header), closure(b)
    for each in (one, two):
        epochs.admit(each, epochs.looks)
    found = epochs.looks
    first = epochs.admit(two, found)
    header.unlink()
    assert epochs.admit(two, found) == first, "looked at after its closure was found, before the file vanished"
    assert epochs.admit(two, epochs.looks) > first


def test_a_vanished_file_is_not_overlooked_by_those_who_share(sources: list[Path]) -> None:
    a, b, header = sources
    epochs = Epochs()
    one, two = closure(a, header), closure(b)
    for each in (one, two):
        first = epochs.admit(each, epochs.looks)
    header.unlink()
    found = epochs.looks
    assert epochs.admit(two, found) > first
    assert epochs.admit(two, found) == epochs.admit(two, epochs.looks)


def test_a_closure_new_to_the_epoch_is_looked_at(sources: list[Path]) -> None:
    a, b, header = sources
    epochs = Epochs()
    one, two = closure(a), closure(b, header)
    first = epochs.admit(one, epochs.looks)
    found = epochs.looks
    epochs.admit(one, found)
    header.unlink()
    assert epochs.admit(two, found) > first

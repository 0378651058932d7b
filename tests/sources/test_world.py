"""When a signature may be believed, told by a clock that the test turns."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zdistcc.sources.model import Now
from zdistcc.sources.world import (
    COARSE_TICK_NS,
    FINE_TICK_NS,
    LONG_PAST_NS,
    World,
    is_settled,
    present_signature,
)

FINE = 10**18 + 123_456_789
COARSE = 10**18 + 10**9


@pytest.mark.parametrize(
    ("changed", "age_ns", "watched_ns", "settled"),
    [
        (FINE, 0, 0, False),
        (FINE, 0, FINE_TICK_NS - 1, False),
        (FINE, 0, FINE_TICK_NS, True),
        (COARSE, 0, FINE_TICK_NS, False),
        (COARSE, 0, COARSE_TICK_NS, True),
        (FINE, LONG_PAST_NS, 0, False),
        (FINE, LONG_PAST_NS + 1, 0, True),
        (FINE, -3_600 * 10**9, 0, False),  # a server whose clock is ahead
        (FINE, -3_600 * 10**9, FINE_TICK_NS, True),
    ],
)
def test_settling(changed: int, age_ns: int, watched_ns: int, settled: bool) -> None:
    signature = (changed, changed - 10**9, 1, 2, 3)
    assert is_settled(signature, 5_000, Now(changed + age_ns, 5_000 + watched_ns)) is settled


def test_a_later_modification_time_than_change_time_counts() -> None:
    signature = (FINE, FINE + LONG_PAST_NS, 1, 2, 3)
    assert not is_settled(signature, 0, Now(FINE + LONG_PAST_NS + 1, 0))


class HandClock:
    def __init__(self, path: Path) -> None:
        self.wall_ns = os.stat(path).st_ctime_ns
        self.steady_ns = 0

    def __call__(self) -> Now:
        return Now(self.wall_ns, self.steady_ns)

    def turn(self, span_ns: int) -> None:
        self.wall_ns += span_ns
        self.steady_ns += span_ns


def test_a_fresh_file_is_read_until_its_clock_has_ticked(tmp_path: Path) -> None:
    path = tmp_path / "a.h"
    path.write_text("a")
    name = os.fsencode(path)
    clock = HandClock(path)
    world = World(clock)
    tick = FINE_TICK_NS if os.stat(path).st_ctime_ns % 1_000_000 else COARSE_TICK_NS
    reads = []
    for _ in range(6):
        file = world.read_again(name, since_ns=clock.steady_ns)
        assert file is not None
        reads.append((world.files_read, file.check[1] is not None))
        clock.turn(tick // 2)
    assert reads == [(1, False), (2, False), (3, True), (3, True), (3, True), (3, True)]


def test_within_one_job_a_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.h"
    path.write_text("a")
    clock = HandClock(path)
    world = World(clock)
    for _ in range(3):
        world.read_again(os.fsencode(path), since_ns=0)
    assert world.files_read == 1


def test_content_is_known_under_every_name_of_an_inode(tmp_path: Path) -> None:
    path = tmp_path / "a.h"
    path.write_text("a")
    os.link(path, tmp_path / "b.h")
    clock = HandClock(path)
    clock.turn(2 * LONG_PAST_NS)
    world = World(clock)
    first, second = (world.file(os.fsencode(tmp_path / name)) for name in ("a.h", "b.h"))
    assert first is not None
    assert second is not None
    assert first.content is second.content
    assert world.files_read == 1


def test_a_directory_answers_until_an_asked_name_moves(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("")
    world = World()
    name = os.fsencode(tmp_path)
    assert world.consult(name, b"here")[0]
    present, directory = world.consult(name, b"absent")
    assert not present
    for created, version in (("unasked", 0), ("absent", 1)):
        (tmp_path / created).write_text("")
        world.renew_directory(directory, world.clock().steady_ns)
        assert directory.version == version
    assert world.consult(name, b"absent")[0]


def test_what_is_watched_for_a_missing_directory(tmp_path: Path) -> None:
    world = World()
    name = os.fsencode(tmp_path)
    for path in (b"/x/y", b"/x/..", b"/x/../y", b"/x/../../z", b"/x"):
        present, watched = world.consult(name + path, b"a.h")
        assert not present
        assert watched.path == name
    assert "x" not in os.listdir(tmp_path)
    assert directory_asked(world, name) == {b"x"}


def directory_asked(world: World, path: bytes) -> set[bytes]:
    return world.directory(path).asked


def test_signatures_of_nothing() -> None:
    assert present_signature(b"/nonexistent/x") == ()

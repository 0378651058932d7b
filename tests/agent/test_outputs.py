"""What is written where the compiler would have written it."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from zdistcc.agent import outputs
from zdistcc.agent.outputs import NotWritten, is_plain_target, write


@pytest.fixture(params=[0o022, 0o077])
def own_umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def put(path: Path, data: bytes = b"object", *, umask: int = 0o022, wanted: bool = True) -> None:
    write(os.fsencode(path), data, umask=umask, unique="1-2", still_wanted=lambda: wanted)


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077, 0o777])
def test_the_launcher_s_umask_counts_and_not_ours(tmp_path: Path, own_umask: int, umask: int) -> None:
    put(tmp_path / "x.o", umask=umask)
    assert stat.S_IMODE((tmp_path / "x.o").stat().st_mode) == 0o666 & ~umask


def test_it_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "x.o").write_bytes(b"old")
    put(tmp_path / "x.o", b"n" * 1_000_000)
    assert (tmp_path / "x.o").read_bytes() == b"n" * 1_000_000
    assert os.listdir(tmp_path) == ["x.o"]


def test_a_job_that_is_not_wanted_any_more_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.o").write_bytes(b"old")
    with pytest.raises(NotWritten):
        put(tmp_path / "x.o", wanted=False)
    assert (tmp_path / "x.o").read_bytes() == b"old" and os.listdir(tmp_path) == ["x.o"]


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.o").write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(NotWritten, match="too large"):
            put(tmp_path / "x.o", b"n" * 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "x.o").read_bytes() == b"old" and os.listdir(tmp_path) == ["x.o"]


def test_no_directory_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(NotWritten, match="No such file"):
        put(tmp_path / "none" / "x.o")


def test_an_agent_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def look() -> bool:
        seen.append(os.listdir(tmp_path))
        return True

    write(os.fsencode(tmp_path / "x.o"), b"object", umask=0o022, unique="1-2", still_wanted=look)
    assert seen == [[]], "the file has a name before it is complete"


@pytest.mark.parametrize("nameless", [0, os.O_DIRECTORY])
def test_where_every_file_needs_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nameless: int) -> None:
    """A system, or a file system, that cannot do otherwise."""
    monkeypatch.setattr(outputs, "_NAMELESS", nameless)
    put(tmp_path / "x.o", b"first")
    put(tmp_path / "x.o", b"second")
    assert (tmp_path / "x.o").read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["x.o"]


def test_a_directory_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "x.o" / "y").mkdir(parents=True)
    with pytest.raises(NotWritten):
        put(tmp_path / "x.o")
    assert os.listdir(tmp_path) == ["x.o"]


def test_long_and_odd_names(tmp_path: Path) -> None:
    for name in (b"n" * 255, b"\xff\xfe.o", b"-o", b"a\nb"):
        path = os.path.join(os.fsencode(tmp_path), name)
        write(path, b"object", umask=0o022, unique="1-2", still_wanted=lambda: True)
        assert Path(os.fsdecode(path)).read_bytes() == b"object"


def test_what_is_a_plain_target(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("none")
    os.mkfifo(tmp_path / "pipe")
    for name, plain in (
        ("file", True),
        ("new", True),
        ("link", False),
        ("dangling", False),
        ("pipe", False),
        (".", False),
    ):
        assert is_plain_target(os.fsencode(tmp_path / name)) is plain
    assert not is_plain_target(b"/dev/null")

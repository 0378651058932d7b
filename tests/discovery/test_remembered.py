"""The cache of workers: anything may be in that file."""

from __future__ import annotations

from pathlib import Path

import pytest

from zdistcc.discovery.remembered import MAX_REMEMBERED, Remembered, load, save


def worker(number: int) -> Remembered:
    return Remembered(id=f"{number:016x}", name="w", addresses=("192.0.2.1",), port=3633, seen=float(number))


def test_the_latest_are_kept_in_order(tmp_path: Path) -> None:
    file = tmp_path / "new" / "workers.json"
    save(file, [worker(n) for n in range(MAX_REMEMBERED + 50)])
    assert load(file) == [worker(n) for n in reversed(range(50, MAX_REMEMBERED + 50))]
    assert [path.name for path in file.parent.iterdir()] == ["workers.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[",
        b"null",
        b"[1]",
        b"\xff",
        b'[{"id": 1}]',
        b'[{"id":"a","name":"n","addresses":["x"],"port":"p","seen":0}]',
        b'[{"id":"a","name":"n","addresses":["x"],"port":1e400,"seen":0}]',
        b"[" * 100_000,
        b'[{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
    ],
    ids=lambda content: ascii(content[:20]),
)
def test_damage_is_as_good_as_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "workers.json"
    file.write_bytes(content)
    assert load(file) == []
    save(file, [worker(1)])
    assert load(file) == [worker(1)]


def test_no_file_and_no_room(tmp_path: Path) -> None:
    assert load(tmp_path / "none") == load(tmp_path) == []
    (tmp_path / "file").touch()
    save(tmp_path / "file" / "workers.json", [worker(1)])
    (tmp_path / "taken" / "x").mkdir(parents=True)
    save(tmp_path / "taken", [worker(1)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]

"""Builds to compare: the same commands with the plain compiler and through the farm, in the same directory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.farm import Farm

TEMPORARY = ".zdistcc-"
UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", "--")
"""Put before a command, this makes root mind permissions; such a command needs an agent of its own."""

# Twenty seconds of work for one compiler and next to no memory, to be interrupted.
SLOW_SOURCE = """
constexpr unsigned long work(unsigned long rounds) {
    unsigned long sum = 0;
    for (unsigned long i = 0; i < rounds; i++) sum += i * i;
    return sum;
}
constexpr unsigned long answer = work(ROUNDS);
unsigned long result() { return answer; }
"""
SLOW_FLAGS = ("-std=c++17", "-fconstexpr-loop-limit=2000000000", "-fconstexpr-ops-limit=20000000000")


@dataclass(slots=True)
class Counted:
    """What the agent counted during a `with counted(farm)`."""

    remote: int = 0
    local: int = 0
    failed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    workers: dict[str, int] = field(default_factory=dict)


def _grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    grown = {word: count - before.get(word, 0) for word, count in after.items()}
    return {word: count for word, count in grown.items() if count}


@contextmanager
def counted(farm: Farm) -> Iterator[Counted]:
    """Count jobs; the agent must live through it."""
    before: dict[str, Any] = farm.stats()
    counts = Counted()
    yield counts
    after: dict[str, Any] = farm.stats()
    jobs = _grown(before["jobs"], after["jobs"])
    counts.remote, counts.local, counts.failed = (jobs.get(word, 0) for word in ("remote", "local", "failed"))
    counts.reasons = _grown(before["reasons"], after["reasons"])
    counts.workers = _grown(before["workers"], after["workers"])


def made(directory: Path, *endings: str) -> dict[str, bytes]:
    """Return the files below `directory` with these endings (objects if none is named), by relative path."""
    found = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in found if path.name.endswith(endings or (".o",))
    }


def differing(ours: Mapping[str, bytes], theirs: Mapping[str, bytes]) -> list[str]:
    """Return the names that are not the same in both: short, where pytest would print objects."""
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def stray(directory: Path) -> list[str]:
    """Return the temporary files of ours that are left below `directory`."""
    return sorted(str(path) for path in directory.rglob("*") if TEMPORARY in path.name)


def empty(directory: Path) -> Path:
    """Return `directory`, made anew."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory

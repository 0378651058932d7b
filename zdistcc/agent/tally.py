"""The tally: jobs counted by what became of them, in all and for the build under way, and what they were worth.

A build is what has less than ``BUILD_GAP_S`` without any job in it; the last one stays until another begins.

The speed-up compares with this machine alone.  Its time is estimated: the work of all jobs that are done (a worker's
measurement of its compiler's processor time; the time in a slot here) spread over this machine's slots, or over as
many as the build ever had jobs at once, if that is less.  A slot here is taken to be as fast as those that did the
work, and a machine that ran alone to lose nothing: an estimate, on the low side while jobs are still under way.

Must not know: workers, the clock (times come with the records).  Rejected: the sum of elapsed times on workers as
work, which grows when a worker is overloaded and would make a slow network look like a fast one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from zdistcc.agent.journal import JobRecord

BUILD_GAP_S: Final = 10.0
"""Longer than make or a configure script thinks between two compiles, shorter than a user between two builds."""
FATES: Final = ("remote", "local", "failed", "abandoned")
MODES: Final = ("headers", "preprocessed", "local")
LEAST_ELAPSED_S: Final = 0.5
"""Below this a ratio of times says nothing."""


def work_s(record: JobRecord) -> float:
    """Return the seconds of a compiler that ``record`` was worth."""
    if record.fate == "remote":
        return (record.cpu_ms or record.wall_ms) / 1000
    return record.ended - record.running if record.fate == "local" and record.running else 0.0


@dataclass(slots=True)
class Counts:
    """Jobs that ended."""

    done: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def count(self, record: JobRecord) -> None:
        """Count a job that has ended."""
        self.done[record.fate] += 1
        if record.fate in ("remote", "local"):
            self.modes[record.mode if record.fate == "remote" and record.mode in MODES else "local"] += 1
        if record.fate != "remote" and record.reason:
            self.reasons[record.reason] += 1

    def as_json(self) -> dict[str, Any]:
        """Return the counts under their words; reasons in the order of their number."""
        return {
            "done": {word: self.done[word] for word in FATES},
            "modes": {word: self.modes[word] for word in MODES},
            "reasons": dict(self.reasons.most_common()),
        }


@dataclass(slots=True)
class Build:
    """The jobs since the last pause."""

    begun: float
    last: float
    counts: Counts = field(default_factory=Counts)
    work_s: float = 0.0
    at_once: int = 0


class Tally:
    """Counts all jobs; ``build`` is the last one that began."""

    def __init__(self) -> None:
        self.all = Counts()
        self.build: Build | None = None

    def began(self, record: JobRecord, under_way: int) -> None:
        """A job begins; ``under_way`` are all that have, this one among them."""
        if self.build is None or (under_way == 1 and record.begun - self.build.last > BUILD_GAP_S):
            self.build = Build(begun=record.begun, last=record.begun)
        self.build.at_once = max(self.build.at_once, under_way)

    def ended(self, record: JobRecord) -> None:
        """A job has ended."""
        self.all.count(record)
        if self.build is not None:
            self.build.counts.count(record)
            self.build.work_s += work_s(record)
            self.build.last = record.ended

    def build_as_json(self, now: float, under_way: int, local_slots: int) -> dict[str, Any] | None:
        """Return what is to be said of the build under way, or of the last one."""
        build = self.build
        if build is None:
            return None
        elapsed = (now if under_way else build.last) - build.begun
        slots = max(1, min(local_slots, build.at_once))
        told = elapsed >= LEAST_ELAPSED_S and build.work_s > 0
        return {
            "running": under_way > 0,
            "elapsed_s": round(elapsed, 2),
            "at_once": build.at_once,
            "work_s": round(build.work_s, 2),
            "speed_up": round(build.work_s / slots / elapsed, 2) if told else None,
            **build.counts.as_json(),
        }

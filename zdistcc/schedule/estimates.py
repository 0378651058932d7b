"""Estimates: how much work a job is, and how fast a worker does it; learnt from results alone.

Work is measured in seconds of an imagined slot of speed 1.  Neither side is known at first, only products are ever
seen (work / speed = seconds), so each result corrects both: the language's work per byte and the worker's speed, in
logarithms, the less the more results there were.  A job whose key was seen before is taken to be as much work as then.

Must not know: time, leases, queues.  Rejected: benchmarks on joining (they cost time and say little of compilers),
the clock rates that workers claim (says nothing of who else uses the machine, and a claim is not a result).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from zdistcc.schedule.events import WorkerId

FIRST_GUESS_S: Final = 1.0
"""A job of which nothing is known."""
FIXED_BYTES: Final = 50_000
"""What starting a compiler costs, expressed as input."""
MAX_KEYS: Final = 20_000
LEAST_GAIN_LANGUAGE: Final = 0.03
LEAST_GAIN_WORKER: Final = 0.15
LEAST_GAIN_KNOWN: Final = 0.4
"""How much of a surprise is believed, at least: a job seen before tells more of its worker than one that is new."""
WIDEST: Final = math.log(50)
"""A single result is not believed further than this, whatever it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is known of a job's work."""

    language: str
    input_bytes: int
    key: Hashable | None


@dataclass(slots=True)
class _Level:
    """A smoothed logarithm."""

    value: float
    results: int = 0

    def take(self, surprise: float, least_gain: float) -> float:
        """Correct the value; return what is left of the surprise."""
        self.results += 1
        step = surprise * max(least_gain, 1 / self.results)
        self.value += step
        return surprise - step


class Estimates:
    """Work by language, size and key; speed by worker; ``average_s`` is the work of an average job."""

    def __init__(self) -> None:
        self._rates: dict[tuple[str, bool], _Level] = {}
        self._slowness: dict[WorkerId, _Level] = {}
        self._factors: dict[WorkerId, float] = {}
        self._sum = 0.0
        self._stranger = 1.0
        self._known: OrderedDict[Hashable, float] = OrderedDict()
        self.average_s = FIRST_GUESS_S
        self._results = 0

    def work(self, job: Work) -> float:
        """Return how much work ``job`` is, in seconds at speed 1."""
        known = self._known.get(job.key) if job.key is not None else None
        return known if known is not None else math.exp(self._rate(job).value) * self._units(job)

    def known(self, job: Work) -> bool:
        """Return whether ``job`` has been done before: then its work is no guess."""
        return job.key is not None and job.key in self._known

    def slowness(self, worker: WorkerId) -> float:
        """Return seconds per second of work on ``worker``; a stranger is taken to be as those that are known."""
        return self._factors.get(worker, self._stranger)

    def measured(self, worker: WorkerId) -> bool:
        """Return whether ``worker`` has given a result."""
        return worker in self._slowness

    def learn(self, worker: WorkerId, job: Work, seconds: float) -> None:
        """``worker`` did ``job`` in ``seconds``."""
        if seconds <= 0:
            return
        known = job.key is not None and job.key in self._known
        surprise = math.log(seconds / (self.work(job) * self.slowness(worker)))
        surprise = max(-WIDEST, min(WIDEST, surprise))
        if not known:
            surprise = self._rate(job).take(surprise, LEAST_GAIN_LANGUAGE)
        level = self._slowness.get(worker)
        before = level.value if level is not None else 0.0
        if level is None:
            level = _Level(math.log(self.slowness(worker)))
            self._slowness[worker] = level
        level.take(surprise, LEAST_GAIN_KNOWN if known else LEAST_GAIN_WORKER)
        self._sum += level.value - before
        self._factors[worker] = math.exp(level.value)
        self._stranger = math.exp(self._sum / len(self._slowness))
        self._results += 1
        gain = max(LEAST_GAIN_LANGUAGE, 1 / self._results)
        self.average_s += gain * (seconds / self.slowness(worker) - self.average_s)
        if job.key is not None:
            self._known[job.key] = seconds / self.slowness(worker)
            self._known.move_to_end(job.key)
            if len(self._known) > MAX_KEYS:
                self._known.popitem(last=False)

    def _rate(self, job: Work) -> _Level:
        return self._rates.setdefault((job.language, job.input_bytes > 0), _Level(math.log(self._first_rate(job))))

    @staticmethod
    def _units(job: Work) -> float:
        return float(job.input_bytes + FIXED_BYTES) if job.input_bytes else 1.0

    def _first_rate(self, job: Work) -> float:
        return FIRST_GUESS_S / self._units(job)

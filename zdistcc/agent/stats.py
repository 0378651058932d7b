"""Counters of what happened to every job since the agent started: counted, never sampled."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from zdistcc.errors import Reason
from zdistcc.schedule.snapshot import Snapshot


@dataclass(slots=True)
class Stats:
    """One count per job in ``jobs`` and ``modes``; ``reasons`` says why jobs stayed here or fell back."""

    jobs: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    workers: Counter[str] = field(default_factory=Counter)
    fell_through: Counter[str] = field(default_factory=Counter)

    def fell(self, reason: Reason) -> None:
        """A job was not shipped with its headers, for this reason; it may still be remote."""
        self.fell_through[reason.word] += 1

    def remote(self, mode: str, worker: str) -> None:
        """A job was done by ``worker``, shipped in ``mode``."""
        self.jobs["remote"] += 1
        self.modes[mode] += 1
        self.workers[worker] += 1

    def local(self, reason: Reason) -> None:
        """A job was left to this machine."""
        self.jobs["local"] += 1
        self.modes["local"] += 1
        self.reasons[reason.word] += 1

    def failed(self, reason: Reason) -> None:
        """A job was not done at all (``ZDISTCC_FALLBACK=0``, or its command went away)."""
        self.jobs["failed"] += 1
        self.reasons[reason.word] += 1

    def as_json(self, sent: int, received: int, snapshot: Snapshot | None = None) -> dict[str, Any]:
        """Return the contract of ``zdistcc stats --json``; ``snapshot`` knows of jobs that were started twice."""
        return {
            "jobs": {word: self.jobs[word] for word in ("remote", "local", "failed")},
            "modes": {word: self.modes[word] for word in ("headers", "preprocessed", "local")},
            "reasons": dict(sorted(self.reasons.items())),
            "bytes": {"sent": sent, "received": received},
            "workers": dict(sorted(self.workers.items())),
            "fell_through": dict(sorted(self.fell_through.items())),
            "second_starts": {
                "started": snapshot.duplicates if snapshot else 0,
                "won": snapshot.duplicates_won if snapshot else 0,
                "wasted_s": round(snapshot.wasted_s, 3) if snapshot else 0.0,
            },
        }

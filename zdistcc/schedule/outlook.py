"""Outlook: when a worker would have done one more job, from what it has to do already.

A worker with n jobs and s slots starts the next one when n - s + 1 of them have ended; so it is enough to keep the
expected ends in order.  Own leases have ends that were foreseen when they were granted; a job that is overdue is
expected to need as long again as it is late, and no less than a moment.  Of other agents' jobs only the number is
known: each counts as an average job.

Must not know: which worker is eligible, what the times mean for a decision.
"""

from __future__ import annotations

import math
from bisect import insort
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from zdistcc.schedule.events import JobId

FIRST_OVERHEAD_S: Final = 0.003
"""A job's way to a worker on a LAN and back, until it has been measured."""
FIRST_THROUGHPUT: Final = 30e6
"""Bytes a second, until it has been measured."""
TELLING_BYTES: Final = 100_000
"""Transfers of less say nothing of throughput."""
GAIN: Final = 0.25
SOON_S: Final = 0.05


@dataclass(slots=True)
class Lease:
    """One job on one worker: what was expected when it was granted."""

    granted: float
    run_s: float
    end: float
    sent_bytes: int

    def due(self, now: float) -> float:
        """Return when the job is expected to end, as seen now."""
        return self.end if self.end > now else now + max(SOON_S, now - self.end)


class Prospect(NamedTuple):
    """When a job would begin on a worker, with all it needs there, and how long it would run.

    A tuple, because one is made for each worker that is compared: a frozen dataclass takes four times as long to make.
    """

    start: float
    run_s: float

    @property
    def end(self) -> float:
        """When its answer would be here."""
        return self.start + self.run_s


@dataclass(slots=True)
class Outlook:
    """What is expected of one worker."""

    leases: dict[JobId, Lease] = field(default_factory=dict)
    others: int = 0
    overhead_s: float | None = None
    throughput: float = FIRST_THROUGHPUT
    _ends: list[float] | None = None
    _until: float = 0.0

    def prospect(self, now: float, slots: int, run_s: float, average_s: float, send_bytes: int) -> Prospect:
        """Return what is to be expected of one more job; ``average_s``: how long others' jobs run here."""
        arrival = now + (self.overhead_s or FIRST_OVERHEAD_S) + send_bytes / self.throughput
        ends = self._ends if self._ends is not None and now < self._until else self.ends(now, slots, average_s)
        free = ends[len(ends) - slots] if len(ends) >= slots else now
        return Prospect(free if free > arrival else arrival, run_s)

    def ends(self, now: float, slots: int, average_s: float) -> list[float]:
        """Return when the jobs there are expected to end, in order."""
        if self._ends is None or now >= self._until:
            ends = sorted([lease.due(now) for lease in self.leases.values()])
            for number in range(self.others):
                running = number < slots
                at = now + average_s / 2 if running else ends[len(ends) - slots] + average_s
                insort(ends, at)
            self._ends = ends
            self._until = max(ends[0], now + SOON_S) if ends else float("inf")
        return self._ends

    def plan(self, end: float) -> None:
        """Count a job in that is going to be sent here, until :meth:`forget_plans`.

        Where others have jobs as well they are going to send more, in the same proportion.
        """
        assert self._ends is not None
        for _ in range(1 + round(self.others / max(1, len(self.leases)))):
            insort(self._ends, end)

    def forget_plans(self) -> None:
        """Count only what is really here."""
        self._ends = None

    def lease(self, job: JobId, now: float, prospect: Prospect, sent_bytes: int) -> Lease:
        """A job goes there; return what is expected."""
        lease = Lease(granted=now, run_s=prospect.run_s, end=prospect.end, sent_bytes=sent_bytes)
        self.leases[job] = lease
        self._ends = None
        return lease

    def end(self, job: JobId) -> Lease | None:
        """A lease is over."""
        self._ends = None
        return self.leases.pop(job, None)

    def in_flight(self, slots: int) -> int:
        """Return how many jobs are on their way while ``slots`` work: a far worker needs more to choose from."""
        if not self.leases or self.overhead_s is None:
            return 0
        shortest = min(lease.run_s for lease in self.leases.values())
        return min(slots, math.ceil(slots * self.overhead_s / max(1e-3, shortest)))

    def report(self, busy: int) -> None:
        """The worker said how many jobs it has, of all agents."""
        self.others = max(0, busy - len(self.leases))
        self._ends = None

    def measure(self, lease: Lease, now: float, worked_s: float) -> None:
        """A job came back after the worker was busy with it, or had it waiting, for ``worked_s``."""
        rest = max(1e-4, now - lease.granted - worked_s)
        if lease.sent_bytes >= TELLING_BYTES:
            seen = lease.sent_bytes / max(1e-3, rest - (self.overhead_s or FIRST_OVERHEAD_S))
            self.throughput += GAIN * (min(seen, 2e8) - self.throughput)
        else:
            known = FIRST_OVERHEAD_S if self.overhead_s is None else self.overhead_s
            self.overhead_s = rest if rest < known else known + GAIN * (rest - known)

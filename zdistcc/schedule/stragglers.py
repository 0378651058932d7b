"""Stragglers: which running job should be started a second time, and whether that can be afforded.

A second start costs a slot that nobody else wants at that moment, so it is made only when no job is queued, nor has
been for a moment: a build tool that is told of one job's end at once sends the next.  Started again is what runs far
past its expectation, and what a slow worker has hardly begun when fast ones run out of work.  What is thrown away in
the end is counted, and bounded by a share of the work that was useful.

Must not know: which worker would take the job.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from zdistcc.schedule.outlook import Lease

LATE_FACTOR: Final = 0.5
"""A job is a straggler when it is late by this share of its expected time, and"""
LATE_S: Final = 0.5
"""by this: shorter waits are not worth a second start."""
LATE_PATIENCE: Final = 2.0
"""What is late is expected to need as long again as it is late; a second start may take this much longer than that."""
SOONER: Final = 0.5
"""A job that is not late is started again when that takes less than this share of the time it still needs."""
QUIET_S: Final = 0.25
WASTE_SHARE: Final = 0.05
WASTE_FREE_S: Final = 20.0
"""Seconds of slots that may be thrown away: a share of what was useful, and some at the beginning."""
AT_ONCE_SHARE: Final = 10
"""One in so many slots may run second starts at the same time; two always may."""


class Stragglers:
    """The rule, and the account of what second starts have cost."""

    def __init__(self) -> None:
        self.started = 0
        self.won = 0
        self.useful_s = 0.0
        self.wasted_s = 0.0
        self.quiet_from = 0.0

    def queued(self, now: float) -> None:
        """A job was queued: its like may follow."""
        self.quiet_from = now + QUIET_S

    @staticmethod
    def late_at(lease: Lease) -> float:
        """Return from when on the job of ``lease`` is a straggler."""
        return lease.end + max(LATE_S, LATE_FACTOR * (lease.end - lease.granted))

    @staticmethod
    def worthwhile(lease: Lease, end: float, now: float) -> bool:
        """Return whether to start the job of ``lease`` again where it would be done at ``end``."""
        due = lease.due(now)
        if now >= Stragglers.late_at(lease):
            return end - now < LATE_PATIENCE * (due - now)
        return lease.end > now and due - end > LATE_S and end - now < SOONER * (due - now)

    def look_at(self, leases: Iterable[Lease], now: float) -> float | None:
        """Return when next to think of second starts, if nothing happens before."""
        if now < self.quiet_from:
            return self.quiet_from if any(True for _ in leases) else None
        times = [late if (late := self.late_at(lease)) > now else now + LATE_S for lease in leases]
        return min(times, default=None)

    def affordable(self, running: int, slots: int) -> bool:
        """Return whether one more may be started, when ``running`` are and there are ``slots`` in all."""
        allowed = WASTE_FREE_S + WASTE_SHARE * self.useful_s
        return running < max(2, slots // AT_ONCE_SHARE) and self.wasted_s < allowed

    def ended(self, useful_s: float, wasted_s: float, *, second_won: bool) -> None:
        """A job is done; ``wasted_s``: what its other start had used."""
        self.useful_s += useful_s
        self.wasted_s += wasted_s
        self.won += second_won

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
RECALL_S: Final = 5.0
RECALL_FACTOR: Final = 3.0
"""How late a job must be to be called back, which ends its start, also as a multiple of its expected time: a machine
that is busy for a moment is not stuck."""
SOONER: Final = 0.5
"""A job that is not late is started again when that takes less than this share of the time it still needs."""
QUIET_S: Final = 0.25
WASTE_SHARE: Final = 0.05
WASTE_FREE_S: Final = 20.0
"""Seconds of slots that may be thrown away: a share of what was useful, and some at the beginning."""
LOOK_EVERY_S: Final = 0.05
LOOK_SELDOM_S: Final = 0.25
MANY: Final = 32
"""All that runs is looked at no more often than this; where there are many workers, still less often."""
AT_ONCE_SHARE: Final = 10
"""One in so many slots may run second starts at the same time; two always may."""


class Stragglers:
    """The rule, and the account of what second starts have cost."""

    def __init__(self) -> None:
        self.look_at: float | None = None
        self.started = 0
        self.recalled = 0
        self.won = 0
        self.useful_s = 0.0
        self.wasted_s = 0.0
        self.quiet_from = 0.0
        self._looked = float("-inf")

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

    @staticmethod
    def worth_recalling(lease: Lease, end: float, now: float) -> bool:
        """Return whether to give up the job of ``lease`` where it is, to begin it anew here and be done at ``end``."""
        late = now - lease.end
        return late >= max(RECALL_S, RECALL_FACTOR * (lease.end - lease.granted)) and end < lease.due(now)

    @staticmethod
    def is_late(lease: Lease, now: float) -> bool:
        """Return whether the job of ``lease`` is far past its expectation."""
        return now >= Stragglers.late_at(lease)

    @staticmethod
    def may_pay(lease: Lease, now: float) -> bool:
        """Return whether there can be a place where it is worthwhile."""
        return lease.end - now > LATE_S or Stragglers.is_late(lease, now)

    def leased(self, lease: Lease) -> None:
        """A job was sent off."""
        self._look_by(self.late_at(lease))

    def time_to_look(self, now: float, workers: int) -> bool:
        """Return whether to look now for jobs to start again; something has happened."""
        earliest = max(self.quiet_from, self._looked + (LOOK_SELDOM_S if workers > MANY else LOOK_EVERY_S))
        if now < earliest:
            if self.look_at is None or self.look_at <= now or earliest < self.look_at:
                self.look_at = earliest
            return False
        return True

    def looked(self, now: float, leases: Iterable[Lease]) -> None:
        """All that runs was looked at; plan the next time, in case nothing happens before."""
        self._looked = now
        self.look_at = None
        for lease in leases:
            self._look_by(late if (late := self.late_at(lease)) > now else now + LATE_S)

    def _look_by(self, when: float) -> None:
        if self.look_at is None or when < self.look_at:
            self.look_at = when

    def affordable(self, running: int, slots: int) -> bool:
        """Return whether one more may be started, when ``running`` are and there are ``slots`` in all."""
        allowed = WASTE_FREE_S + WASTE_SHARE * self.useful_s
        return running < max(2, slots // AT_ONCE_SHARE) and self.wasted_s < allowed

    def ended(self, useful_s: float, wasted_s: float, *, second_won: bool) -> None:
        """A job is done; ``wasted_s``: what its other start had used."""
        self.useful_s += useful_s
        self.wasted_s += wasted_s
        self.won += second_won

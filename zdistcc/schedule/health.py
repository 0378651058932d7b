"""Health: which workers are left alone for a while, because they let us down, and which are not believed any more.

*Faults* are a worker's own (a broken connection, silence), never the user's errors.  The pause doubles with each fault
in a row, with jitter so that many agents do not come back at once, and is cleared by a success or by a new
announcement of the worker.

*Quarantine* is for a worker that returned something wrong (other bytes than its compiler makes, an output that was
damaged on the way).  An announcement or a success elsewhere does not clear that: only another start of the worker,
other compilers, or a long time; and then its compilers are tried anew before a job is.

Must not know: how a wrong result is recognised.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Final

from zdistcc.schedule.events import WorkerId

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0
"""distcc's fixed pause is a minute; here it is the worst case."""
QUARANTINE_S: Final = 1800.0
"""Doubled each time that a worker returns something wrong again;"""
LONGEST_QUARANTINE_S: Final = 8 * 3600.0


@dataclass(slots=True)
class _Record:
    faults: int = 0
    until: float = 0.0


@dataclass(slots=True)
class _Quarantine:
    """Why, until when, and of which start of the worker with which compilers (its *incarnation*)."""

    reason: str
    until: float
    times: int
    incarnation: object


class Health:
    """Faults in a row and the pause they earn, and quarantines, by worker."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        """``jitter`` returns numbers in [0, 1)."""
        self._jitter = jitter
        self._records: dict[WorkerId, _Record] = {}
        self._quarantines: dict[WorkerId, _Quarantine] = {}
        self._next_release = float("inf")

    def fault(self, worker: WorkerId, now: float) -> None:
        """``worker`` let us down."""
        record = self._records.setdefault(worker, _Record())
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(record.faults, 16))
        record.faults += 1
        record.until = now + pause * (0.5 + self._jitter())

    def clear(self, worker: WorkerId) -> None:
        """``worker`` did well, or announced itself anew."""
        self._records.pop(worker, None)

    @property
    def any_faults(self) -> bool:
        """Whether anything is held against anybody."""
        return bool(self._records)

    def paused_until(self, worker: WorkerId) -> float:
        """Return the time until which ``worker`` is left alone (0: it is not)."""
        record = self._records.get(worker)
        return record.until if record else 0.0

    def pauses(self, workers: Container[WorkerId]) -> list[float]:
        """Return when the pauses of ``workers`` end."""
        return [record.until for worker, record in self._records.items() if worker in workers]

    # --- quarantine -----------------------------------------------------------------------------

    def quarantine(self, worker: WorkerId, reason: str, incarnation: object, now: float) -> None:
        """``worker`` returned something wrong."""
        before = self._quarantines.get(worker)
        if before is not None and before.reason:
            return  # several results, one lie
        times = before.times + 1 if before is not None and before.incarnation == incarnation else 1
        until = now + min(LONGEST_QUARANTINE_S, QUARANTINE_S * 2 ** (times - 1))
        self._quarantines[worker] = _Quarantine(reason=reason, until=until, times=times, incarnation=incarnation)
        self._next_release = min(self._next_release, until)

    def quarantined(self, worker: WorkerId, incarnation: object) -> str:
        """Return why ``worker`` is in quarantine, ``""`` if it is not; another ``incarnation`` ends it."""
        record = self._quarantines.get(worker)
        if record is None:
            return ""
        if record.incarnation != incarnation:
            del self._quarantines[worker]
            return ""
        return record.reason

    def released(self, now: float) -> list[WorkerId]:
        """Return the workers whose quarantine has just lasted long enough; how often they lied is remembered."""
        if now < self._next_release:
            return []
        over = [worker for worker, record in self._quarantines.items() if record.reason and record.until <= now]
        for worker in over:
            self._quarantines[worker].reason = ""
        self._next_release = min(
            (record.until for record in self._quarantines.values() if record.reason), default=float("inf")
        )
        return over

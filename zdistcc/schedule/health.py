"""Health: which workers are left alone for a while, because they let us down.

Only a worker's own faults count (a broken connection, silence), never the user's errors.  The pause doubles with
each fault in a row, with jitter so that many agents do not come back at once, and is cleared by a success or by a
new announcement of the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Final

from zdistcc.schedule.events import WorkerId

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0
"""distcc's fixed pause is a minute; here it is the worst case."""


@dataclass(slots=True)
class _Record:
    faults: int = 0
    until: float = 0.0


class Health:
    """Faults in a row and the pause they earn, by worker."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        """``jitter`` returns numbers in [0, 1)."""
        self._jitter = jitter
        self._records: dict[WorkerId, _Record] = {}

    def fault(self, worker: WorkerId, now: float) -> None:
        """``worker`` let us down."""
        record = self._records.setdefault(worker, _Record())
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(record.faults, 16))
        record.faults += 1
        record.until = now + pause * (0.5 + self._jitter())

    def clear(self, worker: WorkerId) -> None:
        """``worker`` did well, or announced itself anew."""
        self._records.pop(worker, None)

    def paused_until(self, worker: WorkerId) -> float:
        """Return the time until which ``worker`` is left alone (0: it is not)."""
        record = self._records.get(worker)
        return record.until if record else 0.0

    def pauses(self, workers: Container[WorkerId]) -> list[float]:
        """Return when the pauses of ``workers`` end."""
        return [record.until for worker, record in self._records.items() if worker in workers]

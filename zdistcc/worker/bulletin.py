"""The bulletin: what a client is told of the worker's load, and when.  Pure.

Counts and reasons are told when they have changed; details that drift (load, memory, efficiency) at most once in
``DETAILS_EVERY_S``, and only when they have drifted far enough to matter.  A field that is not told is as it was.

There is one for each client, since what is left out depends on what that client was told.

Must not know: connections, timers; how often this is asked is the caller's limit on the whole.
"""

from __future__ import annotations

from typing import Final

from zdistcc.wire.messages import Load
from zdistcc.worker.admission import Counts
from zdistcc.worker.manners import Standing

DETAILS_EVERY_S: Final = 2.0
LOAD_STEP: Final = 10
"""Hundredths of a core."""
MEMORY_STEP: Final = 0.05
"""Of what was free when it was told."""
EFFICIENCY_STEP: Final = 5


def full(counts: Counts, standing: Standing, *, configured: int, efficiency: int | None, draining: bool) -> Load:
    """Return all that can be said of the worker's load."""
    return Load(
        slots=counts.slots,
        running=counts.running,
        queued=counts.queued,
        draining=draining,
        configured=configured,
        limited=standing.limited.value,
        others_load=round(standing.others_load * 100),
        memory_free=standing.memory_free,
        memory_total=standing.memory_total,
        efficiency=efficiency,
    )


class Bulletin:
    """What one client was told last."""

    def __init__(self) -> None:
        self._told: Load | None = None
        self._details: Load | None = None
        self._details_at = 0.0

    def news(self, load: Load, now: float) -> Load | None:
        """Return what to tell of ``load``, a full one; ``None`` when nothing is new."""
        known = self._details
        due = known is None or (
            load.limited != known.limited or (now - self._details_at >= DETAILS_EVERY_S and _drifted(known, load))
        )
        if due:
            self._details, self._details_at = load, now
            self._told = _counts(load)
            return load
        counts = _counts(load)
        if counts == self._told:
            return None
        self._told = counts
        return counts


def _counts(load: Load) -> Load:
    return Load(slots=load.slots, running=load.running, queued=load.queued, draining=load.draining)


def _drifted(old: Load, new: Load) -> bool:
    return (
        abs((new.others_load or 0) - (old.others_load or 0)) >= LOAD_STEP
        or abs((new.memory_free or 0) - (old.memory_free or 0)) > MEMORY_STEP * (old.memory_free or 0)
        or abs((new.efficiency or 0) - (old.efficiency or 0)) >= EFFICIENCY_STEP
        or new.memory_total != old.memory_total
    )

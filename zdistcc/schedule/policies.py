"""Policies: how workers that can do a job are ranked.  A policy suggests; the scheduler decides who is eligible.

A row ranks one worker for one job; the lowest rank gets it.  Ties go to the worker with the lower id, so that a
decision depends on nothing but the facts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from zdistcc.schedule.snapshot import WorkerView

Rank = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """A policy's name, what it does in a sentence, and its ranking."""

    name: str
    help: str
    rank: Callable[[WorkerView], Rank]


def _least_loaded(view: WorkerView) -> Rank:
    others = max(0, view.running + view.queued - len(view.leases))
    return (len(view.leases) + others) / max(1, view.slots), view.round_trip_s or 0.0


def _list_order(view: WorkerView) -> Rank:
    return ()


POLICIES: Final = {
    row.name: row
    for row in (
        PolicyRow(
            name="least-loaded",
            help="the worker whose slots are taken the least, the nearer one of equals",
            rank=_least_loaded,
        ),
        PolicyRow(
            name="list-order",
            help="the first worker with room, as distcc fills its hosts; for comparison",
            rank=_list_order,
        ),
    )
}

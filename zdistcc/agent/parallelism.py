"""How many compile commands are worth starting at once: what ``zdistcc -j`` prints and ``zdistcc make`` follows.

A command that waits for a slot costs a small process here and no more, so the number errs upwards: slots that other
agents use at this moment count (they are ours as soon as those end), and each worker gets as many commands more as it
may be given ahead of its slots, which hide the way there.  Of this machine those slots count that the agent, links and
the build tool leave.

Must not know: how it is asked; asked several times a second, so it looks at nothing but the snapshot.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from zdistcc.schedule.events import Need
from zdistcc.schedule.fleet import ahead
from zdistcc.schedule.local import reserve_of
from zdistcc.schedule.snapshot import Snapshot, WorkerView
from zdistcc.toolchain.identity import Offer, best_match


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallelism:
    """``useful`` commands at once: ``remote`` slots of ``workers`` workers, ``local`` ones here, some on the way."""

    useful: int
    remote: int
    local: int
    workers: int


def parallelism(snapshot: Snapshot, needs: Collection[Need], now: float) -> Parallelism:
    """Return how many jobs with any of ``needs`` are worth starting at once, as things are at ``now``."""
    serving = [view for view in snapshot.workers if _serves(view, needs, now)]
    remote = sum(view.slots for view in serving)
    local = max(1, snapshot.local_slots - reserve_of(snapshot.local_slots)) if serving else snapshot.local_slots
    on_the_way = sum(ahead(view.slots) for view in serving)
    return Parallelism(useful=remote + local + on_the_way, remote=remote, local=local, workers=len(serving))


def _serves(view: WorkerView, needs: Collection[Need], now: float) -> bool:
    if view.draining or view.quarantined or not view.slots or view.paused_until > now:
        return False
    return any(
        isinstance(best_match(need.compiler, view.offers, need.level, need.language, plain=need.plain), Offer)
        for need in needs
    )

"""The fleet: every connected worker, what is believed and expected of it, and the law of who may be given a job.

``eligible_ever`` (it has the compiler) and ``eligible_now`` (it has room, is not paused and is believed) stand here and
nowhere else.  ``roomy`` is kept up to date with each change, so that nothing has to be searched while all workers are
full.

Must not know: the queue of jobs, how workers are ranked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Final

from zdistcc.errors import Reason
from zdistcc.schedule.events import JobId, Need, WorkerChanged, WorkerId, WorkerJoined, WorkerLost, WorkerQuarantined
from zdistcc.schedule.health import Health
from zdistcc.schedule.outlook import Lease, Outlook, Prospect
from zdistcc.schedule.snapshot import WorkerView
from zdistcc.toolchain.identity import Mismatch, Offer, best_match

BUSY_PAUSE_S: Final = 0.2
"""How long a worker that said it was busy is not asked again, unless its load changes before."""


_CHANGING: Final = tuple(field.name for field in fields(WorkerChanged) if field.name != "worker")
"""What a worker says of itself; each is a field of the view as well."""


def ahead(slots: int) -> int:
    """Return how many leases beyond its slots a worker that has any may hold for one agent."""
    return 1 + slots // 4


class Fleet:
    """The connected workers."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        """``jitter`` returns numbers in [0, 1): also each worker's draw, which decides among equals."""
        self.health = Health(jitter)
        self.views: dict[WorkerId, WorkerView] = {}
        self.outlooks: dict[WorkerId, Outlook] = {}
        self.draws: dict[WorkerId, float] = {}
        self.roomy: set[WorkerId] = set()
        self._jitter = jitter
        self._busy_until: dict[WorkerId, float] = {}
        self._offers: dict[tuple[WorkerId, Need], Offer | Mismatch | None] = {}
        self._capables: dict[Need, tuple[WorkerId, ...]] = {}

    # --- law ------------------------------------------------------------------------------------

    def eligible_ever(self, worker: WorkerId, need: Need) -> Offer | Mismatch | None:
        """Return the offer of ``worker`` that serves ``need``, or the nearest miss (``None``: it offers nothing)."""
        key = worker, need
        if key not in self._offers:
            offers = self.views[worker].offers
            self._offers[key] = best_match(need.compiler, offers, need.level, need.language, plain=need.plain)
        return self._offers[key]

    def eligible_now(self, worker: WorkerId, now: float) -> bool:
        """Return whether ``worker`` may be given one more job at this moment."""
        return worker in self.roomy and not self.views[worker].quarantined and not self.paused(worker, now)

    def paused(self, worker: WorkerId, now: float) -> bool:
        """Return whether ``worker`` is left alone for the moment."""
        return self._busy_until.get(worker, 0.0) > now or self.health.paused_until(worker) > now

    def capable(self, need: Need) -> tuple[WorkerId, ...]:
        """Return the workers that could serve ``need`` at some time."""
        capable = self._capables.get(need)
        if capable is None:
            capable = tuple(
                worker
                for worker, view in self.views.items()
                if not view.quarantined and isinstance(self.eligible_ever(worker, need), Offer)
            )
            self._capables[need] = capable
        return capable

    def why_nobody(self, need: Need) -> tuple[Reason, str]:
        """Return why no worker is capable of ``need``, and more about it."""
        if not self.views:
            return Reason.NO_WORKER, ""
        serving = [view for view in self.views.values() if isinstance(self.eligible_ever(view.worker, need), Offer)]
        if serving:
            return Reason.WORKERS_QUARANTINED, "; ".join(f"{view.name}: {view.quarantined}" for view in serving)
        misses = (
            f"{view.name} {miss.sentence}" if isinstance(miss, Mismatch) else f"{view.name} offers no compiler"
            for view in self.views.values()
            for miss in (self.eligible_ever(view.worker, need),)
        )
        return Reason.NO_COMPATIBLE_WORKER, "; ".join(misses)

    def idle(self, worker: WorkerId, now: float) -> bool:
        """Return whether a job would begin at once on ``worker``."""
        outlook = self.outlooks[worker]
        busy = len(outlook.leases) + outlook.others
        return busy < self.views[worker].slots and self.eligible_now(worker, now)

    def preferred(self, free: list[WorkerId]) -> list[WorkerId]:
        """Return those of ``free`` to choose among: no text is made here while a zdistcc worker has a slot."""
        own = [worker for worker in free if not any(offer.plain for offer in self.views[worker].offers)]
        return own if len(own) < len(free) and any(map(self.has_slot, own)) else free

    def has_slot(self, worker: WorkerId) -> bool:
        """Return whether a slot of ``worker`` is free, as far as is known."""
        view = self.views[worker]
        return max(len(view.leases), view.running + view.queued) < view.slots

    def pauses(self) -> list[float]:
        """Return when pauses end."""
        return [*self._busy_until.values(), *self.health.pauses(self.views)]

    # --- leases ---------------------------------------------------------------------------------

    def lease(self, worker: WorkerId, job: JobId, now: float, prospect: Prospect, sent_bytes: int) -> None:
        """``worker`` is given ``job``."""
        self.outlooks[worker].lease(job, now, prospect, sent_bytes)
        view = self.views[worker]
        self._set(replace(view, leases=view.leases | {job}))

    def lease_of(self, job: JobId, worker: WorkerId) -> Lease | None:
        """Return the lease of ``job`` on ``worker``, if that is still there."""
        outlook = self.outlooks.get(worker)
        return outlook.leases.get(job) if outlook is not None else None

    def end_lease(self, worker: WorkerId, job: JobId) -> Lease | None:
        """``worker`` does not have ``job`` any more; return what was expected of it."""
        view = self.views.get(worker)
        if view is None or job not in view.leases:
            return None
        lease = self.outlooks[worker].end(job)
        self._set(replace(view, leases=view.leases - {job}))
        return lease

    def busy(self, worker: WorkerId, now: float) -> None:
        """``worker`` said that it is full."""
        if worker in self.views:
            self._busy_until[worker] = now + BUSY_PAUSE_S

    # --- what becomes known ---------------------------------------------------------------------

    def join(self, event: WorkerJoined) -> None:
        """A worker is there."""
        self.outlooks[event.worker] = Outlook()
        self.draws[event.worker] = self._jitter()
        view = WorkerView(
            worker=event.worker, name=event.name, slots=event.slots, offers=event.offers, started=event.started
        )
        self._set(self._judged(view))
        self._forget_offers(event.worker)

    def lose(self, event: WorkerLost, now: float) -> None:
        """A worker is gone."""
        self.views.pop(event.worker, None)
        self.outlooks.pop(event.worker, None)
        self.draws.pop(event.worker, None)
        self._busy_until.pop(event.worker, None)
        self.roomy.discard(event.worker)
        self._forget_offers(event.worker)
        if event.fault:
            self.health.fault(event.worker, now)

    def change(self, event: WorkerChanged) -> None:
        """A worker said something new of itself."""
        view = self.views.get(event.worker)
        if view is None:
            return
        changes = {name: value for name in _CHANGING if (value := getattr(event, name)) is not None}
        changed = replace(view, **changes)
        self.outlooks[event.worker].report(changed.running + changed.queued)
        self._set(self._judged(changed) if event.offers is not None else changed)
        if event.offers is not None:
            self._forget_offers(event.worker)
        if event.running is not None and event.running < view.slots:
            self._busy_until.pop(event.worker, None)

    def quarantine(self, event: WorkerQuarantined, now: float) -> None:
        """A worker returned something wrong."""
        view = self.views.get(event.worker)
        if view is not None:
            self.health.quarantine(event.worker, event.reason, _incarnation(view), now)
            self._set(self._judged(view))
            self._capables.clear()

    def release(self, now: float) -> None:
        """End the quarantines that have lasted long enough."""
        for worker in self.health.released(now):
            self._capables.clear()
            if worker in self.views:
                self._set(self._judged(self.views[worker]))

    def _judged(self, view: WorkerView) -> WorkerView:
        return replace(view, quarantined=self.health.quarantined(view.worker, _incarnation(view)))

    def _set(self, view: WorkerView) -> None:
        self.views[view.worker] = view
        room = view.slots + max(ahead(view.slots), self.outlooks[view.worker].in_flight(view.slots))
        if view.slots and not view.draining and len(view.leases) < room:
            self.roomy.add(view.worker)
        else:
            self.roomy.discard(view.worker)

    def _forget_offers(self, worker: WorkerId) -> None:
        self._capables.clear()
        for key in [key for key in self._offers if key[0] == worker]:
            del self._offers[key]

    def check(self) -> None:
        """Raise ``AssertionError`` when an invariant is broken."""
        assert self.views.keys() == self.outlooks.keys() == self.draws.keys()
        assert self.roomy <= self.views.keys()
        for worker, view in self.views.items():
            assert view.leases == self.outlooks[worker].leases.keys(), f"{worker}: leases and outlook disagree"
            believed = not any(worker in capable for capable in self._capables.values())
            assert not view.quarantined or believed, f"{worker} is in quarantine and may be given jobs"


def _incarnation(view: WorkerView) -> object:
    """What has to change before a worker that was wrong is believed: its program was started anew, or its compilers."""
    return view.started, view.offers

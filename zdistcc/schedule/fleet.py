"""The fleet: every connected worker, what is believed and expected of it, and the law of who may be given a job.

``eligible_ever`` (it has the compiler) and ``eligible_now`` (it has room, is not paused and is believed) stand here and
nowhere else.  ``roomy`` is kept up to date with each change, so that nothing has to be searched while all workers are
full.

Must not know: the queue of jobs, how workers are ranked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Final

from zdistcc.errors import Reason
from zdistcc.schedule.events import JobId, Need, WorkerChanged, WorkerId, WorkerJoined, WorkerLost, WorkerQuarantined
from zdistcc.schedule.health import Health
from zdistcc.schedule.outlook import Lease, Outlook, Prospect
from zdistcc.schedule.snapshot import WorkerView
from zdistcc.toolchain.identity import Mismatch, Offer, best_match

BUSY_PAUSE_S: Final = 0.2
"""How long a worker that said it was busy is not asked again, unless its load changes before."""


_DETAILS: Final = ("configured", "limited", "others_load", "memory_free", "memory_total", "efficiency")
"""What a worker says of its machine, which is only shown."""


def ahead(slots: int) -> int:
    """Return how many leases beyond its slots a worker that has any may hold for one agent."""
    return 1 + slots // 4


@dataclass(slots=True, eq=False)
class Member:
    """One connected worker; ``draw`` decides among equals.  The fleet alone changes it, in place: the path is hot."""

    worker: WorkerId
    name: str
    slots: int
    offers: tuple[Offer, ...]
    draw: float
    running: int = 0
    queued: int = 0
    draining: bool = False
    round_trip_s: float | None = None
    started: str = ""
    quarantined: str = ""
    configured: int | None = None
    limited: str = ""
    others_load: float | None = None
    memory_free: int | None = None
    memory_total: int | None = None
    efficiency: float | None = None
    outlook: Outlook = field(default_factory=Outlook)

    @property
    def incarnation(self) -> object:
        """What has to change before one that was wrong is believed: its program was started anew, or its compilers."""
        return self.started, self.offers

    @property
    def load(self) -> float:
        """Which share of its slots is taken; more than 1 when jobs wait there."""
        busy, mine = self.running + self.queued, len(self.outlook.leases)
        return (busy if busy > mine else mine) / (self.slots or 1)

    @property
    def has_slot(self) -> bool:
        """Whether a slot is free, as far as is known."""
        return max(self.running + self.queued, len(self.outlook.leases)) < self.slots

    @property
    def full(self) -> bool:
        """Whether all agents together have given it as many jobs as one alone might: its slots, and some ahead."""
        return max(self.running + self.queued, len(self.outlook.leases)) >= self.slots + ahead(self.slots)

    def view(self, paused_until: float, speed: float | None) -> WorkerView:
        """Return what others may see of it."""
        same = {name: getattr(self, name) for name in _SHOWN}
        leases = frozenset(self.outlook.leases)
        return WorkerView(leases=leases, paused_until=paused_until, speed=speed, **same)


_SHOWN: Final = {field.name for field in fields(Member)} & {field.name for field in fields(WorkerView)}


class Fleet:
    """The connected workers."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        """``jitter`` returns numbers in [0, 1): also each worker's draw, which decides among equals."""
        self.health = Health(jitter)
        self.members: dict[WorkerId, Member] = {}
        self.roomy: dict[WorkerId, None] = {}
        self._jitter = jitter
        self._busy_until: dict[WorkerId, float] = {}
        self._offers: dict[Need, dict[WorkerId, Offer | Mismatch | None]] = {}
        self._capables: dict[Need, tuple[WorkerId, ...]] = {}
        self._serving: dict[Need, frozenset[WorkerId]] = {}

    # --- law ------------------------------------------------------------------------------------

    def eligible_ever(self, worker: WorkerId, need: Need) -> Offer | Mismatch | None:
        """Return the offer of ``worker`` that serves ``need``, or the nearest miss (``None``: it offers nothing)."""
        offers = self._offers.setdefault(need, {})
        if worker not in offers:
            offers[worker] = best_match(
                need.compiler, self.members[worker].offers, need.level, need.language, plain=need.plain
            )
        return offers[worker]

    def eligible_now(self, worker: WorkerId, now: float) -> bool:
        """Return whether ``worker`` may be given one more job at this moment."""
        return worker in self.roomy and not self.paused(worker, now)

    def paused(self, worker: WorkerId, now: float) -> bool:
        """Return whether ``worker`` is left alone for the moment."""
        return self._busy_until.get(worker, 0.0) > now or self.health.paused_until(worker) > now

    def busy_until(self, worker: WorkerId) -> float:
        """Return until when ``worker`` is not asked again, since it said that it was busy."""
        return self._busy_until.get(worker, 0.0)

    @property
    def any_paused(self) -> bool:
        """Whether any worker may be paused: mostly none is."""
        return bool(self._busy_until) or self.health.any_faults

    def capable(self, need: Need) -> tuple[WorkerId, ...]:
        """Return the workers that could serve ``need`` at some time."""
        capable = self._capables.get(need)
        if capable is None:
            offers = self._offers.setdefault(need, {})
            for worker in self.members.keys() - offers.keys():
                self.eligible_ever(worker, need)
            capable = tuple(
                worker
                for worker, member in self.members.items()
                if not member.quarantined and isinstance(offers[worker], Offer)
            )
            self._capables[need] = capable
        return capable

    def serving(self, need: Need) -> frozenset[WorkerId]:
        """Return the same as a set."""
        serving = self._serving.get(need)
        if serving is None:
            serving = self._serving[need] = frozenset(self.capable(need))
        return serving

    def why_nobody(self, need: Need) -> tuple[Reason, str]:
        """Return why no worker is capable of ``need``, and more about it."""
        if not self.members:
            return Reason.NO_WORKER, ""
        members = self.members.values()
        serving = [member for member in members if isinstance(self.eligible_ever(member.worker, need), Offer)]
        if serving:
            return Reason.WORKERS_QUARANTINED, "; ".join(f"{member.name}: {member.quarantined}" for member in serving)
        misses = (
            f"{member.name} {miss.sentence}" if isinstance(miss, Mismatch) else f"{member.name} offers no compiler"
            for member in members
            for miss in (self.eligible_ever(member.worker, need),)
        )
        return Reason.NO_COMPATIBLE_WORKER, "; ".join(misses)

    def idle(self, worker: WorkerId, now: float) -> bool:
        """Return whether a job would begin at once on ``worker``."""
        member = self.members[worker]
        busy = len(member.outlook.leases) + member.outlook.others
        return busy < member.slots and self.eligible_now(worker, now)

    def pauses(self) -> list[float]:
        """Return when pauses end."""
        return [*self._busy_until.values(), *self.health.pauses(self.members)]

    # --- leases ---------------------------------------------------------------------------------

    def lease(self, member: Member, job: JobId, now: float, prospect: Prospect, sent_bytes: int) -> Lease:
        """A worker is given ``job``; return what is expected."""
        lease = member.outlook.lease(job, now, prospect, sent_bytes)
        self._count_room(member)
        return lease

    def lease_of(self, job: JobId, worker: WorkerId) -> Lease | None:
        """Return the lease of ``job`` on ``worker``, if that is still there."""
        member = self.members.get(worker)
        return member.outlook.leases.get(job) if member is not None else None

    def end_lease(self, worker: WorkerId, job: JobId) -> Lease | None:
        """``worker`` does not have ``job`` any more; return what was expected of it."""
        member = self.members.get(worker)
        if member is None or job not in member.outlook.leases:
            return None
        lease = member.outlook.end(job)
        self._count_room(member)
        return lease

    def busy(self, worker: WorkerId, now: float) -> None:
        """``worker`` said that it is full."""
        if worker in self.members:
            self._busy_until[worker] = now + BUSY_PAUSE_S

    # --- what becomes known ---------------------------------------------------------------------

    def join(self, event: WorkerJoined) -> None:
        """A worker is there."""
        member = Member(
            worker=event.worker,
            name=event.name,
            slots=event.slots,
            offers=event.offers,
            draw=self._jitter(),
            started=event.started,
        )
        self.members[event.worker] = member
        self._judge(member)
        self._count_room(member)
        self._forget_offers(event.worker)

    def lose(self, event: WorkerLost, now: float) -> None:
        """A worker is gone."""
        self.members.pop(event.worker, None)
        self._busy_until.pop(event.worker, None)
        self.roomy.pop(event.worker, None)
        self._forget_offers(event.worker)
        if event.fault:
            self.health.fault(event.worker, now)

    def change(self, event: WorkerChanged) -> None:
        """A worker said something new of itself."""
        member = self.members.get(event.worker)
        if member is None:
            return
        if event.running is not None and event.running < member.slots:
            self._busy_until.pop(event.worker, None)
        if event.slots is not None:
            member.slots = event.slots
        if event.running is not None:
            member.running = event.running
        if event.queued is not None:
            member.queued = event.queued
        if event.draining is not None:
            member.draining = event.draining
        if event.round_trip_s is not None:
            member.round_trip_s = event.round_trip_s
        for name in _DETAILS:
            if (value := getattr(event, name)) is not None:
                setattr(member, name, value)
        if event.offers is not None:
            member.offers = event.offers
            self._forget_offers(event.worker)
            self._judge(member)
        member.outlook.report(member.running + member.queued)
        self._count_room(member)

    def quarantine(self, event: WorkerQuarantined, now: float) -> None:
        """A worker returned something wrong."""
        member = self.members.get(event.worker)
        if member is not None:
            self.health.quarantine(event.worker, event.reason, member.incarnation, now)
            self._judge(member)
            self._count_room(member)

    def release(self, now: float) -> None:
        """End the quarantines that have lasted long enough."""
        for worker in self.health.released(now):
            if worker in self.members:
                self._judge(self.members[worker])
                self._count_room(self.members[worker])

    def _judge(self, member: Member) -> None:
        """Find out whether what ``member`` says is believed."""
        member.quarantined = self.health.quarantined(member.worker, member.incarnation)
        self._capables.clear()
        self._serving.clear()

    def _count_room(self, member: Member) -> None:
        """Keep ``roomy``: a dict for its order, which is the same in every run."""
        room = member.slots + max(ahead(member.slots), member.outlook.in_flight(member.slots))
        may = member.slots and not member.draining and not member.quarantined
        if may and len(member.outlook.leases) < room:
            self.roomy[member.worker] = None
        else:
            self.roomy.pop(member.worker, None)

    def _forget_offers(self, worker: WorkerId) -> None:
        self._capables.clear()
        self._serving.clear()
        for offers in self._offers.values():
            offers.pop(worker, None)

    def check(self) -> None:
        """Raise ``AssertionError`` when an invariant is broken."""
        assert self.roomy.keys() <= self.members.keys()
        for worker, member in self.members.items():
            believed = any(worker in capable for capable in self._capables.values()) or worker in self.roomy
            assert not member.quarantined or not believed, f"{worker} is in quarantine and may be given jobs"

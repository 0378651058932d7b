"""The scheduler: one owner for workers, leases, queue, health and local slots.

``handle(event, now)`` takes a fact and returns orders; every outcome of an order comes back as a fact.  What is
*eligible* is law and stands here: :meth:`Scheduler.eligible_ever` (the worker has the compiler) and
:meth:`Scheduler.eligible_now` (it has room and is not paused).  A policy only ranks what is eligible, so none can
send a job to the wrong compiler.

A lease is taken before the job is preprocessed, so that no text waits in memory for a worker; ``AHEAD`` leases more
than a worker has slots keep it busy while a text is made and travels.

A job whose sources a worker has is granted there while one of its slots is free: any free slot is as good, and
another worker would have to be sent the sources first.

Must not know: sockets, clocks, chance (time and jitter are arguments), files.  Rejected: filling hosts in list order
(the first host is swamped, the last idle), running a job locally as soon as all workers are busy (with local
preprocessing the client's cores feed the workers; ``WAIT_LIMIT_S`` bounds the wait instead).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from zdistcc.errors import Reason
from zdistcc.schedule.decisions import Decision, Grant, GrantLocal, RunLocally
from zdistcc.schedule.events import (
    Blame,
    DiscoveryPending,
    Event,
    JobAbandoned,
    JobDone,
    JobId,
    JobQueued,
    LeaseBroken,
    LocalQueued,
    LocalReleased,
    Need,
    Ticket,
    TimePassed,
    WorkerAnnounced,
    WorkerChanged,
    WorkerId,
    WorkerJoined,
    WorkerLost,
)
from zdistcc.schedule.health import Health
from zdistcc.schedule.policies import PolicyRow
from zdistcc.schedule.snapshot import Snapshot, WorkerView
from zdistcc.toolchain.identity import Mismatch, Offer, best_match

MAX_TRIES: Final = 3
"""Workers that may let a job down before it is run locally."""
BUSY_PAUSE_S: Final = 0.2
"""How long a worker that said it was busy is not asked again, unless its load changes before."""
WAIT_LIMIT_S: Final = 60.0
"""How long a job waits for a worker's slot while local ones are free."""


def ahead(slots: int) -> int:
    """Return how many leases beyond its slots a worker may hold for one agent."""
    return 1 + slots // 4


@dataclass(slots=True)
class _Job:
    need: Need
    since: float
    home: WorkerId | None = None
    worker: WorkerId | None = None
    tried: set[WorkerId] = field(default_factory=set)


class Scheduler:
    """See the module."""

    def __init__(self, *, local_slots: int, policy: PolicyRow, jitter: Callable[[], float]) -> None:
        """``jitter`` returns numbers in [0, 1): a seeded generator in tests."""
        self._policy = policy
        self._health = Health(jitter)
        self._workers: dict[WorkerId, WorkerView] = {}
        self._busy_until: dict[WorkerId, float] = {}
        self._jobs: dict[JobId, _Job] = {}
        self._waiting: dict[Need, OrderedDict[JobId, None]] = {}
        self._pending_until = 0.0
        self._local_slots = local_slots
        self._local_held: set[Ticket] = set()
        self._local_urgent: deque[Ticket] = deque()
        self._local_waiting: deque[Ticket] = deque()
        self._offers: dict[tuple[WorkerId, Need], Offer | Mismatch | None] = {}
        self._now = 0.0
        self._sent_here = 0

    # --- the one way in -------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Decision]:
        """Take a fact; return what is to be done.  ``now`` in seconds of a clock that never goes back."""
        self._now = now
        self._sent_here = 0
        match event:
            case WorkerJoined():
                self._workers[event.worker] = WorkerView(
                    worker=event.worker, name=event.name, slots=event.slots, offers=event.offers
                )
                self._forget_offers(event.worker)
            case WorkerChanged():
                self._change(event)
            case WorkerLost():
                self._workers.pop(event.worker, None)
                self._busy_until.pop(event.worker, None)
                self._forget_offers(event.worker)
                if event.fault:
                    self._health.fault(event.worker, now)
            case WorkerAnnounced():
                self._health.clear(event.worker)
            case DiscoveryPending():
                self._pending_until = max(self._pending_until, event.until)
            case JobQueued():
                self._jobs[event.job] = _Job(need=event.need, since=now, home=event.home)
                self._waiting.setdefault(event.need, OrderedDict())[event.job] = None
            case JobDone():
                self._end_lease(event.job, done=True)
            case LeaseBroken():
                return self._broken(event, now)
            case JobAbandoned():
                self._end_lease(event.job)
                self._forget_job(event.job)
            case LocalQueued() | LocalReleased():
                return [*self._local(event), *self._place_all(now)]
            case TimePassed():
                pass
            case _:
                assert_never(event)
        return self._place_all(now)

    def next_deadline(self) -> float | None:
        """Return when ``TimePassed`` is wanted next, or ``None`` while nothing waits for time."""
        if not self._waiting:
            return None
        times = [*self._busy_until.values(), self._pending_until]
        times += [self._health.paused_until(worker) for worker in self._workers]
        times += [self._jobs[next(iter(queue))].since + WAIT_LIMIT_S for queue in self._waiting.values()]
        return min((time for time in times if time > self._now), default=None)

    # --- law ------------------------------------------------------------------------------------

    def eligible_ever(self, worker: WorkerId, need: Need) -> Offer | Mismatch | None:
        """Return the offer of ``worker`` that serves ``need``, or the nearest miss (``None``: it offers nothing)."""
        key = worker, need
        if key not in self._offers:
            self._offers[key] = best_match(need.compiler, self._workers[worker].offers, need.level, need.language)
        return self._offers[key]

    def eligible_now(self, worker: WorkerId, now: float) -> bool:
        """Return whether ``worker`` may be given one more job at this moment."""
        view = self._workers[worker]
        return (
            not view.draining
            and len(view.leases) < view.slots + ahead(view.slots)
            and self._busy_until.get(worker, 0.0) <= now
            and self._health.paused_until(worker) <= now
        )

    # --- placing jobs ---------------------------------------------------------------------------

    def _place_all(self, now: float) -> list[Decision]:
        decisions: list[Decision] = []
        for need in list(self._waiting):
            queue = self._waiting[need]
            for job in list(queue):
                decision = self._place(job, now)
                if decision is None:
                    if not any(self.eligible_now(worker, now) for worker in self._capable(need)):
                        break
                    continue
                del queue[job]
                decisions.append(decision)
            if not queue:
                del self._waiting[need]
        return decisions

    def _place(self, number: JobId, now: float) -> Decision | None:
        """Return the order for one waiting job, or ``None`` while it waits."""
        job = self._jobs[number]
        capable = self._capable(job.need)
        if not capable:
            if now < self._pending_until:
                return None
            return self._run_locally(number, *self._why_nobody(job.need))
        untried = [worker for worker in capable if worker not in job.tried and not self._workers[worker].draining]
        if len(job.tried) >= MAX_TRIES or not untried:
            why = "tried" if job.tried else "told to leave"
            return self._run_locally(number, Reason.WORKERS_FAILED, f"every worker that could do it was {why}")
        free = [worker for worker in untried if self.eligible_now(worker, now)]
        if job.home in free and self._has_slot(job.home):
            return self._grant(number, job.home)
        if free:
            return self._grant(number, min(free, key=lambda worker: (self._policy.rank(self._workers[worker]), worker)))
        idle_here = self._local_slots - len(self._local_held) - self._sent_here
        if now - job.since >= WAIT_LIMIT_S and idle_here > 0:
            self._sent_here += 1
            return self._run_locally(number, Reason.WORKERS_BUSY)
        return None

    def _has_slot(self, worker: WorkerId) -> bool:
        """Return whether a slot of ``worker`` is free, as far as is known."""
        view = self._workers[worker]
        return max(len(view.leases), view.running + view.queued) < view.slots

    def _grant(self, number: JobId, worker: WorkerId) -> Grant:
        job = self._jobs[number]
        job.worker = worker
        view = self._workers[worker]
        self._workers[worker] = replace(view, leases=view.leases | {number})
        offer = self.eligible_ever(worker, job.need)
        assert isinstance(offer, Offer)
        return Grant(job=number, worker=worker, offer=offer)

    def _run_locally(self, number: JobId, reason: Reason, detail: str = "") -> RunLocally:
        del self._jobs[number]
        return RunLocally(job=number, reason=reason, detail=detail)

    def _capable(self, need: Need) -> list[WorkerId]:
        return [worker for worker in self._workers if isinstance(self.eligible_ever(worker, need), Offer)]

    def _why_nobody(self, need: Need) -> tuple[Reason, str]:
        if not self._workers:
            return Reason.NO_WORKER, ""
        misses: Iterable[str] = (
            f"{view.name} {miss.sentence}" if isinstance(miss, Mismatch) else f"{view.name} offers no compiler"
            for view in self._workers.values()
            for miss in (self.eligible_ever(view.worker, need),)
        )
        return Reason.NO_COMPATIBLE_WORKER, "; ".join(misses)

    def _broken(self, event: LeaseBroken, now: float) -> list[Decision]:
        job = self._jobs.get(event.job)
        if job is None:
            return []
        worker = job.worker
        self._end_lease(event.job)
        if event.blame is Blame.FINAL:
            return [self._run_locally(event.job, Reason.WORKER_REFUSED), *self._place_all(now)]
        if worker is not None:
            if event.blame is Blame.BUSY:
                self._busy_until[worker] = now + BUSY_PAUSE_S
            else:
                job.tried.add(worker)
            if event.blame is Blame.WORKER and worker in self._workers:
                self._health.fault(worker, now)
        queue = self._waiting.setdefault(job.need, OrderedDict())
        queue[event.job] = None
        queue.move_to_end(event.job, last=False)
        return self._place_all(now)

    def _end_lease(self, number: JobId, *, done: bool = False) -> None:
        job = self._jobs.get(number)
        if job is None:
            return
        if job.worker is not None and job.worker in self._workers:
            view = self._workers[job.worker]
            self._workers[job.worker] = replace(view, leases=view.leases - {number})
            if done:
                self._health.clear(job.worker)
        job.worker = None
        if done:
            self._forget_job(number)

    def _forget_job(self, number: JobId) -> None:
        job = self._jobs.pop(number, None)
        queue = self._waiting.get(job.need) if job else None
        if job is not None and queue is not None:
            queue.pop(number, None)
            if not queue:
                del self._waiting[job.need]

    # --- workers --------------------------------------------------------------------------------

    def _change(self, event: WorkerChanged) -> None:
        view = self._workers.get(event.worker)
        if view is None:
            return
        changes = {
            name: value
            for name in ("slots", "running", "queued", "draining", "offers", "round_trip_s")
            if (value := getattr(event, name)) is not None
        }
        self._workers[event.worker] = replace(view, **changes)
        if event.offers is not None:
            self._forget_offers(event.worker)
        if event.running is not None and event.running < view.slots:
            self._busy_until.pop(event.worker, None)

    def _forget_offers(self, worker: WorkerId) -> None:
        for key in [key for key in self._offers if key[0] == worker]:
            del self._offers[key]

    # --- this machine ---------------------------------------------------------------------------

    def _local(self, event: LocalQueued | LocalReleased) -> list[Decision]:
        if isinstance(event, LocalQueued):
            (self._local_urgent if event.urgent else self._local_waiting).append(event.ticket)
        elif event.ticket in self._local_held:
            self._local_held.remove(event.ticket)
        else:
            for queue in (self._local_urgent, self._local_waiting):
                if event.ticket in queue:
                    queue.remove(event.ticket)
        decisions: list[Decision] = []
        while len(self._local_held) < self._local_slots and (self._local_urgent or self._local_waiting):
            ticket = (self._local_urgent or self._local_waiting).popleft()
            self._local_held.add(ticket)
            decisions.append(GrantLocal(ticket=ticket))
        return decisions

    # --- looking in -----------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return what others may see."""
        return Snapshot(
            workers=tuple(
                replace(view, paused_until=self._health.paused_until(worker)) for worker, view in self._workers.items()
            ),
            jobs_waiting=sum(len(queue) for queue in self._waiting.values()),
            jobs_leased=sum(len(view.leases) for view in self._workers.values()),
            local_slots=self._local_slots,
            local_running=len(self._local_held),
            local_waiting=len(self._local_urgent) + len(self._local_waiting),
        )

    def check(self) -> None:
        """Raise ``AssertionError`` when an invariant is broken; tests call it after every step."""
        assert len(self._local_held) <= self._local_slots
        waiting = [job for queue in self._waiting.values() for job in queue]
        assert len(set(waiting)) == len(waiting)
        assert all(self._waiting.values()), "an empty queue was kept"
        for number in waiting:
            assert self._jobs[number].worker is None, f"job {number} waits and is leased"
        for worker, view in self._workers.items():
            for number in view.leases:
                assert self._jobs[number].worker == worker, f"lease of {number} and job disagree"
        for number, job in self._jobs.items():
            if job.worker is None:
                assert number in waiting, f"job {number} is nowhere"
            elif job.worker in self._workers:
                assert number in self._workers[job.worker].leases

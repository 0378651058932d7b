"""The scheduler: one owner for workers, leases, queue, health and local slots.

``handle(event, now)`` takes a fact and returns orders; every outcome of an order comes back as a fact.  What is
*eligible* is law and stands here: :meth:`Scheduler.eligible_ever` (the worker has the compiler) and
:meth:`Scheduler.eligible_now` (it has room and is not paused).  A policy only ranks what is eligible, so none can
send a job to the wrong compiler.

A lease is taken before the job is preprocessed, so that no text waits in memory for a worker; ``ahead`` leases more
than a worker has slots keep it busy while a text is made and travels.

A job whose sources a worker has is granted there while one of its slots is free: any free slot is as good, and
another worker would have to be sent the sources first.
A policy that foresees may keep a job for a worker that is busy now, or have it run here once all workers are full;
jobs behind it are placed as if it were there already, so nobody is held up by it.  Of very many workers only some,
in turns, are looked at for each job: the best of ``LOOKED_AT`` is as good as the best of all, and agents that look at
different ones do not rush to the same.

The builds of a user take turns, job by job.

Must not know: sockets, clocks, chance (time and jitter are arguments), files.  Rejected: filling hosts in list order
(the first host is swamped, the last idle), running a job locally as soon as all workers are busy (with local
preprocessing the client's cores feed the workers; ``WAIT_LIMIT_S`` bounds the wait instead).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from zdistcc.errors import Reason
from zdistcc.schedule.decisions import Decision, Duplicate, Grant, RunLocally
from zdistcc.schedule.estimates import Estimates, Work
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
    TimePassed,
    WorkerAnnounced,
    WorkerChanged,
    WorkerId,
    WorkerJoined,
    WorkerLost,
    WorkerQuarantined,
)
from zdistcc.schedule.fleet import Fleet
from zdistcc.schedule.local import HERE, LocalSlots
from zdistcc.schedule.outlook import Lease, Prospect
from zdistcc.schedule.policies import PolicyRow, Rank
from zdistcc.schedule.queue import Build, Queue, Rotation
from zdistcc.schedule.snapshot import Snapshot
from zdistcc.schedule.stragglers import Stragglers
from zdistcc.toolchain.identity import Mismatch, Offer

MAX_TRIES: Final = 3
"""Workers that may let a job down before it is run locally."""
WAIT_LIMIT_S: Final = 60.0
"""How long a job waits for a worker's slot while local ones are free."""
LOOKED_AT: Final = 32
"""Workers that are compared for one job, beside those that hold its files."""
LOOK_AGAIN_S: Final = 0.25
"""After what time a job that is kept for a busy worker is looked at again, if nothing happens before."""
KEPT_AT_MOST: Final = 64
"""Jobs that are kept for busy workers; what is further behind waits its turn."""
KEEP_GAIN: Final = 0.1
"""By which share of its time at once a job must be done sooner to be kept for a busy worker: foresight is imprecise."""
IMPATIENCE: Final = 0.25
"""And by which share of the time that it has waited: else others overtake it again and again."""
HERE_GAIN: Final = 0.25
"""By which share of its time a job must be done sooner here: links and the build tool need this machine."""

FASTEST_IDLE: Final = 4
"""Idle workers that are compared for a second start."""
LARGEST_HERE: Final = 1.5
"""How many times the average work a job may be that is run here: one that began here cannot be moved any more."""


@dataclass(slots=True)
class _Job:
    need: Need
    since: float
    work: Work
    work_s: float
    home: WorkerId | None = None
    build: Build = None
    transfer_bytes: int = 0
    holders: frozenset[WorkerId] = frozenset()
    leased: list[WorkerId] = field(default_factory=list)
    tried: set[WorkerId] = field(default_factory=set)


class Scheduler:
    """See the module."""

    def __init__(self, *, local_slots: int, policy: PolicyRow, jitter: Callable[[], float]) -> None:
        """``jitter`` returns numbers in [0, 1): a seeded generator in tests."""
        self._policy = policy
        self._fleet = Fleet(jitter)
        self._jobs: dict[JobId, _Job] = {}
        self._rotation = Rotation()
        self._waiting: dict[Need, Queue[JobId]] = {}
        self._keeping = False
        self._pending_until = 0.0
        self._local = LocalSlots(local_slots)
        self._estimates = Estimates()
        self._stragglers = Stragglers()
        self._doubled: dict[JobId, None] = {}
        self._turn = 0
        self._now = 0.0

    # --- the one way in -------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Decision]:
        """Take a fact; return what is to be done.  ``now`` in seconds of a clock that never goes back."""
        self._now = now
        self._fleet.release(now)
        match event:
            case WorkerJoined():
                self._fleet.join(event)
            case WorkerChanged():
                self._fleet.change(event)
            case WorkerLost():
                self._fleet.lose(event, now)
            case WorkerQuarantined():
                self._fleet.quarantine(event, now)
            case WorkerAnnounced():
                self._fleet.health.clear(event.worker)
            case DiscoveryPending():
                self._pending_until = max(self._pending_until, event.until)
            case JobQueued():
                self._queue(event, now)
            case JobDone():
                self._done(event, now)
            case LeaseBroken():
                return self._broken(event, now)
            case JobAbandoned():
                self._forget_job(event.job)
            case LocalQueued():
                return [*self._local.queue(event, now), *self._place_all(now)]
            case LocalReleased():
                granted, done = self._local.release(event, now)
                if done is not None:
                    self._estimates.learn(HERE, *done)
                return [*granted, *self._place_all(now)]
            case TimePassed():
                pass
            case _:
                assert_never(event)
        return self._place_all(now)

    def next_deadline(self) -> float | None:
        """Return when ``TimePassed`` is wanted next, or ``None`` while nothing waits for time."""
        if not self._waiting:
            alone = (lease for _, lease in self._alone())
            return self._stragglers.look_at(alone, self._now) if self._policy.foresees else None
        times = [self._pending_until, *self._fleet.pauses()]
        heads = (number for queue in self._waiting.values() for number in queue.heads())
        times += [self._jobs[number].since + WAIT_LIMIT_S for number in heads]
        if self._keeping:
            times.append(self._now + LOOK_AGAIN_S)
        return min((time for time in times if time > self._now), default=None)

    # --- law ------------------------------------------------------------------------------------

    def eligible_ever(self, worker: WorkerId, need: Need) -> Offer | Mismatch | None:
        """Return the offer of ``worker`` that serves ``need``, or the nearest miss (``None``: it offers nothing)."""
        return self._fleet.eligible_ever(worker, need)

    def eligible_now(self, worker: WorkerId, now: float) -> bool:
        """Return whether ``worker`` may be given one more job at this moment."""
        return self._fleet.eligible_now(worker, now)

    # --- placing jobs ---------------------------------------------------------------------------

    def _place_all(self, now: float) -> list[Decision]:
        decisions: list[Decision] = []
        self._keeping = False
        planned: set[WorkerId] = set()
        for need in self._rotation.order(self._waiting.items()):
            queue = self._waiting[need]
            kept = 0
            for number in queue:
                placed = self._place(number, now)
                if isinstance(placed, Grant | RunLocally):
                    queue.serve(number)
                    decisions.append(placed)
                    continue
                if placed is not None:
                    kept += 1
                    planned.add(placed)
                if kept >= KEPT_AT_MOST or not self._is_room(need, now):
                    break
            self._keeping = self._keeping or kept > 0
            if not queue:
                del self._waiting[need]
        for worker in planned:
            self._fleet.outlooks[worker].forget_plans()
        if not self._waiting:
            decisions += self._second_starts(now)
        return decisions

    def _is_room(self, need: Need, now: float) -> bool:
        if self._policy.foresees and self._local.spare(now) > self._local.reserve:
            return True
        return bool(self._fleet.roomy) and any(self.eligible_now(worker, now) for worker in self._fleet.capable(need))

    def _place(self, number: JobId, now: float) -> Grant | RunLocally | WorkerId | None:
        """Return the order for one waiting job, the busy worker that it is kept for, or ``None`` while it waits."""
        job = self._jobs[number]
        capable = self._fleet.capable(job.need)
        if not capable:
            if now < self._pending_until:
                return None
            return self._run_locally(number, *self._fleet.why_nobody(job.need))
        seen = self._look_at(job, capable, now)
        if len(job.tried) >= MAX_TRIES or not seen:
            why = "tried" if job.tried else "told to leave"
            return self._run_locally(number, Reason.WORKERS_FAILED, f"every worker that could do it was {why}")
        free = [worker for worker in seen if self.eligible_now(worker, now)]
        if self._policy.foresees:
            placed = self._foresee(number, job, seen, free, now)
            if placed is not None:
                return placed
        elif job.home in free and self._fleet.has_slot(job.home):
            return self._grant(number, job.home, now)
        elif free:
            chosen = min(self._fleet.preferred(free), key=lambda worker: (self._rank(job, worker, now), worker))
            return self._grant(number, chosen, now)
        if now - job.since >= WAIT_LIMIT_S and self._local.spare(now) > 0:
            return self._run_locally(number, Reason.WORKERS_BUSY)
        return None

    def _look_at(self, job: _Job, capable: tuple[WorkerId, ...], now: float) -> list[WorkerId]:
        """Return the workers to compare for ``job``: all that may still do it, or some of very many, in turns."""
        if len(capable) > LOOKED_AT:
            first = self._turn = (self._turn + LOOKED_AT // 2) % len(capable)
            window = (*capable[first : first + LOOKED_AT], *capable[: max(0, first + LOOKED_AT - len(capable))])
            holders = [worker for worker in job.holders if worker not in window and self._serves(job, worker)]
            some = [worker for worker in (*window, *holders[:LOOKED_AT]) if self._may_do(job, worker)]
            if any(self.eligible_now(worker, now) for worker in some):
                return some
        return [worker for worker in capable if self._may_do(job, worker)]

    def _serves(self, job: _Job, worker: WorkerId) -> bool:
        return worker in self._fleet.views and isinstance(self.eligible_ever(worker, job.need), Offer)

    def _may_do(self, job: _Job, worker: WorkerId) -> bool:
        return not self._fleet.views[worker].draining and worker not in job.tried

    def _foresee(
        self, number: JobId, job: _Job, seen: list[WorkerId], free: list[WorkerId], now: float
    ) -> Grant | RunLocally | WorkerId | None:
        """Return where ``job`` would be done first: at once, or by waiting for a worker that is busy now."""
        ranks = {worker: self._rank(job, worker, now) for worker in seen if not self._fleet.paused(worker, now)}

        def order(worker: WorkerId) -> tuple[Rank, float, WorkerId]:
            return ranks[worker], self._fleet.draws[worker], worker

        best = min(ranks, key=order, default=None)
        if best is not None and best in self._fleet.roomy:
            return self._grant(number, best, now)
        if free:
            at_once = min(free, key=order)
            run_s = self._prospect(job, at_once, now).run_s
            least = KEEP_GAIN * run_s + IMPATIENCE * (now - job.since)
            if best is None or ranks[at_once][0] - ranks[best][0] <= least:
                return self._grant(number, at_once, now)
        elif self._quicker_here(job, ranks[best][0] if best is not None else None, now):
            return self._run_locally(number, Reason.QUICKER_HERE)
        if best is not None:
            self._fleet.outlooks[best].plan(self._prospect(job, best, now).end)
        return best

    def _quicker_here(self, job: _Job, elsewhere: float | None, now: float) -> bool:
        """Return whether this machine, beyond its reserve, would have done ``job`` well before any worker."""
        if elsewhere is None or self._local.spare(now) <= self._local.reserve:
            return False
        if job.work_s > LARGEST_HERE * self._estimates.average_s:
            return False
        run_s = job.work_s * self._estimates.slowness(HERE)
        return now + run_s * (1 + HERE_GAIN) < elsewhere

    def _prospect(self, job: _Job, worker: WorkerId, now: float) -> Prospect:
        slowness = self._estimates.slowness(worker)
        return self._fleet.outlooks[worker].prospect(
            now,
            self._fleet.views[worker].slots,
            job.work_s * slowness,
            self._estimates.average_s * slowness,
            0 if worker in job.holders else job.transfer_bytes,
        )

    def _rank(self, job: _Job, worker: WorkerId, now: float) -> Rank:
        return self._policy.rank(self._fleet.views[worker], self._prospect(job, worker, now))

    def _grant(self, number: JobId, worker: WorkerId, now: float) -> Grant:
        return Grant(job=number, worker=worker, offer=self._lease(number, worker, now))

    def _lease(self, number: JobId, worker: WorkerId, now: float) -> Offer:
        job = self._jobs[number]
        offer = self.eligible_ever(worker, job.need)
        assert isinstance(offer, Offer)
        job.leased.append(worker)
        sent = 0 if worker in job.holders else job.transfer_bytes
        self._fleet.lease(worker, number, now, self._prospect(job, worker, now), sent)
        return offer

    def _run_locally(self, number: JobId, reason: Reason, detail: str = "") -> RunLocally:
        job = self._jobs.pop(number)
        self._local.promise(number, job.work, self._now)
        return RunLocally(job=number, reason=reason, detail=detail)

    # --- second starts --------------------------------------------------------------------------

    def _second_starts(self, now: float) -> list[Decision]:
        """Start again, where nothing else is to be done, what takes far too long where it is."""
        if not self._policy.foresees or not self._fleet.roomy or now < self._stragglers.quiet_from:
            return []
        decisions: list[Decision] = []
        slots = sum(view.slots for view in self._fleet.views.values())
        idle = {need: self._idle(need, now) for need in {job.need for job in self._jobs.values()}}
        for number, lease in sorted(self._alone(), key=lambda each: -each[1].due(now)):
            job = self._jobs[number]
            if not self._stragglers.affordable(len(self._doubled), slots):
                break
            ends = {
                worker: self._prospect(job, worker, now).end
                for worker in idle[job.need]
                if worker not in job.leased and worker not in job.tried and self._fleet.idle(worker, now)
            }
            best = min(ends, key=lambda worker: (ends[worker], self._fleet.draws[worker], worker), default=None)
            if best is not None and Stragglers.worthwhile(lease, ends[best], now):
                self._doubled[number] = None
                self._stragglers.started += 1
                decisions.append(Duplicate(job=number, worker=best, offer=self._lease(number, best, now)))
        return decisions

    def _idle(self, need: Need, now: float) -> list[WorkerId]:
        """Return the fastest idle workers that could serve ``need``."""
        idle = (worker for worker in self._fleet.capable(need) if self._fleet.idle(worker, now))
        return heapq.nsmallest(FASTEST_IDLE, idle, key=self._estimates.slowness)

    def _alone(self) -> Iterator[tuple[JobId, Lease]]:
        """Yield the jobs that were started once."""
        for number, job in self._jobs.items():
            if len(job.leased) == 1 and number not in self._doubled:
                lease = self._fleet.lease_of(number, job.leased[0])
                if lease is not None:
                    yield number, lease

    # --- the life of a job ----------------------------------------------------------------------

    def _queue(self, event: JobQueued, now: float) -> None:
        work = Work(language=event.need.language, input_bytes=event.input_bytes, key=event.key)
        self._jobs[event.job] = _Job(
            need=event.need,
            since=now,
            work=work,
            work_s=self._estimates.work(work),
            transfer_bytes=event.transfer_bytes,
            holders=event.holders,
            home=event.home,
            build=event.build,
        )
        self._wait(event.job)
        self._stragglers.queued(now)

    def _done(self, event: JobDone, now: float) -> None:
        job = self._jobs.get(event.job)
        if job is None:
            return
        winner = event.worker or (job.leased[0] if job.leased else None)
        second = len(job.leased) == 2 and winner == job.leased[1]
        useful, wasted = 0.0, 0.0
        for worker in list(job.leased):
            lease = self._end_lease(event.job, worker)
            if worker != winner:
                wasted += now - lease.granted if lease is not None else 0.0
                continue
            self._fleet.health.clear(worker)
            if lease is not None:
                useful = now - lease.granted
                self._learn(event, worker, job, lease, now)
        self._stragglers.ended(useful, wasted, second_won=second)
        self._forget_job(event.job)

    def _learn(self, event: JobDone, worker: WorkerId, job: _Job, lease: Lease, now: float) -> None:
        seconds = event.wall_s or event.cpu_s
        if seconds is None:
            return
        self._estimates.learn(worker, job.work, seconds)
        self._fleet.outlooks[worker].measure(lease, now, seconds + (event.queue_s or 0.0))

    def _broken(self, event: LeaseBroken, now: float) -> list[Decision]:
        job = self._jobs.get(event.job)
        if job is None:
            return []
        worker = event.worker or (job.leased[0] if job.leased else None)
        if worker is not None:
            lease = self._end_lease(event.job, worker)
            if lease is not None and event.job in self._doubled:
                self._stragglers.ended(0.0, now - lease.granted, second_won=False)
        if event.blame is not Blame.FINAL and worker is not None:
            if event.blame is Blame.BUSY:
                self._fleet.busy(worker, now)
            else:
                job.tried.add(worker)
            if event.blame is Blame.WORKER and worker in self._fleet.views:
                self._fleet.health.fault(worker, now)
        if job.leased:  # it is still under way elsewhere
            return self._place_all(now)
        self._doubled.pop(event.job, None)
        if event.blame is Blame.FINAL:
            return [self._run_locally(event.job, Reason.WORKER_REFUSED), *self._place_all(now)]
        self._wait(event.job, first=True)
        return self._place_all(now)

    def _wait(self, number: JobId, *, first: bool = False) -> None:
        job = self._jobs[number]
        if job.need not in self._waiting:
            self._waiting[job.need] = Queue(self._rotation)
        self._waiting[job.need].push(number, job.build, first=first)

    def _end_lease(self, number: JobId, worker: WorkerId) -> Lease | None:
        job = self._jobs[number]
        if worker not in job.leased:
            return None
        job.leased.remove(worker)
        return self._fleet.end_lease(worker, number)

    def _forget_job(self, number: JobId) -> None:
        job = self._jobs.get(number)
        if job is None:
            return
        for worker in list(job.leased):
            self._end_lease(number, worker)
        del self._jobs[number]
        self._doubled.pop(number, None)
        queue = self._waiting.get(job.need)
        if queue is not None:
            queue.remove(number)
            if not queue:
                del self._waiting[job.need]

    # --- looking in -----------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return what others may see."""
        return Snapshot(
            workers=tuple(
                replace(
                    view,
                    paused_until=self._fleet.health.paused_until(worker),
                    speed=1 / self._estimates.slowness(worker) if self._estimates.measured(worker) else None,
                )
                for worker, view in self._fleet.views.items()
            ),
            jobs_waiting=sum(len(queue) for queue in self._waiting.values()),
            jobs_leased=sum(len(view.leases) for view in self._fleet.views.values()),
            local_slots=self._local.slots,
            local_running=len(self._local.held),
            local_waiting=self._local.waiting,
            duplicates=self._stragglers.started,
            duplicates_won=self._stragglers.won,
            wasted_s=self._stragglers.wasted_s,
        )

    def check(self) -> None:
        """Raise ``AssertionError`` when an invariant is broken; tests call it after every step."""
        self._local.check()
        self._fleet.check()
        waiting = [job for queue in self._waiting.values() for job in queue]
        assert len(set(waiting)) == len(waiting)
        assert all(self._waiting.values()), "an empty queue was kept"
        for number in waiting:
            assert not self._jobs[number].leased, f"job {number} waits and is leased"
        for worker, view in self._fleet.views.items():
            for number in view.leases:
                assert worker in self._jobs[number].leased, f"lease of {number} and job disagree"
        for number, job in self._jobs.items():
            assert len(set(job.leased)) == len(job.leased) <= 2, f"job {number} is leased to {job.leased}"
            assert job.leased or number in waiting, f"job {number} is nowhere"
            assert len(job.leased) < 2 or number in self._doubled, f"job {number} is started twice by mistake"
            for worker in job.leased:
                assert worker not in self._fleet.views or number in self._fleet.views[worker].leases
        assert self._doubled.keys() <= self._jobs.keys()

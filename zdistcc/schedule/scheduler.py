"""The scheduler: one owner for workers, leases, queue, health and local slots.

``handle(event, now)`` takes a fact and returns orders; every outcome of an order comes back as a fact.  What is
*eligible* is law and stands here: :meth:`Scheduler.eligible_ever` (the worker has the compiler) and
:meth:`Scheduler.eligible_now` (it has room and is not paused).  A policy only ranks what is eligible, so none can
send a job to the wrong compiler.

A lease is taken before the job is preprocessed, so that no text waits in memory for a worker; ``ahead`` leases more
than a worker has slots keep it busy while a text is made and travels.

A job whose sources a worker has is granted there while one of its slots is free: any free slot is as good, and
another worker would have to be sent the sources first.
A policy that foresees may keep a job for a worker that is busy now, or have it run here once all workers are full or
much slower; jobs behind it are placed as if it were there already, so nobody is held up by it.

The builds of a user take turns, job by job.

Must not know: sockets, clocks, chance (time and jitter are arguments), files.  Rejected: filling hosts in list order
(the first host is swamped, the last idle), running a job locally as soon as all workers are busy (with local
preprocessing the client's cores feed the workers; ``WAIT_LIMIT_S`` bounds the wait instead).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, assert_never

from zdistcc.errors import Reason
from zdistcc.schedule.decisions import Decision, Duplicate, Grant, Recall, RunLocally
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
from zdistcc.schedule.fleet import Fleet, Member
from zdistcc.schedule.foresight import Foresight, Job
from zdistcc.schedule.local import HERE, LocalSlots
from zdistcc.schedule.outlook import Lease, Prospect
from zdistcc.schedule.policies import PolicyRow
from zdistcc.schedule.queue import Build, Queue, Rotation
from zdistcc.schedule.snapshot import Snapshot
from zdistcc.schedule.stragglers import LOOK_EVERY_S, Stragglers
from zdistcc.toolchain.identity import Mismatch, Offer

MAX_TRIES: Final = 3
"""Workers that may let a job down before it is run locally."""
WAIT_LIMIT_S: Final = 60.0
"""How long a job waits for a worker's slot while local ones are free."""
LOOK_AGAIN_S: Final = 0.25
"""After what time a job that is kept for a busy worker is looked at again, if nothing happens before."""
KEPT_AT_MOST: Final = 64
"""Jobs that are compared with each other, and kept for busy workers; what is further behind waits its turn."""
OVERTAKEN_S: Final = 30.0
"""How long larger jobs may go before a job."""
RECALL_SHARE: Final = 0.5
"""In which share of the time of a second start a job must be done here to be called back: that ends its first start."""


class Scheduler:
    """See the module."""

    def __init__(self, *, local_slots: int, policy: PolicyRow, jitter: Callable[[], float]) -> None:
        """``jitter`` returns numbers in [0, 1): a seeded generator in tests."""
        self._policy = policy
        self._fleet = Fleet(jitter)
        self._jobs: dict[JobId, Job] = {}
        self._rotation = Rotation()
        self._waiting: dict[Need, Queue[JobId]] = {}
        self._keeping = False
        self._pending_until = 0.0
        self._local = LocalSlots(local_slots)
        self._estimates = Estimates()
        self._foresight = Foresight(policy, self._fleet, self._local, self._estimates, jitter)
        self._stragglers = Stragglers()
        self._doubled: dict[JobId, None] = {}
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
            look_at = self._stragglers.look_at if self._policy.foresees and self._jobs else None
            return max(look_at, self._now + LOOK_EVERY_S) if look_at is not None else None
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
        if not self._waiting:
            return self._second_starts(now)
        decisions: list[Decision] = []
        self._keeping = False
        planned: dict[WorkerId, Member] = {}
        for need in self._rotation.order(self._waiting.items()):
            queue = self._waiting[need]
            kept = 0
            for number in self._in_order(need, now):
                placed = self._place(number, now)
                if isinstance(placed, Grant | RunLocally):
                    queue.serve(number)
                    decisions.append(placed)
                    continue
                if placed is not None:
                    kept += 1
                    planned[placed.worker] = placed
                if kept >= KEPT_AT_MOST or not self._is_room(need, now):
                    break
            self._keeping = self._keeping or kept > 0
            if not queue:
                del self._waiting[need]
        for member in planned.values():
            member.outlook.forget_plans()
        if not self._waiting:
            decisions += self._second_starts(now)
        return decisions

    def _in_order(self, need: Need, now: float) -> list[JobId]:
        """Return the waiting jobs to be placed now, in order: builds take turns, with foresight the largest first.

        A large one that begins last decides when the build ends.  What has waited for long is not overtaken any more.
        """
        queue = self._waiting[need]
        if not self._policy.foresees or len(queue) == 1 or not self._is_room(need, now):
            return list(queue)
        turns = list(islice(queue, KEPT_AT_MOST))
        lines: dict[Build, list[tuple[float, float, JobId]]] = {}
        for number in turns:
            job = self._jobs[number]
            job.work_s = self._estimates.work(job.work)
            old = job.since < now - OVERTAKEN_S
            rank = (0.0, job.since, number) if old else (1.0, -job.work_s, number)
            lines.setdefault(job.build, []).append(rank)
        in_line = {build: iter(sorted(line)) for build, line in lines.items()}
        return [next(in_line[self._jobs[number].build])[2] for number in turns]

    def _is_room(self, need: Need, now: float) -> bool:
        if self._policy.foresees and self._foresight.is_room_here(now):
            return True
        return bool(self._fleet.roomy) and any(self.eligible_now(worker, now) for worker in self._fleet.capable(need))

    def _place(self, number: JobId, now: float) -> Grant | RunLocally | Member | None:
        """Return the order for one waiting job, the busy worker that it is kept for, or ``None`` while it waits."""
        job = self._jobs[number]
        if not self._fleet.capable(job.need):
            if now < self._pending_until:
                return None
            return self._run_locally(number, *self._fleet.why_nobody(job.need))
        candidates = self._foresight.candidates(job)
        if len(job.tried) >= MAX_TRIES or not candidates:
            why = "tried" if job.tried else "told to leave"
            return self._run_locally(number, Reason.WORKERS_FAILED, f"every worker that could do it was {why}")
        if self._is_room(job.need, now):
            placed = self._place_well(number, job, candidates, now)
            if placed is not None:
                return placed
        if now - job.since >= WAIT_LIMIT_S and self._local.spare(now) > 0:
            return self._run_locally(number, Reason.WORKERS_BUSY)
        return None

    def _place_well(
        self, number: JobId, job: Job, candidates: list[WorkerId], now: float
    ) -> Grant | RunLocally | Member | None:
        """Return where ``job`` would be done first: at once, or by waiting for a worker that is busy now."""
        if not self._policy.foresees and job.home in candidates and self._fleet.eligible_now(job.home, now):
            home = self._fleet.members[job.home]
            if home.has_slot:
                return self._grant(number, home, self._foresight.prospect(job, home, now), now)
        best, at_once = self._foresight.compare(job, candidates, now)
        if self._policy.foresees and best is not None:
            best = self._foresight.stays_home(job, best, now) or best
        if self._policy.foresees and self._foresight.quicker_here(job, best, candidates, now):
            return self._run_locally(number, Reason.QUICKER_HERE)
        if best is not None and best.ready:
            return self._grant(number, best.member, best.prospect, now)
        if at_once is not None:
            assert best is not None
            if not (self._policy.foresees and self._foresight.worth_keeping(job, best, at_once, now)):
                return self._grant(number, at_once.member, at_once.prospect, now)
        if not self._policy.foresees or best is None:
            return None
        best.member.outlook.plan(best.prospect.end)
        return best.member

    def _grant(self, number: JobId, member: Member, prospect: Prospect, now: float) -> Grant:
        return Grant(job=number, worker=member.worker, offer=self._lease(number, member, prospect, now))

    def _lease(self, number: JobId, member: Member, prospect: Prospect, now: float) -> Offer:
        job = self._jobs[number]
        offer = self.eligible_ever(member.worker, job.need)
        assert isinstance(offer, Offer)
        job.leased.append(member.worker)
        lease = self._fleet.lease(member, number, now, prospect, job.to_send(member.worker))
        self._stragglers.leased(lease)
        return offer

    def _run_locally(self, number: JobId, reason: Reason, detail: str = "") -> RunLocally:
        job = self._jobs.pop(number)
        self._local.promise(number, job.work, self._now)
        return RunLocally(job=number, reason=reason, detail=detail)

    # --- second starts --------------------------------------------------------------------------

    def _second_starts(self, now: float) -> list[Decision]:
        """Start again, where nothing else is to be done, what takes far too long where it is."""
        if not self._policy.foresees or not self._stragglers.time_to_look(now, len(self._fleet.members)):
            return []
        decisions: list[Decision] = []
        slots = sum(member.slots for member in self._fleet.members.values())
        idle: dict[Need, list[WorkerId]] = {}
        alone = [(number, lease) for number, lease in self._alone() if self._stragglers.may_pay(lease, now)]
        for number, lease in sorted(alone, key=lambda each: -each[1].due(now)):
            need = self._jobs[number].need
            if not self._stragglers.affordable(len(self._doubled), slots):
                break
            if need not in idle:
                idle[need] = self._foresight.idle(need, now)
            decision = self._second_start(number, lease, idle[need], now)
            if decision is not None:
                decisions.append(decision)
        self._stragglers.looked(now, (lease for _, lease in self._alone()))
        return decisions

    def _second_start(self, number: JobId, lease: Lease, idle: list[WorkerId], now: float) -> Duplicate | Recall | None:
        """Return how the job of ``lease`` would be done sooner, if it would: on an idle worker, or here."""
        job = self._jobs[number]
        workers = [
            worker
            for worker in idle
            if worker not in job.leased and worker not in job.tried and self._fleet.idle(worker, now)
        ]
        best, _ = self._foresight.compare(job, workers, now)
        if best is not None and not Stragglers.worthwhile(lease, best.prospect.end, now):
            best = None
        if self._foresight.is_room_here(now):
            end = self._foresight.end_here(job, now, self._foresight.work_left(job, lease, now))
            much_sooner = best is None or end - now < RECALL_SHARE * (best.prospect.end - now)
            if much_sooner and Stragglers.worth_recalling(lease, end, now):
                return self._recall(number, now)
        if best is None:
            return None
        self._doubled[number] = None
        self._stragglers.started += 1
        offer = self._lease(number, best.member, best.prospect, now)
        return Duplicate(job=number, worker=best.member.worker, offer=offer)

    def _recall(self, number: JobId, now: float) -> Recall:
        job = self._jobs[number]
        for worker in list(job.leased):
            lease = self._end_lease(number, worker)
            self._stragglers.ended(0.0, now - lease.granted if lease is not None else 0.0, second_won=False)
        self._stragglers.recalled += 1
        del self._jobs[number]
        self._local.promise(number, job.work, now)
        return Recall(job=number)

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
        self._jobs[event.job] = Job(
            need=event.need,
            since=now,
            work=work,
            work_s=self._estimates.work(work),
            known=self._estimates.known(work),
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

    def _learn(self, event: JobDone, worker: WorkerId, job: Job, lease: Lease, now: float) -> None:
        seconds = event.wall_s or event.cpu_s
        if seconds is None:
            return
        self._estimates.learn(worker, job.work, seconds)
        self._fleet.members[worker].outlook.measure(lease, now, seconds + (event.queue_s or 0.0))

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
            if event.blame is Blame.WORKER and worker in self._fleet.members:
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
        self._foresight.freed(worker)
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
                member.view(
                    self._fleet.health.paused_until(worker),
                    1 / self._estimates.slowness(worker) if self._estimates.measured(worker) else None,
                )
                for worker, member in self._fleet.members.items()
            ),
            jobs_waiting=sum(len(queue) for queue in self._waiting.values()),
            jobs_leased=sum(len(member.outlook.leases) for member in self._fleet.members.values()),
            local_slots=self._local.slots,
            local_running=len(self._local.held),
            local_waiting=self._local.waiting,
            duplicates=self._stragglers.started,
            duplicates_won=self._stragglers.won,
            recalled=self._stragglers.recalled,
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
        for worker, member in self._fleet.members.items():
            for number in member.outlook.leases:
                assert worker in self._jobs[number].leased, f"lease of {number} and job disagree"
        for number, job in self._jobs.items():
            assert len(set(job.leased)) == len(job.leased) <= 2, f"job {number} is leased to {job.leased}"
            assert job.leased or number in waiting, f"job {number} is nowhere"
            assert len(job.leased) < 2 or number in self._doubled, f"job {number} is started twice by mistake"
            for worker in job.leased:
                assert worker not in self._fleet.members or self._fleet.lease_of(number, worker) is not None
        assert self._doubled.keys() <= self._jobs.keys()

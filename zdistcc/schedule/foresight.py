"""Foresight: which workers are compared for a job, when each of them would have done it, and when this machine would.

Of very many workers only some are looked at for each job: a window that moves on with every job, and those whose jobs
ended last, which have a slot free and our files.  The best of these is nearly as good as the best of all, and agents
that look at different ones do not rush to the same.

Must not know: the queue of jobs, orders.  Rejected: a heap of all workers by the end of one more job (that end depends
on the job's size and on who has its files, and changes with every report).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from zdistcc.schedule.estimates import Estimates, Work
from zdistcc.schedule.events import Need, WorkerId
from zdistcc.schedule.fleet import Fleet, Member
from zdistcc.schedule.local import HERE, LocalSlots
from zdistcc.schedule.outlook import Lease, Prospect
from zdistcc.schedule.policies import PolicyRow, Rank
from zdistcc.schedule.queue import Build

LOOKED_AT: Final = 32
"""So many workers are all compared for every job."""
WINDOW: Final = 6
FREED: Final = 2
"""Of more than that: so many in turns, and so many whose jobs ended last."""
FASTEST_IDLE: Final = 4
IDLE_ASKED: Final = 64
"""Idle workers that are compared for a second start, and how many are asked at once whether they are idle."""
KEEP_GAIN: Final = 0.1
"""By which share of its time at once a job must be done sooner to be kept for a busy worker: foresight is imprecise."""
IMPATIENCE: Final = 0.25
"""And by which share of the time that it has waited: else others overtake it again and again."""
MUCH_QUICKER: Final = 2.0
"""How many times quicker this machine must be than a worker that has room, to keep a job from it."""
HERE_GAIN: Final = 0.25
"""By which share of its time a job must be done sooner here: links and the build tool need this machine."""
HOME_GAIN: Final = 0.1
"""By which share of its time a job must be done sooner elsewhere than where its sources are and a slot is free."""
LARGEST_HERE: Final = 1.5
"""How many times the average work a job may be that is run here: one that began here cannot be moved any more."""

STUCK_FACTOR: Final = 8.0
STUCK_S: Final = 10.0
"""A new job that runs for so many times its expected time, and so long, is stuck, not large."""


@dataclass(slots=True, eq=False)
class Job:
    """A job that is waiting or leased; ``leased`` in the order of its starts; ``known``: it has been done before."""

    need: Need
    since: float
    work: Work
    work_s: float
    known: bool = False
    home: WorkerId | None = None
    build: Build = None
    transfer_bytes: int = 0
    holders: frozenset[WorkerId] = frozenset()
    leased: list[WorkerId] = field(default_factory=list)
    tried: set[WorkerId] = field(default_factory=set)

    def to_send(self, worker: WorkerId) -> int:
        """Return how many bytes ``worker`` lacks for it."""
        return 0 if worker in self.holders else self.transfer_bytes


@dataclass(slots=True)
class Choice:
    """A worker for a job and when that would be done; lower ``key`` is better; ``ready`` if it may be given a job."""

    member: Member
    prospect: Prospect
    key: tuple[Rank, float, WorkerId]
    ready: bool


class Foresight:
    """Compares workers for a job by the policy."""

    def __init__(
        self, policy: PolicyRow, fleet: Fleet, local: LocalSlots, estimates: Estimates, jitter: Callable[[], float]
    ) -> None:
        self._policy = policy
        self._fleet = fleet
        self._local = local
        self._estimates = estimates
        self._turn = int(jitter() * (1 << 20))
        self._freed: dict[WorkerId, None] = {}

    # --- who is compared ------------------------------------------------------------------------

    def freed(self, worker: WorkerId) -> None:
        """A job of ours ended on ``worker``."""
        self._freed.pop(worker, None)
        self._freed[worker] = None
        if len(self._freed) > FREED:
            del self._freed[next(iter(self._freed))]

    def candidates(self, job: Job) -> list[WorkerId]:
        """Return the workers to compare: all that may still do ``job``, or some of very many."""
        capable = self._fleet.capable(job.need)
        if len(capable) > LOOKED_AT:
            some = self._some(job, capable)
            if some:
                return some
        return [worker for worker in capable if self._may_do(job, worker)]

    def _some(self, job: Job, capable: tuple[WorkerId, ...]) -> list[WorkerId]:
        first = self._turn % len(capable)
        self._turn = first + WINDOW
        some = dict.fromkeys(capable[first : first + WINDOW])
        if len(some) < WINDOW:
            some.update(dict.fromkeys(capable[: WINDOW - len(some)]))
        serving = self._fleet.serving(job.need)
        for worker in self._freed:
            if worker in serving:
                some[worker] = None
        if job.home in serving:
            some[job.home] = None
        some_may = [worker for worker in some if self._may_do(job, worker)]
        roomy = self._fleet.roomy
        if any(worker in roomy for worker in some_may):
            return some_may
        others = islice((worker for worker in roomy if worker in serving), WINDOW)
        return [worker for worker in others if self._may_do(job, worker)]

    def idle(self, need: Need, now: float) -> list[WorkerId]:
        """Return the fastest of the idle workers that could serve ``need``; of very many some are asked, in turns."""
        capable = self._fleet.capable(need)
        if len(capable) > IDLE_ASKED:
            first = self._turn = self._turn % len(capable)
            self._turn += IDLE_ASKED
            capable = capable[first : first + IDLE_ASKED]
        idle = (worker for worker in capable if self._fleet.idle(worker, now))
        return heapq.nsmallest(FASTEST_IDLE, idle, key=self._estimates.slowness)

    def _may_do(self, job: Job, worker: WorkerId) -> bool:
        return not self._fleet.members[worker].draining and worker not in job.tried

    # --- when it would be done ------------------------------------------------------------------

    def prospect(self, job: Job, member: Member, now: float) -> Prospect:
        """Return when ``job`` would be done on a worker."""
        slowness = self._estimates.slowness(member.worker)
        return member.outlook.prospect(
            now,
            member.slots,
            job.work_s * slowness,
            self._estimates.average_s * slowness,
            job.to_send(member.worker),
        )

    def compare(self, job: Job, workers: list[WorkerId], now: float) -> tuple[Choice | None, Choice | None]:
        """Return the best of ``workers``, and the best of those that may be given a job at once."""
        best: Choice | None = None
        at_once: Choice | None = None
        fleet, rank, slowness_of = self._fleet, self._policy.rank, self._estimates.slowness
        average_s, holders = self._estimates.average_s, job.holders
        drawn, any_paused = self._policy.foresees, fleet.any_paused
        for worker in workers:
            paused = any_paused and fleet.paused(worker, now)
            if paused and (not drawn or fleet.health.paused_until(worker) > now):
                continue
            member = fleet.members[worker]
            slowness = slowness_of(worker)
            to_send = 0 if worker in holders else job.transfer_bytes
            prospect = member.outlook.prospect(now, member.slots, job.work_s * slowness, average_s * slowness, to_send)
            if paused:
                prospect = Prospect(max(prospect.start, fleet.busy_until(worker)), prospect.run_s)
            key = rank(member, prospect), member.draw if drawn else 0.0, worker
            better = best is None or key < best.key
            if better or at_once is None or key < at_once.key:
                choice = Choice(member, prospect, key, not paused and worker in fleet.roomy)
                if better:
                    best = choice
                if choice.ready and (at_once is None or key < at_once.key):
                    at_once = choice
        return best, at_once

    def stays_home(self, job: Job, best: Choice, now: float) -> Choice | None:
        """Return the worker that has the job's sources, if it has a slot free and is not clearly slower."""
        home = self._fleet.members.get(job.home) if job.home is not None else None
        if home is None or home is best.member or not home.has_slot:
            return None
        if job.home in job.tried or job.home not in self._fleet.serving(job.need):
            return None
        if not self._fleet.eligible_now(home.worker, now):
            return None
        prospect = self.prospect(job, home, now)
        if prospect.end - now > (1 + HOME_GAIN) * (best.prospect.end - now):
            return None
        return Choice(home, prospect, best.key, True)

    def worth_keeping(self, job: Job, best: Choice, at_once: Choice, now: float) -> bool:
        """Return whether to wait for ``best`` rather than to take what is to be had now."""
        least = KEEP_GAIN * at_once.prospect.run_s + IMPATIENCE * (now - job.since)
        return at_once.key[0][0] - best.key[0][0] > least

    def quicker_here(self, job: Job, best: Choice | None, candidates: list[WorkerId], now: float) -> bool:
        """Return whether this machine, beyond its reserve, would have done ``job`` well before any worker.

        What can be sent away at once is, unless this machine is known to be much quicker than whoever has room.
        """
        if best is None or not self.is_room_here(now) or job.work_s > LARGEST_HERE * self._estimates.average_s:
            return False
        end = self.end_here(job, now)
        if end >= best.key[0][0]:
            return False
        roomy = [member for worker in candidates if not (member := self._fleet.members[worker]).full]
        if roomy and not self._estimates.measured(HERE):
            return False
        soon = now + MUCH_QUICKER * (end - now)
        return all(self.prospect(job, member, now).end > soon for member in roomy)

    def is_room_here(self, now: float) -> bool:
        """Return whether a slot of this machine is to spare."""
        return self._local.spare(now) > self._local.reserve

    def end_here(self, job: Job, now: float, work_s: float | None = None) -> float:
        """Return when ``job`` would be done here, cautiously."""
        work_s = job.work_s if work_s is None else work_s
        return now + work_s * self._estimates.slowness(HERE) * (1 + HERE_GAIN)

    def work_left(self, job: Job, lease: Lease, now: float) -> float:
        """Return how much work ``job`` is, seen from how long it has run already, if it were begun anew.

        What was never done before and takes longer than expected is larger than expected, most often; only when it
        takes very much longer something is wrong where it is.
        """
        run_s = now - (lease.end - lease.run_s)
        if job.known or run_s > max(STUCK_S, STUCK_FACTOR * lease.run_s):
            return job.work_s
        return job.work_s * max(1.0, 2 * run_s / max(1e-3, lease.run_s))

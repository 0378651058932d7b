"""What may decide in a simulated agent: the production scheduler with each of its policies, other rankings for
comparison, and one mind for all agents that knows everything at once."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.schedule.test_scheduler import GCC, offer
from tests.sim.model import AgentSpec, Mind, Worker, World
from zdistcc.errors import Reason
from zdistcc.schedule import events as e
from zdistcc.schedule.decisions import Decision, Grant, GrantLocal, RunLocally
from zdistcc.schedule.events import JobId, WorkerId
from zdistcc.schedule.fleet import Member
from zdistcc.schedule.outlook import Prospect
from zdistcc.schedule.policies import POLICIES, PolicyRow, Rank
from zdistcc.schedule.scheduler import Scheduler

RankMaker = Callable[[World, random.Random, dict[WorkerId, int]], Callable[[Member, Prospect], Rank]]


class Compared:
    """The production scheduler with a ranking that is only here."""

    def __init__(self, world: World, spec: AgentSpec, rng: random.Random, make: RankMaker) -> None:
        self._granted: dict[WorkerId, int] = {}
        row = PolicyRow(name="compared", help="only here", rank=make(world, rng, self._granted))
        self._scheduler = Scheduler(local_slots=spec.cores, policy=row, jitter=rng.random)
        self.next_deadline = self._scheduler.next_deadline

    def handle(self, event: e.Event, now: float) -> list[Decision]:
        decisions = self._scheduler.handle(event, now)
        for decision in decisions:
            if isinstance(decision, Grant):
                self._granted[decision.worker] = self._granted.get(decision.worker, 0) + 1
        return decisions


def at_random(world: World, rng: random.Random, granted: dict[WorkerId, int]) -> Callable[[Member, Prospect], Rank]:
    return lambda member, prospect: (rng.random(),)


def round_robin(world: World, rng: random.Random, granted: dict[WorkerId, int]) -> Callable[[Member, Prospect], Rank]:
    return lambda member, prospect: (granted.get(member.worker, 0),)


def power_of_two(world: World, rng: random.Random, granted: dict[WorkerId, int]) -> Callable[[Member, Prospect], Rank]:
    drawn: tuple[int, list[WorkerId]] = -1, []

    def rank(member: Member, prospect: Prospect) -> Rank:
        nonlocal drawn
        total = sum(granted.values())
        if total != drawn[0]:
            drawn = total, rng.sample(list(world.workers), min(2, len(world.workers)))
        return (0.0, member.load) if member.worker in drawn[1] else (1.0, rng.random())

    return rank


@dataclass(slots=True)
class Central:
    """What the mind of all agents has decided and is not over; shared by its ends in the agents."""

    sent: dict[WorkerId, dict[tuple[int, JobId], float]] = field(default_factory=dict)
    here: dict[int, list[float]] = field(default_factory=dict)


class Omniscient:
    """Knows every job's cost, every worker's state and what all agents want, at once; sends each job where it ends first."""

    def __init__(self, world: World, number: int, spec: AgentSpec, central: Central) -> None:
        self._world = world
        self._number = number
        self._spec = spec
        self._central = central
        self._waiting: list[JobId] = []
        self._where: dict[JobId, WorkerId] = {}
        self._held = 0
        self._tickets: list[e.Ticket] = []
        self._ends_here: list[float] = []

    def handle(self, event: e.Event, now: float) -> list[Decision]:
        match event:
            case e.JobQueued():
                self._waiting.append(event.job)
            case e.JobDone():
                self._forget(event.job)
            case e.LeaseBroken():
                self._forget(event.job)
                self._waiting.append(event.job)
            case e.LocalQueued():
                return [GrantLocal(ticket=event.ticket)]
            case _:
                pass
        decisions: list[Decision] = []
        for job in list(self._waiting):
            decision = self._place(job, now)
            if decision is not None:
                self._waiting.remove(job)
                decisions.append(decision)
        return decisions

    def next_deadline(self) -> float | None:
        return self._world.clock.now + 0.1 if self._waiting else None

    def _forget(self, job: JobId) -> None:
        worker = self._where.pop(job, None)
        if worker is not None:
            self._central.sent[worker].pop((self._number, job), None)

    def _place(self, job: JobId, now: float) -> Decision | None:
        agent = self._world.agents[self._number]
        cost = agent.open[job].trace.cost
        slots_here = self._spec.cores - max(1, self._spec.cores // 4)
        self._ends_here = [end for end in self._ends_here if end > now]
        free = now if len(self._ends_here) < slots_here else sorted(self._ends_here)[-slots_here]
        best: tuple[float, WorkerId | None] = (free + cost / self._spec.speed, None) if slots_here else (1e9, None)
        for worker in agent.connected.values():
            if worker.up and not worker.frozen and worker.speed > 0:
                best = min(best, (self._end_on(worker, cost, now), worker.id), key=lambda each: each[0])
        if best[1] is None:
            if not slots_here or free > now:
                return None
            self._ends_here.append(best[0])
            return RunLocally(job=job, reason=Reason.QUICKER_HERE)
        self._where[job] = best[1]
        self._central.sent.setdefault(best[1], {})[self._number, job] = cost
        return Grant(job=job, worker=best[1], offer=offer(GCC))

    def _end_on(self, worker: Worker, cost: float, now: float) -> float:
        free = [now] * worker.spec.slots
        heapq.heapify(free)
        behind = []
        for key, whole in self._central.sent.get(worker.id, {}).items():
            run = worker.running.get(key)
            if run is None:
                behind.append(whole)
            else:
                heapq.heapreplace(free, run.since + run.left / worker.speed)
        for whole in behind:
            heapq.heapreplace(free, free[0] + whole / worker.speed)
        return max(free[0], now + worker.spec.delay_s) + cost / worker.speed + worker.spec.delay_s


def production(policy: str) -> Callable[[World, int, AgentSpec, random.Random], Mind]:
    def make(world: World, number: int, spec: AgentSpec, rng: random.Random) -> Mind:
        return Scheduler(local_slots=spec.cores, policy=POLICIES[policy], jitter=rng.random)

    return make


def compared(rank: RankMaker) -> Callable[[World, int, AgentSpec, random.Random], Mind]:
    def make(world: World, number: int, spec: AgentSpec, rng: random.Random) -> Mind:
        return Compared(world, spec, rng, rank)

    return make


def omniscient() -> Callable[[World, int, AgentSpec, random.Random], Mind]:
    central = Central()

    def make(world: World, number: int, spec: AgentSpec, rng: random.Random) -> Mind:
        return Omniscient(world, number, spec, central)

    return make


MINDS: dict[str, Callable[[], Callable[[World, int, AgentSpec, random.Random], Mind]]] = {
    "least-completion": lambda: production("least-completion"),
    "least-loaded": lambda: production("least-loaded"),
    "list-order": lambda: production("list-order"),
    "random": lambda: compared(at_random),
    "round-robin": lambda: compared(round_robin),
    "power-of-two": lambda: compared(power_of_two),
    "omniscient": omniscient,
}
"""By the name in the scoreboard: makes a new mind-maker for each world."""

"""Machines that only exist on a clock heap: workers, agents with a build to do, and the LAN between them.

The scheduler in each agent and the admission of each worker are the production classes, unchanged.  What is modelled:
speed and slots of workers, the way there and back, bandwidth, what was sent before, a worker's reports (on change, ten
a second at most), and faults.  What is not: contention on the client's own link, memory, compilers that differ.
"""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Protocol

from tests.schedule.test_scheduler import GCC, offer
from tests.sim.traces import TraceJob
from zdistcc.schedule import events as e
from zdistcc.schedule.decisions import Decision, Duplicate, Grant, GrantLocal, Recall, RunLocally
from zdistcc.schedule.events import Blame, JobId, Need, Ticket, WorkerId
from zdistcc.toolchain.identity import Match
from zdistcc.wire import frames, messages
from zdistcc.wire.messages import Load
from zdistcc.worker.admission import Admission
from zdistcc.worker.reports import Reports

SILENCE_S = 2.0
"""After this time an agent takes a silent worker for lost."""
END_OF_TIME_S = 1e5
"""A simulation that is not over by then never will be."""


class Clock:
    """The heap: what happens when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (max(when, self.now), next(self._order), act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self.at(self.now + seconds, act)

    def run(self, over: Callable[[], bool]) -> None:
        while self._heap and not over():
            self.now, _, act = heapq.heappop(self._heap)
            assert self.now < END_OF_TIME_S, "the build does not end"
            act()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """From ``at`` to ``until`` a worker is: ``killed``, ``frozen``, ``slow`` (``value`` times), ``refusing``, ``lying``."""

    kind: str
    at: float
    until: float = END_OF_TIME_S
    value: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """A worker: ``delay_s`` is one way, ``bandwidth`` in bytes a second."""

    name: str
    slots: int = 4
    speed: float = 1.0
    delay_s: float = 0.0002
    bandwidth: float = 100e6
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """An agent: its build, ``width`` (of make -j), its own machine."""

    jobs: tuple[TraceJob, ...]
    width: int = 16
    cores: int = 4
    speed: float = 1.0
    begins: float = 0.0
    project: str = "p"


class Mind(Protocol):
    """What decides in an agent: the production scheduler, or one that knows everything."""

    def handle(self, event: e.Event, now: float) -> list[Decision]: ...

    def next_deadline(self) -> float | None: ...


@cache
def load_bytes(slots: int, running: int, queued: int) -> int:
    """Return how long a report is on the wire, with its frame."""
    body = messages.encode(Load(slots=slots, running=running, queued=queued))
    return len(frames.encode_header(frames.FrameKind.MESSAGE, 0, 0, len(body))) + len(body)


@dataclass(slots=True)
class Run:
    """One start of a job on a worker."""

    agent: Agent
    job: JobId
    cost: float
    left: float
    since: float = 0.0
    begun: float | None = None
    came: float = 0.0
    generation: int = 0


class Boundless(Admission):
    """Admits whatever comes."""

    def room(self, client: object) -> int:
        return 1_000_000


class Worker:
    """A worker under the clock."""

    def __init__(self, clock: Clock, spec: WorkerSpec, unbounded: bool) -> None:
        self.id = WorkerId(spec.name)
        self.spec = spec
        self._clock = clock
        self.speed = spec.speed
        self._admission = Boundless if unbounded else Admission
        self.admission = self._admission(spec.slots)
        self.runs: dict[tuple[int, JobId], Run] = {}
        self.running: dict[tuple[int, JobId], Run] = {}
        self.agents: list[Agent] = []
        self.up = True
        self.frozen = False
        self._unread: list[Callable[[], None]] = []
        self.refusing = False
        self.lying = False
        self._reports = Reports()
        self._report_due = False
        for fault in spec.faults:
            clock.at(fault.at, partial(self._fault, fault, True))
            clock.at(fault.until, partial(self._fault, fault, False))

    # --- what agents send -----------------------------------------------------------------------

    def receive(self, agent: Agent, job: JobId, cost: float) -> None:
        if self.frozen:
            self._unread.append(partial(self.receive, agent, job, cost))
        if not self.up or self.frozen:
            return
        key = agent.number, job
        if self.refusing or not self.admission.admit(key, agent.number):
            self._reply(lambda: agent.refused(self, job, Blame.BUSY))
            return
        self.runs[key] = Run(agent=agent, job=job, cost=cost, left=cost, came=self._clock.now)
        self._start(self.admission.ready(key, self._clock.now))
        self.changed()

    def cancel(self, agent: Agent, job: JobId) -> None:
        if self.frozen:
            self._unread.append(partial(self.cancel, agent, job))
        elif self.up and (agent.number, job) in self.runs:
            self._end((agent.number, job), wasted=True)

    # --- compiling ------------------------------------------------------------------------------

    def _start(self, keys: Sequence[object]) -> None:
        for key in keys:
            run = self.runs[key]  # type: ignore[index]
            run.begun = run.since = self._clock.now
            self.running[key] = run  # type: ignore[index]
            self._plan(run)

    def _plan(self, run: Run) -> None:
        run.generation += 1
        if self.speed > 0:
            generation = run.generation
            self._clock.after(run.left / self.speed, lambda: self._finished(run, generation))

    def _progress(self) -> None:
        for run in self.running.values():
            run.left = max(0.0, run.left - (self._clock.now - run.since) * self.speed)
            run.since = self._clock.now

    def _set_speed(self, speed: float) -> None:
        self._progress()
        self.speed = speed
        for run in self.running.values():
            self._plan(run)

    def _finished(self, run: Run, generation: int) -> None:
        key = run.agent.number, run.job
        if run.generation != generation or self.running.get(key) is not run:
            return
        run.left, run.since = 0.0, self._clock.now
        self._end(key, wasted=self.lying)
        assert run.begun is not None
        wall, queue = self._clock.now - run.begun, run.begun - run.came
        begun = run.begun
        if self.lying:
            self._reply(lambda: run.agent.refused(self, run.job, Blame.WORKER))
        else:
            self._reply(lambda: run.agent.answered(self, run, wall, queue, begun))

    def _end(self, key: tuple[int, JobId], *, wasted: bool) -> None:
        self._progress()
        run = self.runs.pop(key)
        self.running.pop(key, None)
        if wasted:
            run.agent.wasted += run.cost - run.left
        self._start(self.admission.leave(key, self._clock.now))
        self.changed()

    def _reply(self, act: Callable[[], None]) -> None:
        self._clock.after(self.spec.delay_s, act)

    # --- reports --------------------------------------------------------------------------------

    def changed(self) -> None:
        """Tell the agents, soon."""
        self._reports.changed(range(len(self.agents)))
        self._plan_report()

    def _plan_report(self) -> None:
        at = self._reports.next_at(self._clock.now)
        if not self._report_due and at is not None:
            self._report_due = True
            self._clock.at(at, self._report)

    def _report(self) -> None:
        self._report_due = False
        if not self.up or self.frozen:
            return
        due = set(self._reports.take(self._clock.now, self.admission.clients))
        counts = self.admission.counts
        event = e.WorkerChanged(worker=self.id, slots=counts.slots, running=counts.running, queued=counts.queued)
        size = load_bytes(counts.slots, counts.running, counts.queued)

        def arrive() -> None:
            for agent in [agent for agent in self.agents if agent.number in due]:
                if self.id in agent.connected:
                    agent.messages += 1
                    agent.status_bytes += size
                    agent.tell(event)

        self._reply(arrive)
        self._plan_report()

    # --- faults ---------------------------------------------------------------------------------

    def _fault(self, fault: Fault, begins: bool) -> None:
        match fault.kind:
            case "slow":
                self._set_speed(self.spec.speed / fault.value if begins else self.spec.speed)
            case "refusing":
                self.refusing = begins
            case "lying":
                self.lying = begins
            case "frozen":
                self.frozen = begins
                self._set_speed(0.0 if begins else self.spec.speed)
                if begins:
                    self._clock.after(SILENCE_S, self._lost_to_all)
                    return
                if fault.until - fault.at > SILENCE_S:
                    self._begin_anew()
                unread, self._unread = self._unread, []
                for act in unread:
                    act()
            case "killed" if begins:
                self.up = False
                self._clock.after(self.spec.delay_s, self._lost_to_all)
            case "killed":
                self.up = True
                self._begin_anew()

    def _lost_to_all(self) -> None:
        if self.up and not self.frozen:
            return
        for agent in self.agents:
            agent.lost(self)

    def _begin_anew(self) -> None:
        self._progress()
        for run in self.runs.values():
            run.agent.wasted += run.cost - run.left
        self.runs.clear()
        self.running.clear()
        self._unread.clear()
        self.admission = self._admission(self.spec.slots)
        for agent in self.agents:
            self._clock.after(2 * self.spec.delay_s, partial(agent.join, self))


@dataclass(slots=True)
class Outstanding:
    """A job of a build that is under way."""

    trace: TraceJob
    queued: float
    sent: dict[WorkerId, Worker] = field(default_factory=dict)


class Agent:
    """An agent with one build to do."""

    def __init__(self, clock: Clock, number: int, spec: AgentSpec, mind: Mind, rng: random.Random) -> None:
        self.number = number
        self.spec = spec
        self.mind = mind
        self._clock = clock
        self._rng = rng
        self.connected: dict[WorkerId, Worker] = {}
        self._holding: dict[str, set[WorkerId]] = {}
        self._homes: dict[str, WorkerId] = {}
        self.todo = list(spec.jobs)
        self.open: dict[JobId, Outstanding] = {}
        self._here: dict[Ticket, tuple[JobId, Outstanding]] = {}
        self._numbers = itertools.count(1)
        self._deadline: float | None = None
        self.waits: list[float] = []
        self.ended: float | None = None
        self.messages = 0
        self.decisions = 0
        self.remote = 0
        self.local = 0
        self.duplicates = 0
        self.recalls = 0
        self.status_bytes = 0
        self.handled = 0
        self.thought_s = 0.0
        self.wasted = 0.0
        self.useful = 0.0
        clock.at(spec.begins, self._release)

    # --- the build ------------------------------------------------------------------------------

    def _release(self) -> None:
        while self.todo and len(self.open) < self.spec.width:
            trace = self.todo.pop(0)
            number = JobId(next(self._numbers))
            self.open[number] = Outstanding(trace=trace, queued=self._clock.now)
            need = Need(compiler=GCC, level=Match.EXACT, language=trace.language)
            event = e.JobQueued(
                job=number,
                need=need,
                input_bytes=trace.closure_bytes,
                key=(self.spec.project, trace.file),
                transfer_bytes=trace.closure_bytes,
                holders=frozenset(self._holding.get(self.spec.project, ())),
                home=self._homes.get(trace.file),
            )
            self.tell(event)
        if not self.open and not self.todo and self.ended is None:
            self.ended = self._clock.now

    def again(self, jobs: Sequence[TraceJob]) -> None:
        """Begin another build."""
        self.todo = list(jobs)
        self.ended = None
        self.waits.clear()
        self.wasted = self.useful = 0.0
        self.remote = self.local = self.messages = self.decisions = self.duplicates = self.recalls = 0
        self.status_bytes = self.handled = 0
        self.thought_s = 0.0
        self._release()

    def _over(self, number: JobId, begun: float) -> None:
        done = self.open.pop(number)
        self.waits.append(begun - done.queued)
        self.useful += done.trace.cost
        self._release()

    # --- the scheduler --------------------------------------------------------------------------

    def tell(self, event: e.Event) -> None:
        begun = time.perf_counter()
        decisions = self.mind.handle(event, self._clock.now)
        deadline = self.mind.next_deadline()
        self.thought_s += time.perf_counter() - begun
        self.handled += 1
        for decision in decisions:
            self.decisions += not isinstance(decision, GrantLocal)
            self._carry_out(decision)
        if deadline is not None and (self._deadline is None or deadline < self._deadline):
            self._deadline = deadline
            self._clock.at(deadline, lambda: self._wake(deadline))

    def _wake(self, deadline: float) -> None:
        if self._deadline == deadline:
            self._deadline = None
            self.tell(e.TimePassed())

    def _carry_out(self, decision: Decision) -> None:
        match decision:
            case Grant() | Duplicate():
                self.duplicates += isinstance(decision, Duplicate)
                self._send(decision.job, decision.worker)
            case RunLocally() | Recall():
                self.recalls += isinstance(decision, Recall)
                self._cancel(decision.job)
                ticket = Ticket(decision.job + 1_000_000)
                self._here[ticket] = decision.job, self.open[decision.job]
                self._clock.after(
                    0.001, lambda: self.tell(e.LocalQueued(ticket=ticket, urgent=False, job=decision.job))
                )
            case GrantLocal():
                begun = self._clock.now
                cost = self._here[decision.ticket][1].trace.cost
                self._clock.after(cost / self.spec.speed, lambda: self._done_here(decision.ticket, begun))

    def _done_here(self, ticket: Ticket, begun: float) -> None:
        number, _ = self._here.pop(ticket)
        self.local += 1
        self.tell(e.LocalReleased(ticket=ticket))
        self._over(number, begun)

    # --- workers --------------------------------------------------------------------------------

    def join(self, worker: Worker) -> None:
        if worker.up and not worker.frozen and worker.id not in self.connected:
            self.connected[worker.id] = worker
            self.tell(e.WorkerJoined(worker=worker.id, name=worker.id, slots=worker.spec.slots, offers=(offer(GCC),)))

    def lost(self, worker: Worker) -> None:
        if self.connected.pop(worker.id, None) is None:
            return
        for held in self._holding.values():
            held.discard(worker.id)
        self.tell(e.WorkerLost(worker=worker.id, fault=True))
        for number in [number for number, job in self.open.items() if worker.id in job.sent]:
            self.refused(worker, number, Blame.WORKER)

    def _send(self, number: JobId, to: WorkerId) -> None:
        job, worker = self.open[number], self.connected[to]
        job.sent[to] = worker
        held = self._holding.setdefault(self.spec.project, set())
        size = job.trace.source_bytes if to in held else job.trace.closure_bytes
        held.add(to)
        seconds = worker.spec.delay_s + size / worker.spec.bandwidth
        self.messages += 1
        self._clock.after(seconds, lambda: worker.receive(self, number, job.trace.cost))

    def _cancel(self, number: JobId) -> None:
        for worker in self.open[number].sent.values():
            self.messages += 1
            self._clock.after(worker.spec.delay_s, partial(worker.cancel, self, number))
        self.open[number].sent.clear()

    def refused(self, worker: Worker, number: JobId, blame: Blame) -> None:
        job = self.open.get(number)
        if job is None or job.sent.pop(worker.id, None) is None:
            return
        self.messages += 1
        self.tell(e.LeaseBroken(job=number, blame=blame, worker=worker.id))

    def answered(self, worker: Worker, run: Run, wall: float, queue: float, begun: float) -> None:
        job = self.open.get(run.job)
        if job is None or job.sent.pop(worker.id, None) is None:
            self.wasted += run.cost
            return
        self.messages += 1
        self.remote += 1
        self._homes[job.trace.file] = worker.id
        self._cancel(run.job)
        self.tell(e.JobDone(job=run.job, worker=worker.id, wall_s=wall, cpu_s=wall, queue_s=queue))
        self._over(run.job, begun)


MindMaker = Callable[["World", int, AgentSpec, random.Random], Mind]


class World:
    """Workers, agents and their clock."""

    def __init__(
        self,
        workers: Sequence[WorkerSpec],
        agents: Sequence[AgentSpec],
        mind: MindMaker,
        *,
        seed: int = 1,
        unbounded: bool = False,
    ) -> None:
        """``unbounded`` lifts the workers' limit of queued jobs, for a mind that plans for all of them."""
        self.clock = Clock()
        self.workers = {WorkerId(spec.name): Worker(self.clock, spec, unbounded) for spec in workers}
        rng = random.Random(seed)
        self.agents: list[Agent] = []
        for number, spec in enumerate(agents):
            mine = random.Random(rng.random())
            agent = Agent(self.clock, number, spec, mind(self, number, spec, mine), mine)
            self.agents.append(agent)
            for worker in self.workers.values():
                worker.agents.append(agent)
                agent.join(worker)

    def run(self, builds: int = 1) -> float:
        """Let every agent build ``builds`` times; return when the last build began."""
        begun = 0.0
        for number in range(builds):
            if number:
                begun = self.clock.now
                for agent in self.agents:
                    agent.again(agent.spec.jobs)
            self.clock.run(lambda: all(agent.ended is not None for agent in self.agents))
        assert all(agent.ended is not None for agent in self.agents), "the clock ran dry"
        return begun


def bent(spec: WorkerSpec, *faults: Fault) -> WorkerSpec:
    """Return ``spec`` with faults."""
    return replace(spec, faults=faults)

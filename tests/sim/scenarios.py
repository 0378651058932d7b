"""The scenarios of the scoreboard: data, and what is measured in each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tests.sim.minds import MINDS
from tests.sim.model import AgentSpec, Fault, WorkerSpec, World, bent
from tests.sim.traces import TraceJob, even, heavy, measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """``mixed``: the workers' speeds differ; ``builds``: the last of so many is measured; ``long``: run by hand."""

    name: str
    workers: tuple[WorkerSpec, ...]
    agents: tuple[AgentSpec, ...]
    mixed: bool = False
    builds: int = 1
    long: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """``ratio``: makespan to the lower bound; ``wasted``: share of the useful work; ``messages``: a second and agent.

    ``status`` is in bytes a second and agent.  ``decision`` is the time that the mind took for everything that it was
    told, by decision, and ``told`` by event; both in seconds of this machine, so they are no part of what is compared.
    """

    makespan: float
    ratio: float
    wait_p95: float
    wasted: float
    jain: float
    messages: float
    remote: float
    duplicates: int
    recalls: int
    status: float
    decision: float = field(compare=False)
    told: float = field(compare=False)


def same(count: int, slots: int = 4, speed: float = 1.0) -> tuple[WorkerSpec, ...]:
    return tuple(WorkerSpec(name=f"w{n:04}", slots=slots, speed=speed) for n in range(count))


def speeds(*each: float, slots: int = 4) -> tuple[WorkerSpec, ...]:
    return tuple(WorkerSpec(name=f"w{n:04}", slots=slots, speed=speed) for n, speed in enumerate(each))


def lower_bound(scenario: Scenario) -> float:
    """Return what no scheduler can go below: the longest job on the fastest slot, or the work over all useful slots.

    Faults are left out of it, the reserve of an agent's own machine as well.
    """
    slots = [worker.speed for worker in scenario.workers for _ in range(worker.slots)]
    for agent in scenario.agents:
        slots += [agent.speed] * (agent.cores - max(1, agent.cores // 4))
    slots = sorted(slots, reverse=True)[: sum(agent.width for agent in scenario.agents)]
    jobs = [job.cost for agent in scenario.agents for job in agent.jobs]
    return max(max(jobs) / slots[0], sum(jobs) / sum(slots))


def play(scenario: Scenario, mind: str, seed: int = 1) -> Score:
    """Let ``mind`` decide in all agents; measure the last build."""
    world = World(scenario.workers, scenario.agents, MINDS[mind](), seed=seed, unbounded=mind == "omniscient")
    begun = world.run(scenario.builds)
    ends = [agent.ended - begun for agent in world.agents if agent.ended is not None]
    waits = sorted(wait for agent in world.agents for wait in agent.waits)
    rates = [agent.useful / end for agent, end in zip(world.agents, ends, strict=True)]
    makespan = max(ends)
    useful = sum(agent.useful for agent in world.agents)
    thought = sum(agent.thought_s for agent in world.agents)
    jobs = sum(agent.remote + agent.local for agent in world.agents)
    return Score(
        makespan=makespan,
        ratio=makespan / lower_bound(scenario),
        wait_p95=waits[int(len(waits) * 0.95)],
        wasted=sum(agent.wasted for agent in world.agents) / useful,
        jain=sum(rates) ** 2 / (len(rates) * sum(rate * rate for rate in rates)),
        messages=sum(agent.messages for agent in world.agents) / len(world.agents) / makespan,
        remote=sum(agent.remote for agent in world.agents) / jobs,
        duplicates=sum(agent.duplicates for agent in world.agents),
        recalls=sum(agent.recalls for agent in world.agents),
        status=sum(agent.status_bytes for agent in world.agents) / len(world.agents) / makespan,
        decision=thought / sum(agent.decisions for agent in world.agents),
        told=thought / sum(agent.handled for agent in world.agents),
    )


def build(*jobs: object, **how: object) -> AgentSpec:
    return AgentSpec(jobs=jobs[0], **how)  # type: ignore[arg-type]


MIXED: Final = (8.0, 4.0, 4.0, 2.0, 2.0, 1.0, 1.0, 1.0)
QUARTER: Final = 300 * 0.2 / 12 / 4
"""The time of a quarter of 300 jobs of 200 ms on 12 slots."""


def broken(*faults: Fault) -> tuple[WorkerSpec, ...]:
    first, *others = same(3)
    return (bent(first, *faults), *others)


_BUILD_300: Final = (build(even(300, 0.2), width=12, cores=2),)
TUNED: Final = 0
"""The seed of the made builds on which the scoreboard's first table and the tests stand."""


def scenarios(seed: int = TUNED) -> dict[str, Scenario]:
    """Return all scenarios, by name, with builds made from ``seed``."""

    def made(count: int, own: int) -> tuple[TraceJob, ...]:
        return heavy(count, own + 1000 * seed)

    all_of_them = (
        Scenario(name="1x1", workers=same(1), agents=(build(measured("leveldb", 5), cores=2),)),
        Scenario(name="box of two cores", workers=same(3, slots=2), agents=(build(measured("leveldb", 3), width=8, cores=2),)),
        Scenario(name="3x4, client of 8 cores", workers=same(3), agents=(build(made(300, 2), width=24, cores=8),)),
        Scenario(name="mixed, first build", workers=speeds(*MIXED), mixed=True, agents=(build(made(1200, 3), width=64),)),
        Scenario(name="mixed, again", workers=speeds(*MIXED), mixed=True, builds=2, agents=(build(made(1200, 3), width=64),)),
        Scenario(name="mixed, leveldb", workers=speeds(*MIXED, slots=2), mixed=True, agents=(build(measured("leveldb", 12), width=32),)),
        Scenario(name="mixed, few jobs at once", workers=speeds(8, 1, 1, 1, 1, 1), mixed=True, agents=(build(made(400, 4), width=12),)),
        Scenario(
            name="mixed, far and thin",
            workers=(*speeds(4, 2, 1), *(WorkerSpec(name=f"x{n}", speed=8, delay_s=0.05, bandwidth=2e6) for n in range(2))),
            mixed=True,
            agents=(build(made(1200, 5), width=48),),
        ),
        Scenario(name="10 agents", workers=same(10), agents=tuple(build(made(150, 10), width=20, project=f"p{n}") for n in range(10))),
        Scenario(name="10 agents, mixed", workers=speeds(8, 8, 4, 4, 2, 2, 1, 1, 1, 1), mixed=True, agents=tuple(build(made(300, 11), width=20, project=f"p{n}") for n in range(10))),
        Scenario(
            name="agents of -j4 and -j64",
            workers=same(4),
            agents=tuple(build(made(20 * width, 12), width=width, project=f"p{width}") for width in (4, 64)),
        ),
        *(
            Scenario(name=f"12 slots, -j{width}", workers=same(3), agents=(build(made(600, 13), width=width),))
            for width in (12, 24, 200)
        ),
        Scenario(name="300 jobs", workers=same(3), agents=_BUILD_300),
        Scenario(name="300 jobs, one killed", workers=broken(Fault(kind="killed", at=QUARTER)), agents=_BUILD_300),
        Scenario(name="300 jobs, one frozen", workers=broken(Fault(kind="frozen", at=QUARTER)), agents=_BUILD_300),
        Scenario(name="300 jobs, one blinks", workers=broken(Fault(kind="frozen", at=QUARTER, until=QUARTER + 5)), agents=_BUILD_300),
        Scenario(name="300 jobs, one 10x slower", workers=broken(Fault(kind="slow", at=QUARTER, value=10)), agents=_BUILD_300),
        Scenario(name="300 jobs, one refuses", workers=broken(Fault(kind="refusing", at=QUARTER, until=QUARTER + 3)), agents=_BUILD_300),
        Scenario(name="300 jobs, one lies", workers=broken(Fault(kind="lying", at=QUARTER)), agents=_BUILD_300),
        Scenario(
            name="100 agents, 1000 workers",
            workers=tuple(WorkerSpec(name=f"w{n:04}", slots=4, speed=(1, 2, 4, 8)[n % 4]) for n in range(1000)),
            mixed=True,
            agents=tuple(build(made(400, n), width=60, project=f"p{n}") for n in range(100)),
            long=True,
        ),
    )  # fmt: skip
    return {each.name: each for each in all_of_them}


SCENARIOS: Final = scenarios()

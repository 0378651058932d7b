"""Builds on a farm one of whose workers breaks and comes back; what is seen of it from outside.

When a job ended is written by the build tool (replay.c); what the agent believes is asked of it, many times a second.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from tests.bench.farm.systems import COMPILERS, Stubs, real_path
from tests.bench.farm.workloads import WORKLOADS, Workload
from tests.e2e.farm import LAUNCHER, Farm
from tests.lan.lan import Lan
from tests.lan.machine import Process
from tests.lan.trouble import Limit, freeze, kill_all, set_quota, thaw
from tests.lan.waiting import wait_until

WORKERS: Final = 3
SLOTS: Final = 4
AT_ONCE: Final = 16
"""Four more than there are slots."""
JOB_US: Final = 200_000
BROKEN: Final = "w1"
BLINK_S: Final = 0.5
BLINKS: Final = 5
LOST_LIMIT_S: Final = 2.0
GAP_LIMIT_S: Final = 3.0
PATIENCE_S: Final = 400.0
ASK_EVERY_S: Final = 0.02
BURN_US: Final = 15_000
"""At a quota of 0.3 processors that is 20 jobs a second: four slots with jobs of 200 ms."""
QUOTA: Final = 0.3
SLOWER: Final = 10
BURN_JOBS: Final = 300
SETTLED_S: Final = 1.0
"""After that time two builds that began together are taken to share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Yard:
    """Where and with what an experiment is made."""

    directory: Path
    replay: Path
    policy: str
    jobs: int


@dataclass(frozen=True, slots=True)
class Fault:
    """How a worker breaks, and how it comes back (`None`: it does so by itself)."""

    name: str
    strike: Callable[[Farm], None]
    heal: Callable[[Farm], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured. `lost_s`: until the agent took it for lost; `back_s`, `used_s`: from its return on."""

    fault: str
    jobs: int
    undisturbed_s: float
    disturbed_s: float
    built: int
    remote: int
    gap_s: float
    lost_s: float | None
    back_s: float | None
    used_s: float | None

    @property
    def limit_s(self) -> float:
        """How long the build may take."""
        return 1.5 * self.undisturbed_s + 3

    @property
    def missed(self) -> list[str]:
        """The limits that do not hold."""
        bounds = {
            "built": self.built == self.jobs,
            "time": self.disturbed_s <= self.limit_s,
            "gap": self.gap_s <= GAP_LIMIT_S,
            "lost": (self.lost_s or 0) <= LOST_LIMIT_S,
            "used": (self.used_s or 0) <= LOST_LIMIT_S,
        }
        return [f"missed: {name}" for name, held in bounds.items() if not held]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowed:
    """A build without one worker, and with it at a tenth of its speed."""

    jobs: int
    built: int
    without_s: float
    with_s: float
    done_there: int

    @property
    def ratio(self) -> float:
        """What the slow worker costs."""
        return self.with_s / self.without_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Two builds at once: each one's share while both are busy, and how many slots were in use then and afterwards."""

    jobs: int
    built: int
    shares: tuple[float, float]
    both_busy_jobs: int
    both_busy_s: float
    slots_together: float
    slots_alone: float


@dataclass(slots=True)
class Build:
    """One build under way on a client, watched."""

    farm: Farm
    process: Process
    ends: Path
    client: str = "client"
    seen: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def times(self) -> list[float]:
        """When it began and when each job so far ended."""
        lines = self.ends.read_text().splitlines() if self.ends.exists() else []
        return [float(line.split()[0]) for line in lines]

    def look(self) -> None:
        """Ask the agent what it believes."""
        if self.seen and time.monotonic() - self.seen[-1][0] < ASK_EVERY_S:
            return
        answer = self.farm.ask_agent("hosts", self.client) or {"hosts": []}
        self.seen.append((time.monotonic(), {host["name"]: host for host in answer["hosts"]}))

    def until(self, probe: Callable[[], bool], what: str) -> None:
        """Watch until `probe`, or the end."""

        def there() -> bool:
            self.look()
            return probe() or self.process.poll() is not None

        wait_until(there, PATIENCE_S, what)

    def end(self) -> float:
        """Watch to the end; return how long it took."""
        self.until(lambda: False, "the build ends")
        assert self.process.wait(1) == 0, self.process.stderr
        times = self.times()
        return times[-1] - times[0]

    def first(self, after: float, probe: Callable[[dict[str, Any]], bool]) -> float | None:
        """How long after `after` something was first seen of the worker that breaks."""
        return next((at - after for at, hosts in self.seen if at > after and probe(hosts.get(BROKEN, {}))), None)


class Site:
    """A farm with stubs over the workers' compilers, and what is built there."""

    def __init__(self, yard: Yard, farm: Farm, workload: Workload, stubs: Stubs) -> None:
        self.yard, self.farm, self.workload, self.stubs = yard, farm, workload, stubs
        self._builds = 0

    def start(self, workload: Workload | None = None, client: str = "client") -> Build:
        """Begin a build."""
        workload = workload or self.workload
        self._builds += 1
        jobs, ends = (self.yard.directory / f"{word}{self._builds}" for word in ("jobs", "ends"))
        workload.clean(self.yard.directory / "trash")
        workload.write(jobs)
        words: list[str | Path] = [self.yard.replay, jobs, str(AT_ONCE), "--ends", ends, LAUNCHER]
        process = self.farm.lan[client].spawn(words, env=self.farm.environment())
        return Build(farm=self.farm, process=process, ends=ends, client=client)

    def built(self, workload: Workload | None = None) -> tuple[int, int]:
        """How many outputs there are, and how many of them were made by workers."""
        outputs = [command.output for command in (workload or self.workload).commands]
        made = [output.read_bytes() for output in outputs if output.exists()]
        return len(made), made.count(self.stubs.object)


@contextmanager
def site(yard: Yard, *, count: int, burn: bool = False, others: tuple[str, ...] = ()) -> Iterator[Site]:
    """A farm that has been warmed up: every worker has proved its compiler and done jobs."""
    yard.directory.mkdir(parents=True)
    workload = WORKLOADS["tiny"](None, yard.directory / "sources", count)
    takes = {"sleep_us": 0, "burn_us": BURN_US} if burn else {"sleep_us": JOB_US}
    stubs = Stubs.make(yard.directory / "stubs", workload, **takes)
    env = {"ZDISTCC_POLICY": yard.policy}
    farm = Farm(
        yard.directory, workers=WORKERS, started=0, slots=SLOTS, env=env, visible=[yard.replay.parent], others=others
    )
    with farm:
        for name in farm.names:
            for compiler in COMPILERS:
                farm.lan[name].run(["mount", "--bind", stubs.directory / compiler, real_path(compiler)], check=True)
            farm.start(name)
        for name in farm.names:
            farm.serving(name)
        farm.wait_for_workers()
        there = Site(yard, farm, workload, stubs)
        there.start(Workload(name="", commands=workload.commands[:60])).end()
        yield there


def run_fault(yard: Yard, fault: Fault) -> Figures:
    """One worker breaks at a quarter of a build; in another build it is back after a quarter."""
    with site(yard, count=yard.jobs) as there:
        farm = there.farm
        undisturbed = there.start().end()
        build = there.start()
        build.until(lambda: len(build.times()) > yard.jobs // 4, "a quarter is built")
        struck = time.monotonic()
        striking = threading.Thread(target=fault.strike, args=(farm,))
        striking.start()
        disturbed = build.end()
        striking.join()
        built, remote = there.built()
        ends = build.times()
        back = used = None
        if fault.heal is not None:
            again = there.start()
            again.until(lambda: len(again.times()) > yard.jobs // 4, "a quarter is built")
            fault.heal(farm)
            healed = time.monotonic()
            again.end()
            back = again.first(healed, lambda host: bool(host.get("usable")))
            used = again.first(healed, lambda host: host.get("leases", 0) > 0)
            used = used if used is not None else float("inf")
        return Figures(
            fault=fault.name,
            jobs=yard.jobs,
            undisturbed_s=undisturbed,
            disturbed_s=disturbed,
            built=built,
            remote=remote,
            gap_s=max(after - before for before, after in pairwise(ends)),
            lost_s=build.first(struck, lambda host: not host.get("usable")),
            back_s=back,
            used_s=used,
        )


def run_slowed(yard: Yard) -> Slowed:
    """A build without one worker, then one with that worker at a tenth of the others' speed."""
    with site(yard, count=BURN_JOBS, burn=True) as there:
        farm = there.farm
        limits = {name: Limit(farm.lan[name], "cpu") for name in farm.names}
        try:
            for limit in limits.values():
                limit.__enter__()
                limit.take()
                set_quota(limit, QUOTA)
            there.start().end()  # all three alike: what the agent knows of their speed is this
            daemon = farm.daemons[BROKEN]
            freeze(farm.lan[BROKEN])
            wait_until(lambda: not farm.hosts()[BROKEN]["usable"], 30, "the worker is missed")
            without = there.start().end()
            thaw(farm.lan[BROKEN], [daemon])
            farm.wait_for_workers(BROKEN)
            before = farm.stats()["workers"].get(BROKEN, 0)
            set_quota(limits[BROKEN], QUOTA / SLOWER)
            slowed = there.start().end()
            built, _ = there.built()
            done = farm.stats()["workers"].get(BROKEN, 0) - before
        finally:
            for limit in limits.values():
                limit.__exit__(None, None, None)
        return Slowed(jobs=BURN_JOBS, built=built, without_s=without, with_s=slowed, done_there=done)


def run_shared(yard: Yard) -> Shared:
    """Two clients build at once; the second has half as much to do."""
    with site(yard, count=yard.jobs * 3, others=("second",)) as there:
        commands = there.workload.commands
        mine = Workload(name="", commands=commands[: yard.jobs * 2])
        theirs = Workload(name="", commands=commands[yard.jobs * 2 :])
        there.start(Workload(name="", commands=theirs.commands[:60]), "second").end()
        builds = there.start(mine), there.start(theirs, "second")
        builds[1].end()
        builds[0].end()
        times = [build.times() for build in builds]
        begun = max(each[0] for each in times) + SETTLED_S
        first_end = min(each[-1] for each in times) - SETTLED_S
        last_end = max(each[-1] for each in times) - SETTLED_S
        shares = [sum(begun <= at <= first_end for at in each[1:]) for each in times]
        together = sum(shares)
        alone_from = first_end + 2 * SETTLED_S
        alone = sum(alone_from <= at <= last_end for each in times for at in each[1:])
        return Shared(
            jobs=len(commands),
            built=there.built()[0],
            shares=(shares[0] / together, shares[1] / together),
            both_busy_jobs=together,
            both_busy_s=first_end - begun,
            slots_together=together / (first_end - begun) * JOB_US / 1e6,
            slots_alone=alone / (last_end - alone_from) * JOB_US / 1e6,
        )


# --- what breaks ---------------------------------------------------------------------------------


def _kill_daemon(farm: Farm) -> None:
    farm.daemons[BROKEN].send_signal(signal.SIGKILL)


def _kill_all(farm: Farm) -> None:
    kill_all(farm.lan[BROKEN])


def _start_again(farm: Farm) -> None:
    farm.start(BROKEN)
    farm.serving(BROKEN)


def _freeze(farm: Farm) -> None:
    freeze(farm.lan[BROKEN])


def _thaw(farm: Farm) -> None:
    thaw(farm.lan[BROKEN], [farm.daemons[BROKEN]])


def _cut(farm: Farm) -> None:
    farm.lan.link_down(BROKEN)


def _plug_in(farm: Farm) -> None:
    farm.lan.link_up(BROKEN)


def _blink(farm: Farm) -> None:
    flap(farm.lan, BROKEN, BLINKS)


def flap(lan: Lan, host: str, times: int) -> None:
    """Pull the cable and plug it in again, with a rhythm."""
    for _ in range(times):
        for change in (lan.link_down, lan.link_up):
            change(host)
            time.sleep(BLINK_S)


FAULTS: Final = (
    Fault("daemon killed", _kill_daemon, _start_again),
    Fault("all processes killed", _kill_all, _start_again),
    Fault("frozen", _freeze, _thaw),
    Fault("cable cut", _cut, _plug_in),
    Fault("blinking", _blink),
)

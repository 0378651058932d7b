"""Measures one system with one workload: CPU on each side, bytes on the wire, times, memory."""

from __future__ import annotations

import re
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.farm.systems import Site, Stubs, System, Unavailable
from tests.bench.farm.workloads import Workload
from tests.lan.lan import Host, Lan
from tests.lan.waiting import wait_until

CLIENT_CORE: Final = "0"
WORKER_CORE: Final = "1"
ONE_BY_ONE: Final = 20
"""Commands that are also run one after another, for the time that a single job takes."""
WARM_UP: Final = 64
WARM_UP_S: Final = 30.0
LIMIT_S: Final = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured; CPU in ms and bytes are per job, ``alone_ms`` is the median of single jobs one by one."""

    system: str
    jobs: int
    remote: int
    failed: int
    client_ms: float
    agent_ms: float
    worker_ms: float
    sent: float
    received: float
    wall_s: float
    jobs_s: float
    client_busy: float
    alone_ms: float | None
    agent_mb: float | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    client_s: float
    agent_s: float
    worker_s: float
    sent: int
    received: int


class Bench:
    """Runs commands on a site and reads its meters."""

    def __init__(self, site: Site, system: System, replay: Path, at_once: int) -> None:
        self._site = site
        self._system = system
        self._replay = replay
        self._at_once = at_once
        self._jobs = site.directory / "jobs"
        self._trash = site.directory / "trash"
        self.alone_too = True

    def run(self, workload: Workload, at_once: int | None = None) -> tuple[float, int, list[float]]:
        """Run all commands; return wall seconds, failures, each command's time in ms."""
        workload.write(self._jobs)
        words: list[str | Path] = [
            self._replay,
            self._jobs,
            str(at_once or self._at_once),
            *self._system.prefix(self._site),
        ]
        ended = self._site.client.run([*words], env=self._site.env, timeout_s=LIMIT_S, check=True)
        lines = ended.stdout.splitlines()
        (_, wall), (_, failed) = (line.split() for line in lines[-2:])
        return float(wall), int(failed), [float(line) / 1000 for line in lines[:-2]]

    def warm_up(self) -> None:
        """Run some commands until they are all done by the workers, twice."""
        some = Workload(name="", commands=self._site.workload.commands[:WARM_UP])

        def all_remote() -> bool:
            for _ in range(2):
                some.clean(self._trash)
                self.run(some)
            return self.remote(some) == len(some.commands)

        try:
            wait_until(all_remote, WARM_UP_S, "all commands are done by the workers")
        except AssertionError as error:
            raise Unavailable(f"{error}; {self.remote(some)} of {len(some.commands)} were") from error

    def remote(self, workload: Workload) -> int:
        """How many outputs are the stub's."""
        wanted = self._site.stubs.object
        return sum(command.output.exists() and command.output.read_bytes() == wanted for command in workload.commands)

    def measure(self, label: str) -> Figures:
        """Compile the workload once."""
        workload = self._site.workload
        workload.clean(self._trash)
        before = self._state()
        wall, failed, times = self.run(workload)
        after = self._state()
        jobs = len(times)
        client_s = after.client_s - before.client_s
        return Figures(
            system=label,
            jobs=jobs,
            remote=self.remote(workload),
            failed=failed,
            client_ms=client_s / jobs * 1e3,
            agent_ms=(after.agent_s - before.agent_s) / jobs * 1e3,
            worker_ms=(after.worker_s - before.worker_s) / jobs * 1e3,
            sent=(after.sent - before.sent) / jobs,
            received=(after.received - before.received) / jobs,
            wall_s=wall,
            jobs_s=jobs / wall,
            client_busy=client_s / wall,
            alone_ms=self._alone() if self.alone_too else None,
            agent_mb=self._agent_mb(),
        )

    def _alone(self) -> float:
        few = Workload(name="", commands=self._site.workload.commands[:ONE_BY_ONE])
        few.clean(self._trash)
        return statistics.median(self.run(few, 1)[2])

    # --- meters ---------------------------------------------------------------------------------

    def _state(self) -> _State:
        site = self._site
        text = Path(f"/proc/{site.client.holder}/net/dev").read_text()
        counts = next(line.split(":")[1].split() for line in text.splitlines() if "eth0:" in line)
        return _State(
            client_s=site.client.cpu_seconds(),
            agent_s=self._agent_s(),
            worker_s=sum(worker.cpu_seconds() for worker in site.workers),
            sent=int(counts[8]),
            received=int(counts[0]),
        )

    def agent(self) -> Path | None:
        """The agent's directory in /proc."""
        for pid, words in self._site.client.processes().items():
            if any(word.endswith("zdistcc-agent") for word in words[:2]):
                return Path(f"/proc/{self._site.client.holder}/root/proc/{pid}")
        return None

    def _agent_s(self) -> float:
        agent = self.agent()
        if agent is None:
            return 0.0
        return int((agent / "schedstat").read_text().split()[0]) / 1e9

    def _agent_mb(self) -> float | None:
        agent = self.agent()
        if agent is None:
            return None
        found = re.search(r"VmRSS:\s+(\d+)", (agent / "status").read_text())
        return int(found[1]) / 1024 if found else None


def open_site(
    system: System, workload: Workload, stubs: Stubs, lan: Lan, directory: Path, *, workers: int, slots: int
) -> Site:
    """Return the site on an entered LAN, its machines bound to their cores, the system started."""
    site = Site(
        lan=lan,
        client=lan["client"],
        workers=tuple(lan[f"w{number + 1}"] for number in range(workers)),
        stubs=stubs,
        workload=workload,
        directory=directory,
        slots=slots,
    )
    site.client.cpuset(CLIENT_CORE)
    for worker in site.workers:
        worker.cpuset(WORKER_CORE)
    system.start(site)
    return site


def new_lan(directory: Path, workers: int, visible: Path) -> Lan:
    names = ["client", *(f"w{number + 1}" for number in range(workers))]
    return Lan([Host(name) for name in names], directory=directory, visible=[visible])


def temporary() -> tempfile.TemporaryDirectory[str]:
    """A directory that daemons which gave up root can look into."""
    made = tempfile.TemporaryDirectory(prefix="zdistcc-bench-")
    Path(made.name).chmod(0o755)
    return made

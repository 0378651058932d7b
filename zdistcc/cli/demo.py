"""``zdistcc demo``: two workers and a client on this machine build the sample project, and every object is compared.

Nothing outside this machine is touched: the workers announce themselves on the loopback interface, and agent, caches
and stores live in a temporary directory.  Where the loopback carries no multicast, the workers are named instead and
the demonstration says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from zdistcc.errors import UserError
from zdistcc.launcher.which import launcher_path
from zdistcc.sample import Language, Unit, copy_to, units

WORKERS: Final = 2
FOUND_TIMEOUT_S: Final = 10.0
STARTED_TIMEOUT_S: Final = 30.0
_SERVES: Final = re.compile(r"^zdistccd .* on port (\d+):", re.MULTILINE)
_COMPILERS: Final = {Language.C: "gcc", Language.CXX: "g++"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One unit: whether both compiles succeeded, and whether their objects are equal."""

    unit: Unit
    verdict: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Farm:
    """The programs and the environment of the demonstration."""

    launcher: str
    env: dict[str, str]
    ports: tuple[int, ...]

    def ask(self, command: str) -> dict[str, Any]:
        """Return what ``zdistcc COMMAND --json`` says."""
        ended = subprocess.run([self.launcher, command, "--json"], env=self.env, capture_output=True, check=False)
        if ended.returncode:
            said = ended.stderr.decode(errors="replace").strip()
            raise UserError(f"zdistcc {command} failed in the demonstration: {said}; see zdistcc doctor")
        answer: dict[str, Any] = json.loads(ended.stdout)
        return answer


def command(
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="N", min=1, help="Compiles to start at once.")] = 8,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the directory of the build and say where it is.")] = False,
) -> None:
    """See it work: two workers on this machine compile a sample project.

    Every object is compared with a local compile; fails unless all came from the workers and are identical.
    """
    for name in _COMPILERS.values():
        if shutil.which(name) is None:
            raise UserError(f"{name} is not installed: apt install gcc g++ (or your system's like)")
    directory = Path(tempfile.mkdtemp(prefix="zdistcc-demo-"))
    try:
        with _farm(directory) as farm:
            how = _wait_for_workers(farm)
            typer.echo(f"{WORKERS} workers, found {how}; compiling {len(units())} files twice, here and there…")
            begun = time.monotonic()
            compared = _build(farm, directory, jobs)
            passed = time.monotonic() - begun
            stats = farm.ask("stats")
            subprocess.run([farm.launcher, "stop"], env=farm.env, stdout=subprocess.DEVNULL, check=False)
        _report(compared, stats, passed)
    finally:
        if keep:
            typer.echo(f"The build is in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _farm(directory: Path) -> Iterator[Farm]:
    """Start the workers; stop them and the agent at the end."""
    launcher = launcher_path()
    if launcher is None:
        raise UserError("the program zdistcc is not beside this Python: reinstall the package")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("ZDISTCC_", "_ZDISTCC_"))}
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    env |= {
        "ZDISTCC_RUNTIME_DIR": str(directory / "run"),
        "ZDISTCC_CACHE_DIR": str(directory / "cache"),
        "ZDISTCC_INTERFACE": loopback,
        "XDG_CONFIG_HOME": str(directory / "config"),
        "ZDISTCC_POLITE": "0",  # here client and workers are one machine
        "ZDISTCC_DISTCC_PORT": "0",  # nobody else is to come
        "ZDISTCC_LOCAL_SLOTS": "2",  # none to spare: what the workers do is to be seen
    }
    workers: list[subprocess.Popen[bytes]] = []
    logs = [directory / f"worker{number}.log" for number in range(1, WORKERS + 1)]
    try:
        for number, log in enumerate(logs, 1):
            words = [sys.executable, "-m", "zdistcc.cli.daemon", "--port", "0", "--name", f"demo{number}",
                     "--slots", "2", "--store", str(directory / f"store{number}")]  # fmt: skip
            with log.open("wb") as file:
                workers.append(subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file))
        ports = tuple(_port(worker, log) for worker, log in zip(workers, logs, strict=True))
        yield Farm(launcher=launcher, env=env, ports=ports)
    finally:
        subprocess.run([launcher, "stop"], env=env, capture_output=True, check=False)
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        for worker in workers:
            try:
                worker.wait(10)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def _port(worker: subprocess.Popen[bytes], log: Path) -> int:
    """Return the port that a starting worker says it serves."""
    deadline = time.monotonic() + STARTED_TIMEOUT_S
    while time.monotonic() < deadline and worker.poll() is None:
        said = _SERVES.search(log.read_text(errors="replace"))
        if said is not None:
            return int(said[1])
        time.sleep(0.05)
    raise UserError(f"a worker did not start; see what it says, correct that:\n{log.read_text(errors='replace')}")


def _wait_for_workers(farm: Farm) -> str:
    """Return how the workers were found: by mDNS, or by name where multicast does not work."""
    if _found(farm, FOUND_TIMEOUT_S):
        return "by mDNS"
    farm.env["ZDISTCC_PEERS"] = ",".join(f"127.0.0.1:{port}" for port in farm.ports)
    subprocess.run([farm.launcher, "stop"], env=farm.env, capture_output=True, check=False)
    if _found(farm, FOUND_TIMEOUT_S):
        return "by ZDISTCC_PEERS, because multicast does not pass on the loopback interface"
    raise UserError(f"the workers were not found; zdistcc doctor says why: {json.dumps(farm.ask('hosts'))}")


def _found(farm: Farm, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if sum(host["usable"] for host in farm.ask("hosts")["hosts"]) >= WORKERS:
            return True
        time.sleep(0.2)
    return False


def _build(farm: Farm, directory: Path, jobs: int) -> Sequence[Compared]:
    """Compile every unit remotely and locally in two copies of the project at one path."""
    project = directory / "project"
    copy_to(project)
    plain = {**farm.env, "ZDISTCC_DISABLE": "1"}

    def compile_unit(unit: Unit) -> Compared:
        compiler = _COMPILERS[unit.language]
        words = [compiler, *map(os.fsdecode, unit.flags), "-c", os.fsdecode(unit.source), "-o"]
        stem = unit.source.decode().replace("/", "_")
        there, here = project / f"{stem}.there.o", project / f"{stem}.here.o"
        for output, env in ((there, farm.env), (here, plain)):
            ended = subprocess.run(
                [farm.launcher, *words, output], cwd=project, env=env, capture_output=True, check=False
            )
            if ended.returncode:
                return Compared(unit=unit, verdict=f"failed: {ended.stderr.decode(errors='replace')[:200]}", size=0)
        same = there.read_bytes() == here.read_bytes()
        return Compared(unit=unit, verdict="identical" if same else "DIFFERENT", size=there.stat().st_size)

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(compile_unit, units()))


def _report(compared: Sequence[Compared], stats: dict[str, Any], passed: float) -> None:
    from zdistcc.ui.tables import demo_table, show, stats_tables

    show(demo_table([(os.fsdecode(c.unit.source), f"{c.size:,}", c.verdict) for c in compared]))
    for table in stats_tables(stats):
        show(table)
    identical = sum(c.verdict == "identical" for c in compared)
    remote = stats["jobs"]["remote"]
    typer.echo(
        f"{remote} of {len(compared)} objects were compiled by the workers, {identical} are identical; {passed:.1f} s."
    )
    if not identical == remote == len(compared):
        raise typer.Exit(1)

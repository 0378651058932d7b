"""The systems under test: how each is started on a virtual LAN, and what goes before a compile command.

Every worker has the stub over its compilers (``stub.c``), so daemons, probes and wire are real and only the compiling
is not.  icecream ships its compiler to the workers: what it ships is the stub.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from tests.bench.farm.workloads import Workload
from tests.lan.lan import Lan
from tests.lan.machine import Machine
from tests.lan.waiting import wait_until

HERE: Final = Path(__file__).parent
SLEEP_US: Final = 10_000
"""How long a stub on a worker takes, as if it compiled."""
SCHEDULER_PORT: Final = 8765
COMPILERS: Final = ("gcc", "g++")


class Unavailable(Exception):
    """This machine cannot measure the system."""


def build(source: str, output: Path, **defines: str) -> None:
    """Compile one of the benchmark's own programs."""
    words = [f"-D{name}={value}" for name, value in defines.items()]
    subprocess.run(["gcc", "-O2", "-static", *words, "-o", output, HERE / source], check=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stubs:
    """The stub compilers for one workload, and the object they make."""

    directory: Path
    object: bytes

    @property
    def local(self) -> Path:
        """The one that takes no time: build tool and nothing else."""
        return self.directory / "local"

    @classmethod
    def make(cls, directory: Path, workload: Workload, *, sleep_us: int = SLEEP_US, burn_us: int = 0) -> Stubs:
        """Compile the first source for the object, build the stubs, keep copies of the real compilers."""
        directory.mkdir(parents=True)
        first = workload.commands[0]
        ready = directory / "ready.o"
        words = [str(ready) if word == first.words[first.words.index("-o") + 1] else word for word in first.words]
        subprocess.run([word for word in words if word not in ("-MMD", "-MD")], cwd=first.cwd, check=True)
        quoted = f'"{ready}"'
        nothing = {"STUB_REAL": '""', "STUB_NAME": '""', "STUB_OBJECT": quoted}
        takes = {"STUB_SLEEP_US": str(sleep_us), "STUB_BURN_US": str(burn_us)}
        build("stub.c", directory / "local", STUB_SLEEP_US="0", **nothing)
        build("stub.c", directory / "shipped", **takes, **nothing)
        for name in COMPILERS:
            real = real_path(name)
            shutil.copy2(real, directory / f"real-{name}")
            defines = {"STUB_REAL": f'"{directory}/real-{name}"', "STUB_NAME": f'"{real}"', "STUB_OBJECT": quoted}
            build("stub.c", directory / name, **takes, **defines)
        return cls(directory=directory, object=ready.read_bytes())

    @classmethod
    def known(cls, directory: Path) -> Stubs:
        """Return what :meth:`make` made there."""
        return cls(directory=directory, object=(directory / "ready.o").read_bytes())


def real_path(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise Unavailable(f"{name} is not installed")
    return Path(found).resolve()


@dataclass(slots=True, kw_only=True)
class Site:
    """One virtual LAN with its stubs, for one system and one workload."""

    lan: Lan
    client: Machine
    workers: tuple[Machine, ...]
    stubs: Stubs
    workload: Workload
    directory: Path
    slots: int
    env: dict[str, str] = field(default_factory=dict)

    def cover_compilers(self) -> None:
        """Put the stubs over the workers' compilers."""
        for worker in self.workers:
            for name in COMPILERS:
                worker.run(["mount", "--bind", self.stubs.directory / name, real_path(name)], check=True)


class System(Protocol):
    """One way to have a workload compiled."""

    name: str
    cold: bool

    def start(self, site: Site) -> None:
        """Start what has to run, set ``site.env``; raises :class:`Unavailable`."""

    def prefix(self, site: Site) -> list[str]:
        """Return the words before each compile command."""


class Floor:
    """The build tool, and a compiler that only writes its object: nobody can be faster."""

    name = "floor"
    cold = False

    def start(self, site: Site) -> None:
        pass

    def prefix(self, site: Site) -> list[str]:
        return ["--instead", str(site.stubs.local)]


class Distcc:
    """distcc with stock settings, ``options`` after each host."""

    cold = False

    def __init__(self, name: str, options: str) -> None:
        self.name = name
        self._options = options

    def start(self, site: Site) -> None:
        site.cover_compilers()
        daemon, _ = program("distccd"), program("distcc")
        for worker in site.workers:
            words = [
                "--no-detach",
                "--daemon",
                "--allow",
                "10.0.0.0/8",
                "--jobs",
                str(site.slots),
                "--log-file",
                "/tmp/log",
            ]
            worker.spawn([daemon, *words])
        hosts = " ".join(f"{worker.ipv4}/{site.slots}{self._options}" for worker in site.workers)
        site.env |= {"DISTCC_HOSTS": hosts, "DISTCC_FALLBACK": "0", "DISTCC_BACKOFF_PERIOD": "0"}

    def prefix(self, site: Site) -> list[str]:
        return ["distcc"]


class Pump(Distcc):
    """distcc with an include server, if that serves."""

    def start(self, site: Site) -> None:
        super().start(site)
        pump = program("distcc-pump")
        started = site.client.run([pump, "--startup"], env=site.env, cwd=site.workload.commands[0].cwd)
        for line in started.stdout.splitlines():
            name, equals, value = line.removeprefix("export ").partition("=")
            if equals and line.startswith("export "):
                site.env[name] = value.strip("'\"")
        first = site.workload.commands[0]
        tried = site.client.run(
            ["distcc", *first.words], cwd=first.cwd, env={**site.env, "DISTCC_VERBOSE": "1"}, timeout_s=120
        )
        lines = (started.stderr + tried.stderr).splitlines()
        trouble = [line for line in lines if "Traceback" in line or "Error" in line or "include server gave up" in line]
        if trouble or tried.returncode:
            raise Unavailable(f"its include server does not serve here: {(trouble or lines)[-1].strip()[-100:]}")


class Icecc:
    """icecream: a scheduler on the first worker, daemons everywhere."""

    name = "icecc"
    cold = False

    def start(self, site: Site) -> None:
        scheduler, daemon, _ = program("icecc-scheduler"), program("iceccd"), program("icecc")
        if os.geteuid() != 0:
            raise Unavailable("its daemon needs root")
        first = site.workers[0]
        log = Path("/tmp/scheduler.log")
        first.run(["sh", "-c", f"touch {log} && chmod 666 {log}"], check=True)
        first.spawn([scheduler, "-n", "bench", "-l", log])
        sockets = Path(f"/proc/{first.holder}/net/tcp")
        wait_until(lambda: f":{SCHEDULER_PORT:04X} " in sockets.read_text(), 20, "the scheduler listens")
        for machine in (site.client, *site.workers):
            machine.run(
                ["sh", "-c", "mkdir -p /run/icecc /tmp/environments && chown icecc /run/icecc /tmp/environments"]
            )
            here = ["-m", "0", "--no-remote"] if machine is site.client else ["-m", str(site.slots)]
            words = ["-n", "bench", "-s", first.ipv4, "-b", "/tmp/environments", "-l", "/tmp/daemon.log", *here]
            machine.spawn([daemon, *words, "-N", machine.name])
        shipped = site.directory / "shipped.tar.gz"
        with tarfile.open(shipped, "w:gz") as tar:
            for name in ("usr/bin/gcc", "usr/bin/g++", "usr/bin/as", "bin/true", "usr/bin/true"):
                tar.add(site.stubs.directory / "shipped", name)
            scratch = tarfile.TarInfo("tmp")
            scratch.type, scratch.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(scratch)
        shipped.chmod(0o644)
        site.env |= {"ICECC_VERSION": str(shipped)}

    def prefix(self, site: Site) -> list[str]:
        return ["icecc"]


class Zdistcc:
    """This project; ``cold``: empty stores and no agent, so that its start is part of the first measurement."""

    def __init__(self, name: str, *, mode: str, cold: bool = False, programs: Path | None = None) -> None:
        self.name = name
        self.cold = cold
        self._mode = mode
        self._programs = programs or Path(sys.executable).parent

    def start(self, site: Site) -> None:
        site.cover_compilers()
        daemon = Path(sys.executable).parent / "zdistccd"
        if not daemon.exists():
            raise Unavailable(f"{daemon} is not installed")
        daemons = [worker.spawn([daemon, "--no-polite", "--slots", str(site.slots)]) for worker in site.workers]
        for process in daemons:
            wait_until(lambda: " at once on port " in process.stderr, 60, "the worker serves")  # noqa: B023
        fidelity = "code" if self._mode == "preprocessed" and site.workload.debug else "exact"
        path = f"{self._programs}:{os.environ.get('PATH', os.defpath)}"
        site.env |= {"PATH": path, "ZDISTCC_MODE": self._mode, "ZDISTCC_FIDELITY": fidelity}

    def prefix(self, site: Site) -> list[str]:
        return [str(self._programs / "zdistcc")]


def program(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")
    if found is None:
        raise Unavailable(f"{name} is not installed")
    return found


def systems() -> list[System]:
    """Return all systems, the floor first."""
    return [
        Floor(),
        Distcc("distcc", ""),
        Distcc("distcc+lzo", ",lzo"),
        Pump("distcc pump", ",cpp,lzo"),
        Icecc(),
        Zdistcc("zdistcc text", mode="preprocessed"),
        Zdistcc("zdistcc", mode="headers", cold=True),
    ]

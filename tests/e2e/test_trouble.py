"""Workers and agents that come, go, hang and die in the middle of a build: it ends well, with the right objects."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.builds import SLOW_FLAGS, SLOW_SOURCE, differing, empty, made, stray
from tests.e2e.farm import LAUNCHER, Farm, unavailable
from tests.lan.machine import Process
from tests.lan.needs import impair_unavailable_reason
from tests.lan.waiting import wait_until
from zdistcc.sample import copy_to

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

JOINS_WITHIN_S = 2.0
UNITS = {
    "base": ("arena", "bitset", "hashmap", "prng", "strbuf"),
    "text": ("distance", "glob", "utf8", "wrap"),
    "json": ("value", "parser", "writer"),
    "ray": ("image", "scene", "trace"),
}
TARGETS = [f"build/{directory}/{unit}.o" for directory, names in UNITS.items() for unit in names]
COMPILERS = ("cc1", "cc1plus")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The objects of a build without us (the paths in them are relative)."""
    project = tmp_path_factory.mktemp("plain")
    copy_to(project)
    subprocess.run(["make", "-j2", "CC=gcc", "CXX=g++", *TARGETS], cwd=project, check=True, capture_output=True)
    return made(project / "build")


def compiling(farm: Farm, name: str) -> bool:
    """Whether a compiler runs on a worker at this moment."""
    commands = farm.lan[name].processes().values()
    return any(Path(words[0]).name in COMPILERS and "-quiet" in words for words in commands if words)


class Build:
    """A build under way."""

    def __init__(self, farm: Farm) -> None:
        self.farm = farm
        self.project = farm.directory / "project"
        copy_to(self.project)
        shutil.rmtree(self.project / "build", ignore_errors=True)
        words = ["make", "-j6", "CC=zdistcc gcc", "CXX=zdistcc g++", *TARGETS]
        self.process: Process = farm.spawn(words, self.project)

    def wait_for(self, probe: Callable[[], bool], what: str) -> None:
        def happened() -> bool:
            assert self.process.poll() is None, f"the build was over before: {what}\n{self.process.stderr}"
            return probe()

        wait_until(happened, 30, what)

    def wait_for_work(self, name: str) -> None:
        self.wait_for(lambda: compiling(self.farm, name), f"a compiler runs on {name}")

    def end(self, plain: dict[str, bytes], within_s: float = 60) -> None:
        """Wait for the end, and be content with it."""
        assert self.process.wait(within_s) == 0, self.process.stderr
        assert self.process.stderr == ""
        assert differing(made(self.project / "build"), plain) == []
        assert stray(self.project) == []


def all_wanted_there(farm: Farm) -> None:
    """No job came home because of trouble; some may have been run here because that was quicker."""
    stats = farm.stats()
    assert stats["jobs"]["remote"] + stats["jobs"]["local"] == len(TARGETS)
    assert stats["jobs"]["remote"] > len(TARGETS) // 2
    assert stats["reasons"].keys() <= {"quicker-here"}


@contextmanager
def building(directory: Path, *, workers: int = 2, started: int | None = None) -> Iterator[tuple[Farm, Build]]:
    with Farm(directory, workers=workers, started=started) as farm:
        farm.wait_for_workers()
        yield farm, Build(farm)


def test_a_worker_that_starts_late(tmp_path: Path, plain: dict[str, bytes]) -> None:
    with building(tmp_path, started=1) as (farm, build):
        build.wait_for_work("w1")
        begun = time.monotonic()
        farm.start("w2")
        farm.serving("w2")
        serving = time.monotonic()
        build.wait_for_work("w2")
        working = time.monotonic()
        print(f"serving after {serving - begun:.2f} s, first job {working - serving:.2f} s later")
        assert working - serving < JOINS_WITHIN_S
        build.end(plain)
        assert farm.stats()["workers"]["w2"] > 0


def test_a_worker_that_is_killed(tmp_path: Path, plain: dict[str, bytes]) -> None:
    with building(tmp_path) as (farm, build):
        build.wait_for_work("w1")
        farm.stop("w1", signal.SIGKILL)
        build.end(plain)
        all_wanted_there(farm)


def test_a_cable_that_is_pulled(tmp_path: Path, plain: dict[str, bytes]) -> None:
    with building(tmp_path) as (farm, build):
        build.wait_for_work("w1")
        farm.lan.link_down("w1")
        build.end(plain)
        all_wanted_there(farm)
        wait_until(lambda: not compiling(farm, "w1"), 20, "w1 gives up jobs of a client that is gone")


def test_a_cable_that_is_plugged_in_again(tmp_path: Path) -> None:
    """The worker is used again without anybody's help."""
    with Farm(tmp_path, workers=1) as farm:
        farm.wait_for_workers()
        here = empty(tmp_path / "here")
        (here / "x.c").write_text("int f;\n")
        running = farm.spawn([LAUNCHER, *slow(here, 1_000_000)], here)
        wait_until(lambda: compiling(farm, "w1"), 20, "the job runs")
        farm.lan.link_down("w1")
        wait_until(lambda: not farm.hosts()["w1"]["usable"], 4, "the client misses w1")
        assert running.wait(60) == 0
        farm.lan.link_up("w1")
        farm.wait_for_workers("w1")
        farm.run([LAUNCHER, "gcc", "-c", "x.c"], here)
        assert farm.stats()["jobs"]["remote"] == 1


@pytest.mark.skipif(impair_unavailable_reason() is not None, reason=str(impair_unavailable_reason()))
def test_cables_that_are_bad(tmp_path: Path, plain: dict[str, bytes]) -> None:
    """Two frames of a hundred are lost, and each takes 15 ms: slower, but no reason to give a worker up."""
    with Farm(tmp_path, workers=2) as farm:
        farm.wait_for_workers()
        for name in farm.names:
            farm.lan.impair(name, delay_ms=15, loss=0.02)
        Build(farm).end(plain, within_s=120)
        all_wanted_there(farm)


def test_a_worker_without_room(tmp_path: Path, plain: dict[str, bytes]) -> None:
    with Farm(tmp_path, workers=2, started=0) as farm:
        store = farm.lan["w1"].home / "store"
        store.mkdir()
        farm.lan["w1"].run(["mount", "-t", "tmpfs", "-o", "size=32k", "none", store], check=True)
        farm.start("w1", "--store", str(store))
        farm.start("w2")
        farm.wait_for_workers("w1", "w2")
        Build(farm).end(plain)
        stats = farm.stats()
        assert sum(stats["jobs"].values()) == len(TARGETS)
        assert stats["jobs"]["failed"] == 0


def test_a_worker_that_hangs(tmp_path: Path, plain: dict[str, bytes]) -> None:
    with building(tmp_path) as (farm, build):
        build.wait_for_work("w1")
        farm.daemons["w1"].send_signal(signal.SIGSTOP)
        build.end(plain)
        all_wanted_there(farm)


def test_all_workers_are_killed(tmp_path: Path, plain: dict[str, bytes]) -> None:
    with building(tmp_path) as (farm, build):
        build.wait_for_work("w1")
        for name in ("w1", "w2"):
            farm.daemons[name].send_signal(signal.SIGKILL)
        build.end(plain)
        stats = farm.stats()
        assert stats["jobs"]["remote"] + stats["jobs"]["local"] == len(TARGETS)
        assert stats["reasons"].keys() <= {"workers-failed", "no-worker", "quicker-here"}


def agent(farm: Farm) -> int:
    """The process id of the agent, as seen on the client."""
    answer = farm.ask_agent("version")
    assert answer is not None
    return int(answer["pid"])


def test_an_agent_that_is_killed(tmp_path: Path, plain: dict[str, bytes]) -> None:
    with building(tmp_path) as (farm, build):
        build.wait_for_work("w1")
        pid = agent(farm)
        farm.client.run(["kill", "-KILL", str(pid)], check=True)
        build.end(plain)
        assert farm.stats()["jobs"]["remote"] < len(TARGETS), "no second agent was started"
        assert agent(farm) != pid


def slow(directory: Path, rounds: int) -> list[str]:
    """The arguments of a compile that takes as long as wanted (a million rounds: some seconds)."""
    (directory / "slow.cc").write_text(SLOW_SOURCE.replace("ROUNDS", str(rounds)))
    return ["g++", *SLOW_FLAGS, "-c", "slow.cc", "-o", "slow.o"]


def test_a_worker_that_is_told_to_leave(tmp_path: Path) -> None:
    """Its job ends, and it gets no other; `hosts` says so."""
    with Farm(tmp_path, workers=1, slots=2) as farm:
        farm.wait_for_workers()
        here = empty(tmp_path / "here")
        (here / "x.c").write_text("int f;\n")
        daemon = farm.daemons["w1"]
        farm.run([LAUNCHER, "g++", "-c", "x.c"], here)  # the pair's trial is behind us
        running = farm.spawn([LAUNCHER, *slow(here, 1_000_000)], here)
        wait_until(lambda: compiling(farm, "w1"), 20, "the job runs")
        daemon.send_signal(signal.SIGTERM)
        wait_until(lambda: farm.hosts()["w1"]["state"] == "draining", 5, "the client knows that w1 leaves")
        host = farm.hosts()["w1"]
        assert not host["usable"]
        assert host["reason"] == "draining: it takes no new jobs"
        farm.run([LAUNCHER, "gcc", "-c", "x.c"], here)
        assert running.poll() is None
        assert daemon.poll() is None
        assert running.wait(60) == 0
        assert daemon.wait(10) == 0
        stats = farm.stats()
        assert (stats["workers"], stats["jobs"]["local"]) == ({"w1": 2}, 1)
        wait_until(lambda: farm.hosts() == {}, 10, "w1 is forgotten")


def test_a_worker_that_is_told_to_leave_twice(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=1) as farm:
        farm.wait_for_workers()
        here = empty(tmp_path / "here")
        daemon = farm.daemons["w1"]
        running = farm.spawn([LAUNCHER, *slow(here, 1_000_000)], here)
        wait_until(lambda: compiling(farm, "w1"), 20, "the job runs")
        daemon.send_signal(signal.SIGTERM)
        wait_until(lambda: "leaving: 1 jobs" in daemon.stderr, 5, "the first signal is taken")
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(5) == 0
        assert not compiling(farm, "w1")
        assert running.wait(60) == 0
        assert (here / "slow.o").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C reaches all of the terminal's process group; the compiler on the worker is gone soon after."""
    with Farm(tmp_path, workers=1) as farm:
        farm.wait_for_workers()
        here = empty(tmp_path / "here")
        words = slow(here, 1_000_000_000)
        (here / "Makefile").write_text(f"slow.o: slow.cc\n\t+zdistcc {' '.join(words)}\n")
        process = subprocess.Popen(
            farm.client.command(["make"], cwd=here),
            env={**farm.client.environment, **farm.environment()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_until(lambda: compiling(farm, "w1"), 20, "the job runs")
        finally:
            os.killpg(process.pid, number)
            process.wait(10)
        wait_until(lambda: not compiling(farm, "w1"), 2, "the compiler on the worker is gone")
        wait_until(lambda: farm.stats()["jobs"]["failed"] == 1, 5, "the job is counted")
        assert farm.stats()["reasons"] == {"abandoned": 1}
        assert sorted(path.name for path in here.iterdir()) == ["Makefile", "slow.cc"]
        wait_until(lambda: farm.hosts()["w1"]["leases"] == 0, 5, "its place is free")

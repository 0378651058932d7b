"""No worker, no wish for one, or none that fits: the compile works all the same, or says why it may not."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.builds import counted, differing, empty, made, stray
from tests.e2e.farm import LAUNCHER, Farm, unavailable
from tests.lan.machine import Machine
from tests.lan.waiting import wait_until
from zdistcc.sample import copy_to

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

TARGETS = ["build/base/arena.o", "build/base/prng.o", "build/text/glob.o", "build/hash/crc32.o"]
CODE = ["gcc", "-c", "x.c", "-o", "x.o"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("alone"), workers=0) as farm:
        yield farm


@pytest.fixture
def here(alone: Farm) -> Path:
    directory = empty(alone.directory / "here")
    (directory / "x.c").write_text("int f(void) { return 1; }\n")
    return directory


def test_a_build_without_workers(alone: Farm) -> None:
    project = alone.directory / "project"
    copy_to(project)
    alone.run(["make", "-j4", "CC=gcc", *TARGETS], project)
    theirs = made(project, ".o", ".d")
    shutil.rmtree(project / "build")
    with counted(alone) as jobs:
        alone.run(["make", "-j4", "CC=zdistcc gcc", *TARGETS], project)
    assert differing(made(project, ".o", ".d"), theirs) == []
    assert (jobs.remote, jobs.reasons) == (0, {"no-worker": len(TARGETS)})
    assert stray(project) == []


def test_no_fallback(alone: Farm, here: Path) -> None:
    """The exit code is distcc's for having no hosts; what is not for workers at all runs here still."""
    ended = alone.run([LAUNCHER, *CODE], here, env={"ZDISTCC_FALLBACK": "0"}, check=False)
    assert (ended.returncode, ended.stdout) == (116, "")
    assert ended.stderr == "zdistcc: no worker is known on the network\n"
    assert not (here / "x.o").exists()
    alone.run([LAUNCHER, "gcc", "-E", "x.c", "-o", "x.i"], here, env={"ZDISTCC_FALLBACK": "0"})
    assert (here / "x.i").exists()


@pytest.mark.parametrize("variable", ["ZDISTCC_DISABLE", "_DISTCC_SAFEGUARD"])
def test_disabled(alone: Farm, here: Path, variable: str) -> None:
    with counted(alone) as jobs:
        alone.run([LAUNCHER, *CODE], here, env={variable: "1"})
    assert (here / "x.o").exists()
    assert (jobs.remote, jobs.local, jobs.failed) == (0, 0, 0)


def test_disabled_starts_no_agent(alone: Farm, here: Path) -> None:
    runtime = alone.client.home / "runtime"
    alone.run([LAUNCHER, *CODE], here, env={"ZDISTCC_DISABLE": "1", "ZDISTCC_RUNTIME_DIR": str(runtime)})
    assert (here / "x.o").exists()
    assert not runtime.exists()


def test_an_agent_that_cannot_start(alone: Farm, here: Path) -> None:
    """A runtime directory open to others is not used; the compile goes on without a word."""
    runtime = alone.client.home / "open"
    runtime.mkdir()
    runtime.chmod(0o777)
    ended = alone.run([LAUNCHER, *CODE], here, env={"ZDISTCC_RUNTIME_DIR": str(runtime)})
    assert (ended.stdout, ended.stderr) == ("", "")
    assert (here / "x.o").exists()


def test_explain_says_that_there_is_none(alone: Farm, here: Path) -> None:
    answer = alone.run([LAUNCHER, "explain", *CODE], here).stdout
    assert "No worker is known.  Start zdistccd on another machine of this network." in answer


# --- workers that lack something ----------------------------------------------------------------


GCC = ("gcc", "g++")  # either would serve the jobs of both
CROSS_GCC = ("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++")


def files(programs: Sequence[str]) -> set[str]:
    """Return where these programs really are."""
    paths = [shutil.which(program) for program in programs]
    return {os.path.realpath(path) for path in paths if path is not None}


def hide(machine: Machine, *programs: str) -> None:
    """Put an empty file in the place of programs, for one machine."""
    for path in files(programs):
        machine.run(["mount", "--bind", "/dev/null", path], check=True)


def show(machine: Machine, *programs: str) -> None:
    for path in files(programs):
        machine.run(["umount", path], check=True)


def test_compilers_that_workers_lack(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=2, started=0) as farm:
        hide(farm.lan["w1"], *GCC, "clang")
        hide(farm.lan["w2"], *GCC, *CROSS_GCC)
        for name in ("w1", "w2"):
            farm.start(name)
            farm.serving(name)
        wait_until(lambda: {"w1", "w2"} <= farm.hosts().keys(), 20, "both are known")
        wait_until(lambda: all(host["state"] == "incompatible" for host in farm.hosts().values()), 20, "and connected")
        here = empty(tmp_path / "here")
        (here / "x.c").write_text("int f;\n")
        with counted(farm) as jobs:
            for compiler in ("gcc", "clang"):
                farm.run([LAUNCHER, compiler, "-c", "x.c"], here)
        assert jobs.workers == {"w2": 1}
        assert jobs.reasons == {"no-compatible-worker": 1}
        hosts = farm.hosts()
        assert not hosts["w1"]["usable"]
        assert "aarch64-linux-gnu" in hosts["w1"]["reason"]
        assert "has clang" in hosts["w2"]["reason"]
        assert "needs gcc" in hosts["w2"]["reason"]
        fits = {row["name"]: (row["fits"], row["reason"]) for row in explain(farm, here, "clang")}
        assert fits["w2"] == (True, None)
        assert fits["w1"][0] is False
        assert "clang" in fits["w1"][1]
        assert all(not row["fits"] and row["reason"] for row in explain(farm, here, "gcc"))
        told = farm.run([LAUNCHER, "explain", "gcc", "-c", "x.c"], here).stdout
        assert "No worker fits: it would run on this machine." in told
        failed = farm.run([LAUNCHER, "gcc", "-c", "x.c"], here, env={"ZDISTCC_FALLBACK": "0"}, check=False)
        assert failed.returncode == 116
        assert "w1" in failed.stderr and "w2" in failed.stderr


def explain(farm: Farm, here: Path, compiler: str) -> list[dict[str, Any]]:
    words = [str(LAUNCHER), "explain", "--json", compiler, "-c", "x.c"]
    rows: list[dict[str, Any]] = json.loads(farm.run(words, here).stdout)["workers"]
    return rows


def test_a_worker_that_comes_back_with_other_compilers(tmp_path: Path) -> None:
    """And, its store having been deleted, as another worker."""
    with Farm(tmp_path, workers=1) as farm:
        farm.wait_for_workers()
        here = empty(tmp_path / "here")
        (here / "x.c").write_text("int f;\n")
        first = farm.hosts()["w1"]["id"]
        farm.run([LAUNCHER, "gcc", "-c", "x.c"], here)
        farm.stop("w1")
        shutil.rmtree(farm.lan["w1"].home / ".cache")
        hide(farm.lan["w1"], *GCC)
        farm.start("w1")
        farm.serving("w1")
        wait_until(lambda: farm.hosts().get("w1", {}).get("state") == "incompatible", 20, "w1 is there without gcc")
        second = farm.hosts()["w1"]["id"]
        assert second != first
        farm.run([LAUNCHER, "gcc", "-c", "x.c"], here)
        stats = farm.stats()
        assert (stats["workers"], stats["reasons"]) == ({"w1": 1}, {"no-compatible-worker": 1})
        farm.stop("w1", signal.SIGKILL)
        show(farm.lan["w1"], *GCC)
        farm.start("w1")
        farm.serving("w1")
        farm.wait_for_workers("w1")
        assert farm.hosts()["w1"]["id"] == second
        farm.run([LAUNCHER, "gcc", "-c", "x.c"], here)
        assert farm.stats()["workers"] == {"w1": 2}

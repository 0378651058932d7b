"""`zdistcc make` and its like on a LAN: builds with nothing to configure, and as many jobs as the LAN is good for."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.lab import JOB, NEW_NINJA, OLD_NINJA
from tests.e2e.builds import counted, differing, empty, made, stray
from tests.e2e.farm import LAUNCHER, Farm, unavailable
from tests.e2e.test_build import CMAKE, FEW
from tests.lan.waiting import wait_until
from zdistcc.sample import copy_to

REASON = unavailable() or (None if NEW_NINJA.exists() and OLD_NINJA.exists() else "ninja is not installed")
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

SOON_S = 2.0


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("farm"), workers=2) as farm:
        farm.wait_for_workers()
        yield farm


@pytest.fixture(scope="module")
def project(farm: Farm) -> Path:
    directory = farm.directory / "my project"
    copy_to(directory)
    return directory


def make(farm: Farm, project: Path, *words: str, **env: str) -> tuple[dict[str, bytes], str]:
    """Build from scratch; return what was made, and what was said on standard error."""
    shutil.rmtree(project / "build", ignore_errors=True)
    ended = farm.run(words, project, env=env)
    return made(project / "build", ".o", ".d"), ended.stderr


def test_a_project_is_built_in_one_command(farm: Farm, project: Path) -> None:
    plain, _ = make(farm, project, "make", "-j4", *FEW)
    with counted(farm) as jobs:
        ours, said = make(farm, project, "zdistcc", "make", *FEW)
    assert differing(ours, plain) == [] and len(ours) == 2 * len(FEW)
    assert (jobs.remote, jobs.local) == (len(FEW), 0)
    line = re.fullmatch(r"zdistcc: (\d+) jobs in .* s: (.*); (no time|at least .*) saved\n", said)
    assert line is not None and int(line[1]) == len(FEW), said
    assert sum(map(int, re.findall(r"(\d+) on w\d", line[2]))) == len(FEW), said
    assert stray(project) == []
    _, said = make(farm, project, "zdistcc", "make", "-n", "-k", "FLAGS=x", *FEW)
    assert said == ""


def test_a_command_that_is_no_build_tool(farm: Farm, project: Path) -> None:
    with counted(farm) as jobs:
        _, said = make(farm, project, "zdistcc", "run", "--", "sh", "-c", f"make {' '.join(FEW)}")
    assert (jobs.remote, jobs.local) == (len(FEW), 0)
    assert said.startswith(f"zdistcc: {len(FEW)} jobs in ") and said.count("\n") == 1


@pytest.mark.parametrize("ninja", [OLD_NINJA, NEW_NINJA, None], ids=["old ninja", "new ninja", "make"])
def test_cmake_configures_and_builds(farm: Farm, project: Path, ninja: Path | None) -> None:
    """The compilers that CMake writes down are the real ones, called through us once."""
    (project / "CMakeLists.txt").write_text(CMAKE)
    build = empty(project / "out")
    how = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"] if ninja else ["-G", "Unix Makefiles"]
    farm.run(["zdistcc", "cmake", *how, "-S", ".", "-B", "out"], project)
    cache = (build / "CMakeCache.txt").read_text()
    assert f"CMAKE_CXX_COMPILER_LAUNCHER:STRING={LAUNCHER}\n" in cache
    assert re.search(r"^CMAKE_CXX_COMPILER:\w+=/usr/bin/c\+\+$", cache, re.MULTILINE)
    with counted(farm) as jobs:
        said = farm.run(["zdistcc", "cmake", "--build", "out"], project).stderr
    assert (jobs.remote, jobs.local) == (13, 0)
    assert said.startswith("zdistcc: 13 jobs in ") and said.count("\n") == 1


def test_ccache_finds_the_real_compiler(farm: Farm, project: Path) -> None:
    """Through a link of ours it would take us for the compiler, and not notice another version of it."""
    env = {"CCACHE_DIR": str(farm.directory / "ccache"), "CCACHE_LOGFILE": str(farm.directory / "ccache.log")}
    counts = []
    for _ in range(2):
        with counted(farm) as jobs:
            make(farm, project, "zdistcc", "make", "CC=ccache gcc", "CXX=ccache g++", *FEW, **env)
        counts.append((jobs.remote, jobs.local))
    log = (farm.directory / "ccache.log").read_text()
    assert counts[1] == (0, 0) and counts[0][0] == len(FEW), (counts, log[-2000:])
    assert set(re.findall(r"Executing \S*/zdistcc (\S+)", log)) == {"/usr/bin/gcc", "/usr/bin/g++"}


def running(work: Path) -> int:
    return len(list(work.glob("running.*")))


def test_who_joins_speeds_up_a_running_build_and_who_leaves_slows_it_down(tmp_path: Path) -> None:
    jobs = 40
    work = empty(tmp_path / "work")
    names = [f"j{number}" for number in range(jobs)]
    rules = "".join(f"{name}: ; @{JOB.format(name)}\n" for name in names)
    (work / "Makefile").write_text(f"all: {' '.join(names)}\n{rules}")

    with Farm(tmp_path, workers=2, started=1, slots=4, visible=[work]) as farm:
        farm.wait_for_workers()

        def useful() -> int:
            answer = farm.ask_agent("parallelism")
            assert answer is not None
            return int(answer["useful"])

        alone = useful()
        build = farm.spawn(["zdistcc", "make"], work)
        wait_until(lambda: running(work) == alone, 20, f"{alone} jobs run")
        farm.start("w2")
        farm.serving("w2")
        serving = time.monotonic()
        wait_until(lambda: running(work) >= alone + 4, 10, "the slots of the newcomer are used")
        took_s = time.monotonic() - serving
        assert took_s < SOON_S, f"{took_s:.2f} s after it serves"
        both = useful()
        wait_until(lambda: running(work) == both, SOON_S, f"{both} jobs run")

        farm.stop("w2")
        wait_until(lambda: useful() == alone, 10, "it is gone")
        wait_until(lambda: _end_one(work) == alone, 20, f"{alone} jobs run again, and no more")
        for name in names:
            (work / f"end.{name}").touch()
        assert build.wait() == 0
        assert build.stderr == ""


def _end_one(work: Path) -> int:
    """Let a job end, and return how many run when the next has had the time to begin."""
    before = running(work)
    ended = min(work.glob("running.*"))
    ended.with_name(ended.name.replace("running.", "end.")).touch()
    wait_until(lambda: not ended.exists(), 10, "it ends")
    try:
        wait_until(lambda: running(work) == before, 0.3, "another begins")
    except AssertionError:
        pass
    return running(work)

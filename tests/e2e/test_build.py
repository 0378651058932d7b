"""A whole build through the farm: every compile remote, and the same bytes as without us."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.builds import counted, differing, empty, made, stray
from tests.e2e.farm import LAUNCHER, Farm, unavailable
from zdistcc.sample import copy_to, units

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

CMAKE = """
cmake_minimum_required(VERSION 3.16)
project(toolbox C CXX)
set(CMAKE_C_STANDARD 11)
set(CMAKE_CXX_STANDARD 17)
file(GLOB SOURCES CONFIGURE_DEPENDS base/*.c text/*.c ray/*.cc)
add_library(toolbox STATIC ${SOURCES})
target_include_directories(toolbox PRIVATE include)
"""
UNITS = len(units())
FEW = ["build/base/arena.o", "build/text/glob.o", "build/ray/image.o"]


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("farm"), workers=3) as farm:
        farm.wait_for_workers()
        yield farm


@pytest.fixture(scope="module")
def project(farm: Farm) -> Path:
    directory = farm.directory / "project"
    copy_to(directory)
    return directory


def make(farm: Farm, project: Path, *words: str, before: str = "", **env: str) -> dict[str, bytes]:
    """Build from scratch; return the objects and depfiles."""
    shutil.rmtree(project / "build", ignore_errors=True)
    farm.run(["make", "-j8", f"CC={before}gcc", f"CXX={before}g++", *words], project, env=env)
    return made(project / "build", ".o", ".d")


@pytest.fixture(scope="module")
def plain(farm: Farm, project: Path) -> dict[str, bytes]:
    """What a build without us makes."""
    return make(farm, project)


def test_make(farm: Farm, project: Path, plain: dict[str, bytes]) -> None:
    with counted(farm) as jobs:
        ours = make(farm, project, before="zdistcc ")
    assert len(ours) == 2 * UNITS
    assert differing(ours, plain) == []
    assert (jobs.remote, jobs.reasons) == (UNITS, {"link": 1})
    assert len(jobs.workers) == 3
    assert stray(project) == []
    farm.run([project / "build" / "toolbox"], project)


def test_masquerade(farm: Farm, project: Path, plain: dict[str, bytes]) -> None:
    links = farm.directory / "links"
    said = farm.run([LAUNCHER, "masquerade", links], project)
    assert said.stdout == f'export PATH="{links}:$PATH"\n'
    with counted(farm) as jobs:
        ours = make(farm, project, *FEW, PATH=f"{links}:{farm.environment()['PATH']}")
    assert len(ours) == 2 * len(FEW)
    assert differing(ours, {name: plain[name] for name in ours}) == []
    assert (jobs.remote, jobs.local) == (len(FEW), 0)


def cmake(farm: Farm, project: Path, *words: str) -> dict[str, bytes]:
    (project / "CMakeLists.txt").write_text(CMAKE)
    build = empty(project / "cmake")
    farm.run(["cmake", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", *words, ".."], build)
    farm.run(["ninja", "-j8", "-d", "keepdepfile"], build)
    return made(build / "CMakeFiles" / "toolbox.dir", ".o", ".o.d")


def test_cmake_with_ninja(farm: Farm, project: Path) -> None:
    theirs = cmake(farm, project)
    with counted(farm) as jobs:
        ours = cmake(farm, project, *(f"-DCMAKE_{language}_COMPILER_LAUNCHER=zdistcc" for language in ("C", "CXX")))
    assert differing(ours, theirs) == []
    assert len(ours) == 2 * 13
    assert jobs.remote >= 13
    assert not jobs.reasons.keys() - {"link", "configure-probe", "not-a-compile", "preprocess-only"}, jobs.reasons


@pytest.mark.parametrize("flags", ["-g", "-g -gno-column-info", "-flto -frandom-seed=toolbox"])
def test_source_locations_do_not_travel_as_text(farm: Farm, project: Path, flags: str) -> None:
    """Without columns too: GCC's line table of `*a = NULL, *b = NULL` depends on more than lines."""
    theirs = make(farm, project, f"OPT=-O2 {flags}", *FEW)
    with counted(farm) as jobs:
        ours = make(farm, project, f"OPT=-O2 {flags}", *FEW, before="zdistcc ", ZDISTCC_MODE="preprocessed")
    assert differing(ours, theirs) == []
    assert (jobs.remote, jobs.reasons) == (0, {"source-columns": len(FEW)})


@pytest.mark.parametrize("flags", ["-g", "-g3"])
def test_source_locations_travel_with_the_sources(farm: Farm, project: Path, flags: str) -> None:
    theirs = make(farm, project, f"OPT=-O2 {flags}", *FEW)
    with counted(farm) as jobs:
        ours = make(farm, project, f"OPT=-O2 {flags}", *FEW, before="zdistcc ")
    assert differing(ours, theirs) == []
    assert (jobs.remote, jobs.reasons) == (len(FEW), {})


def test_debug_information_of_equal_code_may_travel(farm: Farm, project: Path) -> None:
    theirs = make(farm, project, "OPT=-O2 -g", *FEW)
    stripped = strip(farm, project)
    with counted(farm) as jobs:
        ours = make(farm, project, "OPT=-O2 -g", *FEW, before="zdistcc ", ZDISTCC_FIDELITY="code")
    assert (jobs.remote, jobs.local) == (len(FEW), 0)
    assert differing(strip(farm, project), stripped) == []
    assert {name: text for name, text in ours.items() if name.endswith(".d")} == {
        name: text for name, text in theirs.items() if name.endswith(".d")
    }


def strip(farm: Farm, project: Path) -> dict[str, bytes]:
    """Strip the objects of the last build in two ways; return both results."""
    stripped = {}
    for tool in (["strip", "--strip-debug"], ["objcopy", "-g"]):
        for name in made(project / "build"):
            out = farm.directory / "stripped.o"
            farm.run([*tool, project / "build" / name, *(["-o"] if tool[0] == "strip" else []), out], project)
            stripped[f"{tool[0]} {name}"] = out.read_bytes()
    return stripped


def test_clang(farm: Farm, project: Path) -> None:
    words = ("CC=clang", "CXX=clang++", *FEW)
    theirs = make(farm, project, *words)
    with counted(farm) as jobs:
        ours = make(farm, project, "CC=zdistcc clang", "CXX=zdistcc clang++", *FEW)
    assert differing(ours, theirs) == []
    assert (jobs.remote, jobs.local) == (len(FEW), 0)


def test_ccache_in_front(farm: Farm, project: Path) -> None:
    source, out = project / "base" / "arena.c", empty(farm.directory / "out")
    env = {"CCACHE_DIR": str(farm.directory / "ccache"), "CCACHE_PREFIX": "zdistcc"}
    command = ["gcc", "-O2", "-Iinclude", "-c", str(source), "-o", str(out / "arena.o")]
    farm.run(command, project)
    plain = (out / "arena.o").read_bytes()
    objects = []
    with counted(farm) as jobs:
        for _ in range(2):
            (out / "arena.o").unlink()
            farm.run(["ccache", *command], project, env=env)
            objects.append((out / "arena.o").read_bytes())
    assert objects == [plain, plain]
    assert (jobs.remote, jobs.local) == (1, 0)


@pytest.mark.parametrize("others", [["ccache"], ["distcc"], ["ccache", "distcc"]], ids="+".join)
@pytest.mark.parametrize("first", [True, False], ids=["we first", "they first"])
def test_masquerades_of_others_do_not_loop(farm: Farm, project: Path, others: list[str], first: bool) -> None:
    links = farm.directory / "links"
    farm.run([LAUNCHER, "masquerade", links], project)
    theirs = [f"/usr/lib/{name}" for name in others]
    assert all(Path(directory, "gcc").exists() for directory in theirs)
    order = [str(links), *theirs] if first else [*theirs, str(links)]
    env = {
        "PATH": ":".join([*order, farm.environment()["PATH"]]),
        "CCACHE_DIR": str(farm.directory / "-".join(["ccache", *others, str(first)])),
        "DISTCC_HOSTS": "localhost",
        "DISTCC_DIR": str(farm.directory),
    }
    out = empty(farm.directory / "out")
    command = ["-O2", "-Iinclude", "-c", "base/arena.c", "-o", str(out / "arena.o")]
    farm.run(["/usr/bin/gcc", *command], project)
    plain = (out / "arena.o").read_bytes()
    (out / "arena.o").unlink()
    done = farm.run(["gcc", *command], project, env=env, timeout_s=20)
    assert (done.stdout, done.stderr) == ("", "")
    assert (out / "arena.o").read_bytes() == plain

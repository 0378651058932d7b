"""Builds real projects twice, here and by way of a farm, and prints how each object came about and which differ.

``python -m tests.bench.real_projects [--only redis,lua] [--compilers gcc,clang] [--flags "-O2|-O2 -g3"]``.  The
projects' unpacked sources are looked for in ``$ZDISTCC_TEST_SOURCES``; what is not there is not built.  Both
builds are made at the same path on the farm's client, so that every path in the objects is the same.
"""

from __future__ import annotations

import argparse
import collections
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.farm import LAUNCHER, Farm

_JOB = re.compile(
    r"job=\d+ (?:remote .* mode=(?P<mode>\w+) file='(?P<file>[^']*)'|local reason=(?P<why>[\w-]+) (?P<of>.*))"
)
_NO_COMPILE = {"link", "not-a-compile", "preprocess-only", "no-input", "query"}
CXX_OF = {"gcc": "g++", "clang": "clang++"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Shell lines with ``$LAUNCH``, ``$WITH_C``, ``$WITH_CXX`` and ``$OPTIONS``; only the second uses the farm."""

    directory: str
    configure: str = "true"
    build: str


_CMAKE = (
    'cmake -S . -B b -G Ninja -DCMAKE_BUILD_TYPE=None -DCMAKE_C_COMPILER="$WITH_C" -DCMAKE_CXX_COMPILER="$WITH_CXX"'
    ' -DCMAKE_C_FLAGS="$OPTIONS" -DCMAKE_CXX_FLAGS="$OPTIONS" -DCMAKE_C_COMPILER_LAUNCHER="$LAUNCH"'
    ' -DCMAKE_CXX_COMPILER_LAUNCHER="$LAUNCH" '
)
PROJECTS = {
    # its own makefile goes by way of libtool
    "lua": Project(
        directory="lua5*",
        build="cd src; printf '#define %s \"here\"\\n' DEB_HOST_MULTIARCH LUA_MULTIARCH > lua5.4-deb-multiarch.h; "
        "ls l*.c | xargs -P3 -I@ $LAUNCH $WITH_C $OPTIONS -Wall -fPIC -DLUA_USE_LINUX -MD -c @",
    ),
    "hello": Project(
        directory="hello-*",
        configure='./configure -q CC="$WITH_C" CFLAGS="$OPTIONS"',
        build='make -j3 CC="$LAUNCH $WITH_C"',
    ),
    "leveldb": Project(
        directory="leveldb-*",
        configure=_CMAKE + "-DLEVELDB_BUILD_TESTS=OFF -DLEVELDB_BUILD_BENCHMARKS=OFF",
        build="ninja -C b -j3",
    ),
    "fmt": Project(directory="fmtlib-*", configure=_CMAKE + "-DFMT_TEST=OFF -DFMT_DOC=OFF", build="ninja -C b -j3"),
    "redis": Project(
        directory="redis-*",
        build='make -C src -j3 MALLOC=libc CC="$LAUNCH $WITH_C" OPTIMIZATION= DEBUG= CFLAGS="$OPTIONS"',
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One project, compiler and set of flags."""

    objects: int
    different: tuple[str, ...]
    modes: collections.Counter[str]
    exceptions: tuple[str, ...]

    @property
    def share(self) -> float:
        """The part of all compiles that went in headers mode."""
        return self.modes["headers"] / max(1, sum(self.modes.values()))


def sources() -> Path | None:
    """Where projects are, if anybody said."""
    named = os.environ.get("ZDISTCC_TEST_SOURCES")
    return Path(named) if named else None


def found(where: Path, project: Project) -> list[Path]:
    """The project's directories below ``where``."""
    return [path for path in sorted(where.glob(project.directory)) if path.is_dir()]


def build(farm: Farm, where: Path, project: Project, compiler: str, flags: str, launch: str) -> dict[str, bytes]:
    """Build in an empty copy at a fixed place; return every object."""
    place = farm.directory / "work"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(found(where, project)[0], place, symlinks=True)
    env = {
        "LAUNCH": launch,
        "WITH_C": compiler,
        "WITH_CXX": CXX_OF[compiler],
        "OPTIONS": flags,
        "SOURCE_DATE_EPOCH": "1000000000",
    }
    for step in (project.configure, project.build):
        farm.run(["sh", "-c", step], place, env=env, timeout_s=1800)
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*.o"))}


def compare(farm: Farm, where: Path, project: Project, compiler: str, flags: str) -> Report:
    """Build here, then there."""
    local = build(farm, where, project, compiler, flags, "")
    before = len(log(farm))
    remote = build(farm, where, project, compiler, flags, str(LAUNCHER))
    modes: collections.Counter[str] = collections.Counter()
    exceptions = []
    for job in _JOB.finditer(log(farm)[before:]):
        if job["mode"]:
            modes[job["mode"]] += 1
        elif job["why"] not in _NO_COMPILE:
            modes["local"] += 1
        if job["mode"] != "headers" and job["why"] not in _NO_COMPILE:
            exceptions.append(f"{job['mode'] or job['why']}: {job['file'] or job['of']}")
    different = [name for name in local.keys() | remote.keys() if local.get(name) != remote.get(name)]
    return Report(objects=len(local), different=tuple(sorted(different)), modes=modes, exceptions=tuple(exceptions))


def log(farm: Farm) -> str:
    """What the client's agent has logged."""
    return "".join(
        path.read_text(errors="replace")
        for path in sorted((farm.client.home.parent / "run/user/test/zdistcc").glob("*.log"))
    )


def reports(names: list[str], compilers: list[str], flags: list[str]) -> Iterator[tuple[str, str, str, Report]]:
    """All combinations on one farm."""
    where = sources()
    if where is None:
        sys.exit("ZDISTCC_TEST_SOURCES does not say where the projects are")
    with tempfile.TemporaryDirectory(prefix="zdistcc-real-") as directory, Farm(Path(directory), workers=2) as farm:
        farm.wait_for_workers()
        for name in names:
            if not found(where, PROJECTS[name]):
                print(f"{name}: not in {where}")
                continue
            for compiler in compilers:
                for each in flags:
                    yield name, compiler, each, compare(farm, where, PROJECTS[name], compiler, each)


def main() -> int:
    """Print the table; 1 if an object differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PROJECTS))
    parser.add_argument("--compilers", default="gcc,clang")
    parser.add_argument("--flags", default="-O2|-O2 -g|-O2 -g3")
    chosen = parser.parse_args()
    print(f"{'project':10} {'compiler':8} {'flags':10} {'objects':>7} {'differ':>6} {'headers':>8}  exceptions")
    wrong = 0
    for name, compiler, flags, report in reports(
        chosen.only.split(","), chosen.compilers.split(","), chosen.flags.split("|")
    ):
        wrong += len(report.different)
        told = "; ".join((*report.different, *report.exceptions)) or "-"
        figures = f"{report.objects:7} {len(report.different):6} {report.share:8.1%}"
        print(f"{name:10} {compiler:8} {flags:10} {figures}  {told}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

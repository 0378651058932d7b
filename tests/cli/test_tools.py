"""How build tools are told the number of jobs: by their versions, the user's words and what is there already."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from zdistcc.cli.tools import LEVEL, READERS, Plan, Told, plan

OUTER = "-j8 --jobserver-auth=3,4"


@pytest.fixture
def bin_(tmp_path: Path) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    return directory


def says(path: Path, text: str) -> None:
    """A program that says this of its version."""
    path.write_text(f"#!/bin/sh\ntest \"$1\" = --version && test -z \"$MAKEFLAGS\" && printf '%s\\n' '{text}'\n")
    path.chmod(0o755)


def planned(bin_: Path, words: str, **env: str) -> Plan:
    return plan(shlex.split(words), {"PATH": f"{bin_}:/bin", **env})


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("GNU Make 4.4.1", Told.FIFO),
        ("GNU Make 4.4", Told.FIFO),
        ("GNU Make 4.3", Told.DESCRIPTORS),
        ("GNU Make 4.2", Told.DESCRIPTORS),
        ("GNU Make 3.81", Told.WORD),
        ("bmake 4.4", Told.WORD),
        ("", Told.WORD),
    ],
)
def test_makes(bin_: Path, version: str, told: Told) -> None:
    says(bin_ / "make", version)
    assert planned(bin_, "make all", MAKEFLAGS="k") == Plan(
        argv=("make", "all"), told=told, makeflags=() if told is Told.WORD else ("-k",)
    )
    found = planned(bin_, "make -kj4 all")
    if told is Told.WORD:
        assert found == Plan(argv=("make", "-kj4", "all"), told=Told.NOTHING)
        assert planned(bin_, "make", MAKEFLAGS="-j4").told is Told.NOTHING
    else:
        assert found == Plan(argv=("make", "-k", "all"), told=told, bound=4)
        assert planned(bin_, "make -j", MAKEFLAGS="-j4").bound is None
        assert planned(bin_, "make", MAKEFLAGS="-j4").bound == 4
    assert planned(bin_, "make -j3", MAKEFLAGS=OUTER) == Plan(argv=("make", "-j3"), told=Told.NOTHING)
    other = planned(bin_, "./build.sh -j3")
    assert other == Plan(argv=("./build.sh", "-j3"), told=Told.NOTHING if told is Told.WORD else told)
    assert planned(bin_, "./build.sh", MAKEFLAGS=OUTER).told is Told.NOTHING


def test_a_command_without_any_make_gets_the_form_that_can_be_opened(bin_: Path) -> None:
    assert plan(["./build.sh"], {"PATH": str(bin_)}).told is Told.FIFO


@pytest.mark.parametrize(
    ("version", "told"), [("1.13.0", Told.FIFO), ("1.20.0", Told.FIFO), ("1.12.1", Told.WORD), ("2.0", Told.FIFO)]
)
def test_ninjas(bin_: Path, version: str, told: Told) -> None:
    says(bin_ / "ninja", version)
    assert planned(bin_, "ninja all") == Plan(argv=("ninja", "all"), told=told)
    found = planned(bin_, "ninja -C out -j4 all")
    if told is Told.WORD:
        assert found == Plan(argv=("ninja", "-C", "out", "-j4", "all"), told=Told.NOTHING)
    else:
        assert found == Plan(argv=("ninja", "-C", "out", "all"), told=told, bound=4)
    assert planned(bin_, "ninja", MAKEFLAGS=OUTER).told is Told.NOTHING


@pytest.mark.parametrize(
    ("words", "level", "argv", "bound"),
    [
        ("", "", "", None),
        ("-j4", "", "", 4),
        ("--parallel 4 -t x", "", "-t x", 4),
        ("", "4", "", 4),
        ("-j", "4", "", None),
        ("-j4 -- -j2 -v", "", "-- -v", 2),
        ("-- -j2", "4", "", 2),
        ("-- -d stats", "", "-- -d stats", None),
    ],
)
@pytest.mark.parametrize("generator", ["Ninja", "Ninja Multi-Config", "Unix Makefiles"])
def test_cmake_builds(
    bin_: Path, tmp_path: Path, generator: str, words: str, level: str, argv: str, bound: int | None
) -> None:
    tool = bin_ / "the tool"
    says(tool, "1.13.0" if generator.startswith("Ninja") else "GNU Make 4.3")
    (tmp_path / "CMakeCache.txt").write_text(
        f"# x\n//The tool\nCMAKE_MAKE_PROGRAM:FILEPATH={tool}\n\nCMAKE_GENERATOR:INTERNAL={generator}\n"
    )
    env = {LEVEL: level} if level else {}
    found = planned(bin_, f"cmake --build {tmp_path} {words}", **env)
    assert found.told is (Told.FIFO if generator.startswith("Ninja") else Told.DESCRIPTORS)
    assert found.argv == ("cmake", "--build", str(tmp_path), *argv.split())
    assert found.bound == bound and found.links
    assert planned(bin_, f"cmake --build {tmp_path} {words}", MAKEFLAGS=OUTER).told is Told.NOTHING


@pytest.mark.parametrize("where", ["old ninja", "xcode", "nowhere", "--preset x"])
def test_cmake_builds_without_a_jobserver(bin_: Path, tmp_path: Path, where: str) -> None:
    says(bin_ / "ninja", "1.11.1")
    generator = {"old ninja": "Ninja", "xcode": "Xcode"}.get(where)
    if generator:
        (tmp_path / "CMakeCache.txt").write_text(f"CMAKE_GENERATOR:INTERNAL={generator}\n")
    directory = where if where.startswith("-") else str(tmp_path)
    words = f"cmake --build {directory}"
    assert planned(bin_, words) == Plan(argv=tuple(words.split()), told=Told.VARIABLE)
    for said in (f"{words} -j4", f"{words} -- -j4"):
        assert planned(bin_, said) == Plan(argv=tuple(said.split()), told=Told.NOTHING)
    assert planned(bin_, words, **{LEVEL: "3"}).told is Told.NOTHING


def test_cmake_that_configures_finds_no_links(bin_: Path) -> None:
    for words in ("cmake -S . -B out -j4", "cmake -E echo --build", "cmake"):
        assert planned(bin_, words) == Plan(argv=tuple(words.split()), told=Told.NOTHING, links=False)


def test_a_tool_is_known_by_its_name_wherever_it_is(bin_: Path) -> None:
    for name in READERS:
        says(bin_ / name, "GNU Make 4.3")
    for name in ("make", "gmake"):
        assert planned(bin_, f"{bin_ / name} -j3").bound == 3

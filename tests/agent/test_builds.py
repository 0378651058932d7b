"""Which commands are of one build: real make and ninja, recursive and through scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Hashable
from pathlib import Path

import pytest

from zdistcc.agent.builds import MAX_KNOWN, Builds

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")
MAKE, NINJA = shutil.which("make"), shutil.which("ninja")
ASK = "\n".join(
    (
        "import os",
        "from zdistcc.agent.builds import Builds",
        "os.write(1, f'{os.getppid()} {Builds().of(os.getpid())!r}\\n'.encode())",
    )
)
"""A command of a build: says of which."""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "ask.py").write_text(ASK)
    (tmp_path / "ask").write_text(f'#!/bin/sh\n"{sys.executable}" "{tmp_path}/ask.py"\nexit $?\n')
    (tmp_path / "ask").chmod(0o755)
    return tmp_path


def told(here: Path, *words: str) -> list[str]:
    """What the commands of a build say."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(words, cwd=here, env=env, capture_output=True, text=True, check=True)
    lines = [line for line in ended.stdout.splitlines() if line and line[0].isdigit()]
    parents = {line.partition(" ")[0] for line in lines}
    assert len(parents) == len(lines), "the commands have different parents"
    return [line.partition(" ")[2] for line in lines]


@pytest.mark.skipif(MAKE is None, reason="make is missing")
def test_a_recursive_make_is_one_build_and_two_makes_are_two(here: Path) -> None:
    (here / "Makefile").write_text("all: a b\n\t@$(MAKE) -s c\na b c:\n\t@./ask\n")
    first, second = (told(here, "make", "-s", "-j2", "all") for _ in range(2))
    assert len(first) == len(second) == 3
    assert len(set(first)) == 1 == len(set(second))
    assert first[0] != second[0]


@pytest.mark.skipif(NINJA is None, reason="ninja is missing")
def test_ninja_is_one_build_though_each_command_has_a_group_of_its_own(here: Path) -> None:
    rules = "rule ask\n command = ./ask\n" + "".join(f"build {name}: ask\n" for name in "abc")
    (here / "build.ninja").write_text(rules)
    answers = told(here, "ninja", "-v")
    assert len(answers) == 3 and len(set(answers)) == 1


def test_commands_without_a_build_tool_are_of_their_session(here: Path) -> None:
    build = Builds()
    mine = build.of(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    try:
        assert build.of(child.pid) == mine
        assert build.of(child.pid) == Builds().of(child.pid)
    finally:
        for each in (child, other):
            each.communicate(b"\n")
    assert build.of(child.pid) is None, "it is gone"
    assert build.of(None) is None


def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    builds = Builds(str(tmp_path))

    def process(pid: int, name: str, parent: int) -> None:
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({name}) S {parent} 1 77 " + "0 " * 15 + f"{pid} 0\n")

    process(2, "a) (make", 1)
    process(3, "make", 2)
    process(4, "sh", 3)
    process(5, "zdistcc", 4)
    assert builds.of(5) == (3, b"3"), "a name may hold anything"
    found: set[Hashable] = set()
    for number in range(10, 10 + MAX_KNOWN + 5):
        process(2 * number, "sh", 3)
        process(2 * number + 1, "zdistcc", 2 * number)
        found.add(builds.of(2 * number + 1))
    assert found == {(3, b"3")}
    assert len(builds._known) == MAX_KNOWN

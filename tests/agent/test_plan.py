"""Plans: what the agent may read for a launcher, and what only the launcher can read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.aio import run
from zdistcc.agent.plan import MAX_RESPONSE_FILE_BYTES, Plan, Planner, Stay, read_response_file
from zdistcc.config import Config
from zdistcc.errors import Reason
from zdistcc.toolchain.probecache import ProbeCache
from zdistcc.wire.control import LaunchFlag, LaunchRequest


def plan_of(cwd: Path, *words: str) -> Plan | Stay:
    request = LaunchRequest(
        cwd=os.fsencode(cwd),
        compiler=b"/usr/bin/gcc",
        argv=(b"gcc", *map(os.fsencode, words)),
        env={b"PATH": b"/usr/bin:/bin"},
        flags=LaunchFlag(0),
        umask=0o022,
        pid=1,
    )
    return run(Planner(ProbeCache()).plan(request, Config()))


def test_a_plain_compile_may_go(tmp_path: Path) -> None:
    assert isinstance(plan_of(tmp_path, "-c", "x.c", "-o", "x.o"), Plan)


@pytest.mark.parametrize(
    "words",
    [
        ["-x", "c", "/dev/stdin"],
        ["-x", "c", "/dev/fd/0"],
        ["-x", "c", "/dev/fd/63"],
        ["-x", "c", "/proc/self/fd/0"],
        ["x.c", "-include", "/dev/stdin"],
        ["x.c", "-include/dev/stdin"],
        ["-x", "c", "-"],
    ],
    ids=" ".join,
)
def test_what_only_the_launcher_can_read_stays(tmp_path: Path, words: list[str]) -> None:
    """The agent's standard input is empty: a compile of it would succeed, with an empty object."""
    plan = plan_of(tmp_path, "-c", *words, "-o", "x.o")
    assert isinstance(plan, Stay) and plan.reason is Reason.STDIN_INPUT


def test_response_files(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(b"-O2")
    (tmp_path / "big").write_bytes(b" " * (MAX_RESPONSE_FILE_BYTES + 1))
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "r").open("rb") as file:
        own = b"/dev/fd/%d" % file.fileno()
        cwd = os.fsencode(tmp_path)
        assert read_response_file(cwd, b"r") == read_response_file(b"/", cwd + b"/r") == b"-O2"
        for name in (b"none", b"big", b"pipe", b".", b"a\0b", own, b"/dev/stdin", b"/dev/zero"):
            assert read_response_file(cwd, name) is None, name

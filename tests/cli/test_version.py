"""`--version` of both programs: what a bug report needs."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.lab import BIN, Lab, lab_in, missing
from zdistcc import __version__
from zdistcc.wire.frames import PROTOCOL_VERSION

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with lab_in(tmp_path) as lab:
        yield lab


def rows(text: str) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in text.splitlines()[1:])


def test_everything_a_bug_report_needs(lab: Lab) -> None:
    said = lab.run("--version")
    assert said.returncode == 0 and said.stderr == ""
    assert re.match(rf"zdistcc {re.escape(__version__)} \(launcher: native; Python 3\.\S+; \w+\)\n", said.stdout)
    told = rows(said.stdout)
    assert told["protocol"] == str(PROTOCOL_VERSION)
    assert platform.python_version() in told["python"] and sys.executable.rpartition("/")[0] in told["python"]
    assert platform.release() in told["system"] and platform.machine() in told["system"]
    assert re.search(r"zstandard \d.*uvloop .*lzallright .*zeroconf \d.*jeepney ", told["libraries"])
    assert re.match(r"(gcc|clang) \S+ for \S+, build [0-9a-f]{32} \(/\S*cc\)", told["compiler"])
    assert told["agent"] == "not running", "it starts none"


def test_an_agent_that_runs_is_named(lab: Lab) -> None:
    lab.run("hosts")
    assert re.fullmatch(rf"{re.escape(__version__)}, pid \d+", rows(lab.run("--version").stdout)["agent"])


def test_without_a_compiler(lab: Lab) -> None:
    said = lab.run("--version", env={"PATH": str(lab.directory)})
    assert said.returncode == 0 and rows(said.stdout)["compiler"] == "no cc on PATH"


def test_the_worker_says_the_same(lab: Lab) -> None:
    with lab.build([BIN / "zdistccd", "--version"]) as asked:
        assert asked.wait() == 0
        assert asked.stdout.startswith(f"zdistccd {__version__} (launcher: ")
        assert rows(asked.stdout) == rows(lab.run("--version").stdout)


def test_a_compilers_version_is_the_compilers(lab: Lab) -> None:
    assert lab.run("gcc", "--version").stdout.startswith("gcc (")

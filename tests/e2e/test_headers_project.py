"""A real project, and a terminal."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.bench import real_projects
from tests.e2e import exact
from tests.e2e.cases import WARN
from tests.e2e.farm import LAUNCHER, Farm, missing
from tests.lan.needs import lan_unavailable_reason

WHY_NOT = missing() or lan_unavailable_reason()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
LUA = real_projects.PROJECTS["lua"]
WHERE = real_projects.sources()


@pytest.mark.skipif(
    WHERE is None or not real_projects.found(WHERE, LUA),
    reason="ZDISTCC_TEST_SOURCES does not name a directory with Lua",
)
def test_lua_is_the_same_to_the_last_byte() -> None:
    assert WHERE is not None
    with tempfile.TemporaryDirectory(prefix="zdistcc-lua-") as name, Farm(Path(name), workers=2) as farm:
        farm.wait_for_workers()
        report = real_projects.compare(farm, WHERE, LUA, "gcc", "-O2 -g3")
    assert report.objects > 30
    assert not report.different
    assert report.share >= 0.98, report.exceptions


@pytest.mark.skipif(shutil.which("script") is None, reason="script (package bsdutils) is missing")
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_colours_on_a_terminal(tmp_path: Path, compiler: str) -> None:
    with Farm(tmp_path, workers=1) as farm:
        farm.wait_for_workers()
        top = tmp_path / "project"
        exact.write(top, WARN)
        shown = []
        for words in ([compiler], [str(LAUNCHER), compiler]):
            line = shlex.join([*words, "-Wall", "-Wextra", "-O2", "-c", "src/w.c"])
            shown.append(farm.run(["script", "-qec", line, "/dev/null"], top, env={"TERM": "xterm"}).stdout)
        assert shown[0] == shown[1]
        assert "\x1b[" in shown[0]
        assert farm.stats(), "the agent still answers"

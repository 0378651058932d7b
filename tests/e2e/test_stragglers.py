"""A compiler that hangs on a worker which is otherwise well: the job is started again elsewhere, and ends once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.builds import stray
from tests.e2e.farm import LAUNCHER, Farm, unavailable
from tests.lan.waiting import wait_until

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def compilers(farm: Farm) -> list[tuple[str, int]]:
    return [
        (name, pid)
        for name in farm.names
        for pid, words in farm.lan[name].processes().items()
        if words and Path(words[0]).name == "cc1" and any(word.endswith("hangs.c") for word in words)
    ]


def test_a_compiler_that_hangs_costs_little(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=2, slots=1, env={"ZDISTCC_POLICY": "least-completion"}) as farm:
        project = tmp_path / "project"
        project.mkdir()
        for number in range(8):
            (project / f"quick{number}.c").write_text(f"int quick{number}(void) {{ return {number}; }}\n")
        body = "".join(
            f"int f{n}(int x) {{ for (int i = 0; i < x; i++) x ^= i * {n}; return x; }}\n" for n in range(3000)
        )
        (project / "hangs.c").write_text(body)
        for number in range(8):
            farm.run([LAUNCHER, "gcc", "-O2", "-c", f"quick{number}.c"], project)
        job = farm.spawn([LAUNCHER, "gcc", "-O2", "-c", "hangs.c"], project)
        stopped: list[tuple[str, int]] = []

        def caught() -> bool:
            stopped.extend(compilers(farm)[:1])
            return bool(stopped)

        wait_until(caught, 20, "a compiler runs on a worker")
        name, pid = stopped[0]
        farm.lan[name].run(["kill", "-STOP", str(pid)])
        assert job.wait(60) == 0
        assert (project / "hangs.o").stat().st_size > 1000
        assert stray(project) == []
        stats = farm.ask("stats")
        assert stats["jobs"]["remote"] == 9, stats
        again = stats["second_starts"]
        assert (again["started"], again["won"]) == (1, 1) and again["wasted_s"] > 0, stats
        assert "1, of which 1 won" in farm.run([LAUNCHER, "stats"], project).stdout
        report = farm.ask("report")["report"]
        assert report["second_starts"] == 1 and report["slowest"][0]["file"] == "hangs.c"
        assert report["slowest"][0]["worker"] != name, "the start that won is on the other worker"
        wait_until(lambda: not compilers(farm), 20, "the hanging compiler is ended")

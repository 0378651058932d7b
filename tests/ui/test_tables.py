"""Tables: what is shown of what others said, without effect on the terminal."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console, RenderableType

from tests.ui.made import build_of, job, local, record
from zdistcc.agent.stats import Stats
from zdistcc.errors import Reason
from zdistcc.ui.builds import report, split
from zdistcc.ui.tables import builds_table, demo_table, hosts_table, report_tables, stats_tables

EVIL = "e\x1b[2J\x07\u202evil\n[bold]x[/bold]"


def shown(table: RenderableType) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(table)
        return console.export_text()


def host(**changes: Any) -> dict[str, Any]:
    row = {
        "name": "box", "state": "ready", "reason": None, "address": "192.0.2.1:3633", "addresses": ["192.0.2.1"],
        "running": 1, "slots": 4, "compilers": [{"family": "gcc", "version": "12", "target": "t"}],
    }  # fmt: skip
    return {**row, **changes}


def test_a_host() -> None:
    text = shown(hosts_table([host()]))
    assert all(word in text for word in ("box", "192.0.2.1:3633", "ready", "1/4", "gcc 12 (t)"))


@pytest.mark.parametrize("key", ["name", "state", "reason", "address"])
def test_hostile_words(key: str) -> None:
    text = shown(hosts_table([host(**{key: EVIL})]))
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
    assert "[bold]x[/bold]" in text, "shown as it is, not taken for markup"
    compilers = [{"family": EVIL, "version": EVIL, "target": EVIL}]
    assert "\x1b" not in shown(hosts_table([host(compilers=compilers, address=None, addresses=[EVIL])]))


def test_nobody() -> None:
    assert shown(hosts_table([])).split() == ["HOST", "ADDRESS", "STATE", "SLOTS", "COMPILERS"]


def test_stats() -> None:
    stats = Stats()
    stats.remote("preprocessed", EVIL)
    stats.local(Reason.LINK)
    text = "".join(shown(table) for table in stats_tables(stats.as_json(1_000_000, 2)))
    assert "1 remote, 1 local, 0 failed" in text and "1,000,000 sent" in text
    assert Reason.LINK.text in text and "\x1b" not in text


def test_demo() -> None:
    assert "identical" in shown(demo_table([("x.c", "12", "identical")]))


def test_a_report() -> None:
    said = report(split(build_of(200))[0], 4)
    text = "".join(shown(table) for table in report_tables(said, "today"))
    for word in ("21 s for 200 jobs: 185 remote, 15 local", "157 headers, 28 preprocessed", "9.8 compilers", "tail",
                 "most of it src/part2/unit198.cc on worker-4", "program (ends it)", "the command links", "worker-5",
                 "2 jobs were started a second time", "about 28 s: alone, 4 cores would have taken"):  # fmt: skip
        assert word in text, word
    assert text.count("src/part") >= 20


def test_hostile_words_in_a_report() -> None:
    jobs = [job(record(1, file=EVIL, worker=EVIL, mode=EVIL)), job(local(2, file=EVIL, reason=EVIL, directory=EVIL))]
    build = split(jobs)[0]
    text = "".join(shown(table) for table in [*report_tables(report(build, 4), "today"), builds_table([(EVIL, build)])])
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text and "[bold]x[/bold]" in text


def test_builds() -> None:
    builds = split([*build_of(40), job(record(1, begun=10.0, session=9))])
    text = shown(builds_table([("today", build) for build in builds]))
    lines = text.splitlines()
    assert lines[0].split() == ["#", "BEGUN", "TOOK", "JOBS", "REMOTE", "DIRECTORY"]
    assert lines[1].split()[:2] == ["1", "today"] and lines[2].split()[-3:] == ["1", "1", "/home/me/project"]

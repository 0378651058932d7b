"""Tables: what is shown of what others said, without effect on the terminal."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console, RenderableType

from zdistcc.agent.stats import Stats
from zdistcc.errors import Reason
from zdistcc.ui.tables import demo_table, hosts_table, stats_tables

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

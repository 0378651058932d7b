"""Tables of the command line interface.  Pure rendering but for :func:`show`.

Everything that came from the network has lost its control characters on the way in (``discovery.advert.printable``),
and is put into tables as plain text, never as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from zdistcc.errors import Reason

_STATES = {
    **dict.fromkeys(("busy", "draining", "resting"), "yellow"),
    **dict.fromkeys(("incompatible", "unreachable", "quarantined"), "red"),
    "ready": "green",
}
_TEXTS = {reason.word: reason.text for reason in Reason}


def _clean(value: object) -> str:
    return "".join(character if character.isprintable() else "?" for character in str(value))


def hosts_table(hosts: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of ``zdistcc hosts``."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("HOST", "ADDRESS", "STATE", "SLOTS", "COMPILERS"):
        table.add_column(heading, overflow="fold")
    for host in hosts:
        compilers = ", ".join(f"{c['family']} {c['version']} ({c['target']})" for c in host["compilers"])
        state = Text(_clean(host["state"]), style=_STATES.get(host["state"], ""))
        why = host["reason"] or host.get("limited")
        if why:
            state.append(f": {_clean(why)}", style="dim")
        address = host["address"] or ", ".join(host["addresses"])
        table.add_row(
            Text(_clean(host["name"])),
            Text(_clean(address)),
            state,
            f"{host['running']}/{host['slots']}",
            Text(_clean(compilers)),
        )
    return table


def stats_tables(stats: Mapping[str, Any]) -> Iterable[Table]:
    """Return the tables of ``zdistcc stats``."""
    jobs, modes = stats["jobs"], stats["modes"]
    sent, received = stats["bytes"]["sent"], stats["bytes"]["received"]
    summary = Table(box=None, pad_edge=False, show_header=False)
    summary.add_column(style="bold")
    summary.add_column()
    summary.add_row("jobs", f"{jobs['remote']} remote, {jobs['local']} local, {jobs['failed']} failed")
    summary.add_row("shipped", f"{modes['headers']} with headers, {modes['preprocessed']} preprocessed")
    summary.add_row("bytes", f"{sent:,} sent, {received:,} received")
    again = stats["second_starts"]
    if again["started"]:
        summary.add_row(
            "second starts", f"{again['started']}, of which {again['won']} won; {again['wasted_s']:.1f} s wasted"
        )
    yield summary
    for heading, counts in (("WORKER", stats["workers"]), ("WHY LOCAL", stats["reasons"])):
        if counts:
            table = Table(box=None, pad_edge=False, header_style="bold")
            table.add_column(heading)
            table.add_column("JOBS", justify="right")
            for word, count in sorted(counts.items(), key=lambda item: -item[1]):
                table.add_row(Text(_clean(_TEXTS.get(word, word) if heading == "WHY LOCAL" else word)), str(count))
            yield table


def demo_table(rows: Sequence[tuple[str, str, str]]) -> Table:
    """Return the table of ``zdistcc demo``: unit, bytes of its object, verdict."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("UNIT")
    table.add_column("BYTES", justify="right")
    table.add_column("OBJECT")
    for unit, size, verdict in rows:
        table.add_row(Text(unit), size, Text(verdict, style="green" if verdict == "identical" else "bold red"))
    return table


def show(table: Table) -> None:
    """Print a table to standard output, at least 80 columns wide where it is no terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    console.print(table)

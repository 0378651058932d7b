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
from zdistcc.ui.builds import HERE, Build, Report
from zdistcc.ui.timeline import seconds

_STATES = {
    **dict.fromkeys(("busy", "draining", "resting"), "yellow"),
    **dict.fromkeys(("incompatible", "unreachable", "quarantined", "refusing", "off"), "red"),
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
        if host.get("protocol") == "distcc":
            compilers = f"distccd {host['version']}: {compilers}".replace(" : ", ": ").removesuffix(": ")
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


def builds_table(rows: Sequence[tuple[str, Build]]) -> Table:
    """Return the table of ``zdistcc report --list``: when each build began, in words, and the build."""
    table = _table("#>", "BEGUN", "TOOK>", "JOBS>", "REMOTE>", "DIRECTORY")
    for number, (begun, build) in enumerate(rows, 1):
        remote = sum(job.fate == "remote" for job in build.jobs)
        took = seconds(build.seconds) + (" …" if build.under_way else "")
        _row(table, str(number), begun, took, f"{len(build.jobs):,}", f"{remote:,}", build.directory)
    return table


def _table(*headings: str) -> Table:
    """A table with these headings; > behind one puts its column to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading.rstrip(">"), justify="right" if heading.endswith(">") else "left", overflow="fold")
    return table


def _row(table: Table, *cells: str) -> None:
    table.add_row(*(Text(_clean(cell)) for cell in cells))


def report_tables(report: Report, begun: str) -> Iterable[Table]:
    """Return the tables of ``zdistcc report``; ``begun`` is when the build began, in words."""
    build, tail = report.build, report.tail
    summary = Table(box=None, pad_edge=False, show_header=False)
    summary.add_column(style="bold")
    summary.add_column(overflow="fold")
    modes = ", ".join(f"{count:,} {mode}" for mode, count in report.modes.items())
    fates = ", ".join(f"{count:,} {fate}" for fate, count in report.fates.items())
    most = f", most of it {tail.jobs[0][0].file} on {tail.jobs[0][0].place}" if tail.jobs else ""
    saved = report.alone - build.seconds
    rows = [
        ("build", f"{begun} in {build.directory}" + (", still under way" if build.under_way else "")),
        ("took", f"{seconds(build.seconds)} for {len(build.jobs):,} jobs: {fates}"),
        ("shipped", modes or "nothing"),
        ("at work", f"{report.parallelism:.1f} compilers on average, {report.peak} at most"),
        ("tail", f"{seconds(tail.seconds)}, {tail.seconds * 100 / (build.seconds or 1):.0f} % of the build{most}"),
        (
            "saved" if saved >= 0 else "lost",
            f"about {seconds(abs(saved))}: alone, {report.slots} cores would have taken about {seconds(report.alone)}",
        ),
    ]
    if report.second_starts:
        rows.insert(3, ("again", f"{report.second_starts} jobs were started a second time"))
    for heading, text in rows:
        summary.add_row(heading, Text(_clean(text)))
    yield summary
    table = _table("WHERE", "JOBS>", "COMPILING>", "SHARE>", "AT ONCE>", "SENT>", "RECEIVED>")
    for total in report.places:
        shares = f"{total.share:.0%}", str(total.lanes), f"{total.shipped:,}", f"{total.received:,}"
        _row(table, total.name, f"{total.jobs:,}", seconds(total.seconds), *shares)
    yield table
    if tail.jobs:
        table = _table("IN THE TAIL", "FOR>", "WHERE")
        for job, spent in tail.jobs[:5]:
            _row(table, job.file + (" (ends it)" if job is tail.last else ""), seconds(spent), job.place)
        yield table
    if report.reasons:
        table = _table(f"WHY ON {HERE.upper()}", "JOBS>", "SECONDS>")
        for why in report.reasons:
            _row(table, why.text, f"{why.jobs:,}", seconds(why.seconds))
        yield table
    table = _table("SLOWEST FILES", "COMPILING>", "IN ALL>", "WHERE", "HOW")
    for job in report.slowest:
        _row(table, job.file, seconds(job.seconds), seconds(job.ended - job.begun), job.place, job.how)
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

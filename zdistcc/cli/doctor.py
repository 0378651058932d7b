"""``zdistcc doctor``: what keeps machines from helping each other, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from zdistcc import __version__, config
from zdistcc.cli.ask import ask
from zdistcc.cli.hosts import question
from zdistcc.config import Config
from zdistcc.discovery import interfaces as nics
from zdistcc.doctor import machine, network, workers
from zdistcc.doctor.ask import ask_worker, knock
from zdistcc.doctor.finding import Finding, Verdict, bad, good, note
from zdistcc.doctor.workers import Reach, Trial
from zdistcc.errors import InfraError, UserError

DEFAULT_PORT: Final = 3633
_MARKS: Final = {
    Verdict.GOOD: ("✓", "+", typer.colors.GREEN),
    Verdict.NOTE: ("!", "!", typer.colors.YELLOW),
    Verdict.BAD: ("✗", "x", typer.colors.RED),
}


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object (man 1 zdistcc).")] = False,
    scan: Annotated[
        bool, typer.Option("--scan/--no-scan", help="Knock at the addresses of this network for unannounced workers.")
    ] = True,
) -> None:
    """Find out what keeps machines from helping, and say what to do.

    Looks at this machine, its network, and every worker: each is reached at all its addresses and given a trial job.
    Ends with 1 if something is wrong.
    """
    findings: list[Finding] = []
    for finding in _examine(scan):
        findings.append(finding)
        if not as_json:
            _show(finding)
    wrong = sum(finding.verdict is Verdict.BAD for finding in findings)
    if as_json:
        rows = [
            {"check": f.check, "verdict": f.verdict.value, "subject": f.subject, "text": f.text, "remedy": f.remedy}
            for f in findings
        ]
        typer.echo(json.dumps({"findings": rows, "wrong": wrong}, indent=2))
    else:
        typer.echo(f"{wrong} of {len(findings)} are wrong." if wrong else "Nothing is wrong.")
    if wrong:
        raise typer.Exit(1)


def _show(finding: Finding) -> None:
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    mark, plain, colour = _MARKS[finding.verdict]
    try:
        mark.encode(encoding)
    except UnicodeEncodeError:
        mark = plain
    subject = f" {finding.subject}:" if finding.subject else ""
    typer.echo(f"{typer.style(mark, fg=colour)} {typer.style(finding.check, bold=True)}{subject} {finding.text}")
    if finding.remedy:
        typer.echo(f"    → {finding.remedy}" if mark != plain or mark == "!" else f"    -> {finding.remedy}")


def _examine(scan: bool) -> Iterator[Finding]:
    env = dict(os.environ)
    yield machine.launcher()
    yield machine.settings(env)
    try:
        settings = config.load(env)
    except UserError:
        settings = Config()
    if env.get("DISTCC_HOSTS") and not settings.use_distcc_hosts:
        yield note("configuration", "DISTCC_HOSTS is set and not used", "ZDISTCC_USE_DISTCC_HOSTS=1 uses its hosts")
    yield machine.runtime_directory(env, _mounts())
    yield from machine.room(env)
    yield from machine.path_order(env)
    chosen: tuple[nics.Interface, ...] = ()
    if settings.discovery:
        try:
            chosen = nics.choose(settings.interface)
        except UserError as error:
            yield bad("interface", str(error), "correct ZDISTCC_INTERFACE")
        yield from network.interfaces(chosen)
        for interface in chosen:
            yield asyncio.run(network.multicast(interface))
    yield from _agent_and_workers(settings, chosen if scan else ())


def _mounts() -> str:
    try:
        return Path("/proc/self/mounts").read_text(errors="replace")
    except OSError:
        return ""


def _agent_and_workers(settings: Config, scanned: tuple[nics.Interface, ...]) -> Iterator[Finding]:
    try:
        about = ask({"ask": "version"}) or {}
        hosts = ask({**question(), "hosts": ""}) or {}
        trials = (ask({"ask": "trial"}) or {}).get("trials", {})
    except UserError as error:
        yield bad("agent", str(error), "zdistcc stop, then try again")
        return
    if about.get("version") != __version__:
        yield bad("agent", f"is zdistcc {about.get('version')}, this command {__version__}", "zdistcc stop")
    else:
        yield good("agent", f"answers (pid {about.get('pid')})")
    rows = hosts["hosts"]
    ids = frozenset(str(row["id"]) for row in rows)
    yield from _own_worker(settings, rows)
    for row in rows:
        reaches = asyncio.run(_knock_at(row))
        made = trials.get(row["id"])
        trial = Trial(**made) if made is not None else None
        yield from workers.examine(row, reaches, trial, ours=hosts.get("compiler"), version=__version__)
    unheard = asyncio.run(_sweep(scanned, rows, ids))
    yield from unheard
    if not rows and not unheard:
        yield bad(
            "worker",
            "none was found",
            "start zdistccd on another machine of this network; if one runs, ask its doctor: zdistcc doctor there",
        )


def _own_worker(settings: Config, rows: list[Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield how the worker on this very machine is, if there is one, and whether others can hear of it."""
    port = settings.port or DEFAULT_PORT
    try:
        seen = ask_worker(port)
    except InfraError:
        return
    yield good("own worker", f"zdistccd serves here on port {port}: {seen.running} of {seen.slots} slots busy")
    if settings.discovery and not any(row["id"] == seen.id and "announced" in row["ways"] for row in rows):
        yield bad(
            "own worker",
            "its announcements are not heard, not even here",
            f"let multicast ({workers.MULTICAST}) through: {network.firewall().opens(workers.MULTICAST)}",
        )
    if not seen.compilers:
        yield note("own worker", "it has no compiler to offer", "apt-get install gcc g++")


async def _knock_at(row: Mapping[str, Any]) -> list[Reach]:
    addresses = [] if row.get("reach") == "ssh" else row["addresses"]
    return list(await asyncio.gather(*(knock(address, row["port"]) for address in addresses)))


async def _sweep(
    scanned: tuple[nics.Interface, ...], rows: list[Mapping[str, Any]], ids: frozenset[str]
) -> list[Finding]:
    known = {address for row in rows for address in row["addresses"]}
    around = [address for interface in scanned for address in network.around(interface) if address not in known]
    return await network.unannounced(around, DEFAULT_PORT, ids)

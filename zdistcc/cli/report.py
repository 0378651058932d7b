"""``zdistcc report``: where the time of a build went, as tables, a page, a picture or JSON."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import typer

from zdistcc import __version__
from zdistcc.cli.recorded import Recorded, recorded, write
from zdistcc.ui import builds
from zdistcc.ui.builds import Build, Job, Report


def command(
    number: Annotated[int, typer.Option("--build", metavar="N", min=1, help="Which build: 1 is the last one.")] = 1,
    list_them: Annotated[bool, typer.Option("--list", help="List the builds on record.")] = False,
    html: Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write a page with a picture.")] = None,
    svg: Annotated[str | None, typer.Option("--svg", metavar="FILE", help="Write the picture alone.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object (man 1 zdistcc).")] = False,
) -> None:
    """Show where the time of a build went: workers, tail, slowest files.

    A build is what one terminal or script compiled without a pause of more than ten seconds.
    """
    found = recorded()
    if found.skipped:
        typer.echo(f"zdistcc: unreadable parts of the history, left out: {found.skipped}", err=True)
    if list_them and not as_json:
        from zdistcc.ui.tables import builds_table, show

        show(builds_table([(begun(build), build) for build in found.builds]))
        return
    if as_json and not found.builds:
        typer.echo(json.dumps({"builds": [], "report": None}, indent=2))
        return
    report = builds.report(found.choose(number), found.slots)
    if html is not None:
        from zdistcc.ui.page import page

        write(html, page(report, begun=begun(report.build), version=__version__))
    if svg is not None:
        from zdistcc.ui.timeline import timeline

        write(svg, timeline(report))
    if as_json:
        typer.echo(json.dumps(_as_json(found, report), indent=2))
    elif html is None and svg is None:
        from zdistcc.ui.tables import report_tables, show

        for table in report_tables(report, begun(report.build)):
            show(table)
            typer.echo()


def begun(build: Build) -> str:
    """Return when a build began, as people read it."""
    return datetime.fromtimestamp(build.begin).strftime("%a %d %b %Y %H:%M:%S")


def _as_json(found: Recorded, report: Report) -> dict[str, Any]:
    """Return the contract of ``zdistcc report --json``."""
    build = report.build

    def named(job: Job, **more: Any) -> dict[str, Any]:
        facts = {"file": job.file, "directory": job.directory, "worker": job.worker or None, "fate": job.fate}
        spent = {"seconds": _round(job.seconds), "in_all_s": _round(job.ended - job.begun)}
        return {**facts, **spent, "mode": job.mode or None, "reason": job.reason or None, **more}

    return {
        "builds": [
            {"begun": each.begin, "seconds": _round(each.seconds), "jobs": len(each.jobs), "directory": each.directory}
            for each in found.builds
        ],
        "report": {
            "begun": build.begin,
            "seconds": _round(build.seconds),
            "directory": build.directory,
            "under_way": build.under_way,
            "jobs": report.fates,
            "modes": report.modes,
            "compiling_s": _round(report.seconds),
            "parallelism": _round(report.parallelism),
            "peak": report.peak,
            "alone_s": _round(report.alone),
            "second_starts": report.second_starts,
            "tail": {
                "seconds": _round(report.tail.seconds),
                "jobs": [named(job, in_tail_s=_round(spent)) for job, spent in report.tail.jobs],
            },
            "places": [
                {
                    "name": total.name,
                    "jobs": total.jobs,
                    "seconds": _round(total.seconds),
                    "share": _round(total.share),
                    "at_once": total.lanes,
                    "bytes": {"sent": total.shipped, "received": total.received},
                }
                for total in report.places
            ],
            "reasons": {why.word: {"jobs": why.jobs, "seconds": _round(why.seconds)} for why in report.reasons},
            "slowest": [named(job) for job in report.slowest],
        },
    }


def _round(value: float) -> float:
    return round(value, 4)

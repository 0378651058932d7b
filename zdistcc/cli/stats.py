"""``zdistcc stats``: what happened to the jobs since the agent started."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from zdistcc.cli.ask import ask

_NOTHING = {
    "jobs": {"remote": 0, "local": 0, "failed": 0},
    "modes": {"headers": 0, "preprocessed": 0, "local": 0},
    "reasons": {},
    "bytes": {"sent": 0, "received": 0},
    "workers": {},
    "fell_through": {},
    "second_starts": {"started": 0, "won": 0, "wasted_s": 0.0},
}


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object (man 1 zdistcc).")] = False,
) -> None:
    """Count the jobs: where they ran, and why some stayed here.

    Everything since the agent started; it leaves after five minutes without work.
    """
    answer = ask({"ask": "stats"}, start=False)
    if as_json:
        typer.echo(json.dumps(answer or _NOTHING, indent=2))
        return
    if answer is None:
        typer.echo("No agent is running: nothing was compiled in the last five minutes.")
        return
    from zdistcc.ui.tables import show, stats_tables

    for table in stats_tables(answer):
        show(table)

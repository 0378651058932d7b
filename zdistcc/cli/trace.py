"""``zdistcc trace``: builds as a file for chrome://tracing or ui.perfetto.dev."""

from __future__ import annotations

from typing import Annotated

import typer

from zdistcc.cli.recorded import recorded, write
from zdistcc.ui.trace import trace


def command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to write it.", show_default=False)],
    number: Annotated[int, typer.Option("--build", metavar="N", min=1, help="Which build: 1 is the last one.")] = 1,
    everything: Annotated[bool, typer.Option("--all", help="All builds on record.")] = False,
) -> None:
    """Write a trace of a build: each job's phases in the slots of each worker.

    Open it with ui.perfetto.dev or chrome://tracing.
    """
    found = recorded()
    chosen = found.choose(number)
    write(file, trace(found.builds if everything else [chosen], found.events))

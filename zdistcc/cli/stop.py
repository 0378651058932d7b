"""``zdistcc stop``: ends the agent."""

from __future__ import annotations

import typer

from zdistcc.cli.ask import ask


def command() -> None:
    """End the agent; the next compile starts a new one.  Jobs under way are compiled locally."""
    answer = ask({"ask": "stop"}, start=False)
    typer.echo("The agent was told to leave." if answer else "No agent is running.")

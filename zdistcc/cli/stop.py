"""``zdistcc stop``: ends the agent."""

from __future__ import annotations

import typer

from zdistcc.cli.ask import ask


def command() -> None:
    """End the agent.

    Jobs under way are compiled locally.  The next compile starts a new one, which reads the configuration anew.
    """
    answer = ask({"ask": "stop"}, start=False)
    typer.echo("The agent was told to leave." if answer else "No agent is running.")

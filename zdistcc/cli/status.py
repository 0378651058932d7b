"""``zdistcc status``: the network, the build and what happened, on one screen that follows them."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

from zdistcc import config
from zdistcc.cli.ask import Snapshots, ask
from zdistcc.cli.hosts import question
from zdistcc.errors import UserError

WATCH_WAIT_S = 5.0
"""A line of ``--watch-json`` comes with each change, and after this time without one the agent is asked again."""


def command(
    once: Annotated[bool, typer.Option("--once", help="Print the picture once and leave.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object (man 1 zdistcc).")] = False,
    watch_json: Annotated[
        bool, typer.Option("--watch-json", help="Print such an object, one a line, at each change.")
    ] = False,
    no_colour: Annotated[bool, typer.Option("--no-color", help="Use no colours (also: NO_COLOR=1).")] = False,
) -> None:
    """Show hosts, jobs and events as they change.

    Keys: q leaves, ? shows the others.  Where there is no terminal, the picture is printed once.
    """
    peers = config.load(os.environ).peers
    if watch_json:
        _watch(peers)
        return
    if as_json:
        typer.echo(json.dumps(_picture(peers), indent=2))
        return
    from zdistcc.ui import live

    if once or not live.is_terminal():
        live.print_once(_picture(peers), colour=not no_colour)
        return
    source = Snapshots(peers)
    try:
        live.run(source, colour=not no_colour)
    finally:
        source.close()


def _picture(peers: tuple[str, ...]) -> dict[str, Any]:
    answer = ask({**question(), "ask": "snapshot", "peers": peers})
    assert answer is not None
    return answer


def _watch(peers: tuple[str, ...]) -> None:
    """Print a line a change until the agent leaves or nobody reads."""
    answer: dict[str, Any] | None = ask({"ask": "snapshot", "peers": peers})
    shown = -1
    try:
        while answer is not None:
            if answer["revision"] != shown:
                shown = answer["revision"]
                print(json.dumps(answer, separators=(",", ":")), flush=True)
            after = {"revision": shown, "finished": answer["finished"], "notes": answer["last_note"]}
            answer = _next(after)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except KeyboardInterrupt:
        return


def _next(after: dict[str, int]) -> dict[str, Any] | None:
    """Return the next snapshot; ``None`` when the agent has left, be it while it was asked."""
    question = {"ask": "snapshot", "after": after, "wait": WATCH_WAIT_S}
    try:
        return ask(question, start=False)
    except UserError:
        return ask(question, start=False)

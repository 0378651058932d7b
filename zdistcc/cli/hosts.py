"""``zdistcc hosts``: the machines that can compile for this one, and why the others can't."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from zdistcc import config
from zdistcc.cli.ask import ask

SETTLE_S = 2.0
"""A fresh agent is given this long to hear of workers before its list is shown."""


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object (man 1 zdistcc).")] = False,
) -> None:
    """List the workers on the network.

    Shows address, state, load and compilers of each, and why one cannot be used.
    """
    peers = config.load(os.environ).peers
    answer = ask({"ask": "hosts", "settle": SETTLE_S, "peers": peers})
    assert answer is not None
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    if not answer["hosts"]:
        typer.echo(
            "No worker found.  Start zdistccd on another machine of this network; if one runs already and multicast "
            "does not reach it, name it:\nZDISTCC_PEERS=host zdistcc hosts"
        )
        return
    from zdistcc.ui.tables import hosts_table, show

    show(hosts_table(answer["hosts"]))

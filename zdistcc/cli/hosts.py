"""``zdistcc hosts``: the machines that can compile for this one, and why the others can't."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

from zdistcc import config
from zdistcc.cli.ask import ask

SETTLE_S = 2.0
"""A fresh agent is given this long to hear of workers before its list is shown."""


def question() -> dict[str, Any]:
    """Return what to ask the agent: its hosts, and those that this environment names."""
    settings = config.load(os.environ)
    return {"ask": "hosts", "settle": SETTLE_S, "peers": settings.peers, "hosts": settings.hosts}


def show_names() -> None:
    """Print each usable host with its slots, one a line, as ``distcc --show-hosts`` does."""
    answer = ask(question())
    assert answer is not None
    for host in answer["hosts"]:
        if host["usable"]:
            typer.echo(f"{host['address']}/{host['slots']}")


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object (man 1 zdistcc).")] = False,
    for_distcc: Annotated[
        bool, typer.Option("--distcc", help="Print a list for DISTCC_HOSTS: the hosts that speak distcc's protocol.")
    ] = False,
) -> None:
    """List the workers on the network.

    Shows address, state, load and compilers of each, and why one cannot be used.
    """
    answer = ask(question())
    assert answer is not None
    if for_distcc:
        typer.echo(" ".join(answer["distcc"]))
        return
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
    if answer["fidelity"] == {"setting": "auto", "in_force": "code"}:
        typer.echo(
            "Only stock distccd hosts are here: debug information of what they compile may lack columns.\n"
            "ZDISTCC_FIDELITY=exact keeps such jobs on this machine."
        )

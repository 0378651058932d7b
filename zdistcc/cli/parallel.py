"""``zdistcc -j``: one number, for ``make -j$(zdistcc -j)``.

Whatever goes wrong, a number is printed: ``make -j`` without one starts everything at once.
"""

from __future__ import annotations

import typer

from zdistcc import config
from zdistcc.cli.ask import ask
from zdistcc.cli.hosts import question
from zdistcc.errors import UserError

SETTLE_S = 1.5
"""A fresh agent is given this long to hear of workers: mDNS answers within 1.2 s."""


def show() -> None:
    """Print how many compile commands are worth starting at once."""
    try:
        answer = ask({**question(), "ask": "parallelism", "settle": SETTLE_S})
        assert answer is not None
        useful = int(answer["useful"])
    except UserError as error:
        typer.echo(f"zdistcc: {error}; this machine's cores are counted", err=True)
        useful = config.cores()
    typer.echo(max(1, useful))

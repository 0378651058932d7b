"""Reports: which clients a worker tells of its load, and when.  Pure.

A client is told of changes only, and at most ten times a second.  One that has jobs here is told that often; the others
only want to know where to begin, and each of them is told the less often the more clients there are: a thousand workers
and a hundred agents that all hear of everything ten times a second would be 400 kB/s for each agent.

Must not know: sockets, what a report says, the clock (time is an argument).  Rejected: leaving out small changes (one
job more is what agents share by), letting agents subscribe (a message more, and all of them want the idle workers).
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Final

from zdistcc.worker.admission import Client

REPORT_EVERY_S: Final = 0.1
"""At most ten times a second, however many jobs come and go."""
IDLE_SHARE_S: Final = 0.01
"""A client without jobs here is told once in this time for each client that there is."""


class Reports:
    """Who is still to be told of the last change."""

    def __init__(self) -> None:
        self._told: dict[Client, float] = {}
        self._owed: set[Client] = set()
        self._clients = 0
        self._looked = float("-inf")

    def changed(self, clients: Iterable[Client]) -> None:
        """The load is another now; ``clients`` are all that there are."""
        self._owed = set(clients)
        self._clients = len(self._owed)

    def next_at(self, now: float) -> float | None:
        """Return when to ask whom to tell, or ``None`` while all know."""
        return max(now, self._looked + REPORT_EVERY_S) if self._owed else None

    def take(self, now: float, busy: Container[Client]) -> list[Client]:
        """Return the clients to be told now; ``busy`` are those with jobs here."""
        self._looked = now
        before = now - max(REPORT_EVERY_S, self._clients * IDLE_SHARE_S) + REPORT_EVERY_S / 2
        due = [client for client in self._owed if client in busy or self._told.get(client, before) <= before]
        for client in due:
            self._told[client] = now
        self._owed.difference_update(due)
        return due

    def forget(self, client: Client) -> None:
        """A client has gone."""
        self._told.pop(client, None)
        self._owed.discard(client)

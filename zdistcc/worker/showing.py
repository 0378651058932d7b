"""What the worker shows while it runs: a line on the terminal that started it, its state to the service manager.

Must not know: how the log is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Mapping
from typing import Final

from zdistcc.logs import LiveLine
from zdistcc.worker.server import Worker

INTERVAL_S: Final = 0.5
MOST_CLIENTS: Final = 6


def summary(worker: Worker) -> str:
    """Return in one line what the worker does, and for whom."""
    counts = worker.admission.counts
    clients: Counter[str] = Counter()
    for session in worker.sessions:
        clients[session.client] += session.jobs
    for visit in worker.desk.visits:
        clients[visit.client] += visit.jobs
    busy = [f"{name} {jobs}" for name, jobs in clients.most_common() if jobs]
    shown = [*busy[:MOST_CLIENTS], *([f"{len(busy) - MOST_CLIENTS} more"] if len(busy) > MOST_CLIENTS else [])]
    whom = f" for {', '.join(shown)}" if shown else ""
    idle = f", {len(clients)} clients" if clients and not shown else ""
    return f"{counts.running} of {counts.slots} slots busy{whom}{idle}, {worker.jobs_done} jobs done"


class Showing:
    """Keeps both up to date until :meth:`close`."""

    def __init__(self, worker: Worker, line: LiveLine | None, env: Mapping[str, str]) -> None:
        self._worker = worker
        self._line = line
        self._manager = env.get("NOTIFY_SOCKET", "")
        self._told = ""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """The worker serves."""
        self._tell("READY=1")
        if self._line is not None or self._manager:
            self._tick()

    def leaving(self) -> None:
        """The worker is about to stop; its jobs may take a while."""
        self._tell("STOPPING=1")

    def close(self) -> None:
        """Show nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._line is not None:
            self._line.show("")

    def _tick(self) -> None:
        self._timer = self._loop.call_later(INTERVAL_S, self._tick)
        text = summary(self._worker)
        if self._line is not None:
            self._line.show(text)
        if text != self._told:
            self._told = text
            self._tell(f"STATUS={text}")

    def _tell(self, state: str) -> None:
        """Say ``state`` as ``sd_notify(3)`` describes; a manager that does not listen is no trouble of ours."""
        if not self._manager:
            return
        address = "\0" + self._manager[1:] if self._manager.startswith("@") else self._manager
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(state.encode(), address)

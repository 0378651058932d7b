"""Stand-ins for what an agent talks to: a worker that follows a script, and a launcher."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.aio import pass_time
from zdistcc.agent.dispatch import Dispatcher
from zdistcc.agent.reach import Reach
from zdistcc.errors import InfraError
from zdistcc.net.drive import Link
from zdistcc.net.ssh import Ssh
from zdistcc.schedule.policies import POLICIES
from zdistcc.wire.connection import ChunkReceived, Connection, Role
from zdistcc.wire.messages import CompilerInfo, Greeting, Hello, Message

GCC = CompilerInfo(
    family="gcc", version="12.2.0", target="x86_64-linux-gnu", build_id="a" * 32, languages=("c", "c++"), targets=()
)


def greeting(worker: str = "0123456789abcdef", **changes: Any) -> Greeting:
    fields: dict[str, Any] = {"version": "1", "id": worker, "name": "w", "slots": 2, "compilers": (GCC,)}
    return Greeting(**{**fields, **changes})


Script = Callable[["FakeVisit", int, Message], None]


def unreached(path: Path) -> Reach:
    """Return what reaches nobody through ssh."""
    return Reach(Ssh(program=("false",), env={}, sockets=path))


class FakeVisit:
    """One agent's connection to a fake worker."""

    def __init__(self, worker: FakeWorker) -> None:
        self.worker = worker
        self.link = Link(Connection(Role.WORKER), self)
        self.heard: list[tuple[int, Message]] = []
        self.lost = False

    def on_said(self, stream: int, message: Message) -> None:
        self.heard.append((stream, message))
        if isinstance(message, Hello):
            if self.worker.first is not None:
                self.link.send(self.worker.first)
        elif self.worker.script is not None:
            self.worker.script(self, stream, message)

    def on_chunk(self, chunk: ChunkReceived) -> None:
        """Texts are not looked at."""

    def on_lost(self, cause: InfraError) -> None:
        self.lost = True

    def raw(self, data: bytes) -> None:
        """Put bytes on the wire past the protocol core."""
        self.link.flush()
        assert self.link._transport is not None
        self.link._transport.write(data)

    def heard_of(self, kind: type[Message]) -> list[Any]:
        return [message for _, message in self.heard if isinstance(message, kind)]


class FakeWorker:
    """Greets with ``first`` (``None``: says nothing) and answers jobs by ``script``."""

    def __init__(self, first: Message | None, script: Script | None) -> None:
        self.first = first
        self.script = script
        self.visits: list[FakeVisit] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def open(self, port: int = 0, host: str = "127.0.0.1") -> None:
        def visit() -> Link:
            self.visits.append(FakeVisit(self))
            return self.visits[-1].link

        self._server = await asyncio.get_running_loop().create_server(visit, host, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for visit in self.visits:
            visit.link.lose(InfraError("the fake worker stops"))
        await self._server.wait_closed()
        await pass_time(0)

    @property
    def present(self) -> list[FakeVisit]:
        return [visit for visit in self.visits if not visit.lost]


@asynccontextmanager
async def fake_worker(
    first: Message | None = None, script: Script | None = None, **where: Any
) -> AsyncIterator[FakeWorker]:
    worker = FakeWorker(first if first is not None else greeting(), script)
    await worker.open(**where)
    try:
        yield worker
    finally:
        await worker.close()


@asynccontextmanager
async def dispatcher(local_slots: int = 2, policy: str = "least-loaded") -> AsyncIterator[Dispatcher]:
    made = Dispatcher(local_slots=local_slots, policy=POLICIES[policy])
    try:
        yield made
    finally:
        made._scheduler.check()
        made.close()


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])

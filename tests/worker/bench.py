"""A real worker on a loopback port and clients that speak the protocol by hand."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.aio import pass_time, until
from zdistcc.children import Limits
from zdistcc.errors import InfraError
from zdistcc.net.drive import Link
from zdistcc.store.blobs import BlobStore
from zdistcc.store.trees import TreeStore
from zdistcc.toolchain.probe import Probed, probe
from zdistcc.wire import codecs
from zdistcc.wire.connection import ChunkReceived, Connection, Role
from zdistcc.wire.messages import Blob, Body, Hello, Job, Load, Message, Need, Refuse, Result, Stage, Started, Supply
from zdistcc.worker.door import Doorman, bind
from zdistcc.worker.server import Settings, Worker
from zdistcc.worker.sources import Sources

ENV = {b"PATH": os.environb.get(b"PATH", b"/usr/bin:/bin")}
HELLO = Hello(version="1", name="client", agent="a", features=("memory",))
QUICK = b"int f(void) { return 42; }\n"
# Compiles for minutes at -O2, as one may see in its process table, and is a few hundred bytes.
ENDLESS = b"""template <int N, int M> struct F {
static const int v = F<N - 1, M>::v + F<N - 1, M + (1 << (N % 28))>::v; };
template <int M> struct F<0, M> { static const int v = M; };
int x = F<27, 0>::v;
"""


@functools.cache
def compiler(path: str) -> Probed:
    found = probe(path.encode(), ENV)
    assert isinstance(found, Probed), found
    return found


def job_for(text: bytes, driver: Probed, *, eager: bool = True, **changes: Any) -> tuple[Job, bytes]:
    codec, packed = codecs.pack(text)
    fields: dict[str, Any] = {
        "compiler": driver.id.build_id,
        "target": driver.id.target,
        "language": "c++-cpp-output" if b"template" in text else "cpp-output",
        "stage": Stage.OBJECT,
        "args": (b"-O1",),
        "name": b"x.c",
        "cwd": b"/p",
        "source": Blob(digest=hashlib.sha256(text).digest(), body=Body(raw=len(text), packed=len(packed), codec=codec)),
        "eager": eager,
    }
    return Job(**{**fields, **changes}), packed


class Client:
    """An agent's end, driven by a test."""

    def __init__(self, agent: str = HELLO.agent, features: tuple[str, ...] = HELLO.features) -> None:
        self.link = Link(Connection(Role.AGENT), self)
        self.said: dict[int, list[Message]] = {}
        self.when: list[tuple[float, Message]] = []
        self.bodies: dict[tuple[int, int], bytes] = {}
        self.complete: set[tuple[int, int]] = set()
        self.lost: list[InfraError] = []
        self.link.send(msgspec.structs.replace(HELLO, agent=agent, features=features))

    def on_said(self, stream: int, message: Message) -> None:
        self.said.setdefault(stream, []).append(message)
        self.when.append((asyncio.get_running_loop().time(), message))

    def on_chunk(self, chunk: ChunkReceived) -> None:
        key = chunk.stream, chunk.slot
        self.bodies[key] = self.bodies.get(key, b"") + chunk.data
        if chunk.last:
            self.complete.add(key)

    def on_lost(self, cause: InfraError) -> None:
        self.lost.append(cause)

    def begin(self, job: Job, packed: bytes) -> int:
        stream = self.link.connection.open_stream()
        self.link.send(job, stream, [packed] if job.eager else [])
        return stream

    def end_of(self, stream: int) -> Result | Refuse | None:
        return next((m for m in self.said.get(stream, []) if isinstance(m, Result | Refuse)), None)

    async def ended(self, stream: int, seconds: float = 30.0) -> Result | Refuse:
        def whole() -> bool:
            end = self.end_of(stream)
            if isinstance(end, Result):
                return all((stream, slot) in self.complete for slot, out in enumerate(end.outputs) if out.body.packed)
            return end is not None

        await until(lambda: whole() or self.lost, f"the end of job {stream}", seconds)
        end = self.end_of(stream)
        assert end is not None, self.lost
        return end

    async def do(self, job: Job, packed: bytes) -> Result | Refuse:
        stream = self.begin(job, packed)
        if not job.eager:
            await until(lambda: self.said.get(stream), "it is asked for")
            if isinstance(self.said[stream][0], Need):
                self.link.send(Supply(blobs=(job.source,)), stream, [packed])
        return await self.ended(stream)

    def output(self, stream: int) -> bytes:
        end = self.end_of(stream)
        assert isinstance(end, Result)
        body = end.outputs[0].body
        return codecs.unpack(body.codec, self.bodies.get((stream, 0), b""), body.raw)

    async def started(self, stream: int) -> None:
        await until(lambda: any(isinstance(m, Started) for m in self.said.get(stream, [])), f"job {stream} runs")

    def loads(self) -> list[Load]:
        return [message for message in self.said.get(0, []) if isinstance(message, Load)]


class Shop:
    """One worker, its port, and a way in."""

    def __init__(self, worker: Worker, port: int) -> None:
        self.worker = worker
        self.port = port
        self.clients: list[Client] = []

    async def client(self, agent: str = HELLO.agent, features: tuple[str, ...] = HELLO.features) -> Client:
        client = Client(agent, features)
        self.clients.append(client)
        await asyncio.get_running_loop().create_connection(lambda: client.link, "127.0.0.1", self.port)
        await until(lambda: client.said.get(0) or client.lost, "a greeting")
        return client

    async def socket(self) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        return sock

    @property
    def quiet(self) -> bool:
        counts = self.worker.admission.counts
        self.worker.admission.check()
        return counts.running == counts.queued == 0 and not os.listdir(self.worker.settings.workspace)


@asynccontextmanager
async def shop(
    workspace: Path,
    *,
    slots: int = 2,
    limits: Limits | None = None,
    compilers: Sequence[str] = ("/usr/bin/gcc",),
    polite: bool = False,
) -> AsyncIterator[Shop]:
    settings = Settings(
        id="0123456789abcdef",
        name="w",
        slots=slots,
        workspace=workspace,
        limits=limits or Limits(seconds=60),
        allow=(),
        deny=(),
        machine="test",
        env=ENV,
        polite=polite,
    )
    blobs = BlobStore(workspace.parent / f"{workspace.name}-sources", 1 << 30)
    worker = Worker(settings, Sources(blobs, TreeStore(blobs)))
    worker.set_compilers([compiler(path) for path in compilers])
    (sock,) = bind(0, ["127.0.0.1"], any_port_will_do=False)
    server = await asyncio.get_running_loop().create_server(lambda: Doorman(worker), sock=sock)
    place = Shop(worker, sock.getsockname()[1])
    try:
        yield place
        for client in place.clients:
            client.link.lose(InfraError("the test is over"))
        await until(lambda: place.quiet and not worker.sessions, "the worker is quiet and empty")
    finally:
        server.close()
        worker.stop()
        for client in place.clients:
            client.link.lose(InfraError("the test is over"))
        await server.wait_closed()
        await pass_time(0)
        blobs.close()

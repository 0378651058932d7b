"""Two driven connections over a real socket."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.aio import pass_time, run, until
from tests.wire.test_connection import GREETING, HELLO, job_of
from zdistcc.errors import InfraError
from zdistcc.net.drive import Link, LinkLost, Watch
from zdistcc.wire import frames, messages
from zdistcc.wire.connection import ChunkReceived, Connection, Role
from zdistcc.wire.messages import Message


class Ear:
    """Writes down what it hears."""

    def __init__(self, role: Role, on_said: Callable[[int, Message], None] = lambda stream, message: None) -> None:
        self.link = Link(Connection(role), self)
        self.said: list[Message] = []
        self.size = 0
        self.lost: list[InfraError] = []
        self._on_said = on_said

    def on_said(self, stream: int, message: Message) -> None:
        self.said.append(message)
        self._on_said(stream, message)

    def on_chunk(self, chunk: ChunkReceived) -> None:
        self.size += len(chunk.data)

    def on_lost(self, cause: InfraError) -> None:
        self.lost.append(cause)


@asynccontextmanager
async def pair(greet: bool = True, **options: Any) -> AsyncIterator[tuple[Ear, Ear]]:
    """An agent's and a worker's end, connected."""
    loop = asyncio.get_running_loop()
    agent, worker = Ear(Role.AGENT), Ear(Role.WORKER, **options)
    left, right = socket.socketpair()
    await loop.create_connection(lambda: agent.link, sock=left)
    await loop.create_connection(lambda: worker.link, sock=right)
    try:
        if greet:
            agent.link.send(HELLO)
            worker.link.send(GREETING)
            await until(lambda: agent.said and worker.said, "both greeted")
        yield agent, worker
    finally:
        agent.link.lose(InfraError("over"))
        worker.link.lose(InfraError("over"))
        await pass_time(0)


@asynccontextmanager
async def raw(role: Role, **options: Any) -> AsyncIterator[tuple[Ear, socket.socket]]:
    """One end, and the bare socket of the other."""
    loop = asyncio.get_running_loop()
    ear = Ear(role, **options)
    left, right = socket.socketpair()
    right.setblocking(False)
    await loop.create_connection(lambda: ear.link, sock=left)
    try:
        yield ear, right
    finally:
        right.close()
        ear.link.lose(InfraError("over"))
        await pass_time(0)


def wire_of(*said: tuple[Message, int]) -> bytes:
    core = Connection(Role.AGENT)
    core.send(HELLO)
    for message, stream in said:
        if stream:
            core.open_stream()
        core.send(message, stream, [b"x"] if isinstance(message, messages.Job) else [])
    return core.data_to_send()


def test_a_large_body_crosses_and_close_waits_for_it() -> None:
    async def main() -> None:
        async with pair() as (agent, worker):
            text = os.urandom(8_000_000)
            job, bodies = job_of(text)
            agent.link.send(job, agent.link.connection.open_stream(), bodies)
            agent.link.flush()
            agent.link.close()
            await until(lambda: worker.lost, "the worker sees the end")
            assert worker.size == len(bodies[0])
            assert worker.link.bytes_received == agent.link.bytes_sent
            assert len(agent.lost) == 1

    run(main())


def test_a_handler_that_fails_loses_the_link_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    def fail(stream: int, message: Message) -> None:
        if stream:
            raise ZeroDivisionError("a bug")

    async def main() -> None:
        async with pair(on_said=fail) as (agent, worker):
            job, bodies = job_of(b"x")
            agent.link.send(job, agent.link.connection.open_stream(), bodies)
            await until(lambda: worker.lost and agent.lost, "both know")
            assert len(worker.lost) == 1

    run(main())
    assert any("a bug" in str(record.exc_info) for record in caplog.records)


def test_an_answer_to_what_came_before_garbage_is_dropped() -> None:
    def refuse(stream: int, message: Message) -> None:
        if stream:
            links[0].send(messages.Refuse(code=messages.RefusalCode.BUSY, sentence="no"), stream)
        else:
            links[0].send(GREETING)

    links: list[Link] = []

    async def main() -> None:
        async with raw(Role.WORKER, on_said=refuse) as (worker, sock):
            links.append(worker.link)
            garbage = frames.encode_header(frames.FrameKind.MESSAGE, 0, 0, 3) + b"\1\2\3"
            sock.send(wire_of((job_of(b"x")[0], 1)) + garbage)
            await until(lambda: worker.lost, "the link is lost")
            assert len(worker.said) == 2 and "not a message" in str(worker.lost[0])

    run(main())


def test_losing_it_from_within_is_told_once() -> None:
    def lose(stream: int, message: Message) -> None:
        links[0].lose(InfraError("enough"))

    links: list[Link] = []

    async def main() -> None:
        async with raw(Role.WORKER, on_said=lose) as (worker, sock):
            links.append(worker.link)
            sock.send(wire_of((messages.Goodbye(), 0), (messages.Goodbye(), 0)))
            await until(lambda: worker.lost, "the link is lost")
            assert len(worker.said) == 1, "nothing follows the end"
            assert [str(cause) for cause in worker.lost] == ["enough"]
            worker.link.send(GREETING)

    run(main())


def test_a_mute_peer_is_lost_and_a_live_one_is_not() -> None:
    watch = Watch(ping_s=0.02, silence_s=0.2)

    async def main() -> None:
        async with raw(Role.AGENT) as (agent, _), pair() as (alive, _other):
            agent.link.send(HELLO)
            agent.link.watch(watch)
            alive.link.watch(watch)
            await until(lambda: agent.lost, "silence is noticed")
            assert isinstance(agent.lost[0], LinkLost) and not alive.lost
            assert alive.link.round_trip_s is not None and alive.link.round_trip_s < 1

    run(main())


def test_a_peer_that_takes_what_it_is_sent_is_not_silent() -> None:
    """Its network is slow, and our pings wait behind a large body; it has nothing to say yet."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with raw(Role.AGENT) as (agent, sock):
            agent.link.send(HELLO)
            job, bodies = job_of(os.urandom(1 << 20))
            agent.link.send(job, agent.link.connection.open_stream(), bodies)
            agent.link.flush()
            agent.link.watch(Watch(ping_s=0.05, silence_s=0.2))
            begun = loop.time()
            while loop.time() - begun < 1 and not agent.lost:
                await loop.sock_recv(sock, 4096)
                await pass_time(0.01)
            assert not agent.lost
            await until(lambda: agent.lost, "it takes nothing any more", 2)

    run(main())


def test_our_own_standstill_is_not_the_peer_s_silence() -> None:
    """A laptop that wakes up, a stopped process: the peer had no ping to answer."""

    async def main() -> None:
        async with pair() as (agent, worker):
            agent.link.watch(Watch(ping_s=0.1, silence_s=0.2))
            await until(lambda: agent.link.round_trip_s, "a ping was answered")
            time.sleep(0.5)
            await pass_time(0.3)
            assert not agent.lost and not worker.lost

    run(main())


def test_a_peer_that_asks_and_never_reads_costs_little() -> None:
    async def main() -> None:
        async with raw(Role.WORKER) as (worker, sock):
            worker.link.send(GREETING)
            ping = messages.encode(messages.Ping(token=1))
            flood = (frames.encode_header(frames.FrameKind.MESSAGE, 0, 0, len(ping)) + ping) * 2000
            sock.send(wire_of())
            loop = asyncio.get_running_loop()
            for _ in range(100):
                await loop.sock_sendall(sock, flood)
            assert len(worker.link.connection.data_to_send(0)) < 1 << 20

    run(main())


def test_a_peer_that_reads_nothing_of_what_it_is_told_is_lost() -> None:
    async def main() -> None:
        async with raw(Role.WORKER) as (worker, sock):
            worker.link.send(GREETING)
            sock.send(wire_of())
            await until(lambda: worker.said, "greeted")
            for _ in range(20_000):
                worker.link.send(messages.Goodbye(why="x" * 1000))
            assert worker.lost

    run(main())

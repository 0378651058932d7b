"""The agent's socket: launchers come, wait, go and say nonsense."""

from __future__ import annotations

import array
import asyncio
import json
import os
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.agent.fakes import dispatcher
from tests.aio import pass_time, run, until
from zdistcc.agent import control as agent_control
from zdistcc.agent.control import Door, Visitor
from zdistcc.agent.dispatch import Dispatcher
from zdistcc.agent.job import Done, Failed, Here, Outcome
from zdistcc.errors import ExitCode, Reason
from zdistcc.wire import control
from zdistcc.wire.control import LaunchRequest, Reply, ReplyKind, ReplyReader

REQUEST = control.encode_request(cwd=b"/", compiler=b"/usr/bin/gcc", argv=[b"gcc", b"-c", b"x.c"], env={b"A": b"1"})


class Office:
    """A door, and what happens behind it."""

    def __init__(self, path: Path, dispatch: Dispatcher) -> None:
        self.path = str(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(1024)
        self.dispatch = dispatch
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.requests: list[LaunchRequest] = []
        self.cancelled = 0
        self.idle = 0
        self.door = Door(
            self.listener, launch=self.launch, keep_slot=self.keep_slot, admin=self.admin, idle=self.went_idle
        )

    def went_idle(self) -> None:
        self.idle += 1

    async def launch(self, request: LaunchRequest, visitor: Visitor) -> Outcome:
        self.requests.append(request)
        try:
            return await asyncio.shield(self.outcome)
        except asyncio.CancelledError:
            self.cancelled += 1
            assert not visitor.still_there()
            raise

    async def keep_slot(self, visitor: Visitor) -> None:
        ticket = await self.dispatch.local(urgent=False)
        visitor.on_end = lambda: self.dispatch.release(ticket)

    async def admin(self, body: bytes) -> bytes:
        return json.dumps({"got": json.loads(body)}).encode()

    @property
    def slots_taken(self) -> int:
        return self.dispatch.snapshot().local_running


@asynccontextmanager
async def office(path: Path) -> AsyncIterator[Office]:
    async with dispatcher(local_slots=2) as dispatch:
        made = Office(path / "s", dispatch)
        try:
            yield made
        finally:
            if made.listener.fileno() >= 0:
                made.door.close()
            if not made.outcome.done():
                made.outcome.cancel()
            await pass_time(0)


async def call(place: Office, said: bytes = REQUEST) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    sock.connect(place.path)
    if said:
        await asyncio.get_running_loop().sock_sendall(sock, said)
    return sock


async def replies(sock: socket.socket, *, last: bool = True) -> list[Reply]:
    reader, found = ReplyReader(), []
    while not found or (last and found[-1].kind is ReplyKind.WAIT):
        data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 1 << 20), 5)
        if not data:
            break
        found += reader.receive_data(data)
    return found


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_an_answer_in_full(tmp_path: Path, piece: int) -> None:
    async def main() -> None:
        async with office(tmp_path) as place:
            with await call(place, b"") as sock:
                for start in range(0, len(REQUEST), piece):
                    await asyncio.get_running_loop().sock_sendall(sock, REQUEST[start : start + piece])
                await until(lambda: place.requests, "the request is read")
                place.outcome.set_result(Done(status=256, stdout=b"o" * 3_000_000, stderr=b"e"))
                (reply,) = await replies(sock)
                assert (reply.kind, reply.status, len(reply.stdout), reply.stderr) == (
                    ReplyKind.DONE,
                    256,
                    3_000_000,
                    b"e",
                )
            await until(lambda: place.idle, "nobody is left")

    run(main())


def test_a_failure_carries_its_words(tmp_path: Path) -> None:
    async def main() -> None:
        async with office(tmp_path) as place:
            place.outcome.set_result(Failed(code=ExitCode.NO_HOSTS, message="no worker"))
            with await call(place) as sock:
                (reply,) = await replies(sock)
                assert (reply.kind, reply.status, reply.stderr) == (ReplyKind.FAIL, 116, b"zdistcc: no worker\n")

    run(main())


def test_a_launcher_that_is_gone_cancels_its_job(tmp_path: Path) -> None:
    async def main() -> None:
        async with office(tmp_path) as place:
            sock = await call(place)
            await until(lambda: place.requests, "the request is read")
            sock.close()
            await until(lambda: place.cancelled == 1 and place.idle, "the job is cancelled")

    run(main())


def test_local_slots_are_given_in_turn_and_end_with_their_sockets(tmp_path: Path) -> None:
    async def main() -> None:
        async with office(tmp_path) as place:
            place.outcome.set_result(Here(reason=Reason.LINK))
            socks = [await call(place) for _ in range(4)]
            assert [r.kind for sock in socks[:2] for r in await replies(sock)] == [ReplyKind.RUN] * 2
            assert place.slots_taken == 2
            socks[2].close()  # while it waits
            socks[0].close()
            assert (await replies(socks[3]))[0].kind is ReplyKind.RUN
            socks[1].close()
            socks[3].close()
            await until(lambda: place.slots_taken == 0 and not place.door.visitors, "every slot is back")

    run(main())


def test_a_launcher_that_dies_at_any_moment_keeps_no_slot(tmp_path: Path) -> None:
    async def main() -> None:
        async with office(tmp_path) as place:
            place.outcome.set_result(Here(reason=Reason.LINK))
            for turns in range(12):
                sock = await call(place)
                for _ in range(turns):
                    await asyncio.sleep(0)
                sock.close()
            await until(lambda: place.slots_taken == 0 and not place.door.visitors, "every slot is back")

    run(main())


def test_descriptors_that_come_along_are_closed_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with office(tmp_path) as place:
            before = len(os.listdir("/proc/self/fd"))
            socks = []
            for _ in range(50):
                sock = await call(place, b"")
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))
                sock.sendmsg([REQUEST], [rights])
                socks.append(sock)
            await until(lambda: len(place.requests) == 50, "all have been read")
            assert len(os.listdir("/proc/self/fd")) == before + 2 * 50, "two ends of each socket"
            for sock in socks:
                sock.close()

    run(main())


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"ZDL1" + b"\xff" * 40,
        REQUEST + b"x",
        b"ZDA1\0\0\0\0",
        REQUEST.replace(b"/usr", b"x/us"),
    ],
    ids=["http", "length", "more", "empty", "relative"],
)
def test_nonsense_is_hung_up_on(tmp_path: Path, said: bytes) -> None:
    async def main() -> None:
        async with office(tmp_path) as place:
            with await call(place, said) as sock:
                assert await replies(sock) == []
            assert place.door.visitors == 0

    run(main())


def test_a_heartbeat_while_it_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "HEARTBEAT_S", 0.05)

    async def main() -> None:
        async with office(tmp_path) as place:
            with await call(place) as sock:
                assert (await replies(sock, last=False))[0].kind is ReplyKind.WAIT
                place.outcome.set_result(Done(status=0, stdout=b"", stderr=b""))
                assert (await replies(sock))[-1].kind is ReplyKind.DONE

    run(main())


def test_questions(tmp_path: Path) -> None:
    async def main() -> None:
        async with office(tmp_path) as place:
            with await call(place, control.encode_admin(b'{"ask": 1}')) as sock:
                (reply,) = await replies(sock)
                assert json.loads(reply.stdout) == {"got": {"ask": 1}}
            with await call(place, control.encode_admin(b"this is a bug to the one who answers")) as sock:
                assert await replies(sock) == [], "the question is hung up on, not left waiting"

    run(main())


def test_a_bug_in_a_job_lets_the_compiler_run(tmp_path: Path) -> None:
    async def main() -> None:
        async with office(tmp_path) as place:
            place.outcome.set_exception(ZeroDivisionError("a bug"))
            with await call(place) as sock:
                assert (await replies(sock))[0].kind is ReplyKind.RUN

    run(main())


def test_want_of_descriptors_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make -j500` against a limit of 1024: those who cannot be let in now are let in later."""
    monkeypatch.setattr(agent_control, "ACCEPT_PAUSE_S", 0.02)

    async def main() -> None:
        async with office(tmp_path) as place:
            socks = [await call(place) for _ in range(20)]
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest_free = os.dup(0)
            os.close(lowest_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
            try:
                await pass_time(0.1)
                assert place.door.visitors < 20
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await until(lambda: place.door.visitors == 20, "all are in")
            for sock in socks:
                sock.close()

    run(main())


def test_closing_the_door_hangs_up_on_all(tmp_path: Path) -> None:
    async def main() -> None:
        async with office(tmp_path) as place:
            with await call(place) as sock:
                await until(lambda: place.requests, "the request is read")
                place.door.close()
                assert await replies(sock) == []
                await until(lambda: place.cancelled == 1, "its job is cancelled")
                with socket.socket(socket.AF_UNIX) as late, pytest.raises(ConnectionRefusedError):
                    late.connect(place.path)

    run(main())

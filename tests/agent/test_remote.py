"""The agent's end of a connection, against workers that follow a script, and lie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.agent.fakes import FakeVisit, FakeWorker, Script, fake_worker, greeting
from tests.aio import pass_time, run, until
from tests.wire.test_connection import job_of, result_of
from zdistcc.agent.remote import Answer, NotServed, Refused, Remote, tame
from zdistcc.errors import InfraError
from zdistcc.wire import frames, messages
from zdistcc.wire.frames import FrameKind
from zdistcc.wire.messages import Body, Denied, Job, Message, Need, Output, RefusalCode, Refuse, Result, Supply


@asynccontextmanager
async def connected(script: Script | None, first: Message | None = None) -> AsyncIterator[tuple[Remote, FakeWorker]]:
    async with fake_worker(first, script) as worker:
        gone: list[InfraError] = []
        remote = Remote("agent", lambda message: None, gone.append)
        await asyncio.get_running_loop().create_connection(lambda: remote.link, "127.0.0.1", worker.port)
        try:
            if first is None:
                await remote.greeted
            yield remote, worker
        finally:
            remote.link.lose(InfraError("over"))
            assert len(gone) == 1, "the end is told once"
            assert not remote._pending
            await pass_time(0)


def on_job(answer: Callable[[FakeVisit, int], None]) -> Script:
    def script(visit: FakeVisit, stream: int, message: Message) -> None:
        if isinstance(message, Job):
            answer(visit, stream)

    return script


def compile_with(answer: Callable[[FakeVisit, int], None], *, eager: bool = True) -> Answer:
    async def main() -> Answer:
        async with connected(on_job(answer)) as (remote, _):
            job, bodies = job_of(b"text", eager=eager)
            return await asyncio.wait_for(remote.compile_text(job, (bodies or [b"text"])[0]), 5)

    return run(main())


def test_a_result_comes_back() -> None:
    result, bodies = result_of(b"object" * 100, b"")
    answer = compile_with(lambda visit, stream: visit.link.send(result, stream, bodies))
    assert answer.outputs == (b"object" * 100, b"") and answer.result == result


def test_refusals_say_why_and_do_not_act_on_a_terminal() -> None:
    refusal = Refuse(code=RefusalCode.BUSY, sentence="no\x1b[2J", remedy="later\n")
    with pytest.raises(Refused) as caught:
        compile_with(lambda visit, stream: visit.link.send(refusal, stream))
    assert caught.value.refusal.code is RefusalCode.BUSY
    assert (caught.value.refusal.sentence, caught.value.refusal.remedy) == ("no?[2J", "later?")


@pytest.mark.parametrize(
    ("result", "bodies"),
    [
        (Result(status=1 << 40), []),
        (Result(status=0, outputs=(Output(kind="object", body=Body(raw=9, packed=3)),)), [b"abc"]),
        (Result(status=0, outputs=(Output(kind="object", body=Body(raw=3, packed=3, codec=1)),)), [b"abc"]),
        (Result(status=0, outputs=(Output(kind="object", body=Body(raw=3, packed=3, codec=77)),)), [b"abc"]),
        (Result(status=0, outputs=(Output(kind="object", body=Body(raw=3, packed=0)),)), [b""]),
    ],
    ids=["status", "size", "codec", "unknown codec", "nothing"],
)
def test_lies_about_a_result_are_the_worker_s_fault(result: Result, bodies: list[bytes]) -> None:
    with pytest.raises(InfraError) as caught:
        compile_with(lambda visit, stream: visit.link.send(result, stream, bodies))
    assert not isinstance(caught.value, Refused)


@pytest.mark.parametrize("eager", [True, False])
def test_asking_for_what_was_not_offered_or_twice(eager: bool) -> None:
    job, _ = job_of(b"text")

    def other(visit: FakeVisit, stream: int) -> None:
        visit.link.send(Need(digests=(b"x" * 32,)), stream)

    def twice(visit: FakeVisit, stream: int) -> None:
        for _ in range(2):
            visit.link.send(Need(digests=(job.source.digest,)), stream)

    for lie in (other, twice):
        with pytest.raises(InfraError, match="asked for"):
            compile_with(lie, eager=eager)


def test_bytes_that_are_no_protocol_end_every_job() -> None:
    with pytest.raises(InfraError):
        compile_with(lambda visit, stream: visit.raw(b"\xff" * 100))


def test_a_worker_that_vanishes_ends_every_job() -> None:
    async def main() -> None:
        async with connected(None) as (remote, worker):
            job, bodies = job_of(b"text")
            tasks = [asyncio.ensure_future(remote.compile_text(job, bodies[0])) for _ in range(5)]
            await until(lambda: len(worker.visits[0].heard_of(Job)) == 5, "all have come")
            worker.visits[0].link.lose(InfraError("unplugged"))
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(end, InfraError) and not isinstance(end, Refused) for end in ends)
            with pytest.raises(InfraError):
                await remote.compile_text(job, bodies[0])

    run(main())


def test_a_cancelled_job_is_cancelled_there_and_its_late_result_ignored() -> None:
    async def main() -> None:
        late: list[Callable[[], None]] = []
        result, bodies = result_of(b"o" * 300_000)
        script = on_job(lambda visit, stream: late.append(lambda: visit.link.send(result, stream, bodies)))
        async with connected(script) as (remote, worker):
            job, texts = job_of(b"text")
            task = asyncio.ensure_future(remote.compile_text(job, texts[0]))
            await until(lambda: late, "the job has come")
            task.cancel()
            late[0]()
            await asyncio.wait([task])
            assert task.cancelled()
            await until(lambda: worker.visits[0].link.connection.open_streams == 0, "both know that it is over")
            assert not remote.link.lost

    run(main())


@pytest.mark.parametrize("answer", ["result", "refusal", "loss"])
def test_a_cancellation_that_crosses_the_end_is_a_cancellation(answer: str) -> None:
    """The end has been heard, its task has not run yet: the job must not go on as somebody else's."""

    async def main() -> None:
        async with connected(None) as (remote, worker):
            job, texts = job_of(b"text")
            task = asyncio.ensure_future(remote.compile_text(job, texts[0]))
            await until(lambda: worker.visits[0].heard_of(Job), "the job has come")
            (stream,) = remote._pending
            core = worker.visits[0].link.connection
            if answer == "result":
                core.send(Result(status=0), stream)
            elif answer == "refusal":
                core.send(Refuse(code=RefusalCode.BUSY, sentence="no"), stream)
            else:
                remote.link.lose(InfraError("gone"))
            remote.link.data_received(core.data_to_send())
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert remote.link.lost is (answer == "loss")

    run(main())


def test_a_job_too_large_to_be_told_is_nobody_s_fault() -> None:
    async def main() -> None:
        async with connected(None) as (remote, _):
            job, texts = job_of(b"text")
            for args in ((b"-D" + b"x" * 200_000,), (b"-O2",) * 20_000, (b"x" * 100_000,) * 50):
                with pytest.raises(Refused) as caught:
                    await remote.compile_text(messages.msgspec.structs.replace(job, args=args), texts[0])
                assert caught.value.refusal.code is RefusalCode.ARGUMENTS
            assert not remote.link.lost

    run(main())


def test_not_served() -> None:
    async def main() -> None:
        async with connected(None, Denied(sentence="no\x1b[2J", remedy="go")) as (remote, _):
            with pytest.raises(NotServed) as caught:
                await asyncio.wait_for(remote.greeted, 5)
            assert str(caught.value) == "no?[2J; go"
            await until(lambda: remote.link.lost, "the connection is closed")

    run(main())


def test_a_second_greeting_ends_the_connection() -> None:
    async def main() -> None:
        async with connected(None) as (remote, worker):
            payload = messages.encode(greeting())
            worker.visits[0].raw(frames.encode_header(FrameKind.MESSAGE, 0, 0, len(payload)) + payload)
            await until(lambda: remote.link.lost, "the connection is closed")

    run(main())


def test_supply_follows_need() -> None:
    result, bodies = result_of(b"object")

    def script(visit: FakeVisit, stream: int, message: Message) -> None:
        match message:
            case Job():
                visit.link.send(Need(digests=(message.source.digest,)), stream)
            case Supply():
                visit.link.send(messages.Started(), stream)
        if isinstance(message, Supply):
            asyncio.get_running_loop().call_later(0.01, visit.link.send, result, stream, bodies)

    async def main() -> None:
        async with connected(script) as (remote, _):
            job, _ = job_of(b"text", eager=False)
            assert (await remote.compile_text(job, b"text")).outputs == (b"object",)

    run(main())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"x.c:1:1: warning: plain\n\tcaret ^\r\n", None),
        (b"\x1b[01m\x1b[Kx.c\x1b[m\x1b[K \x1b[0;1;35mwarning\x1b[0m \x1b[38;5;1m", None),
        ("über 日本語 Â".encode(), None),
        (b"\x1b[2J\x1b]0;title\x07\x1bc", b"?[2J?]0;title??c"),
        (b"a\x00b\x7fc\x08\xc2\x9b2J", b"a?b?c??2J"),
    ],
)
def test_what_a_compiler_says_keeps_its_colours_and_nothing_else(text: bytes, shown: bytes | None) -> None:
    assert tame(text) == (text if shown is None else shown)

"""A session told things in the order, and in the turns of the loop, in which bytes bring them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import cast

from zdistcc.children import Ended
from zdistcc.net.drive import Link, Watch
from zdistcc.toolchain.identity import CompilerId, Family, Offer
from zdistcc.wire import codecs
from zdistcc.wire.connection import ChunkReceived
from zdistcc.wire.messages import Blob, Body, Greeting, Hello, Job, Message, Result, Stage
from zdistcc.worker.admission import JobKey
from zdistcc.worker.execute import Made
from zdistcc.worker.session import Session
from zdistcc.worker.sources import Sources
from zdistcc.worker.vet import Order

GCC = CompilerId(family=Family.GCC, version="12.2.0", target="x86_64-linux-gnu", build_id="a" * 32)
TEXT = b"int f(void) { return 1; }\n"


class Line:
    """A link that keeps what is said."""

    lost = False

    def __init__(self) -> None:
        self.said: asyncio.Queue[Message] = asyncio.Queue()

    def send(self, message: Message, stream: int = 0, bodies: Sequence[bytes] = ()) -> None:
        self.said.put_nowait(message)

    def watch(self, watch: Watch) -> None:
        pass


class Host:
    """A worker that compiles text by returning it."""

    sources: Sources

    def welcome(self) -> Sequence[Message]:
        return [Greeting(version="1", id="w", name="w", slots=1, compilers=())]

    def offers(self) -> Sequence[Offer]:
        return [Offer(id=GCC, languages=frozenset({"c"}))]

    def admit(self, job: JobKey, session: Session) -> str | None:
        return None

    async def run_text(self, job: JobKey, order: Order, text: bytes, started: Callable[[], None]) -> Made:
        ended = Ended(status=0, stdout=text, stderr=b"", cpu_s=0.0, wall_s=0.0)
        return Made(ended=ended, outputs=(("object", text),))

    async def run_tree(self, *_: object) -> Made:
        raise AssertionError("no tree is sent")

    def came_back(self, session: Session, agent: str) -> None:
        """There is one session only."""

    def leave(self, job: JobKey) -> None:
        pass


def job(packed: bytes, codec: int) -> Job:
    body = Body(raw=len(TEXT), packed=len(packed), codec=codec)
    return Job(
        compiler=GCC.build_id,
        target=GCC.target,
        language="cpp-output",
        stage=Stage.OBJECT,
        args=(b"-O2",),
        name=b"f.c",
        cwd=b"/src",
        source=Blob(digest=hashlib.sha256(TEXT).digest(), body=body),
        eager=True,
    )


async def told_in_one_turn() -> Message:
    session, line = Session(Host(), 1), Line()
    session.attach(cast(Link, line))
    session.on_said(0, Hello(version="1", name="client", agent="a"))
    assert isinstance(await line.said.get(), Greeting)
    codec, packed = codecs.pack(TEXT)
    session.on_said(1, job(packed, codec))
    session.on_chunk(ChunkReceived(stream=1, slot=0, data=packed, last=True))
    async with asyncio.timeout(5):
        return await line.said.get()


def test_text_that_comes_with_its_job_is_taken() -> None:
    answer = asyncio.run(told_in_one_turn())
    assert isinstance(answer, Result), answer
    assert answer.stdout == TEXT

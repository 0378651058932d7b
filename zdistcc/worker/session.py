"""One client's connection: its jobs from request to answer.

A job's life: vetted, admitted, its text received (asked for, unless it came along) and verified, run when a
slot is free, answered.  Every path ends in exactly one ``Result`` or ``Refuse``, unless the client cancels or
goes: then its compilers are killed.

Must not know: who else is connected (server.py), which sockets there are.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from zdistcc.errors import InfraError, RemoteProtocolError
from zdistcc.net.drive import Link
from zdistcc.toolchain.identity import Offer
from zdistcc.wire import codecs
from zdistcc.wire.connection import ChunkReceived
from zdistcc.wire.messages import (
    Blob,
    Body,
    Cancel,
    Goodbye,
    Hello,
    Job,
    Message,
    Need,
    Output,
    RefusalCode,
    Refuse,
    Result,
    Started,
    Supply,
    sentence,
)
from zdistcc.worker.admission import JobKey
from zdistcc.worker.execute import Exceeded, Made
from zdistcc.worker.vet import Order, examine

HELLO_TIMEOUT_S: Final = 5.0
TEXT_TIMEOUT_S: Final = 60.0
"""How long an admitted job may wait for its text before its place is given to another."""
MAX_TEXT_BYTES: Final = 256 << 20
"""A text is held in memory, and the queue holds several; the largest known to preprocess is a fifth of this."""
_log = logging.getLogger("zdistcc.worker")


class Host(Protocol):
    """What a session needs of the worker."""

    def welcome(self) -> Sequence[Message]:
        """Return what to say first, the greeting before all else."""

    def offers(self) -> Sequence[Offer]:
        """Return the compilers there are now."""

    def admit(self, job: JobKey, session: Session) -> str | None:
        """Return ``None`` when the job may stay, else why not; ``draining`` among the whys."""

    async def run(self, job: JobKey, order: Order, text: bytes, started: asyncio.Event) -> Made:
        """Run ``order`` when a slot is free; ``started`` is set when it gets one."""

    def leave(self, job: JobKey) -> None:
        """The job is over."""


@dataclass(slots=True)
class _Job:
    message: Job
    order: Order
    born: float
    text: asyncio.Future[bytes]
    parts: list[bytes] = field(default_factory=list)
    body: Body | None = None
    task: asyncio.Task[None] | None = None


class Session:
    """The worker's end of one connection; a ``net.drive.Handler``."""

    def __init__(self, host: Host, number: int) -> None:
        self.host = host
        self.number = number
        self.client = "?"
        self.link: Link | None = None
        self._jobs: dict[int, _Job] = {}
        self._greeted = False
        self._loop = asyncio.get_running_loop()
        self._hello_timer = self._loop.call_later(HELLO_TIMEOUT_S, self._no_hello)

    def attach(self, link: Link) -> None:
        """Take the link that this session answers on."""
        self.link = link

    @property
    def jobs(self) -> int:
        """How many jobs of this client are under way."""
        return len(self._jobs)

    def say(self, message: Message) -> None:
        """Say something about the worker as a whole (once the client has been greeted)."""
        if self._greeted:
            self._send(message)

    # --- net.drive.Handler ----------------------------------------------------------------------

    def on_said(self, stream: int, message: Message) -> None:
        """Dispatch a message."""
        match message:
            case Hello():
                self._hello_timer.cancel()
                self.client = message.name
                self._greeted = True
                for first in self.host.welcome():
                    self._send(first)
                _log.info(
                    "client connected session=%d client=%r version=%r", self.number, message.name, message.version
                )
            case Job():
                self._begin(stream, message)
            case Supply():
                self._supply(stream, message)
            case Cancel():
                self._cancel(stream)
            case Goodbye():
                pass
            case _:
                raise AssertionError(f"the connection let {type(message).__name__} pass")

    def on_chunk(self, chunk: ChunkReceived) -> None:
        """Collect a text."""
        job = self._jobs.get(chunk.stream)
        if job is not None and job.body is not None:
            job.parts.append(chunk.data)
            if chunk.last:
                self._text_arrived(job)

    def on_lost(self, cause: InfraError) -> None:
        """The client went: nobody waits for its jobs."""
        self._hello_timer.cancel()
        _log.info("client left session=%d client=%r jobs=%d cause=%s", self.number, self.client, len(self._jobs), cause)
        for stream in list(self._jobs):
            self._cancel(stream)

    # --- a job ----------------------------------------------------------------------------------

    def _begin(self, stream: int, message: Job) -> None:
        examined = examine(message, self.host.offers())
        if isinstance(examined, Refuse):
            self._refuse(stream, examined)
            return
        size = message.source.body.raw
        if size > MAX_TEXT_BYTES:
            why = f"a text of {size} bytes exceeds {MAX_TEXT_BYTES}"
            self._refuse(stream, Refuse(code=RefusalCode.TOO_LARGE, sentence=why, remedy="compile it locally"))
            return
        why_not = self.host.admit((self.number, stream), self)
        if why_not is not None:
            code = RefusalCode.DRAINING if why_not == "draining" else RefusalCode.BUSY
            self._refuse(
                stream, Refuse(code=code, sentence=why_not, remedy="another worker, or this one a little later")
            )
            return
        job = _Job(message=message, order=examined, born=time.monotonic(), text=self._loop.create_future())
        self._jobs[stream] = job
        job.task = asyncio.ensure_future(self._work(stream, job))
        job.task.add_done_callback(partial(self._over, stream, job))
        if message.eager:
            job.body = message.source.body
            if not job.body.packed:
                self._text_arrived(job)
        else:
            self._send(Need(digests=(message.source.digest,)), stream)

    def _supply(self, stream: int, message: Supply) -> None:
        job = self._jobs.get(stream)
        if job is None:
            return
        wanted: Blob = job.message.source
        if job.body is not None or len(message.blobs) != 1 or message.blobs[0] != wanted:
            self._refuse(stream, Refuse(code=RefusalCode.INTERNAL, sentence="that content was not asked for"))
            return
        job.body = message.blobs[0].body
        if not job.body.packed:
            self._text_arrived(job)

    def _text_arrived(self, job: _Job) -> None:
        assert job.body is not None
        try:
            text = codecs.unpack(job.body.codec, b"".join(job.parts), job.body.raw)
            if hashlib.sha256(text).digest() != job.message.source.digest:
                raise RemoteProtocolError("the text does not have the digest that was announced")
        except RemoteProtocolError as error:
            if not job.text.done():
                job.text.set_exception(error)
            return
        job.parts.clear()
        if not job.text.done():
            job.text.set_result(text)

    async def _work(self, stream: int, job: _Job) -> None:
        """Carry one job from its text to its answer."""
        key = (self.number, stream)
        fate: Refuse
        try:
            async with asyncio.timeout(TEXT_TIMEOUT_S):
                text = await job.text
            waited = time.monotonic()
            started = asyncio.Event()
            telling = asyncio.ensure_future(self._tell_started(stream, job, started))
            try:
                made = await self.host.run(key, job.order, text, started)
            finally:
                telling.cancel()
            if self._jobs.get(stream) is job:
                self._answer(stream, job, made, waited)
            return
        except TimeoutError:
            fate = Refuse(code=RefusalCode.LIMIT, sentence="the text of the job did not arrive")
        except Exceeded as error:
            remedy = "raise job_seconds, job_memory or job_output"
            fate = Refuse(code=RefusalCode.LIMIT, sentence=sentence(str(error)), remedy=remedy)
        except InfraError as error:
            fate = Refuse(code=RefusalCode.INTERNAL, sentence=sentence(str(error)))
        except Exception:
            _log.exception("a bug: session=%d job=%d could not be done", self.number, stream)
            fate = Refuse(
                code=RefusalCode.INTERNAL, sentence="something unexpected happened; the worker's log says what"
            )
        if self._jobs.get(stream) is job:
            self._refuse(stream, fate)

    def _over(self, stream: int, job: _Job, task: asyncio.Task[None]) -> None:
        """The job's task has ended, possibly before its first step: its place is free."""
        if self._jobs.get(stream) is job:
            del self._jobs[stream]
        if job.text.done() and not job.text.cancelled():
            job.text.exception()  # seen, though nobody waits for the text any more
        self.host.leave((self.number, stream))

    async def _tell_started(self, stream: int, job: _Job, started: asyncio.Event) -> None:
        await started.wait()
        if self._jobs.get(stream) is job:
            self._send(Started(), stream)

    def _answer(self, stream: int, job: _Job, made: Made, waited: float) -> None:
        ended = made.ended
        codec, packed = codecs.pack(made.output)
        outputs = (
            (Output(kind="object", body=Body(raw=len(made.output), packed=len(packed), codec=codec)),)
            if ended.ok
            else ()
        )
        result = Result(
            status=ended.status,
            stdout=ended.stdout[: 1 << 20],
            stderr=ended.stderr,
            outputs=outputs,
            cpu_ms=round(ended.cpu_s * 1000),
            wall_ms=round(ended.wall_s * 1000),
            queue_ms=max(0, round((time.monotonic() - waited - ended.wall_s) * 1000)),
        )
        self._send(result, stream, [packed] if ended.ok else [])
        _log.info(
            "job done session=%d job=%d client=%r file=%r status=%d cpu=%.2f wall=%.2f bytes=%d",
            self.number, stream, self.client, job.message.label, ended.status, ended.cpu_s, ended.wall_s, len(packed),
        )  # fmt: skip

    def _refuse(self, stream: int, refusal: Refuse) -> None:
        _log.info(
            "job refused session=%d job=%d client=%r code=%s %s",
            self.number, stream, self.client, refusal.code.value, refusal.sentence,
        )  # fmt: skip
        job = self._jobs.pop(stream, None)
        self._send(refusal, stream)
        if job is not None and job.task is not None and job.task is not asyncio.current_task():
            job.task.cancel()

    def _cancel(self, stream: int) -> None:
        job = self._jobs.pop(stream, None)
        if job is not None and job.task is not None:
            job.task.cancel()
            if self.link is not None and not self.link.lost:
                self._send(Refuse(code=RefusalCode.CANCELLED, sentence="cancelled"), stream)

    # --- saying ---------------------------------------------------------------------------------

    def _send(self, message: Message, stream: int = 0, bodies: Sequence[bytes] = ()) -> None:
        if self.link is not None:
            self.link.send(message, stream, bodies)

    def _no_hello(self) -> None:
        if self.link is not None:
            self.link.lose(RemoteProtocolError("no greeting came"))

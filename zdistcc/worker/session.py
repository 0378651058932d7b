"""One client's connection: its jobs from request to answer.

A job's life: vetted, admitted, its input brought together (asked for, unless it came along) and verified, run when
a slot is free, answered.  Every path ends in exactly one ``Result`` or ``Refuse``, unless the client cancels or
goes: then its compilers are killed.

Must not know: who else is connected (server.py), which sockets there are.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from zdistcc.discovery.advert import printable
from zdistcc.errors import InfraError, RemoteProtocolError
from zdistcc.net.drive import RESTING, SERVING, WAITING, Link
from zdistcc.store.entries import Directory, Entry, File, Symlink
from zdistcc.store.failures import StoreError, StoreFull
from zdistcc.store.tree import Tree
from zdistcc.toolchain.identity import Offer
from zdistcc.wire import codecs
from zdistcc.wire.connection import ChunkReceived
from zdistcc.wire.messages import (
    Body,
    Cancel,
    DirectoryEntry,
    FileEntry,
    Files,
    Goodbye,
    Hello,
    Job,
    LinkEntry,
    Message,
    Need,
    Output,
    RefusalCode,
    Refuse,
    Result,
    Started,
    Supply,
    TreeJob,
    sentence,
)
from zdistcc.worker.admission import JobKey
from zdistcc.worker.execute import Escaped, Exceeded, Leaked, Made, OutOfMemory, Replaced
from zdistcc.worker.inbox import Inbox
from zdistcc.worker.sources import EntrySet, ForeignHeader, Sources
from zdistcc.worker.vet import Order, TreeOrder, examine, examine_tree

HELLO_TIMEOUT_S: Final = 5.0
CONTENT_TIMEOUT_S: Final = 60.0
"""How long an admitted job may wait for content it asked for before its place is given to another."""
MAX_TEXT_BYTES: Final = 256 << 20
"""A text is held in memory, and the queue holds several; the largest known to preprocess is a fifth of this."""
MAX_ENTRIES: Final = 1 << 20
MAX_SETS: Final = 1 << 17
"""A connection's declared files; an agent that needs more connects anew."""
_log = logging.getLogger("zdistcc.worker")


class NotSupplied(InfraError):
    """The client did not send what its job needs."""


class NoSlot(InfraError):
    """The worker gives its slots back to the machine's owner."""


class Host(Protocol):
    """What a session needs of the worker."""

    sources: Sources

    def welcome(self) -> Sequence[Message]:
        """Return what to say first, the greeting before all else."""

    def offers(self) -> Sequence[Offer]:
        """Return the compilers there are now."""

    def admit(self, job: JobKey, session: Session) -> str | None:
        """Return ``None`` when the job may stay, else why not; ``draining`` among the whys."""

    async def run_text(self, job: JobKey, order: Order, text: bytes, started: Callable[[], None]) -> Made:
        """Compile text when a slot is free; ``started`` is called when there is one."""

    async def run_tree(
        self, job: JobKey, order: TreeOrder, tree: Tree, files: EntrySet, started: Callable[[], None]
    ) -> Made:
        """Compile a source in ``tree`` when a slot is free."""

    def leave(self, job: JobKey) -> None:
        """The job is over."""

    def came_back(self, session: Session, agent: str) -> None:
        """``agent`` has greeted in ``session``; what it has of older ones is most likely dead."""


@dataclass(slots=True)
class _Job:
    label: str
    inbox: Inbox = field(default_factory=Inbox)
    coming: asyncio.Future[dict[bytes, bytes]] | None = None
    task: asyncio.Task[None] | None = None


class Session:
    """The worker's end of one connection; a ``net.drive.Handler``."""

    def __init__(self, host: Host, number: int) -> None:
        self.host = host
        self.number = number
        self.client = "?"
        self.link: Link | None = None
        self.agent = ""
        self._doubted = False
        self._knows_memory = False
        self._jobs: dict[int, _Job] = {}
        self._entries: list[Entry] = []
        self._sets: dict[int, EntrySet] = {}
        self.greeted = False
        self._loop = asyncio.get_running_loop()
        self._hello_timer = self._loop.call_later(HELLO_TIMEOUT_S, self._no_hello)

    def attach(self, link: Link) -> None:
        """Take the link that this session answers on."""
        self.link = link

    @property
    def jobs(self) -> int:
        """How many jobs of this client are under way."""
        return len(self._jobs)

    def doubt(self, agent: str) -> None:
        """``agent`` has another connection: if this one is its too, find out soon whether it is still there."""
        if agent == self.agent and self.link is not None:
            self._doubted = True
            self.link.watch(WAITING)

    def _mind(self) -> None:
        """Mind the client's silence more while it has jobs here: they hold slots."""
        if self.link is not None and not self._doubted:
            self.link.watch(SERVING if self._jobs else RESTING)

    def say(self, message: Message) -> None:
        """Say something about the worker as a whole (once the client has been greeted)."""
        if self.greeted:
            self._send(message)

    # --- net.drive.Handler ----------------------------------------------------------------------

    def on_said(self, stream: int, message: Message) -> None:
        """Dispatch a message."""
        match message:
            case Hello():
                self._hello_timer.cancel()
                self.client, self.agent = printable(message.name), message.agent
                self._knows_memory = "memory" in message.features
                self.greeted = True
                self.host.came_back(self, self.agent)
                for first in self.host.welcome():
                    self._send(first)
                _log.info(
                    "client connected session=%d client=%r version=%r", self.number, message.name, message.version
                )
            case Files():
                self._declare(message)
            case Job():
                self._begin(stream, message, examine(message, self.host.offers()))
            case TreeJob():
                self._begin(stream, message, examine_tree(message, self.host.offers()))
            case Supply():
                job = self._jobs.get(stream)
                if job is not None:
                    job.inbox.announce(message.blobs)
            case Cancel():
                self._cancel(stream)
            case Goodbye():
                pass
            case _:
                raise AssertionError(f"the connection let {type(message).__name__} pass")

    def on_chunk(self, chunk: ChunkReceived) -> None:
        """Collect content."""
        job = self._jobs.get(chunk.stream)
        if job is not None:
            job.inbox.chunk(chunk.slot, chunk.data, chunk.last)

    def on_lost(self, cause: InfraError) -> None:
        """The client went: nobody waits for its jobs."""
        self._hello_timer.cancel()
        _log.info("client left session=%d client=%r jobs=%d cause=%s", self.number, self.client, len(self._jobs), cause)
        for stream in list(self._jobs):
            self._cancel(stream)

    def _declare(self, message: Files) -> None:
        """Take entries and sets that jobs will name; nonsense ends the connection."""
        if len(self._entries) + len(message.entries) > MAX_ENTRIES or len(self._sets) + len(message.sets) > MAX_SETS:
            raise RemoteProtocolError("more files are declared than one connection may")
        self._entries += map(_entry_of, message.entries)
        for each in message.sets:
            try:
                self._sets[each.number] = EntrySet(entries=tuple(map(self._entries.__getitem__, each.members)))
            except IndexError:
                raise RemoteProtocolError("a set of files names one that was not declared") from None

    # --- a job ----------------------------------------------------------------------------------

    def _begin(self, stream: int, message: Job | TreeJob, order: Order | TreeOrder | Refuse) -> None:
        if isinstance(order, Refuse):
            self._refuse(stream, order)
            return
        size = message.source.body.raw if isinstance(message, Job) else 0
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
        job = self._jobs[stream] = _Job(label=printable(message.label, 200))
        self._mind()
        if isinstance(message, TreeJob) and isinstance(order, TreeOrder):
            work = self._work(stream, job, partial(self._make_from_tree, stream, job, message, order))
        else:
            assert isinstance(message, Job) and isinstance(order, Order)
            if message.eager:  # its chunks may be here before the task has run
                job.coming = job.inbox.expect((message.source.digest,))
                job.inbox.announce((message.source,))
            work = self._work(stream, job, partial(self._make_from_text, stream, job, message, order))
        job.task = asyncio.ensure_future(work)
        job.task.add_done_callback(partial(self._over, stream, job))

    async def _make_from_text(self, stream: int, job: _Job, message: Job, order: Order) -> Made:
        digest = message.source.digest
        coming = job.coming
        content = await (self._arrival(coming) if coming is not None else self._fetch(stream, job, (digest,)))
        return await self.host.run_text(
            (self.number, stream), order, content[digest], partial(self._tell_started, stream, job)
        )

    async def _make_from_tree(self, stream: int, job: _Job, message: TreeJob, order: TreeOrder) -> Made:
        files = self._sets.get(message.files)
        if files is None:
            raise RemoteProtocolError("the job names a set of files that was not declared")
        sources = self.host.sources
        with sources.tree(self.agent, message.epoch) as tree:
            await sources.materialise(tree, files, lambda digests: self._fetch(stream, job, digests))
            made = await self.host.run_tree(
                (self.number, stream), order, tree, files, partial(self._tell_started, stream, job)
            )
            sources.believe(tree, files)
        sources.tidy()
        return made

    async def _fetch(self, stream: int, job: _Job, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Ask the client for content."""
        coming = job.inbox.expect(digests)
        self._send(Need(digests=tuple(digests)), stream)
        return await self._arrival(coming)

    @staticmethod
    async def _arrival(coming: asyncio.Future[dict[bytes, bytes]]) -> Mapping[bytes, bytes]:
        try:
            async with asyncio.timeout(CONTENT_TIMEOUT_S):
                return await coming
        except TimeoutError:
            raise NotSupplied("what the job needs did not arrive") from None

    async def _work(self, stream: int, job: _Job, make: Callable[[], Awaitable[Made]]) -> None:
        """Carry one job to its answer."""
        begun = time.monotonic()
        try:
            made = await make()
            if self._jobs.get(stream) is job:
                self._answer(stream, job, made, begun)
            return
        except InfraError as error:
            fate = refusal_for(error, knows_memory=self._knows_memory)
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
        self._mind()
        self.host.leave((self.number, stream))

    def _tell_started(self, stream: int, job: _Job) -> None:
        if self._jobs.get(stream) is job:
            self._send(Started(), stream)

    def _answer(self, stream: int, job: _Job, made: Made, begun: float) -> None:
        ended = made.ended
        packed = [codecs.pack(data) for _, data in made.outputs]
        result = Result(
            status=ended.status,
            stdout=ended.stdout[: 1 << 20],
            stderr=ended.stderr[: 1 << 20],
            outputs=tuple(
                Output(
                    kind=kind,
                    body=Body(raw=len(data), packed=len(wire), codec=codec),
                    digest=hashlib.sha256(data).digest(),
                )
                for (kind, data), (codec, wire) in zip(made.outputs, packed, strict=True)
            ),
            cpu_ms=round(ended.cpu_s * 1000),
            wall_ms=round(ended.wall_s * 1000),
            queue_ms=max(0, round((time.monotonic() - begun - ended.wall_s) * 1000)),
        )
        self._send(result, stream, [wire for _, wire in packed])
        _log.info(
            "job done session=%d job=%d client=%r file=%r status=%d cpu=%.2f wall=%.2f",
            self.number, stream, self.client, job.label, ended.status, ended.cpu_s, ended.wall_s,
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


def _entry_of(told: FileEntry | LinkEntry | DirectoryEntry) -> Entry:
    match told:
        case FileEntry():
            return File(path=told.path, digest=told.digest, mtime_s=told.mtime_s or None, size=told.size)
        case LinkEntry():
            return Symlink(path=told.path, target=told.target)
        case DirectoryEntry():
            return Directory(path=told.path)


def refusal_for(error: InfraError, *, knows_memory: bool = True) -> Refuse:
    """Return the refusal that says ``error`` to a client; ``knows_memory``: to one that knows that code."""
    match error:
        case OutOfMemory():
            code = RefusalCode.MEMORY if knows_memory else RefusalCode.INTERNAL
            return Refuse(
                code=code, sentence=sentence(str(error)), remedy="another worker, or this one with less to do"
            )
        case NoSlot():
            return Refuse(code=RefusalCode.BUSY, sentence=sentence(str(error)), remedy="another worker")
        case Exceeded():
            return Refuse(
                code=RefusalCode.LIMIT,
                sentence=sentence(str(error)),
                remedy="raise job_seconds, job_memory or job_output",
            )
        case NotSupplied():
            return Refuse(code=RefusalCode.LIMIT, sentence=sentence(str(error)))
        case StoreFull():
            return Refuse(code=RefusalCode.STORE_FULL, sentence=sentence(str(error)), remedy="raise store_size")
        case Replaced():
            return Refuse(code=RefusalCode.NO_COMPILER, sentence=sentence(str(error)), remedy="another worker")
        case ForeignHeader():
            return Refuse(code=RefusalCode.FOREIGN, sentence=sentence(str(error)))
        case Leaked():
            return Refuse(code=RefusalCode.INEXACT, sentence=sentence(str(error)))
        case StoreError() | Escaped():
            return Refuse(code=RefusalCode.TREE, sentence=sentence(str(error)))
        case _:
            return Refuse(code=RefusalCode.INTERNAL, sentence=sentence(str(error)))

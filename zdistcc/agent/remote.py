"""The agent's end of one connection to a worker: greets, sends jobs, collects answers."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from zdistcc import __version__
from zdistcc.errors import InfraError, LocalProtocolError
from zdistcc.net.drive import LOOKED_AT, RESTING, WAITING, Link
from zdistcc.sources.model import Closure, SourceFile
from zdistcc.wire import codecs
from zdistcc.wire.connection import ChunkReceived, Connection, Role
from zdistcc.wire.messages import (
    Blob,
    Cancel,
    Compilers,
    Denied,
    DirectoryEntry,
    FileEntry,
    Files,
    FileSet,
    Greeting,
    Hello,
    Job,
    LinkEntry,
    Message,
    Need,
    RefusalCode,
    Refuse,
    Result,
    Started,
    Supply,
    TreeJob,
    sentence,
)

MAX_WAIT_STATUS: Final = 0xFFFF
FEATURES: Final = ("memory",)
"""What this agent understands beyond the first protocol: the refusal of that name."""
_TAME: Final = re.compile(rb"\x1b(?!\[[0-9;:]*[mK])|[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]|\xc2[\x80-\x9f]")


def tame(text: bytes) -> bytes:
    """Return a compiler's messages without anything that acts on a terminal, but for colours."""
    return _TAME.sub(b"?", text)


class Refused(InfraError):
    """The worker does not do the job; ``refusal`` says why and what would help."""

    def __init__(self, refusal: Refuse) -> None:
        super().__init__(f"{refusal.code.value}: {refusal.sentence}")
        self.refusal = refusal


class WrongResult(InfraError):
    """The worker returned something that cannot be right: it is not to be believed in anything."""


class NotServed(InfraError):
    """The worker does not serve this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a worker made of a job: its result, the outputs' bytes in order; and how many packed bytes it asked for."""

    result: Result
    outputs: tuple[bytes, ...]
    shipped: int


Supplier = Callable[[tuple[bytes, ...]], Awaitable[Sequence[tuple[Blob, bytes]] | None]]
"""Returns the content with these digests, packed; ``None`` when some of it is no longer there."""
ENTRIES_AT_ONCE: Final = 1024


def nothing() -> None:
    """What is done when nobody wants to know that a job has begun."""


class Stale(InfraError):
    """A source was changed while its job was on the way."""


@dataclass(slots=True)
class _Pending:
    supply: Supplier
    future: asyncio.Future[Answer]
    on_started: Callable[[], None]
    result: Result | None = None
    slots: dict[int, list[bytes]] = field(default_factory=dict)
    missing: int = 0
    shipped: int = 0

    def fail(self, error: InfraError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Remote:
    """One connected worker; a ``net.drive.Handler``."""

    def __init__(self, agent: str, on_news: Callable[[Message], None], on_gone: Callable[[InfraError], None]) -> None:
        self._on_news = on_news
        self._on_gone = on_gone
        self._pending: dict[int, _Pending] = {}
        self._supplying: set[asyncio.Task[None]] = set()
        self._entries: dict[FileEntry | LinkEntry | DirectoryEntry, int] = {}
        self._sets: dict[tuple[int, bytes], int] = {}
        self.stock = object()
        """Stands for the compilers that the worker has: another object when they have changed."""
        self._rest = RESTING
        self.greeted: asyncio.Future[Greeting] = asyncio.get_running_loop().create_future()
        self.link = Link(Connection(Role.AGENT), self)
        self.link.send(Hello(version=__version__, name=socket.gethostname(), agent=agent, features=FEATURES))

    @property
    def takes_sources(self) -> bool:
        """Whether the worker has said that it compiles shipped sources."""
        return self.greeted.done() and "headers" in self.greeted.result().features

    async def compile_text(self, job: Job, packed: bytes, on_started: Callable[[], None] = nothing) -> Answer:
        """Have ``job`` done; ``packed`` is its text as announced, ``on_started`` is called when its compiler runs.

        Raises :class:`Refused` (also for what cannot be told to any worker), or the :class:`InfraError` that ended the
        connection.  Cancelling cancels the job.
        """

        supplied = job.eager

        async def supply(digests: tuple[bytes, ...]) -> Sequence[tuple[Blob, bytes]] | None:
            nonlocal supplied
            once, supplied = not supplied, True
            return [(job.source, packed)] if once and digests == (job.source.digest,) else None

        return await self._compile(job, [packed] if job.eager else [], supply, on_started)

    async def compile_tree(self, job: TreeJob, supply: Supplier, on_started: Callable[[], None] = nothing) -> Answer:
        """As :meth:`compile_text`, for sources that were declared; :class:`Stale` when they have changed since."""
        return await self._compile(job, [], supply, on_started)

    async def _compile(
        self, job: Job | TreeJob, bodies: Sequence[bytes], supply: Supplier, on_started: Callable[[], None]
    ) -> Answer:
        if self.link.lost:
            raise InfraError("the connection is gone")
        stream = self.link.connection.open_stream()
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        try:
            self.link.send(job, stream, bodies)
        except LocalProtocolError as error:
            raise Refused(Refuse(code=RefusalCode.ARGUMENTS, sentence=sentence(str(error)))) from error
        self._pending[stream] = _Pending(
            supply=supply, future=future, on_started=on_started, shipped=sum(map(len, bodies))
        )
        self.link.watch(WAITING)
        try:
            return await future
        except Stale:
            self.link.send(Cancel(), stream)
            raise
        except asyncio.CancelledError:
            if future.cancelled():
                self.link.send(Cancel(), stream)
            elif future.done():
                future.exception()  # its end and the cancellation crossed: nobody wants to know
            raise
        finally:
            self._pending.pop(stream, None)
            if not self._pending:
                self.link.watch(self._rest)

    def look_at(self, looked_at: bool) -> None:
        """While jobs do not do so anyway, mind the worker's silence more closely, or no more."""
        self._rest = LOOKED_AT if looked_at else RESTING
        if self.greeted.done() and not self._pending:
            self.link.watch(self._rest)

    def holds(self, files: Iterable[SourceFile]) -> bool:
        """Return whether the worker was told of all of ``files``."""
        return all(_entry_of(file) in self._entries for file in files)

    async def declare(self, closure: Closure, directory: bytes = b"") -> int:
        """Return the number under which the worker knows ``closure`` (with ``directory``, where outputs are written).

        Tells it what it has not been told; in pieces, so that nobody waits long behind a closure of thousands.
        """
        key = closure.serial, directory
        number = self._sets.get(key)
        if number is not None:
            return number
        entries = [*entries_of(closure), *([DirectoryEntry(path=directory)] if directory else [])]
        members: list[int] = []
        for start in range(0, len(entries), ENTRIES_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            fresh: list[FileEntry | LinkEntry | DirectoryEntry] = []
            members += [self._number_of(entry, fresh) for entry in entries[start : start + ENTRIES_AT_ONCE]]
            if fresh:  # numbered and sent without a break: others may declare between two pieces
                self.link.send(Files(entries=tuple(fresh)))
        number = self._sets[key] = len(self._sets)
        self.link.send(Files(sets=(FileSet(number=number, members=tuple(members)),)))
        return number

    def _number_of(
        self,
        entry: FileEntry | LinkEntry | DirectoryEntry,
        fresh: list[FileEntry | LinkEntry | DirectoryEntry],
    ) -> int:
        number = self._entries.get(entry)
        if number is None:
            number = self._entries[entry] = len(self._entries)
            fresh.append(entry)
        return number

    # --- net.drive.Handler ----------------------------------------------------------------------

    def on_said(self, stream: int, message: Message) -> None:
        """Take what the worker says."""
        if stream:
            self._on_stream(stream, message)
            return
        match message:
            case Greeting():
                self.link.watch(self._rest)
                if not self.greeted.done():
                    self.greeted.set_result(message)
            case Denied():
                self._fail(NotServed(sentence(f"{message.sentence}; {message.remedy}")))
            case _:
                if isinstance(message, Compilers):
                    self.stock = object()
                self._on_news(message)

    def _on_stream(self, stream: int, message: Message) -> None:
        pending = self._pending.get(stream)
        if pending is None or pending.future.done():
            return
        match message:
            case Result() if message.status > MAX_WAIT_STATUS:
                pending.fail(
                    WrongResult(f"it says that its compiler ended with {message.status}, which is no wait status")
                )
            case Result():
                tamed = {"stdout": tame(message.stdout), "stderr": tame(message.stderr)}
                pending.result = msgspec.structs.replace(message, **tamed)
                bodies = [output.body for output in message.outputs]
                pending.slots = {slot: [] for slot in range(len(bodies))}
                pending.missing = sum(1 for body in bodies if body.packed)
                self._finish(pending)
            case Refuse():
                tamed_words = {"sentence": sentence(message.sentence), "remedy": sentence(message.remedy)}
                pending.fail(Refused(msgspec.structs.replace(message, **tamed_words)))
            case Need():
                task = asyncio.ensure_future(self._supply(stream, pending, message))
                self._supplying.add(task)
                task.add_done_callback(self._supplying.discard)
            case Started():
                pending.on_started()
            case _:
                raise AssertionError(f"the connection let {type(message).__name__} pass")

    async def _supply(self, stream: int, pending: _Pending, need: Need) -> None:
        try:
            content = await pending.supply(need.digests)
        except InfraError as error:
            pending.fail(error)
            return
        if pending.future.done():
            return
        if content is None:
            pending.fail(Stale("a source changed, or the worker asked for what it was not told of"))
            return
        blobs = tuple(blob for blob, _ in content)
        pending.shipped += sum(blob.body.packed for blob in blobs)
        self.link.send(Supply(blobs=blobs), stream, [packed for _, packed in content])

    def on_chunk(self, chunk: ChunkReceived) -> None:
        """Collect an output."""
        pending = self._pending.get(chunk.stream)
        if pending is not None and chunk.slot in pending.slots:
            pending.slots[chunk.slot].append(chunk.data)
            if chunk.last:
                pending.missing -= 1
                self._finish(pending)

    def on_lost(self, cause: InfraError) -> None:
        """The connection is gone: so are the jobs on it."""
        self._fail(cause)

    def _finish(self, pending: _Pending) -> None:
        if pending.missing or pending.result is None or pending.future.done():
            return
        try:
            outputs = tuple(
                codecs.unpack(output.body.codec, b"".join(pending.slots[slot]), output.body.raw)
                for slot, output in enumerate(pending.result.outputs)
            )
        except InfraError as error:
            pending.fail(WrongResult(f"an output could not be unpacked: {error}"))
            return
        for output, data in zip(pending.result.outputs, outputs, strict=True):
            if output.digest and output.digest != hashlib.sha256(data).digest():
                pending.fail(WrongResult("an output was damaged: its digest does not fit"))
                return
        pending.future.set_result(Answer(result=pending.result, outputs=outputs, shipped=pending.shipped))

    def disbelieve(self, cause: WrongResult) -> None:
        """The worker returned something wrong: what else it has is not waited for."""
        for stream, pending in self._pending.items():
            if not pending.future.done():
                if pending.result is None:
                    self.link.send(Cancel(), stream)
                pending.fail(cause)

    def _fail(self, cause: InfraError) -> None:
        if not self.greeted.done():
            self.greeted.set_exception(cause)
            self.greeted.exception()  # seen, even if nobody waits any more
        for pending in self._pending.values():
            pending.fail(cause)
        gone, self._on_gone = self._on_gone, lambda error: None
        self.link.lose(cause)
        gone(cause)


def entries_of(closure: Closure) -> Iterator[FileEntry | LinkEntry | DirectoryEntry]:
    """Yield what a worker has to mirror, links first: what lies behind them comes after."""
    for link in closure.links:
        yield LinkEntry(path=link.path, target=link.target)
    for path in closure.directories:
        yield DirectoryEntry(path=path)
    for file in closure.files:
        yield _entry_of(file)


def _entry_of(file: SourceFile) -> FileEntry:
    return FileEntry(path=file.path, digest=file.digest, size=file.size, mtime_s=file.mtime_s)

"""Clients of stock distcc: each connection is one job, from the first byte to the answer.

The protocol is in ``wire.distcc``; which compiler is meant and whether the words may be run is said by ``translate``.
A job is admitted when it is announced and takes its turn for a slot like any other, its client being its address.

A client that finds no room waits: we do not read on until there is.  Busy is no refusal in that protocol.  A stock
client that is refused, in whatever way, leaves the host alone for a minute and compiles itself, and it forgives only
where its own compiler ends with the same status.  So as little as possible is refused, and:

* what is wrong with the job (a compiler that is not here, an option that is not safe, a limit) is *answered*, once the
  whole request was heard: a status of distcc's own exit codes, a sentence in place of the compiler's messages.  With
  DISTCC_FALLBACK=0 or DISTCC_SKIP_LOCAL_RETRY=1 the user reads it; otherwise it costs what closing would.
* what is wrong with this worker (it drains, it gives its slots back, the disk is full, the compiler was replaced), and
  whoever is not on the network, is met by *closing*, stock distcc's own way: nothing there is about the job.

Whoever says nothing for a while, or takes nothing of the answer, is dropped.  A client that closes its side has gone
(stock clients never close one half): its compiler is killed.

Must not know: how many slots there are, which sockets; compilers otherwise than by their offers.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, assert_never, cast

from zdistcc.errors import ExitCode, InfraError, ProtocolError
from zdistcc.toolchain.identity import Offer
from zdistcc.wire.distcc import DistccServer
from zdistcc.wire.distcc_events import (
    AnswerComplete,
    Answered,
    Closed,
    Event,
    FileReceived,
    JobAnnounced,
    JobComplete,
    LinkReceived,
    OutputReceived,
    SourceReceived,
    SystemDirectoryNamed,
)
from zdistcc.worker.admission import Admission, JobKey
from zdistcc.worker.execute import SCRATCH_PREFIX, Escaped, Exceeded, Leaked, Made, Rooted
from zdistcc.worker.names import Spellings
from zdistcc.worker.sources import EntrySet
from zdistcc.worker.stocktree import StockTree, SystemDirectories, Unfit
from zdistcc.worker.translate import Declined, translate
from zdistcc.worker.vet import Order, TreeOrder

MAX_VISITS: Final = 512
FIRST_PIECE_BYTES: Final = 4096
"""As long as it is not known whether there is room, little is unpacked."""
PIECE_BYTES: Final = 64 << 10
SEND_AHEAD_BYTES: Final = 256 << 10
_NO_FILES: Final = EntrySet(entries=())
_log = logging.getLogger("zdistcc.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a client is waited for, in seconds.  Its own patience with a server is 300."""

    silence: float = 60.0
    """Between two bytes, of the request or of the answer: a stock client preprocesses after it has announced a job."""
    request: float = 300.0
    line: float = 240.0


class Host(Protocol):
    """What is needed of the worker."""

    admission: Admission

    def spellings(self) -> Spellings:
        """Return the compilers there are now, and their names."""

    def admit(self, job: JobKey, session: Visit) -> str | None:
        """Return ``None`` when the job may stay, else why not."""

    async def run_text(self, job: JobKey, order: Order, text: bytes, started: Callable[[], None]) -> Made:
        """Compile text when a slot is free."""

    async def run_tree(
        self, job: JobKey, order: TreeOrder, tree: Rooted, files: EntrySet, started: Callable[[], None]
    ) -> Made:
        """Compile a source in ``tree`` when a slot is free."""

    def leave(self, job: JobKey) -> None:
        """The job is over."""


class Desk:
    """All clients of stock distcc, and those of them for which there is no room yet."""

    def __init__(
        self, host: Host, workspace: Path, driver: Callable[[Offer], bytes], *, patience: Patience | None = None
    ) -> None:
        """``driver`` finds an offer's program, or raises :class:`InfraError`."""
        self.host = host
        self.workspace = workspace
        self.driver = driver
        self.patience = patience or Patience()
        self.system_directories = SystemDirectories()
        self.visits: set[Visit] = set()
        self._line: deque[Visit] = deque()
        self._next = 1
        self._alone = asyncio.Event()
        self._alone.set()

    def visit(self, address: str) -> asyncio.Protocol:
        """Return the protocol that serves a client at ``address``."""
        if len(self.visits) >= MAX_VISITS:
            return Closer()
        visit = Visit(self, self._next, address)
        self._next += 1
        self.visits.add(visit)
        self._alone.clear()
        return visit

    def wait_in_line(self, visit: Visit) -> None:
        """``visit`` is called on when there is room."""
        self._line.append(visit)

    def room_made(self) -> None:
        """A job has left: whoever may stay now is called on, the first come first."""
        for visit in list(self._line):
            if visit.enter():
                self._line.remove(visit)

    def forget(self, visit: Visit) -> None:
        """A client has gone."""
        self.visits.discard(visit)
        if visit in self._line:
            self._line.remove(visit)
        if not self.visits:
            self._alone.set()

    def turn_away(self) -> None:
        """The worker drains: those whose job has not been admitted, and will not be answered, go."""
        for visit in [visit for visit in self.visits if not visit.jobs and not visit.answered]:
            visit.drop("the worker stops")

    async def emptied(self) -> None:
        """Return when every client has its answer."""
        await self._alone.wait()

    def stop(self) -> None:
        """Drop every client; their compilers are killed."""
        for visit in list(self.visits):
            visit.drop("the worker stops")


class Closer(asyncio.Protocol):
    """Refuses as stock distcc does."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close."""
        cast(asyncio.Transport, transport).abort()


class Visit(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, desk: Desk, number: int, address: str) -> None:
        self.client = address
        self.agent = f"distcc {address}"
        self._desk = desk
        self._core = DistccServer()
        self._job: JobKey = ("distcc", number)
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._raw = bytearray()
        self._events: deque[Event] = deque()
        self._announced: JobAnnounced | None = None
        self._order: Order | TreeOrder | None = None
        self._label = "?"
        self._waiting = False
        self._admitted = False
        self._paused = False
        self._unsent = 0
        self._text = bytearray()
        self._tree: StockTree | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def number(self) -> str:
        """What slots are shared by: the address, however many connections come from it."""
        return self.agent

    @property
    def jobs(self) -> int:
        """How many jobs of this client are under way."""
        return int(self._admitted)

    @property
    def answered(self) -> bool:
        """Whether the answer is on its way."""
        return self._core.complete and not self._admitted and not self._waiting

    # --- asyncio.Protocol -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=SEND_AHEAD_BYTES, low=SEND_AHEAD_BYTES // 4)
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._mind_silence()

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it has to wait."""
        self._raw += data
        if self._task is None:
            self._mind_silence()
        self._feed()

    def eof_received(self) -> bool:
        """It has gone."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone: nobody waits for the job."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._desk.forget(self)
        if self._task is not None:
            self._task.cancel()
        else:
            self._leave()

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        self._paused = True

    def resume_writing(self) -> None:
        """The socket's buffer has drained."""
        self._paused = False
        self._flush()

    def drop(self, why: str) -> None:
        """Close at once, with nothing said."""
        _log.info("client of distcc dropped client=%s %s", self.client, why)
        if self._transport is not None:
            self._transport.abort()

    # --- the request ----------------------------------------------------------------------------

    def _feed(self) -> None:
        """Give the core what came, as long as it may be read."""
        try:
            self._take_events()
            while self._raw and not self._waiting and self._transport is not None and not self._transport.is_closing():
                step = PIECE_BYTES if self._announced else FIRST_PIECE_BYTES
                piece = bytes(self._raw[:step])
                del self._raw[:step]
                self._core.receive_data(piece)
                self._events += self._core.events()
                self._take_events()
        except ProtocolError as error:
            self.drop(str(error))
        except Exception:
            _log.exception("a bug: a client of distcc could not be served client=%s", self.client)
            self.drop("because of it")

    def _take_events(self) -> None:
        while self._events and not self._waiting:
            event = self._events.popleft()
            try:
                self._take(event)
            except ProtocolError:
                raise
            except InfraError as error:
                self._fail(error)

    def _take(self, event: Event) -> None:
        match event:
            case JobAnnounced():
                self._consider(event)
            case JobComplete():
                self._all_heard()
            case _ if self._order is None:
                pass  # it was declined
            case SourceReceived():
                self._text += event.data
            case FileReceived():
                self._tree_there.add_file(event.path, event.data)
            case LinkReceived():
                self._tree_there.add_link(event.path, event.target)
            case SystemDirectoryNamed():
                self._tree_there.name_system(event.path)
            case Answered() | OutputReceived() | AnswerComplete() | Closed():
                raise AssertionError(f"a server is not told {type(event).__name__}")
            case _:
                assert_never(event)

    @property
    def _tree_there(self) -> StockTree:
        assert self._tree is not None, "files come in version 3 only, after the job has been admitted"
        return self._tree

    def _consider(self, announced: JobAnnounced) -> None:
        self._announced = announced
        order = translate(announced, self._desk.host.spellings())
        if isinstance(order, Declined):
            self._decline(order.sentence, order.code)
            return
        self._order, self._label = order.order, order.source.decode("utf-8", "replace")
        if not self.enter() and self._transport is not None:
            if self._desk.host.admission.draining or not self._desk.host.admission.counts.slots:
                self.drop("no jobs are taken")
                return
            self._waiting = True
            self._transport.pause_reading()
            self._desk.wait_in_line(self)
            self._mind(self._desk.patience.line)

    def enter(self) -> bool:
        """Ask for room; return whether there was some, or nobody is there any more."""
        if self._transport is None or self._transport.is_closing():
            return True
        if self._desk.host.admit(self._job, self) is not None:
            return False
        self._admitted = True
        if self._waiting:
            self._waiting = False
            self._begun = self._loop.time()
            self._mind_silence()
            self._transport.resume_reading()
            self._loop.call_soon(self._feed)
        if isinstance(self._order, TreeOrder):
            try:
                self._tree = StockTree(self._desk.workspace, self._order.cwd)
            except InfraError as error:
                self._fail(error)
        return True

    def _all_heard(self) -> None:
        if self._order is None:  # it was declined, and is answered now that it has been heard
            self._flush()
            return
        self._mind(None)
        self._task = self._loop.create_task(self._work(self._order))
        self._task.add_done_callback(lambda task: self._leave())

    # --- the job --------------------------------------------------------------------------------

    async def _work(self, order: Order | TreeOrder) -> None:
        """Carry the job to its answer."""
        try:
            if isinstance(order, Order):
                text = bytes(self._text)
                self._text.clear()
                made = await self._desk.host.run_text(self._job, order, text, lambda: None)
            else:
                made = await self._make_in_tree(order)
            self._answer(made)
        except InfraError as error:
            self._fail(error)
        except Exception:
            _log.exception("a bug: a job of distcc could not be done client=%s", self.client)
            self.drop("because of it")

    async def _make_in_tree(self, order: TreeOrder) -> Made:
        tree = self._tree_there
        desk, allowed = self._desk, frozenset[bytes]()
        for offer in (order.offer, *(known.offer for known in desk.host.spellings().compilers)):
            if tree.names_more_than(allowed):
                allowed |= await desk.system_directories.of(offer.id, desk.driver(offer))
        tree.link_system(allowed)
        return await self._desk.host.run_tree(self._job, order, tree, _NO_FILES, lambda: None)

    def _leave(self) -> None:
        """The job is over, at whichever point: its place is free."""
        if self._tree is not None:
            self._tree.remove()
            self._tree = None
        if self._admitted:
            self._admitted = False
            self._desk.host.leave(self._job)

    # --- the answer -----------------------------------------------------------------------------

    def _answer(self, made: Made) -> None:
        ended = made.ended
        outputs = dict(made.outputs)
        self._core.respond(
            status=ended.status,
            stderr=self._without_our_paths(ended.stderr),
            stdout=self._without_our_paths(ended.stdout),
            object=outputs.get("object", b""),
            dependencies=outputs.get("dependencies"),
        )
        _log.info(
            "job of distcc done client=%s version=%d file=%r status=%d cpu=%.2f wall=%.2f",
            self.client, self._announced.version if self._announced else 0, self._label,
            ended.status, ended.cpu_s, ended.wall_s,
        )  # fmt: skip
        self._flush()

    def _without_our_paths(self, said: bytes) -> bytes:
        """Where compilers name temporary files, they are in a directory that the client has, too."""
        ours = re.escape(bytes(self._desk.workspace / SCRATCH_PREFIX))
        return re.sub(ours + rb"[^/\s]*/", b"/tmp/", said)

    def _fail(self, error: InfraError) -> None:
        match error:
            case Exceeded() | Leaked() | Escaped() | Unfit():
                self._decline(str(error), ExitCode.GENERAL)
            case _:
                self.drop(str(error))

    def _decline(self, sentence: str, code: int) -> None:
        """Say why not, when everything has been heard."""
        _log.info("job of distcc refused client=%s %s", self.client, sentence)
        self._order = None
        if self._task is None:
            self._leave()
        if self._core.dead:
            return
        self._core.respond(status=code << 8, stderr=f"zdistccd: {sentence}\n".encode("utf-8", "replace"))
        if self._core.complete:
            self._flush()

    def _flush(self) -> None:
        """Hand the answer to the socket as long as it takes it, then close."""
        transport = self._transport
        if transport is None or not self._core.complete or self._core.dead:
            return
        self._mind_silence()
        while self._core.wants_to_send and not self._paused:
            transport.write(self._core.data_to_send(SEND_AHEAD_BYTES))
        if not self._core.wants_to_send:
            transport.close()

    # --- patience -------------------------------------------------------------------------------

    def _mind_silence(self) -> None:
        patience = self._desk.patience
        left = patience.silence
        if not self._core.complete:
            left = min(left, self._begun + patience.request - self._loop.time())
        self._mind(left)

    def _mind(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(max(0.0, seconds), self._tired)

    def _tired(self) -> None:
        """Nothing came for long, or nothing of the answer was taken."""
        if self._transport is None:
            return
        unsent = self._core.unsent_bytes + self._transport.get_write_buffer_size()
        if self._core.complete and unsent != self._unsent:
            self._unsent = unsent
            self._mind_silence()
            return
        self.drop("neither says nor takes anything")

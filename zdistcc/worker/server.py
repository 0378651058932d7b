"""The worker as a whole: lets clients in, owns the slots, tells everybody how busy it is, drains.

Connections come through ``door``, which knows what they speak.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from zdistcc import __version__
from zdistcc.children import Limits
from zdistcc.errors import InfraError
from zdistcc.net.drive import RESTING, Link
from zdistcc.toolchain.identity import CompilerId, Offer
from zdistcc.toolchain.probe import Probed
from zdistcc.toolchain.probecache import stamp
from zdistcc.wire.connection import ChunkReceived, Connection, Role
from zdistcc.wire.messages import CompilerInfo, Compilers, Denied, Goodbye, Greeting, Load, Message, PeerInfo, Peers
from zdistcc.worker import access
from zdistcc.worker.admission import QUEUE_LEAST, QUEUE_PER_SLOT, Admission, JobKey
from zdistcc.worker.bulletin import Bulletin, full
from zdistcc.worker.execute import Made, OutOfMemory, Replaced, Rooted, execute_text, execute_tree
from zdistcc.worker.manners import Manners, Reading
from zdistcc.worker.names import Known, Spellings
from zdistcc.worker.reports import Reports
from zdistcc.worker.session import NoSlot, Session
from zdistcc.worker.sources import EntrySet, Sources
from zdistcc.worker.stock import Closer, Desk, Visit
from zdistcc.worker.vet import Order, TreeOrder

CLOSE_TIMEOUT_S: Final = 5.0
"""How long a draining worker waits for its clients to read the last results."""
MAX_COMPILERS: Final = 256
"""As many as a greeting holds."""
MAX_CLIENTS: Final = 512
FEATURES: Final = ("headers",)
"""What this worker can do beyond the first protocol: compile shipped sources."""
NO_ADDRESS: Final = ("ssh",)
"""Where somebody is who comes by the private door: no network holds it, none denies it."""
_log = logging.getLogger("zdistcc.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a worker is told at its start; ``polite``, ``on_battery``: see ``manners``."""

    id: str
    name: str
    slots: int
    workspace: Path
    limits: Limits
    allow: tuple[access.Network, ...]
    deny: tuple[access.Network, ...]
    machine: str
    env: Mapping[bytes, bytes]
    distcc: bool = True
    polite: bool = False
    on_battery: bool = False


def info_of(offer: Offer) -> CompilerInfo:
    """Return ``offer`` as it travels."""
    return CompilerInfo(
        family=offer.id.family.value,
        version=offer.id.version,
        target=offer.id.target,
        build_id=offer.id.build_id,
        languages=tuple(sorted(offer.languages)),
        targets=tuple(sorted(offer.architectures)),
    )


class Worker:
    """The state all sessions share; a ``session.Host``."""

    def __init__(self, settings: Settings, sources: Sources) -> None:
        self.settings = settings
        self.sources = sources
        self.admission = Admission(settings.slots)
        self.manners = Manners(slots=settings.slots, polite=settings.polite, on_battery=settings.on_battery)
        self.sessions: set[Session] = set()
        self.jobs_done = 0
        self.desk = Desk(self, settings.workspace, self._driver)
        self._compilers: tuple[Probed, ...] = ()
        self._generic: Mapping[str, CompilerId] = {}
        self._stamps: dict[bytes, object] = {}
        self.on_replaced: Callable[[], None] = lambda: None
        self._peers: dict[str, PeerInfo] = {}
        self._turns: dict[JobKey, asyncio.Future[bool]] = {}
        self._next_session = 1
        self._started = secrets.token_hex(8)
        self._bulletins: dict[int, Bulletin] = {}
        self._reports = Reports()
        self._load_timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._alone = asyncio.Event()

    # --- session.Host ---------------------------------------------------------------------------

    def welcome(self) -> Sequence[Message]:
        """Return what every client is told first."""
        greeting = Greeting(
            version=__version__,
            id=self.settings.id,
            name=self.settings.name,
            slots=self.settings.slots,
            queue=max(QUEUE_LEAST, QUEUE_PER_SLOT * self.settings.slots),
            compilers=tuple(info_of(compiler.offer) for compiler in self._compilers),
            machine=self.settings.machine,
            features=FEATURES,
            clock=time.time(),
            started=self._started,
        )
        peers = [Peers(peers=tuple(self._peers.values()))] if self._peers else []
        return [greeting, self.load(), *peers]

    def offers(self) -> Sequence[Offer]:
        """Return the compilers there are now."""
        return [compiler.offer for compiler in self._compilers]

    def spellings(self) -> Spellings:
        """Return what clients of distcc may call the compilers."""
        known = [Known(offer=it.offer, name=os.fsdecode(os.path.basename(it.driver))) for it in self._compilers]
        return Spellings(compilers=known, generic=self._generic)

    def admit(self, job: JobKey, session: Session | Visit) -> str | None:
        """Return ``None`` when the job may stay, else why not."""
        if self.admission.draining:
            return "draining"
        if not self.admission.admit(job, session.agent or session.number):
            counts = self.admission.counts
            if not counts.slots:
                return f"no slots are offered: {self.manners.standing.limited.value}"
            return f"this client's share of {counts.slots} slots and of the queue is taken, {counts.queued} jobs wait"
        self._idle.clear()
        self._load_changed()
        return None

    async def run_text(self, job: JobKey, order: Order, text: bytes, started: Callable[[], None]) -> Made:
        """Wait for a slot, then compile text."""
        settings = self.settings

        async def execute() -> Made:
            driver = self._driver(order.offer)
            made = await execute_text(order, driver, text, settings.workspace, settings.limits, settings.env)
            self._still(driver)
            return made

        return await self._run(job, started, execute)

    async def run_tree(
        self, job: JobKey, order: TreeOrder, tree: Rooted, files: EntrySet, started: Callable[[], None]
    ) -> Made:
        """Wait for a slot, then compile a source in its tree."""
        driver, settings = self._driver(order.offer), self.settings
        self.sources.own_headers_agree(driver, order.offer.id, order.language, tree.root, files)

        async def execute() -> Made:
            self._still(driver)
            made = await execute_tree(order, driver, tree.root, settings.workspace, settings.limits, settings.env)
            self._still(driver)
            return made

        return await self._run(job, started, execute)

    async def _run(self, job: JobKey, started: Callable[[], None], execute: Callable[[], Awaitable[Made]]) -> Made:
        """Run the compiler when it is the job's turn; if it ran short of memory beside others, once more alone."""
        await self._turn(job, self.admission.ready)
        started()
        try:
            made = await execute()
        except OutOfMemory as error:
            self.manners.used(error.peak_bytes)
            _log.info("job ran out of memory job=%s peak=%d", job, error.peak_bytes)
            if not self.admission.may_be_alone(job):
                raise
            await self._turn(job, self.admission.alone)
            made = await execute()
        self.jobs_done += 1
        self.manners.used(made.ended.peak_bytes)
        self.manners.ran(made.ended.cpu_s, made.ended.wall_s)
        return made

    async def _turn(self, job: JobKey, ask: Callable[[JobKey, float], Sequence[JobKey]]) -> None:
        """Wait until ``job``, for which ``ask`` queues it, has a slot; :class:`NoSlot` when there are none any more."""
        loop = asyncio.get_running_loop()
        turn = self._turns[job] = loop.create_future()
        try:
            self._start(ask(job, loop.time()))
            self._send_away()
            if not await turn:
                raise NoSlot(f"no slots are offered: {self.manners.standing.limited.value}")
        finally:
            del self._turns[job]

    def _send_away(self) -> None:
        """Without slots, those that wait for one had better wait elsewhere."""
        for job in [] if self.admission.slots else self.admission.waiting():
            turn = self._turns.get(job)
            if turn is not None and not turn.done():
                turn.set_result(False)

    def _driver(self, offer: Offer) -> bytes:
        for compiler in self._compilers:
            if compiler.offer.id == offer.id:
                self._still(compiler.driver)
                return compiler.driver
        raise Replaced("the compiler was removed while the job waited")

    def _still(self, driver: bytes) -> None:
        """Raise :class:`Replaced` when ``driver`` is not the program that was looked at: an upgrade is under way."""
        if self._stamps.get(driver) != stamp(driver):
            self.on_replaced()
            raise Replaced("the compiler has just been replaced")

    def leave(self, job: JobKey) -> None:
        """The job is over; whoever is next starts."""
        self._start(self.admission.leave(job, asyncio.get_running_loop().time()))
        self.desk.room_made()
        if not self.admission.counts.running and not self.admission.counts.queued:
            self._idle.set()

    def came_back(self, session: Session, agent: str) -> None:
        """A cut cable or a crash has left an older connection of ``agent``: its jobs hold slots for nobody."""
        for older in self.sessions - {session}:
            older.doubt(agent)

    def _start(self, jobs: Sequence[JobKey]) -> None:
        for job in jobs:
            turn = self._turns.get(job)
            if turn is not None and not turn.done():
                turn.set_result(True)
        self._load_changed()

    # --- what everybody is told -----------------------------------------------------------------

    def set_compilers(self, compilers: Sequence[Probed], generic: Mapping[str, CompilerId] | None = None) -> None:
        """Replace the list of compilers, and what ``names.GENERIC`` are here, and tell the clients.

        When one is another program under the same id, connections end: what clients have proved of the old one, and
        jobs that they sent before they can know of the new one, must not be taken for it.
        """
        self._generic = generic or {}
        before = self._programs()
        self._compilers = tuple(compilers)[:MAX_COMPILERS]
        self._stamps = {compiler.driver: stamp(compiler.driver) for compiler in self._compilers}
        now = self._programs()
        if any(now[known] != before[known] for known in now.keys() & before.keys()):
            _log.info("a compiler was replaced by one of the same id: clients have to connect anew")
            self.drop_clients("a compiler was replaced")
        message = Compilers(compilers=tuple(info_of(compiler.offer) for compiler in self._compilers))
        for session in list(self.sessions):
            session.say(message)

    def _programs(self) -> dict[CompilerId, object]:
        return {compiler.offer.id: self._stamps[compiler.driver] for compiler in self._compilers}

    def set_peers(self, peers: Mapping[str, PeerInfo]) -> None:
        """Replace the list of other workers seen and tell the clients."""
        self._peers = dict(peers)
        for session in list(self.sessions):
            session.say(Peers(peers=tuple(self._peers.values())))

    def load(self) -> Load:
        """Return how busy the worker is, and all that is known of its machine."""
        return full(
            self.admission.counts,
            self.manners.standing,
            configured=self.settings.slots,
            efficiency=self.manners.efficiency,
            draining=self.admission.draining,
        )

    def notice(self, reading: Reading) -> None:
        """The machine was looked at: offer as many slots as is right now, and tell if that is news."""
        before = self.manners.standing
        standing = self.manners.judge(reading, self.admission.counts.running)
        if standing.slots != before.slots:
            why = standing.limited.value or "it is free again"
            _log.info("offers %d of %d slots: %s", standing.slots, self.settings.slots, why)
        self._start(self.admission.resize(standing.slots, asyncio.get_running_loop().time()))
        self._send_away()
        if standing.slots:
            self.desk.room_made()
        else:
            self.desk.turn_away()

    def _load_changed(self) -> None:
        self._reports.changed(session.number for session in self.sessions)
        self._plan_report()

    def _plan_report(self) -> None:
        loop = asyncio.get_running_loop()
        at = self._reports.next_at(loop.time())
        if self._load_timer is None and at is not None:
            self._load_timer = loop.call_at(at, self._report)

    def _report(self) -> None:
        self._load_timer = None
        clients = self.admission.clients
        busy = {session.number for session in self.sessions if (session.agent or session.number) in clients}
        due = set(self._reports.take(asyncio.get_running_loop().time(), busy))
        self._tell_load([session for session in self.sessions if session.number in due])
        self._plan_report()

    def _tell_load(self, sessions: Sequence[Session]) -> None:
        load, now = self.load(), asyncio.get_running_loop().time()
        for session in [session for session in sessions if session.greeted]:
            news = self._bulletins.setdefault(session.number, Bulletin()).news(load, now)
            if news is not None:
                session.say(news)

    def resume(self) -> None:
        """Take jobs again, after :meth:`drain`."""
        self.admission.draining = False
        self._load_changed()

    async def drain(self) -> None:
        """Take no new jobs; return when the running ones have ended and their results are on their way."""
        self.admission.draining = True
        self._tell_load(list(self.sessions))
        self.desk.turn_away()
        await self._idle.wait()
        for session in list(self.sessions):
            session.say(Goodbye(why="the worker stops"))
            if session.link is not None:
                session.link.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.desk.emptied()
                if self.sessions:
                    await self._alone.wait()

    def stop(self) -> None:
        """Drop every client; their compilers are killed."""
        self.desk.stop()
        if self._load_timer is not None:
            self._load_timer.cancel()
            self._load_timer = None
        self.drop_clients("the worker stops")

    def drop_clients(self, why: str) -> None:
        """End all connections, and with them their jobs."""
        for session in list(self.sessions):
            if session.link is not None:
                session.link.lose(InfraError(why))

    # --- the door -------------------------------------------------------------------------------

    def open_native(self, address: str, own_address: str) -> asyncio.Protocol:
        """Return the protocol that serves a client of ours that called ``own_address`` from ``address``."""
        why = self._why_denied(address, own_address)
        if why is not None:
            _log.warning("client denied address=%s %s", address, why.sentence)
            denied = Link(Connection(Role.WORKER), _TurnedAway())
            denied.send(why)
            asyncio.get_running_loop().call_soon(denied.close)
            return denied
        session = _Visit(self, self._next_session)
        self._next_session += 1
        link = Link(Connection(Role.WORKER), session)
        session.attach(link)
        self.sessions.add(session)
        self._alone.clear()
        link.watch(RESTING)
        return link

    def open_stock(self, address: str, own_address: str) -> asyncio.Protocol:
        """Return the protocol that serves a client of stock distcc."""
        why = self._why_denied(address, own_address)
        if why is not None or not self.settings.distcc:
            _log.warning("client of distcc denied address=%s %s", address, why.sentence if why else "by distcc_port")
            return Closer()
        return self.desk.visit(address)

    def forget(self, session: Session) -> None:
        """A client has gone."""
        self.sessions.discard(session)
        self._bulletins.pop(session.number, None)
        self._reports.forget(session.number)
        if not self.sessions:
            self._alone.set()

    def _why_denied(self, address: str, own_address: str) -> Denied | None:
        if access.within(address, self.settings.deny):
            return Denied(
                sentence=f"{address} is not to be served by this worker",
                remedy="start zdistccd without --deny for that address",
            )
        if address != own_address and not access.allowed(address, self.settings.allow):
            return Denied(
                sentence=f"{address} is not on this worker's network",
                remedy=f"start zdistccd with --allow {address}",
            )
        if len(self.sessions) >= MAX_CLIENTS:
            return Denied(sentence=f"{MAX_CLIENTS} clients are connected", remedy="try again later")
        return None


class _TurnedAway:
    """Listens to nothing; a ``net.drive.Handler``."""

    def on_said(self, stream: int, message: Message) -> None:
        """Too late."""

    def on_chunk(self, chunk: ChunkReceived) -> None:
        """Too late."""

    def on_lost(self, cause: InfraError) -> None:
        """As it should be."""


class _Visit(Session):
    """A session that the worker forgets when its link is gone."""

    def on_lost(self, cause: InfraError) -> None:
        """Cancel the jobs, then leave the list."""
        super().on_lost(cause)
        cast(Worker, self.host).forget(self)

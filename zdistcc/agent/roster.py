"""The roster: every worker this agent has heard of, by whatever way, and one connection to each.

Ways: announcements (mDNS), ``ZDISTCC_PEERS`` (``user@host`` there leads through ssh), what workers tell of other
workers, and what was seen in earlier lives (a cache file).  A worker's identity is the id in its greeting or
announcement: however many addresses and ways lead to it, it is one entry with one connection.  Its addresses are raced;
the one that answers is kept.

A worker that was lost is looked for again: often while jobs want workers, because it may be back any moment and an
announcement that says nothing new is not heard of; less and less often while nobody does.

An entry is forgotten when no way leads to it any more and its connection is gone.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import re
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from zdistcc.agent.dispatch import Dispatcher
from zdistcc.agent.entries import MAX_SLOTS, Entry, Way, change_of, is_numeric, offers_of, settle
from zdistcc.agent.journal import Journal
from zdistcc.agent.reach import Reach, Reached, StockOnly, ssh_host
from zdistcc.agent.remote import NotServed, Remote
from zdistcc.discovery import hostspec, remembered
from zdistcc.discovery.advert import WorkerAd, printable
from zdistcc.discovery.remembered import Remembered
from zdistcc.errors import InfraError, UserError
from zdistcc.net.drive import WAITING, LinkLost
from zdistcc.net.race import CONNECT_TIMEOUT_S, Address, parse_address
from zdistcc.net.ssh import SshDenied, SshHost
from zdistcc.schedule.events import DiscoveryPending, WorkerAnnounced, WorkerChanged, WorkerId, WorkerJoined, WorkerLost
from zdistcc.sources.model import Closure
from zdistcc.wire.messages import Compilers, Goodbye, Greeting, Load, Message, PeerInfo, Peers

DEFAULT_PORT: Final = 3633
FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 30.0
DENIED_RETRY_S: Final = 300.0
"""Of a machine whose sshd does not let us in: programs that watch for attacks shut out who tries every minute."""
MISSED_RETRY_S: Final = 0.5
"""Between two looks for a worker that is missed while jobs want workers; some more or less, so that many agents do not
come at once."""
TUNNEL_RETRIES: Final = 4
"""A look through ssh is as dear as that many others."""
MISSED_AT_ONCE: Final = 10
"""Of more workers that are missed each is looked for the less often: a whole room was switched off."""
MISSED_IDLE_RETRY_S: Final = 5.0
"""The same while nobody wants anything: what people are shown should not be long out of date."""
MISSED_TIMEOUT_S: Final = 1.0
"""How long such a look takes: a first packet that was lost is sent again after a second, so a new look is as good."""
MISSED_S: Final = 600.0
"""How long a lost worker is missed.  Then it was switched off, and its return is not worth two packets a second."""
CONNECTING_GRACE_S: Final = 1.5
"""How long jobs wait for a worker that was just heard of to answer."""
MAX_EARLY_NEWS: Final = 16
"""News that may come in the same packet as the greeting, before there is a worker to which they belong."""
MAX_ENTRIES: Final = 512
"""More than any LAN that multicast spans; what one hostile machine makes up must not cost a socket each."""
TELLING_FILES: Final = 8
_ID: Final = re.compile(r"[0-9a-zA-Z_.-]{1,64}")
_log = logging.getLogger("zdistcc.agent")


class Roster:
    """All entries; tells the dispatcher who joins, changes and leaves."""

    def __init__(self, dispatcher: Dispatcher, cache: Path, journal: Journal, reach: Reach) -> None:
        self._dispatcher = dispatcher
        self.reach = reach
        self._journal = journal
        self._cache = cache
        self._agent = secrets.token_hex(8)
        self._entries: list[Entry] = []
        self._recalled: dict[str, Remembered] = {}
        self._loop = asyncio.get_running_loop()
        dispatcher.on_wanted = self._look_for_the_missed
        self._stock_only: set[SshHost] = set()
        self.on_change: Callable[[], None] = lambda: None
        self.on_stock: Callable[[SshHost], bool] = lambda host: False
        """Told of a host that ssh leads to and that has distccd only; returns whether it is looked after."""
        """Called when a worker has joined or left."""
        self.bytes_of_the_gone = (0, 0)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every worker known, in the order in which they became known."""
        return tuple(self._entries)

    def remote(self, worker: WorkerId) -> Remote | None:
        """Return the connection to ``worker``."""
        entry = self._by_id(worker)
        return entry.remote if entry is not None else None

    def entry(self, worker: WorkerId) -> Entry | None:
        """Return what is known of ``worker``."""
        return self._by_id(worker)

    def holders(self, closure: Closure) -> frozenset[WorkerId]:
        """Return the workers that were told of the largest files of ``closure``: they speak for the rest."""
        largest = heapq.nlargest(TELLING_FILES, closure.files, key=lambda file: file.size)
        return frozenset(
            entry.id
            for entry in self._entries
            if entry.id is not None and entry.remote is not None and entry.remote.holds(largest)
        )

    # --- ways in --------------------------------------------------------------------------------

    def recall(self) -> None:
        """Connect to the workers that were seen in earlier lives."""
        for worker in remembered.load(self._cache):
            addresses = {Address(host, worker.port) for host in worker.addresses if host}
            if not addresses or not _ID.fullmatch(worker.id):
                continue
            self._recalled[worker.id] = worker
            self._know(WorkerId(worker.id), printable(worker.name), addresses, Way.REMEMBERED)

    def announced(self, ad: WorkerAd) -> None:
        """A worker's announcement was heard."""
        addresses = {Address(host, ad.port) for host in ad.addresses}
        if self._full(WorkerId(ad.id)):
            return
        entry = self._know(WorkerId(ad.id), ad.name, addresses, Way.ANNOUNCED)
        entry.ad, entry.left = ad, False
        if entry.remote is not None and entry.address not in addresses:
            entry.remote.link.watch(WAITING)  # it may have begun anew elsewhere: find out soon
        self._dispatcher.tell(WorkerAnnounced(worker=WorkerId(ad.id)))
        entry.wake.set()

    def gone(self, worker: str) -> None:
        """A worker said goodbye, or its announcement has expired."""
        entry = self._by_id(WorkerId(worker))
        if entry is not None:
            entry.ways -= {Way.ANNOUNCED, Way.TOLD, Way.REMEMBERED}
            entry.ad, entry.left = None, True
            entry.wake.set()

    def add_peers(self, words: Iterable[str]) -> bool:
        """Connect to the hosts of ``ZDISTCC_PEERS``; a word that names none is logged and left out.

        Return whether all of them were known before.
        """
        known = True
        for word in words:
            try:
                if "@" in word:
                    known &= self.add_tunnels(map(ssh_host, hostspec.parse(word).hosts))
                    continue
                address = parse_address(word, DEFAULT_PORT)
            except (ValueError, UserError) as error:
                _log.warning("ZDISTCC_PEERS: %s", error)
                continue
            if not any(address in entry.addresses for entry in self._entries):
                self._know(None, printable(address.host), {address}, Way.PEER)
                known = False
        return known

    def add_tunnels(self, hosts: Iterable[SshHost]) -> bool:
        """Connect to ``hosts`` through ssh; return whether all of them were known before."""
        known = True
        for host in hosts:
            if host not in self._stock_only and not any(entry.ssh == host for entry in self._entries):
                self._know(None, printable(str(host)), set(), Way.PEER).ssh = host
                known = False
        return known

    async def seek(self, name: str, address: Address, limit: int = MAX_SLOTS) -> bool:
        """Look once whether a worker answers at ``address``; it is kept if so, and given ``limit`` jobs at most."""
        entry = next((entry for entry in self._entries if address in entry.addresses), None)
        if entry is None:
            entry = self._know(None, name, {address}, Way.PEER)
            entry.limit, entry.sought = limit, self._loop.create_future()
            if not await entry.sought:
                entry.ways.clear()
                entry.wake.set()
            return entry.sought.result()
        entry.limit = limit
        return entry.connected

    def native_addresses(self) -> frozenset[str]:
        """Return the addresses at which workers are, or are missed since a short while."""
        return frozenset(
            address.host
            for entry in self._entries
            if entry.connected or (entry.id is not None and (self._is_missed(entry) or not entry.trouble))
            for address in entry.addresses
        )

    def _told(self, peers: Iterable[PeerInfo]) -> None:
        for peer in peers:
            addresses = {Address(host, peer.port) for host in peer.addresses if is_numeric(host)}
            if addresses and _ID.fullmatch(peer.id) and not self._full(WorkerId(peer.id)):
                self._know(WorkerId(peer.id), printable(peer.name), addresses, Way.TOLD)

    def _know(self, worker: WorkerId | None, name: str, addresses: set[Address], way: Way) -> Entry:
        entry = self._by_id(worker) if worker is not None else None
        if entry is None:
            entry = Entry(id=worker, name=name, addresses=set(addresses), ways={way})
            self._entries.append(entry)
            self._dispatcher.tell(DiscoveryPending(until=self._loop.time() + CONNECTING_GRACE_S))
            entry.task = asyncio.ensure_future(self._keep_connected(entry))
        else:
            entry.ways.add(way)
            entry.addresses = set(addresses) | entry.addresses if way is not Way.ANNOUNCED else set(addresses)
        return entry

    def _full(self, worker: WorkerId) -> bool:
        """Return whether there is no room for ``worker``, unless it is known already."""
        return len(self._entries) >= MAX_ENTRIES and self._by_id(worker) is None

    def _by_id(self, worker: WorkerId | None) -> Entry | None:
        return next((entry for entry in self._entries if entry.id == worker), None)

    # --- one connection each --------------------------------------------------------------------

    async def _keep_connected(self, entry: Entry) -> None:
        """Connect, serve, and connect again with growing pauses, as long as some way leads there."""
        retry = FIRST_RETRY_S
        try:
            while entry.ways:
                lost = asyncio.Event()
                entry.wake.clear()
                try:
                    await self._connect(entry, lost)
                    settle(entry, True)
                    retry = FIRST_RETRY_S
                    await lost.wait()
                except InfraError as error:
                    if entry.trouble != str(error):
                        kind = "refused" if isinstance(error, NotServed) else "unreachable"
                        self._journal.note(kind, entry.name, str(error))
                    entry.trouble = str(error)
                    level = logging.INFO if retry == FIRST_RETRY_S else logging.DEBUG  # said once, however often tried
                    _log.log(level, "worker not reached name=%r %s", entry.name, error)
                    if not self._is_missed(entry):
                        entry.ways -= {Way.REMEMBERED, Way.TOLD}
                    if isinstance(error, StockOnly) and entry.ssh is not None and self.on_stock(entry.ssh):
                        self._stock_only.add(entry.ssh)
                        entry.ways.clear()
                    if isinstance(error, (NotServed, StockOnly, SshDenied)):
                        retry, entry.lost_at = LONGEST_RETRY_S, None
                    if isinstance(error, SshDenied):
                        retry = DENIED_RETRY_S
                except Exception:
                    _log.exception("a bug: the connection to %r is given up for now", entry.name)
                    entry.trouble = "something unexpected happened; the agent's log says what"
                    self._disconnect(entry, fault=True)
                    retry, entry.lost_at = LONGEST_RETRY_S, None
                settle(entry, False)
                entry.tried_at = self._loop.time()
                if entry.ways:
                    by_ssh = TUNNEL_RETRIES if entry.ssh is not None else 1
                    missed = self._is_missed(entry)
                    await self._pause(entry, by_ssh * self._missed_retry_s(retry) if missed else retry)
                    retry = min(max(LONGEST_RETRY_S, retry), 2 * retry)
        finally:
            settle(entry, False)
            self._disconnect(entry)
            if entry in self._entries:
                self._entries.remove(entry)
                sent, received = self.bytes_of_the_gone
                self.bytes_of_the_gone = sent + entry.bytes[0], received + entry.bytes[1]

    def _is_missed(self, entry: Entry) -> bool:
        """Return whether ``entry`` was connected a short while ago."""
        lost_at = None if entry.left else entry.lost_at
        return lost_at is not None and self._loop.time() - lost_at < MISSED_S

    def _missed_retry_s(self, retry: float) -> float:
        missed = sum(entry.remote is None and self._is_missed(entry) for entry in self._entries)
        pause = MISSED_RETRY_S if self._dispatcher.busy else min(retry, MISSED_IDLE_RETRY_S)
        return pause * max(1.0, missed / MISSED_AT_ONCE) * (0.75 + random.random() / 2)

    def _look_for_the_missed(self) -> None:
        """A first job wants a worker: see now whether those that were lost are back."""
        for entry in self._entries:
            if entry.remote is None and self._is_missed(entry):
                self._loop.call_at(entry.tried_at + MISSED_RETRY_S, entry.wake.set)

    async def _pause(self, entry: Entry, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await entry.wake.wait()
        except TimeoutError:
            pass

    async def _connect(self, entry: Entry, lost: asyncio.Event) -> None:
        def gone(cause: InfraError) -> None:
            if entry.remote is remote:
                entry.trouble = str(entry.reached.why(cause) if entry.reached is not None else cause)
                self._disconnect(entry, fault=bool(cause))
            lost.set()

        early: list[Message] = []

        def news(message: Message) -> None:
            if entry.remote is remote:
                self._news(entry, message)
            elif len(early) < MAX_EARLY_NEWS:
                early.append(message)

        remote = Remote(self._agent, news, gone)
        patience_s = MISSED_TIMEOUT_S if self._is_missed(entry) else CONNECT_TIMEOUT_S
        reached = await self.reach.open(remote.link, entry.name, entry.addresses, entry.ssh, patience_s)
        try:
            async with asyncio.timeout(reached.greeting_s):
                greeting = await remote.greeted
            self._greeted(entry, remote, greeting, reached)
        except BaseException as error:
            remote.link.lose(InfraError("this is not the worker that was looked for"))
            if not isinstance(error, NotServed) and len(entry.addresses) > 1 and reached.address is not None:
                entry.addresses.discard(reached.address)  # the next attempt takes another
            if isinstance(error, TimeoutError):
                raise InfraError(f"{reached.place} accepts connections and says nothing") from None
            if reached.tunnel is not None and isinstance(error, LinkLost):
                raise reached.why(error) from None
            raise
        finally:
            if entry.reached is not reached:
                reached.close()
        for message in early:
            news(message)

    def _greeted(self, entry: Entry, remote: Remote, greeting: Greeting, reached: Reached) -> None:
        if not _ID.fullmatch(greeting.id):
            raise InfraError(f"{reached.place} does not say who it is")
        if entry.id not in (None, greeting.id) and len(entry.addresses) > 1:
            raise InfraError(f"{reached.place} leads to another worker")
        other = self._by_id(WorkerId(greeting.id))
        if other is not None and other is not entry:
            other.ways |= entry.ways
            other.addresses |= entry.addresses
            other.ssh = other.ssh or entry.ssh
            entry.ways.clear()
            remote.link.lose(InfraError("the same worker under another address"))
            other.wake.set()
            if other.remote is not None:
                other.remote.link.watch(WAITING)  # is that connection still the one to keep?
            return
        entry.id, entry.name = WorkerId(greeting.id), printable(greeting.name)
        entry.remote, entry.greeting, entry.address, entry.trouble = remote, greeting, reached.address, ""
        entry.reached = reached
        entry.clock_skew_s = greeting.clock - time.time() if greeting.clock else None
        entry.lost_at, entry.left = None, False
        _log.info(
            "worker joined name=%r id=%s address=%s slots=%d", entry.name, entry.id, reached.place, greeting.slots
        )
        self._journal.note("joined", entry.name, f"{reached.place}, {greeting.slots} slots")
        self._dispatcher.tell(
            WorkerJoined(
                worker=entry.id,
                name=entry.name,
                slots=min(greeting.slots, entry.limit),
                offers=offers_of(greeting.compilers),
                started=greeting.started,
            )
        )
        self._remember()
        self.on_change()

    def _disconnect(self, entry: Entry, *, fault: bool = False) -> None:
        remote, entry.remote = entry.remote, None
        if remote is None:
            return
        entry.greeting = None
        entry.lost_at = self._loop.time()
        sent, received = entry.bytes_before
        entry.bytes_before = sent + remote.link.bytes_sent, received + remote.link.bytes_received
        if entry.id is not None:
            _log.info("worker left name=%r id=%s cause=%s", entry.name, entry.id, entry.trouble)
            if fault and not entry.left:
                self._journal.note("lost", entry.name, entry.trouble)
            else:
                self._journal.note("left", entry.name, "it said goodbye" if entry.left else "")
            self._dispatcher.tell(WorkerLost(worker=entry.id, fault=fault))
        remote.link.lose(InfraError("the agent closed the connection"))
        if entry.reached is not None:
            entry.reached.close()
            entry.reached = None
        self.on_change()

    def _news(self, entry: Entry, message: Message) -> None:
        assert entry.id is not None
        round_trip = entry.remote.link.round_trip_s if entry.remote else None
        match message:
            case Load():
                self._dispatcher.tell(change_of(entry.id, message, round_trip, entry.limit))
            case Compilers():
                self._dispatcher.tell(WorkerChanged(worker=entry.id, offers=offers_of(message.compilers)))
            case Peers():
                self._told(message.peers)
            case Goodbye():
                entry.ways -= {Way.TOLD, Way.REMEMBERED}
                entry.left = True
            case _:
                raise AssertionError(f"the connection let {type(message).__name__} pass")

    def _remember(self) -> None:
        for entry in self._entries:
            if entry.id is not None and entry.address is not None:
                self._recalled[entry.id] = Remembered(
                    id=entry.id,
                    name=entry.name,
                    addresses=tuple(sorted(address.host for address in entry.addresses)),
                    port=entry.address.port,
                    seen=time.time(),
                )
        remembered.save(self._cache, self._recalled.values())

    async def close(self) -> None:
        """Leave every worker."""
        tasks = [entry.task for entry in self._entries if entry.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.reach.close()

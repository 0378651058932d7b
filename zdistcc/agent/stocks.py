"""The stock ``distccd`` hosts that this agent knows: heard of by mDNS or named in a host list, and tried.

A host is given jobs for a compiler of this machine once it has passed the trial of it (stock_trial.py), and only such
jobs for which preprocessed text is exact.  To the scheduler it is then a worker that offers that very compiler,
``plain``.  Whoever lets a job down (no answer, silence, another compiler than on trial) offers nothing until it has
passed again, after a pause that doubles; so a host in trouble costs a few jobs some seconds, and no build.

A machine that runs a zdistcc worker is used as that and never through its ``distccd`` as well.  A worker announces
itself to stock clients, too: such announcements are no hosts (:attr:`Stocks.speaking`).  Of a host in a list it is not
known what it is: it is asked as a worker first.

Must not know: jobs, connections.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import random
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from zdistcc.agent.dispatch import Dispatcher
from zdistcc.agent.entries import MAX_SLOTS
from zdistcc.agent.journal import Journal
from zdistcc.agent.plan import Plan
from zdistcc.agent.reach import ssh_host
from zdistcc.agent.remote import Answer
from zdistcc.agent.roster import DEFAULT_PORT, MAX_ENTRIES, Roster
from zdistcc.agent.stock import HostTrouble, StockRemote, Unlike, answer_of
from zdistcc.agent.stock_trial import FAMILIES, LANGUAGES, Failed, Passed, StockTrials, Wanted, suffix_of
from zdistcc.discovery import hostspec
from zdistcc.discovery.hostspec import HostList, HostSpec, Option
from zdistcc.discovery.stockad import StockAd
from zdistcc.errors import InfraError, LocalProtocolError
from zdistcc.net.distcc import NoAnswer
from zdistcc.net.race import Address
from zdistcc.net.ssh import SshHost
from zdistcc.schedule.events import DiscoveryPending, WorkerChanged, WorkerId, WorkerJoined, WorkerLost
from zdistcc.toolchain.identity import CompilerId, Offer

TRIAL_GRACE_S: Final = 2.0
"""How long jobs wait for a host that is on trial."""
AGAIN_S: Final = 600.0
"""After what time a host is tried again, whatever the result was: distccd does not tell when its compilers change."""
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0
NATIVE_LOOK_S: Final = 2.0
"""How often to see whether the machine's worker is still there."""
REFUSALS: Final = 3
"""So many refusals in a row are no longer about the job."""
MAX_WANTED: Final = 32
_log = logging.getLogger("zdistcc.agent")


class State(enum.Enum):
    """What is known of a host; the words are those of ``zdistcc hosts``."""

    UNTRIED = "connecting"
    TRUSTED = "ready"
    UNLIKE = "incompatible"
    REFUSING = "refusing"
    UNREACHABLE = "unreachable"
    OFF = "off"
    NATIVE = "native"


_JOINED: Final = frozenset({State.TRUSTED, State.UNLIKE, State.REFUSING})
"""States in which the scheduler knows of a host."""


@dataclass(slots=True)
class StockHost:
    """One host."""

    id: WorkerId
    name: str
    remote: StockRemote
    slots: int
    ways: set[str]
    spec: HostSpec | None = None
    ad: StockAd | None = None
    state: State = State.UNTRIED
    reason: str = "not tried yet"
    passed: dict[tuple[CompilerId, str], Passed] = field(default_factory=dict)
    failed: dict[tuple[CompilerId, str], str] = field(default_factory=dict)
    joined: bool = False
    faults: int = 0
    refusals: int = 0
    not_before: float = 0.0
    again: bool = False
    """What it has passed is to be shown once more."""
    task: asyncio.Task[None] | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Stocks:
    """All stock hosts; tells the dispatcher of those that may be used."""

    def __init__(
        self, dispatcher: Dispatcher, roster: Roster, trials: StockTrials, journal: Journal, *, longest_s: float = 300.0
    ) -> None:
        self.speaking: dict[WorkerId, StockAd] = {}
        """Workers that serve stock clients, and how they announce that."""
        self._hosts: list[StockHost] = []
        self._dispatcher = dispatcher
        self._roster = roster
        self._trials = trials
        self._journal = journal
        self._longest_s = longest_s
        self._wanted: dict[tuple[CompilerId, str], Wanted] = {}
        self._specs: dict[str, HostSpec] = {}
        self._worker_seen = False
        self._news = asyncio.Event()
        self._listing: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        roster.on_change = self._review
        roster.on_stock = self._behind_ssh

    @property
    def hosts(self) -> tuple[StockHost, ...]:
        """Every host that is no zdistcc worker, in the order in which they became known."""
        return tuple(host for host in self._hosts if host.state is not State.NATIVE)

    @property
    def trusted(self) -> bool:
        """Whether any host may be given jobs."""
        return any(host.state is State.TRUSTED for host in self._hosts)

    @property
    def alone(self) -> bool:
        """Whether there are stock hosts to give jobs to, and there never was a zdistcc worker."""
        return self.trusted and not self._worker_seen and not self._roster.native_addresses()

    async def settled(self, seconds: float) -> None:
        """Wait until each host has been tried with all that is wanted, at most so long."""
        end = self._loop.time() + seconds
        while self._listing or any(map(self._is_untried, self._hosts)):
            self._news.clear()
            try:
                async with asyncio.timeout_at(end):
                    await self._news.wait()
            except TimeoutError:
                return

    def _is_untried(self, host: StockHost) -> bool:
        known = host.passed.keys() | host.failed.keys()
        return host.state in (State.UNTRIED, State.TRUSTED) and not self._wanted.keys() <= known

    def host(self, worker: WorkerId) -> StockHost | None:
        """Return the host that the scheduler knows as ``worker``."""
        return next((host for host in self._hosts if host.id == worker), None)

    # --- ways in --------------------------------------------------------------------------------

    def announced(self, ad: StockAd) -> None:
        """A ``_distcc._tcp`` announcement was heard."""
        if ad.worker:
            self.speaking[WorkerId(ad.worker)] = ad
            return
        host = self._known({Address(each, ad.port) for each in ad.addresses}, ad.name, "announced")
        if host is None:
            return
        if host.ad != ad:
            host.ad, host.not_before, host.again = ad, 0.0, True
        host.name = ad.name
        self._measure(host)
        host.wake.set()

    def gone(self, instance: str) -> None:
        """A daemon said goodbye, or its announcement has expired."""
        for worker in [worker for worker, ad in self.speaking.items() if ad.id == instance]:
            del self.speaking[worker]
        for host in self._hosts:
            if host.ad is not None and host.ad.id == instance:
                host.ad = None
                host.ways.discard("announced")
                host.wake.set()

    def listed(self, hosts: HostList) -> None:
        """A list of hosts was given; those that are new are looked for."""
        for spec in hosts.hosts:
            if spec.way is hostspec.Way.LOCAL or self._specs.get(spec.name) == spec:
                continue
            self._specs[spec.name] = spec
            if spec.way is hostspec.Way.SSH:
                self._roster.add_tunnels((ssh_host(spec),))
            else:
                self._dispatcher.tell(DiscoveryPending(until=self._loop.time() + TRIAL_GRACE_S))
                task = asyncio.ensure_future(self._look_up(spec))
                self._listing.add(task)
                task.add_done_callback(self._listing.discard)

    async def _look_up(self, spec: HostSpec) -> None:
        addresses = {Address(spec.host, spec.port)}
        try:
            found = await asyncio.to_thread(socket.getaddrinfo, spec.host, spec.port, type=socket.SOCK_STREAM)
            addresses = {Address(str(info[4][0]), spec.port) for info in found} or addresses
        except OSError:
            pass  # connecting will fail, and say why
        host = self._known(addresses, spec.name, "listed")
        self._news.set()
        if host is not None:
            host.spec = spec
            self._measure(host)
            host.wake.set()

    def _behind_ssh(self, place: SshHost) -> bool:
        """Ssh leads to a host that has distccd and no zdistccd."""
        host = self._known({Address(place.host, 22)}, str(place), "listed")
        if host is None:
            return False
        host.remote.through = partial(self._roster.reach.stock_socket, place)
        specs = (spec for spec in self._specs.values() if spec.way is hostspec.Way.SSH and ssh_host(spec) == place)
        host.spec = next(specs, None)
        self._measure(host)
        self._news.set()
        return True

    def _known(self, addresses: set[Address], name: str, way: str) -> StockHost | None:
        host = next((host for host in self._hosts if host.remote.addresses & addresses), None)
        if host is None:
            if len(self._hosts) >= MAX_ENTRIES:
                return None
            first = min(addresses)
            remote = StockRemote(addresses=set(addresses), limit=1, longest_s=self._longest_s)
            host = StockHost(id=WorkerId(f"distcc:{first}"), name=name, remote=remote, slots=1, ways=set())
            self._hosts.append(host)
            self._dispatcher.tell(DiscoveryPending(until=self._loop.time() + TRIAL_GRACE_S))
            host.task = asyncio.ensure_future(self._live(host))
        host.remote.addresses |= addresses
        host.ways.add(way)
        return host

    def _measure(self, host: StockHost) -> None:
        """Work out how many jobs ``host`` is given: what it announces, but no more than a list says."""
        ad, spec = host.ad, host.spec
        host.slots = host.remote.limit = hostspec.DEFAULT_LIMIT
        if ad is not None:
            host.slots, host.remote.limit = min(ad.cpus or ad.jobs, ad.jobs), ad.jobs
        if spec is not None and (spec.limited or ad is None):
            host.slots = host.remote.limit = spec.limit if ad is None else min(host.remote.limit, spec.limit)
        host.slots = min(host.slots, MAX_SLOTS)
        host.remote.packs = spec is not None and Option.LZO in spec.options
        if host.joined:
            self._dispatcher.tell(WorkerChanged(worker=host.id, slots=host.slots))

    def want(self, plan: Plan) -> None:
        """A job as planned may come: whoever could do it is put on trial."""
        self.want_compiler(plan.compiler.driver, plan.compiler.id, plan.need.language)

    def want_compiler(self, driver: bytes, compiler: CompilerId, language: str) -> None:
        """See which hosts have ``compiler``."""
        key = compiler, language
        if key in self._wanted or language not in LANGUAGES or compiler.family not in FAMILIES:
            return
        if len(self._wanted) >= MAX_WANTED:
            return
        self._wanted[key] = Wanted(driver=driver, compiler=compiler, language=language)
        if self._hosts:
            self._dispatcher.tell(DiscoveryPending(until=self._loop.time() + TRIAL_GRACE_S))
        for host in self._hosts:
            host.wake.set()

    # --- one life each --------------------------------------------------------------------------

    async def _live(self, host: StockHost) -> None:
        """Try, wait, and try again, as long as some way leads there."""
        try:
            while host.ways:
                host.wake.clear()
                try:
                    await self._look_at(host)
                except Exception:
                    _log.exception("a bug: the host %r is given up for now", host.name)
                    self._fail(host, State.UNREACHABLE, "something unexpected happened; the agent's log says what")
                self._news.set()
                await self._pause(host)
        finally:
            if host.joined:
                self._dispatcher.tell(WorkerLost(worker=host.id, fault=False))
            self._hosts.remove(host)

    async def _pause(self, host: StockHost) -> None:
        """Wait until there is something to find out."""
        if host.not_before <= self._loop.time() and not host.wake.is_set():
            native = host.state is State.NATIVE
            if not await _woken(host, NATIVE_LOOK_S if native else AGAIN_S) and not native:
                host.again = True
        while (left := host.not_before - self._loop.time()) > 0:
            host.wake.clear()
            await _woken(host, left)  # an announcement ends the pause

    async def _look_at(self, host: StockHost) -> None:
        options = host.spec.options if host.spec is not None else frozenset()
        if Option.DOWN in options:
            self._tell(host, State.OFF, "the host list says that it is down")
        elif Option.AUTH in options:
            self._tell(host, State.OFF, "the host list asks for GSSAPI, which is not supported")
        elif self._is_native(host) or (host.state is not State.TRUSTED and await self._seek(host)):
            self._tell(host, State.NATIVE, "")
        else:
            await self._try(host)

    async def _seek(self, host: StockHost) -> bool:
        """Return whether a listed host turns out to be a zdistcc worker."""
        spec = host.spec
        if spec is None or host.remote.through is not None:
            return False
        ports = {spec.port, DEFAULT_PORT if spec.port == hostspec.DEFAULT_PORT else spec.port}
        limit = spec.limit if spec.limited else MAX_SLOTS
        places = {Address(address.host, port) for address in host.remote.addresses for port in ports}
        found = await asyncio.gather(*(self._roster.seek(host.name, place, limit) for place in places))
        return any(found)

    async def _try(self, host: StockHost) -> None:
        refused = ""
        for key, wanted in list(self._wanted.items()):
            if key in host.passed and not host.again:
                continue
            try:
                host.passed[key] = await self._trials.attempt(host.remote, wanted)
                host.failed.pop(key, None)
            except (Failed, NoAnswer) as error:
                host.passed.pop(key, None)
                host.failed[key] = str(error)
                if isinstance(error, NoAnswer):
                    refused = str(error)
            except InfraError as error:
                self._fail(host, State.UNREACHABLE, str(error))
                return
        host.again = False
        if host.passed:
            self._tell(host, State.TRUSTED, "")
        elif host.failed:
            last = list(host.failed.values())[-1]
            self._fail(host, State.REFUSING if last == refused else State.UNLIKE, last)

    def _is_native(self, host: StockHost) -> bool:
        return bool({address.host for address in host.remote.addresses} & self._roster.native_addresses())

    def _review(self) -> None:
        """A worker joined or left: is it one of the hosts here?"""
        self._worker_seen = self._worker_seen or any(entry.connected for entry in self._roster.entries)
        for host in self._hosts:
            if self._is_native(host):
                self._tell(host, State.NATIVE, "")
                host.wake.set()
            elif host.state is State.NATIVE:
                host.wake.set()

    def _fail(self, host: StockHost, state: State, reason: str) -> None:
        """``host`` is left alone for a while."""
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(host.faults, 10)) * (0.75 + random.random() / 2)
        host.faults += 1
        host.not_before = self._loop.time() + pause
        host.passed.clear()
        self._tell(host, state, reason)
        host.wake.set()

    def _tell(self, host: StockHost, state: State, reason: str) -> None:
        """Note what is known of ``host``, and tell the scheduler what that means."""
        if state is not State.TRUSTED:
            host.passed.clear()
        if (state, reason) != (host.state, host.reason) and state is not State.NATIVE:
            level = logging.INFO if state is State.TRUSTED else logging.WARNING
            _log.log(level, "distcc host name=%r state=%s %s", host.name, state.value, reason)
            self._journal.note("joined" if state is State.TRUSTED else "unreachable", host.name, reason)
        host.state, host.reason = state, reason
        if state not in _JOINED:
            if host.joined:
                host.joined = False
                self._dispatcher.tell(WorkerLost(worker=host.id, fault=False))
            return
        offers = tuple(_offers(host.passed))
        if host.joined:
            self._dispatcher.tell(WorkerChanged(worker=host.id, offers=offers, slots=host.slots))
        else:
            host.joined = True
            self._dispatcher.tell(WorkerJoined(worker=host.id, name=host.name, slots=host.slots, offers=offers))

    # --- jobs -----------------------------------------------------------------------------------

    async def compile(self, worker: WorkerId, plan: Plan, text: bytes) -> Answer:
        """Have preprocessed ``text`` compiled as ``plan`` says; an :class:`InfraError` says why that was not done."""
        host = self.host(worker)
        passed = host.passed.get((plan.compiler.id, plan.need.language)) if host is not None else None
        if host is None or passed is None:
            raise Unlike("the host has left, or is on trial again")
        try:
            words = (*passed.words, *plan.remote_args())
            reply = await host.remote.compile(words, text, suffix_of(plan.need.language))
            answer = answer_of(reply, passed.mark)
        except InfraError as error:
            self._let_down(host, error)
            raise
        host.faults = host.refusals = 0
        return answer

    def _let_down(self, host: StockHost, error: InfraError) -> None:
        match error:
            case LocalProtocolError():
                pass  # it was not even asked
            case NoAnswer() | HostTrouble():
                host.refusals += 1
                if host.refusals >= REFUSALS:
                    host.refusals = 0
                    self._fail(host, State.REFUSING, str(error))
            case Unlike():
                self._fail(host, State.UNLIKE, str(error))
            case _:
                self._fail(host, State.UNREACHABLE, str(error))

    async def close(self) -> None:
        """Leave every host."""
        tasks = [*self._listing, *(host.task for host in self._hosts if host.task is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._trials.close()


async def _woken(host: StockHost, seconds: float) -> bool:
    """Return whether there was news of ``host`` within that time."""
    try:
        async with asyncio.timeout(seconds):
            await host.wake.wait()
    except TimeoutError:
        return False
    return True


def _offers(passed: Iterable[tuple[CompilerId, str]]) -> Iterable[Offer]:
    languages: dict[CompilerId, set[str]] = {}
    for compiler, language in passed:
        languages.setdefault(compiler, set()).add(language)
    for compiler, known in languages.items():
        yield Offer(id=compiler, languages=frozenset(known), plain=True)

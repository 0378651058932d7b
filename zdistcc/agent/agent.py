"""The agent as a whole: discovery, roster, dispatcher and control socket, put together and taken apart."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from zdistcc import __version__, config, logs, paths
from zdistcc.agent import admin, job
from zdistcc.agent.admin import LaunchQuestion
from zdistcc.agent.builds import Builds
from zdistcc.agent.canary import Canaries
from zdistcc.agent.control import Door, Visitor
from zdistcc.agent.dispatch import Dispatcher
from zdistcc.agent.headers import Shelf
from zdistcc.agent.history import History
from zdistcc.agent.job import Done, Failed, Here, Outcome
from zdistcc.agent.journal import Journal
from zdistcc.agent.parallelism import Parallelism, parallelism
from zdistcc.agent.plan import Planner
from zdistcc.agent.reach import Reach, ssh_of
from zdistcc.agent.remote import Remote, WrongResult
from zdistcc.agent.roster import Roster
from zdistcc.agent.snapshot import Lookout, SnapshotQuestion
from zdistcc.agent.stats import Stats
from zdistcc.agent.stock_trial import StockTrials
from zdistcc.agent.stocks import Stocks
from zdistcc.agent.trial import trial_everywhere
from zdistcc.children import raise_descriptor_limit
from zdistcc.config import Config, Fidelity
from zdistcc.discovery import hostspec
from zdistcc.discovery import interfaces as nics
from zdistcc.discovery.browse import Browser, StockBrowser
from zdistcc.discovery.mdns import NoMulticast, open_responder
from zdistcc.errors import ExitCode, Reason, UserError
from zdistcc.schedule.events import DiscoveryPending, Need, WorkerId, WorkerQuarantined
from zdistcc.schedule.policies import POLICIES
from zdistcc.schedule.snapshot import WorkerView
from zdistcc.sources.model import Closure
from zdistcc.toolchain.identity import CompilerId, Match
from zdistcc.toolchain.lookup import default_compiler
from zdistcc.toolchain.probe import Probed
from zdistcc.toolchain.probecache import ProbeCache
from zdistcc.wire.control import LaunchRequest

BROWSE_GRACE_S = 1.5
"""How long the first jobs of an agent's life wait for workers to be heard of: mDNS answers within 1.2 s."""
THREAD_TURN_S: Final = 0.0005
"""How long a thread that scans sources may keep the loop waiting at each turn; Python's own 5 ms add up to 50."""
GC_THRESHOLDS: Final = 2000, 10, 1000
"""A search of everything for garbage takes 0.1 s after a closure of 5,000 files: that is left to idle moments."""
CODE_ALONE: Final = "only stock distccd hosts are here: debug information may lack columns"
TIDY_AFTER_S: Final = 5.0
MAX_HOST_LISTS: Final = 100
"""Lists that are remembered as dealt with; a build has one."""
_log = logging.getLogger("zdistcc.agent")


class Agent:
    """Everything the agent owns; a ``job.Farm``."""

    def __init__(self, settings: Config, env: dict[str, str]) -> None:
        self.settings = settings
        self.stats = Stats()
        self._env = {os.fsencode(key): os.fsencode(value) for key, value in env.items()}
        cache = paths.cache_dir(env, settings.cache_dir)
        self.history = History(cache / "history" / f"{paths.agent_key()}.jsonl")
        self.journal = Journal(asyncio.get_running_loop().time, self.history.keep)
        self.history.epoch = self.journal.epoch
        self._probes = ProbeCache(cache / "probes.json")
        self.planner = Planner(self._probes)
        self.shelf = Shelf(cache / "sources.cache")
        self.canaries = Canaries(cache / "canary", self._env)
        policy = POLICIES[settings.policy]
        local_slots = settings.local_slots or _listed_slots(settings.hosts) or config.cores()
        self.dispatcher = Dispatcher(local_slots=local_slots, policy=policy)
        reach = Reach(
            ssh_of(settings, env, paths.runtime_dir(env)), only_ssh=settings.reach == "ssh", user=settings.ssh_user
        )
        self.roster = Roster(self.dispatcher, cache / "workers.json", self.journal, reach)
        trials = StockTrials(cache / "canary", self._env)
        self.stocks = Stocks(self.dispatcher, self.roster, trials, self.journal, longest_s=settings.distcc_timeout)
        self._host_lists: dict[str, str] = {"": ""}
        self._code_alone = False
        self.lookout = Lookout(self.dispatcher, self.roster, self.journal, self.stats, self.stocks)
        self._leaving = asyncio.Event()
        self._idle_timers: tuple[asyncio.TimerHandle, ...] = ()
        self._builds = Builds()

    # --- job.Farm -------------------------------------------------------------------------------

    def remote(self, worker: WorkerId) -> Remote | None:
        """Return the connection to a worker."""
        return self.roster.remote(worker)

    def worker_name(self, worker: WorkerId) -> str:
        """Return the name under which a worker is shown."""
        entry = self.roster.entry(worker) or self.stocks.host(worker)
        return entry.name if entry is not None else worker

    def holders(self, closure: Closure) -> frozenset[WorkerId]:
        """Return the workers that have most of ``closure`` already."""
        return self.roster.holders(closure)

    def quarantine(self, worker: WorkerId, cause: WrongResult) -> None:
        """Believe ``worker`` in nothing any more, until it has begun anew and passed another trial."""
        _log.error("worker quarantined name=%r id=%s: %s", self.worker_name(worker), worker, cause)
        self.canaries.forget(worker)
        self.dispatcher.tell(WorkerQuarantined(worker=worker, reason=str(cause)))
        remote = self.roster.remote(worker)
        if remote is not None:
            remote.disbelieve(cause)

    # --- control --------------------------------------------------------------------------------

    async def launch(self, request: LaunchRequest, visitor: Visitor) -> Outcome:
        """Decide one compile command."""
        for timer in self._idle_timers:
            timer.cancel()
        settings = config.for_job(self.settings, request.env)
        if settings.peers:
            self.roster.add_peers(settings.peers)
        number = visitor.job = self.dispatcher.new_job(self._builds.of(visitor.pid))
        self.journal.begin(number, request)
        outcome: Outcome | None = None
        try:
            trouble = self._use_hosts(settings.hosts)
            if trouble and not settings.fallback:
                outcome = Failed(code=ExitCode.BAD_HOST_SPEC, message=trouble)
            else:
                settings = self._with_fidelity(settings)
                outcome = await job.run(self, number, request, settings, visitor.still_there)
        except asyncio.CancelledError:
            self.stats.failed(Reason.ABANDONED)
            self.journal.end(number, "abandoned")
            raise
        finally:
            if not isinstance(outcome, Here):
                self.dispatcher.forget(number)
        if not isinstance(outcome, Here):
            self.journal.end(number, "remote" if isinstance(outcome, Done) else "failed")
        return outcome

    def _use_hosts(self, text: str) -> str:
        """Look for the hosts that ``text`` lists, once; return what is wrong with it."""
        trouble = self._host_lists.get(text)
        if trouble is None:
            try:
                self.stocks.listed(hostspec.parse(text))
                trouble = ""
            except UserError as error:
                trouble = str(error)
                _log.warning("the host list is not used: %s", trouble)
            if len(self._host_lists) < MAX_HOST_LISTS:
                self._host_lists[text] = trouble
        return trouble

    def _with_fidelity(self, settings: Config) -> Config:
        """Return ``settings`` with what ``auto`` means now."""
        if settings.fidelity is not Fidelity.AUTO:
            return settings
        listened = asyncio.get_running_loop().time() > self._begun + BROWSE_GRACE_S
        code = listened and self.stocks.alone
        if code is not self._code_alone:
            self._code_alone = code
            self.journal.note("fidelity", "", CODE_ALONE if code else "a zdistcc worker is here: exact again")
        return dataclasses.replace(settings, fidelity=Fidelity.CODE if code else Fidelity.EXACT)

    async def keep_slot(self, visitor: Visitor) -> None:
        """Wait for a local slot; the end of ``visitor`` gives it back."""
        number = visitor.job
        assert number is not None
        try:
            ticket = await self.dispatcher.local(urgent=False, job=number)
        except asyncio.CancelledError:
            self.journal.end(number, "abandoned")
            raise
        finally:
            self.dispatcher.forget(number)
        self.journal.runs_here(number)

        def ended() -> None:
            self.dispatcher.release(ticket)
            self.journal.end(number, "local")

        visitor.on_end = ended

    async def answer(self, body: bytes) -> bytes:
        """Answer the command line interface."""
        try:
            question: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
            return msgspec.json.encode(await self._answer(question))
        except (msgspec.MsgspecError, UserError) as error:
            return msgspec.json.encode({"error": str(error), "code": getattr(error, "code", UserError.code)})

    async def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        match question.get("ask"):
            case "hosts":
                hosts = question.get("hosts", "")
                hostspec.parse(hosts)
                self._use_hosts(hosts)
                await self._settle(question.get("settle", 0.0), question.get("peers", ()))
                return await self._hosts()
            case "stats":
                stocks = [(host.remote.bytes_sent, host.remote.bytes_received) for host in self.stocks.hosts]
                moved = [self.roster.bytes_of_the_gone, *(entry.bytes for entry in self.roster.entries), *stocks]
                sent, received = (sum(counts) for counts in zip(*moved, strict=True))
                return self.stats.as_json(sent, received, self.dispatcher.snapshot())
            case "explain":
                launch = msgspec.convert(question.get("launch"), LaunchQuestion)
                settings = config.for_job(self.settings, launch.request().env)
                hostspec.parse(settings.hosts)
                self._use_hosts(settings.hosts)
                await self._settle(question.get("settle", 0.0), settings.peers)
                return await admin.explain(self, self.roster, self._views, launch, self._with_fidelity(settings))
            case "trial":
                compiler = await asyncio.to_thread(self._default_compiler)
                return {"trials": await trial_everywhere(self, self.roster, compiler)}
            case "parallelism":
                self._use_hosts(question.get("hosts", ""))
                await self._settle(question.get("settle", 0.0), question.get("peers", ()))
                return dataclasses.asdict(await self._parallelism())
            case "journal":
                return admin.journal_page(self, self.history.agent, question.get("after", 0))
            case "history":
                return await asyncio.to_thread(self.history.read, own=bool(self.journal.first))
            case "snapshot":
                self._use_hosts(question.get("hosts", ""))
                await self._settle(question.get("settle", 0.0), question.get("peers", ()))
                default = await self._default_id()
                return await self.lookout.answer(msgspec.convert(question, SnapshotQuestion), default)
            case "build":
                return self.journal.tallies.as_json(str(question.get("build")))
            case "version":
                return {"version": __version__, "pid": os.getpid()}
            case "stop":
                await self.history.flush()  # whoever asks the next agent finds it
                self._leaving.set()
                return {"stopped": True}
            case other:
                why = "agent and command are of different versions; zdistcc stop ends this agent"
                return {"error": f"unknown question {other!r}: {why}"}

    async def _settle(self, seconds: float, peers: Iterable[str]) -> None:
        """Wait until the agent has listened, or tried new ``peers``, for ``seconds``: now there is news to show.

        Stock hosts are tried with the default compiler.
        """
        default = await asyncio.to_thread(self._default_compiler) if seconds > 0 else None
        if default is not None:
            self.stocks.want_compiler(default.driver, default.id, "c")
        known = self.roster.add_peers(peers)
        passed = asyncio.get_running_loop().time() - self._begun if known else 0.0
        if passed < min(seconds, 10.0):
            await asyncio.sleep(min(seconds, 10.0) - passed)
        if seconds > 0:
            await self.stocks.settled(min(seconds, 10.0))

    async def _hosts(self) -> dict[str, Any]:
        default = await self._default_id()
        views = self._views()
        rows = [
            admin.describe_host(entry, views.get(entry.id) if entry.id else None, default)
            for entry in self.roster.entries
            if entry.id is not None or entry.sought is None
        ]
        rows += [admin.describe_stock(host, views.get(host.id), default) for host in self.stocks.hosts]
        in_force = self._with_fidelity(self.settings).fidelity.value
        return {
            "fidelity": {"setting": self.settings.fidelity.value, "in_force": in_force},
            "distcc": admin.distcc_hosts(self.stocks, self.roster, views),
            "hosts": sorted(rows, key=lambda row: (row["name"], str(row["id"]))),
            "compiler": admin.describe_compiler(default),
        }

    async def _parallelism(self) -> Parallelism:
        """How many commands are worth starting at once: of the kinds that came last, or with the default compiler."""
        needs = self.dispatcher.recent_needs
        if not needs and (default := await self._default_id()) is not None:
            needs = (Need(compiler=default, level=Match(self.settings.compatibility), language="c", plain=True),)
        return parallelism(self.dispatcher.snapshot(), needs, asyncio.get_running_loop().time())

    def _views(self) -> dict[str, WorkerView]:
        return {view.worker: view for view in self.dispatcher.snapshot().workers}

    async def _default_id(self) -> CompilerId | None:
        compiler = await asyncio.to_thread(self._default_compiler)
        return compiler.id if compiler is not None else None

    def _default_compiler(self) -> Probed | None:
        path = default_compiler(self._env)
        found = self._probes.probe(path, self._env) if path is not None else None
        return found if isinstance(found, Probed) else None

    # --- life -----------------------------------------------------------------------------------

    async def live(self, listener: socket.socket) -> None:
        """Serve until idle or told to leave."""
        loop = asyncio.get_running_loop()
        self._begun = loop.time()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leaving.set)
        door = self._door = Door(
            listener, launch=self.launch, keep_slot=self.keep_slot, admin=self.answer, idle=self._idle
        )
        self._idle()
        async with self._discovery():
            self.roster.recall()
            self.roster.add_peers(self.settings.peers)
            self._use_hosts(self.settings.hosts)
            await self._leaving.wait()
            door.close()  # at once: whoever comes now finds nobody and starts a new agent
        await self.stocks.close()
        await self.roster.close()
        self.dispatcher.close()
        self.shelf.close()
        await self.history.flush()

    @contextlib.asynccontextmanager
    async def _discovery(self):  # type: ignore[no-untyped-def]
        """Browse while the body runs, where that is possible and wanted."""
        if not self.settings.discovery:
            yield
            return
        self.dispatcher.tell(DiscoveryPending(until=self._begun + BROWSE_GRACE_S))
        try:
            responder = open_responder(nics.choose(self.settings.interface))
        except (NoMulticast, UserError) as error:
            _log.warning("no mDNS: %s", error)
            yield
            return
        browser = Browser(responder, self.roster.announced, self.roster.gone)
        stock_browser = StockBrowser(responder, self.stocks.announced, self.stocks.gone)
        browser.start()
        stock_browser.start()
        try:
            yield
        finally:
            await browser.stop()
            await stock_browser.stop()
            await responder.async_close()

    def _idle(self) -> None:
        """Nobody is connected: begin to count the idle time."""
        for timer in self._idle_timers:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._idle_timers = (
            loop.call_later(TIDY_AFTER_S, gc.collect),
            loop.call_later(self.settings.idle_exit, self._idle_over),
        )

    def _idle_over(self) -> None:
        """Leave, unless somebody has come in and not said anything yet."""
        if not self._door.visitors:
            self._leaving.set()


def _listed_slots(hosts: str) -> int | None:
    """Return how many slots a host list gives this machine."""
    try:
        listed = hostspec.parse(hosts)
    except UserError:
        return None
    here = (spec.limit for spec in listed.hosts if spec.way is hostspec.Way.LOCAL and spec.limited)
    return listed.local_slots or next(here, None)


def run(listener: socket.socket, path: str) -> None:
    """Live, then clear the socket's path (unless another agent has taken it meanwhile)."""
    env = dict(os.environ)
    trouble = ""
    try:
        settings = config.load(env)
    except UserError as error:
        settings, trouble = Config(), str(error)
    logs.begin(settings.log, env)
    if trouble:
        _log.error("the configuration is not used: %s", trouble)
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    sys.setswitchinterval(THREAD_TURN_S)
    gc.set_threshold(*GC_THRESHOLDS)
    inode = os.stat(path).st_ino
    raise_descriptor_limit()

    async def live() -> None:
        agent = Agent(settings, env)
        _log.info("agent %s begins pid=%d", __version__, os.getpid())
        try:
            await agent.live(listener)
        finally:
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_ino == inode:
                    os.unlink(path)
            _log.info("agent leaves pid=%d", os.getpid())

    asyncio.run(live())

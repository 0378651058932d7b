"""Composition root of ``zdistccd``: settings, compilers, listening, discovery, signals, in this order, and back.

SIGTERM and SIGINT drain: no new jobs, the running ones end.  A second one stops at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import platform
import secrets
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from zdistcc import __version__, logs, paths
from zdistcc.children import Limits, raise_descriptor_limit
from zdistcc.config import Config
from zdistcc.discovery import interfaces as nics
from zdistcc.discovery.advert import AdCompiler, WorkerAd, printable
from zdistcc.discovery.advertise import Advertiser
from zdistcc.discovery.browse import Browser
from zdistcc.discovery.distcc_advert import DistccAd
from zdistcc.discovery.mdns import NoMulticast, open_responder
from zdistcc.errors import UserError
from zdistcc.store.blobs import BlobStore
from zdistcc.store.trees import TreeStore
from zdistcc.toolchain.inventory import Watched, refresh
from zdistcc.toolchain.lookup import search_path
from zdistcc.toolchain.probecache import ProbeCache
from zdistcc.wire import frames
from zdistcc.wire.messages import PeerInfo
from zdistcc.worker import access
from zdistcc.worker.door import Doorman, bind
from zdistcc.worker.execute import sweep
from zdistcc.worker.machine import Machine, slept_s
from zdistcc.worker.postern import Door, claim
from zdistcc.worker.server import Settings, Worker
from zdistcc.worker.showing import Showing
from zdistcc.worker.sleep import Unavailable, mind_sleep
from zdistcc.worker.sources import Sources
from zdistcc.worker.spelling import Spelling, spell

COMPILERS_INTERVAL_S: Final = 20.0
"""How often the places where compilers are get a look (a listing and some stats)."""
MACHINE_INTERVAL_S: Final = 1.0
"""How often the machine is looked at (some files of /proc and /sys, half a millisecond)."""
LINGER_S: Final = 20.0
"""How long a worker that --stdio began waits for the next client; agents look for a lost worker more often."""
NAP_S: Final = 2.0
BEDTIME_S: Final = 3.0
"""How long running jobs may go on when the machine is to sleep; logind waits 5 s, of which announcing takes some."""
DEFAULT_PORT: Final = 3633
DISTCC_PORT: Final = 3632
USUAL_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
"""Compilers are found there whatever PATH says, and need their assembler, which they look for on PATH."""
_log = logging.getLogger("zdistcc.worker")


def open_store(config: Config, env: Mapping[str, str]) -> Path:
    """Return the worker's directory, made if need be; :class:`UserError` when it cannot be used."""
    directory = Path(config.store) if config.store else paths.cache_dir(env, config.cache_dir) / "zdistccd"
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UserError(
            f"the store {directory} cannot be used: {error.strerror}; choose another with --store"
        ) from error
    return directory


def worker_id(directory: Path) -> str:
    """Return this worker's identity: kept in its store, and bound to the machine so that a copied image differs."""
    file = directory / "id"
    try:
        seed = file.read_text().strip()
    except OSError:
        seed = ""
    if len(seed) != 32:
        seed = secrets.token_hex(16)
        file.write_text(seed + "\n")
    machine = ""
    with contextlib.suppress(OSError):
        machine = Path("/etc/machine-id").read_text().strip()
    return hashlib.sha256(f"{seed} {machine} {socket.gethostname()}".encode()).hexdigest()[:16]


def settings_of(config: Config, env: Mapping[str, str]) -> Settings:
    """Return what ``config`` means on this machine."""
    directory = open_store(config, env)
    limits = Limits(
        seconds=config.job_seconds,
        memory=config.job_memory,
        output=config.job_output,
        nice=config.nice,
        background=config.polite,
    )
    return Settings(
        id=worker_id(directory),
        name=printable(config.name or socket.gethostname().partition(".")[0]) or "worker",
        slots=config.slots or Machine().cores(),
        workspace=directory / "jobs",
        limits=limits,
        allow=access.parse_networks(config.allow),
        deny=access.parse_networks(config.deny, "--deny"),
        machine=f"{platform.system()} {platform.machine()}",
        distcc=config.distcc_port != 0,
        env={b"PATH": os.fsencode(f"{env.get('PATH', '')}:{USUAL_PATH}".lstrip(":"))},
        polite=config.polite,
        on_battery=config.on_battery,
    )


def advertised(worker: Worker, watched: Watched, port: int) -> WorkerAd:
    """Return what to announce."""
    return WorkerAd(
        id=worker.settings.id,
        name=worker.settings.name,
        version=__version__,
        protocol=frames.PROTOCOL_VERSION,
        slots=worker.settings.slots,
        compilers=tuple(
            AdCompiler(
                family=compiler.id.family.value,
                version=compiler.id.version,
                target=compiler.id.target,
                build=compiler.id.build_id,
            )
            for compiler in watched.inventory.compilers
        ),
        port=port,
    )


def gnu_host() -> str:
    """Return this machine's triple as stock daemons announce it."""
    system = platform.system().lower()
    return f"{platform.machine()}-" + ("pc-linux-gnu" if system == "linux" else f"unknown-{system}")


class Daemon:
    """One running worker.  ``private``: it has only that door, and leaves when it has been alone for a while."""

    def __init__(
        self, config: Config, env: Mapping[str, str], door: Door | None = None, *, private: bool = False
    ) -> None:
        self.config = config
        self._door = door
        self._private = private
        settings = settings_of(config, env)
        self._blobs = BlobStore(settings.workspace.parent / "sources", config.store_size)
        sweep(settings.workspace)  # not before the store is ours
        self.worker = Worker(settings, Sources(self._blobs, TreeStore(self._blobs)))
        self._env = {os.fsencode(key): os.fsencode(value) for key, value in env.items()}
        self._probes = ProbeCache(paths.cache_dir(env, config.cache_dir) / "probes.json")
        self._machine = Machine(niced=config.nice > 0)
        self._advertiser: Advertiser | None = None
        self._watched: Watched | None = None
        self._spelling = Spelling(generic={}, compilers=())
        self._peers: dict[str, PeerInfo] = {}
        self._signals = 0
        self._leaving = asyncio.Event()
        self._replaced = asyncio.Event()
        self.worker.on_replaced = self._replaced.set
        self.port = 0
        self.distcc_port = 0
        """Where clients of stock distcc are served: the port that is theirs alone, or the same; 0 for nowhere."""

    async def run(self, ready: Callable[[Daemon], None], showing: Showing | None = None) -> None:
        """Serve until told to leave; ``ready`` is called once clients can connect."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        chosen = nics.choose(self.config.interface)
        await self._look_for_compilers()
        servers = await self._listen(chosen)
        async with self._announced(chosen) as advertiser:
            self._advertiser = advertiser
            self.worker.notice(await asyncio.to_thread(self._machine.read))
            ready(self)
            if showing is not None:
                showing.begin()
            duties = [self._keep_compilers_fresh(), self._mind_machine(), self._mind_sleep()]
            if self._private:
                duties.append(self._mind_company())
            tasks = [asyncio.ensure_future(duty) for duty in duties]
            await self._leaving.wait()
            if showing is not None:
                showing.leaving()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if advertiser is not None:
                await advertiser.goodbye()
            for server in servers:
                server.close()
            await self._drain()
        self.worker.stop()
        await asyncio.sleep(0)
        self._blobs.close()

    def _bind_for_distcc(self, chosen: tuple[nics.Interface, ...]) -> list[socket.socket]:
        wanted = self.config.distcc_port
        if not wanted or wanted == self.port:
            self.distcc_port = wanted
            return []
        try:
            sockets = bind(wanted, self._hosts(chosen), any_port_will_do=False, option="--distcc-port")
        except UserError:
            if wanted != DISTCC_PORT:
                raise
            _log.info("port %d is taken: clients of distcc are served on port %d only", wanted, self.port)
            sockets = []
        self.distcc_port = wanted if sockets else self.port
        return sockets

    async def _listen(self, chosen: tuple[nics.Interface, ...]) -> list[asyncio.Server]:
        """Take connections on the port and at the private door, as far as there are these."""
        loop = asyncio.get_running_loop()
        servers = []
        if not self._private:
            sockets = bind(self.config.port, self._hosts(chosen), any_port_will_do=self.config.port == DEFAULT_PORT)
            self.port = sockets[0].getsockname()[1]
            sockets += self._bind_for_distcc(chosen)
            servers = [await loop.create_server(lambda: Doorman(self.worker), sock=sock) for sock in sockets]
        if self._door is not None:
            listener = self._door.listener
            servers.append(await loop.create_unix_server(lambda: Doorman(self.worker, private=True), sock=listener))
        return servers

    def _hosts(self, chosen: tuple[nics.Interface, ...]) -> list[str]:
        if not self.config.interface:
            return []
        return [
            f"{address}%{interface.name}" if address.startswith("fe80") else address
            for interface in chosen
            for address in interface.addresses
        ]

    # --- discovery ------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _announced(self, chosen: tuple[nics.Interface, ...]):  # type: ignore[no-untyped-def]
        """Announce and browse while the body runs; yields the advertiser, or ``None`` where there is no mDNS."""
        if not self.config.discovery or self._private:
            yield None
            return
        try:
            responder = open_responder(chosen)
        except NoMulticast as error:
            _log.warning("no mDNS on this machine (%s): clients need ZDISTCC_PEERS=%s", error, socket.gethostname())
            yield None
            return
        browser = Browser(responder, self._peer_seen, self._peer_gone)
        advertiser = Advertiser(responder, chosen, self._for_distcc)
        try:
            assert self._watched is not None
            await advertiser.announce(advertised(self.worker, self._watched, self.port))
            browser.start()
            yield advertiser
        finally:
            await browser.stop()
            await advertiser.goodbye()
            await responder.async_close()

    def _for_distcc(self) -> DistccAd | None:
        """Return what clients of stock distcc are told, if they are served."""
        settings = self.worker.settings
        if not self.distcc_port:
            return None
        return DistccAd(
            id=settings.id,
            name=settings.name,
            cpus=os.cpu_count() or 1,
            slots=settings.slots,
            gnuhost=gnu_host(),
            compilers=self._spelling.compilers,
            port=self.distcc_port,
        )

    def _peer_seen(self, ad: WorkerAd) -> None:
        if ad.id != self.worker.settings.id:
            peer = PeerInfo(id=ad.id, name=ad.name, addresses=ad.addresses[:32], port=ad.port)
            if self._peers.get(ad.id) != peer and len(self._peers) < 1024:
                self._peers[ad.id] = peer
                self.worker.set_peers(self._peers)

    def _peer_gone(self, worker: str) -> None:
        if self._peers.pop(worker, None) is not None:
            self.worker.set_peers(self._peers)

    # --- compilers ------------------------------------------------------------------------------

    async def _look_for_compilers(self, *, anew: bool = False) -> bool:
        """Take stock; return whether anything changed (``anew``: something has, wherever it lies)."""
        before = None if anew else self._watched
        self._watched = await asyncio.to_thread(refresh, before, search_path(self._env), self._env, self._probes)
        if self._watched is before:
            return False
        compilers = self._watched.inventory.compilers
        self._spelling = await asyncio.to_thread(spell, compilers, self._env, self._probes)
        await asyncio.to_thread(self._probes.save)
        self.worker.set_compilers(compilers, self._spelling.generic)
        for compiler in compilers:
            _log.info("offers %s %s build=%s driver=%s", compiler.id, compiler.id.target, compiler.id.build_id[:8],
                      os.fsdecode(compiler.driver))  # fmt: skip
        for failure in self._watched.inventory.left_out:
            _log.debug("not offered: %s", failure)
        if not compilers:
            _log.warning("no compiler was found on PATH or in the usual places: install gcc or clang")
        return True

    async def _keep_compilers_fresh(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COMPILERS_INTERVAL_S):
                    await self._replaced.wait()
            replaced = self._replaced.is_set()
            self._replaced.clear()
            try:
                if await self._look_for_compilers(anew=replaced):
                    await self._announce()
            except Exception:
                _log.exception("a bug: the compilers could not be looked at; what was known is still offered")

    # --- the machine ----------------------------------------------------------------------------

    async def _mind_machine(self) -> None:
        """Offer what the machine's other users leave; announce again after a sleep that nobody spoke of."""
        slept = slept_s()
        while True:
            await asyncio.sleep(MACHINE_INTERVAL_S)
            try:
                self.worker.notice(await asyncio.to_thread(self._machine.read))
                before, slept = slept, slept_s()
                if slept - before > NAP_S:
                    _log.info("slept for %.0f s", slept - before)
                    await self._announce()
            except Exception:
                _log.exception("a bug: the machine could not be looked at; the slots stay as they were")

    async def _mind_company(self) -> None:
        """Leave when there has been no client for a while."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while loop.time() - last < LINGER_S:
            await asyncio.sleep(MACHINE_INTERVAL_S)
            if self.worker.sessions:
                last = loop.time()
        _log.info("no client for %g s", LINGER_S)
        self._leaving.set()

    async def _mind_sleep(self) -> None:
        """Where logind tells of sleep, give the jobs back before."""
        try:
            await mind_sleep(self._fall_asleep, self._wake_up)
        except Unavailable as why:
            _log.debug("sleep is not announced on this machine: %s", why)
        except Exception:
            _log.exception("a bug: sleep is not heeded any more")
        if self.worker.admission.draining:
            await self._wake_up()  # the last thing heard was that it is to sleep

    async def _fall_asleep(self) -> None:
        _log.info("the machine goes to sleep: %d jobs are running", self.worker.admission.counts.running)
        if self._advertiser is not None:
            await self._advertiser.goodbye()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEDTIME_S):
                await self.worker.drain()
        self.worker.stop()

    async def _wake_up(self) -> None:
        _log.info("the machine is awake again")
        self.worker.resume()
        await self._announce()

    async def _announce(self) -> None:
        if self._advertiser is not None and self._watched is not None:
            await self._advertiser.announce(advertised(self.worker, self._watched, self.port))

    # --- leaving --------------------------------------------------------------------------------

    def _signalled(self) -> None:
        self._signals += 1
        self._leaving.set()
        if self._signals == 1:
            running = self.worker.admission.counts.running
            _log.info("leaving: %d jobs are still running; signal again to stop them", running)

    async def _drain(self) -> None:
        draining = asyncio.ensure_future(self.worker.drain())
        while not draining.done() and self._signals < 2:
            await asyncio.wait([draining], timeout=0.1)
        draining.cancel()


def run(
    config: Config,
    env: Mapping[str, str],
    ready: Callable[[Daemon], None] = lambda daemon: None,
    own: Door | None = None,
) -> None:
    """Run a worker until it is told to leave; :class:`UserError` when it cannot start.

    ``own``: the door for which it was begun, and its only one.
    """
    line = logs.begin(config.log, env)
    raise_descriptor_limit()
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

    door = own or claim(env)

    async def main() -> None:
        daemon = Daemon(config, env, door, private=own is not None)
        showing = Showing(daemon.worker, line, env)
        try:
            await daemon.run(ready, showing)
        finally:
            showing.close()

    try:
        asyncio.run(main())
    finally:
        if door is not None:
            door.close()

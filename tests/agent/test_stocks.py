"""Stock distccd hosts: tried before they are trusted, and left alone when they let jobs down; against scripted hosts."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.agent.fakes import dispatcher, fake_worker, greeting, unreached, unused_port
from tests.agent.test_roster import A, ad, joined
from tests.aio import pass_time, run, until
from zdistcc.agent import stock as stock_module
from zdistcc.agent import stocks as stocks_module
from zdistcc.agent.admin import describe_stock, distcc_hosts
from zdistcc.agent.dispatch import Dispatcher
from zdistcc.agent.journal import Journal
from zdistcc.agent.plan import Plan, Planner, text_fits
from zdistcc.agent.roster import Roster
from zdistcc.agent.stock import Unlike, mark_of
from zdistcc.agent.stock_trial import StockTrials
from zdistcc.agent.stocks import REFUSALS, State, StockHost, Stocks
from zdistcc.config import Config, Fidelity
from zdistcc.discovery import hostspec
from zdistcc.discovery.stockad import StockAd
from zdistcc.errors import InfraError
from zdistcc.net.distcc import Broken, NoAnswer, TooLong
from zdistcc.net.ssh import SshHost
from zdistcc.schedule.decisions import Grant, RunLocally
from zdistcc.schedule.events import WorkerId
from zdistcc.toolchain.probecache import ProbeCache
from zdistcc.wire.control import LaunchFlag, LaunchRequest
from zdistcc.wire.distcc import DistccServer
from zdistcc.wire.distcc_events import JobAnnounced, JobComplete, SourceReceived

Behaviour = Callable[["Visit"], None]
SOURCE = b"int twice(int a) { return 2 * a; }\n"


class Visit(asyncio.Protocol):
    """One connection to a scripted host; its job is handed to the host's behaviour when it is whole."""

    def __init__(self, host: FakeDistccd) -> None:
        self.host = host
        self.core = DistccServer()
        self.args: tuple[bytes, ...] = ()
        self.version = 0
        self.source = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.host.visits.append(self)

    def data_received(self, data: bytes) -> None:
        try:
            self.core.receive_data(data)
        except InfraError:
            self.leave()  # as a stock daemon leaves a client that greets in our own protocol
            return
        for event in self.core.events():
            match event:
                case JobAnnounced(args=args, version=version):
                    self.args, self.version = args, version
                case SourceReceived(data=piece):
                    self.source += piece
                case JobComplete():
                    self.host.jobs.append(self)
                    self.host.behaviour(self)
                case _:
                    raise AssertionError(event)

    @property
    def alive(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def leave(self) -> None:
        assert self.transport is not None
        self.transport.close()

    def answer(
        self,
        *,
        compiler: str = "gcc",
        extra: tuple[str, ...] = (),
        edit: Callable[[bytes], bytes] = bytes,
        tail: int | None = None,
    ) -> None:
        """Compile what was sent, as a stock daemon does; ``edit`` changes the object, ``tail`` cuts the answer."""
        directory = self.host.directory
        name = os.fsdecode(self.args[self.args.index(b"-c") + 1])
        (directory / name).write_bytes(self.source)
        words = [compiler, *map(os.fsdecode, self.args[1 : self.args.index(b"-c")]), *extra, "-c", name, "-o", "x.o"]
        ended = subprocess.run(words, cwd=directory, capture_output=True)
        made = (directory / "x.o").read_bytes() if not ended.returncode else b""
        self.core.respond(status=ended.returncode << 8, stderr=ended.stderr, object=edit(made))
        assert self.transport is not None
        data = self.core.data_to_send(1 << 30)
        self.transport.write(data[:tail])
        self.leave()


def honest(visit: Visit) -> None:
    visit.answer(compiler="g++" if visit.args[0].endswith(b"g++") else "gcc")


def refusing(visit: Visit) -> None:
    visit.leave()


def silent(visit: Visit) -> None:
    """Say nothing, for ever."""


def upgraded(made: bytes) -> bytes:
    """What another version of the compiler would have made."""
    mark = mark_of(made)
    version = mark.rpartition(b" ")[2]
    return made.replace(mark, mark.replace(version, b"12.9.0"[: len(version)].ljust(len(version), b"0")))


@dataclass
class FakeDistccd:
    """A host whose ``behaviour`` may change."""

    directory: Path
    behaviour: Behaviour = honest
    visits: list[Visit] = field(default_factory=list)
    jobs: list[Visit] = field(default_factory=list)
    port: int = 0


@asynccontextmanager
async def fake_distccd(directory: Path, behaviour: Behaviour = honest, port: int = 0) -> AsyncIterator[FakeDistccd]:
    directory.mkdir(exist_ok=True)
    host = FakeDistccd(directory, behaviour)
    server = await asyncio.get_running_loop().create_server(lambda: Visit(host), "127.0.0.1", port)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()
        for visit in host.visits:
            if visit.transport is not None:
                visit.transport.abort()
        await server.wait_closed()
        await pass_time(0)


@dataclass
class Parts:
    """What an agent is made of, as far as stock hosts need it."""

    stocks: Stocks
    roster: Roster
    dispatch: Dispatcher
    plan: Plan
    debug_plan: Plan
    numbers: list[int] = field(default_factory=list)

    def host(self) -> StockHost:
        (host,) = self.stocks.hosts
        return host

    def want(self) -> None:
        self.stocks.want(self.plan)

    async def trusted(self) -> StockHost:
        await until(lambda: self.stocks.trusted, "a host is trusted")
        return self.host()

    async def becomes(self, state: State) -> None:
        await until(lambda: self.stocks.hosts and self.host().state is state, f"the host is {state.value}")

    async def compile(self) -> Any:
        return await self.stocks.compile(self.host().id, self.plan, b'# 0 "x.c"\n' + SOURCE)

    def row(self) -> dict[str, Any]:
        view = next((view for view in self.dispatch.snapshot().workers if view.worker == self.host().id), None)
        return describe_stock(self.host(), view, self.plan.compiler.id)


def request(directory: Path, *words: bytes) -> LaunchRequest:
    env = {key: value for key, value in os.environb.items() if key == b"PATH"}
    return LaunchRequest(
        cwd=os.fsencode(directory), compiler=b"/usr/bin/gcc", argv=(b"gcc", *words), env=env, flags=LaunchFlag(0),
        umask=0o022, pid=0,
    )  # fmt: skip


@asynccontextmanager
async def made(path: Path) -> AsyncIterator[Parts]:
    (path / "x.c").write_bytes(SOURCE)
    planner = Planner(ProbeCache(path / "probes.json"))
    plans = [
        await planner.plan(request(path, *words, b"-c", b"x.c", b"-o", b"x.o"), Config())
        for words in ((b"-O2",), (b"-O2", b"-g"))
    ]
    async with dispatcher() as dispatch:
        journal = Journal(asyncio.get_running_loop().time)
        roster = Roster(dispatch, path / "workers.json", journal, unreached(path))
        trials = StockTrials(path / "canary", {b"PATH": os.environb[b"PATH"]})
        stocks = Stocks(dispatch, roster, trials, journal)
        plan, debug_plan = plans
        assert isinstance(plan, Plan) and isinstance(debug_plan, Plan)
        try:
            yield Parts(stocks, roster, dispatch, plan, debug_plan)
        finally:
            await stocks.close()
            await roster.close()
            assert stocks.hosts == ()
            await pass_time(0)


def stock_ad(port: int, **changes: Any) -> StockAd:
    fields: dict[str, Any] = {
        "id": "distcc@desk", "name": "desk", "addresses": ("127.0.0.1",), "port": port, "cpus": 2, "jobs": 4,
        "version": "3.4", "compiler_version": "12", "compiler_target": "x86_64-linux-gnu",
    }  # fmt: skip
    return StockAd(**{**fields, **changes})


def local_object(path: Path) -> bytes:
    subprocess.run(["gcc", "-O2", "-c", "x.c", "-o", "here.o"], cwd=path, check=True)
    return (path / "here.o").read_bytes()


# --- trust ----------------------------------------------------------------------------------------


def test_an_announced_host_is_tried_and_then_used(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_distccd(tmp_path / "d") as distccd, made(tmp_path) as parts:
            parts.stocks.announced(stock_ad(distccd.port))
            await pass_time(0.05)
            assert not distccd.visits, "nothing is wanted yet"
            assert parts.row()["compilers"][0]["version"] == "12"
            parts.want()
            host = await parts.trusted()
            assert len(distccd.jobs) == 2 and {visit.version for visit in distccd.jobs} <= {1, 2}
            assert distccd.jobs[0].args == (b"x86_64-linux-gnu-gcc", b"-O2", b"-c", b"x.i", b"-o", b"x.o")
            assert b"-g" in distccd.jobs[1].args
            view = parts.dispatch.snapshot().workers[0]
            assert (view.slots, view.offers[0].plain, view.offers[0].id) == (2, True, parts.plan.compiler.id)
            answer = await parts.compile()
            assert answer.outputs == (local_object(tmp_path),)
            row = parts.row()
            assert (row["protocol"], row["state"], row["usable"], row["version"]) == ("distcc", "ready", True, "3.4")
            assert (row["slots"], host.remote.limit) == (2, 4)
            assert distcc_hosts(parts.stocks, parts.roster, {}) == [f"127.0.0.1:{distccd.port}/4"]
            parts.stocks.gone("distcc@desk")
            await until(lambda: not parts.stocks.hosts, "it is forgotten")

    run(main())


def test_jobs_wait_for_a_trial_and_debug_builds_stay_here(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_distccd(tmp_path / "d") as distccd, made(tmp_path) as parts:
            parts.stocks.announced(stock_ad(distccd.port))
            parts.want()
            placed = await parts.dispatch.place(parts.dispatch.new_job(), parts.plan.need)
            assert isinstance(placed, Grant) and placed.offer.plain
            stays = await parts.dispatch.place(parts.dispatch.new_job(), parts.debug_plan.need)
            assert isinstance(stays, RunLocally) and "distcc's protocol" in stays.detail

    run(main())


def test_fidelity_decides_what_is_plain(tmp_path: Path) -> None:
    async def main() -> None:
        async with made(tmp_path) as parts:
            planner = Planner(ProbeCache(tmp_path / "probes.json"))
            words = (b"-g", b"-c", b"x.c")
            for fidelity, plain in ((Fidelity.AUTO, False), (Fidelity.EXACT, False), (Fidelity.CODE, True)):
                plan = await planner.plan(request(tmp_path, *words), Config(fidelity=fidelity))
                assert isinstance(plan, Plan) and plan.need.plain is plain
                assert text_fits(plan.invocation, fidelity) is plain
            assembly = await planner.plan(request(tmp_path, b"-S", b"x.c"), Config())
            assert isinstance(assembly, Plan) and not assembly.need.plain
            assert parts.plan.need.plain and not parts.debug_plan.need.plain

    run(main())


@pytest.mark.parametrize(
    ("behaviour", "state", "words"),
    [
        (refusing, State.REFUSING, "without an answer"),
        (lambda visit: visit.answer(extra=("-O0",)), State.UNLIKE, "makes another object of a trial"),
        (lambda visit: visit.answer(compiler="clang"), State.UNLIKE, "fails on a trial"),
        (lambda visit: visit.answer(edit=upgraded), State.UNLIKE, "12.9.0"),
        (lambda visit: visit.answer(extra=("-nonsense",)), State.UNLIKE, "fails on a trial"),
        (lambda visit: visit.answer(extra=("-fno-ident",)), State.UNLIKE, "another object"),
        (lambda visit: visit.answer(tail=200), State.UNREACHABLE, "broke off"),
        (lambda visit: visit.transport.write(b"HTTP/1.1 400 no\r\n\r\n"), State.UNREACHABLE, "protocol"),
    ],
    ids=[
        "refuses",
        "other options",
        "other compiler",
        "other version",
        "fails",
        "other bytes",
        "half-closes",
        "no distccd",
    ],
)
def test_who_does_not_pass_is_not_used(behaviour: Behaviour, state: State, words: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_distccd(tmp_path / "d", behaviour) as distccd, made(tmp_path) as parts:
            parts.stocks.announced(stock_ad(distccd.port))
            parts.want()
            await parts.becomes(state)
            row = parts.row()
            assert (row["state"], row["usable"]) == (state.value, False) and words in row["reason"]
            placed = await parts.dispatch.place(parts.dispatch.new_job(), parts.plan.need)
            assert isinstance(placed, RunLocally)
            distccd.behaviour = honest
            await parts.trusted()

    run(main())


def test_a_host_that_is_not_there_is_looked_for_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with made(tmp_path) as parts:
            port = unused_port()
            parts.stocks.announced(stock_ad(port))
            parts.want()
            await parts.becomes(State.UNREACHABLE)
            assert "refused" in parts.row()["reason"]
            async with fake_distccd(tmp_path / "d", port=port):
                await parts.trusted()

    run(main())


# --- jobs that are let down -----------------------------------------------------------------------


def test_a_host_that_refuses_one_job_keeps_its_trust_and_one_that_refuses_all_loses_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_distccd(tmp_path / "d") as distccd, made(tmp_path) as parts:
            parts.stocks.announced(stock_ad(distccd.port))
            parts.want()
            await parts.trusted()
            distccd.behaviour = refusing
            with pytest.raises(NoAnswer):
                await parts.compile()
            assert parts.stocks.trusted
            distccd.behaviour = honest
            await parts.compile()
            distccd.behaviour = refusing
            for _ in range(REFUSALS):
                assert parts.stocks.trusted
                with pytest.raises(NoAnswer):
                    await parts.compile()
            assert parts.host().state is State.REFUSING and not parts.dispatch.snapshot().workers[0].offers
            with pytest.raises(Unlike):
                await parts.compile()
            distccd.behaviour = honest
            await parts.trusted()

    run(main())


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [(lambda visit: visit.answer(tail=100), Broken), (silent, TooLong)],
    ids=["breaks off", "is silent"],
)
def test_trouble_ends_trust_at_once(
    behaviour: Behaviour, error: type[InfraError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock_module, "LEAST_PATIENCE_S", 0.3)

    async def main() -> None:
        async with fake_distccd(tmp_path / "d") as distccd, made(tmp_path) as parts:
            parts.stocks.announced(stock_ad(distccd.port))
            parts.want()
            host = await parts.trusted()
            host.remote.seconds_per_byte = 0.0
            distccd.behaviour = behaviour
            with pytest.raises(error):
                await parts.compile()
            assert host.state is State.UNREACHABLE and not parts.dispatch.snapshot().workers
            distccd.behaviour = honest
            await parts.trusted()
            assert host.faults == 1, "a trial that passes does not make up for a job"
            await parts.compile()
            assert host.faults == 0

    run(main())


def test_a_compiler_that_was_replaced_is_seen_by_its_mark(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_distccd(tmp_path / "d") as distccd, made(tmp_path) as parts:
            parts.stocks.announced(stock_ad(distccd.port))
            parts.want()
            await parts.trusted()
            distccd.behaviour = lambda visit: visit.answer(edit=upgraded)
            with pytest.raises(Unlike, match=r"12\.9\.0"):
                await parts.compile()
            await parts.becomes(State.UNLIKE)

    run(main())


def test_a_mark_is_found_in_objects_of_both_families(tmp_path: Path) -> None:
    (tmp_path / "x.c").write_bytes(SOURCE)
    for compiler, word in (("gcc", b"GCC: ("), ("clang", b"clang version ")):
        subprocess.run([compiler, "-c", "x.c", "-o", "x.o"], cwd=tmp_path, check=True)
        assert word in mark_of((tmp_path / "x.o").read_bytes())
    assert mark_of(b"nothing of the kind") == b""


def test_no_more_connections_than_its_limit(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_distccd(tmp_path / "d") as distccd, made(tmp_path) as parts:
            parts.stocks.listed(hostspec.parse(f"127.0.0.1:{distccd.port}/2"))
            parts.stocks.announced(stock_ad(distccd.port))
            parts.want()
            host = await parts.trusted()
            assert (host.slots, host.remote.limit) == (2, 2) and host.ways == {"listed", "announced"}
            before = len(distccd.jobs)
            distccd.behaviour = silent
            jobs = [asyncio.ensure_future(parts.compile()) for _ in range(5)]
            await until(lambda: len(distccd.jobs) == before + 2, "two have come")
            await pass_time(0.05)
            assert len(distccd.jobs) == before + 2 and host.remote.running == 2
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            assert host.remote.running == 0

    run(main())


# --- who is a host --------------------------------------------------------------------------------


def test_a_worker_that_announces_itself_to_stock_clients_is_no_host(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_worker(greeting(A)) as worker, made(tmp_path) as parts:
            parts.roster.announced(ad(A, worker.port))
            parts.stocks.announced(stock_ad(3632, worker=A, jobs=6))
            await joined(parts.roster)
            assert parts.stocks.hosts == ()
            views = {str(view.worker): view for view in parts.dispatch.snapshot().workers}
            assert distcc_hosts(parts.stocks, parts.roster, views) == ["127.0.0.1:3632/6"]
            parts.stocks.gone("distcc@desk")
            assert parts.stocks.speaking == {}

    run(main())


def test_a_machine_that_runs_both_is_used_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_distccd(tmp_path / "d") as distccd, fake_worker(greeting(A)) as worker, made(tmp_path) as parts:
            parts.stocks.announced(stock_ad(distccd.port))
            parts.want()
            host = await parts.trusted()
            assert parts.stocks.alone
            parts.roster.announced(ad(A, worker.port))
            await joined(parts.roster)
            assert parts.stocks.hosts == () and host.state is State.NATIVE
            assert [view.worker for view in parts.dispatch.snapshot().workers] == [WorkerId(A)]
            assert not parts.stocks.alone
            await parts.roster.close()
            await parts.trusted()
            assert not parts.stocks.alone, "there has been a worker"

    run(main())


def test_a_listed_host_is_asked_as_a_worker_first(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_worker(greeting(A, slots=8)) as worker, made(tmp_path) as parts:
            parts.stocks.listed(hostspec.parse(f"localhost:{worker.port}/3"))
            parts.want()
            await joined(parts.roster)
            assert parts.dispatch.snapshot().workers[0].slots == 3
            await until(lambda: not parts.stocks.hosts, "it is no stock host")

    run(main())


def test_a_listed_stock_host_leaves_no_trace_as_a_worker(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_distccd(tmp_path / "d") as distccd, made(tmp_path) as parts:
            parts.stocks.listed(hostspec.parse(f"127.0.0.1:{distccd.port},lzo"))
            parts.want()
            host = await parts.trusted()
            assert {visit.version for visit in distccd.jobs} == {2} and host.slots == hostspec.DEFAULT_LIMIT
            await until(lambda: parts.roster.entries == (), "no entry is kept")

    run(main())


def test_a_host_that_is_listed_with_a_user_is_one_of_the_roster(tmp_path: Path) -> None:
    async def main() -> None:
        async with made(tmp_path) as parts:
            parts.stocks.listed(hostspec.parse("nobody@desk:/opt/zdistccd"))
            (entry,) = parts.roster.entries
            assert entry.ssh == SshHost(host="desk", user="nobody", command="/opt/zdistccd")
            assert parts.stocks.hosts == ()

    run(main())


@pytest.mark.parametrize(("option", "word"), [("down", "is down"), ("auth", "GSSAPI")])
def test_a_host_that_is_switched_off(option: str, word: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_distccd(tmp_path / "d") as distccd, made(tmp_path) as parts:
            parts.stocks.listed(hostspec.parse(f"127.0.0.1:{distccd.port},{option}"))
            parts.want()
            await parts.becomes(State.OFF)
            assert word in parts.row()["reason"] and not distccd.visits

    run(main())


def test_a_changed_announcement_means_another_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stocks_module, "AGAIN_S", 3600.0)

    async def main() -> None:
        async with fake_distccd(tmp_path / "d") as distccd, made(tmp_path) as parts:
            parts.stocks.announced(stock_ad(distccd.port))
            parts.want()
            await parts.trusted()
            tried = len(distccd.jobs)
            parts.stocks.announced(stock_ad(distccd.port))
            await pass_time(0.05)
            assert len(distccd.jobs) == tried
            distccd.behaviour = refusing
            parts.stocks.announced(stock_ad(distccd.port, compiler_version="13"))
            await parts.becomes(State.REFUSING)

    run(main())

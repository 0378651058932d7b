"""Who is there: ways in, identities, losses; against workers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.agent.fakes import FakeWorker, dispatcher, fake_worker, greeting, unreached, unused_port
from tests.aio import pass_time, run, until
from tests.schedule.test_scheduler import NEED
from zdistcc.agent import reach as reach_module
from zdistcc.agent import roster as roster_module
from zdistcc.agent.entries import MAX_MEMORY_BYTES, MAX_SLOTS, Way
from zdistcc.agent.journal import Journal
from zdistcc.agent.roster import MISSED_RETRY_S, Roster
from zdistcc.discovery import remembered
from zdistcc.discovery.advert import WorkerAd
from zdistcc.schedule.events import WorkerId
from zdistcc.wire.messages import CompilerInfo, Compilers, Denied, Goodbye, Load, PeerInfo, Peers

A, B = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"


@asynccontextmanager
async def made(path: Path) -> AsyncIterator[Roster]:
    async with dispatcher() as dispatch:
        roster = Roster(dispatch, path / "workers.json", Journal(asyncio.get_running_loop().time), unreached(path))
        try:
            yield roster
        finally:
            await roster.close()
            assert roster.entries == ()
            await pass_time(0)


def ad(worker: str, port: int, *addresses: str, **changes: Any) -> WorkerAd:
    fields: dict[str, Any] = {
        "id": worker, "name": "w", "version": "1", "protocol": 1, "slots": 2, "compilers": (),
        "addresses": addresses or ("127.0.0.1",), "port": port,
    }  # fmt: skip
    return WorkerAd(**{**fields, **changes})


def views(roster: Roster) -> dict[str, Any]:
    return {view.worker: view for view in roster._dispatcher.snapshot().workers}


async def joined(roster: Roster, worker: str = A) -> None:
    await until(lambda: worker in views(roster) and roster.remote(WorkerId(worker)), f"{worker} has joined", 5)


def test_an_announced_worker_joins_and_its_news_are_heard(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_worker(greeting(A)) as worker, made(tmp_path) as roster:
            roster.announced(ad(A, worker.port))
            await joined(roster)
            visit = worker.visits[0]
            visit.link.send(
                Load(
                    slots=0,
                    running=2,
                    queued=1,
                    configured=2**53,
                    limited="on\x1b[2J battery",
                    others_load=150,
                    memory_free=1 << 30,
                    memory_total=2**53,
                    efficiency=97,
                )
            )
            await until(lambda: views(roster)[A].limited, "why there are no slots")
            view = views(roster)[A]
            assert (view.slots, view.draining, view.configured) == (0, True, MAX_SLOTS)
            assert (view.limited, view.others_load, view.efficiency) == ("on?[2J battery", 1.5, 0.97)
            assert (view.memory_free, view.memory_total) == (1 << 30, MAX_MEMORY_BYTES)
            visit.link.send(Load(slots=4, running=3, queued=1, draining=True, limited=""))
            evil = CompilerInfo(family="gcc", version="9\x1b[2J", target="t\n", build_id="b" * 32)
            unknown = CompilerInfo(family="tcc", version="1", target="t", build_id="c" * 32)
            visit.link.send(Compilers(compilers=(evil, unknown)))
            await until(lambda: len(views(roster)[A].offers) == 1 and views(roster)[A].running == 3, "the news")
            view = views(roster)[A]
            assert (view.slots, view.running, view.queued, view.draining) == (4, 3, 1, True)
            assert (view.limited, view.others_load) == ("", 1.5), "what is not told is as it was"
            assert (view.offers[0].id.version, view.offers[0].id.target) == ("9?[2J", "t?")

    run(main())


def test_claims_without_measure_are_cut(tmp_path: Path) -> None:
    async def main() -> None:
        first = greeting(A, slots=2**53, name="n\x1b[2J" * 40)
        async with fake_worker(first) as worker, made(tmp_path) as roster:
            roster.announced(ad(A, worker.port))
            await joined(roster)
            assert views(roster)[A].slots == MAX_SLOTS
            name = views(roster)[A].name
            assert name.isprintable() and len(name) <= 64
            worker.visits[0].link.send(Load(slots=2**53, running=0, queued=0))
            await pass_time(0.05)
            assert views(roster)[A].slots == MAX_SLOTS

    run(main())


@pytest.mark.parametrize("peer_first", [True, False])
def test_one_worker_by_two_addresses_is_one_entry(tmp_path: Path, peer_first: bool) -> None:
    """Whichever way is known first, and whichever connection is whole first."""

    async def main() -> None:
        async with fake_worker(greeting(A), host="0.0.0.0") as worker, made(tmp_path) as roster:
            words = [f"127.0.0.1:{worker.port}", f"localhost:{worker.port}", f"127.0.0.2:{worker.port}"]
            if peer_first:
                roster.add_peers(words)
                roster.announced(ad(A, worker.port))
            else:
                roster.announced(ad(A, worker.port))
                roster.add_peers(words)
            await until(lambda: len(roster.entries) == 1 and roster.entries[0].connected, "one is left", 5)
            (entry,) = roster.entries
            assert entry.id == A and {Way.PEER, Way.ANNOUNCED} == entry.ways
            assert roster.remote(WorkerId(A)) is entry.remote is not None
            await until(lambda: len(worker.present) == 1, "one connection is left", 5)

    run(main())


def test_a_second_way_in_wakes_an_entry_that_could_not_connect(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_worker(greeting(A)) as worker, made(tmp_path) as roster:
            roster.announced(ad(A, unused_port()))
            await until(lambda: roster.entries[0].trouble, "it is not reached")
            roster.add_peers([f"127.0.0.1:{worker.port}"])
            await joined(roster)
            await until(lambda: len(roster.entries) == 1, "one is left")

    run(main())


def test_a_goodbye_forgets_a_worker_when_its_connection_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_worker(greeting(A)) as worker, made(tmp_path) as roster:
            roster.announced(ad(A, worker.port))
            await joined(roster)
            roster.gone(A)
            roster.gone("unknown")
            await pass_time(0.05)
            assert A in views(roster), "running jobs may still come back"
            worker.visits[0].link.send(Goodbye(why="bye"))
            worker.visits[0].link.close()
            await until(lambda: not roster.entries and not views(roster), "it is forgotten")

    run(main())


def test_a_worker_that_comes_back_on_another_port(tmp_path: Path) -> None:
    async def main() -> None:
        async with made(tmp_path) as roster:
            for _ in range(4):
                async with fake_worker(greeting(A)) as worker:
                    roster.announced(ad(A, worker.port))
                    await joined(roster)
                    entry = roster.entries[0]
                    await until(lambda e=entry, w=worker: e.address and e.address.port == w.port, "it is the new one")
                await until(lambda: A not in views(roster), "it is lost")
            assert len(roster.entries) == 1

    run(main())


def test_an_old_connection_that_nobody_ended_gives_way_soon(tmp_path: Path) -> None:
    """The worker's machine lost power and is back: no end of the old connection ever comes."""

    async def main() -> None:
        async with fake_worker(greeting(A)) as old, fake_worker(greeting(A)) as new, made(tmp_path) as roster:
            roster.announced(ad(A, old.port))
            await joined(roster)
            transport = old.visits[0].link._transport
            assert transport is not None
            transport.pause_reading()  # it answers no ping any more
            roster.announced(ad(A, new.port))
            await until(lambda: new.visits and roster.remote(WorkerId(A)), "the new one", 6)
            assert roster.entries[0].address is not None and roster.entries[0].address.port == new.port

    run(main())


def test_an_address_that_leads_elsewhere_is_not_taken_again(tmp_path: Path) -> None:
    """As when the announcement holds an address that is another machine's, or the client's own."""

    async def main() -> None:
        async with (
            made(tmp_path) as roster,
            fake_worker(greeting(B), host="127.0.0.1") as wrong,
            fake_worker(greeting(A), host="127.0.0.2", port=wrong.port) as right,
        ):
            roster.announced(ad(A, wrong.port, "127.0.0.1", "127.0.0.2"))
            await joined(roster, A)
            assert right.present and B not in views(roster)

    run(main())


def test_a_mute_address_gives_way_to_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach_module, "GREETING_TIMEOUT_S", 0.1)

    async def main() -> None:
        mute = FakeWorker(None, None)
        await mute.open()
        async with made(tmp_path) as roster, fake_worker(greeting(A), host="127.0.0.2", port=mute.port):
            roster.announced(ad(A, mute.port, "127.0.0.1", "127.0.0.2"))
            await joined(roster, A)
        await mute.close()

    run(main())


@pytest.mark.parametrize("first", [Denied(sentence="no", remedy="ask"), greeting("no id at all\x1b")])
def test_one_that_does_not_serve_us_is_shown_and_not_used(tmp_path: Path, first: Any) -> None:
    async def main() -> None:
        async with fake_worker(first) as worker, made(tmp_path) as roster:
            roster.announced(ad(A, worker.port))
            await until(lambda: roster.entries[0].trouble, "the trouble is known")
            assert roster.entries[0].trouble.isprintable() and not views(roster)
            await until(lambda: not worker.present, "no connection is left")

    run(main())


def test_told_workers_join_and_nonsense_does_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_worker(greeting(A)) as teller, fake_worker(greeting(B)) as told, made(tmp_path) as roster:
            roster.announced(ad(A, teller.port))
            await joined(roster)
            nonsense = [
                PeerInfo(id="c" * 16, name="n", addresses=("fe80::1%2",), port=1),
                PeerInfo(id="c" * 16, name="n", addresses=("evil.example", "\x1b[2J"), port=1),
                PeerInfo(id="\x1b", name="n", addresses=("127.0.0.1",), port=1),
                PeerInfo(id="c" * 16, name="n", addresses=(), port=1),
            ]
            good = PeerInfo(id=B, name="p\x1b", addresses=("127.0.0.1",), port=told.port)
            teller.visits[0].link.send(Peers(peers=(*nonsense, good)))
            await joined(roster, B)
            assert len(roster.entries) == 2
            many = [PeerInfo(id=f"{n:016x}", name="", addresses=("127.0.0.1",), port=unused_port()) for n in range(900)]
            teller.visits[0].link.send(Peers(peers=tuple(many)))
            await until(lambda: len(roster.entries) > 2, "they are tried")
            assert len(roster.entries) <= roster_module.MAX_ENTRIES
            await until(lambda: len(roster.entries) == 2, "and forgotten")

    run(main())


def test_what_was_seen_is_remembered(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_worker(greeting(A)) as worker:
            async with made(tmp_path) as roster:
                roster.announced(ad(A, worker.port))
                await joined(roster)
            async with made(tmp_path) as roster:
                roster.recall()
                await joined(roster)
                assert roster.entries[0].ways == {Way.REMEMBERED}
        async with made(tmp_path) as roster:
            roster.recall()
            await until(lambda: not roster.entries, "it is given up at once")

    run(main())


def test_a_memory_of_nonsense_does_no_harm(tmp_path: Path) -> None:
    worker = remembered.Remembered
    remembered.save(
        tmp_path / "workers.json",
        [
            worker(id=A, name="\x1b", addresses=(), port=1, seen=0),
            worker(id="\x1b[2J", name="n", addresses=("127.0.0.1",), port=1, seen=0),
            worker(id=B, name="n", addresses=("", "\0", "x" * 1000), port=-1, seen=1e300),
            worker(id="c" * 16, name="n", addresses=("127.0.0.1",), port=10**15, seen=-1),
        ],
    )

    async def main() -> None:
        async with made(tmp_path) as roster:
            roster.recall()
            assert all(entry.addresses and entry.name.isprintable() for entry in roster.entries)
            await until(lambda: not roster.entries, "all are given up")

    run(main())


def test_a_peer_that_does_not_answer_stays_known(tmp_path: Path) -> None:
    async def main() -> None:
        async with made(tmp_path) as roster:
            word = f"127.0.0.1:{unused_port()}"
            for _ in range(3):
                roster.add_peers([word, "a b", "", "x:99999"])
            await until(lambda: roster.entries[0].trouble, "it is tried")
            assert len(roster.entries) == 1 and roster.entries[0].id is None

    run(main())


def test_a_missed_worker_is_found_soon_by_who_wants_it(tmp_path: Path) -> None:
    """It is back at its old address, and announces nothing that was not known."""

    async def main() -> None:
        async with made(tmp_path) as roster:
            dispatch = roster._dispatcher
            async with fake_worker(greeting(A)) as worker:
                roster.announced(ad(A, worker.port))
                await joined(roster)
            entry = roster.entries[0]
            await until(lambda: "refused" in entry.trouble.lower(), "it is looked for in vain")
            tried = entry.tried_at
            await until(lambda: entry.tried_at > tried, "again, after a pause", 3)
            job = dispatch.new_job()
            placing = asyncio.ensure_future(dispatch.place(job, NEED))  # nobody else wants anything
            tried = entry.tried_at
            for _ in range(4):  # the pauses do not grow
                await until(lambda t=tried: entry.tried_at > t, "it is looked for", 2 * MISSED_RETRY_S)
                tried = entry.tried_at
            async with fake_worker(greeting(A), port=worker.port):
                await until(lambda: A in views(roster), "it is back", 2 * MISSED_RETRY_S)
                dispatch.abandon(job)
            placing.cancel()

    run(main())


def test_a_worker_that_was_only_told_of_is_missed_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with made(tmp_path) as roster:
            async with fake_worker(greeting(A)) as worker:
                roster._told([PeerInfo(id=A, name="w", addresses=("127.0.0.1",), port=worker.port)])
                await joined(roster)
            await until(lambda: A not in views(roster), "it is lost")
            async with fake_worker(greeting(A), port=worker.port) as worker:
                await joined(roster)
                worker.visits[0].link.send(Goodbye(why="it stops"))
                await until(lambda: not roster.entries[0].ways, "the goodbye is heard")
                roster._told([PeerInfo(id=A, name="w", addresses=("127.0.0.1",), port=worker.port)])  # too late
            await until(lambda: not roster.entries, "it is forgotten")

    run(main())


def test_a_bug_costs_one_attempt_and_not_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(roster_module, "LONGEST_RETRY_S", 0.05)

    async def main() -> None:
        async with fake_worker(greeting(A)) as worker, made(tmp_path) as roster:
            real, tries = roster._remember, []

            def buggy() -> None:
                tries.append(1)
                if len(tries) == 1:
                    raise ZeroDivisionError("a bug")
                real()

            roster._remember = buggy  # type: ignore[method-assign]
            roster.announced(ad(A, worker.port))
            await until(lambda: len(tries) == 2, "it is tried again")
            await joined(roster)

    run(main())
    assert any("a bug" in str(record.exc_info) for record in caplog.records)

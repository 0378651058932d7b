"""The lookout's picture: who is there, who was, what runs where; and waiting for the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.agent.fakes import dispatcher, fake_worker, greeting, unreached, unused_port
from tests.agent.test_roster import A, B, ad
from tests.aio import pass_time, run, until
from zdistcc.agent import snapshot
from zdistcc.agent.dispatch import Dispatcher
from zdistcc.agent.entries import offers_of
from zdistcc.agent.journal import Journal
from zdistcc.agent.roster import Roster
from zdistcc.agent.snapshot import After, Lookout, SnapshotQuestion
from zdistcc.agent.stats import Stats
from zdistcc.net import drive
from zdistcc.schedule.decisions import Grant
from zdistcc.schedule.events import Blame, JobId, Need, WorkerId
from zdistcc.toolchain.identity import CompilerId, Match
from zdistcc.wire.control import LaunchFlag, LaunchRequest
from zdistcc.wire.messages import CompilerInfo, Denied, Goodbye, Load

(GCC,) = (offer.id for offer in offers_of(greeting(A).compilers))


@dataclass
class Parts:
    dispatch: Dispatcher
    roster: Roster
    journal: Journal
    lookout: Lookout
    stats: Stats

    def picture(self, default: CompilerId | None = GCC, **after: int) -> dict[str, Any]:
        made = self.lookout.picture(After(**after), default)
        assert msgspec.json.decode(msgspec.json.encode(made)) == made
        return made

    def host(self, name: str = "w") -> dict[str, Any]:
        (row,) = (host for host in self.picture()["hosts"] if host["name"] == name)
        return row

    async def state(self, state: str, name: str = "w") -> dict[str, Any]:
        def there() -> bool:
            return any(host["name"] == name and host["state"] == state for host in self.picture()["hosts"])

        await until(there, f"{name} is {state}", 5)
        return self.host(name)

    def launched(self, number: int, file: bytes) -> JobId:
        argv = (b"gcc", b"-c", file)
        request = LaunchRequest(
            cwd=b"/home/me", compiler=b"/usr/bin/gcc", argv=argv, env={}, flags=LaunchFlag(0), umask=0o022, pid=7
        )
        self.journal.begin(JobId(number), request)
        return JobId(number)


@asynccontextmanager
async def made(path: Path) -> AsyncIterator[Parts]:
    async with dispatcher() as dispatch:
        journal, stats = Journal(asyncio.get_running_loop().time), Stats()
        roster = Roster(dispatch, path / "workers.json", journal, unreached(path))
        try:
            yield Parts(dispatch, roster, journal, Lookout(dispatch, roster, journal, stats), stats)
        finally:
            await roster.close()
            await pass_time(0)


def test_nobody_and_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with made(tmp_path) as parts:
            shown = parts.picture(default=None)
            assert (shown["hosts"], shown["notes"], shown["build"], shown["compiler"]) == ([], [], None, None)
            assert (shown["parallelism"], shown["finished"], shown["local"]["slots"]) == (0.0, 0, 2)

    run(main())


def test_a_worker_that_is_ready_works_for_us_and_for_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_worker(greeting(A, slots=3)) as worker, made(tmp_path) as parts:
            parts.roster.announced(ad(A, worker.port))
            row = await parts.state("ready")
            assert row["usable"] and row["match"] == {**row["match"], "version": "12.2.0", "exact": True}
            assert parts.picture()["parallelism"] == 3.0
            job = parts.launched(1, b"src/x.c")
            need = Need(compiler=GCC, level=Match.SAME_VERSION, language="c")
            grant = await parts.dispatch.place(job, need)
            assert isinstance(grant, Grant)
            record = parts.journal.under_way[job]
            record.granted, record.worker = record.begun, "w"
            (shown,) = parts.host()["jobs"]
            assert (shown["file"], shown["directory"], shown["phase"], shown["second"]) == (
                "src/x.c",
                "/home/me",
                "send",
                False,
            )
            assert 0 <= shown["seconds"] < 5
            record.started = record.begun
            assert parts.host()["jobs"][0]["phase"] == "compile"
            worker.visits[0].link.send(Load(slots=3, running=3, queued=0))
            assert (await parts.state("busy"))["others"] == 2
            picture = parts.picture()
            assert (picture["jobs"]["remote"], picture["jobs"]["waiting"], picture["parallelism"]) == (1, 0, 1.0)
            parts.dispatch.done(job, grant.worker, wall_s=1.0)
            assert parts.host()["others"] == 2, "the worker still counts ours"
            record.cpu_ms, record.mode = 500, "headers"
            parts.journal.end(job, "remote")
            picture = parts.picture(finished=0)
            assert (picture["finished"], picture["finished_after"], picture["jobs"]["remote"]) == (1, 1, 0)
            assert picture["build"]["done"]["remote"] == picture["build"]["modes"]["headers"] == 1
            assert parts.picture(finished=1)["finished_after"] == 0

    run(main())


def test_jobs_of_this_machine_are_shown_by_their_files(tmp_path: Path) -> None:
    async def main() -> None:
        async with made(tmp_path) as parts:
            first, second = parts.launched(1, b"a.c"), parts.launched(2, b"b.c")
            parts.journal.runs_here(first)
            shown = parts.picture()
            assert [each["file"] for each in shown["local"]["files"]] == ["a.c"]
            assert (shown["jobs"]["local"], shown["jobs"]["waiting"], shown["build"]["running"]) == (1, 1, True)
            for job in (first, second):
                parts.journal.end(job, "local")
            shown = parts.picture()
            assert not shown["build"]["running"] and shown["jobs"]["done"]["local"] == 2

    run(main())


def test_a_worker_that_is_gone_is_shown_with_its_cause_though_the_roster_forgot_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with fake_worker(greeting(A)) as worker, made(tmp_path) as parts:
            parts.roster.announced(ad(A, worker.port))
            await parts.state("ready")
            await worker.close()
            row = await parts.state("lost")
            parts.roster.gone(A)
            await until(lambda: not parts.roster.entries, "the roster has forgotten it")
            row = parts.host()
            assert (row["state"], row["usable"], row["address"], row["jobs"]) == ("lost", False, None, [])
            assert row["compilers"][0]["version"] == "12.2.0" and "closed" in row["reason"] and row["gone_s"] < 5
            assert parts.picture()["notes"][-1]["kind"] == "lost"
            monkeypatch.setattr(snapshot, "SHOWN_S", 0.0)
            assert parts.picture()["hosts"] == []
            assert parts.picture()["notes"], "the event stays"

    run(main())


def test_a_worker_that_comes_back_is_not_gone_any_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_worker(greeting(A)) as worker, made(tmp_path) as parts:
            parts.roster.announced(ad(A, worker.port))
            await parts.state("ready")
            port = worker.port
            await worker.close()
            row = await parts.state("lost")
            assert row["compilers"]
            async with fake_worker(greeting(A), port=port):
                parts.roster.announced(ad(A, port))
                row = await until_back(parts)
                assert "gone_s" not in row

    async def until_back(parts: Parts) -> dict[str, Any]:
        # The connection was lost by its fault, so it is left alone for a moment, or its new announcement forgave it.
        await until(lambda: parts.host()["state"] in ("ready", "backoff"), "it is back", 5)
        return parts.host()

    run(main())


def test_a_worker_that_says_that_it_stops_has_left(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_worker(greeting(A)) as worker, made(tmp_path) as parts:
            parts.roster.announced(ad(A, worker.port))
            await parts.state("ready")
            worker.visits[0].link.send(Load(slots=2, running=0, queued=0, draining=True))
            await parts.state("draining")
            worker.visits[0].link.send(Goodbye())
            await pass_time(0)
            await worker.close()
            row = await parts.state("left")
            assert row["reason"] == "it said goodbye"

    run(main())


def test_a_worker_that_let_us_down_is_left_alone_for_a_while(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_worker(greeting(A)) as worker, made(tmp_path) as parts:
            parts.roster.announced(ad(A, worker.port))
            await parts.state("ready")
            need = Need(compiler=GCC, level=Match.SAME_VERSION, language="c")
            for number in range(1, 5):
                job = parts.launched(number, b"x.c")
                placing = asyncio.ensure_future(parts.dispatch.place(job, need))
                await until(placing.done, "it is placed")
                parts.journal.note("failed", "w", f"x.c: silence {number}")
                again = asyncio.ensure_future(parts.dispatch.place_again(job, Blame.WORKER, WorkerId(A)))
                await until(again.done, "it runs here")
                parts.dispatch.abandon(job)
            row = await parts.state("backoff")
            assert row["until_s"] > 0 and row["reason"] == "x.c: silence 4"
            assert parts.picture()["parallelism"] == 0.0

    run(main())


def test_workers_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    other = CompilerInfo(
        family="gcc", version="11.4.0", target="x86_64-linux-gnu", build_id="c" * 32, languages=("c",), targets=()
    )

    async def main() -> None:
        async with (
            fake_worker(greeting(A, compilers=(other,))) as old,
            fake_worker(Denied(sentence="not your network", remedy="--allow")) as closed,
            made(tmp_path) as parts,
        ):
            parts.roster.announced(ad(A, old.port, name="old"))
            parts.roster.announced(ad(B, closed.port, name="closed"))
            parts.roster.add_peers([f"127.0.0.1:{unused_port()}"])
            row = await parts.state("incompatible")
            assert row["match"] is None and "11.4.0" in row["reason"]
            await parts.state("unreachable", "closed")
            await parts.state("unreachable", "127.0.0.1")
            kinds = {note["worker"]: note["kind"] for note in parts.picture()["notes"]}
            assert kinds == {"w": "joined", "closed": "refused", "127.0.0.1": "unreachable"}
            last = parts.picture()["last_note"]
            assert parts.picture(notes=last)["notes"] == [] and parts.picture(notes=last)["last_note"] == last

    run(main())


# --- waiting ---------------------------------------------------------------------------------------


def ask(parts: Parts, revision: int, wait: float) -> asyncio.Task[dict[str, Any]]:
    question = SnapshotQuestion(after=After(revision=revision), wait=wait)
    return asyncio.ensure_future(parts.lookout.answer(question, GCC))


CHANGES: dict[str, Callable[[Parts], object]] = {
    "a job begins": lambda parts: parts.launched(2, b"x.c"),
    "a job ends": lambda parts: parts.journal.end(JobId(1), "local"),
    "a job gets a slot here": lambda parts: parts.journal.runs_here(JobId(1)),
    "an event": lambda parts: parts.journal.note("joined", "w"),
    "a fact for the scheduler": lambda parts: parts.dispatch.abandon(JobId(9)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_who_waits_is_answered_when_something_happens(tmp_path: Path, change: str) -> None:
    async def main() -> None:
        async with made(tmp_path) as parts:
            parts.launched(1, b"x.c")
            revision = parts.picture()["revision"]
            first, second = ask(parts, revision, 5.0), ask(parts, revision, 5.0)
            await pass_time(0.02)
            assert not first.done() and not second.done()
            CHANGES[change](parts)
            await until(lambda: first.done() and second.done(), "both are answered", 2)
            assert first.result()["revision"] == second.result()["revision"] > revision

    run(main())


def test_idle_workers_are_minded_closely_while_somebody_follows(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_worker(greeting(A)) as worker, made(tmp_path) as parts:
            parts.roster.announced(ad(A, worker.port))
            await parts.state("ready")
            remote = parts.roster.remote(WorkerId(A))
            assert remote is not None and remote.link._watch is drive.RESTING
            answer = ask(parts, parts.picture()["revision"], 0.01)
            await until(answer.done, "it is answered", 2)
            assert remote.link._watch is drive.LOOKED_AT
            await until(lambda: parts.host()["round_trip_ms"], "the round trip is known", 5)
            parts.lookout._look_away()
            assert remote.link._watch is drive.RESTING

    run(main())


def test_who_is_behind_or_has_waited_is_answered_without_news(tmp_path: Path) -> None:
    async def main() -> None:
        async with made(tmp_path) as parts:
            revision = parts.picture()["revision"]
            for seen, wait in ((revision - 1, 5.0), (-1, 5.0), (revision, 0.0), (revision, 0.01)):
                answer = ask(parts, seen, wait)
                await until(answer.done, "it is answered", 2)
                assert answer.result()["revision"] == revision

    run(main())


def test_no_wait_is_longer_than_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "LONGEST_WAIT_S", 0.01)

    async def main() -> None:
        async with made(tmp_path) as parts:
            answer = ask(parts, parts.picture()["revision"], 3600.0)
            await until(answer.done, "it is answered", 2)

    run(main())

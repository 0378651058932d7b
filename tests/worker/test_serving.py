"""A real worker, real compilers, a loopback socket, and clients that do everything that clients may do."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.aio import run, until
from tests.worker.bench import ENDLESS, QUICK, Client, compiler, job_for, shop
from zdistcc.children import Limits
from zdistcc.toolchain.probe import Probed
from zdistcc.wire import frames, messages
from zdistcc.wire.connection import Connection, Role
from zdistcc.wire.messages import (
    Cancel,
    Compilers,
    Denied,
    Goodbye,
    Greeting,
    Need,
    PeerInfo,
    Peers,
    RefusalCode,
    Refuse,
    Result,
    Started,
    Supply,
)
from zdistcc.worker import door, session
from zdistcc.worker.manners import Reading
from zdistcc.worker.reports import REPORT_EVERY_S

GCC, GXX, CLANG = "/usr/bin/gcc", "/usr/bin/g++", "/usr/bin/clang"


def endless(**changes: Any) -> tuple[messages.Job, bytes]:
    return job_for(ENDLESS, compiler(GXX), **changes)


def compilers_running(place: Path) -> list[int]:
    """Processes that work in ``place``."""
    found = []
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                here = os.readlink(f"/proc/{pid}/cwd")
            except OSError:
                continue
            if here.startswith(str(place)):
                found.append(int(pid))
    return found


@pytest.mark.parametrize("driver", [GCC, CLANG])
@pytest.mark.parametrize("eager", [True, False])
def test_a_job_is_done(tmp_path: Path, driver: str, eager: bool) -> None:
    async def main() -> None:
        async with shop(tmp_path, compilers=[driver]) as place:
            client = await place.client()
            end = await client.do(*job_for(QUICK, compiler(driver), eager=eager))
            assert isinstance(end, Result) and end.status == 0, end
            assert [type(m) for m in client.said[1]] == ([] if eager else [Need]) + [Started, Result]
            (tmp_path.parent / "x.i").write_bytes(QUICK)
            here = tmp_path.parent / "here.o"
            words = [compiler(driver).driver, "-O1", "-x", "cpp-output", "-c", "x.i", "-o", here]
            await asyncio.to_thread(subprocess.run, words, check=True, cwd=tmp_path.parent)
            assert len(client.output(1)) == len(here.read_bytes())

    run(main())


def test_an_empty_text_and_a_wrong_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path) as place:
            client = await place.client()
            for eager in (True, False):
                end = await client.do(*job_for(b"", compiler(GCC), eager=eager))
                assert isinstance(end, Result) and end.status == 0
            end = await client.do(*job_for(b"int f( {\n", compiler(GCC)))
            assert isinstance(end, Result) and end.status == 256 and b"error" in end.stderr and not end.outputs

    run(main())


@pytest.mark.parametrize(
    "body",
    [
        messages.Body(raw=len(QUICK), packed=len(QUICK), codec=1),
        messages.Body(raw=len(QUICK), packed=len(QUICK), codec=9),
        messages.Body(raw=len(QUICK) + 1, packed=len(QUICK)),
        messages.Body(raw=len(QUICK), packed=len(QUICK)),
    ],
    ids=["no zstd", "unknown codec", "wrong size", "wrong digest"],
)
def test_a_text_that_is_not_what_was_announced(tmp_path: Path, body: messages.Body) -> None:
    async def main() -> None:
        async with shop(tmp_path) as place:
            client = await place.client()
            job, _ = job_for(QUICK, compiler(GCC), source=messages.Blob(digest=b"d" * 32, body=body))
            end = await client.do(job, QUICK)
            assert isinstance(end, Refuse) and end.code is RefusalCode.INTERNAL
            assert isinstance(await client.do(*job_for(QUICK, compiler(GCC))), Result)

    run(main())


def test_supplying_what_was_not_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path) as place:
            client = await place.client()
            job, packed = job_for(QUICK, compiler(GCC), eager=False)
            other, other_packed = job_for(b"int g;\n", compiler(GCC))
            stream = client.begin(job, packed)
            client.link.send(Supply(blobs=(other.source,)), stream, [other_packed])
            end = await client.ended(stream)
            assert isinstance(end, Refuse) and end.code is RefusalCode.INTERNAL

    run(main())


def test_a_text_beyond_the_limit_is_refused_before_it_comes(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path) as place:
            client = await place.client()
            body = messages.Body(raw=session.MAX_TEXT_BYTES + 1, packed=1000)
            job, _ = job_for(QUICK, compiler(GCC), eager=False, source=messages.Blob(digest=b"d" * 32, body=body))
            end = await client.ended(client.begin(job, b""))
            assert isinstance(end, Refuse) and end.code is RefusalCode.TOO_LARGE

    run(main())


def test_a_cancel_kills_the_compiler_and_its_children(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path, compilers=[GXX]) as place:
            client = await place.client()
            stream = client.begin(*endless())
            await client.started(stream)
            await until(lambda: len(compilers_running(tmp_path)) >= 2, "driver and compiler run")
            client.link.send(Cancel(), stream)
            await until(lambda: place.quiet, "the worker is quiet again", 5)
            await until(lambda: not compilers_running(tmp_path), "every process is gone", 5)
            assert isinstance(await client.do(*job_for(b"template <int N> struct T;\n", compiler(GXX))), Result)

    run(main())


def test_a_client_that_vanishes_takes_its_compilers_along(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path, compilers=[GXX]) as place:
            client = await place.client()
            streams = [client.begin(*endless()) for _ in range(3)]
            await client.started(streams[0])
            client.link._transport.abort()  # type: ignore[union-attr]
            await until(lambda: place.quiet and not place.worker.sessions, "quiet again", 5)
            await until(lambda: not compilers_running(tmp_path), "every process is gone", 5)

    run(main())


def test_a_client_that_is_back_frees_what_its_dead_connection_holds(tmp_path: Path) -> None:
    """Its cable was cut: the old connection's end never came."""

    async def main() -> None:
        async with shop(tmp_path, slots=1, compilers=[GXX]) as place:
            cut, stranger = await place.client(), await place.client("another")
            await cut.started(cut.begin(*endless()))
            cut.link._transport.pause_reading()  # type: ignore[union-attr]
            back = await place.client()
            await until(lambda: len(place.worker.sessions) == 2, "the old connection is given up", 3)
            assert isinstance(await back.do(*job_for(QUICK, compiler(GXX))), Result)
            assert not back.lost and not stranger.lost

    run(main())


@pytest.mark.parametrize("eager", [True, False])
def test_a_job_cancelled_in_the_breath_that_asks_for_it_holds_no_place(tmp_path: Path, eager: bool) -> None:
    async def main() -> None:
        async with shop(tmp_path, slots=1) as place:
            client = await place.client()
            for _ in range(50):
                stream = client.begin(*job_for(QUICK, compiler(GCC), eager=eager))
                client.link.send(Cancel(), stream)
                client.link.flush()
                await asyncio.sleep(0)
            await until(lambda: place.quiet, "no place is held")
            assert isinstance(await client.do(*job_for(QUICK, compiler(GCC))), Result)

    run(main())


def test_cancels_at_every_moment(tmp_path: Path) -> None:
    """Also those that cross the end of the job."""

    async def main() -> None:
        async with shop(tmp_path, slots=2) as place:
            client = await place.client()
            for number in range(40):
                stream = client.begin(*job_for(QUICK, compiler(GCC), eager=number % 2 == 0))
                for _ in range(number):
                    await asyncio.sleep(0.001)
                    if client.end_of(stream):
                        break
                else:
                    client.link.send(Cancel(), stream)
            await until(lambda: place.quiet, "no place is held")
            assert not client.lost
            assert client.link.connection.open_streams == 0

    run(main())


def test_more_than_it_can_hold_is_refused_as_busy(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path, slots=1, compilers=[GXX]) as place:
            client = await place.client()
            room = 1 + place.worker.admission.queue_limit
            streams = [client.begin(*endless()) for _ in range(room + 3)]
            for stream in streams[room:]:
                end = await client.ended(stream)
                assert isinstance(end, Refuse) and end.code is RefusalCode.BUSY and end.sentence and end.remedy
            assert not any(client.end_of(stream) for stream in streams[:room])
            load = client.loads
            await until(lambda: load() and load()[-1].running == 1, "the load is told")
            assert load()[-1].queued == place.worker.admission.queue_limit

    run(main())


def test_three_hundred_jobs_at_once_are_each_answered_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path, slots=2) as place:
            client = await place.client()
            begun = asyncio.get_running_loop().time()
            streams = [client.begin(*job_for(QUICK, compiler(GCC), eager=n % 2 == 0)) for n in range(300)]
            supplied = set()
            while not all(client.end_of(stream) for stream in streams):
                for stream in streams:
                    said = client.said.get(stream, [])
                    if any(isinstance(m, Need) for m in said) and stream not in supplied:
                        supplied.add(stream)
                        job, packed = job_for(QUICK, compiler(GCC))
                        client.link.send(Supply(blobs=(job.source,)), stream, [packed])
                await asyncio.sleep(0.005)
                assert not client.lost
            passed = asyncio.get_running_loop().time() - begun
            ends = [client.end_of(stream) for stream in streams]
            assert sum(isinstance(end, Result) for end in ends) >= 2 + place.worker.admission.queue_limit
            assert all(isinstance(end, Result) or end.code is RefusalCode.BUSY for end in ends if end)
            assert len(client.loads()) <= passed / REPORT_EVERY_S + 2

    run(main())


def test_two_clients_take_turns(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path, slots=1) as place:
            greedy, modest = await place.client(), await place.client("b")
            first = [greedy.begin(*job_for(QUICK, compiler(GCC))) for _ in range(4)]
            await greedy.started(first[0])
            second = modest.begin(*job_for(QUICK, compiler(GCC)))
            await modest.ended(second)
            assert sum(greedy.end_of(stream) is not None for stream in first) <= 3
            for stream in first:
                await greedy.ended(stream)

    run(main())


def test_what_a_newcomer_is_told(tmp_path: Path) -> None:
    peer = PeerInfo(id="fedcba9876543210", name="p", addresses=("192.0.2.1",), port=3633)

    async def main() -> None:
        async with shop(tmp_path, slots=3, compilers=[GXX]) as place:
            place.worker.set_peers({"p": peer})
            busy = await place.client()
            await busy.started(busy.begin(*endless()))
            sock = await place.socket()
            client = Client()
            loop = asyncio.get_running_loop()
            hello = client.link.connection.data_to_send()
            await loop.sock_sendall(sock, hello[:5])  # the rest comes later
            await until(lambda: len(place.worker.sessions) == 2, "the door is open")
            await loop.sock_sendall(sock, hello[5:])
            place.clients.append(client)
            await loop.create_connection(lambda: client.link, sock=sock)
            await until(lambda: len(client.said.get(0, [])) >= 3, "all of the welcome")
            greeting = client.said[0][0]
            assert isinstance(greeting, Greeting) and (greeting.slots, greeting.id) == (3, "0123456789abcdef")
            assert [c.build_id for c in greeting.compilers] == [compiler(GXX).id.build_id]
            assert client.loads()[0].running == 1
            assert Peers(peers=(peer,)) in client.said[0]

    run(main())


def test_a_changed_list_of_compilers_is_told_and_counts(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path) as place:
            client = await place.client()
            place.worker.set_compilers([compiler(CLANG)])
            await until(lambda: any(isinstance(m, Compilers) for m in client.said[0]), "it is told")
            end = await client.do(*job_for(QUICK, compiler(GCC)))
            assert isinstance(end, Refuse) and end.code is RefusalCode.NO_COMPILER
            place.worker.set_compilers([compiler(CLANG)] * 1000)
            await until(lambda: sum(isinstance(m, Compilers) for m in client.said[0]) == 2, "any number is told")

    run(main())


def test_a_compiler_that_was_replaced_under_the_worker_does_no_job(tmp_path: Path) -> None:
    """As by an upgrade: until it has been asked anew nobody knows what it is."""

    async def main() -> None:
        own = tmp_path / "gcc"
        own.symlink_to(GCC)
        probed = replace(compiler(GCC), driver=os.fsencode(own))
        (tmp_path / "shop").mkdir()
        async with shop(tmp_path / "shop") as place:
            noticed: list[int] = []
            place.worker.on_replaced = lambda: noticed.append(1)
            place.worker.set_compilers([probed])
            client = await place.client()
            assert isinstance(await client.do(*job_for(QUICK, probed)), Result) and not noticed
            own.unlink()
            own.symlink_to(CLANG)
            end = await client.do(*job_for(QUICK, probed))
            assert isinstance(end, Refuse) and end.code is RefusalCode.NO_COMPILER and noticed
            place.worker.set_compilers([probed])
            await until(lambda: client.lost, "what the client knows is void")
            client = await place.client()
            place.worker.set_compilers([probed])
            assert isinstance(await client.do(*job_for(QUICK, probed)), Result) and not client.lost

    run(main())


def test_draining_lets_running_jobs_end_and_their_large_results_arrive(tmp_path: Path) -> None:
    text = b"char big[6000000] = {1};\n"

    async def main() -> None:
        async with shop(tmp_path, slots=1) as place:
            client = await place.client()
            stream = client.begin(*job_for(text, compiler(GCC)))
            await client.started(stream)
            draining = asyncio.ensure_future(place.worker.drain())
            await until(lambda: any(load.draining for load in client.loads()), "it is told")
            late = await client.ended(client.begin(*job_for(QUICK, compiler(GCC))))
            assert isinstance(late, Refuse) and late.code is RefusalCode.DRAINING
            await draining
            place.worker.stop()
            await until(lambda: client.lost, "the connection is closed")
            assert len(client.output(stream)) > 6_000_000
            assert any(isinstance(m, Goodbye) for m in client.said[0])

    run(main())


@pytest.mark.parametrize(
    ("limits", "text", "words"),
    [
        (Limits(seconds=0.3), ENDLESS, "more than 0.3 s"),
    ],
)
def test_limits(tmp_path: Path, limits: Limits, text: bytes, words: str) -> None:
    async def main() -> None:
        async with shop(tmp_path, limits=limits, compilers=[GXX]) as place:
            client = await place.client()
            end = await client.do(*job_for(text, compiler(GXX)))
            assert isinstance(end, Refuse) and end.code is RefusalCode.LIMIT and words in end.sentence
            await until(lambda: not compilers_running(tmp_path), "every process is gone", 5)

    run(main())


def test_an_object_beyond_the_limit_is_no_success(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path, limits=Limits(output=1 << 20)) as place:
            client = await place.client()
            end = await client.do(*job_for(b"char big[6000000] = {1};\n", compiler(GCC)))
            assert isinstance(end, Refuse) or end.status != 0

    run(main())


def kill_cc1plus(place: Path) -> bool:
    """What the system does to the largest process when memory is out."""
    for pid in compilers_running(place):
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() == "cc1plus":
                os.kill(pid, signal.SIGKILL)
                return True
        except OSError:
            continue
    return False


@pytest.mark.parametrize(
    ("features", "code"), [(("memory",), RefusalCode.MEMORY), ((), RefusalCode.INTERNAL)], ids=["new", "old"]
)
def test_a_compiler_killed_for_memory_is_no_compile_error(
    tmp_path: Path, features: tuple[str, ...], code: RefusalCode
) -> None:
    """Alone: it is the client's to try elsewhere.  An agent of before does not know the code."""

    async def main() -> None:
        async with shop(tmp_path, compilers=[GXX]) as place:
            client = await place.client(features=features)
            stream = client.begin(*endless())
            await until(lambda: kill_cc1plus(tmp_path), "the compiler runs")
            end = await client.ended(stream)
            assert isinstance(end, Refuse) and end.code is code and "memory" in end.sentence

    run(main())


def test_a_killed_driver_is_no_compile_error_either(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path, compilers=[GXX]) as place:
            client = await place.client()
            stream = client.begin(*endless())
            await until(lambda: len(compilers_running(tmp_path)) >= 2, "driver and compiler run")
            for pid in compilers_running(tmp_path):
                os.kill(pid, signal.SIGKILL)
            end = await client.ended(stream)
            assert isinstance(end, Refuse) and end.code is RefusalCode.MEMORY

    run(main())


def test_one_killed_for_memory_beside_others_is_run_again_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path, slots=2, compilers=[GXX, GCC]) as place:
            client = await place.client()
            victim = client.begin(*endless())
            await client.started(victim)
            other = client.begin(*endless())
            await client.started(other)
            await until(lambda: kill_cc1plus(tmp_path), "a compiler runs")
            counts = lambda: place.worker.admission.counts  # noqa: E731
            await until(lambda: counts().running == 1 and counts().queued == 1, "one waits until it is alone")
            late = client.begin(*job_for(QUICK, compiler(GCC)))
            await until(lambda: counts().queued == 2, "the next one waits, too")
            # the one that is left is ended by its client; then the other runs alone
            left = place.worker.admission.waiting()
            survivor = other if (next(iter(place.worker.sessions)).number, victim) in left else victim
            client.link.send(Cancel(), survivor)
            await until(lambda: len(place.worker.admission.waiting()) == 1, "the one that was killed has its turn")
            assert counts().running == 1
            await until(lambda: kill_cc1plus(tmp_path), "the second run, alone")
            end = await client.ended(victim if survivor == other else other)
            assert isinstance(end, Refuse) and end.code is RefusalCode.MEMORY
            assert isinstance(await client.ended(late), Result)

    run(main())


BULKY = b"int a[] = {%s};\n" % (b"1," * 1_000_000)
"""Takes 150 MB to compile."""


def within(tmp_path: Path, command: str) -> Probed:
    """gcc, started by a shell that runs `command` before."""
    driver = tmp_path.parent / f"{tmp_path.name}-gcc"
    driver.write_text(f'#!/bin/sh\n{command}\nexec {GCC} "$@"\n')
    driver.chmod(0o755)
    return replace(compiler(GCC), driver=os.fsencode(driver))


def test_a_compiler_that_the_machine_gives_no_memory_is_no_compile_error(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path) as place:
            client = await place.client()
            assert isinstance(await client.do(*job_for(BULKY, compiler(GCC))), Result)
            assert 50 << 20 < place.worker.manners.job_bytes < 1 << 30
            place.worker.set_compilers([within(tmp_path, "ulimit -v 120000")])
            client = await place.client()  # a replaced compiler ends connections
            end = await client.do(*job_for(BULKY, compiler(GCC)))
            assert isinstance(end, Refuse) and end.code is RefusalCode.MEMORY, end
            assert isinstance(await client.do(*job_for(QUICK, compiler(GCC))), Result)

    run(main())


def test_a_compiler_killed_by_the_system_is_no_compile_error(tmp_path: Path) -> None:
    """A control group with too little memory; its killer is the one that a machine without memory has."""
    mount = Path("/sys/fs/cgroup/memory")
    group = (mount if mount.is_dir() else mount.parent) / f"zdistcc-{os.getpid()}"
    try:
        group.mkdir()
        limit = group / ("memory.limit_in_bytes" if mount.is_dir() else "memory.max")
        limit.write_text(str(80 << 20))
    except OSError as error:
        pytest.skip(f"no control group of memory may be made: {error.strerror}")

    async def main() -> None:
        async with shop(tmp_path) as place:
            place.worker.set_compilers([within(tmp_path, f"echo $$ >{group}/cgroup.procs")])
            client = await place.client()
            end = await client.do(*job_for(BULKY, compiler(GCC)))
            assert isinstance(end, Refuse) and end.code is RefusalCode.MEMORY, end

    try:
        run(main())
    finally:
        group.rmdir()


def test_a_compiler_that_needs_more_than_its_limit_hit_a_limit(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path, limits=Limits(seconds=60, memory=140 << 20)) as place:
            client = await place.client()
            end = await client.do(*job_for(BULKY, compiler(GCC)))
            assert isinstance(end, Refuse) and end.code is RefusalCode.LIMIT, end

    run(main())


def test_the_owner_goes_first(tmp_path: Path) -> None:
    """Slots go, running jobs stay, those that wait go elsewhere; everybody is told why."""
    battery = Reading(at=1.0, cores=2, on_battery=True)

    async def main() -> None:
        async with shop(tmp_path, slots=2, compilers=[GXX], polite=True) as place:
            client = await place.client()
            running = [client.begin(*endless()) for _ in range(2)]
            for stream in running:
                await client.started(stream)
            waiting = client.begin(*endless())
            await until(lambda: place.worker.admission.counts.queued == 1, "one waits")
            place.worker.notice(battery)
            end = await client.ended(waiting)
            assert isinstance(end, Refuse) and end.code is RefusalCode.BUSY and "battery" in end.sentence
            late = await client.ended(client.begin(*endless()))
            assert isinstance(late, Refuse) and late.code is RefusalCode.BUSY and "battery" in late.sentence
            await until(lambda: client.loads()[-1].limited == "on battery", "the reason is told")
            told = client.loads()[-1]
            assert (told.slots, told.configured, told.running) == (0, 2, 2)
            assert not any(client.end_of(stream) for stream in running)
            for at in (2.0, 10.0):
                place.worker.notice(Reading(at=at, cores=2))
            await until(lambda: client.loads()[-1].slots == 2, "all is back")
            assert [load.limited for load in client.loads() if load.limited is not None][-1] == ""

    run(main())


def test_compilers_run_in_the_background(tmp_path: Path) -> None:
    limits = Limits(seconds=60, nice=5, background=True)

    async def main() -> None:
        async with shop(tmp_path, limits=limits, compilers=[GXX]) as place:
            client = await place.client()
            await client.started(client.begin(*endless()))
            await until(lambda: len(compilers_running(tmp_path)) >= 2, "driver and compiler run")

            def in_the_background(pid: int) -> bool:
                words = subprocess.run(["ionice", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
                idle = os.sched_getscheduler(pid) == os.SCHED_BATCH and words.startswith("idle")
                return idle and os.getpriority(os.PRIO_PROCESS, pid) >= 5

            await until(lambda: all(map(in_the_background, compilers_running(tmp_path))), "all of them give way")

    run(main())


def test_a_workspace_that_cannot_be_used_is_refused_and_not_fatal(tmp_path: Path) -> None:
    place_of_work = tmp_path / "jobs"

    async def main() -> None:
        place_of_work.mkdir()
        async with shop(place_of_work) as place:
            client = await place.client()
            place_of_work.rmdir()
            place_of_work.write_bytes(b"in the way")
            end = await client.do(*job_for(QUICK, compiler(GCC)))
            assert isinstance(end, Refuse) and end.code is RefusalCode.INTERNAL
            place_of_work.unlink()
            assert isinstance(await client.do(*job_for(QUICK, compiler(GCC))), Result)

    run(main())


def test_a_bug_is_answered_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with shop(tmp_path) as place:

            async def broken(*words: object) -> None:
                raise ZeroDivisionError("a bug")

            client = await place.client()
            place.worker.run_text = broken  # type: ignore[method-assign, assignment]
            end = await client.do(*job_for(QUICK, compiler(GCC)))
            assert isinstance(end, Refuse) and end.code is RefusalCode.INTERNAL and end.sentence.isprintable()

    run(main())
    assert any("a bug" in str(record.exc_info) for record in caplog.records)


# --- the door -------------------------------------------------------------------------------------


def test_a_stranger_is_denied_in_words(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path) as place:
            place.worker._why_denied = lambda address, own: Denied(sentence="no", remedy="go")  # type: ignore[method-assign]
            client = await place.client()
            await until(lambda: client.lost, "the door is closed")
            assert client.said == {0: [Denied(sentence="no", remedy="go")]}
            assert not place.worker.sessions

    run(main())


def test_who_is_denied(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path) as place:
            why = place.worker._why_denied
            assert why("192.168.1.5", "192.168.1.2") is None and why("8.8.8.8", "8.8.8.8") is None
            for address in ("8.8.8.8", "2001:db8::1", "garbage", ""):
                denied = why(address, "192.168.1.2")
                assert denied is not None and denied.remedy

    run(main())


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"DIST00000009ARGC00000001",
        b"\0\0\0\0",
        b"ZDCC\0\7\r\n",
        b"ZDCC\0\1\r\n" + b"\xff" * 12,
        b"ZDCC\0\1\r\n" + frames.encode_header(frames.FrameKind.MESSAGE, 0, 0, 1) + b"\0",
        b"ZDCC\0\1\r\n" + (1 << 30).to_bytes(4, "big") + b"\1\0\0\0\0\0\0\0",
    ],
    ids=["http", "distcc", "zeros", "version", "header", "message", "oversize"],
)
def test_strangers_are_cut_off(tmp_path: Path, said: bytes) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with shop(tmp_path) as place:
            for piece in (len(said), 1):
                sock = await place.socket()
                with sock:
                    try:
                        for start in range(0, len(said), piece):
                            await loop.sock_sendall(sock, said[start : start + piece])
                        while await asyncio.wait_for(loop.sock_recv(sock, 4096), 5):
                            pass
                    except ConnectionError:
                        pass
            await until(lambda: not place.worker.sessions, "nobody is left")

    run(main())


def test_those_who_say_nothing_or_too_little_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "FIRST_BYTES_TIMEOUT_S", 0.2)
    monkeypatch.setattr(session, "HELLO_TIMEOUT_S", 0.2)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with shop(tmp_path) as place:
            for said in (b"", b"ZD", b"ZDCC", frames.encode_preface()):
                with await place.socket() as sock:
                    await loop.sock_sendall(sock, said)
                    try:
                        while await asyncio.wait_for(loop.sock_recv(sock, 4096), 5):
                            pass
                    except ConnectionError:
                        pass
            assert not place.worker.sessions

    run(main())


def test_a_text_that_never_comes_gives_its_place_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CONTENT_TIMEOUT_S", 0.2)

    async def main() -> None:
        async with shop(tmp_path) as place:
            client = await place.client()
            end = await client.ended(client.begin(*job_for(QUICK, compiler(GCC), eager=False)))
            assert isinstance(end, Refuse) and end.code is RefusalCode.LIMIT

    run(main())


def test_a_worker_s_own_words_from_a_client_end_the_connection(tmp_path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with shop(tmp_path) as place:
            core = Connection(Role.WORKER)
            core.send(Greeting(version="1", id="0123456789", name="x", slots=1, compilers=()))
            with await place.socket() as sock:
                await loop.sock_sendall(sock, core.data_to_send())
                try:
                    while await asyncio.wait_for(loop.sock_recv(sock, 4096), 5):
                        pass
                except ConnectionError:
                    pass

    run(main())

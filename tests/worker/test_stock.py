"""Stock distcc clients and a real worker: the Debian program where it can say it, our client's core where it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.aio import pass_time, run, until
from tests.golden import stock
from tests.worker.bench import ENDLESS, QUICK, Shop, compiler, job_for, shop
from tests.worker.test_serving import compilers_running
from zdistcc.children import Limits
from zdistcc.wire.distcc import DistccClient, DistccServer
from zdistcc.wire.distcc_events import Answered, Event, File, JobAnnounced, Link, OutputReceived, Part, Version
from zdistcc.wire.messages import Result
from zdistcc.worker import stock as serving
from zdistcc.worker.stock import Patience

GCC, GXX, CLANG = "/usr/bin/gcc", "/usr/bin/g++", "/usr/bin/clang"
SOURCES = {
    "t.c": '#include "inc/a.h"\n#include <stdio.h>\n#include <stdlib.h>\n'
    'int main(int n, char **w) { printf("%d %s\\n", n + A, getenv(w[0])); return 0; }\n',
    "t.cc": '#include "inc/a.h"\n#include <map>\n#include <string>\n'
    'int f(const std::map<std::string, int> &m) { return m.at("x") + A; }\n',
    "inc/a.h": "#define A 1\n",
    "wrong.c": "int f(void) { return missing; }\n",
}
VERSIONS = {Version.PLAIN: "", Version.LZO: ",lzo", Version.PUMP: ",cpp,lzo"}


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path) -> None:
    """Where a shop looks for what is left, also where no job ever ran."""
    (tmp_path / "jobs").mkdir()


def project(place: Path) -> Path:
    for name, text in SOURCES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


def local(words: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(words, cwd=cwd, capture_output=True, check=False)


def distcc(port: int, options: str, words: Sequence[str], cwd: Path, **more: str) -> subprocess.CompletedProcess[bytes]:
    """What `distcc *words` does, with this worker as its only host, and without falling back."""
    settings = cwd / ".distcc"
    settings.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C",
        "HOME": str(cwd),
        "DISTCC_DIR": str(settings),
        "DISTCC_HOSTS": f"127.0.0.1:{port}/4{options}",
        "DISTCC_FALLBACK": "0",
        "DISTCC_BACKOFF_PERIOD": "0",
        **more,
    }
    return subprocess.run(
        ["distcc", *words],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(bool(stock.MISSING), reason=f"needs {', '.join(stock.MISSING)} (Debian: distcc, distcc-pump, gcc)")
@pytest.mark.parametrize("debug", [False, True], ids=["", "-g"])
@pytest.mark.parametrize(("source", "command"), [("t.c", "gcc"), ("t.cc", "g++"), ("t.c", "clang")])
@pytest.mark.parametrize("version", Version)
def test_the_stock_client_gets_what_its_own_compiler_makes(
    version: Version, source: str, command: str, debug: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    where = project(tmp_path / "p")
    words = [command, "-O2", *(["-g"] if debug else []), "-MD", "-MF", "t.d", "-c", source, "-o", "t.o"]

    async def main() -> tuple[subprocess.CompletedProcess[bytes], int]:
        async with shop(tmp_path / "jobs", compilers=[GCC, CLANG]) as place:
            more = {}
            with contextlib.ExitStack() as stack:
                if version is Version.PUMP:
                    more["INCLUDE_SERVER_PORT"] = stack.enter_context(stock.include_server(where))
                done = await asyncio.to_thread(distcc, place.port, VERSIONS[version], words, where, **more)
            return done, place.worker.jobs_done

    done, count = run(main())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert count == 1, "it was not our worker that compiled it"
    assert f" version={int(version)} " in caplog.text
    theirs, dependencies = (where / "t.o").read_bytes(), (where / "t.d").read_bytes()
    assert dependencies.startswith(b"t.o: ") and b"inc/a.h" in dependencies
    assert local(words, where).returncode == 0
    if debug:
        (where / "theirs.o").write_bytes(theirs)
        for name in ("theirs.o", "t.o"):
            subprocess.run(["strip", "-d", name], cwd=where, check=True)
        theirs = (where / "theirs.o").read_bytes()
    assert theirs == (where / "t.o").read_bytes()


@pytest.mark.skipif(bool(stock.MISSING), reason=f"needs {', '.join(stock.MISSING)} (Debian: distcc, distcc-pump, gcc)")
@pytest.mark.parametrize("options", ["", ",lzo"])
def test_the_stock_client_shows_errors_and_refusals(options: str, tmp_path: Path) -> None:
    where = project(tmp_path / "p")
    commands = {
        "gcc -c wrong.c -o t.o": (1, b"'missing' undeclared"),
        "gcc-12 -gsplit-dwarf -g -c t.c -o t.o": (101, b"zdistccd: '-gsplit-dwarf': "),
        "clang-14 -c t.c -o t.o": (110, b"zdistccd: clang-14 is not on this worker"),
        "/usr/bin/gcc -c t.c -o t.o": (0, b""),
    }

    async def main() -> dict[str, subprocess.CompletedProcess[bytes]]:
        async with shop(tmp_path / "jobs", compilers=[GCC]) as place:
            return {
                words: await asyncio.to_thread(distcc, place.port, options, words.split(), where) for words in commands
            }

    for words, done in run(main()).items():
        status, said = commands[words]
        assert done.returncode == status and said in done.stderr, (words, done)
        assert str(tmp_path / "jobs").encode() not in done.stderr


GOLDEN = Path(__file__).parent.parent / "golden/distcc"
GOLDEN_NAMES = sorted(path.stem for path in GOLDEN.glob("*.request"))


def say(port: int, request: bytes) -> bytes:
    """What is answered to these bytes, after which nothing more is said."""
    heard = b""
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.sendall(request)
        with contextlib.suppress(ConnectionResetError):
            while data := sock.recv(1 << 16):
                heard += data
    return heard


def whole(said: bytes, name: str) -> list[Event]:
    """The response to a transcript's request, as events; fails unless it is whole."""
    server, client = DistccServer(), DistccClient()
    server.receive_data((GOLDEN / f"{name}.request").read_bytes())
    announced = server.events()[0]
    assert isinstance(announced, JobAnnounced)
    more: dict[str, bytes] = {"cwd": announced.cwd} if announced.version is Version.PUMP else {"source": b""}
    client.request(announced.version, announced.args, **more)  # type: ignore[arg-type]
    client.data_to_send(1 << 20)
    client.receive_data(said)
    assert client.complete
    return client.events()


def test_the_transcripts_of_stock_clients_are_answered_as_the_stock_daemon_does(tmp_path: Path) -> None:
    """In their status and in every word that the compiler said."""

    async def main() -> None:
        async with shop(tmp_path / "jobs", compilers=[GCC]) as place:
            for name in GOLDEN_NAMES:
                request = (GOLDEN / f"{name}.request").read_bytes()
                ours = whole(await asyncio.to_thread(say, place.port, request), name)
                theirs = whole((GOLDEN / f"{name}.response").read_bytes(), name)
                assert answer(ours) == answer(theirs), name
                assert bool(part(ours, Part.OBJECT)) is bool(part(theirs, Part.OBJECT))
                for word in part(theirs, Part.DEPENDENCIES).replace(b"\\\n", b"").split():
                    assert word in part(ours, Part.DEPENDENCIES).split(), name

    run(main())


def test_transcripts_that_break_off_leave_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path / "jobs", compilers=[GCC]) as place:
            for name in GOLDEN_NAMES:
                request = (GOLDEN / f"{name}.request").read_bytes()
                for end in range(4, len(request), max(1, len(request) // 12)):
                    _, writer = await asyncio.open_connection("127.0.0.1", place.port)
                    writer.write(request[:end])
                    await writer.drain()
                    writer.close()
            await until(lambda: place.quiet and not place.worker.desk.visits, "nothing is left")
            assert place.worker.jobs_done == 0

    run(main())


# --- our client's core, for what the stock client does not do -------------------------------------------


async def talk(place: Shop, version: Version, words: str, *, more: bytes = b"", **what: object) -> list[Event]:
    """Ask; return all that is heard until the worker closes."""
    core = DistccClient()
    core.request(version, words.encode().split(), **what)  # type: ignore[arg-type]
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    heard: list[Event] = []
    try:
        while core.wants_to_send:
            writer.write(core.data_to_send())
        writer.write(more)
        while not core.dead:
            try:
                data = await reader.read(1 << 16)
            except ConnectionResetError:
                data = b""
            if data:
                core.receive_data(data)
            else:
                core.receive_eof()
            heard += core.events()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return heard


def answer(heard: list[Event]) -> Answered:
    assert heard and isinstance(heard[0], Answered), heard
    return heard[0]


def part(heard: list[Event], kind: Part) -> bytes:
    return b"".join(event.data for event in heard if isinstance(event, OutputReceived) and event.part is kind)


def refused(heard: list[Event]) -> bool:
    return not any(isinstance(event, Answered) for event in heard)


def pump(*names: File | Link, words: str = "gcc -O1 -c t.c -o d/t.o", cwd: bytes = b"/home/u/p") -> dict[str, object]:
    return {"version": Version.PUMP, "words": words, "cwd": cwd, "names": names}


MAIN = File(path=b"/home/u/p/t.c", data=b'#include "inc/a.h"\nint f(void) { return A; }\n')
HEADER = File(path=b"/home/u/p/inc/a.h", data=b"#define A 1\n")


def test_a_tree_with_links_and_twins(tmp_path: Path) -> None:
    """Relative and absolute links in the tree; two headers of equal text, each with its own once."""
    names = [
        File(path=b"/home/u/p/t.c", data=b'#include "abs/a.h"\n#include "rel/b.h"\n#include "c/b.h"\n'
             b"int f(void) { return N; }\nint g(const char *p) { return p == __FILE__; }\n"),
        File(path=b"/home/u/real/a.h", data=b"#define N (sizeof(struct x))\n"),
        File(path=b"/home/u/real/b.h", data=b"#pragma once\n#include \"own.h\"\n"),
        File(path=b"/home/u/real/own.h", data=b"struct x { int a[M]; };\n"),
        File(path=b"/home/u/p/c/b.h", data=b"#pragma once\n#include \"own.h\"\n"),
        File(path=b"/home/u/p/c/own.h", data=b"#define SEEN\n"),
        Link(path=b"/home/u/p/abs", target=b"/home/u/real"),
        Link(path=b"/home/u/p/rel", target=b"../real"),
    ]  # fmt: skip

    async def main() -> list[Event]:
        async with shop(tmp_path / "jobs") as place:
            words = "gcc -O1 -g -DM=7 -c t.c -o d/t.o"
            return await talk(place, **pump(*names, words=words))  # type: ignore[arg-type]

    heard = run(main())
    assert answer(heard) == Answered(status=0, stderr=b"", stdout=b"")
    made = part(heard, Part.OBJECT)
    assert b"/home/u/p" in made and b"job-" not in made and bytes(tmp_path) not in made
    rule = part(heard, Part.DEPENDENCIES)
    assert rule.startswith(b"d/t.o: t.c ") and b"c/own.h" in rule and b"job-" not in rule


def test_only_directories_that_the_compiler_searches_are_the_workers_own(tmp_path: Path) -> None:
    def named(directory: bytes) -> Link:
        up = b"../" * (directory.count(b"/") + 2)
        return Link(path=directory, target=up + directory[1:])

    async def main() -> None:
        async with shop(tmp_path / "jobs") as place:
            own = [named(b"/usr/include"), named(b"/usr/local/include"), named(b"/usr/lib/llvm-99/include")]
            fine = await talk(place, **pump(MAIN, HEADER, *own))  # type: ignore[arg-type]
            assert answer(fine).status == 0
            for directory in (b"/etc", b"/usr", b"/usr/include/linux", b"/root"):
                heard = await talk(place, **pump(MAIN, HEADER, named(directory)))  # type: ignore[arg-type]
                assert answer(heard).status >> 8 == 100 and directory in answer(heard).stderr

    run(main())


@pytest.mark.parametrize(
    ("names", "cwd"),
    [
        ([File(path=b"/home/u/p", data=b"")], b"/home/u/p"),
        ([Link(path=b"/home", target=b"tmp")], b"/home/u/p"),
        ([MAIN, File(path=b"/home/u/p/" + b"x" * 300, data=b"")], b"/home/u/p"),
        ([MAIN], b"/" + b"y" * 300),
    ],
    ids=["a file for the directory", "a link above it", "a long name", "a long directory"],
)
def test_trees_that_cannot_be(tmp_path: Path, names: list[File | Link], cwd: bytes) -> None:
    async def main() -> None:
        async with shop(tmp_path / "jobs") as place:
            heard = await talk(place, **pump(*names, cwd=cwd))  # type: ignore[arg-type]
            assert answer(heard).status >> 8 == 100
            assert bytes(tmp_path) not in answer(heard).stderr
            assert answer(await talk(place, **pump(MAIN, HEADER))).status == 0  # type: ignore[arg-type]

    run(main())


def test_paths_of_the_worker_are_taken_out_of_messages(tmp_path: Path) -> None:
    """The assembler names its input, a temporary file."""

    async def main() -> list[Event]:
        async with shop(tmp_path / "jobs") as place:
            return await talk(place, Version.PLAIN, "gcc -c t.c -o t.o", source=b'__asm__("nonsense");\n')

    said = answer(run(main())).stderr
    assert b"/tmp/cc" in said and b"nonsense" in said and b"job-" not in said and bytes(tmp_path) not in said


def test_a_refusal_is_not_said_before_all_was_heard(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path / "jobs") as place:
            heard = await talk(place, Version.PLAIN, "gcc -fplugin=x -c t.c", source=b"int x;\n" * 1_000_000)
            assert answer(heard).status == 101 << 8 and b"-fplugin=x" in answer(heard).stderr
            core = DistccClient()
            core.request(Version.PLAIN, [b"gcc", b"-fplugin=x", b"-c", b"t.c"], source=bytes(100))
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            said = core.data_to_send()
            writer.write(said[:-1])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await reader.read(1)
            writer.write(said[-1:])
            assert await reader.read(4) == b"DONE"
            writer.close()

    run(main())


def test_a_client_that_breaks_the_protocol_is_dropped(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path / "jobs") as place:
            assert refused(await talk(place, Version.PLAIN, "gcc -c t.c", source=b"int x;\n", more=b"DOTI00000000"))
            for nonsense in (
                b"DIST00000004",
                b"DIST0000000x",
                b"DIST00000001ARGC00000000",
                b"DIST00000001DOTI00000000",
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
                writer.write(nonsense)
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
                writer.close()

    run(main())


def test_a_client_that_closes_has_gone(tmp_path: Path) -> None:
    """Halfway through its request, or while its compiler runs."""

    async def main() -> None:
        async with shop(tmp_path / "jobs", compilers=[GXX]) as place:
            core = DistccClient()
            core.request(Version.PLAIN, [b"g++", b"-O2", b"-c", b"t.cc"], source=ENDLESS)
            said = core.data_to_send()
            _, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(said[:-10])
            await until(lambda: place.worker.admission.counts.queued == 1, "it is admitted")
            writer.write_eof()
            await until(lambda: place.quiet and not place.worker.desk.visits, "half a request is given up")
            writer.close()
            _, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(said)
            await until(lambda: compilers_running(tmp_path / "jobs"), "it compiles")
            writer.write_eof()
            await until(lambda: not compilers_running(tmp_path / "jobs"), "its compiler is killed")
            writer.close()

    run(main())


def test_a_client_that_stalls_is_dropped_by_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path / "jobs") as place:
            place.worker.desk.patience = Patience(silence=0.2, request=0.6)
            core = DistccClient()
            core.request(Version.PLAIN, [b"gcc", b"-c", b"t.c"], source=bytes(1000))
            said = core.data_to_send()
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(said[:-1])
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            assert place.quiet
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            loop = asyncio.get_running_loop()
            begun, position = loop.time(), 0
            with contextlib.suppress(OSError):
                while loop.time() < begun + 10 and position < len(said):  # never silent, never done
                    writer.write(said[position : position + 1])
                    await writer.drain()
                    position += 1
                    await pass_time(0.05)
            assert loop.time() - begun < 5 and place.quiet
            writer.close()

    run(main())


def test_a_client_that_does_not_take_its_answer_is_dropped(tmp_path: Path) -> None:
    big = b"char x[64 << 20] = {1};\n"

    async def main() -> None:
        async with shop(tmp_path / "jobs") as place:
            place.worker.desk.patience = Patience(silence=0.3)
            core = DistccClient()
            core.request(Version.PLAIN, [b"gcc", b"-c", b"t.c"], source=big)
            _, writer = await asyncio.open_connection("127.0.0.1", place.port, limit=1 << 10)
            writer.write(core.data_to_send())
            await until(lambda: place.worker.jobs_done == 1, "it is compiled", 30)
            await until(lambda: not place.worker.desk.visits, "it is dropped", 30)
            writer.close()

    run(main())


def test_a_limit_is_told(tmp_path: Path) -> None:
    async def main() -> list[Event]:
        async with shop(tmp_path / "jobs", limits=Limits(seconds=0.5), compilers=[GXX]) as place:
            return await talk(place, Version.PLAIN, "g++ -O2 -c t.cc", source=ENDLESS)

    heard = answer(run(main()))
    assert heard.status == 100 << 8 and b"ran for more than 0.5 s" in heard.stderr


def test_who_finds_no_room_waits_and_is_served_in_turn(tmp_path: Path) -> None:
    """Two stock clients, one of ours, one slot: nobody is refused, and every stock connection is answered."""

    async def main() -> None:
        async with shop(tmp_path / "jobs", slots=1) as place:
            ours = await place.client()
            asked = [
                asyncio.ensure_future(talk(place, Version.LZO, "gcc -c t.c", source=QUICK * 20)) for _ in range(16)
            ]
            streams = [ours.begin(*job_for(QUICK, compiler(GCC))) for _ in range(2)]
            for stream in streams:
                assert isinstance(await ours.ended(stream), Result)
            for heard in await asyncio.gather(*asked):
                assert answer(heard).status == 256  # twice the same function
            assert place.worker.jobs_done == 18

    run(main())


def test_clients_share_the_slots_by_their_addresses(tmp_path: Path) -> None:
    """A client with many connections does not crowd out one with few."""

    async def main() -> None:
        async with shop(tmp_path / "jobs", slots=1, compilers=[GXX]) as place:
            finished: list[str] = []

            async def one(address: str) -> None:
                core = DistccClient()
                core.request(Version.PLAIN, [b"g++", b"-c", b"t.cc"], source=b"int x;\n")
                reader, writer = await asyncio.open_connection("127.0.0.1", place.port, local_addr=(address, 0))
                writer.write(core.data_to_send())
                await reader.read()
                finished.append(address)
                writer.close()

            blocker = DistccClient()
            blocker.request(Version.PLAIN, [b"g++", b"-O2", b"-c", b"t.cc"], source=ENDLESS)
            _, writer = await asyncio.open_connection("127.0.0.1", place.port, local_addr=("127.0.0.9", 0))
            writer.write(blocker.data_to_send())
            await until(lambda: place.worker.admission.counts.running == 1, "the slot is taken")
            greedy = [asyncio.ensure_future(one("127.0.0.2")) for _ in range(3)]
            await until(lambda: place.worker.admission.counts.queued == 3, "the greedy one is there")
            modest = asyncio.ensure_future(one("127.0.0.3"))
            await until(lambda: place.worker.admission.counts.queued == 4, "both are there")
            writer.close()
            await asyncio.gather(*greedy, modest)
            assert finished.index("127.0.0.3") <= 1

    run(main())


def test_a_draining_worker_ends_what_runs_and_closes_on_the_rest(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path / "jobs", slots=1, compilers=[GXX, GCC]) as place:
            asked = [
                asyncio.ensure_future(talk(place, Version.LZO, "gcc -c t.c", source=b"int x;\n")) for _ in range(9)
            ]
            admission = place.worker.admission
            await until(lambda: admission.counts.queued + admission.counts.running == 5, "the queue is full")
            await place.worker.drain()
            ends = await asyncio.gather(*asked)
            assert sum(map(refused, ends)) >= 1 and sum(not refused(heard) for heard in ends) >= 1
            assert refused(await talk(place, Version.LZO, "gcc -c t.c", source=b"int x;\n"))

    run(main())


def test_strangers_and_workers_without_distcc_are_closed_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path / "jobs") as place:
            closed = place.worker.open_stock("8.8.8.8", "192.168.1.1")
            assert isinstance(closed, serving.Closer)

    run(main())


@pytest.mark.skipif(bool(stock.MISSING), reason=f"needs {', '.join(stock.MISSING)} (Debian: distcc, distcc-pump, gcc)")
def test_a_stock_client_that_is_interrupted_frees_its_slot(tmp_path: Path) -> None:
    where = project(tmp_path / "p")
    (where / "e.ii").write_bytes(ENDLESS)

    async def main() -> None:
        async with shop(tmp_path / "jobs", compilers=[GXX]) as place:
            environment = {"PATH": os.environ["PATH"], "HOME": str(where), "DISTCC_HOSTS": f"127.0.0.1:{place.port}"}
            words = ["distcc", "g++", "-O2", "-c", "e.ii", "-o", "e.o"]
            process = subprocess.Popen(words, cwd=where, env=environment)
            try:
                await until(lambda: compilers_running(tmp_path / "jobs"), "it compiles")
                process.send_signal(signal.SIGINT)
                await until(lambda: place.quiet, "the slot is free")
                assert place.worker.jobs_done == 0
            finally:
                process.kill()
                process.wait()

    run(main())


@pytest.mark.skipif(bool(stock.MISSING), reason=f"needs {', '.join(stock.MISSING)} (Debian: distcc, distcc-pump, gcc)")
def test_an_include_server_that_has_met_several_compilers(tmp_path: Path) -> None:
    """It names the directories of all.  Objects are the same to the last byte in version 3, with debug information too."""
    where = project(tmp_path / "p")
    commands = [f"{name} -O2 {debug} -c {source} -o {name}{debug}.o" for debug in ("-g", "-g3")
                for name, source in (("gcc", "t.c"), ("g++", "t.cc"), ("clang", "t.c"), ("clang++", "t.cc"))]  # fmt: skip

    async def main() -> list[int]:
        async with shop(tmp_path / "jobs", compilers=[GCC, CLANG]) as place:
            with stock.include_server(where) as address:
                return [
                    (await asyncio.to_thread(
                        distcc, place.port, ",cpp,lzo", words.split(), where, INCLUDE_SERVER_PORT=address
                    )).returncode
                    for words in commands
                ]  # fmt: skip

    assert run(main()) == [0] * len(commands)
    for words in commands:
        made = where / words.split()[-1]
        sent = made.read_bytes()
        assert local(words.split(), where).returncode == 0
        assert made.read_bytes() == sent, words

"""The trial of a worker's compiler: what it proves, for whom, and how often it is made."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from zdistcc import children
from zdistcc.agent.canary import Canaries, Verdict
from zdistcc.errors import InfraError
from zdistcc.schedule.events import WorkerId
from zdistcc.toolchain.identity import CompilerId, Family
from zdistcc.wire.control import LaunchRequest

GCC = shutil.which("gcc")
pytestmark = pytest.mark.skipif(GCC is None, reason="gcc is missing")
DRIVER = os.fsencode(GCC or "")
HERE = CompilerId(family=Family.GCC, version="12.2.0", target="x86_64-linux-gnu", build_id="0" * 32)
ONE, TWO = WorkerId("one"), WorkerId("two")
Answer = Callable[[LaunchRequest], Awaitable[bytes | None]]


class Trials:
    """Trials on a pretended worker: the real compiler, with more options."""

    def __init__(self, *more: bytes) -> None:
        self.more = more
        self.made = 0

    async def __call__(self, request: LaunchRequest) -> bytes | None:
        self.made += 1
        output = request.argv[-1]
        await children.run([*request.argv, *self.more], env=request.env, cwd=request.cwd)
        return content(os.path.join(request.cwd, output))


def content(path: bytes) -> bytes:
    """What the compiler wrote; nothing if it failed."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def canaries(tmp_path: Path) -> Canaries:
    return Canaries(tmp_path / "canary", {b"PATH": os.fsencode(os.environ["PATH"])})


def judge(
    book: Canaries, worker: WorkerId, trial: Answer, language: str = "c", stock: object = None
) -> Awaitable[Verdict]:
    return book.verdict(DRIVER, worker, stock, HERE, HERE, language, trial)


def test_an_honest_compiler_is_tried_once(tmp_path: Path) -> None:
    async def play() -> None:
        book, trial = canaries(tmp_path), Trials()
        assert await asyncio.gather(*(judge(book, ONE, trial) for _ in range(5))) == [Verdict.SAME] * 5
        assert await judge(book, ONE, trial, "objective-c") is Verdict.SAME
        assert trial.made == 1
        assert await judge(book, ONE, trial, "c++") is Verdict.SAME
        assert trial.made == 2

    asyncio.run(play())


@pytest.mark.parametrize("lie", [b"-DX", b"-UX", b"-fno-inline", b"-O1", b"-fpic", b"-fshort-enums"])
def test_what_is_added_to_the_command_shows(tmp_path: Path, lie: bytes) -> None:
    async def play() -> None:
        assert await judge(canaries(tmp_path), ONE, Trials(lie)) is Verdict.DIFFERENT

    asyncio.run(play())


def test_what_was_proved_is_not_believed_of_other_compilers(tmp_path: Path) -> None:
    """The worker began anew, or was upgraded; what it says of its compilers is what it said before."""

    async def play() -> None:
        book, first, second = canaries(tmp_path), object(), object()
        assert await judge(book, ONE, Trials(), stock=first) is Verdict.SAME
        assert await judge(book, TWO, Trials(), stock=first) is Verdict.SAME
        lies = Trials(b"-O1")
        assert await judge(book, ONE, lies, stock=second) is Verdict.DIFFERENT
        assert await judge(book, ONE, lies, stock=second) is Verdict.DIFFERENT
        assert await judge(book, TWO, Trials(b"-O1"), stock=first) is Verdict.SAME
        assert lies.made == 1 and len(book._trials) == 2

    asyncio.run(play())


def test_one_workers_proof_is_not_anothers(tmp_path: Path) -> None:
    async def play() -> None:
        book = canaries(tmp_path)
        assert await judge(book, ONE, Trials()) is Verdict.SAME
        assert await judge(book, TWO, Trials(b"-DX")) is Verdict.DIFFERENT
        assert await judge(book, ONE, Trials(b"-DX")) is Verdict.SAME

    asyncio.run(play())


def test_a_compiler_that_fails_there_is_different(tmp_path: Path) -> None:
    async def play() -> None:
        assert await judge(canaries(tmp_path), ONE, Trials(b"-fno-such-option")) is Verdict.DIFFERENT

    asyncio.run(play())


def test_a_trial_that_cannot_be_made_says_nothing(tmp_path: Path) -> None:
    made = []

    async def impossible(request: LaunchRequest) -> bytes | None:
        made.append(request)
        return None

    async def lost(request: LaunchRequest) -> bytes | None:
        raise InfraError("the worker left")

    async def play() -> None:
        book = canaries(tmp_path)
        with pytest.raises(InfraError):
            await judge(book, TWO, lost)
        assert await judge(book, TWO, Trials()) is Verdict.SAME
        assert [await judge(book, ONE, impossible) for _ in range(3)] == [Verdict.UNTRIED] * 3
        assert len(made) == 1

    asyncio.run(play())

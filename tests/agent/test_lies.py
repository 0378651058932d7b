"""Workers that return something wrong: the installed agent and launcher, real objects, and a worker on loopback."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.agent import liar as lies
from tests.agent.liar import LAUNCHER, Lie, client, liar, other_build, own_compiler
from tests.aio import run, until
from zdistcc.config import cores

pytestmark = pytest.mark.skipif(
    not LAUNCHER.exists() or shutil.which("gcc") is None,
    reason="zdistcc is not installed beside this Python (pip install -e .), or gcc is missing",
)


@pytest.mark.parametrize(
    ("lie", "word"),
    [
        (lies.flip_a_bit, "digest"),
        (lies.cut_short, "digest"),
        (lies.not_packed_as_said, "unpacked"),
        (lies.another_kind, "dwo"),
        (lies.nothing, "nothing"),
        (lies.no_wait_status, "wait status"),
    ],
)
def test_a_wrong_result_is_never_written_and_costs_the_worker_its_trust(tmp_path: Path, lie: Lie, word: str) -> None:
    async def main() -> None:
        compiler = own_compiler()
        async with liar("a", compiler) as one, client(tmp_path, one) as here:
            await here.compile("honest")
            assert (one.trials, one.jobs) == (1, 1)
            one.lie = lie
            await here.compile("lied")
            assert one.jobs == 2
            await here.compile("later")
            assert one.jobs == 2, "it was given a job after it had lied"
            host = (await here.hosts())["a"]
            assert (host["state"], host["usable"]) == ("quarantined", False)
            assert word in host["reason"]
            stats = await here.ask("stats")
            assert stats["jobs"] == {"remote": 1, "local": 2, "failed": 0}
            assert stats["reasons"] == {"workers-quarantined": 2}
            _, told, _ = await here.run("explain", "gcc", "-c", "later.c")
            assert "in quarantine" in told and word in told
            _, number, _ = await here.run("-j")
            assert int(number) == cores()

    run(main(), 120)


def test_another_worker_does_what_the_liar_was_doing(tmp_path: Path) -> None:
    """The answers that the liar still has are not waited for, nor believed when they come."""

    async def main() -> None:
        compiler = own_compiler()
        async with (
            liar("a", compiler, slots=3) as one,
            liar("b", compiler, slots=1) as two,
            client(tmp_path, one, two, ZDISTCC_POLICY="least-loaded") as here,  # which runs nothing here
        ):
            await asyncio.gather(here.compile("c0"), here.compile("c1"))
            one.hold = asyncio.Event()
            before = one.jobs
            held = [asyncio.create_task(here.compile(f"held{number}")) for number in range(4)]
            await until(lambda: one.jobs >= before + 2, "the liar has jobs", 20)
            one.lie = lies.flip_a_bit
            hold, one.hold = one.hold, None  # the next one is answered at once
            more = [asyncio.create_task(here.compile(f"more{number}")) for number in range(4)]
            await asyncio.gather(*held, *more)
            hold.set()
            assert (await here.hosts())["a"]["state"] == "quarantined"
            assert (await here.ask("stats"))["jobs"]["local"] == 0
            await here.compile("after")

    run(main(), 120)


@pytest.mark.parametrize("same_build", [True, False])
def test_a_trial_that_differs_is_a_lie_only_from_the_same_build(tmp_path: Path, same_build: bool) -> None:
    async def main() -> None:
        ours = own_compiler()
        async with liar("a", ours if same_build else other_build(ours)) as one:
            one.lie, one.in_trials = lies.another_object, True
            async with client(tmp_path, one) as here:
                await here.compile("x")
                assert (one.trials, one.jobs) == (1, 0)
                assert (await here.hosts())["a"]["state"] == ("quarantined" if same_build else "ready")

    run(main(), 120)


def test_a_worker_that_begins_anew_is_tried_anew(tmp_path: Path) -> None:
    async def main() -> None:
        compiler = own_compiler()
        async with liar("a", compiler) as one, client(tmp_path, one) as here:
            one.lie = lies.flip_a_bit
            await here.compile("lied")
            assert (one.trials, one.jobs) == (1, 1)
            port = one.port
        async with liar("a", compiler) as again:
            assert port != again.port
            env = {"ZDISTCC_PEERS": f"127.0.0.1:{again.port}"}
            async with client(tmp_path, again, **env) as here:
                await here.compile("fresh")
                assert (again.trials, again.jobs) == (1, 1)

    run(main(), 120)

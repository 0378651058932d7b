"""How many commands are worth starting: who counts, and that a number always comes."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.farm import LAUNCHER, missing
from zdistcc.agent.parallelism import Parallelism, parallelism
from zdistcc.config import cores
from zdistcc.schedule.events import Need, WorkerId
from zdistcc.schedule.snapshot import Snapshot, WorkerView
from zdistcc.toolchain.identity import CompilerId, Family, Match, Offer

OURS = CompilerId(family=Family.GCC, version="12.2.0", target="x86_64-linux-gnu", build_id="a" * 32)
OTHER = CompilerId(family=Family.GCC, version="13.1.0", target="x86_64-linux-gnu", build_id="b" * 32)
NEED = Need(compiler=OURS, level=Match.SAME_VERSION, language="c")
NOW = 100.0


def view(name: str, slots: int = 8, compiler: CompilerId = OURS, **changes: Any) -> WorkerView:
    offer = Offer(id=compiler, languages=frozenset({"c", "c++"}))
    return WorkerView(worker=WorkerId(name), name=name, slots=slots, offers=(offer,), **changes)


def count(*views: WorkerView, local: int = 4) -> Parallelism:
    snapshot = Snapshot(
        workers=views, jobs_waiting=0, jobs_leased=0, local_slots=local, local_running=0, local_waiting=0
    )
    return parallelism(snapshot, (NEED,), NOW)


def test_alone_all_local_slots_count() -> None:
    assert count() == Parallelism(useful=4, remote=0, local=4, workers=0)


def test_slots_that_serve_what_is_spare_and_some_on_the_way_count() -> None:
    assert count(view("a"), view("b", slots=4)) == Parallelism(useful=12 + 3 + 5, remote=12, local=3, workers=2)


@pytest.mark.parametrize(
    "useless",
    [
        view("u", compiler=OTHER),
        view("u", draining=True),
        view("u", quarantined="it lied"),
        view("u", slots=0),
        view("u", paused_until=NOW + 1),
    ],
    ids=["incompatible", "draining", "quarantined", "no slots", "paused"],
)
def test_a_worker_that_takes_no_jobs_does_not_count(useless: WorkerView) -> None:
    assert count(useless) == count()
    assert count(view("a"), useless) == count(view("a"))


def test_a_thousand_workers_are_counted_between_two_jobs() -> None:
    views = [view(f"w{number}") for number in range(1000)]
    begun = time.process_time()
    assert count(*views).workers == 1000
    assert time.process_time() - begun < 0.25  # some milliseconds; it is asked four times a second


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_a_number_comes_even_where_no_agent_can_be_had(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    env = {"PATH": os.environ["PATH"], "ZDISTCC_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    said = subprocess.run([LAUNCHER, "-j"], env=env, capture_output=True, text=True, check=True)
    assert said.stdout == f"{cores()}\n"
    assert "open to others" in said.stderr

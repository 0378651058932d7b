"""Several who want the same workers: two agents share them evenly, and the owner of a machine goes before both."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.e2e.builds import empty
from tests.e2e.farm import LAUNCHER, Farm, unavailable
from tests.lan.machine import Process
from tests.lan.waiting import wait_until

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

AT_ONCE = 16
DONE = re.compile(r" job done session=(\d+) .* wall=([\d.]+)$", re.MULTILINE)


def agent(name: str) -> dict[str, str]:
    """An agent of its own."""
    return {"ZDISTCC_RUNTIME_DIR": f"/tmp/{name}", "ZDISTCC_CACHE_DIR": f"/tmp/{name}-cache"}


def source(directory: Path, name: str, functions: int) -> None:
    body = "".join(
        f"int {name}{n}(int x) {{ for (int i = 0; i < x; i++) x ^= i * {n}; return x; }}\n" for n in range(functions)
    )
    (directory / f"{name}.c").write_text(body)


def build(farm: Farm, directory: Path, name: str, jobs: int) -> Process:
    command = f"seq {jobs} | xargs -P {AT_ONCE} -I@ {LAUNCHER} gcc -O1 -c {name}.c -o {name}@.o"
    return farm.spawn(["sh", "-c", command], directory, env=agent(name))


def shares(log: str) -> dict[int, float]:
    """Slot seconds of each session, while all of them had jobs to do."""
    rows = [(int(session), float(wall)) for session, wall in DONE.findall(log)]
    last = {session: row for row, (session, _) in enumerate(rows)}
    found = dict.fromkeys(last, 0.0)
    for session, wall in rows[: min(last.values(), default=-1) + 1]:
        found[session] += wall
    return found


def test_two_agents_share_by_time_and_one_gets_all_when_the_other_ends(tmp_path: Path) -> None:
    """One has jobs four times as long as the other's: it does not get four times as much."""
    with Farm(tmp_path, workers=3, slots=2) as farm:
        race(farm)


def race(farm: Farm) -> None:
    here = empty(farm.directory / "here")
    source(here, "long", 140)
    source(here, "short", 35)
    for name in ("long", "short"):  # greetings, canaries and sources are over before the race

        def warm(name: str = name) -> bool:
            farm.run([LAUNCHER, "gcc", "-O1", "-c", f"{name}.c", "-o", "warm.o"], here, env=agent(name))
            hosts = farm.run([LAUNCHER, "hosts", "--json"], here, env=agent(name)).stdout
            return hosts.count('"usable": true') + hosts.count('"usable":true') == 3

        wait_until(warm, 60, f"{name} knows all workers")
    marks = {worker: len(daemon.stderr) for worker, daemon in farm.daemons.items()}
    long, short = build(farm, here, "long", 40), build(farm, here, "short", 72)
    assert short.wait(200) == 0, short.stderr
    gone = {worker: len(daemon.stderr) for worker, daemon in farm.daemons.items()}
    assert long.wait(200) == 0, long.stderr

    totals = {"long": 0.0, "short": 0.0}
    for worker, daemon in farm.daemons.items():
        found = shares(daemon.stderr[marks[worker] :])
        assert len(found) == 2, found
        totals["long"] += found[min(found)]  # the first to connect
        totals["short"] += found[max(found)]
        assert DONE.findall(daemon.stderr[gone[worker] :]), "the one that is left uses every worker"
    share = totals["long"] / sum(totals.values())
    print(f"share of the agent with long jobs: {share:.3f} of {sum(totals.values()):.1f} s")
    assert 0.45 <= share <= 0.55, totals


def test_the_owner_of_a_machine_goes_first(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=1, slots=2, env={"ZDISTCC_POLITE": "1"}) as farm:
        be_the_owner(farm)


def be_the_owner(farm: Farm) -> None:
    loop = [sys.executable, "-I", "-S", "-c", "while True: pass"]
    owner = [farm.lan["w1"].spawn(loop) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        wait_until(lambda: farm.hosts().get("w1", {}).get("limited"), 30, "fewer slots are offered")
        host = farm.hosts()["w1"]
        assert host["limited"] == "this machine is used by others"
        assert host["slots"] < host["configured_slots"] == 2 and host["others_load"] > 0.5
        assert 0 < host["memory_free"] < host["memory_total"]
        wait_until(lambda: farm.hosts()["w1"]["state"] == "resting", 30, "none are")
        host = farm.hosts()["w1"]
        assert (host["usable"], host["reason"]) == (False, "takes no jobs now: this machine is used by others")
        table = farm.run([LAUNCHER, "hosts"], farm.directory).stdout
        assert "resting: takes no jobs now: this machine is used by others" in table
    finally:
        for process in owner:
            process.kill()
            process.wait(20)

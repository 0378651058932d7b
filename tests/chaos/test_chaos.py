"""Chaos in a short form: the same faults each time, one or two for each build, and the campaign's own reckoning.

The long campaign is `python -m tests.chaos`.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.chaos.campaign import Campaign, Planned, available, plan
from tests.chaos.faults import BY_NAME, FAULTS
from tests.chaos.verdict import at_the_end, handles, troubles
from tests.chaos.world import World
from tests.e2e.farm import unavailable

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
SEED = 4
BUILDS = {
    "workers die and hang": (("daemon-killed", "w1", 3, 2.0), ("frozen", "w2", 5, 3.0)),
    "cables fail": (("cable-cut", "w1", 2, 3.0), ("flapping", "w2", 4, 4.0)),
    "the client fails": (
        ("agent-killed", "w1", 3, 0.0),
        ("build-interrupted", "w1", 7, 0.0),
        ("cache-full", "w1", 1, 9.0),
    ),
    "compilers lie and disks are full": (("lying-from-now-on", "w1", 2, 5.0), ("store-full", "w2", 3, 5.0)),
}
HANDLES_MORE = 16


def check(campaign: Campaign, number: int, name: str) -> None:
    planned = [
        Planned(fault=BY_NAME[fault], worker=worker, at=at, lasts_s=lasts_s, seed=seed)
        for seed, (fault, worker, at, lasts_s) in enumerate(BUILDS[name])
    ]
    before = handles(campaign.world)
    outcome = campaign.run(number, planned)
    assert outcome.struck == len(planned), name
    assert outcome.troubles == (), f"{name}\n{campaign.world.farm.story()}"
    after = handles(campaign.world)
    assert before is None or after is None or after < before + HANDLES_MORE, name


def check_that_trouble_is_seen(campaign: Campaign) -> None:
    world = campaign.world
    expected = dict(world.reference(campaign.outcomes[-1].options))
    some = next(iter(expected))
    expected[some] += b"x"
    (world.project / "build/.x.o.zdistcc-1-1").touch()
    left = world.farm.client.spawn(["sleep", "1000"])
    scratch = world.store("w1") / "jobs/job-x"
    world.farm.lan["w1"].run(["mkdir", "-p", scratch], check=True)
    try:
        found = "; ".join(troubles(world, expected, patience_s=0.5))
    finally:
        left.kill()
        left.wait(10)
        world.farm.lan["w1"].run(["rmdir", scratch], check=True)
    for words in (some, "left in the project", "only the agent runs", "no job's directory is left on w1"):
        assert words in found


def test_builds_end_well_whatever_happens(tmp_path: Path) -> None:
    """One world for all of them, as in a campaign; at last the verdict itself has to see what is wrong."""
    with World(tmp_path, workers=2, small=True) as world:
        campaign = Campaign(world, SEED, available())
        for number, name in enumerate(BUILDS):
            check(campaign, number, name)
        check_that_trouble_is_seen(campaign)
        assert at_the_end(world) == []


def test_a_schedule_is_its_seed_s() -> None:
    workers = ("w1", "w2", "w3")
    plans = [plan(SEED, number, workers, FAULTS, 40) for number in range(200)]
    assert plans == [plan(SEED, number, workers, FAULTS, 40) for number in range(200)]
    assert plans != [plan(SEED + 1, number, workers, FAULTS, 40) for number in range(200)]
    assert {each.fault.name for planned in plans for each in planned} == set(BY_NAME)
    assert all(len({each.worker for each in planned}) == len(planned) for planned in plans)


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(FAULTS)
    assert all(random.Random(0).uniform(*fault.lasts_s) > 0 for fault in FAULTS)

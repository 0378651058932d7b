"""The tally: what became of jobs, in all and by build, and the speed-up that is made of it."""

from __future__ import annotations

from typing import Any

from zdistcc.agent.journal import JobRecord
from zdistcc.agent.tally import BUILD_GAP_S, Tally


def record(begun: float, **changes: Any) -> JobRecord:
    return JobRecord(job=1, file="x.c", directory="/", pid=1, begun=begun, **changes)


def remote(begun: float, ended: float, cpu_ms: int, **changes: Any) -> JobRecord:
    return record(begun, fate="remote", mode="headers", ended=ended, cpu_ms=cpu_ms, **changes)


def local(begun: float, running: float, ended: float, reason: str) -> JobRecord:
    return record(begun, fate="local", running=running, ended=ended, reason=reason)


def test_nothing_yet() -> None:
    assert Tally().build_as_json(5.0, 0, 2) is None


def test_jobs_are_counted_by_fate_mode_and_reason() -> None:
    tally = Tally()
    jobs = [
        remote(100.0, 101.0, 900),
        record(100.0, fate="remote", mode="preprocessed", ended=101.0, wall_ms=500),
        local(100.0, 100.5, 102.0, "link"),
        record(100.0, fate="failed", ended=101.0, reason="no-worker"),
        record(100.0, fate="abandoned", ended=101.0),
    ]
    for number, job in enumerate(jobs, 1):
        tally.began(job, number)
    for job in jobs:
        tally.ended(job)
    told = tally.all.as_json()
    assert told["done"] == {"remote": 2, "local": 1, "failed": 1, "abandoned": 1}
    assert told["modes"] == {"headers": 1, "preprocessed": 1, "local": 1}
    assert told["reasons"] == {"link": 1, "no-worker": 1}
    build = tally.build_as_json(200.0, 0, 4)
    assert build is not None and not build["running"]
    assert (build["elapsed_s"], build["at_once"], build["work_s"]) == (1.0, 5, 2.9)


def test_the_speed_up_is_the_work_over_what_this_machine_could_do_at_once() -> None:
    tally = Tally()
    for number in range(1, 9):
        tally.began(record(100.0), number)
    for _ in range(8):
        tally.ended(remote(100.0, 102.0, 1000))

    def speed_up(slots: int) -> float:
        build = tally.build_as_json(102.0, 0, slots)
        assert build is not None
        return float(build["speed_up"])

    assert speed_up(1) == 4.0, "8 s of work in 2 s, by a machine that does one at once"
    assert speed_up(4) == 1.0
    assert speed_up(64) == 0.5, "no more than 8 were ever wanted at once"


def test_a_build_that_has_just_begun_has_no_speed_up() -> None:
    tally = Tally()
    tally.began(record(100.0), 1)
    assert (tally.build_as_json(100.1, 1, 2) or {})["speed_up"] is None
    assert (tally.build_as_json(105.0, 1, 2) or {})["speed_up"] is None


def test_a_build_ends_with_a_pause_and_the_next_begins_with_its_first_job() -> None:
    tally = Tally()
    tally.began(record(100.0), 1)
    tally.ended(remote(100.0, 101.0, 500))
    tally.began(record(101.0 + BUILD_GAP_S), 1)
    tally.ended(remote(101.0, 112.0, 500))
    assert tally.build is not None and tally.build.begun == 100.0
    tally.began(record(112.1 + BUILD_GAP_S), 1)
    assert tally.build.begun == 112.1 + BUILD_GAP_S and tally.build.counts.done.total() == 0
    assert tally.all.done["remote"] == 2

"""Quarantine: a worker that returned something wrong gets no jobs until there is a reason to believe it again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.schedule.test_scheduler import GCC, NEED, OLD, Bench, grants, offer
from zdistcc.errors import Reason
from zdistcc.schedule import events as e
from zdistcc.schedule.decisions import RunLocally
from zdistcc.schedule.events import Blame, JobId, WorkerId
from zdistcc.schedule.health import LONGEST_QUARANTINE_S, QUARANTINE_S

W1, W2 = WorkerId("w1"), WorkerId("w2")
LIE = "an output was damaged"


def join(bench: Bench, name: str = "w1", started: str = "first") -> None:
    bench.tell(e.WorkerJoined(worker=WorkerId(name), name=name, slots=1, offers=(offer(GCC),), started=started))


def distrust(bench: Bench, worker: WorkerId = W1) -> list[object]:
    return list(bench.tell(e.WorkerQuarantined(worker=worker, reason=LIE)))


def reason(bench: Bench, worker: WorkerId = W1) -> str:
    (view,) = (view for view in bench.scheduler.snapshot().workers if view.worker == worker)
    return view.quarantined


@pytest.fixture
def bench() -> Bench:
    """With a worker that has lied."""
    bench = Bench()
    join(bench)
    distrust(bench)
    assert reason(bench) == LIE
    return bench


def refused(bench: Bench, number: int = 1) -> None:
    assert bench.queue(number) == [
        RunLocally(job=JobId(number), reason=Reason.WORKERS_QUARANTINED, detail=f"w1: {LIE}")
    ]
    assert not bench.scheduler.eligible_now(W1, bench.now)


def trusted(bench: Bench, number: int = 1) -> None:
    assert grants(bench.queue(number)) == {number: W1}
    assert reason(bench) == ""


def test_jobs_that_wait_for_it_alone_run_here() -> None:
    bench = Bench()
    join(bench)
    bench.queue(1, 2, 3, 4)  # two are given, two wait
    found = distrust(bench)
    assert {(d.job, d.reason) for d in found if isinstance(d, RunLocally)} == {
        (3, Reason.WORKERS_QUARANTINED),
        (4, Reason.WORKERS_QUARANTINED),
    }
    again = bench.tell(e.LeaseBroken(job=JobId(1), blame=Blame.JOB, worker=W1))
    assert [d.reason for d in again if isinstance(d, RunLocally)] == [Reason.WORKERS_QUARANTINED]


def test_others_are_not_touched(bench: Bench) -> None:
    join(bench, "w2")
    assert grants(bench.queue(1, 2)) == {1: W2, 2: W2}
    assert bench.queue(3) == []  # it waits for w2
    other = replace(NEED, compiler=OLD)
    assert [d.reason for d in bench.queue(4, need=other) if isinstance(d, RunLocally)] == [Reason.NO_COMPATIBLE_WORKER]


@pytest.mark.parametrize("policy", ["least-loaded", "least-completion", "list-order"])
def test_no_policy_gives_it_a_job(policy: str) -> None:
    bench = Bench(policy)
    join(bench)
    distrust(bench)
    refused(bench)


def test_neither_announcement_nor_load_nor_the_same_start_ends_it(bench: Bench) -> None:
    bench.tell(e.WorkerAnnounced(worker=W1))
    refused(bench, 1)
    bench.tell(e.WorkerChanged(worker=W1, running=0, slots=4))
    refused(bench, 2)
    bench.tell(e.WorkerLost(worker=W1, fault=True))
    join(bench)
    refused(bench, 3)
    bench.tell(e.WorkerChanged(worker=W1, offers=(offer(GCC),)))
    refused(bench, 4)


def test_another_start_ends_it(bench: Bench) -> None:
    bench.tell(e.WorkerLost(worker=W1, fault=False))
    join(bench, started="second")
    trusted(bench)


def test_other_compilers_end_it(bench: Bench) -> None:
    bench.tell(e.WorkerChanged(worker=W1, offers=(offer(GCC), offer(OLD))))
    trusted(bench)


def test_a_long_time_ends_it_and_longer_each_time(bench: Bench) -> None:
    bench.now += QUARANTINE_S - 1
    refused(bench)
    bench.now += 1
    trusted(bench, 2)
    bench.tell(e.JobAbandoned(job=JobId(2)))
    distrust(bench)
    bench.now += 2 * QUARANTINE_S - 1
    refused(bench, 3)
    bench.now += 1
    trusted(bench, 4)
    bench.tell(e.JobAbandoned(job=JobId(4)))
    for _ in range(20):
        distrust(bench)
        bench.now += LONGEST_QUARANTINE_S
        bench.tell(e.TimePassed())
        assert reason(bench) == ""


def test_several_wrong_results_at_once_are_one_lie(bench: Bench) -> None:
    for _ in range(5):
        distrust(bench)
    bench.now += QUARANTINE_S
    trusted(bench)


def test_time_that_passes_while_it_is_away_counts(bench: Bench) -> None:
    bench.tell(e.WorkerLost(worker=W1, fault=True))
    bench.now += QUARANTINE_S
    join(bench)
    trusted(bench)


def test_who_is_not_there_is_not_quarantined() -> None:
    bench = Bench()
    distrust(bench)
    join(bench)
    trusted(bench)

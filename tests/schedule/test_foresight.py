"""What the default policy foresees: who is faster, who has the files, when waiting pays, when this machine does."""

from __future__ import annotations

import pytest

from tests.schedule.test_scheduler import NEED, Bench, grants
from zdistcc.errors import Reason
from zdistcc.schedule import events as e
from zdistcc.schedule.decisions import Decision, Duplicate, GrantLocal, Recall, RunLocally
from zdistcc.schedule.estimates import Estimates, Work
from zdistcc.schedule.events import Blame, JobId, Ticket, WorkerId
from zdistcc.schedule.stragglers import QUIET_S, WASTE_FREE_S

FAST, SLOW = WorkerId("fast"), WorkerId("slow")


class Foresight(Bench):
    """A bench whose policy foresees; jobs have numbers, and work of one second at speed 1."""

    def __init__(self, local_slots: int = 1) -> None:
        super().__init__("least-completion", local_slots)
        self.number = 0

    def ask(self, **known: object) -> tuple[int, list[Decision]]:
        self.number += 1
        return self.number, self.tell(e.JobQueued(job=JobId(self.number), need=NEED, **known))  # type: ignore[arg-type]

    def done(self, number: int, wall_s: float | None = None, worker: str | None = None) -> list[Decision]:
        return self.tell(e.JobDone(job=JobId(number), wall_s=wall_s, worker=WorkerId(worker) if worker else None))

    def teach(self, **seconds: float) -> None:
        """Let each worker, alone, do a few jobs in so many seconds."""
        for name, wall in seconds.items():
            self.join(name, slots=1)
            for _ in range(20):
                number, decisions = self.ask()
                assert grants(decisions) == {number: name}
                self.now += wall
                self.done(number, wall)
            self.tell(e.WorkerLost(worker=WorkerId(name), fault=False))
        for name in seconds:
            self.join(name, slots=1)


def test_the_faster_of_idle_workers_is_chosen() -> None:
    bench = Foresight()
    bench.teach(slow=4.0, fast=1.0)
    number, decisions = bench.ask()
    assert grants(decisions) == {number: "fast"}


def test_a_job_waits_for_a_fast_worker_when_that_pays_and_others_pass_it() -> None:
    bench = Foresight()
    bench.teach(slow=9.0, fast=1.0)
    given = [next(iter(grants(bench.ask()[1]).values()), None) for _ in range(4)]
    assert given[:2] == ["fast", "fast"], "one runs, one is ahead"
    assert given[2] is None, "three seconds there are less than nine here"
    assert bench.scheduler.next_deadline() is not None, "it is looked at again"
    for _ in range(8):
        bench.ask()
    assert len(bench.scheduler.snapshot().workers[0].leases) == 1, "the slow one gets what is behind nine others"


def test_nothing_waits_for_ever_while_a_slot_is_free() -> None:
    bench = Foresight()
    bench.teach(slow=9.0, fast=1.0)
    for _ in range(3):
        bench.ask()
    for _ in range(200):
        if not bench.scheduler.snapshot().jobs_waiting:
            return
        bench.wait()
    raise AssertionError("a job waits for a worker that never ends its jobs")


def test_the_worker_that_has_the_files_is_preferred_among_equals() -> None:
    for holder in ("a", "b"):
        bench = Foresight()
        bench.join("a")
        bench.join("b")
        number, decisions = bench.ask(transfer_bytes=50_000_000, holders=frozenset({WorkerId(holder)}))
        assert grants(decisions) == {number: holder}


def test_this_machine_helps_only_once_the_workers_are_full() -> None:
    bench = Foresight(local_slots=4)
    bench.join("w", slots=1)
    decisions = [bench.ask()[1] for _ in range(12)]
    flat = [decision for each in decisions for decision in each]
    assert len(grants(flat)) == 2
    here = [decision for decision in flat if isinstance(decision, RunLocally)]
    assert {decision.reason for decision in here} == {Reason.QUICKER_HERE}
    assert len(here) == 3, "one of four slots is left to links and the build tool"
    assert bench.scheduler.snapshot().jobs_waiting == 7


def test_this_machine_helps_when_others_have_filled_the_workers() -> None:
    bench = Foresight(local_slots=4)
    bench.join("w", slots=1)
    bench.tell(e.WorkerChanged(worker=WorkerId("w"), running=1, queued=6))
    _, (decision,) = bench.ask()
    assert isinstance(decision, RunLocally) and decision.reason is Reason.QUICKER_HERE


def test_a_worker_that_said_it_was_busy_is_waited_for_only_if_that_is_quicker_than_here() -> None:
    for local_slots, expected in ((4, RunLocally), (1, None)):
        bench = Foresight(local_slots)
        bench.join("w", slots=1)
        number, _ = bench.ask()
        bench.tell(e.WorkerChanged(worker=WorkerId("w"), running=1, queued=6))
        decisions = bench.tell(e.LeaseBroken(job=JobId(number), blame=Blame.BUSY))
        assert [type(decision) for decision in decisions] == ([expected] if expected else [])


def test_a_machine_that_has_shown_to_be_slow_does_not_help() -> None:
    bench = Foresight(local_slots=4)
    bench.teach(w=1.0)
    number = next(number for number, decisions in (bench.ask() for _ in range(3)) if not grants(decisions))
    bench.tell(e.LocalQueued(ticket=Ticket(1), urgent=False, job=JobId(number)))
    bench.now += 40.0
    bench.tell(e.LocalReleased(ticket=Ticket(1)))
    assert bench.ask()[1] == []


def test_slots_that_are_wanted_here_are_not_given_away() -> None:
    bench = Foresight(local_slots=2)
    bench.join("w", slots=1)
    assert bench.tell(e.LocalQueued(ticket=Ticket(1), urgent=True)) == [GrantLocal(ticket=Ticket(1))]
    for _ in range(4):
        assert not any(isinstance(decision, RunLocally) for decision in bench.ask()[1])


def test_a_straggler_is_started_again_and_the_first_answer_ends_both() -> None:
    bench = Foresight()
    bench.join("a", slots=1)
    bench.join("b", slots=1)
    number, decisions = bench.ask()
    first = grants(decisions)[number]
    second = {"a": "b", "b": "a"}[first]
    duplicate = next(decision for _ in range(5) for decision in bench.wait() if isinstance(decision, Duplicate))
    assert (duplicate.job, duplicate.worker) == (number, second)
    begun = bench.now
    bench.now += 1.0
    assert bench.done(number, 1.0, second) == []
    snapshot = bench.scheduler.snapshot()
    assert snapshot.jobs_leased == 0
    assert (snapshot.duplicates, snapshot.duplicates_won) == (1, 1)
    assert snapshot.wasted_s >= bench.now - begun


def test_nothing_is_started_again_while_something_is_queued_or_just_was() -> None:
    bench = Foresight()
    bench.join("a", slots=1)
    bench.ask()
    bench.join("b", slots=1)
    bench.now += 60.0
    bench.ask()
    assert bench.scheduler.snapshot().duplicates == 0
    bench.now += QUIET_S + 0.01
    bench.done(2, 1.0)
    assert bench.scheduler.snapshot().duplicates == 1


@pytest.mark.parametrize("which", [0, 1])
def test_one_of_two_starts_may_fail(which: int) -> None:
    bench = Foresight()
    bench.join("a", slots=1)
    bench.join("b", slots=1)
    number, _ = bench.ask()
    for _ in range(5):
        if bench.scheduler.snapshot().jobs_leased == 2:
            break
        bench.wait()
    names = ["a", "b"]
    broken = names[which]
    assert bench.tell(e.LeaseBroken(job=JobId(number), blame=Blame.WORKER, worker=WorkerId(broken))) == []
    assert bench.scheduler.snapshot().jobs_leased == 1, "the other goes on"
    (last,) = bench.tell(e.LeaseBroken(job=JobId(number), blame=Blame.WORKER, worker=WorkerId(names[1 - which])))
    assert isinstance(last, RunLocally) and last.reason is Reason.WORKERS_FAILED


def test_waste_is_bounded() -> None:
    bench = Foresight()
    bench.join("a", slots=1)
    bench.join("b", slots=1)
    for _ in range(30):
        number, _ = bench.ask()
        bench.now += 30.0
        bench.tell(e.TimePassed())
        bench.now += 30.0
        bench.done(number)
    snapshot = bench.scheduler.snapshot()
    assert 0 < snapshot.duplicates < 30
    assert snapshot.wasted_s <= WASTE_FREE_S + 0.05 * 30 * 60 + 60


def test_work_and_speed_are_told_apart() -> None:
    estimates = Estimates()
    small = Work(language="c", input_bytes=50_000, key=None)
    large = Work(language="c++", input_bytes=950_000, key=None)
    for _ in range(100):
        for worker, slowness in (("w1", 1.0), ("w2", 4.0)):
            estimates.learn(WorkerId(worker), small, 0.1 * slowness)
            estimates.learn(WorkerId(worker), large, 2.0 * slowness)
    assert estimates.slowness(WorkerId("w2")) / estimates.slowness(WorkerId("w1")) == pytest.approx(4.0, rel=0.05)
    assert estimates.work(large) * estimates.slowness(WorkerId("w1")) == pytest.approx(2.0, rel=0.1)
    known = Work(language="c++", input_bytes=950_000, key="odd.cc")
    estimates.learn(WorkerId("w1"), known, 9.0)
    assert estimates.work(known) * estimates.slowness(WorkerId("w1")) == pytest.approx(9.0, rel=0.3)
    assert estimates.work(large) * estimates.slowness(WorkerId("w1")) < 4.0, "one odd file is not the rule"


def test_a_known_job_that_is_stuck_is_called_back_when_no_worker_is_idle() -> None:
    bench = Foresight(local_slots=4)
    bench.join("w", slots=1)
    for _ in range(5):
        number, _ = bench.ask(key="x")
        bench.now += 1.0
        bench.done(number, 1.0)
    number, decisions = bench.ask(key="x")
    assert grants(decisions) == {number: "w"}
    recall = next(decision for _ in range(12) for decision in bench.wait())
    assert recall == Recall(job=JobId(number))
    snapshot = bench.scheduler.snapshot()
    assert (snapshot.jobs_leased, snapshot.recalled, snapshot.duplicates) == (0, 1, 0)
    assert snapshot.wasted_s > 1.0
    ticket = e.LocalQueued(ticket=Ticket(1), urgent=False, job=JobId(number))
    assert bench.tell(ticket) == [GrantLocal(ticket=Ticket(1))]


def test_a_new_job_that_takes_long_is_large_and_stays_until_it_must_be_stuck() -> None:
    bench = Foresight(local_slots=4)
    bench.join("w", slots=1)
    for _ in range(5):
        number, _ = bench.ask()
        bench.now += 1.0
        bench.done(number, 1.0)
    number, _ = bench.ask()
    begun = bench.now
    while not bench.scheduler.snapshot().recalled:
        bench.wait()
        assert bench.now - begun < 12.0
    assert bench.now - begun > 6.0


def test_the_reserve_of_this_machine_is_not_given_to_stragglers() -> None:
    bench = Foresight(local_slots=1)
    bench.join("w", slots=1)
    bench.ask(key="x")
    for _ in range(40):
        assert bench.wait() == []


def test_large_jobs_go_first() -> None:
    bench = Foresight()
    bench.join("w", slots=1)
    numbers = [bench.ask(input_bytes=size)[0] for size in (10_000, 10_000, 10_000, 5_000_000, 20_000)]
    bench.now += 1.0
    assert grants(bench.done(numbers[0], 1.0)) == {numbers[3]: "w"}


def test_nobody_is_overtaken_for_ever() -> None:
    bench = Foresight()
    bench.join("w", slots=1)
    small = [bench.ask(input_bytes=10_000)[0] for _ in range(3)][-1]
    running = [1, 2]
    while bench.now < 140.0:
        bench.ask(input_bytes=5_000_000)
        bench.now += 1.0
        given = grants(bench.done(running.pop(0), 1.0))
        running += given
        if small in given:
            return
    raise AssertionError("a small job waits as long as there are large ones")


def test_a_job_stays_with_the_worker_that_has_its_sources_unless_that_is_slow() -> None:
    for home, expected in (("fast", "fast"), ("slow", "fast")):
        bench = Foresight()
        bench.teach(slow=4.0, fast=1.0)
        number, decisions = bench.ask(home=WorkerId(home))
        assert grants(decisions) == {number: expected}
    for home in ("a", "b"):
        bench = Foresight()
        bench.join("a", slots=2)
        bench.join("b", slots=2)
        number, decisions = bench.ask(home=WorkerId(home))
        assert grants(decisions) == {number: home}

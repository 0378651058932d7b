"""The scheduler under a hand-cranked clock; its invariants are checked after every event."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from zdistcc.errors import Reason
from zdistcc.schedule import events as e
from zdistcc.schedule.decisions import Decision, Duplicate, Grant, GrantLocal, Recall, RunLocally
from zdistcc.schedule.events import Blame, JobId, Need, Ticket, WorkerId
from zdistcc.schedule.fleet import BUSY_PAUSE_S, ahead
from zdistcc.schedule.policies import POLICIES
from zdistcc.schedule.scheduler import MAX_TRIES, WAIT_LIMIT_S, Scheduler
from zdistcc.toolchain.identity import CompilerId, Family, Match, Offer

GCC = CompilerId(family=Family.GCC, version="12.2.0", target="x86_64-linux-gnu", build_id="a" * 32)
OLD = CompilerId(family=Family.GCC, version="11.4.0", target="x86_64-linux-gnu", build_id="b" * 32)
NEED = Need(compiler=GCC, level=Match.EXACT, language="c")


def offer(compiler: CompilerId) -> Offer:
    return Offer(id=compiler, languages=frozenset({"c", "c++"}))


class Bench:
    """A scheduler with its clock, checked after each step."""

    def __init__(self, policy: str = "least-loaded", local_slots: int = 2) -> None:
        self.scheduler = Scheduler(local_slots=local_slots, policy=POLICIES[policy], jitter=random.Random(1).random)
        self.now = 100.0

    def tell(self, event: e.Event) -> list[Decision]:
        decisions = self.scheduler.handle(event, self.now)
        self.scheduler.check()
        return decisions

    def join(self, name: str, slots: int = 2, compiler: CompilerId = GCC) -> list[Decision]:
        return self.tell(e.WorkerJoined(worker=WorkerId(name), name=name, slots=slots, offers=(offer(compiler),)))

    def queue(self, *numbers: int, need: Need = NEED) -> list[Decision]:
        return [d for number in numbers for d in self.tell(e.JobQueued(job=JobId(number), need=need))]

    def queue_at(self, number: int, home: str) -> list[Decision]:
        return self.tell(e.JobQueued(job=JobId(number), need=NEED, home=WorkerId(home)))

    def wait(self) -> list[Decision]:
        deadline = self.scheduler.next_deadline()
        assert deadline is not None and deadline > self.now
        self.now = deadline
        return self.tell(e.TimePassed())


@pytest.fixture
def bench() -> Iterator[Bench]:
    yield Bench()


def grants(decisions: list[Decision]) -> dict[int, str]:
    return {d.job: d.worker for d in decisions if isinstance(d, Grant)}


def test_no_worker_means_local_at_once(bench: Bench) -> None:
    assert bench.queue(1) == [RunLocally(job=JobId(1), reason=Reason.NO_WORKER)]


def test_a_plain_offer_serves_plain_needs_only(bench: Bench) -> None:
    plain = replace(offer(GCC), plain=True)
    bench.tell(e.WorkerJoined(worker=WorkerId("stock"), name="stock", slots=2, offers=(plain,)))
    (stays,) = bench.queue(1)
    assert isinstance(stays, RunLocally) and stays.reason is Reason.NO_COMPATIBLE_WORKER
    assert "stock speaks distcc's protocol" in stays.detail
    assert grants(bench.queue(2, need=replace(NEED, plain=True))) == {2: "stock"}


def test_of_equals_a_worker_that_takes_sources_comes_first() -> None:
    bench = Bench("least-loaded")
    plain = replace(offer(GCC), plain=True)
    bench.tell(e.WorkerJoined(worker=WorkerId("a-stock"), name="stock", slots=1, offers=(plain,)))
    bench.join("own", slots=1)
    assert grants(bench.queue(1, 2, need=replace(NEED, plain=True))) == {1: "own", 2: "a-stock"}


def test_discovery_is_waited_for_but_not_forever(bench: Bench) -> None:
    bench.tell(e.DiscoveryPending(until=101.5))
    assert bench.queue(1, 2) == []
    assert grants(bench.join("w1")) == {1: "w1", 2: "w1"}
    bench.tell(e.WorkerLost(worker=WorkerId("w1"), fault=False))
    assert bench.queue(3) == []
    assert bench.wait() == [RunLocally(job=JobId(3), reason=Reason.NO_WORKER)]


@pytest.mark.parametrize("policy", POLICIES)
def test_all_that_wait_are_told_when_nobody_comes(policy: str) -> None:
    bench = Bench(policy, local_slots=1)
    bench.tell(e.DiscoveryPending(until=101.5))
    assert bench.queue(1, 2, 3) == []
    assert [d.job for d in bench.wait() if isinstance(d, RunLocally)] == [1, 2, 3]


def test_a_worker_without_the_compiler_is_named(bench: Bench) -> None:
    bench.join("old", compiler=OLD)
    (decision,) = bench.queue(1)
    assert isinstance(decision, RunLocally)
    assert decision.reason is Reason.NO_COMPATIBLE_WORKER
    assert decision.detail == "old has gcc 11.4.0, this job needs gcc 12.2.0"


def test_least_loaded_fills_evenly_by_slots(bench: Bench) -> None:
    bench.join("big", slots=4)
    bench.join("small", slots=2)
    given = grants(bench.queue(*range(6)))
    assert sorted(given.values()) == ["big"] * 4 + ["small"] * 2


def test_list_order_fills_the_first(bench: Bench) -> None:
    bench = Bench("list-order")
    bench.join("a", slots=4)
    bench.join("b", slots=4)
    assert set(grants(bench.queue(*range(4))).values()) == {"a"}


def test_jobs_wait_for_room_and_leave_in_order(bench: Bench) -> None:
    bench.join("w", slots=1)
    room = 1 + ahead(1)
    assert len(grants(bench.queue(*range(room + 2)))) == room
    assert grants(bench.tell(e.JobDone(job=JobId(0)))) == {room: "w"}
    assert bench.scheduler.snapshot().jobs_waiting == 1


def test_a_newcomer_takes_waiting_jobs_at_once(bench: Bench) -> None:
    bench.join("w", slots=1)
    bench.queue(*range(5))
    assert set(grants(bench.join("new")).values()) == {"new"}


def test_a_lost_worker_s_jobs_go_elsewhere_first(bench: Bench) -> None:
    bench.join("w1")
    bench.join("w2")
    given = grants(bench.queue(1))
    other = {"w1": "w2", "w2": "w1"}[given[1]]
    bench.tell(e.WorkerLost(worker=WorkerId(given[1]), fault=True))
    assert grants(bench.tell(e.LeaseBroken(job=JobId(1), blame=Blame.WORKER))) == {1: other}
    (last,) = bench.tell(e.LeaseBroken(job=JobId(1), blame=Blame.WORKER))
    assert last == RunLocally(
        job=JobId(1), reason=Reason.WORKERS_FAILED, detail="every worker that could do it was tried"
    )


def test_no_more_than_a_few_tries(bench: Bench) -> None:
    for name in "abcdef":
        bench.join(name)
    tried = list(grants(bench.queue(1)).values())
    while got := grants(bench.tell(e.LeaseBroken(job=JobId(1), blame=Blame.JOB))):
        tried += got.values()
    assert len(set(tried)) == len(tried) == MAX_TRIES


def test_a_fault_pauses_a_worker_and_an_announcement_forgives(bench: Bench) -> None:
    bench.join("w1", slots=4)
    bench.queue(1)
    bench.tell(e.LeaseBroken(job=JobId(1), blame=Blame.WORKER))
    assert bench.queue(2) == []
    assert grants(bench.tell(e.WorkerAnnounced(worker=WorkerId("w1")))) == {2: "w1"}
    bench.tell(e.LeaseBroken(job=JobId(2), blame=Blame.WORKER))
    bench.queue(3)
    assert grants(bench.wait()) == {3: "w1"}


def test_pauses_grow_and_a_success_ends_them(bench: Bench) -> None:
    bench.join("w")
    pauses = []
    for number in range(5):
        bench.queue(number)
        if number:
            begun = bench.now
            bench.wait()
            pauses.append(bench.now - begun)
        bench.tell(e.LeaseBroken(job=JobId(number), blame=Blame.WORKER))
    assert pauses[-1] > 2 * pauses[0]


def test_busy_is_nobody_s_fault(bench: Bench) -> None:
    bench.join("w")
    bench.queue(1)
    assert bench.tell(e.LeaseBroken(job=JobId(1), blame=Blame.BUSY)) == []
    begun = bench.now
    assert grants(bench.wait()) == {1: "w"}
    assert bench.now - begun == pytest.approx(BUSY_PAUSE_S)
    bench.tell(e.LeaseBroken(job=JobId(1), blame=Blame.BUSY))
    assert grants(bench.tell(e.WorkerChanged(worker=WorkerId("w"), running=0))) == {1: "w"}


def test_a_final_refusal_goes_local(bench: Bench) -> None:
    bench.join("w")
    bench.queue(1)
    (decision,) = bench.tell(e.LeaseBroken(job=JobId(1), blame=Blame.FINAL))
    assert isinstance(decision, RunLocally) and decision.reason is Reason.WORKER_REFUSED


def test_a_draining_worker_gets_nothing(bench: Bench) -> None:
    bench.join("w")
    bench.tell(e.WorkerChanged(worker=WorkerId("w"), draining=True))
    (decision,) = bench.queue(1)
    assert isinstance(decision, RunLocally) and decision.reason is Reason.WORKERS_FAILED


def test_endless_waiting_ends_here_when_this_machine_is_free(bench: Bench) -> None:
    bench.join("w", slots=1)
    bench.queue(*range(4))
    bench.now += WAIT_LIMIT_S + 1
    decisions = bench.tell(e.TimePassed())
    assert {d.reason for d in decisions if isinstance(d, RunLocally)} == {Reason.WORKERS_BUSY}


def test_no_more_end_here_than_this_machine_has_room_for(bench: Bench) -> None:
    bench.join("w", slots=1)
    bench.queue(*range(30))
    bench.now += WAIT_LIMIT_S + 1
    decisions = bench.tell(e.TimePassed())
    assert [d.reason for d in decisions if isinstance(d, RunLocally)] == [Reason.WORKERS_BUSY] * 2
    assert grants(bench.tell(e.JobDone(job=JobId(0)))), "the others still wait for the worker"


def test_local_slots_are_shared_and_feeding_workers_goes_first(bench: Bench) -> None:
    def ask(number: int, urgent: bool = False) -> list[Decision]:
        return bench.tell(e.LocalQueued(ticket=Ticket(number), urgent=urgent))

    assert ask(1) == [GrantLocal(ticket=Ticket(1))]
    assert ask(2) == [GrantLocal(ticket=Ticket(2))]
    assert ask(3) == ask(4, urgent=True) == []
    assert bench.tell(e.LocalReleased(ticket=Ticket(1))) == [GrantLocal(ticket=Ticket(4))]
    assert bench.tell(e.LocalReleased(ticket=Ticket(3))) == []
    assert bench.tell(e.LocalReleased(ticket=Ticket(2))) == []
    assert bench.scheduler.snapshot().local_running == 1


def test_every_policy_ranks() -> None:
    for name in POLICIES:
        bench = Bench(name)
        bench.join("w")
        assert grants(bench.queue(1)) == {1: "w"}


class Farm(RuleBasedStateMachine):
    """Any order of events keeps the invariants, and every job is answered in the end."""

    policy = "least-loaded"

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(self.policy)
        self.next_number = 0
        self.leased: dict[int, list[str]] = {}
        self.waiting: set[int] = set()
        self.doubled: set[int] = set()
        self.joined: set[str] = set()
        self.here: set[int] = set()
        self.tickets: dict[int, bool] = {}

    def take(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            match decision:
                case Grant():
                    assert decision.job in self.waiting
                    assert decision.worker in self.joined
                    self.waiting.remove(decision.job)
                    self.leased[decision.job] = [decision.worker]
                case Duplicate():
                    assert not self.waiting, "a second start while jobs are queued"
                    assert decision.worker in self.joined - set(self.leased[decision.job])
                    assert decision.job not in self.doubled, "a third start"
                    self.doubled.add(decision.job)
                    self.leased[decision.job].append(decision.worker)
                case Recall():
                    assert not self.waiting, "a job is called back while others are queued"
                    assert decision.job not in self.doubled, "called back while started twice"
                    del self.leased[decision.job]
                    self.here.add(decision.job)
                case RunLocally():
                    self.waiting.remove(decision.job)
                    self.here.add(decision.job)
                case GrantLocal():
                    assert self.tickets[decision.ticket] is False
                    self.tickets[decision.ticket] = True
        assert sum(self.tickets.values()) <= 2

    @rule(name=st.sampled_from("abc"), slots=st.integers(1, 3), good=st.booleans())
    def join(self, name: str, slots: int, good: bool) -> None:
        if name not in self.joined:
            self.joined.add(name)
            self.take(self.bench.join(name, slots, GCC if good else OLD))

    @rule(name=st.sampled_from("abc"), fault=st.booleans())
    def lose(self, name: str, fault: bool) -> None:
        if name in self.joined:
            self.joined.remove(name)
            self.take(self.bench.tell(e.WorkerLost(worker=WorkerId(name), fault=fault)))
            for job in [job for job, workers in self.leased.items() if name in workers]:
                self.break_lease(job, name, Blame.WORKER)

    @rule(name=st.sampled_from("abc"), busy=st.integers(0, 8), slots=st.integers(1, 4), draining=st.booleans())
    def change(self, name: str, busy: int, slots: int, draining: bool) -> None:
        event = e.WorkerChanged(worker=WorkerId(name), slots=slots, running=busy, queued=0, draining=draining)
        self.take(self.bench.tell(event))

    @rule(name=st.sampled_from("abcz"), good=st.booleans())
    def change_compilers(self, name: str, good: bool) -> None:
        event = e.WorkerChanged(worker=WorkerId(name), offers=(offer(GCC if good else OLD),), round_trip_s=0.001)
        self.take(self.bench.tell(event))

    @rule(name=st.sampled_from("abcz"))
    def announce(self, name: str) -> None:
        self.take(self.bench.tell(e.WorkerAnnounced(worker=WorkerId(name))))

    @rule(seconds=st.sampled_from([0.0, 1.5]))
    def may_join(self, seconds: float) -> None:
        self.take(self.bench.tell(e.DiscoveryPending(until=self.bench.now + seconds)))

    def break_lease(self, job: int, worker: str, blame: Blame) -> None:
        self.leased[job].remove(worker)
        if not self.leased[job]:
            del self.leased[job]
            self.doubled.discard(job)
            self.waiting.add(job)
        self.take(self.bench.tell(e.LeaseBroken(job=JobId(job), blame=blame, worker=WorkerId(worker))))

    @rule(
        size=st.sampled_from([0, 1000, 5_000_000]),
        key=st.sampled_from([None, "x", "y"]),
        holder=st.sampled_from("abz"),
        home=st.sampled_from([None, "a", "z"]),
    )
    def queue(self, size: int, key: str | None, holder: str, home: str | None) -> None:
        self.next_number += 1
        self.waiting.add(self.next_number)
        event = e.JobQueued(
            job=JobId(self.next_number),
            need=NEED,
            input_bytes=size,
            key=key,
            transfer_bytes=size,
            holders=frozenset({WorkerId(holder)}),
            home=WorkerId(home) if home is not None else None,
        )
        self.take(self.bench.tell(event))

    @precondition(lambda self: self.leased)
    @rule(data=st.data(), blame=st.sampled_from([None, *Blame]), wall=st.sampled_from([None, 0.0, 0.01, 3.0, 500.0]))
    def answer(self, data: st.DataObject, blame: Blame | None, wall: float | None) -> None:
        job = data.draw(st.sampled_from(sorted(self.leased)))
        worker = data.draw(st.sampled_from(self.leased[job]))
        if blame is None:
            del self.leased[job]
            self.doubled.discard(job)
            done = e.JobDone(job=JobId(job), worker=WorkerId(worker), wall_s=wall, queue_s=0.1)
            self.take(self.bench.tell(done))
        else:
            self.break_lease(job, worker, blame)

    @precondition(lambda self: self.leased or self.waiting)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted({*self.leased, *self.waiting})))
        self.leased.pop(job, None)
        self.waiting.discard(job)
        self.doubled.discard(job)
        self.take(self.bench.tell(e.JobAbandoned(job=JobId(job))))

    @rule(urgent=st.booleans(), coming=st.booleans())
    def ask_for_a_slot(self, urgent: bool, coming: bool) -> None:
        job = JobId(self.here.pop()) if coming and self.here else None
        self.next_number += 1
        self.tickets[self.next_number] = False
        self.take(self.bench.tell(e.LocalQueued(ticket=Ticket(self.next_number), urgent=urgent, job=job)))

    @precondition(lambda self: self.tickets)
    @rule(data=st.data())
    def give_a_slot_back(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.tickets)))
        del self.tickets[ticket]
        self.take(self.bench.tell(e.LocalReleased(ticket=Ticket(ticket))))

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 100.0]))
    def pass_time(self, seconds: float) -> None:
        self.bench.now += seconds
        self.take(self.bench.tell(e.TimePassed()))

    @invariant()
    def what_waits_has_a_reason_to(self) -> None:
        if self.waiting:
            assert self.joined or self.bench.scheduler.next_deadline() is not None

    @invariant()
    def deadlines_lie_ahead(self) -> None:
        deadline = self.bench.scheduler.next_deadline()
        assert deadline is None or deadline > self.bench.now

    def end(self) -> None:
        for job, workers in list(self.leased.items()):
            del self.leased[job]
            self.doubled.discard(job)
            self.take(self.bench.tell(e.JobDone(job=JobId(job), worker=WorkerId(workers[-1]))))

    def teardown(self) -> None:
        for ticket in list(self.tickets):
            del self.tickets[ticket]
            self.take(self.bench.tell(e.LocalReleased(ticket=Ticket(ticket))))
        for _ in range(200):
            self.end()
            if not self.waiting and not self.leased:
                break
            if self.waiting and self.bench.scheduler.next_deadline() is not None:
                self.take(self.bench.wait())
        assert not self.waiting


class ForeseeingFarm(Farm):
    """The same with the policy that keeps jobs, runs them here, and starts them twice."""

    policy = "least-completion"


TestFarm = Farm.TestCase
TestFarm.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestForeseeingFarm = ForeseeingFarm.TestCase
TestForeseeingFarm.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)


def test_a_job_goes_where_its_sources_are(bench: Bench) -> None:
    bench.join("a", slots=2)
    bench.join("b", slots=4)
    bench.queue(1)
    assert [grants(bench.queue_at(number, "a")) for number in (2, 3)] == [{2: "a"}, {3: "b"}], "a slot of a was free"
    assert grants(bench.queue_at(4, "gone")) == {4: "b"}


def test_sources_do_not_wait_behind_others_jobs(bench: Bench) -> None:
    bench.join("a")
    bench.join("b")
    bench.tell(e.WorkerChanged(worker=WorkerId("a"), running=2))
    assert grants(bench.queue_at(1, "a")) == {1: "b"}

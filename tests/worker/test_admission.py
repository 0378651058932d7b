"""Admission under any order of events, its invariants checked after each; and how fair it is."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from zdistcc.worker import admission as module
from zdistcc.worker.admission import Admission

Job = tuple[str, int]


class Work(RuleBasedStateMachine):
    """Jobs of three clients come, get ready, run, run again alone and leave, while slots come and go."""

    @initialize(slots=st.integers(1, 4))
    def open(self, slots: int) -> None:
        self.admission = Admission(slots)
        self.now = 0.0
        self.admitted: set[Job] = set()
        self.ready: set[Job] = set()
        self.running: set[Job] = set()
        self.next = 0

    def start(self, jobs: list[object]) -> None:
        for job in jobs:
            assert job in self.ready
            self.ready.remove(job)  # type: ignore[arg-type]
            self.running.add(job)  # type: ignore[arg-type]
        assert not jobs or len(self.running) <= self.admission.slots

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(client=st.sampled_from("abc"))
    def come(self, client: str) -> None:
        self.next += 1
        job = (client, self.next)
        mine = sum(other == client for other, _ in self.admitted | self.ready | self.running)
        room = mine < self.admission.room(client) and not self.admission.draining
        assert self.admission.admit(job, client) is room
        if room:
            self.admitted.add(job)

    @precondition(lambda self: self.admitted)
    @rule(data=st.data())
    def get_ready(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.admitted)))
        self.admitted.remove(job)
        self.ready.add(job)
        self.start(self.admission.ready(job, self.now))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def run_out_of_memory(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.running)))
        if self.admission.may_be_alone(job):
            self.running.remove(job)
            self.ready.add(job)
            self.start(self.admission.alone(job, self.now))
            assert job not in self.running or self.running == {job}

    @precondition(lambda self: self.admitted or self.ready or self.running)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.admitted | self.ready | self.running)))
        for place in (self.admitted, self.ready, self.running):
            place.discard(job)
        self.start(self.admission.leave(job, self.now))
        assert self.admission.leave(job, self.now) == []

    @rule(slots=st.integers(0, 4))
    def resize(self, slots: int) -> None:
        self.start(self.admission.resize(slots, self.now))

    @rule(draining=st.booleans())
    def drain(self, draining: bool) -> None:
        self.admission.draining = draining

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "admission"):
            return
        self.admission.check()
        counts = self.admission.counts
        assert counts.running == len(self.running)
        assert counts.queued == len(self.admitted) + len(self.ready)
        assert set(self.admission.waiting()) == self.ready


TestWork = Work.TestCase
TestWork.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


# --- shares -----------------------------------------------------------------------------------------


@dataclass
class Shop:
    """One worker under a clock; each client keeps as many jobs there as it wants and may."""

    slots: int
    lengths: dict[str, Callable[[], float]]
    wanted: dict[str, int]
    now: float = 0.0
    served: dict[str, float] = field(default_factory=dict)
    ended: list[tuple[float, str]] = field(default_factory=list)
    longest_wait: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.admission = Admission(self.slots)
        self.heap: list[tuple[float, int, str]] = []
        self.since: dict[Job, float] = {}
        self.number = 0
        self.inside: dict[str, int] = {}

    def fill(self) -> None:
        for client, wanted in self.wanted.items():
            while self.inside.get(client, 0) < wanted:
                self.number += 1
                job = (client, self.number)
                if not self.admission.admit(job, client):
                    break
                self.inside[client] = self.inside.get(client, 0) + 1
                self.since[job] = self.now
                self.start(self.admission.ready(job, self.now))

    def start(self, jobs: list[object]) -> None:
        for client, number in jobs:  # type: ignore[misc]
            waited = self.now - self.since[client, number]
            self.longest_wait[client] = max(self.longest_wait.get(client, 0.0), waited)
            heapq.heappush(self.heap, (self.now + self.lengths[client](), number, client))

    def run(self, until: float) -> None:
        self.fill()
        while self.heap and self.heap[0][0] <= until:
            before = self.now
            running = [client for _, _, client in self.heap]
            self.now, number, client = heapq.heappop(self.heap)
            for each in running:
                self.served[each] = self.served.get(each, 0.0) + self.now - before
            self.inside[client] -= 1
            self.ended.append((self.now, client))
            self.start(self.admission.leave((client, number), self.now))
            self.admission.check()
            self.fill()


def jain(shares: list[float]) -> float:
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


@given(
    slots=st.integers(1, 9),
    lengths=st.lists(st.floats(0.05, 5.0), min_size=2, max_size=6),
    seed=st.integers(0, 1 << 32),
)
@settings(max_examples=60, deadline=None)
def test_clients_that_want_all_get_equal_time_however_long_their_jobs_are(
    slots: int, lengths: list[float], seed: int
) -> None:
    random = Random(seed)
    names = [f"c{number}" for number in range(len(lengths))]
    durations = {
        name: (lambda mean=mean: mean * random.uniform(0.3, 1.7)) for name, mean in zip(names, lengths, strict=True)
    }
    shop = Shop(slots=slots, lengths=durations, wanted=dict.fromkeys(names, 100))
    shop.run(300.0 * len(names) / slots)
    assert jain([shop.served[name] for name in names]) >= 0.95


def test_two_clients_hold_half_of_the_slots_each_while_both_are_busy_and_one_gets_all_after() -> None:
    shop = Shop(slots=4, lengths={"a": lambda: 0.2, "b": lambda: 3.0}, wanted={"a": 100, "b": 100})
    shop.run(60.0)
    assert 0.45 <= shop.served["a"] / (shop.served["a"] + shop.served["b"]) <= 0.55
    shop.wanted["b"] = 0
    shop.run(70.0)
    before = shop.served["a"]
    shop.run(80.0)
    assert shop.served["a"] - before >= 4 * 9.5


def test_turns_by_count_would_not_be_fair() -> None:
    """The same experiment, judged by numbers of jobs: the client with short ones has done far more of them."""
    shop = Shop(slots=1, lengths={"a": lambda: 0.1, "b": lambda: 1.0}, wanted={"a": 100, "b": 100})
    shop.run(60.0)
    done = [sum(client == name for _, client in shop.ended) for name in "ab"]
    assert done[0] > 7 * done[1]
    assert 0.45 <= shop.served["a"] / 60 <= 0.55


def test_a_newcomer_gets_its_share_at_once_and_no_more() -> None:
    shop = Shop(slots=4, lengths={"old": lambda: 1.0, "new": lambda: 1.0}, wanted={"old": 100})
    shop.run(1000.0)
    assert shop.served["old"] == pytest.approx(4000, rel=0.01)
    shop.wanted["new"] = 100
    before = shop.served["old"]
    shop.run(1040.0)
    assert 0.45 <= shop.served["new"] / (shop.served["new"] + shop.served["old"] - before) <= 0.55


def test_what_was_not_asked_for_in_time_is_no_claim() -> None:
    """One that wanted one slot for long is not ahead of the others for as long afterwards."""
    shop = Shop(slots=4, lengths={"many": lambda: 1.0, "few": lambda: 1.0}, wanted={"many": 100, "few": 1})
    shop.run(1000.0)
    assert shop.served["few"] < shop.served["many"] / 2
    shop.wanted["few"] = 100
    before = dict(shop.served)
    shop.run(1100.0)
    got = {client: shop.served[client] - before[client] for client in before}
    assert 0.45 <= got["few"] / sum(got.values()) <= 0.55


@given(seed=st.integers(0, 1 << 32), clients=st.integers(2, 12), slots=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_nobody_starves(seed: int, clients: int, slots: int) -> None:
    """A client that wants one slot waits no longer than the jobs of a round of all the others."""
    random = Random(seed)
    names = [f"c{number}" for number in range(clients)]
    lengths = dict.fromkeys(names, lambda: random.uniform(0.2, 1.0))
    shop = Shop(slots=slots, lengths=lengths, wanted={**dict.fromkeys(names, 100), names[0]: 1})
    shop.run(200.0)
    rounds = 2 + clients / slots
    assert shop.longest_wait[names[0]] <= 2 * rounds


def test_one_that_fills_the_queue_does_not_lock_another_out() -> None:
    admission = Admission(2)
    mine = 0
    while admission.admit(("greedy", mine), "greedy"):
        mine += 1
    assert mine == 2 + admission.queue_limit
    others = 0
    while admission.admit(("modest", others), "modest"):
        others += 1
    assert others >= 1 + module.QUEUE_LEAST
    assert not admission.admit(("greedy", mine), "greedy")


def test_all_connections_of_an_agent_are_one_client_and_accounts_do_not_pile_up() -> None:
    admission = Admission(1)
    for number in range(5000):
        assert admission.admit(number, f"agent {number}")
        admission.ready(number, float(number))
        admission.leave(number, number + 1.0)
    assert len(admission._accounts) <= module.MAX_ACCOUNTS


def test_a_job_that_runs_alone_waits_for_the_others_and_they_for_it() -> None:
    admission = Admission(3)
    for job in "abcd":
        assert admission.admit(job, "client")
        admission.ready(job, 0.0)
    assert admission.may_be_alone("a")
    assert admission.alone("a", 1.0) == []
    assert not admission.may_be_alone("b"), "one at a time"
    assert admission.leave("b", 2.0) == []
    assert admission.leave("c", 3.0) == ["a"]
    admission.check()
    assert admission.leave("a", 4.0) == ["d"]
    assert not admission.may_be_alone("d"), "it is alone"

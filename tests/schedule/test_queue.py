"""Builds take turns: in a queue, between jobs of different needs, and for this machine's slots."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from tests.schedule.test_scheduler import NEED, Bench, grants
from zdistcc.schedule import events as e
from zdistcc.schedule.decisions import GrantLocal
from zdistcc.schedule.events import JobId, Need, Ticket, WorkerId
from zdistcc.schedule.queue import MAX_BUILDS, Queue, Rotation

CXX = replace(NEED, language="c++")


def drained(queue: Queue[int]) -> list[int]:
    order = []
    while queue:
        item = queue.next()
        queue.serve(item)
        order.append(item)
    return order


def test_one_build_is_first_come_first_served() -> None:
    queue: Queue[int] = Queue(Rotation())
    for number in range(5):
        queue.push(number, "a")
    queue.push(9, "a", first=True)
    assert list(queue) == [9, 0, 1, 2, 3, 4] == drained(queue)
    assert not queue and list(queue) == []


def test_builds_take_turns_and_iteration_says_so_beforehand() -> None:
    queue: Queue[int] = Queue(Rotation())
    for number in range(6):
        queue.push(number, "large")
    queue.push(10, "small")
    queue.push(11, "small")
    queue.push(20, "tiny")
    expected = [0, 10, 20, 1, 11, 2, 3, 4, 5]
    assert list(queue) == expected
    assert set(queue.heads()) == {0, 10, 20}
    assert drained(queue) == expected


def test_a_build_that_comes_again_and_again_does_not_overtake() -> None:
    queue: Queue[int] = Queue(Rotation())
    for number in range(100):
        queue.push(number, "large")
    served: Counter[str] = Counter()
    for number in range(100, 140):
        queue.push(number, "one at a time")
        for _ in range(2):
            item = queue.next()
            queue.serve(item)
            served["large" if item < 100 else "one at a time"] += 1
    assert served == {"large": 40, "one at a time": 40}


def test_what_is_removed_costs_no_turn_and_what_is_unknown_nothing() -> None:
    queue: Queue[int] = Queue(Rotation())
    for number, build in ((1, "a"), (2, "a"), (3, "b")):
        queue.push(number, build)
    queue.remove(1)
    queue.remove(77)
    assert (len(queue), 1 in queue, list(queue)) == (2, False, [2, 3])


def test_builds_without_end_are_forgotten() -> None:
    rotation = Rotation()
    queue: Queue[int] = Queue(rotation)
    for number in range(3 * MAX_BUILDS):
        queue.push(number, number)
        queue.serve(number)
    assert len(rotation._last) == MAX_BUILDS


def queue_of(bench: Bench, numbers: range, build: str, need: Need = NEED) -> None:
    for number in numbers:
        bench.tell(e.JobQueued(job=JobId(number), need=need, build=build))


@pytest.mark.parametrize("need", [NEED, CXX], ids=["the same compiler", "another language"])
def test_a_small_build_does_not_wait_behind_a_large_one(need: Need) -> None:
    bench = Bench()
    bench.join("w1", slots=4)
    queue_of(bench, range(200), "large")
    queue_of(bench, range(200, 210), "small", need)
    rng = random.Random(7)
    running = set(range(6))
    ended = 0
    last_small = 0
    while running:
        job = rng.choice(sorted(running))
        running.remove(job)
        ended += 1
        if job >= 200:
            last_small = ended
        running |= set(grants(bench.tell(e.JobDone(job=JobId(job), worker=WorkerId("w1"), wall_s=1.0))))
    assert ended == 210
    assert last_small < 40, "its last job ended after so many"


def test_local_slots_take_turns_too() -> None:
    bench = Bench(local_slots=2)
    for number in range(50):
        bench.tell(e.LocalQueued(ticket=Ticket(number), urgent=False, build="large"))
    bench.tell(e.LocalQueued(ticket=Ticket(100), urgent=False, build="small"))
    order = []
    running = [0, 1]
    while running:
        decisions = bench.tell(e.LocalReleased(ticket=Ticket(running.pop(0))))
        running += [d.ticket for d in decisions if isinstance(d, GrantLocal)]
        order += [d.ticket for d in decisions if isinstance(d, GrantLocal)]
    assert order.index(Ticket(100)) <= 1 and len(order) == 49

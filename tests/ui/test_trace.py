"""Traces: slices nest, lanes do not overlap, and every job is there."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import Any

import pytest

from tests.ui.made import EPOCH, EVIL, build_of, job, local, record
from zdistcc.ui.builds import HERE, Event, split
from zdistcc.ui.trace import trace


def traced(*args: Any) -> list[dict[str, Any]]:
    made = json.loads(trace(*args))
    assert made["displayTimeUnit"] == "ms"
    events: list[dict[str, Any]] = made["traceEvents"]
    return events


def processes(events: list[dict[str, Any]]) -> dict[str, int]:
    return {event["args"]["name"]: event["pid"] for event in events if event["name"] == "process_name"}


@pytest.mark.parametrize("count", [1, 200, 20_000])
def test_slices_nest(count: int) -> None:
    begun = time.process_time()
    events = traced(split(build_of(count)), [])
    assert time.process_time() - begun < 20, "seconds for the largest journal there is"
    assert count == len({event["args"]["job"] for event in events if event["ph"] == "X" and "args" in event})
    threads: defaultdict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            assert event["ts"] >= 0 and event["dur"] >= 0
            threads[event["pid"], event["tid"]].append(event)
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    assert set(threads) == named
    for slices in threads.values():
        job_end = phase_end = 0
        for each in slices:
            if each["cat"] == "phase":
                assert each["ts"] >= phase_end and each["ts"] + each["dur"] <= job_end
                phase_end = each["ts"] + each["dur"]
            else:
                assert each["ts"] >= job_end, "a lane holds one job at a time"
                job_end, phase_end = each["ts"] + each["dur"], each["ts"]


def test_phases_of_a_job() -> None:
    events = traced(split([job(record(1)), job(local(2))]), [])
    pids = processes(events)
    assert list(pids) == ["waiting for a slot", "desk", HERE]
    on_worker = [event for event in events if event["ph"] == "X" and event["pid"] == pids["desk"]]
    assert [(event["name"], event["ts"], event["dur"]) for event in on_worker] == [
        ("src/unit1.cc", 200_000, 3_800_000),
        ("prepare", 200_000, 100_000),
        ("send", 300_000, 200_000),
        ("compile", 500_000, 3_300_000),
        ("return", 3_800_000, 200_000),
    ]
    facts = on_worker[0]["args"]
    assert (facts["mode"], facts["cpu_ms"], facts["bytes_sent"], facts["bytes_received"]) == (
        "headers",
        2900,
        1200,
        34000,
    )
    waited = [event["name"] for event in events if event["ph"] == "X" and event["pid"] == pids["waiting for a slot"]]
    assert waited == ["src/unit1.cc", "plan", "queue", "program", "plan"]
    here = next(event for event in events if event["ph"] == "X" and event["pid"] == pids[HERE])
    assert here["args"]["reason"] == "link" and here["args"]["why"] == "the command links"


def test_second_starts_are_told_apart() -> None:
    events = traced(split([job(record(1, second=102.0, second_worker="attic", starts=2))]), [])
    pids = processes(events)
    again = [event for event in events if event["ph"] == "X" and event["pid"] == pids["attic"]]
    assert again[0]["name"] == "src/unit1.cc (second start)" and again[0]["ts"] == 2_000_000


def test_events_within_a_build_are_marks() -> None:
    said = [Event(at=EPOCH + at, kind="joined", worker=worker, text=EVIL) for at in (90.0, 101.0) for worker in "ab"]
    said.append(Event(at=EPOCH + 102.0, kind="lost", worker="desk", text=""))
    marks = [event for event in traced(split([job(record(1))]), said) if event["ph"] == "i"]
    assert [(mark["name"], mark["ts"], mark["s"]) for mark in marks] == [
        ("joined", 1_000_000, "g"), ("joined", 1_000_000, "g"), ("lost", 2_000_000, "p"),
    ]  # fmt: skip


def test_builds_of_days_share_one_clock() -> None:
    both = split([job(record(1)), job(record(2, begun=100.0 + 86_400))])
    events = traced(both, [])
    assert {event["ts"] for event in events if event.get("cat") == "headers"} == {200_000, 86_400_200_000}


def test_nothing_is_an_empty_trace() -> None:
    assert traced([], []) == []

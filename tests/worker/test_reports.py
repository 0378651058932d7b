"""Who is told of a worker's load, and how often."""

from __future__ import annotations

from zdistcc.worker.reports import REPORT_EVERY_S, Reports


def told(clients: int, busy: set[int], seconds: float) -> dict[int, int]:
    """Let the load change all the time; return how often each client was told."""
    reports, counts, now = Reports(), dict.fromkeys(range(clients), 0), 0.0
    while now < seconds:
        reports.changed(range(clients))
        at = reports.next_at(now)
        assert at is not None and now <= at <= now + REPORT_EVERY_S
        now = at
        for client in reports.take(now, busy):
            assert isinstance(client, int)
            counts[client] += 1
    return counts


def test_ten_clients_are_all_told_ten_times_a_second() -> None:
    assert all(98 <= count <= 102 for count in told(10, {3}, 10.0).values())


def test_of_a_hundred_those_without_jobs_are_told_once_a_second() -> None:
    counts = told(100, {3, 7}, 10.0)
    assert all(98 <= counts[client] <= 102 for client in (3, 7))
    assert all(9 <= count <= 12 for client, count in counts.items() if client not in (3, 7))


def test_the_last_change_reaches_everybody_and_then_all_is_quiet() -> None:
    reports = Reports()
    reports.changed(range(100))
    assert len(reports.take(0.0, set())) == 100, "nobody was told for long"
    assert reports.next_at(0.0) is None
    reports.changed(range(100))
    assert reports.take(0.1, {5}) == [5]
    now, late = 0.1, set[object]()
    while (at := reports.next_at(now)) is not None:
        now = at
        late |= set(reports.take(now, {5}))
    assert late == set(range(100)) - {5} and now <= 1.1


def test_who_has_gone_is_not_told() -> None:
    reports = Reports()
    reports.changed([1, 2])
    reports.forget(1)
    assert reports.take(0.0, set()) == [2]

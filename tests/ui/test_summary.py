"""The line at the end of a build."""

from __future__ import annotations

import pytest

from zdistcc.ui.summary import duration, summary


def workers(**jobs: int) -> dict[str, dict[str, float]]:
    return {name: {"jobs": number, "cpu_s": 2.0 * number} for name, number in jobs.items()}


@pytest.mark.parametrize(
    ("build", "line"),
    [
        ({}, ""),
        ({"workers": {}, "reasons": {"link": 3, "query": 1, "configure-probe": 2}}, ""),
        ({"workers": {}, "reasons": {"no-worker": 1}}, "1 job in 10 s: 1 here (no-worker)"),
        (
            {"workers": workers(desk=21, attic=19), "reasons": {"link": 1}},
            "41 jobs in 10 s: 21 on desk, 19 on attic, 1 here (link); at least 30 s saved",
        ),
        ({"workers": workers(desk=10), "reasons": {}}, "10 jobs in 10 s: 10 on desk; no time saved"),
        (
            {"workers": workers(desk=1), "reasons": {"link": 5, "no-worker": 7, "dump": 1, "pch": 2, "a": 1}},
            "17 jobs in 10 s: 1 on desk, 16 here (7 no-worker, 5 link, 2 pch, 2 for 2 other reasons); no time saved",
        ),
        (
            {"workers": workers(a=9, b=8, c=7, d=6, e=5, f=4, g=3, h=2), "reasons": {}},
            "44 jobs in 10 s: 9 on a, 8 on b, 7 on c, 6 on d, 5 on e, 4 on f, 5 on 2 others; at least 34 s saved",
        ),
    ],
)
def test_the_line(build: dict[str, object], line: str) -> None:
    assert summary(build, 10.0, 2) == line


def test_what_is_saved_is_the_least_it_can_be() -> None:
    build = {"workers": {"desk": {"jobs": 30, "cpu_s": 120.0}}, "reasons": {}}
    assert summary(build, 20.0, 4).endswith("at least 10 s saved")  # 120 s on 4 cores are 30 s
    assert summary(build, 29.5, 4).endswith("no time saved")
    assert summary(build, 20.0, 0).endswith("at least 1 min 40 s saved")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (4.24, "4.2 s"), (9.97, "10 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (3780, "1 h 3 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text

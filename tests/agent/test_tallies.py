"""Jobs counted by the build that they belong to."""

from __future__ import annotations

from zdistcc.agent.tallies import KEPT, LONGEST_NAME, Tallies, build_of


def test_builds_at_the_same_time_are_told_apart() -> None:
    tallies = Tallies()
    tallies.count("one", "remote", "desk", "", 1500)
    tallies.count("two", "local", "", "link", 0)
    tallies.count("one", "remote", "desk", "", 500)
    tallies.count("one", "remote", "attic", "", 250)
    tallies.count("one", "local", "desk", "remote-error", 70)
    tallies.count("one", "abandoned", "desk", "", 0)
    assert tallies.as_json("one") == {
        "workers": {"attic": {"jobs": 1, "cpu_s": 0.25}, "desk": {"jobs": 2, "cpu_s": 2.0}},
        "reasons": {"remote-error": 1},
        "failed": 1,
    }
    assert tallies.as_json("two") == {"workers": {}, "reasons": {"link": 1}, "failed": 0}
    assert tallies.as_json("three") == {"workers": {}, "reasons": {}, "failed": 0}


def test_the_build_that_was_quiet_for_longest_is_forgotten() -> None:
    tallies = Tallies()
    for number in range(KEPT):
        tallies.count(f"{number}", "local", "", "link", 0)
    tallies.count("0", "local", "", "link", 0)
    tallies.count("new", "local", "", "link", 0)
    assert tallies.as_json("0")["reasons"] == {"link": 2}
    assert tallies.as_json("1")["reasons"] == {}


def test_whose_a_command_is() -> None:
    assert build_of({}) == ""
    assert build_of({b"_ZDISTCC_BUILD": b"0f3a"}) == "0f3a"
    assert len(build_of({b"_ZDISTCC_BUILD": b"x" * 1000})) == LONGEST_NAME

"""A short campaign of `fuzz_arguments` with every run of the tests."""

from __future__ import annotations

from tests.fuzz.fuzz_arguments import campaign


def test_mutated_command_lines() -> None:
    outcomes = campaign(20_000, seed=1)
    assert outcomes["distributable"] > 500
    assert len(outcomes) > 30, "the mutations no longer reach most reasons"

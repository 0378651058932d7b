"""The counting of tokens: never more in the world than are allowed, and as many as are allowed once jobs end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdistcc.jobserver.tokens import MAX_TOKENS, Account


@pytest.mark.parametrize(
    ("bound", "jobs", "allowed"),
    [(None, 8, 8), (3, 8, 3), (8, 3, 3), (1, 8, 1), (None, 0, 1), (None, -5, 1), (None, 10**9, MAX_TOKENS + 1)],
)
def test_what_is_allowed(bound: int | None, jobs: int, allowed: int) -> None:
    account = Account(bound)
    assert account.aim(jobs) == allowed
    assert account.due == allowed - 1  # the tool's own job needs no token


def test_a_smaller_lan_takes_back_what_is_free_and_waits_for_the_rest() -> None:
    account = Account()
    account.aim(10)
    account.moved(9)
    account.aim(4)
    assert account.due == -6
    account.moved(-2)  # more did not lie in the pipe
    assert account.due == -4
    account.aim(8)
    assert account.due == 0  # seven are still out: nothing to give
    account.aim(9)
    assert account.due == 1


class Tool:
    """A build tool with more work than tokens; holds some, may lose some."""

    def __init__(self) -> None:
        self.free = self.held = self.lost = 0


@given(
    st.none() | st.integers(1, 40),
    st.lists(
        st.one_of(
            st.tuples(st.just("aim"), st.integers(-3, 60)),
            st.tuples(st.sampled_from(["take", "return", "lose"]), st.integers(1, 10)),
        ),
        max_size=60,
    ),
)
def test_never_more_than_allowed(bound: int | None, steps: list[tuple[str, int]]) -> None:
    account, tool = Account(bound), Tool()
    for what, number in steps:
        before = tool.free + tool.held + tool.lost
        match what:
            case "aim":
                account.aim(number)
            case "take":
                moved = min(number, tool.free)
                tool.free, tool.held = tool.free - moved, tool.held + moved
            case "return":
                moved = min(number, tool.held)
                tool.free, tool.held = tool.free + moved, tool.held - moved
            case "lose":
                moved = min(number, tool.held)
                tool.held, tool.lost = tool.held - moved, tool.lost + moved
        due = account.due
        moved = due if due > 0 else -min(-due, tool.free)
        tool.free += moved
        account.moved(moved)
        now = tool.free + tool.held + tool.lost
        assert now == account.given
        assert now <= max(account.wanted, before), "tokens were given while there were too many"
        assert now <= account.wanted or tool.free == 0, "a free token that is too much was left"

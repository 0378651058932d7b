"""How many tokens there are to be, and what has to be done about it.

A tool always has one job for which it needs no token; every other costs one.  So N jobs are N - 1 tokens.

Only tokens that lie in the pipe can be taken back: a running job keeps its own until it ends.  Until then there are
more than allowed, and none is given.  A token that a crashed program never puts back is missing from then on: it stays
counted as given, because nothing tells it from one in use.  The build slows down by it and never hangs, because the
tool's own job needs no token.

Must not know: descriptors, the clock, who says how many jobs are useful.
"""

from __future__ import annotations

from typing import Final

MAX_TOKENS: Final = 4095
"""What a pipe holds on every system that make runs on, the smallest of which have one page."""


class Account:
    """The tokens given out and not taken back, and how many there should be."""

    __slots__ = ("_bound", "given", "wanted")

    def __init__(self, bound: int | None = None) -> None:
        """``bound`` is the most jobs that the user allows."""
        self._bound = bound
        self.given = 0
        self.wanted = 0

    def aim(self, jobs: int) -> int:
        """So many jobs are useful now; return how many are allowed."""
        allowed = max(1, jobs if self._bound is None else min(jobs, self._bound))
        self.wanted = min(allowed - 1, MAX_TOKENS)
        return self.wanted + 1

    @property
    def due(self) -> int:
        """How many tokens to put into the pipe; negative: how many to take out as soon as they are there."""
        return self.wanted - self.given

    def moved(self, tokens: int) -> None:
        """``tokens`` were put into the pipe, or taken out if negative."""
        self.given += tokens

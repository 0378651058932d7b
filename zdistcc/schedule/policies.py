"""Policies: how workers that can do a job are ranked.  A policy suggests; the scheduler decides who is eligible.

A row ranks one worker for one job; the lowest rank gets it.  Ties go to the worker with the lower id, so that a
decision depends on nothing but the facts.  A row that ``foresees`` also ranks workers that have no room now, and this
machine: a job waits for one of them while that is better than all that is to be had at once.

Foresight is the default: a slow idle worker is worse than a fast one with a short queue.  Where all workers are alike
and the build is no larger than they are, it does what load alone would: it sends everything away.

Rejected: ties by id among equals that are foreseen (all agents of a LAN would rush to the same worker: there a draw
breaks ties).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from zdistcc.schedule.fleet import Member
from zdistcc.schedule.outlook import Prospect

Rank = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """A policy's name, what it does in a sentence, and its ranking."""

    name: str
    help: str
    rank: Callable[[Member, Prospect], Rank]
    foresees: bool = False


FULLER_IS_SLOWER: Final = 0.05
"""A machine with all slots taken runs each job a little slower; enough to spread jobs among near-equals."""


def _least_completion(member: Member, prospect: Prospect) -> Rank:
    load = member.load
    return (prospect.start + prospect.run_s * (1 + FULLER_IS_SLOWER * (load if load < 1 else 1)),)


def _least_loaded(member: Member, prospect: Prospect) -> Rank:
    plain = bool(member.offers) and member.offers[0].plain  # a text has to be made here for it
    return member.load, plain, member.round_trip_s or 0.0


def _list_order(member: Member, prospect: Prospect) -> Rank:
    return ()


POLICIES: Final = {
    row.name: row
    for row in (
        PolicyRow(
            name="least-completion",
            help="the worker that would have done the job first, by what its results so far let expect",
            rank=_least_completion,
            foresees=True,
        ),
        PolicyRow(
            name="least-loaded",
            help="the worker whose slots are taken the least, the nearer one of equals",
            rank=_least_loaded,
        ),
        PolicyRow(
            name="list-order",
            help="the first worker with room, as distcc fills its hosts; for comparison",
            rank=_list_order,
        ),
    )
}

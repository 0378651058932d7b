"""Decisions: the orders that the scheduler gives."""

from __future__ import annotations

from dataclasses import dataclass

from zdistcc.errors import Reason
from zdistcc.schedule.events import JobId, Ticket, WorkerId
from zdistcc.toolchain.identity import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Send ``job`` to ``worker``, for its compiler ``offer``."""

    job: JobId
    worker: WorkerId
    offer: Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """Send ``job``, which takes far too long where it is, to ``worker`` as well; the first whole answer counts."""

    job: JobId
    worker: WorkerId
    offer: Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """``job`` takes far too long where it is, and this machine has a slot to spare: end its start there, run it here.

    No race of the two: the user's own compiler writes its outputs itself, so nobody else may be about to.
    """

    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLocally:
    """No worker will do ``job``; ``detail`` says more than the reason where there is more to say."""

    job: JobId
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantLocal:
    """The holder of ``ticket`` may run on this machine until it gives the ticket back."""

    ticket: Ticket


Decision = Grant | Duplicate | Recall | RunLocally | GrantLocal

"""The starts of one granted job: one as a rule, two when the scheduler takes the first for a straggler.

The first whole answer wins and the other start is cancelled; a start that fails while the other is under way is only
reported.  Nothing is written here, so however many starts there are, one caller gets one answer.

A straggler may also be called back, to run on this machine.  That is no second start: the user's own compiler writes
its outputs itself, so the start is cancelled first, and its answer is dropped even if it comes meanwhile.  Rejected:
compiling here to a temporary name, so that both could race: the name stands in dependency files and debug information.

Must not know: what is shipped, or how.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from zdistcc.agent.dispatch import Change, Dispatcher
from zdistcc.errors import InfraError
from zdistcc.schedule.decisions import Duplicate, Grant, Recall
from zdistcc.schedule.events import Blame, JobId

T = TypeVar("T")
Order = Grant | Duplicate


class SecondFailed(InfraError):
    """A second start ended in a way that would end the job, had it been the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Won(Generic[T]):
    """A start gave an answer."""

    order: Order
    answer: T


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Every start failed; the last one with ``error``."""

    order: Order
    error: InfraError


@dataclass(frozen=True, slots=True, kw_only=True)
class CalledBack:
    """The job is to run on this machine instead; no start is under way any more."""

    order: Order


async def first_answer(
    dispatcher: Dispatcher,
    job: JobId,
    grant: Grant,
    start: Callable[[Order], Awaitable[T]],
    blame: Callable[[InfraError], Blame],
) -> Won[T] | Lost | CalledBack:
    """Start ``job`` as granted, and once more when that is ordered; return the first answer, if there is to be one.

    What is no :class:`InfraError` is raised: from the first start at once; from the second it ends that start only.
    """
    if not dispatcher.foresees:  # no second start will be ordered: one await less for every job
        try:
            return Won(order=grant, answer=await start(grant))
        except InfraError as failure:
            return Lost(order=grant, error=failure)
    change: asyncio.Future[Change] | None = dispatcher.change_of(job)
    first = asyncio.ensure_future(start(grant))
    starts: dict[asyncio.Future[T], Order] = {first: grant}
    try:
        while True:
            waiting: set[asyncio.Future[T] | asyncio.Future[Change]] = {*starts}
            if change is not None:
                waiting.add(change)
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if change is not None and change.done():
                again = change.result()
                change = None
                if isinstance(again, Recall):
                    return CalledBack(order=grant)
                starts[asyncio.ensure_future(start(again))] = again
            for task in [task for task in starts if task.done()]:
                order = starts.pop(task)
                error = task.exception()
                if error is None:
                    return Won(order=order, answer=task.result())
                if not isinstance(error, InfraError) and (task is first or not isinstance(error, Exception)):
                    raise error
                fault = error if isinstance(error, InfraError) else SecondFailed(str(error))
                if not starts:
                    return Lost(order=order, error=fault)
                dispatcher.one_failed(job, blame(fault), order.worker)
    finally:
        for task in starts:
            task.cancel()
        await asyncio.gather(*starts, return_exceptions=True)

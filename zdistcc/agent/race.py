"""The starts of one granted job: one as a rule, two when the scheduler takes the first for a straggler.

The first whole answer wins and the other start is cancelled; a start that fails while the other is under way is only
reported.  Nothing is written here, so however many starts there are, one caller gets one answer.

Must not know: what is shipped, or how.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from zdistcc.agent.dispatch import Dispatcher
from zdistcc.errors import InfraError
from zdistcc.schedule.decisions import Duplicate, Grant
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


async def first_answer(
    dispatcher: Dispatcher,
    job: JobId,
    grant: Grant,
    start: Callable[[Order], Awaitable[T]],
    blame: Callable[[InfraError], Blame],
) -> Won[T] | Lost:
    """Start ``job`` as granted, and once more when that is ordered; return the first answer.

    What is no :class:`InfraError` is raised: from the first start at once; from the second it ends that start only.
    """
    if not dispatcher.foresees:  # no second start will be ordered: one await less for every job
        try:
            return Won(order=grant, answer=await start(grant))
        except InfraError as failure:
            return Lost(order=grant, error=failure)
    second: asyncio.Future[Duplicate] | None = dispatcher.second_start(job)
    first = asyncio.ensure_future(start(grant))
    starts: dict[asyncio.Future[T], Order] = {first: grant}
    try:
        while True:
            waiting: set[asyncio.Future[T] | asyncio.Future[Duplicate]] = {*starts}
            if second is not None:
                waiting.add(second)
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if second is not None and second.done():
                again = second.result()
                second = None
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

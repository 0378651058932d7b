"""One job, started twice: the first whole answer counts, the other start is cancelled, whatever fails or is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.agent.fakes import dispatcher
from tests.aio import run, until
from tests.schedule.test_scheduler import GCC, NEED, offer
from zdistcc.agent.dispatch import Dispatcher, Known
from zdistcc.agent.race import CalledBack, Lost, Order, SecondFailed, Won, first_answer
from zdistcc.errors import InfraError
from zdistcc.schedule.decisions import Duplicate, Grant, RunLocally
from zdistcc.schedule.events import Blame, JobId, WorkerId, WorkerJoined


class Starts:
    """Starts of one job, ended by the test."""

    def __init__(self, dispatch: Dispatcher, job: JobId, grant: Grant) -> None:
        self.answers: dict[WorkerId, asyncio.Future[str]] = {}
        self.orders: list[Order] = []
        self.cancelled: list[WorkerId] = []
        self.race = asyncio.ensure_future(first_answer(dispatch, job, grant, self.start, lambda error: Blame.WORKER))

    async def start(self, order: Order) -> str:
        self.orders.append(order)
        future = self.answers[order.worker] = asyncio.get_running_loop().create_future()
        try:
            return await future
        except asyncio.CancelledError:
            self.cancelled.append(order.worker)
            raise

    async def doubled(self) -> tuple[asyncio.Future[str], asyncio.Future[str]]:
        """Wait for the second start; return what ends the first and the second."""
        await until(lambda: len(self.orders) == 2, "the job is started again")
        assert isinstance(self.orders[1], Duplicate)
        first, second = (self.answers[order.worker] for order in self.orders)
        return first, second


@asynccontextmanager
async def starts() -> AsyncIterator[tuple[Dispatcher, Starts]]:
    """A job that was granted by a scheduler that has seen such jobs take 10 ms."""
    async with dispatcher(policy="least-completion") as dispatch:
        for name in ("a", "b"):
            dispatch.tell(WorkerJoined(worker=WorkerId(name), name=name, slots=1, offers=(offer(GCC),)))
        for _ in range(10):
            job = dispatch.new_job()
            assert isinstance(await dispatch.place(job, NEED), Grant)
            dispatch.done(job, wall_s=0.01)
        job = dispatch.new_job()
        grant = await dispatch.place(job, NEED)
        assert isinstance(grant, Grant)
        try:
            yield dispatch, Starts(dispatch, job, grant)
        finally:
            dispatch.abandon(job)
            assert dispatch.snapshot().jobs_leased == dispatch.snapshot().jobs_waiting == 0
            assert not dispatch._changes


@pytest.mark.parametrize("winner", [0, 1])
def test_the_first_answer_wins_and_the_other_start_is_cancelled(winner: int) -> None:
    async def main() -> None:
        async with starts() as (dispatch, job):
            both = await job.doubled()
            both[winner].set_result("object")
            end = await asyncio.wait_for(job.race, 5)
            assert isinstance(end, Won) and end.answer == "object" and end.order is job.orders[winner]
            assert job.cancelled == [job.orders[1 - winner].worker]
            dispatch.done(end.order.job, end.order.worker)
            assert dispatch.snapshot().duplicates_won == winner
            assert dispatch.snapshot().wasted_s > 0

    run(main())


def test_two_answers_that_cross_are_one() -> None:
    """Both are there when the race looks: one is handed on to be written, the other is seen by nobody."""

    async def main() -> None:
        async with starts() as (dispatch, job):
            first, second = await job.doubled()
            first.set_result("of the first")
            second.set_result("of the second")
            end = await asyncio.wait_for(job.race, 5)
            assert isinstance(end, Won) and end.answer in ("of the first", "of the second")
            assert job.cancelled == []
            dispatch.done(end.order.job, end.order.worker)
            late = next(order for order in job.orders if order is not end.order)
            dispatch.done(late.job, late.worker)  # told of it all the same, the scheduler has nothing to end
            assert dispatch.snapshot().jobs_leased == 0

    run(main())


@pytest.mark.parametrize("failing", [0, 1])
def test_one_start_may_fail_while_the_other_is_under_way(failing: int) -> None:
    async def main() -> None:
        async with starts() as (dispatch, job):
            both = await job.doubled()
            both[failing].set_exception(InfraError("the cable"))
            await until(lambda: dispatch.snapshot().jobs_leased == 1, "the failure is reported")
            assert not job.race.done()
            both[1 - failing].set_result("object")
            assert isinstance(await asyncio.wait_for(job.race, 5), Won)
            assert not job.cancelled

    run(main())


def test_when_both_fail_the_job_is_placed_again() -> None:
    async def main() -> None:
        async with starts() as (dispatch, job):
            first, second = await job.doubled()
            first.set_exception(InfraError("the cable"))
            second.set_exception(InfraError("the other cable"))
            end = await asyncio.wait_for(job.race, 5)
            assert isinstance(end, Lost)
            again = await asyncio.wait_for(dispatch.place_again(end.order.job, Blame.WORKER, end.order.worker), 5)
            assert isinstance(again, RunLocally)

    run(main())


def test_what_ends_the_job_ends_it_from_the_first_start_only() -> None:
    async def main() -> None:
        async with starts() as (_, job):
            first, second = await job.doubled()
            second.set_exception(ValueError("no text"))
            await until(lambda: second not in asyncio.all_tasks(), "it is over")
            assert not job.race.done()
            first.set_exception(ValueError("no text either"))
            with pytest.raises((ValueError, SecondFailed)):
                await asyncio.wait_for(job.race, 5)

    run(main())


def test_cancelling_the_job_cancels_both_starts() -> None:
    async def main() -> None:
        async with starts() as (_, job):
            await job.doubled()
            job.race.cancel()
            await asyncio.wait([job.race])
            assert sorted(job.cancelled) == ["a", "b"]

    run(main())


def test_a_quick_answer_is_not_started_again() -> None:
    async def main() -> None:
        async with starts() as (dispatch, job):
            await until(lambda: bool(job.answers), "it began")
            next(iter(job.answers.values())).set_result("object")
            assert isinstance(await asyncio.wait_for(job.race, 5), Won)
            assert dispatch.snapshot().duplicates == 0

    run(main())


def test_a_job_that_is_called_back_is_cancelled_before_it_may_run_here() -> None:
    async def main() -> None:
        async with dispatcher(local_slots=4, policy="least-completion") as dispatch:
            dispatch.tell(WorkerJoined(worker=WorkerId("a"), name="a", slots=1, offers=(offer(GCC),)))
            known = Known(key="x.o")
            for _ in range(10):
                job = dispatch.new_job()
                assert isinstance(await dispatch.place(job, NEED, known), Grant)
                dispatch.done(job, wall_s=0.01)
            job = dispatch.new_job()
            grant = await dispatch.place(job, NEED, known)
            assert isinstance(grant, Grant)
            starts = Starts(dispatch, job, grant)
            end = await asyncio.wait_for(starts.race, 10)
            assert isinstance(end, CalledBack) and end.order is grant
            assert starts.cancelled == ["a"]
            snapshot = dispatch.snapshot()
            assert (snapshot.jobs_leased, snapshot.recalled, snapshot.duplicates) == (0, 1, 0)
            assert snapshot.wasted_s > 0
            dispatch.release(await dispatch.local(urgent=False, job=job))
            dispatch.abandon(job)

    run(main())

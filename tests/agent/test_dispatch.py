"""The scheduler under a real loop: decisions reach those who wait, whatever is cancelled meanwhile."""

from __future__ import annotations

import asyncio

from tests.agent.fakes import dispatcher
from tests.aio import run, until
from tests.schedule.test_scheduler import GCC, NEED, offer
from zdistcc.agent.dispatch import Dispatcher
from zdistcc.errors import Reason
from zdistcc.schedule.decisions import Grant, RunLocally
from zdistcc.schedule.events import Blame, DiscoveryPending, WorkerId, WorkerJoined, WorkerLost

W = WorkerId("w")


def join(dispatch: Dispatcher, slots: int = 1) -> None:
    dispatch.tell(WorkerJoined(worker=W, name="w", slots=slots, offers=(offer(GCC),)))


def test_a_job_is_granted_done_and_forgotten() -> None:
    async def main() -> None:
        async with dispatcher() as dispatch:
            join(dispatch)
            job = dispatch.new_job()
            assert isinstance(await dispatch.place(job, NEED), Grant)
            assert dispatch.snapshot().jobs_leased == 1
            dispatch.done(job)
            dispatch.abandon(job)
            assert dispatch.snapshot().jobs_leased == dispatch.snapshot().jobs_waiting == 0

    run(main())


def test_waiting_for_discovery_ends_by_the_clock() -> None:
    async def main() -> None:
        async with dispatcher() as dispatch:
            dispatch.tell(DiscoveryPending(until=asyncio.get_running_loop().time() + 0.05))
            placement = await asyncio.wait_for(dispatch.place(dispatch.new_job(), NEED), 5)
            assert isinstance(placement, RunLocally) and placement.reason is Reason.NO_WORKER

    run(main())


def test_a_worker_lost_between_grant_and_use() -> None:
    async def main() -> None:
        async with dispatcher() as dispatch:
            join(dispatch)
            job = dispatch.new_job()
            placing = asyncio.ensure_future(dispatch.place(job, NEED))
            await asyncio.sleep(0)
            dispatch.tell(WorkerLost(worker=W, fault=True))
            assert isinstance(await placing, Grant)
            again = await asyncio.wait_for(dispatch.place_again(job, Blame.WORKER), 5)
            assert isinstance(again, RunLocally)

    run(main())


def test_jobs_cancelled_while_they_wait_or_as_they_are_granted() -> None:
    async def main() -> None:
        async with dispatcher() as dispatch:
            join(dispatch)
            for turns in range(4):
                job = dispatch.new_job()
                task = asyncio.ensure_future(dispatch.place(job, NEED))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                dispatch.abandon(job)
            assert dispatch.snapshot().jobs_leased == dispatch.snapshot().jobs_waiting == 0

    run(main())


def test_tickets_cancelled_at_every_moment_come_back() -> None:
    async def main() -> None:
        async with dispatcher(local_slots=1) as dispatch:
            held = await dispatch.local(urgent=False)
            tasks = [asyncio.ensure_future(dispatch.local(urgent=n % 2 == 0)) for n in range(6)]
            await asyncio.sleep(0)
            dispatch.release(held)  # the first of them is granted, and cancelled before it knows
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert dispatch.snapshot().local_running == dispatch.snapshot().local_waiting == 0
            dispatch.release(await asyncio.wait_for(dispatch.local(urgent=True), 5))

    run(main())


def test_two_hundred_jobs_through_one_slot() -> None:
    async def main() -> None:
        async with dispatcher() as dispatch:
            join(dispatch)
            done = []

            async def one() -> None:
                job = dispatch.new_job()
                try:
                    assert isinstance(await dispatch.place(job, NEED), Grant)
                    await asyncio.sleep(0)
                    done.append(job)
                    dispatch.done(job)
                finally:
                    dispatch.abandon(job)

            await asyncio.gather(*(one() for _ in range(200)))
            assert done == sorted(done), "first come, first served"
            await until(lambda: dispatch.snapshot().jobs_leased == 0, "all are over")

    run(main())

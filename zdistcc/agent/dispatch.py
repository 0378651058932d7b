"""Dispatch: the scheduler under a real clock; its decisions become results of awaits.

Must not know: connections, compilers, launchers.
"""

from __future__ import annotations

import asyncio
import itertools
import random

from zdistcc.schedule.decisions import Decision, Grant, GrantLocal, RunLocally
from zdistcc.schedule.events import (
    Blame,
    Event,
    JobAbandoned,
    JobDone,
    JobId,
    JobQueued,
    LeaseBroken,
    LocalQueued,
    LocalReleased,
    Need,
    Ticket,
    TimePassed,
    WorkerId,
)
from zdistcc.schedule.policies import PolicyRow
from zdistcc.schedule.scheduler import Scheduler
from zdistcc.schedule.snapshot import Snapshot

Placement = Grant | RunLocally


class Dispatcher:
    """Owner of the scheduler in the agent."""

    def __init__(self, *, local_slots: int, policy: PolicyRow) -> None:
        self._scheduler = Scheduler(local_slots=local_slots, policy=policy, jitter=random.random)
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._placements: dict[JobId, asyncio.Future[Placement]] = {}
        self._tickets: dict[Ticket, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, event: Event) -> None:
        """Hand a fact to the scheduler and carry out what it decides."""
        for decision in self._scheduler.handle(event, self._loop.time()):
            self._carry_out(decision)
        self._plan_wake_up()

    def snapshot(self) -> Snapshot:
        """Return the scheduler's state."""
        return self._scheduler.snapshot()

    def close(self) -> None:
        """Plan nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    # --- jobs -----------------------------------------------------------------------------------

    def new_job(self) -> JobId:
        """Return a number for a job."""
        return JobId(next(self._numbers))

    async def place(self, job: JobId, need: Need, home: WorkerId | None = None) -> Placement:
        """Return where ``job`` is to run; waits while workers are busy.  Ended by :meth:`done` or :meth:`abandon`.

        ``home`` is the worker that has its sources.
        """
        return await self._decided(job, JobQueued(job=job, need=need, home=home))

    async def place_again(self, job: JobId, blame: Blame) -> Placement:
        """The granted worker did not do ``job``: return where it is to run instead."""
        return await self._decided(job, LeaseBroken(job=job, blame=blame))

    def done(self, job: JobId) -> None:
        """The granted worker did ``job``."""
        self.tell(JobDone(job=job))

    def abandon(self, job: JobId) -> None:
        """Nobody wants ``job`` any more."""
        self._placements.pop(job, None)
        self.tell(JobAbandoned(job=job))

    async def _decided(self, job: JobId, event: Event) -> Placement:
        future: asyncio.Future[Placement] = self._loop.create_future()
        self._placements[job] = future
        self.tell(event)
        return await future

    # --- this machine ---------------------------------------------------------------------------

    async def local(self, *, urgent: bool) -> Ticket:
        """Return a ticket to run something here, when there is a slot; given back by :meth:`release`."""
        ticket = Ticket(next(self._numbers))
        future = self._tickets[ticket] = self._loop.create_future()
        try:
            self.tell(LocalQueued(ticket=ticket, urgent=urgent))
            await future
        except asyncio.CancelledError:
            self.release(ticket)
            raise
        finally:
            self._tickets.pop(ticket, None)
        return ticket

    def release(self, ticket: Ticket) -> None:
        """Give a ticket back."""
        self.tell(LocalReleased(ticket=ticket))

    # --- inside ---------------------------------------------------------------------------------

    def _carry_out(self, decision: Decision) -> None:
        match decision:
            case Grant() | RunLocally():
                placement = self._placements.pop(decision.job, None)
                if placement is not None and not placement.done():
                    placement.set_result(decision)
            case GrantLocal():
                turn = self._tickets.get(decision.ticket)
                if turn is not None and not turn.done():
                    turn.set_result(None)

    def _plan_wake_up(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._scheduler.next_deadline()
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._wake_up)

    def _wake_up(self) -> None:
        self._timer = None
        self.tell(TimePassed())

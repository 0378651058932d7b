"""Dispatch: the scheduler under a real clock; its decisions become results of awaits.

Must not know: connections, compilers, launchers.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from zdistcc.schedule.decisions import Decision, Duplicate, Grant, GrantLocal, Recall, RunLocally
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
Change = Duplicate | Recall
"""What may be ordered of a job that is under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a job before it runs; see :class:`JobQueued`."""

    input_bytes: int = 0
    key: Hashable | None = None
    transfer_bytes: int = 0
    holders: frozenset[WorkerId] = frozenset()
    home: WorkerId | None = None


NOTHING_KNOWN: Final = Known()
RECENT_NEEDS: Final = 8
"""Kinds of jobs that are remembered: what will be built next is most likely one of them."""


class Dispatcher:
    """Owner of the scheduler in the agent; ``on_told`` is called with each fact."""

    def __init__(self, *, local_slots: int, policy: PolicyRow) -> None:
        self.foresees = policy.foresees
        self.on_told: Callable[[Event], None] = lambda event: None
        self._scheduler = Scheduler(local_slots=local_slots, policy=policy, jitter=random.random)
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._placements: dict[JobId, asyncio.Future[Placement]] = {}
        self._changes: dict[JobId, asyncio.Future[Change]] = {}
        self._tickets: dict[Ticket, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._builds: dict[JobId, Hashable] = {}
        self._needs: OrderedDict[Need, None] = OrderedDict()
        self._wanting: set[JobId] = set()
        self.on_wanted: Callable[[], None] = lambda: None

    @property
    def busy(self) -> bool:
        """Whether any job waits for a worker or is on one."""
        return bool(self._wanting)

    def tell(self, event: Event) -> None:
        """Hand a fact to the scheduler and carry out what it decides."""
        for decision in self._scheduler.handle(event, self._loop.time()):
            self._carry_out(decision)
        self._plan_wake_up()
        self.on_told(event)

    def snapshot(self) -> Snapshot:
        """Return the scheduler's state."""
        return self._scheduler.snapshot()

    @property
    def recent_needs(self) -> tuple[Need, ...]:
        """What the last jobs needed, each kind once."""
        return tuple(self._needs)

    def close(self) -> None:
        """Plan nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    # --- jobs -----------------------------------------------------------------------------------

    def new_job(self, build: Hashable = None) -> JobId:
        """Return a number for a job of ``build``; given back by :meth:`forget`."""
        job = JobId(next(self._numbers))
        self._builds[job] = build
        return job

    def forget(self, job: JobId) -> None:
        """Nothing will be asked for ``job`` any more."""
        self._builds.pop(job, None)

    async def place(self, job: JobId, need: Need, known: Known = NOTHING_KNOWN) -> Placement:
        """Return where ``job`` is to run; waits while workers are busy.  Ended by :meth:`done` or :meth:`abandon`."""
        self._needs[need] = None
        self._needs.move_to_end(need)
        if len(self._needs) > RECENT_NEEDS:
            self._needs.popitem(last=False)
        first = not self._wanting
        self._wanting.add(job)
        if first:
            self.on_wanted()
        return await self._decided(
            job,
            JobQueued(
                job=job,
                need=need,
                input_bytes=known.input_bytes,
                key=known.key,
                transfer_bytes=known.transfer_bytes,
                holders=known.holders,
                home=known.home,
                build=self._builds.get(job),
            ),
        )

    async def place_again(self, job: JobId, blame: Blame, worker: WorkerId | None = None) -> Placement:
        """The last worker that had ``job`` did not do it: return where it is to run instead."""
        return await self._decided(job, LeaseBroken(job=job, blame=blame, worker=worker))

    def change_of(self, job: JobId) -> asyncio.Future[Change]:
        """Return what will hold the order to start a granted ``job`` elsewhere too or here, if ever that is given."""
        future = self._changes[job] = self._loop.create_future()
        return future

    def one_failed(self, job: JobId, blame: Blame, worker: WorkerId) -> None:
        """One of the two workers that had ``job`` did not do it; the other is still at it."""
        self.tell(LeaseBroken(job=job, blame=blame, worker=worker))

    def done(
        self,
        job: JobId,
        worker: WorkerId | None = None,
        *,
        wall_s: float | None = None,
        cpu_s: float | None = None,
        queue_s: float | None = None,
    ) -> None:
        """A granted worker did ``job``, in these times by its own clock."""
        self.tell(JobDone(job=job, worker=worker, wall_s=wall_s, cpu_s=cpu_s, queue_s=queue_s))

    def abandon(self, job: JobId) -> None:
        """Nobody wants ``job`` any more."""
        self._placements.pop(job, None)
        self._changes.pop(job, None)
        self._wanting.discard(job)
        self.tell(JobAbandoned(job=job))

    async def _decided(self, job: JobId, event: Event) -> Placement:
        future: asyncio.Future[Placement] = self._loop.create_future()
        self._placements[job] = future
        self.tell(event)
        return await future

    # --- this machine ---------------------------------------------------------------------------

    async def local(self, *, urgent: bool, job: JobId | None = None) -> Ticket:
        """Return a ticket to run something here, when there is a slot; given back by :meth:`release`.

        ``job``: it is this one that runs here.
        """
        ticket = Ticket(next(self._numbers))
        future = self._tickets[ticket] = self._loop.create_future()
        try:
            build = self._builds.get(job) if job is not None else None
            self.tell(LocalQueued(ticket=ticket, urgent=urgent, job=job, build=build))
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
            case Duplicate() | Recall():
                change = self._changes.pop(decision.job, None)
                if change is not None and not change.done():
                    change.set_result(decision)
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

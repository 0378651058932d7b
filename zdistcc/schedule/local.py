"""This machine's slots: who holds one, who waits, and how many jobs were told to come and are not here yet.

Must not know: workers, the queue of jobs.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

from zdistcc.schedule.decisions import GrantLocal
from zdistcc.schedule.estimates import Work
from zdistcc.schedule.events import JobId, LocalQueued, LocalReleased, Ticket, WorkerId
from zdistcc.schedule.queue import Queue, Rotation

HERE: Final = WorkerId("")
"""This machine, where speeds are remembered by worker."""
SMALL: Final = 2
PROMISE_S: Final = 2.0
"""How long a slot is kept for a job that was told to run here and has not come."""


def reserve_of(slots: int) -> int:
    """Return how many of ``slots`` are left to the agent, to links and to the build tool.

    A machine of two cores has none to spare: feeding the workers and linking keep it busy.
    """
    return slots if slots <= SMALL else max(1, slots // 4)


@dataclass(slots=True)
class _Stay:
    """A job that runs here; ``begun`` counts from its slot on."""

    job: JobId
    work: Work
    begun: float


class LocalSlots:
    """The slots of this machine."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.held: set[Ticket] = set()
        self._urgent: deque[Ticket] = deque()
        self._waiting: Queue[Ticket] = Queue(Rotation())
        self._promised: OrderedDict[JobId, tuple[float, Work]] = OrderedDict()
        self._coming: dict[Ticket, tuple[JobId, Work]] = {}
        self._stays: dict[Ticket, _Stay] = {}

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return len(self._urgent) + len(self._waiting)

    def spare(self, now: float) -> int:
        """Return how many slots are free and not spoken for."""
        while self._promised and next(iter(self._promised.values()))[0] <= now:
            self._promised.popitem(last=False)
        return self.slots - len(self.held) - self.waiting - len(self._promised)

    @property
    def reserve(self) -> int:
        """Slots that are left to the agent, to links and to the build tool when jobs could run elsewhere."""
        return reserve_of(self.slots)

    def promise(self, job: JobId, work: Work, now: float) -> None:
        """``job`` was told to run here."""
        self._promised[job] = now + PROMISE_S, work

    def queue(self, event: LocalQueued, now: float) -> list[GrantLocal]:
        """Somebody asks for a slot."""
        if event.job is not None and event.job in self._promised:
            self._coming[event.ticket] = event.job, self._promised.pop(event.job)[1]
        if event.urgent:
            self._urgent.append(event.ticket)
        else:
            self._waiting.push(event.ticket, event.build)
        return self._grant(now)

    def release(self, event: LocalReleased, now: float) -> tuple[list[GrantLocal], tuple[Work, float] | None]:
        """A ticket comes back; return who is next, and what was done in which time if it was a job."""
        self._coming.pop(event.ticket, None)
        stay = self._stays.pop(event.ticket, None)
        if event.ticket in self.held:
            self.held.remove(event.ticket)
        elif event.ticket in self._urgent:
            self._urgent.remove(event.ticket)
        else:
            self._waiting.remove(event.ticket)
        return self._grant(now), (stay.work, now - stay.begun) if stay is not None else None

    def _grant(self, now: float) -> list[GrantLocal]:
        granted = []
        while len(self.held) < self.slots and (self._urgent or self._waiting):
            if self._urgent:
                ticket = self._urgent.popleft()
            else:
                ticket = self._waiting.next()
                self._waiting.serve(ticket)
            self.held.add(ticket)
            if (coming := self._coming.pop(ticket, None)) is not None:
                self._stays[ticket] = _Stay(job=coming[0], work=coming[1], begun=now)
            granted.append(GrantLocal(ticket=ticket))
        return granted

    def check(self) -> None:
        """Raise ``AssertionError`` when an invariant is broken."""
        assert len(self.held) <= self.slots
        assert self._stays.keys() <= self.held
        assert not self.held & {*self._urgent, *self._waiting}
        assert not self.waiting or len(self.held) == self.slots, "a slot is idle while somebody waits"

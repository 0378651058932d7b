"""Admission: which jobs run, which wait, which are sent away.  Pure.

A job passes three gates: *admitted* (there is room in the short queue), *ready* (its text is here), *running* (it has a
slot).  Waiting for its text costs no slot.  Ready jobs of several clients take turns, so none can fill the machine by
being first.

Must not know: what a job is, sockets, processes, time.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

QUEUE_PER_SLOT: Final = 2
"""Jobs that may wait for each slot: enough to hide the network, too few to hold what another worker could do now."""
QUEUE_LEAST: Final = 4

Client = Hashable
JobKey = Hashable


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How busy the worker is; ``queued`` jobs are admitted and not running."""

    slots: int
    running: int
    queued: int


class Admission:
    """The slots of one worker and who waits for them."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.draining = False
        self._clients: dict[JobKey, Client] = {}
        self._running: set[JobKey] = set()
        self._ready: OrderedDict[Client, deque[JobKey]] = OrderedDict()

    @property
    def queue_limit(self) -> int:
        """How many jobs may be admitted beyond those that run."""
        return max(QUEUE_LEAST, self.slots * QUEUE_PER_SLOT)

    @property
    def counts(self) -> Counts:
        """How busy the worker is now."""
        return Counts(slots=self.slots, running=len(self._running), queued=len(self._clients) - len(self._running))

    def admit(self, job: JobKey, client: Client) -> bool:
        """Return whether ``job`` may stay; if so it is :meth:`leave` that ends it."""
        if self.draining or len(self._clients) >= self.slots + self.queue_limit:
            return False
        self._clients[job] = client
        return True

    def ready(self, job: JobKey) -> list[JobKey]:
        """``job`` has all it needs; return the jobs that start now."""
        self._ready.setdefault(self._clients[job], deque()).append(job)
        return self._start()

    def leave(self, job: JobKey) -> list[JobKey]:
        """``job`` is over, at whichever gate; return the jobs that start now."""
        client = self._clients.pop(job, None)
        self._running.discard(job)
        waiting = self._ready.get(client)
        if waiting is not None and job in waiting:
            waiting.remove(job)
            if not waiting:
                del self._ready[client]
        return self._start()

    def _start(self) -> list[JobKey]:
        started: list[JobKey] = []
        while self._ready and len(self._running) < self.slots:
            client, waiting = self._ready.popitem(last=False)
            job = waiting.popleft()
            if waiting:
                self._ready[client] = waiting
            self._running.add(job)
            started.append(job)
        return started

    def check(self) -> None:
        """Raise ``AssertionError`` when an invariant is broken."""
        ready = [job for waiting in self._ready.values() for job in waiting]
        assert len(self._running) <= self.slots
        assert all(self._ready.values())
        assert len(set(ready)) == len(ready) and not self._running & set(ready)
        assert {*self._running, *ready} <= self._clients.keys()
        assert not ready or len(self._running) == self.slots, "a slot is idle while a job is ready"

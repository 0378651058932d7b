"""Admission: which jobs run, which wait, which are sent away.  Pure.

A job passes three gates: *admitted* (there is room in its client's share of the short queue), *ready* (its text is
here), *running* (it has a slot).  Waiting for its text costs no slot.

A client is an agent, over however many connections.  A slot that is free goes to the client that has the fewest jobs
running; who has had more time on slots than the client that has had least is treated as if one job more of it ran (in
proportion, up to a whole one when it is ahead by an average job).  So clients that want more than there is hold equal
numbers of slots at every moment, and the odd slot evens out what they got, in slot seconds, however long their jobs
are.  A newcomer begins with as much as the client that has had least, and what a client did not ask for in time it
cannot claim later (``CREDIT_S``): nobody saves up for a monopoly, nobody pays for having used an idle machine.

A job that ran short of memory beside others may be run once more with nothing beside it: the others end first, and
none starts before it has ended.

Must not know: what a job is, sockets, processes.  Time is an argument, in seconds.
Rejected: turns by count (a client with long jobs gets nearly everything), charging at the end of a job only (slots
fill before the bill comes), equal times alone (whole machines change hands at each long job).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final

QUEUE_PER_SLOT: Final = 2
"""Jobs that may wait for each slot: enough to hide the network, too few to hold what another worker could do now."""
QUEUE_LEAST: Final = 4
CREDIT_S: Final = 10.0
"""Slot seconds by which a client can lag behind: some long jobs, no afternoon."""
FIRST_JOB_S: Final = 1.0
SHORTEST_JOB_S: Final = 0.01
GAIN: Final = 0.1
MAX_ACCOUNTS: Final = 1024
"""Absent clients whose accounts are kept: a laboratory."""

Client = Hashable
JobKey = Hashable


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How busy the worker is; ``queued`` jobs are admitted and not running."""

    slots: int
    running: int
    queued: int


@dataclass(slots=True)
class _Account:
    """One client: its jobs, and the slot seconds it has had."""

    jobs: int = 0
    ready: deque[JobKey] = field(default_factory=deque)
    running: int = 0
    begun: float = 0.0
    """The sum of the times at which the running jobs began."""
    served: float = 0.0
    turn: int = 0

    def total(self, now: float) -> float:
        return self.served + self.running * now - self.begun


class Admission:
    """The slots of one worker and who waits for them."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.draining = False
        self._clients: dict[JobKey, Client] = {}
        self._accounts: dict[Client, _Account] = {}
        self._running: dict[JobKey, float] = {}
        self._accompanied: set[JobKey] = set()
        self._hermit: JobKey | None = None
        self._floor = 0.0
        self._mean_s = FIRST_JOB_S
        self._turns = 0

    @property
    def queue_limit(self) -> int:
        """How many jobs a client that is alone may have admitted beyond those that run."""
        return max(QUEUE_LEAST, self.slots * QUEUE_PER_SLOT)

    @property
    def counts(self) -> Counts:
        """How busy the worker is now."""
        return Counts(slots=self.slots, running=len(self._running), queued=len(self._clients) - len(self._running))

    @property
    def clients(self) -> set[Client]:
        """Who has jobs here, at whichever gate."""
        return set(self._clients.values())

    def room(self, client: Client) -> int:
        """Return how many jobs ``client`` may have here: its share, whatever others have filled."""
        if not self.slots:
            return 0
        others = sum(account.jobs > 0 for key, account in self._accounts.items() if key != client)
        return -(-self.slots // (1 + others)) + max(QUEUE_LEAST, -(-self.queue_limit // (1 + others)))

    def admit(self, job: JobKey, client: Client) -> bool:
        """Return whether ``job`` may stay; if so it is :meth:`leave` that ends it."""
        account = self._accounts.get(client)
        if self.draining or (account.jobs if account else 0) >= self.room(client):
            return False
        if account is None:
            self._forget_some()
            account = self._accounts[client] = _Account()
        if account.jobs == 0:
            account.served = max(account.served, self._floor)
        account.jobs += 1
        self._clients[job] = client
        return True

    def ready(self, job: JobKey, now: float) -> list[JobKey]:
        """``job`` has all it needs; return the jobs that start now."""
        self._accounts[self._clients[job]].ready.append(job)
        return self._start(now)

    def leave(self, job: JobKey, now: float) -> list[JobKey]:
        """``job`` is over, at whichever gate; return the jobs that start now."""
        if job not in self._clients:
            return []
        self._raise_floor(now)
        account = self._accounts[self._clients.pop(job)]
        account.jobs -= 1
        if job in self._running:
            self._stop(job, account, now)
        elif job in account.ready:
            account.ready.remove(job)
        if self._hermit == job:
            self._hermit = None
        self._accompanied.discard(job)
        return self._start(now)

    def resize(self, slots: int, now: float) -> list[JobKey]:
        """There are ``slots`` from now on; running jobs go on.  Return the jobs that start now."""
        self.slots = slots
        return self._start(now)

    def alone(self, job: JobKey, now: float) -> list[JobKey]:
        """``job``, which :meth:`may_be_alone`, gives its slot back and is to run again with no other beside it.

        Return the jobs that start now.
        """
        self._stop(job, self._accounts[self._clients[job]], now)
        self._hermit = job
        return self._start(now)

    def waiting(self) -> list[JobKey]:
        """Return the jobs that wait for nothing but a slot."""
        waiting = [job for account in self._accounts.values() for job in account.ready]
        if self._hermit is not None and self._hermit not in self._running:
            waiting.append(self._hermit)
        return waiting

    def may_be_alone(self, job: JobKey) -> bool:
        """Return whether running ``job`` alone would be something new, and no other job waits for the same."""
        return job in self._running and job in self._accompanied and self._hermit is None

    # --- whose turn it is -----------------------------------------------------------------------

    def _start(self, now: float) -> list[JobKey]:
        if self._hermit is not None:
            if self._running or not self.slots:
                return []
            self._run(self._hermit, self._accounts[self._clients[self._hermit]], now)
            return [self._hermit]
        started: list[JobKey] = []
        while len(self._running) < self.slots and (account := self._next(now)) is not None:
            job = account.ready.popleft()
            self._run(job, account, now)
            started.append(job)
        return started

    def _next(self, now: float) -> _Account | None:
        """Return the account of the client whose turn it is."""
        self._raise_floor(now)
        totals = [(account, account.total(now)) for account in self._active()]
        if not totals:
            return None
        least = min(total for _, total in totals)
        scale = max(SHORTEST_JOB_S, self._mean_s)
        rows = [
            (account.running + min(0.999, (total - least) / scale), total, account.turn, number)
            for number, (account, total) in enumerate(totals)
            if account.ready
        ]
        return totals[min(rows)[3]][0] if rows else None

    def _run(self, job: JobKey, account: _Account, now: float) -> None:
        if self._running:
            self._accompanied |= {job, *self._running}
        self._running[job] = now
        account.running += 1
        account.begun += now
        self._turns += 1
        account.turn = self._turns

    def _stop(self, job: JobKey, account: _Account, now: float) -> None:
        begun = self._running.pop(job)
        account.running -= 1
        account.begun = account.begun - begun if account.running else 0.0
        account.served += now - begun
        self._mean_s += GAIN * (now - begun - self._mean_s)

    def _active(self) -> Iterator[_Account]:
        return (account for account in self._accounts.values() if account.running or account.ready)

    def _raise_floor(self, now: float) -> None:
        """What a newcomer begins with never falls; nobody lags behind by more than the credit."""
        active = list(self._active())
        if active:
            top = max(account.total(now) for account in active)
            for account in active:
                account.served += max(0.0, top - CREDIT_S - account.total(now))
            self._floor = max(self._floor, min(account.total(now) for account in active))

    def _forget_some(self) -> None:
        """Drop accounts of the absent that say no more than a newcomer's would, and all of them if they are many."""
        many = len(self._accounts) >= MAX_ACCOUNTS
        for client in [key for key, it in self._accounts.items() if not it.jobs and (many or it.served <= self._floor)]:
            del self._accounts[client]

    def check(self) -> None:
        """Raise ``AssertionError`` when an invariant is broken."""
        ready = [job for account in self._accounts.values() for job in account.ready]
        assert len(set(ready)) == len(ready) and not self._running.keys() & set(ready)
        assert {*self._running, *ready} <= self._clients.keys()
        assert sum(account.running for account in self._accounts.values()) == len(self._running)
        assert sum(account.jobs for account in self._accounts.values()) == len(self._clients)
        assert self._accompanied <= self._clients.keys()
        if self._hermit is not None:
            assert self._hermit in self._clients and self._hermit not in ready
            assert self._hermit not in self._running or len(self._running) == 1, "what is to run alone does not"
            assert self._running or not self.slots, "a job waits to run alone, and nothing runs"
        else:
            assert not ready or len(self._running) >= self.slots, "a slot is idle while a job is ready"

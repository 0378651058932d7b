"""Events: the facts that the scheduler is told, in the order in which they became known.

Must not know: what the scheduler makes of them.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NewType

from zdistcc.toolchain.identity import CompilerId, Match, Offer

WorkerId = NewType("WorkerId", str)
JobId = NewType("JobId", int)
Ticket = NewType("Ticket", int)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a job asks of a worker: a compiler, how alike it must be, and the language it has to read.

    ``plain``: any server that compiles preprocessed text will do, a stock distccd as well.
    """

    compiler: CompilerId
    level: Match
    language: str
    plain: bool = False

    def __hash__(self) -> int:
        """Of what tells needs apart, mostly: the hash of every field takes ten times as long, and the path is hot."""
        return hash((self.compiler.build_id, self.language))


class Blame(enum.Enum):
    """Whose fault a broken lease is; only a worker's own faults count against it."""

    WORKER = "worker"  # the network or the machine: back off
    BUSY = "busy"  # nobody's: try again shortly, anywhere
    JOB = "job"  # this worker cannot do this job (another may)
    FINAL = "final"  # no worker can do this job: run it locally


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJoined:
    """A worker greeted us: it is connected and offers these compilers.

    ``started`` tells one start of its program from another, as far as it says.
    """

    worker: WorkerId
    name: str
    slots: int
    offers: tuple[Offer, ...]
    started: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerChanged:
    """A worker's load, slots, compilers or willingness changed; ``None`` leaves a value as it was.

    The later fields are as in ``snapshot.WorkerView``.
    """

    worker: WorkerId
    slots: int | None = None
    running: int | None = None
    queued: int | None = None
    draining: bool | None = None
    offers: tuple[Offer, ...] | None = None
    round_trip_s: float | None = None
    configured: int | None = None
    limited: str | None = None
    others_load: float | None = None
    memory_free: int | None = None
    memory_total: int | None = None
    efficiency: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLost:
    """The connection to a worker ended; ``fault`` when it was not meant to."""

    worker: WorkerId
    fault: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerQuarantined:
    """A worker returned something wrong, ``reason`` says what: nothing it says is believed for now."""

    worker: WorkerId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerAnnounced:
    """A worker's announcement was heard (again): what was held against it is forgotten."""

    worker: WorkerId


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryPending:
    """Workers may still be about to join: jobs that find none wait until ``until`` (a time, seconds)."""

    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQueued:
    """A job wants a worker.

    What helps to foresee how long it takes, as far as it is known: ``input_bytes`` it reads, ``key`` by which the
    same job is recognised in a later build, ``transfer_bytes`` that a worker needs which is not one of ``holders``.
    ``home`` is the worker that was sent its sources last.  Jobs of different ``build`` take turns.
    """

    job: JobId
    need: Need
    input_bytes: int = 0
    key: Hashable | None = None
    transfer_bytes: int = 0
    holders: frozenset[WorkerId] = frozenset()
    home: WorkerId | None = None
    build: Hashable = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDone:
    """A leased worker has given an answer; all leases of the job end.

    ``worker`` says which, where there are two; ``wall_s`` and ``cpu_s`` are the compiler's, ``queue_s`` the time
    before it on the worker, as the worker measured them.
    """

    job: JobId
    worker: WorkerId | None = None
    wall_s: float | None = None
    cpu_s: float | None = None
    queue_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseBroken:
    """A leased worker did not do the job; ``worker`` says which, where there are two."""

    job: JobId
    blame: Blame
    worker: WorkerId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAbandoned:
    """Nobody waits for this job any more (its launcher is gone)."""

    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalQueued:
    """Somebody wants to run something on this machine; ``urgent`` work feeds the workers and goes first.

    ``job``: it is this one, which was to run locally.  What is not urgent takes turns by ``build``.
    """

    ticket: Ticket
    urgent: bool
    job: JobId | None = None
    build: Hashable = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalReleased:
    """A ticket is given back, used or not."""

    ticket: Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePassed:
    """The deadline that the scheduler asked for has come."""


Event = (
    WorkerJoined
    | WorkerChanged
    | WorkerLost
    | WorkerQuarantined
    | WorkerAnnounced
    | DiscoveryPending
    | JobQueued
    | JobDone
    | LeaseBroken
    | JobAbandoned
    | LocalQueued
    | LocalReleased
    | TimePassed
)

"""What others see of the scheduler: frozen, without secrets; ``hosts``, ``status`` and tests read it."""

from __future__ import annotations

from dataclasses import dataclass

from zdistcc.schedule.events import JobId, WorkerId
from zdistcc.toolchain.identity import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """What the agent believes about a connected worker.

    ``leases`` are this agent's jobs there; ``running`` and ``queued`` everybody's, as the worker last said.
    ``slots`` is what it offers now; ``configured`` what it offers when nobody else uses its machine, ``limited`` why
    that is more, in words.  ``others_load`` is in cores, memory in bytes; ``efficiency`` is the part of a processor
    that a job has got on its slot lately.
    """

    worker: WorkerId
    name: str
    slots: int
    offers: tuple[Offer, ...]
    leases: frozenset[JobId] = frozenset()
    running: int = 0
    queued: int = 0
    draining: bool = False
    paused_until: float = 0.0
    started: str = ""
    quarantined: str = ""
    """Why nothing from there is believed any more; empty while it is."""
    round_trip_s: float | None = None
    speed: float | None = None
    """Work per second of one slot, as results showed; 1 is the machine whose results came first."""
    configured: int | None = None
    limited: str = ""
    others_load: float | None = None
    memory_free: int | None = None
    memory_total: int | None = None
    efficiency: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The scheduler's state at one moment."""

    workers: tuple[WorkerView, ...]
    jobs_waiting: int
    jobs_leased: int
    local_slots: int
    local_running: int
    local_waiting: int
    duplicates: int = 0
    duplicates_won: int = 0
    recalled: int = 0
    wasted_s: float = 0.0

"""What is known of one worker, and what its messages mean to the scheduler.

Must not know: how workers are found and kept (roster.py).
"""

from __future__ import annotations

import asyncio
import enum
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from zdistcc.agent.reach import Reached
from zdistcc.agent.remote import Remote
from zdistcc.discovery.advert import WorkerAd, printable
from zdistcc.net.race import Address
from zdistcc.net.ssh import SshHost
from zdistcc.schedule.events import WorkerChanged, WorkerId
from zdistcc.toolchain.identity import CompilerId, Family, Offer
from zdistcc.wire.messages import CompilerInfo, Greeting, Load

MAX_SLOTS: Final = 1024
"""More than any machine has; a worker that claims more would be given every job there is."""
MAX_MEMORY_BYTES: Final = 1 << 50


class Way(enum.Enum):
    """How a worker came to be known."""

    ANNOUNCED = "announced"
    PEER = "peer"
    TOLD = "told"
    REMEMBERED = "remembered"


@dataclass(slots=True)
class Entry:
    """One worker (or, until it has greeted, one address that should lead to one)."""

    id: WorkerId | None
    name: str
    addresses: set[Address]
    ways: set[Way]
    ad: WorkerAd | None = None
    remote: Remote | None = None
    greeting: Greeting | None = None
    address: Address | None = None
    ssh: SshHost | None = None
    """How to get there, if it was named for ssh."""
    reached: Reached | None = None
    clock_skew_s: float | None = None
    trouble: str = ""
    lost_at: float | None = None
    tried_at: float = 0.0
    left: bool = False
    """It said goodbye: once its connection is gone it is not missed."""
    bytes_before: tuple[int, int] = (0, 0)
    task: asyncio.Task[None] | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    limit: int = MAX_SLOTS
    """The most slots that are used there; a host list may say less."""
    sought: asyncio.Future[bool] | None = None
    """Whether there is a worker at all, where only an address in a host list says so."""

    @property
    def connected(self) -> bool:
        """Whether jobs can be sent there."""
        return self.greeting is not None and self.remote is not None

    @property
    def bytes(self) -> tuple[int, int]:
        """Bytes sent and received, over all connections so far."""
        sent, received = self.bytes_before
        if self.remote is not None:
            sent, received = sent + self.remote.link.bytes_sent, received + self.remote.link.bytes_received
        return sent, received


def offer_of(info: CompilerInfo) -> Offer | None:
    """Return what a worker says of a compiler; ``None`` for a family this version does not know.

    Versions and targets are shown to people, so they lose what acts on a terminal.
    """
    try:
        family = Family(info.family)
    except ValueError:
        return None
    compiler = CompilerId(
        family=family, version=printable(info.version), target=printable(info.target), build_id=info.build_id
    )
    return Offer(id=compiler, languages=frozenset(info.languages), architectures=frozenset(info.targets))


def change_of(worker: WorkerId, load: Load, round_trip_s: float | None, slots_limit: int = MAX_SLOTS) -> WorkerChanged:
    """Return the news in ``load``; whatever a worker claims stays within what a machine can have.

    One without slots takes no new jobs, as one that drains.
    """

    def most(number: int | None, limit: int) -> int | None:
        return None if number is None else min(number, limit)

    return WorkerChanged(
        worker=worker,
        slots=min(load.slots, slots_limit),
        running=load.running,
        queued=load.queued,
        draining=load.draining or load.slots == 0,
        round_trip_s=round_trip_s,
        configured=most(load.configured, MAX_SLOTS),
        limited=None if load.limited is None else printable(load.limited),
        others_load=None if load.others_load is None else min(load.others_load, 100 * MAX_SLOTS) / 100,
        memory_free=most(load.memory_free, MAX_MEMORY_BYTES),
        memory_total=most(load.memory_total, MAX_MEMORY_BYTES),
        efficiency=None if load.efficiency is None else min(load.efficiency, 100 * MAX_SLOTS) / 100,
    )


def offers_of(infos: Iterable[CompilerInfo]) -> tuple[Offer, ...]:
    """Return the offers that this version understands."""
    return tuple(offer for info in infos if (offer := offer_of(info)) is not None)


def settle(entry: Entry, found: bool) -> None:
    """Whoever seeks ``entry`` has an answer."""
    if entry.sought is not None and not entry.sought.done():
        entry.sought.set_result(found)


def is_numeric(host: str) -> bool:
    """Return whether ``host`` is an address that means the same on every machine."""
    try:
        return (
            ipaddress.ip_address(host) is not None and "%" not in host
        )  # a scope of another machine says nothing here
    except ValueError:
        return False

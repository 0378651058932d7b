"""A stock ``distccd``, as far as one job needs it: what is said to it, how many at once, how long is waited.

Each job is a connection of its own.  Its text goes unpacked (distcc's version 1) over a network that is fast, which
costs a tenth of packing it with LZO (version 2); that is used where the host list says ``lzo``, and over slow links.

A stock daemon runs whatever its PATH has under the name it is told, today this and tomorrow that.  So besides the trial
(stock_trial.py) each object has to bear the mark of the compiler that passed it.

Must not know: how hosts are found, when they are believed.  Rejected: version 3 ("pump").  The daemon compiles in a
directory of its own, whose name gets into objects (``__FILE__`` of a header found by an absolute path, assertions) and
is taken out of debug information only; text has no such trouble.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

from zdistcc.agent.remote import Answer, tame
from zdistcc.errors import InfraError
from zdistcc.net.distcc import Reply, converse
from zdistcc.net.race import Address
from zdistcc.wire import lzo, messages
from zdistcc.wire.distcc import DistccClient
from zdistcc.wire.distcc_events import Version

SLOW_LINK_S: Final = 0.005
"""A connection that takes as long to be made is no cable: text is packed."""
LEAST_PATIENCE_S: Final = 15.0
PATIENCE_FACTOR: Final = 20.0
"""How many times as long as such a text takes there on average a job may take, and at least so long."""
MOST_MESSAGES: Final = 1 << 20
_DAEMONS_OWN: Final = range(100, 121)
"""Exit codes by which distcc's programs tell of trouble of their own; no compiler has them."""
_MARK: Final = re.compile(rb"(?:GCC: \([^)]{0,200}\)|[ -~]{0,60}clang version) [ -~]{1,200}(?=\0|$)")


class Unlike(InfraError):
    """The host's compiler is not (any more) the one that passed the trial."""


class HostTrouble(InfraError):
    """The daemon could not run a compiler."""


def mark_of(made: bytes) -> bytes:
    """Return what a compiler wrote of itself into an object; empty where it wrote nothing."""
    found = _MARK.search(made)
    return found[0] if found else b""


@dataclass(slots=True)
class StockRemote:
    """The way to one host.  ``limit`` connections are open at once at most; ``seconds_per_byte`` is learnt."""

    addresses: set[Address]
    limit: int
    packs: bool = False
    longest_s: float = 300.0
    seconds_per_byte: float = 0.0
    slow: bool = False
    bytes_sent: int = 0
    bytes_received: int = 0
    address: Address | None = None
    connect_s: float | None = None
    running: int = 0
    through: Callable[[], AbstractAsyncContextManager[socket.socket]] | None = None
    """Lends a socket to it, where ssh leads there."""
    _room: asyncio.Condition = field(default_factory=asyncio.Condition)

    def patience_s(self, size: int) -> float:
        """Return how long to wait for the compile of a text of ``size`` bytes."""
        expected = self.seconds_per_byte * max(size, 100_000)
        return min(self.longest_s, max(LEAST_PATIENCE_S, PATIENCE_FACTOR * expected))

    async def compile(
        self,
        words: tuple[bytes, ...],
        text: bytes,
        suffix: bytes,
        stage: bytes = b"-c",
        patience_s: float | None = None,
    ) -> Reply:
        """Have ``text`` compiled by ``words``, the first of which names the compiler; raises as ``converse``.

        Waits while ``limit`` others are under way.
        """
        async with self._room:
            await self._room.wait_for(lambda: self.running < self.limit)
            self.running += 1
        try:
            patience_s = patience_s or self.patience_s(len(text))

            def ask(core: DistccClient, connect_s: float) -> None:
                packed = (self.packs or connect_s > SLOW_LINK_S) and lzo.available()
                version = Version.LZO if packed else Version.PLAIN
                core.request(version, (*words, stage, b"x" + suffix, b"-o", b"x.o"), source=text)

            reply = await converse(self.addresses, ask, patience_s, self.through)
        finally:
            async with self._room:
                self.running -= 1
                self._room.notify()
        self._learn(reply, len(text))
        return reply

    def _learn(self, reply: Reply, size: int) -> None:
        self.bytes_sent += reply.sent
        self.bytes_received += reply.received
        self.address, self.connect_s = reply.address, reply.connect_s
        rate = reply.seconds / max(size, 100_000)
        self.seconds_per_byte += (rate - self.seconds_per_byte) * (0.1 if self.seconds_per_byte else 1)


def answer_of(reply: Reply, mark: bytes) -> Answer:
    """Return ``reply`` as a worker's answer; ``mark`` is that of the compiler on trial.

    Raises :class:`HostTrouble` for what no compiler says, :class:`Unlike` for what that compiler would not have made.
    """
    if os.WIFSIGNALED(reply.status):
        raise HostTrouble(f"its compiler was killed by signal {os.WTERMSIG(reply.status)}")
    code = os.waitstatus_to_exitcode(reply.status)
    if code in _DAEMONS_OWN:
        raise HostTrouble(f"the daemon failed with its exit code {code}")
    made = reply.object
    if not code and not made:
        raise HostTrouble("it returned no object")
    there = mark_of(made) if mark not in made else b""
    if there:
        raise Unlike(f"its compiler is another one now: {messages.sentence(there.decode('ascii', 'replace'))}")
    wall_ms = round(1000 * reply.seconds)
    outputs = (
        () if code else (messages.Output(kind="object", body=messages.Body(raw=len(made), packed=reply.received)),)
    )
    result = messages.Result(
        status=reply.status,
        stdout=tame(reply.stdout[:MOST_MESSAGES]),
        stderr=tame(reply.stderr[:MOST_MESSAGES]),
        outputs=outputs,
        wall_ms=wall_ms,
    )
    return Answer(result=result, outputs=() if code else (made,), shipped=reply.sent)

"""Asks a worker how it is, as a client would: greets it, hears its greeting and its load, leaves."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass
from typing import Final

from zdistcc import __version__
from zdistcc.discovery.advert import printable
from zdistcc.doctor.workers import Knock, Reach
from zdistcc.errors import InfraError
from zdistcc.wire.connection import Connection, Role, Said
from zdistcc.wire.messages import Denied, Greeting, Hello, Load

TIMEOUT_S: Final = 3.0
KNOCK_TIMEOUT_S: Final = 1.5


class Denies(InfraError):
    """The worker does not serve this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a worker says of itself."""

    id: str
    name: str
    version: str
    slots: int
    running: int
    queued: int
    draining: bool
    compilers: tuple[str, ...]


def ask_worker(port: int, host: str = "localhost") -> Seen:
    """Return how the worker at ``host`` is; :class:`InfraError` when there is none, or it says nothing in time."""
    deadline = time.monotonic() + TIMEOUT_S
    connection = Connection(Role.AGENT)
    connection.send(Hello(version=__version__, name=socket.gethostname(), agent=""))
    greeting: Greeting | None = None
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_S) as sock:
            sock.sendall(connection.data_to_send())
            while True:
                sock.settimeout(max(0.01, deadline - time.monotonic()))
                data = sock.recv(1 << 16)
                if not data:
                    raise InfraError("it closed the connection")
                connection.receive_data(data)
                for event in connection.events():
                    match event:
                        case Said(message=Greeting() as greeting):
                            pass
                        case Said(message=Load() as load) if greeting is not None:
                            return _seen(greeting, load)
                        case Said(message=Denied() as denied):
                            raise Denies(printable(f"{denied.sentence}; {denied.remedy}", 400))
    except OSError as error:
        raise InfraError(error.strerror or str(error)) from error


def _seen(greeting: Greeting, load: Load) -> Seen:
    return Seen(
        id=greeting.id,
        name=printable(greeting.name),
        version=printable(greeting.version),
        slots=load.slots,
        running=load.running,
        queued=load.queued,
        draining=load.draining,
        compilers=tuple(
            sorted({printable(f"{info.family} {info.version} ({info.target})", 200) for info in greeting.compilers})
        ),
    )


async def knock(address: str, port: int, timeout_s: float = KNOCK_TIMEOUT_S) -> Reach:
    """Return how ``address`` answers a connection."""
    begun = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        return Reach(address=address, knock=Knock.SILENT)
    except ConnectionRefusedError:
        return Reach(address=address, knock=Knock.REFUSED)
    except OSError:
        return Reach(address=address, knock=Knock.NO_WAY)
    took = (time.monotonic() - begun) * 1000
    writer.transport.abort()
    return Reach(address=address, knock=Knock.OPEN, ms=took)

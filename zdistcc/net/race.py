"""Finds the address of a worker that answers: all are tried, a little apart; the first whole connection is kept.

A machine has IPv4, IPv6, link-local, Wi-Fi and cable addresses, some of which lead nowhere from here.  The
stagger is that of RFC 8305 (Happy Eyeballs), shortened for a LAN.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from zdistcc.errors import InfraError

STAGGER_S: Final = 0.05
MAX_ADDRESSES: Final = 16
"""What a machine has; an announcement may hold hundreds, and each costs a socket and 50 ms."""
CONNECT_TIMEOUT_S: Final = 2.0
"""A LAN answers in milliseconds; a sleeping laptop never does."""

P = TypeVar("P", bound=asyncio.BaseProtocol)


class Unreachable(InfraError):
    """No address of the host answered."""


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A numeric address (IPv6 link-local with its scope, as ``fe80::1%eth0``) or a name, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, default_port: int) -> Address:
    """Return the address in ``host[:port]`` or ``[v6][:port]``; :class:`ValueError` says what is wrong with it."""
    host, port = text.strip(), ""
    if host.startswith("["):
        host, bracket, rest = host[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r}: an IPv6 address is written [address]:port")
        port = rest[1:]
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    if not host or any(character.isspace() for character in host):
        raise ValueError(f"{text!r} names no host; write host or host:port")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r}: the port must be a number from 1 to 65535")
    return Address(host, int(port) if port else default_port)


def preference(address: Address) -> tuple[int, str]:
    """Sort key: routable IPv4 and IPv6 first, link-local next (a scope may be stale), loopback first of all."""
    try:
        ip = ipaddress.ip_address(address.host.partition("%")[0])
    except ValueError:
        return 1, address.host
    return (0 if ip.is_loopback else 2 if ip.is_link_local else 1), address.host


async def connect(
    make: Callable[[], P], addresses: Sequence[Address], timeout_s: float = CONNECT_TIMEOUT_S
) -> tuple[P, Address]:
    """Return the first connection that is made and its address; :class:`Unreachable` with every cause if none is.

    ``timeout_s`` is for each address.
    """
    loop = asyncio.get_running_loop()
    causes: dict[Address, str] = {}

    async def attempt(address: Address, delay: float) -> tuple[socket.socket, Address] | None:
        await asyncio.sleep(delay)
        try:
            return await _open(loop, address, timeout_s), address
        except (OSError, ValueError, OverflowError) as error:  # timeouts, and what an announcement may hold
            causes[address] = getattr(error, "strerror", None) or str(error) or "no answer"
            return None

    ordered = sorted(set(addresses), key=preference)[:MAX_ADDRESSES]
    tasks = [asyncio.ensure_future(attempt(address, place * STAGGER_S)) for place, address in enumerate(ordered)]
    winner: tuple[socket.socket, Address] | None = None
    try:
        for finished in asyncio.as_completed(tasks):
            winner = await finished
            if winner is not None:
                break
    finally:
        for task in tasks:
            task.cancel()
        for late in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(late, tuple) and late is not winner and (winner is None or late[0] is not winner[0]):
                late[0].close()
    if winner is None:
        raise Unreachable("; ".join(f"{address}: {cause}" for address, cause in causes.items()) or "no address")
    _, protocol = await loop.create_connection(make, sock=winner[0])
    return protocol, winner[1]


async def _open(loop: asyncio.AbstractEventLoop, address: Address, timeout_s: float) -> socket.socket:
    """A name may have several addresses, of which IPv6's often come first and lead nowhere: they share the time."""
    # Not loop.getaddrinfo and loop.sock_connect: uvloop's lose the scope of a link-local address.
    async with asyncio.timeout(timeout_s):
        infos = await asyncio.to_thread(socket.getaddrinfo, address.host, address.port, type=socket.SOCK_STREAM)
    trouble: Exception = OSError("no address")
    for family, kind, protocol, _, target in infos[:MAX_ADDRESSES]:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            async with asyncio.timeout(timeout_s / len(infos)):
                await _connected(loop, sock, target)
        except OSError as error:  # timeouts among them
            sock.close()
            trouble = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise trouble


async def _connected(loop: asyncio.AbstractEventLoop, sock: socket.socket, target: Any) -> None:
    try:
        sock.connect(target)
    except BlockingIOError:
        writable = asyncio.Event()
        loop.add_writer(sock, writable.set)
        try:
            await writable.wait()
        finally:
            loop.remove_writer(sock)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error)) from None

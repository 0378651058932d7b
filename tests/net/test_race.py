"""Finding the address that answers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.aio import run
from zdistcc.net import race
from zdistcc.net.race import Address, Unreachable, connect, parse_address, preference


@asynccontextmanager
async def server(host: str = "127.0.0.1") -> AsyncIterator[int]:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listening = await asyncio.start_server(take, host, 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


@asynccontextmanager
async def server_at(host: str) -> AsyncIterator[int]:
    """As server(), without a look at names."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.bind((host, 0))
    listening = await asyncio.start_server(lambda reader, writer: writer.close(), sock=sock)
    async with listening:
        yield sock.getsockname()[1]


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def reach(*addresses: Address) -> Address:
    protocol, address = await connect(asyncio.Protocol, addresses)
    del protocol
    return address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("box", "box", 1),
        ("box:99", "box", 99),
        (" 192.0.2.1:65535 ", "192.0.2.1", 65535),
        ("::1", "::1", 1),
        ("fe80::1%2", "fe80::1%2", 1),
        ("[fe80::1%eth0]:7", "fe80::1%eth0", 7),
        ("[::1]", "::1", 1),
    ],
)
def test_the_grammar_of_addresses(text: str, host: str, port: int) -> None:
    assert parse_address(text, 1) == Address(host, port)


@pytest.mark.parametrize(
    "text", ["", ":", ":80", "box:0", "box:65536", "box:x", "[::1", "[::1]80", "a b", "box:²", "[]"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError):
        parse_address(text, 1)


def test_order() -> None:
    hosts = ["fe80::1%2", "169.254.1.1", "192.0.2.1", "box", "2001:db8::1", "::1", "127.0.0.1"]
    ordered = [address.host for address in sorted((Address(host, 1) for host in hosts), key=preference)]
    assert set(ordered[:2]) == {"::1", "127.0.0.1"} and set(ordered[-2:]) == {"fe80::1%2", "169.254.1.1"}


def test_the_one_that_answers_wins() -> None:
    async def main() -> None:
        async with server() as port:
            dead = Address("127.0.0.1", closed_port())
            assert await reach(dead, Address("127.0.0.1", port)) == Address("127.0.0.1", port)

    run(main())


def test_ipv6_with_a_scope_in_numbers() -> None:
    async def main() -> None:
        async with server("::1") as port:
            number = socket.if_nametoindex("lo")
            for host in ("::1", f"::1%{number}"):
                assert (await reach(Address(host, port))).host == host

    run(main())


def test_a_name_with_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPv6 often comes first, and the worker may be reached by IPv4 only."""

    def resolve(host: str, port: int, **options: object) -> list[tuple[object, ...]]:
        v6 = (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", port, 0, 0))
        return [v6, (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    async def main() -> None:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        for host in ("127.0.0.1", "::1"):
            async with server_at(host) as port:
                assert await reach(Address("box", port)) == Address("box", port)

    run(main())


@pytest.mark.parametrize(
    "address",
    [
        Address("a\0b", 1),
        Address("127.0.0.1", -1),
        Address("127.0.0.1", 70_000),
        Address("127.0.0.1", 10**30),
        Address("\udcff", 1),
        Address("x" * 300, 1),
        Address("", 1),
        Address("fe80::1%nosuch", 1),
        Address("fe80::1%999999", 1),
    ],
    ids=ascii,
)
def test_hopeless_addresses_are_unreachable_and_harm_no_other(address: Address) -> None:
    async def main() -> None:
        with pytest.raises(Unreachable):
            await reach(address)
        async with server() as port:
            assert (await reach(address, Address("127.0.0.1", port))).port == port

    run(main())


def test_none_at_all() -> None:
    with pytest.raises(Unreachable, match="no address"):
        run(reach())


def test_hundreds_of_addresses_do_not_take_minutes() -> None:
    """Or sockets: an announcement may hold what its sender likes."""
    addresses = [Address(f"127.1.{n // 250}.{n % 250 + 1}", closed_port()) for n in range(500)]
    begun = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        run(reach(*addresses))
    assert time.monotonic() - begun < race.CONNECT_TIMEOUT_S + race.STAGGER_S * race.MAX_ADDRESSES + 1
    assert len(str(caught.value)) < 100 * race.MAX_ADDRESSES


def test_cancelled_it_leaves_no_socket() -> None:
    async def main() -> None:
        async with server() as port:
            for turns in range(6):
                task = asyncio.ensure_future(reach(*(Address("127.0.0.1", port), Address("::1", port))))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    run(main())

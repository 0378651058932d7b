"""Sleep: hears from logind that the machine is about to be suspended, and delays that until the worker has let go.

logind (``org.freedesktop.login1``, see org.freedesktop.login1(5)) sends ``PrepareForSleep(true)`` before and
``PrepareForSleep(false)`` after, and waits a few seconds for those who hold an inhibitor of the kind "delay": a
descriptor that is closed when one is ready.

Needs jeepney (the extra ``desktop``), of which only the part without I/O is used: its asyncio connections cannot
receive descriptors, and do not say when the bus goes away.  Without jeepney, a system bus or logind, nothing is heard,
and the worker finds out that it has slept when it is over (``machine.slept_s``).  Rejected: a D-Bus of our own
(authentication and marshalling for one signal), dbus-fast (compiled, ten times the size).

Must not know: what a worker does before it sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from jeepney import Message

ANSWER_TIMEOUT_S: Final = 5.0
MAX_DESCRIPTORS: Final = 8
_SERVICE: Final = "org.freedesktop.login1"
_PATH: Final = "/org/freedesktop/login1"
_MANAGER: Final = "org.freedesktop.login1.Manager"

Callback = Callable[[], Awaitable[None]]


class Unavailable(Exception):
    """Nobody on this machine tells when it is going to sleep."""


async def mind_sleep(fall_asleep: Callback, wake_up: Callback, *, bus: str = "SYSTEM") -> None:
    """Await ``fall_asleep`` before each sleep, which is delayed meanwhile, and ``wake_up`` after; until cancelled.

    :class:`Unavailable` when that is not to be had (any more); ``bus`` is ``SYSTEM`` or the address of one.
    """
    try:
        from jeepney.bus import get_bus
    except ImportError as error:
        raise Unavailable("jeepney is not installed") from error
    locks: list[int] = []
    try:
        with _Bus(get_bus(bus)) as line:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                manager = await _watch(line)
                locks.append(await _inhibit(line))
            while True:
                if await _next_signal(line, manager):
                    try:
                        await fall_asleep()
                    finally:
                        _let_go(locks)
                else:
                    if not locks:
                        async with asyncio.timeout(ANSWER_TIMEOUT_S):
                            locks.append(await _inhibit(line))
                    await wake_up()
    except (OSError, TimeoutError, ValueError, RuntimeError) as error:
        raise Unavailable(str(error) or type(error).__name__) from error
    finally:
        _let_go(locks)


async def _watch(line: _Bus) -> str:
    """Ask for logind's signals; return the name by which it signs them."""
    from jeepney import MatchRule, message_bus

    await line.hello()
    rule = MatchRule(type="signal", sender=_SERVICE, interface=_MANAGER, member="PrepareForSleep", path=_PATH)
    await line.ask(message_bus.AddMatch(rule))
    return str((await line.ask(message_bus.GetNameOwner(_SERVICE))).body[0])


async def _next_signal(line: _Bus, manager: str) -> bool:
    """Wait for ``PrepareForSleep`` from ``manager``; return whether sleep is to come (or has been)."""
    from jeepney import HeaderFields

    while True:
        message = await line.receive()
        fields = message.header.fields
        wanted = fields.get(HeaderFields.sender), fields.get(HeaderFields.member)
        if wanted == (manager, "PrepareForSleep") and len(message.body) == 1:
            return bool(message.body[0])


async def _inhibit(line: _Bus) -> int:
    """Return a descriptor that delays sleep as long as it is open."""
    from jeepney import DBusAddress, new_method_call

    address = DBusAddress(_PATH, bus_name=_SERVICE, interface=_MANAGER)
    words = ("sleep", "zdistccd", "other machines take their jobs back", "delay")
    answer = await line.ask(new_method_call(address, "Inhibit", "ssss", words))
    return int(answer.body[0].to_raw_fd())


def _let_go(locks: list[int]) -> None:
    while locks:
        os.close(locks.pop())


class _Bus:
    """A connection to a message bus on which descriptors can be received."""

    def __init__(self, address: str) -> None:
        from jeepney import Parser

        self._address = address
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.setblocking(False)
        self._parser = Parser()
        self._kept: deque[Message] = deque()
        self._serial = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    async def hello(self) -> None:
        """Connect, say who we are, and get a name."""
        from jeepney import message_bus
        from jeepney.auth import BEGIN, Authenticator

        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, self._address)
        authenticator = Authenticator(enable_fds=True)
        for said in authenticator:
            await loop.sock_sendall(self._socket, said)
            answer = await loop.sock_recv(self._socket, 1024)
            if not answer:
                raise ConnectionResetError("the message bus has closed the connection")
            authenticator.feed(answer)
        await loop.sock_sendall(self._socket, BEGIN)
        await self.ask(message_bus.Hello())

    async def ask(self, call: Message) -> Message:
        """Return the answer to ``call``; other messages are kept for :meth:`receive`."""
        from jeepney import HeaderFields, MessageType

        self._serial += 1
        await asyncio.get_running_loop().sock_sendall(self._socket, call.serialise(self._serial))
        while True:
            message = await self._read()
            if message.header.fields.get(HeaderFields.reply_serial) != self._serial:
                self._kept.append(message)
            elif message.header.message_type is MessageType.error:
                raise ValueError(str(message.header.fields.get(HeaderFields.error_name)))
            else:
                return message

    async def receive(self) -> Message:
        """Return the next message; :class:`OSError` when the bus has gone."""
        return self._kept.popleft() if self._kept else await self._read()

    async def _read(self) -> Message:
        from jeepney.fds import FileDescriptor

        while (message := self._parser.get_next_message()) is None:
            await self._readable()
            with contextlib.suppress(BlockingIOError):
                data, handles, _, _ = socket.recv_fds(self._socket, self._parser.bytes_desired(), MAX_DESCRIPTORS)
                if not data:
                    raise ConnectionResetError("the message bus has gone")
                self._parser.add_data(data, [FileDescriptor(handle) for handle in handles])
        return message

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._socket, lambda: None if ready.done() else ready.set_result(None))
        try:
            await ready
        finally:
            loop.remove_reader(self._socket)

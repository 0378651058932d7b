"""Sleep, on a real message bus of our own with a stand-in for logind that speaks as it does."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from jeepney import DBusAddress, HeaderFields, MessageType, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, open_dbus_connection

from tests.aio import run, until
from tests.worker.bench import ENDLESS, QUICK, Client, compiler, job_for
from zdistcc.config import Config
from zdistcc.errors import InfraError
from zdistcc.wire.messages import Result
from zdistcc.worker import main as worker_main
from zdistcc.worker.main import Daemon
from zdistcc.worker.sleep import Unavailable, mind_sleep

DBUS = shutil.which("dbus-daemon")
MANAGER = DBusAddress(
    "/org/freedesktop/login1", bus_name="org.freedesktop.login1", interface="org.freedesktop.login1.Manager"
)
CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>custom</type><listen>unix:path={socket}</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy>
</busconfig>
"""


class Logind:
    """What the tests need of logind, polled from the loop."""

    def __init__(self, line: DBusConnection) -> None:
        self.line = line
        self.asked: list[tuple[str, ...]] = []
        self.locks: list[int] = []
        line.sock.setblocking(False)

    def serve(self) -> None:
        """Answer what has been asked."""
        while True:
            try:
                call = self.line.receive(timeout=0)
            except TimeoutError:
                return
            if call.header.message_type is MessageType.method_call:
                assert call.header.fields[HeaderFields.member] == "Inhibit"
                self.asked.append(call.body)
                ours, theirs = os.pipe()
                self.locks.append(ours)
                self.line.send(new_method_return(call, "h", (theirs,)))
                os.close(theirs)

    def tell(self, going: bool) -> None:
        self.line.send(new_signal(MANAGER, "PrepareForSleep", "b", (going,)))

    def delayed(self) -> bool:
        """Whether somebody holds a lock."""
        self.serve()
        held = []
        for lock in self.locks:
            os.set_blocking(lock, False)
            try:
                closed = os.read(lock, 1) == b""
            except BlockingIOError:
                closed = False
            held.append(not closed)
        return any(held)


@asynccontextmanager
async def bus(directory: Path) -> AsyncIterator[str]:
    assert DBUS is not None
    config, socket = directory / "bus.conf", directory / "bus"
    config.write_text(CONFIG.format(socket=socket))
    daemon = subprocess.Popen([DBUS, f"--config-file={config}", "--nofork", "--nopidfile"])
    try:
        await until(socket.exists, "the bus is there")
        yield f"unix:path={socket}"
    finally:
        daemon.terminate()
        daemon.wait()


@asynccontextmanager
async def logind(address: str) -> AsyncIterator[Logind]:
    with open_dbus_connection(address, enable_fds=True) as line:
        line.bus_proxy.RequestName(MANAGER.bus_name)
        manager = Logind(line)
        try:
            yield manager
        finally:
            for lock in manager.locks:
                os.close(lock)


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if DBUS is None:
        pytest.skip("dbus-daemon is not installed")
    return tmp_path_factory.mktemp("b")


def test_sleep_is_delayed_until_the_worker_is_ready_and_again_the_next_time(place: Path) -> None:
    async def main() -> None:
        told: list[str] = []
        ready = asyncio.Event()

        async def fall_asleep() -> None:
            told.append("sleep")
            await ready.wait()

        async def wake_up() -> None:
            told.append("wake")

        async with bus(place) as address, logind(address) as manager:
            minding = asyncio.ensure_future(mind_sleep(fall_asleep, wake_up, bus=address))
            for times in (1, 2):
                await until(manager.delayed, "sleep is inhibited")
                assert manager.asked[-1][0] == "sleep" and manager.asked[-1][3] == "delay"
                manager.tell(True)
                await until(lambda: told.count("sleep") == times, "it is heard")  # noqa: B023
                assert manager.delayed(), "and delayed"
                ready.set()
                await until(lambda: not manager.delayed(), "the worker is ready")
                ready.clear()
                manager.tell(False)
                await until(lambda: manager.delayed() and told.count("wake") == times, "it is over")  # noqa: B023
            assert told == ["sleep", "wake"] * 2 and len(manager.asked) == 3
            minding.cancel()
            await asyncio.gather(minding, return_exceptions=True)
            assert not manager.delayed(), "nothing is held by one who is gone"

    run(main())


def test_only_logind_is_believed(place: Path) -> None:
    async def main() -> None:
        told: list[str] = []

        async def hear() -> None:
            told.append("heard")

        async with bus(place) as address, logind(address) as manager:
            minding = asyncio.ensure_future(mind_sleep(hear, hear, bus=address))
            await until(manager.delayed, "sleep is inhibited")
            with open_dbus_connection(address) as stranger:
                stranger.send(new_signal(MANAGER, "PrepareForSleep", "b", (True,)))
                stranger.send_and_get_reply(message_bus.GetId())
            manager.tell(False)
            await until(lambda: told, "the true one is heard")
            assert told == ["heard"] and manager.delayed()
            minding.cancel()
            await asyncio.gather(minding, return_exceptions=True)

    run(main())


def test_a_worker_gives_its_jobs_back_before_sleep_and_is_there_again_after(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_main, "BEDTIME_S", 0.2)
    directories = {"store": str(place / "store"), "cache_dir": str(place / "cache")}
    config = Config(discovery=False, port=0, interface=("lo",), polite=False, slots=1, **directories)  # type: ignore[arg-type]

    async def main() -> None:
        daemon = Daemon(config, {"PATH": "/usr/bin"})
        ready = asyncio.Event()
        running = asyncio.ensure_future(daemon.run(lambda _: ready.set()))
        loop = asyncio.get_running_loop()
        await ready.wait()

        async def greeted() -> Client:
            client = Client()
            await loop.create_connection(lambda: client.link, "127.0.0.1", daemon.port)
            await until(client.loads, "a greeting")
            return client

        await until(manager.delayed, "sleep is inhibited")
        client = await greeted()
        await client.started(client.begin(*job_for(ENDLESS, compiler("/usr/bin/g++"))))
        manager.tell(True)
        await until(lambda: any(load.draining for load in client.loads()), "it is told")
        await until(lambda: client.lost, "the job is given back")
        await until(lambda: not manager.delayed() and not daemon.worker.admission.counts.running, "it is ready")
        manager.tell(False)
        await until(manager.delayed, "it is awake")
        await until(lambda: not daemon.worker.admission.draining, "it takes jobs")
        client = await greeted()
        assert isinstance(await client.do(*job_for(QUICK, compiler("/usr/bin/gcc"))), Result)
        client.link.lose(InfraError("the test is over"))
        os.kill(os.getpid(), signal.SIGTERM)
        await running

    async def with_logind() -> None:
        nonlocal manager
        async with bus(place) as address, logind(address) as manager:
            monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
            await main()

    manager: Logind
    run(with_logind())


async def nothing() -> None:
    raise AssertionError("nobody told")


def test_without_logind_or_a_bus_or_when_the_bus_goes(place: Path) -> None:
    async def main() -> None:
        with pytest.raises(Unavailable, match="No such file"):
            await mind_sleep(nothing, nothing, bus=f"unix:path={place}/none")
        with pytest.raises(Unavailable):
            await mind_sleep(nothing, nothing, bus="tcp:host=192.0.2.1,port=1")
        async with bus(place) as address:
            with pytest.raises(Unavailable, match="NameHasNoOwner"):
                await mind_sleep(nothing, nothing, bus=address)
            async with logind(address) as manager:
                minding = asyncio.ensure_future(mind_sleep(nothing, nothing, bus=address))
                await until(manager.delayed, "sleep is inhibited")
        with pytest.raises(Unavailable):
            await minding

    run(main())

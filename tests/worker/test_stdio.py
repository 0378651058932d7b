"""Whom `zdistccd --stdio` believes, and who has the private door."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from tests.aio import run
from zdistcc import paths
from zdistcc.config import Config
from zdistcc.wire import frames
from zdistcc.worker import main as main_module
from zdistcc.worker import postern as door
from zdistcc.worker.main import Daemon
from zdistcc.worker.stdio import _introduce, listening_ports

HEADING = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ROW = "   {number}: {address}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {user:>5}        0 1\n"


def proc(path: Path, *rows: tuple[int, int, str], name: str = "tcp") -> Path:
    lines = (
        ROW.format(number=number, address="00000000", port=port, state=state, user=user)
        for number, (port, user, state) in enumerate(rows)
    )
    (path / name).write_text(HEADING + "".join(lines))
    return path


@pytest.mark.parametrize(
    ("user", "believed"), [(0, True), (999, True), (61184, True), (1000, True), (1001, False), (65534, False)]
)
def test_whose_port_is_believed(tmp_path: Path, user: int, believed: bool) -> None:
    """The system's, its services', one's own; any other user of the machine could be anybody."""
    assert (3633 in listening_ports((1000,), proc(tmp_path, (3633, user, "0A")))) is believed


def test_a_port_that_two_listen_on_is_not_believed(tmp_path: Path) -> None:
    proc(tmp_path, (3633, 0, "0A"), (22, 0, "0A"))
    assert listening_ports((1000,), proc(tmp_path, (3633, 1001, "0A"), name="tcp6")) == {22}


def test_a_connection_is_no_listener(tmp_path: Path) -> None:
    assert listening_ports((1000,), proc(tmp_path, (3633, 0, "01"))) == set()


def test_a_system_that_does_not_tell(tmp_path: Path) -> None:
    assert listening_ports((1000,), tmp_path) == set()


@pytest.fixture
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("r")
    directory.chmod(0o700)
    return {"ZDISTCC_RUNTIME_DIR": str(directory)}


def test_the_door_is_one_workers(env: dict[str, str]) -> None:
    first = door.claim(env)
    assert first is not None
    assert door.claim(env) is None
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(os.fspath(first.path))
    first.close()
    assert not first.path.exists()
    second = door.claim(env)
    assert second is not None
    second.close()


def test_a_directory_that_is_open_to_others(env: dict[str, str]) -> None:
    os.chmod(env["ZDISTCC_RUNTIME_DIR"], 0o755)
    assert door.claim(env) is None


def test_what_a_dead_worker_left(env: dict[str, str]) -> None:
    paths.stdio_path(env, "lock").write_text("4194304\n")
    paths.stdio_path(env, "sock").touch()
    opened = door.claim(env)
    assert opened is not None
    assert paths.stdio_path(env, "lock").read_text() == ""
    opened.close()


@pytest.mark.parametrize(
    ("said", "answer", "taken"),
    [
        (frames.MAGIC, frames.MAGIC + b"more", frames.MAGIC + b"more"),
        (frames.MAGIC, b"220 hello", b""),
        (frames.MAGIC, b"22", b""),
        (frames.MAGIC, b"", b""),
        (b"DIST", b"DONE", b"DONE"),
    ],
)
def test_a_native_client_takes_no_other_answer(said: bytes, answer: bytes, taken: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        silent, keep = os.pipe()
        saved = os.dup(0)
        os.dup2(silent, 0)
        try:
            assert _introduce(bytearray(said), ours, 1.0) == taken
        finally:
            os.dup2(saved, 0)
            for handle in (silent, keep, saved):
                os.close(handle)


def test_a_worker_that_was_begun_for_clients_leaves_without_them(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has neither a port nor an announcement, and gives up the store."""
    monkeypatch.setattr(main_module, "LINGER_S", 0.0)
    opened = door.claim(env)
    assert opened is not None
    config = Config(store=str(tmp_path / "store"), cache_dir=str(tmp_path / "cache"))

    async def main() -> None:
        daemon = Daemon(config, {**env, "PATH": "/nowhere"}, opened, private=True)
        async with asyncio.timeout(60):
            await daemon.run(lambda daemon: None)
        assert daemon.port == 0
        Daemon(config, env)._blobs.close()

    run(main())
    opened.close()

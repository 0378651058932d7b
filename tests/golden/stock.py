"""The stock programs of distcc, started so that nothing of them stays: one `distccd --inetd` for one connection."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lzallright

PATIENCE_S = 60.0
MISSING = [name for name in ("distcc", "distccd", "distcc-pump", "gcc") if shutil.which(name) is None]


@contextmanager
def daemon() -> Iterator[socket.socket]:
    """A connection over loopback to a stock `distccd` that serves nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    words = ["distccd", "--inetd", "--allow", "127.0.0.1", "--log-file", "/dev/null"]
    if os.geteuid() == 0:
        words += ["--user", "nobody"]
    environment = {"PATH": os.environ["PATH"], "TMPDIR": "/tmp", "LC_ALL": "C"}
    ours.settimeout(PATIENCE_S)
    with ours:
        with theirs:
            process = subprocess.Popen(
                words, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=environment, cwd="/"
            )
        try:
            yield ours
        finally:
            ours.close()
            try:
                process.wait(PATIENCE_S)
            finally:
                process.kill()
                process.wait()


@contextmanager
def client(
    host_options: str, words: list[str], cwd: Path, *, said: list[bytes] | None = None, **more: str
) -> Iterator[socket.socket]:
    """The connection that a stock `distcc` opens, run as `distcc *words` in `cwd`; what it printed is put into `said`.

    It has to end with 0 or, as the compiler does at an error, with 1.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        settings = cwd / ".distcc"
        settings.mkdir(exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C",
            "HOME": str(cwd),
            "DISTCC_DIR": str(settings),
            "DISTCC_HOSTS": f"127.0.0.1:{listener.getsockname()[1]}/4{host_options}",
            "DISTCC_FALLBACK": "0",
            **more,
        }
        process = subprocess.Popen(
            ["distcc", *words], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert process.stderr
        with process.stderr:
            try:
                theirs, _ = listener.accept()
                theirs.settimeout(PATIENCE_S)
                with theirs:
                    yield theirs
                printed = process.stderr.read()
                process.wait(PATIENCE_S)
            finally:
                process.kill()
                process.wait()
    shutil.rmtree(settings)
    if said is not None:
        said.append(printed)
    assert process.returncode in (0, 1), printed.decode(errors="replace")


@contextmanager
def include_server(cwd: Path) -> Iterator[str]:
    """The stock include server, repaired (see `repair`); yields the address of its socket."""
    environment = {
        **os.environ,
        "DISTCC_HOSTS": "127.0.0.1,cpp,lzo",
        "PYTHONPATH": str(Path(__file__).parent / "repair"),
        "LZALLRIGHT_DIRECTORY": str(Path(lzallright.__file__).parent.parent),
    }
    started = subprocess.run(
        ["distcc-pump", "--startup"], env=environment, cwd=cwd, check=True, capture_output=True, text=True
    )
    said = dict(line.removeprefix("export ").split("=", 1) for line in started.stdout.splitlines())
    found = {name: shlex.split(value)[0] for name, value in said.items()}
    try:
        yield found["INCLUDE_SERVER_PORT"]
    finally:
        subprocess.run(["distcc-pump", "--shutdown"], env={**os.environ, **found}, check=True, capture_output=True)


def relay(client: socket.socket, daemon: socket.socket) -> tuple[bytes, bytes]:
    """Carry bytes both ways until `daemon` has closed; return what either of them said.

    A client that wants no dependencies leaves before it has read them, so what it does not take is lost on it only.
    """
    said = {client: b"", daemon: b""}
    across = {client: daemon, daemon: client}
    ends = [client, daemon]
    while daemon in ends:
        for end in select.select(ends, [], [], PATIENCE_S)[0]:
            data = b""
            with contextlib.suppress(ConnectionResetError):
                data = end.recv(1 << 16)
            if not data:
                ends.remove(end)
                continue
            said[end] += data
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                across[end].sendall(data)
    return said[client], said[daemon]

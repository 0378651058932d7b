"""A launcher, compiled or in Python, in a directory of its own, and the agents it may meet.

``FakeAgent`` is the agent in the test process, for what the launcher does with answers; ``AGENT_SCRIPT``
is a ``zdistcc-agent`` that launchers start, for how they start it.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from zdistcc import paths
from zdistcc.wire.control import LaunchRequest, RequestReader

DEADLINE_S = 30


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until ``condition()`` holds, looking often; fail with ``what`` if it never does."""
    end = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        pause.wait(0.005)


class Session:
    """One launcher's connection, its request read."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        link.settimeout(DEADLINE_S)
        reader = RequestReader()
        request, self.fds = None, []
        while request is None:
            data, fds, _, _ = socket.recv_fds(link, 1 << 20, 3)
            assert data, "the launcher went away within its request"
            self.fds += fds
            request = reader.receive_data(data)
        assert isinstance(request, LaunchRequest)
        self.request = request

    def ended(self, *, now: bool = False) -> bool:
        """Whether the other side closed: waited for, or as it is just now."""
        if now and not select.select([self.link], [], [], 0)[0]:
            return False
        try:
            return self.link.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        for fd in self.fds:
            os.close(fd)
        self.link.close()


class FakeAgent:
    """Listens where the launcher looks; each connection is answered by ``answer`` in a thread."""

    def __init__(self, path: Path, answer: bytes | Callable[[Session], None]) -> None:
        self.requests: list[LaunchRequest] = []
        self.failures: list[BaseException] = []
        self._answer = answer
        self._threads: list[threading.Thread] = []
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(64)
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._server.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(link,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, link: socket.socket) -> None:
        try:
            session = Session(link)
        except BaseException as failure:
            self.failures.append(failure)
            link.close()
            return
        try:
            self.requests.append(session.request)
            if isinstance(self._answer, bytes):
                session.link.sendall(self._answer)
            else:
                self._answer(session)
        except BaseException as failure:
            self.failures.append(failure)
        finally:
            session.close()

    def __enter__(self) -> FakeAgent:
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._acceptor.join(DEADLINE_S)
        for thread in self._threads:
            thread.join(DEADLINE_S)
        assert not self.failures, self.failures


# Binds, tells what it inherited, waits for the gate if there is one, says it is ready, answers RUN.
AGENT_SCRIPT = """\
#!{python} -IS
import _socket, os, signal, sys
inherited = sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd))
signal.alarm(60)
lab = {lab!r}
report = open(lab + "/starts", "a")
masked = [line.split()[1] for line in open("/proc/self/status") if line.startswith(("SigBlk", "SigIgn"))]
print(os.getpid(), sys.argv[1:] == ["--socket", {path!r}, "--ready-fd", "3"], inherited, os.getcwd(),
      os.getsid(0) != os.getpid(), "MAKEFLAGS" in os.environ, masked, file=report, flush=True)
if os.path.exists(lab + "/gate"):
    open(lab + "/gate").read()
if os.path.exists(lab + "/broken"):
    sys.exit("broken")
try:
    os.unlink({path!r})
except FileNotFoundError:
    pass
server = _socket.socket(_socket.AF_UNIX)
server.bind({path!r})
server.listen(64)
os.close(3)
while True:
    fd, _ = server._accept()
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)
    link.recv(1 << 20)
    link.sendall(b"ZDR1\\1" + bytes(15))
    link.close()
"""


class Lab:
    """A launcher in ``bin``, compilers in ``compilers``, a runtime directory in ``run``."""

    def __init__(self, root: Path, kind: str, program: Path) -> None:
        self.root = root
        self.kind = kind
        self.bin = root / "bin"
        self.compilers = root / "compilers"
        self.runtime = root / "run"
        self.program = self.bin / "zdistcc"
        self.env = {
            "PATH": f"{self.compilers}:/usr/bin:/bin",
            "ZDISTCC_RUNTIME_DIR": str(self.runtime),
            "HOME": str(root),
            "LC_ALL": "C",
        }
        self.socket = paths.socket_path(self.env)
        self.bin.mkdir()
        self.compilers.mkdir()
        shutil.copy(program, self.program)
        (self.bin / "python3").symlink_to(sys.executable)
        self.compiler("fakecc", 'printf "%s\\n" ran "$@"')

    def compiler(self, name: str, script: str, directory: Path | None = None) -> Path:
        """A shell script called ``name``; without a directory, in the one on PATH."""
        path = (directory or self.compilers) / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def agent(self, answer: bytes | Callable[[Session], None]) -> FakeAgent:
        return FakeAgent(self.socket, answer)

    def startable_agent(self) -> None:
        """Put a ``zdistcc-agent`` beside the launcher."""
        script = AGENT_SCRIPT.format(python=sys.executable, lab=str(self.root), path=str(self.socket))
        (self.bin / "zdistcc-agent").write_text(script)
        (self.bin / "zdistcc-agent").chmod(0o755)

    def starts(self) -> list[str]:
        """What the agents that were started wrote, a line each."""
        report = self.root / "starts"
        return report.read_text().splitlines() if report.exists() else []

    def stop_agents(self) -> None:
        for line in self.starts():
            pid = int(line.split()[0])
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def popen(
        self, *arguments: str | bytes, env: Mapping[str, str] | None = None, **options: object
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(self.program), *arguments],
            env={**self.env, **(env or {})},
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},  # type: ignore[call-overload]
        )

    def run(
        self, *arguments: str | bytes, env: Mapping[str, str] | None = None, **options: object
    ) -> subprocess.CompletedProcess[bytes]:
        """The launcher with ``arguments``, to its end."""
        with self.popen(*arguments, env=env, **options) as process:
            try:
                out, err = process.communicate(timeout=DEADLINE_S)
            finally:
                process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def call(
        self, program: str | Path, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Any other program, in the lab's environment."""
        return call([program, *arguments], {**self.env, **(env or {})})


def call(command: Sequence[str | Path], env: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S, check=False
    )

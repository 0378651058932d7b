"""A farm on a virtual LAN: one client and some machines with `zdistccd`, all of them the installed programs.

Nobody is told of anybody: what the tests see is what discovery finds.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lan.lan import Host, Lan
from tests.lan.machine import Machine, Process
from tests.lan.needs import lan_unavailable_reason
from tests.lan.waiting import wait_until
from zdistcc.wire.control import ReplyKind, ReplyReader, encode_admin

BIN = Path(sys.executable).parent
LAUNCHER = BIN / "zdistcc"
DAEMON = BIN / "zdistccd"


IMPOLITE = {"ZDISTCC_POLITE": "0"}
"""All machines of a farm share one kernel: what loads the client would count as load of others on each worker."""


def missing() -> str | None:
    """Why the programs under test are not there, if they aren't."""
    absent = [str(program) for program in (LAUNCHER, DAEMON) if not program.exists()]
    return f"not installed beside this Python: {', '.join(absent)} (pip install -e .)" if absent else None


def unavailable() -> str | None:
    """Why no farm can be had here, in words for a skip; None if one can."""
    return lan_unavailable_reason() or missing()


class Farm:
    """`with Farm(tmp_path, workers=3) as farm`: machines `client`, `w1`, `w2`…; daemons run on the latter."""

    def __init__(
        self,
        directory: Path,
        *,
        workers: int = 3,
        started: int | None = None,
        slots: int = 2,
        env: Mapping[str, str] | None = None,
        visible: Sequence[Path] = (),
        others: Sequence[str] = (),
    ) -> None:
        """`others`: further machines on which nothing runs yet."""
        self.directory = directory
        self.names = [f"w{number}" for number in range(1, workers + 1)]
        self._started = workers if started is None else started
        self._slots = slots
        self._env = {"ZDISTCC_LOCAL_SLOTS": "2", **(env or {})}  # a client that has none to spare for jobs
        self._lan = Lan(
            [Host("client"), *map(Host, self.names), *map(Host, others)],
            directory=directory / "lan",
            visible=[directory, *visible, BIN.parent],
        )
        self.daemons: dict[str, Process] = {}

    def __enter__(self) -> Self:
        (self.directory / "lan").mkdir(parents=True)
        self.lan = self._lan.__enter__()
        try:
            for name in self.names[: self._started]:
                self.start(name)
            for name in self.daemons:
                self.serving(name)
        except BaseException:
            self._lan.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            print(self.story(), file=sys.stderr)
        self._lan.__exit__(kind, error, trace)

    @property
    def client(self) -> Machine:
        return self.lan["client"]

    # --- workers --------------------------------------------------------------------------------

    def start(self, name: str, *words: str, env: Mapping[str, str] | None = None) -> Process:
        """Start a worker's daemon."""
        daemon = self.lan[name].spawn(
            [DAEMON, "--slots", str(self._slots), *words], env={**IMPOLITE, **self._env, **(env or {})}
        )
        self.daemons[name] = daemon
        return daemon

    def serving(self, name: str) -> None:
        """Wait until a started worker takes connections."""
        wait_until(lambda: " at once on port " in self.daemons[name].stderr, 30, f"{name} serves")

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End a worker's daemon and wait for it."""
        daemon = self.daemons.pop(name)
        daemon.send_signal(number)
        daemon.wait(30)

    # --- client ---------------------------------------------------------------------------------

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        path = f"{BIN}:{os.environ.get('PATH', os.defpath)}"
        return {"PATH": path, **self._env, **(env or {})}

    def run(
        self,
        argv: Sequence[str | bytes | Path],
        cwd: Path,
        *,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 120,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the client, with `zdistcc` on its PATH."""
        ended = self.client.run(argv, cwd=cwd, env=self.environment(env), timeout_s=timeout_s)
        if check and ended.returncode:
            raise AssertionError(f"{argv}: status {ended.returncode}\n{ended.stdout}\n{ended.stderr}")
        return ended

    def spawn(self, argv: Sequence[str | bytes | Path], cwd: Path, env: Mapping[str, str] | None = None) -> Process:
        return self.client.spawn(argv, cwd=cwd, env=self.environment(env))

    def ask(self, *words: str) -> Any:
        """What `zdistcc WORDS --json` says on the client; starts the agent if need be."""
        return json.loads(self.run([LAUNCHER, *words, "--json"], self.directory).stdout)

    def ask_agent(self, word: str, client: str = "client") -> dict[str, Any] | None:
        """What the client's agent answers, asked without the detour of a program; None if there is none."""
        sockets = self.directory / f"lan/{client}/run/user/test/zdistcc"
        reader = ReplyReader()
        try:
            handle = os.open(sockets, os.O_RDONLY)  # the path may be too long for a socket's address
        except FileNotFoundError:
            return None
        try:
            for name in sockets.glob("agent-*.sock"):
                with socket.socket(socket.AF_UNIX) as link, contextlib.suppress(OSError):
                    link.settimeout(10)
                    link.connect(f"/proc/self/fd/{handle}/{name.name}")
                    link.sendall(encode_admin(json.dumps({"ask": word}).encode()))
                    while data := link.recv(1 << 16):
                        for reply in reader.receive_data(data):
                            if reply.kind is ReplyKind.DONE:
                                answer: dict[str, Any] = json.loads(reply.stdout)
                                return answer
        finally:
            os.close(handle)
        return None

    def hosts(self) -> dict[str, dict[str, Any]]:
        answer = self.ask_agent("hosts") or self.ask("hosts")
        return {host["name"]: host for host in answer["hosts"]}

    def stats(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask_agent("stats") or self.ask("stats")
        return answer

    def wait_for_workers(self, *names: str, timeout_s: float = 20) -> None:
        """Wait until the client has connected to all of these."""
        wanted = set(names or self.daemons)

        def there() -> bool:
            hosts = self.hosts()
            return all(hosts.get(name, {}).get("usable") for name in wanted)

        wait_until(there, timeout_s, f"the client knows {sorted(wanted)}")

    def story(self) -> str:
        """What the daemons and the agent logged, for a failed test."""
        parts = [f"--- {name}\n{daemon.stderr[-4000:]}" for name, daemon in self.daemons.items()]
        log = self.client.run(["sh", "-c", "cat /run/user/test/zdistcc/*.log | tail -n 60"])
        return "\n".join([*parts, f"--- agent\n{log.stdout}"])

"""One running host of a virtual LAN: run programs on it, wait for them, end them, measure them.

A program is started by nsenter, which stays as its parent outside and passes its exit status on.
Rejected: a spawning service inside the host (one process less a program, but a protocol more, and no
`command` prefix that a terminal, a debugger or another test library can put before its own argv).
"""

from __future__ import annotations

import ipaddress
import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lan.cpu import CpuGroup, live_seconds
from tests.lan.needs import nsenter, program
from tests.lan.waiting import wait_until

Argument = str | bytes | os.PathLike[str]

RUN_TIMEOUT_S = 60.0
END_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """The addresses of a host's only network interface, eth0."""

    ipv4: ipaddress.IPv4Interface
    ipv6: ipaddress.IPv6Interface

    def __iter__(self) -> Iterator[str]:
        return iter((str(self.ipv4.ip), f"{self.ipv6.ip}%eth0"))


class Process:
    """A program on a host. Its output goes to files; it is reaped by `wait` or by the LAN's end."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], stdin: int, log: Path) -> None:
        self.argv = list(argv)
        self.stdout_path = log.with_name(log.name + ".out")
        self.stderr_path = log.with_name(log.name + ".err")
        self.returncode: int | None = None
        self.usage: resource.struct_rusage | None = None
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        self._nsenter = os.posix_spawn(
            argv[0],
            self.argv,
            env,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, stdin, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.stdout_path), flags, 0o644),
                (os.POSIX_SPAWN_OPEN, 2, str(self.stderr_path), flags, 0o644),
            ],
            setsid=True,
        )
        self._pidfd = os.pidfd_open(self._nsenter)

    @property
    def stdout(self) -> str:
        return self.stdout_path.read_text(errors="surrogateescape")

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text(errors="surrogateescape")

    @property
    def pid(self) -> int | None:
        """The program's process id as seen by the test; None if it has ended."""
        found: list[int] = []

        def born_or_over() -> bool:
            children = Path(f"/proc/{self._nsenter}/task/{self._nsenter}/children")
            found[:] = map(int, children.read_text().split())
            return bool(found) or self._over(0)

        if self.returncode is None:
            wait_until(born_or_over, END_TIMEOUT_S, f"{self.argv} is started")
        return found[0] if found else None

    def _over(self, timeout_s: float) -> bool:
        return bool(select.select([self._pidfd], [], [], timeout_s)[0])

    def poll(self) -> int | None:
        """The exit status (negative: the signal that ended it), or None while it runs."""
        if self.returncode is None and self._over(0):
            _pid, status, self.usage = os.wait4(self._nsenter, 0)
            os.close(self._pidfd)
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout_s: float = RUN_TIMEOUT_S) -> int:
        """Wait for the end; subprocess.TimeoutExpired (with the output so far) if it doesn't come."""
        if self.returncode is None and not self._over(timeout_s):
            raise subprocess.TimeoutExpired(self.argv, timeout_s, self.stdout, self.stderr)
        status = self.poll()
        assert status is not None
        return status

    def wait_for_output(self, text: str, timeout_s: float = RUN_TIMEOUT_S) -> str:
        """Wait until standard output holds `text`; return the output."""

        def seen_or_over() -> bool:
            return text in self.stdout or self.poll() is not None

        wait_until(seen_or_over, timeout_s, f"{text!r} in the output of {self.argv}: {self.stdout!r}")
        output = self.stdout
        if text not in output:
            raise AssertionError(f"{self.argv} ended with {self.returncode}: {output!r} {self.stderr!r}")
        return output

    def send_signal(self, number: signal.Signals) -> None:
        """Signal the program itself, not its children; nothing happens if it has ended."""
        pid = self.pid
        if pid is None:
            return
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            signal.pidfd_send_signal(pidfd, number)
            if number == signal.SIGCONT:  # nsenter stops when its child does
                signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(pidfd)

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the program and its children, as a terminal does."""
        if self.poll() is None:
            os.killpg(self._nsenter, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def finish(self) -> None:
        """For the LAN's end. A stopped nsenter doesn't reap, and the end of the host waits for that."""

        def over() -> bool:
            if self.poll() is None:
                signal.pidfd_send_signal(self._pidfd, signal.SIGCONT)
            return self.returncode is not None

        self.kill()
        wait_until(over, END_TIMEOUT_S, f"the end of {self.argv}")


class Machine:
    """A running host. `root` holds its private directories and the output of its programs."""

    def __init__(
        self,
        name: str,
        addresses: Addresses,
        root: Path,
        *,
        holder: int,
        user: bool,
        group: CpuGroup | None,
    ) -> None:
        self.name = name
        self.addresses = addresses
        self.home = root / "home"
        self.tmp = root / "tmp"
        self.holder = holder
        self._logs = root / "log"
        self._user = user
        self._processes: list[Process] = []
        self._cpus: str | None = None
        self._proc = Path(f"/proc/{holder}/root/proc")
        self._group = group
        self._cpu_at_start = live_seconds(self._proc)

    def __repr__(self) -> str:
        return f"<Machine {self.name} {self.addresses.ipv4}>"

    @property
    def ipv4(self) -> str:
        return str(self.addresses.ipv4.ip)

    @property
    def ipv6(self) -> str:
        """The link-local address, with the interface it needs on every host of the LAN."""
        return f"{self.addresses.ipv6.ip}%eth0"

    @property
    def environment(self) -> dict[str, str]:
        """What a login on this host would set; nothing of the test's own environment but PATH."""
        return {
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PATH": os.environ.get("PATH", os.defpath),
            "USER": "tester",
            "XDG_RUNTIME_DIR": "/run/user/test",
        }

    def cpuset(self, cpus: str | None) -> None:
        """Bind programs started from now on to these processors ("0", "0,2-3"); None: to all."""
        self._cpus = cpus

    def command(self, argv: Sequence[Argument], cwd: Argument | None = None) -> list[str]:
        """The command line that runs `argv` here, for who must start it in their own way."""
        directory = os.fsdecode(cwd if cwd is not None else self.home)
        return [
            *(self._group.prefix if self._group else []),
            *([program("taskset"), "--cpu-list", self._cpus] if self._cpus is not None else []),
            *nsenter(self.holder, "--net", "--uts", "--ipc", "--mount", "--pid", user=self._user),
            f"--wdns={directory}",
            "--",
            *map(os.fsdecode, argv),
        ]

    def spawn(
        self,
        argv: Sequence[Argument],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Argument | None = None,
        stdin: int | None = None,
    ) -> Process:
        """Start a program; `env` is added to `environment`, `cwd` is home by default, stdin /dev/null."""
        log = self._logs / f"{len(self._processes):03d}-{Path(os.fsdecode(argv[0])).name}"
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            process = Process(
                self.command(argv, cwd),
                {**self.environment, **(env or {})},
                null if stdin is None else stdin,
                log,
            )
        finally:
            os.close(null)
        self._processes.append(process)
        return process

    def run(
        self,
        argv: Sequence[Argument],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Argument | None = None,
        timeout_s: float = RUN_TIMEOUT_S,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; killed, and TimeoutExpired raised, if that doesn't come."""
        process = self.spawn(argv, env=env, cwd=cwd)
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(END_TIMEOUT_S)
            raise
        done = subprocess.CompletedProcess([os.fsdecode(a) for a in argv], status, process.stdout, process.stderr)
        if check:
            done.check_returncode()
        return done

    def ping(self, address: str, count: int = 1, timeout_s: float = 1.0) -> list[float | None]:
        """Round trips in ms to an address of either family; None for each one lost."""
        script = Path(__file__).with_name("ping.py")
        argv: list[Argument] = [sys.executable, "-I", "-S", script, address, str(count), str(timeout_s)]
        answer: list[float | None] = json.loads(self.run(argv, check=True).stdout)
        return answer

    def processes(self) -> dict[int, list[str]]:
        """Command lines by process id as seen on the host, without the host's own first process.

        A process that has ended but was not waited for has an empty command line.
        """
        found = {}
        for entry in self._proc.iterdir():
            if entry.name.isdigit() and entry.name != "1":
                try:
                    line = (entry / "cmdline").read_bytes()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                found[int(entry.name)] = os.fsdecode(line).split("\0")[:-1]
        return found

    def members(self) -> list[int]:
        """The process ids, as seen by the test, of all that was started here and what that has started."""
        if self._group is None:
            raise RuntimeError("only a control group knows them")
        return self._group.members()

    def cpu_seconds(self) -> float:
        """CPU time used by all programs started here so far, their children included."""
        if self._group is not None:
            return self._group.seconds()
        ended = [p.usage for p in self._processes if p.poll() is not None and p.usage is not None]
        waited_for = sum(usage.ru_utime + usage.ru_stime for usage in ended)
        return waited_for + live_seconds(self._proc) - self._cpu_at_start

    def finish(self) -> None:
        """For the LAN's end: end and reap what we started; what that started ends with the host."""
        for process in self._processes:
            process.finish()

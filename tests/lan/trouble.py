"""What can befall a whole host: all its processes killed, frozen, thawed; less processor time, less memory.

Signals are sent from inside by a shell, to all processes there are at once.  Limits are control groups of version 1,
into which a host's processes are moved; what they start later is born there.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lan.cpu import remove_group
from tests.lan.machine import Machine, Process

CONTROLLERS = Path("/sys/fs/cgroup")
PERIOD_US = 100_000


def kill_all(machine: Machine) -> None:
    """End every process of the host at once, daemons and compilers alike."""
    _signal_all(machine, "KILL")


def freeze(machine: Machine) -> None:
    """Stop every process of the host; its kernel goes on answering."""
    _signal_all(machine, "STOP")


def thaw(machine: Machine, started: Iterable[Process]) -> None:
    """Continue; `started` are the processes that a test has spawned there."""
    _signal_all(machine, "CONT")
    for process in started:
        process.send_signal(signal.SIGCONT)


def _signal_all(machine: Machine, name: str) -> None:
    machine.run(["sh", "-c", f"kill -{name} -1"])  # no process there is no error


def limits_unavailable_reason(controller: str) -> str | None:
    """Why hosts cannot be limited here, in words for a skip; None if they can."""
    directory = CONTROLLERS / controller
    if not (directory / "cgroup.procs").exists() or (directory / "cgroup.controllers").exists():
        return f"no control group {controller} of version 1"
    probe = directory / "zdistcc-probe"
    try:
        probe.mkdir()
    except OSError as error:
        return f"no control group {controller} may be made: {error.strerror}"
    probe.rmdir()
    return None


class Limit:
    """A control group around all that runs on a host at the moment of `take`. A context manager."""

    def __init__(self, machine: Machine, controller: str) -> None:
        self._machine = machine
        self._root = CONTROLLERS / controller
        self._group = self._root / f"zdistcc-limit-{machine.holder}"

    def __enter__(self) -> Self:
        self._group.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        remove_group(self._group)

    def take(self) -> None:
        """Move the host's processes in."""
        _move(self._machine.members(), self._group)

    def release(self) -> None:
        """Move them out again."""
        _move(map(int, (self._group / "cgroup.procs").read_text().split()), self._root)

    def set(self, name: str, value: int) -> None:
        """Write one of the group's files."""
        (self._group / name).write_text(str(value))

    def get(self, name: str) -> int:
        """Read one."""
        return int((self._group / name).read_text())


def set_quota(limit: Limit, cores: float) -> None:
    """For the controller `cpu`: let the host use this many processors' time."""
    limit.set("cpu.cfs_period_us", PERIOD_US)
    limit.set("cpu.cfs_quota_us", max(1000, round(PERIOD_US * cores)))


def _move(pids: Iterable[int], group: Path) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(pid))

"""How much CPU time a virtual host has used: a control group where we may make one, else /proc.

Only version 1 of the control groups gives an unprivileged-looking counter by just making a directory;
under version 2 the accounting of the parent may be off, and /proc is good to 10 ms a process.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.lan.waiting import wait_until

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def _cpuacct_mount() -> Path | None:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _device, target, kind, options, *_ = line.split()
        if kind == "cgroup" and "cpuacct" in options.split(","):
            return Path(target)
    return None


class CpuGroup:
    """A cpuacct control group; its members are those who were started through `prefix`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir()

    @classmethod
    def make(cls, name: str) -> CpuGroup | None:
        """None where the machine has no such groups or gives us none."""
        mount = _cpuacct_mount()
        try:
            return cls(mount / name) if mount else None
        except OSError:
            return None

    @property
    def prefix(self) -> list[str]:
        return ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self._path / "cgroup.procs")]

    def seconds(self) -> float:
        return int((self._path / "cpuacct.usage").read_text()) / 1e9

    def members(self) -> list[int]:
        return [int(pid) for pid in (self._path / "cgroup.procs").read_text().split()]

    def remove(self) -> None:
        remove_group(self._path)


def remove_group(path: Path) -> None:
    """Remove a group whose members have ended, which the kernel takes a moment to notice."""

    def removed() -> bool:
        try:
            path.rmdir()
        except OSError:
            return False
        return True

    wait_until(removed, 5, f"{path} is empty")


def live_seconds(proc: Path) -> float:
    """CPU time of all processes in the given /proc and of the children they have waited for."""
    total = 0.0
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # ended meanwhile
                continue
            total += sum(map(int, fields[11:15])) * _TICK_S
    return total

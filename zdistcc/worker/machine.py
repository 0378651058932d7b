"""What the machine says of itself: processors, memory, battery, sleep.  Reads ``/proc`` and ``/sys``; decides nothing.

Where a file is missing (another system, a container) its answer is "not known".  Limits of control groups count, those
of version 1 and 2, the group's own and its ancestors'.  ``root`` is where ``/proc`` and ``/sys`` are, for tests.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from zdistcc.worker.manners import Reading, Times

_TICKS: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_UNLIMITED: Final = 1 << 60
"""Version 1 of the control groups says "no limit" by a number near 2^63."""


class Machine:
    """This machine, as far as this process may use it."""

    def __init__(self, root: Path = Path("/"), *, niced: bool = True) -> None:
        """``niced``: compilers run with a nice value, by which their CPU time is told from that of others."""
        self._proc = root / "proc"
        self._sys = root / "sys"
        self._niced = niced

    def read(self) -> Reading:
        """Return how the machine is now."""
        cpus = own_cpus()
        total, free = self._memory()
        return Reading(
            at=time.monotonic(),
            cores=len(cpus),
            times=self._times(cpus) if self._niced else None,
            memory_free=free,
            memory_total=total,
            on_battery=self._on_battery(),
        )

    def cores(self) -> int:
        """Return how many compilers can work at once: the cores this process may use, within its group's quota."""
        return max(1, min([len(own_cpus()), *map(math.ceil, self._quotas())]))

    # --- processors -----------------------------------------------------------------------------

    def _times(self, cpus: frozenset[int]) -> Times | None:
        user = nice = system = 0
        for line in _text(self._proc / "stat").splitlines():
            words = line.split()
            if words and words[0].startswith("cpu") and words[0][3:].isdigit() and int(words[0][3:]) in cpus:
                user, nice, system = user + int(words[1]), nice + int(words[2]), system + int(words[3])
        if not user + nice + system:
            return None
        own = os.times().user if os.getpriority(os.PRIO_PROCESS, 0) <= 0 else 0.0
        return Times(user_s=user / _TICKS, nice_s=nice / _TICKS, system_s=system / _TICKS, own_s=own)

    def _quotas(self) -> Iterator[float]:
        for group in self._groups("cpu"):
            quota, _, period = _text(group / "cpu.max").partition(" ")
            if not quota:
                quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
            if quota.strip().isdigit() and period.strip().isdigit() and int(period):
                yield int(quota) / int(period)

    # --- memory ---------------------------------------------------------------------------------

    def _memory(self) -> tuple[int, int]:
        """Return total and free bytes; free is what can be had without swapping."""
        rows = dict(line.split(":", 1) for line in _text(self._proc / "meminfo").splitlines() if ":" in line)
        total, free = (_number(rows.get(name, "").split(" kB")[0]) << 10 for name in ("MemTotal", "MemAvailable"))
        for group in self._groups("memory"):
            for limit, usage, reclaimable in (
                ("memory.max", "memory.current", "inactive_file"),
                ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
            ):
                most = _number(_text(group / limit))
                if 0 < most < _UNLIMITED:
                    stat = dict(line.split(" ", 1) for line in _text(group / "memory.stat").splitlines() if " " in line)
                    used = _number(_text(group / usage)) - _number(stat.get(reclaimable, ""))
                    total, free = min(total or most, most), min(free or most, max(0, most - used))
        return total, free

    def _groups(self, controller: str) -> Iterator[Path]:
        """Directories of the control groups that limit this process."""
        for line in _text(self._proc / "self/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                mounts = [self._sys / "fs/cgroup", self._sys / "fs/cgroup/unified"]
            elif controller in controllers.split(","):
                mounts = [self._sys / "fs/cgroup" / controllers, self._sys / "fs/cgroup" / controller]
            else:
                continue
            for mount in mounts:
                if not mount.is_dir():
                    continue
                group = Path(path.lstrip("/"))
                # a container sees the host's name of its group, and the group itself as the root
                for place in (group, *group.parents):
                    yield mount / place
                break

    # --- energy ---------------------------------------------------------------------------------

    def _on_battery(self) -> bool:
        supplies = self._sys / "class/power_supply"
        drained = False
        for supply in sorted(supplies.iterdir()) if supplies.is_dir() else []:
            kind = _text(supply / "type").strip()
            if _text(supply / "scope").strip() == "Device":  # a mouse's
                continue
            if kind in ("Battery", "UPS"):
                drained |= _text(supply / "status").strip() == "Discharging"
            elif _text(supply / "online").strip() == "1":
                return False
        return drained


def own_cpus() -> frozenset[int]:
    """Return the numbers of the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def slept_s() -> float:
    """Return the seconds that the machine has slept since it was started (0 where that is not known)."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _number(text: str) -> int:
    return int(text) if text.strip().isdigit() else 0

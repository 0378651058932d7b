"""What is read of a machine: dictated /proc and /sys, and this one's own with a real load."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.lan.waiting import wait_until
from zdistcc.worker.machine import Machine, own_cpus, slept_s
from zdistcc.worker.manners import Limited, Manners

MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8000000 kB\n"


def made(root: Path, files: Mapping[str, str]) -> Machine:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Machine(root)


def test_where_nothing_is_there_nothing_is_known(tmp_path: Path) -> None:
    reading = Machine(tmp_path).read()
    assert (reading.times, reading.memory_free, reading.memory_total, reading.on_battery) == (None, 0, 0, False)
    assert reading.cores == Machine(tmp_path).cores() == len(own_cpus())


def test_times_are_those_of_our_cores(tmp_path: Path) -> None:
    mine, other = min(own_cpus()), max(own_cpus()) + 1
    rows = f"cpu  9 9 9 9\ncpu{mine} 100 200 300 4000 0 0 0 0 0 0\ncpu{other} 7777 7777 7777 0\nintr 5\n"
    machine = made(tmp_path, {"proc/stat": rows})
    times = machine.read().times
    assert times is not None
    tick = os.sysconf("SC_CLK_TCK")
    assert (times.user_s, times.nice_s, times.system_s) == (100 / tick, 200 / tick, 300 / tick)
    assert Machine(tmp_path, niced=False).read().times is None, "compilers cannot be told from others"


@pytest.mark.parametrize(
    ("files", "total", "free"),
    [
        ({}, 16000000 << 10, 8000000 << 10),
        (
            {
                "proc/self/cgroup": "0::/user/worker\n",
                "sys/fs/cgroup/user/worker/memory.max": "max\n",
                "sys/fs/cgroup/user/memory.max": f"{4 << 30}\n",
                "sys/fs/cgroup/user/memory.current": f"{3 << 30}\n",
                "sys/fs/cgroup/user/memory.stat": f"anon 5\ninactive_file {1 << 30}\n",
            },
            4 << 30,
            2 << 30,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/docker/x\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{1 << 30}\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{1 << 29}\n",
                "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 0\n",
                "sys/fs/cgroup/unified/cgroup.procs": "",
            },
            1 << 30,
            1 << 29,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "5\n",
            },
            16000000 << 10,
            8000000 << 10,
        ),
    ],
    ids=["none", "v2, an ancestor's", "v1, seen from inside", "v1, no limit"],
)
def test_memory_is_what_the_narrowest_limit_leaves(
    tmp_path: Path, files: dict[str, str], total: int, free: int
) -> None:
    reading = made(tmp_path, {"proc/meminfo": MEMINFO, **files}).read()
    assert (reading.memory_total, reading.memory_free) == (total, free)


def test_cores_are_limited_by_a_quota(tmp_path: Path) -> None:
    quota = {"proc/self/cgroup": "0::/x\n", "sys/fs/cgroup/x/cpu.max": "50000 100000\n"}
    assert made(tmp_path / "v2", quota).cores() == 1
    quota["sys/fs/cgroup/x/cpu.max"] = "max 100000\n"
    assert made(tmp_path / "v2", quota).cores() == len(own_cpus())
    old = {
        "proc/self/cgroup": "1:cpu,cpuacct:/\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "100000\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    }
    assert made(tmp_path / "v1", old).cores() == 1


def supply(name: str, **values: str) -> dict[str, str]:
    return {f"sys/class/power_supply/{name}/{key}": f"{value}\n" for key, value in values.items()}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (supply("BAT0", type="Battery", status="Discharging"), True),
        (supply("BAT0", type="Battery", status="Charging"), False),
        (supply("BAT0", type="Battery", status="Discharging") | supply("AC", type="Mains", online="0"), True),
        (supply("BAT0", type="Battery", status="Discharging") | supply("AC", type="Mains", online="1"), False),
        (supply("mouse", type="Battery", status="Discharging", scope="Device"), False),
        (supply("ups", type="UPS", status="Discharging"), True),
        (supply("AC", type="Mains", online="1"), False),
    ],
    ids=["battery", "charging", "unplugged", "plugged in", "a mouse", "UPS", "no battery"],
)
def test_battery(tmp_path: Path, files: dict[str, str], expected: bool) -> None:
    assert made(tmp_path, files).read().on_battery is expected


def test_sleep_is_known() -> None:
    assert slept_s() >= 0.0
    assert abs(slept_s() - slept_s()) < 0.1


def test_a_busy_program_of_another_counts_and_a_niced_one_does_not() -> None:
    """On this machine, which others use as well: what a loop on a core adds is what is looked for."""
    machine = Machine()
    core = min(own_cpus())
    loop = f"import os; os.sched_setaffinity(0, {{{core}}}); os.nice(NICE)\nwhile True: pass"

    def used_by(nice: int) -> tuple[float, float]:
        with subprocess.Popen([sys.executable, "-I", "-S", "-c", loop.replace("NICE", str(nice))]) as process:
            try:
                first = machine.read()
                begun = own_seconds(process.pid)
                while own_seconds(process.pid) - begun < 0.5:
                    os.sched_yield()
                    assert time.monotonic() - first.at < 60
                last = machine.read()
            finally:
                process.kill()
        assert first.times is not None and last.times is not None
        return last.times.user_s - first.times.user_s, last.times.nice_s - first.times.nice_s

    assert used_by(0)[0] >= 0.4
    assert used_by(15)[1] >= 0.4


def own_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")


def test_slots_go_when_somebody_works_here() -> None:
    """From readings of this machine to slots; loops on every core, whatever else is going on."""
    machine = Machine()
    cores = len(own_cpus())
    manners = Manners(slots=cores)
    loops = [subprocess.Popen([sys.executable, "-I", "-S", "-c", "while True: pass"]) for _ in range(cores)]
    try:
        wait_until(lambda: manners.judge(machine.read(), 0).limited is Limited.LOAD, 30, "others are noticed")
        assert manners.standing.slots < cores and manners.standing.others_load > 0.5
    finally:
        for process in loops:
            process.kill()
            process.wait()

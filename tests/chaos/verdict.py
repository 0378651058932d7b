"""What is wrong after a build, in words; nothing if all is well.

Looked at from outside: files, process tables, what the agent says, what lies in the workers' directories.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.chaos.world import SPARE, World, strangers
from tests.e2e.builds import differing, made, stray
from tests.lan.machine import Machine
from tests.lan.waiting import wait_until

QUIET_S: Final = 25.0
"""A worker whose client vanished without a word notices within this time."""
SCRATCH: Final = "job-"


def troubles(world: World, expected: dict[str, bytes], patience_s: float = QUIET_S) -> list[str]:
    """Everything that is wrong, and does not get right within `patience_s` for each thing."""
    found: list[str] = []
    built = made(world.project / "build")
    if wrong := differing(built, expected):
        found.append(f"{len(wrong)} objects differ or are missing: {', '.join(wrong[:4])}")
    if left := stray(world.project):
        found.append(f"left in the project: {left[:4]}")
    checks: dict[str, Callable[[], object]] = {
        "the agent is idle": lambda: not _busy(world),
        "only the agent runs on the client": lambda: not strangers(world.farm.client, ("zdistcc-agent",)),
        "nothing is left in the agent's cache": lambda: not _left_in_cache(world),
        "the workers are used again": lambda: _usable(world),
    }
    for name in world.farm.names:
        checks[f"only a daemon runs on {name}"] = partial(_only_a_daemon, world, name)
        checks[f"no job's directory is left on {name}"] = partial(_no_scratch, world, name)
    checks[f"nothing runs on {SPARE}"] = lambda: not strangers(world.farm.lan[SPARE], ())
    for what, holds in checks.items():
        try:
            wait_until(holds, patience_s, what)
        except AssertionError:
            found.append(f"not so: {what}; {_details(world)}")
    return found


def handles(world: World) -> int | None:
    """How many descriptors the agent holds."""
    pid = world.agent()
    if pid is None:
        return None
    return len(list(Path(f"/proc/{world.farm.client.holder}/root/proc/{pid}/fd").iterdir()))


def at_the_end(world: World) -> list[str]:
    """Daemons that are told to leave do so at once when nothing is left of any job."""
    found = []
    for name in world.farm.names:
        daemon = world.farm.daemons[name]
        daemon.terminate()
        try:
            status = daemon.wait(10)
        except Exception:
            found.append(f"{name} does not leave: a place was leaked")
            continue
        if status:
            found.append(f"{name} ends with {status}")
        if "Traceback" in daemon.stderr:
            found.append(f"{name} has met a bug: {daemon.stderr.partition('Traceback')[2][-300:]}")
    return found


def _hosts(world: World) -> dict[str, dict[str, Any]]:
    return world.farm.hosts()


def _busy(world: World) -> list[str]:
    return [name for name, host in _hosts(world).items() if host["running"] or host["leases"]]


def _usable(world: World) -> bool:
    hosts = _hosts(world)
    return all(hosts.get(name, {}).get("usable") for name in world.farm.names)


def _left_in_cache(world: World) -> list[str]:
    return [
        path
        for path in _listed(world.farm.client, world.cache)
        if path.endswith((".tmp", ".new")) or "/canary/here-" in path
    ]


def _only_a_daemon(world: World, name: str) -> bool:
    return not strangers(world.farm.lan[name], ("zdistccd",))


def _no_scratch(world: World, name: str) -> bool:
    jobs = world.store(name) / "jobs"
    return not any(f"/{SCRATCH}" in path for path in _listed(world.farm.lan[name], jobs))


def _listed(machine: Machine, place: Path) -> list[str]:
    return machine.run(["find", place, "-mindepth", "1"]).stdout.split("\n")


def _details(world: World) -> str:
    hosts = {
        name: f"{host['state']} running={host['running']} leases={host['leases']} {host['reason'] or ''}"
        for name, host in _hosts(world).items()
    }
    running = {
        machine.name: lines
        for machine in world.farm.lan
        if (lines := strangers(machine, ("zdistccd", "zdistcc-agent")))
    }
    return f"hosts {hosts}, processes {running}"

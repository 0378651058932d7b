"""The table of what may happen to a build.

A fault strikes when a share of the objects is there, and is over after some seconds or at the end of the build,
whichever is first: `strike` returns what ends it.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.world import SPARE, World, processes
from tests.e2e.builds import SLOW_FLAGS, SLOW_SOURCE
from tests.e2e.farm import LAUNCHER
from tests.lan.needs import impair_unavailable_reason
from tests.lan.trouble import Limit, freeze, kill_all, limits_unavailable_reason, thaw
from tests.lan.waiting import wait_until

Heal = Callable[[], None]
FLAP_EVERY_S: Final = (0.2, 0.8)
CROWD: Final = 50
MEMORY_BYTES: Final = 150 << 20
"""Room for a daemon and for one small compiler."""
GCC: Final = ("gcc", "g++")


def _nothing() -> None:
    """It is over by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One use of a fault: on which worker, for how long, and chance for the rest."""

    world: World
    worker: str
    dice: random.Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A row: `weight` is how often it is drawn, `lasts_s` how long it lasts at most and at least."""

    name: str
    strike: Callable[[Strike], Heal]
    lasts_s: tuple[float, float] = (1.0, 6.0)
    weight: int = 4
    unavailable: Callable[[], str | None] = lambda: None


# --- workers ---------------------------------------------------------------------------------------


def _killed(strike: Strike) -> Heal:
    daemon = strike.world.farm.daemons[strike.worker]
    daemon.send_signal(signal.SIGKILL)
    return lambda: strike.world.restart(strike.worker, first=None)


def _all_killed(strike: Strike) -> Heal:
    kill_all(strike.world.farm.lan[strike.worker])
    return lambda: strike.world.restart(strike.worker, first=None)


def _told_to_leave(strike: Strike) -> Heal:
    strike.world.farm.daemons[strike.worker].terminate()
    return lambda: strike.world.restart(strike.worker)


def _frozen(strike: Strike) -> Heal:
    machine, daemon = strike.world.farm.lan[strike.worker], strike.world.farm.daemons[strike.worker]
    freeze(machine)
    return lambda: thaw(machine, [daemon])


def _daemon_frozen(strike: Strike) -> Heal:
    daemon = strike.world.farm.daemons[strike.worker]
    daemon.send_signal(signal.SIGSTOP)
    return lambda: daemon.send_signal(signal.SIGCONT)


# --- cables ----------------------------------------------------------------------------------------


def _cut(strike: Strike) -> Heal:
    strike.world.farm.lan.link_down(strike.worker)
    return lambda: strike.world.farm.lan.link_up(strike.worker)


def _client_cut(strike: Strike) -> Heal:
    strike.world.farm.lan.link_down("client")
    return lambda: strike.world.farm.lan.link_up("client")


def _flapping(strike: Strike) -> Heal:
    lan, over = strike.world.farm.lan, threading.Event()

    def flap() -> None:
        while not over.wait(strike.dice.uniform(*FLAP_EVERY_S)):
            lan.link_down(strike.worker)
            over.wait(strike.dice.uniform(*FLAP_EVERY_S))
            lan.link_up(strike.worker)

    thread = threading.Thread(target=flap)
    thread.start()

    def heal() -> None:
        over.set()
        thread.join()

    return heal


def _impaired(**how: float) -> Callable[[Strike], Heal]:
    def strike_(strike: Strike) -> Heal:
        lan = strike.world.farm.lan
        seed = strike.dice.randrange(1 << 30)
        lan.impair(strike.worker, seed=seed, **how)
        return lambda: lan.impair(strike.worker)

    return strike_


# --- disks and memory ------------------------------------------------------------------------------


def _fill(world: World, machine: str, place: Path) -> Heal:
    ballast = place / "ballast"
    world.farm.lan[machine].run(["dd", "if=/dev/zero", f"of={ballast}", "bs=64k", "status=none"])

    def heal() -> None:
        world.farm.lan[machine].run(["rm", "-f", ballast], check=True)

    return heal


def _store_full(strike: Strike) -> Heal:
    return _fill(strike.world, strike.worker, strike.world.store(strike.worker))


def _cache_full(strike: Strike) -> Heal:
    return _fill(strike.world, "client", strike.world.cache)


def _short_of_memory(strike: Strike) -> Heal:
    """Compilers are killed by the kernel, possibly the daemon."""
    world = strike.world
    limit = Limit(world.farm.lan[strike.worker], "memory").__enter__()
    limit.set("memory.limit_in_bytes", MEMORY_BYTES)
    limit.take()

    def heal() -> None:
        limit.__exit__(None, None, None)
        if world.farm.daemons[strike.worker].poll() is not None:
            world.restart(strike.worker, first=None)

    return heal


# --- compilers -------------------------------------------------------------------------------------


def _other_compilers(strike: Strike, scripts: dict[str, str], *, restart: bool) -> Heal:
    """Put other programs over a worker's compilers, as an upgrade would, with or without a restart of the worker."""
    world, machine = strike.world, strike.world.farm.lan[strike.worker]
    place = world.directory / "compilers" / strike.worker
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    covered = []
    for name, text in scripts.items():
        real = Path(shutil.which(name) or name).resolve()
        kept, instead = place / f"real-{real.name}", place / name
        shutil.copy2(real, kept)
        instead.write_text(text.format(kept=kept, name=real))
        instead.chmod(0o755)
        machine.run(["mount", "--bind", instead, real], check=True)
        covered.append(real)
    if restart:
        world.restart(strike.worker, first=signal.SIGKILL)

    def heal() -> None:
        for real in covered:
            machine.run(["umount", "--lazy", real], check=True)
        world.restart(strike.worker, first=signal.SIGKILL)

    return heal


LIE: Final = """#!/bin/bash
case " $* " in
*" -v "*|*" -E "*|*" -### "*) exec -a {name} {kept} "$@" ;;
*) exec -a {name} {kept} "$@" -fno-asynchronous-unwind-tables ;;
esac
"""


def _lying(strike: Strike) -> Heal:
    """The same compiler by its own words, run through a script that adds an option: other objects."""
    return _other_compilers(strike, dict.fromkeys(GCC, LIE), restart=True)


def _lying_from_now_on(strike: Strike) -> Heal:
    """The same, while the worker runs."""
    return _other_compilers(strike, dict.fromkeys(GCC, LIE), restart=False)


def _became_clang(strike: Strike) -> Heal:
    scripts = {"gcc": '#!/bin/sh\nexec clang "$@"\n', "g++": '#!/bin/sh\nexec clang++ "$@"\n'}
    return _other_compilers(strike, scripts, restart=True)


def _became_cross(strike: Strike) -> Heal:
    """A compiler for another machine under the old name, while the worker runs."""
    scripts = {name: f'#!/bin/sh\nexec aarch64-linux-gnu-{name} "$@"\n' for name in GCC}
    return _other_compilers(strike, scripts, restart=False)


# --- the client ------------------------------------------------------------------------------------


def _agent_killed(strike: Strike) -> Heal:
    pid = strike.world.agent()
    if pid is not None:
        strike.world.farm.client.run(["kill", "-KILL", str(pid)])
    return _nothing


def _launcher_killed(strike: Strike) -> Heal:
    """Somebody's compile is interrupted: it leaves nothing behind, and nothing else notices."""
    world = strike.world
    here = world.directory / "interrupted"
    here.mkdir(exist_ok=True)
    (here / "slow.cc").write_text(SLOW_SOURCE.replace("ROUNDS", str(1_000_000_000)))
    process = world.farm.spawn([LAUNCHER, "g++", *SLOW_FLAGS, "-c", "slow.cc", "-o", "slow.o"], here)

    def heal() -> None:
        process.signal_group(strike.dice.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        process.wait(30)
        assert sorted(path.name for path in here.iterdir()) == ["slow.cc"], "an interrupted compile left something"

    return heal


def _build_interrupted(strike: Strike) -> Heal:
    """All of the build's own processes at once, as by a key; the campaign begins it again."""
    client = strike.world.farm.client
    pids = processes(client, "make", "zdistcc", "sh", "gcc", "g++", "cc1", "cc1plus", "as")
    client.run(["kill", f"-{strike.dice.choice(['INT', 'KILL'])}", *map(str, pids)])
    return _nothing


# --- names -----------------------------------------------------------------------------------------


def _twin_name(strike: Strike) -> Heal:
    """Another machine of the same name, with a store of its own."""
    world = strike.world
    words = ["--name", strike.worker, "--slots", "1", "--store", str(world.store(SPARE))]
    world.start_extra(SPARE, *words, env={"ZDISTCC_CACHE_DIR": str(world.store(SPARE) / "cache")})
    return world.end_extra


def _cloned(strike: Strike) -> Heal:
    """A disk image was copied: two machines of the same identity, name and address book."""
    world, spare = strike.world, strike.world.farm.lan[SPARE]
    seed = world.farm.lan[strike.worker].run(["cat", world.store(strike.worker) / "id"], check=True).stdout
    identity = world.farm.lan[strike.worker].run(["cat", "/etc/machine-id"], check=True).stdout
    before = spare.run(["cat", "/etc/machine-id"], check=True).stdout
    script = 'printf %s "$1" >"$2" && printf %s "$3" >/etc/machine-id && hostname "$4"'
    spare.run(["sh", "-c", script, "sh", seed, world.store(SPARE) / "id", identity, strike.worker], check=True)
    words = ["--slots", "2", "--store", str(world.store(SPARE))]
    world.start_extra(SPARE, *words, env={"ZDISTCC_CACHE_DIR": str(world.store(SPARE) / "cache")})

    def heal() -> None:
        world.end_extra()
        spare.run(["sh", "-c", script, "sh", "", world.store(SPARE) / "id", before, SPARE], check=True)

    return heal


def _crowd(strike: Strike) -> Heal:
    """Fifty workers join at the same time, all on one machine, one slot each."""
    world, machine = strike.world, strike.world.farm.lan[SPARE]
    cache = world.directory / "crowd"
    cache.mkdir(exist_ok=True)
    env = {"ZDISTCC_CACHE_DIR": str(cache)}
    for number in range(CROWD):
        words = ["--name", f"crowd{number}", "--slots", "1", "--store", f"/tmp/crowd{number}"]
        world.start_extra(SPARE, *words, env=env)
    wait_until(lambda: len(processes(machine, "zdistccd")) == CROWD, 60, "all are started")

    def heal() -> None:
        with contextlib.suppress(AssertionError):
            wait_until(lambda: all(" at once on port " in each.stderr for each in world.extra), 120, "all serve")
        world.end_extra(signal.SIGINT)
        machine.run(["sh", "-c", "rm -rf /tmp/crowd*"])

    return heal


def _no_taps() -> str | None:
    return impair_unavailable_reason()


def _no_memory_groups() -> str | None:
    return limits_unavailable_reason("memory")


def _no_cross() -> str | None:
    return None if shutil.which("aarch64-linux-gnu-gcc") else "no cross compiler"


def _no_clang() -> str | None:
    return None if shutil.which("clang") else "no clang"


FAULTS: Final = (
    Fault(name="daemon-killed", strike=_killed),
    Fault(name="all-killed", strike=_all_killed),
    Fault(name="told-to-leave", strike=_told_to_leave, weight=2),
    Fault(name="frozen", strike=_frozen),
    Fault(name="daemon-frozen", strike=_daemon_frozen, weight=2),
    Fault(name="cable-cut", strike=_cut),
    Fault(name="flapping", strike=_flapping, lasts_s=(3.0, 10.0)),
    Fault(name="client-cut", strike=_client_cut, lasts_s=(0.5, 4.0), weight=2),
    Fault(name="loss-5%", strike=_impaired(loss=0.05), lasts_s=(5, 20), unavailable=_no_taps),
    Fault(name="delay-200ms", strike=_impaired(delay_ms=200), lasts_s=(5, 20), unavailable=_no_taps),
    Fault(name="1-mbit", strike=_impaired(rate_mbit=1), lasts_s=(5, 20)),
    Fault(
        name="bad-wireless",
        strike=_impaired(rate_mbit=2, loss=0.03, delay_ms=50),
        lasts_s=(5, 20),
        unavailable=_no_taps,
    ),
    Fault(name="store-full", strike=_store_full, lasts_s=(2, 10)),
    Fault(name="cache-full", strike=_cache_full, lasts_s=(2, 10), weight=2),
    Fault(name="out-of-memory", strike=_short_of_memory, lasts_s=(2, 10), unavailable=_no_memory_groups),
    Fault(name="lying-compiler", strike=_lying, lasts_s=(4, 12)),
    Fault(name="lying-from-now-on", strike=_lying_from_now_on, lasts_s=(4, 12), weight=2),
    Fault(name="became-clang", strike=_became_clang, lasts_s=(4, 12), weight=2, unavailable=_no_clang),
    Fault(name="became-cross", strike=_became_cross, lasts_s=(4, 12), weight=2, unavailable=_no_cross),
    Fault(name="agent-killed", strike=_agent_killed),
    Fault(name="launcher-killed", strike=_launcher_killed, lasts_s=(0.5, 4)),
    Fault(name="build-interrupted", strike=_build_interrupted),
    Fault(name="twin-name", strike=_twin_name, lasts_s=(3, 12), weight=2),
    Fault(name="cloned", strike=_cloned, lasts_s=(3, 12), weight=2),
    Fault(name="crowd-of-50", strike=_crowd, lasts_s=(20, 40), weight=1),
)
BY_NAME: Final = {fault.name: fault for fault in FAULTS}

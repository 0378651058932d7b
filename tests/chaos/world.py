"""The LAN of a campaign: a client, some workers, a spare machine, and the project that is built there again and again.

Every worker's store and the client's cache are small file systems of their own, so that they can be full.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.e2e.builds import made
from tests.e2e.farm import DAEMON, Farm
from tests.lan.machine import Machine, Process
from tests.lan.trouble import kill_all, thaw
from zdistcc.sample import copy_to

SLOTS: Final = 2
AT_ONCE: Final = 8
SPARE: Final = "spare"
STORE_MB: Final = 96
CACHE_MB: Final = 32
OPTIONS: Final = ("-O0", "-O0 -g")
"""Of which each build takes one: other objects, other times."""

SMALL: Final = tuple(
    f"build/{unit}.o"
    for unit in (
        *("base/arena", "base/bitset", "base/hashmap", "base/prng", "base/strbuf", "hash/crc32", "hash/sha256"),
        *("text/distance", "text/glob", "text/utf8", "text/wrap", "json/value", "json/parser", "expr/lexer"),
        *("ray/image", "graph/graph"),
    )
)


class World:
    """A context manager; `farm` is the LAN."""

    def __init__(
        self, directory: Path, *, workers: int = 3, policy: str = "least-completion", small: bool = False
    ) -> None:
        """`small`: only a part of the project is built."""
        self.directory = directory
        self.project = directory / "project"
        self.cache = directory / "cache"
        env = {"ZDISTCC_POLICY": policy, "ZDISTCC_CACHE_DIR": str(self.cache), "ZDISTCC_IDLE_EXIT": "3600"}
        self.farm = Farm(directory, workers=workers, started=0, slots=SLOTS, env=env, others=[SPARE])
        self.extra: list[Process] = []
        self._targets = SMALL if small else ()
        self._generation = 0
        self._references: dict[str, dict[str, bytes]] = {}

    def __enter__(self) -> Self:
        self.farm.__enter__()
        for machine in self.farm.lan:
            self.mount(machine, self.store(machine.name), STORE_MB)
        self.cache.mkdir()
        self.mount(self.farm.client, self.cache, CACHE_MB)
        for name in self.farm.names:
            self.start(name)
        for name in self.farm.names:
            self.farm.serving(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.farm.__exit__(kind, error, trace)

    def store(self, name: str) -> Path:
        """Where a machine's worker keeps its sources."""
        return self.directory / "stores" / name

    @staticmethod
    def mount(machine: Machine, place: Path, megabytes: int) -> None:
        """Give `place` a file system of its own, which only `machine` sees."""
        place.mkdir(parents=True, exist_ok=True)
        machine.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", place], check=True)

    # --- workers --------------------------------------------------------------------------------

    def daemon_words(self, name: str) -> list[str]:
        """The options of a worker's daemon."""
        return ["--store", str(self.store(name))]

    def start(self, name: str) -> None:
        """Start a worker."""
        # The client's cache directory is not a worker's.
        env = {"ZDISTCC_CACHE_DIR": str(self.store(name) / "cache")}
        self.farm.start(name, *self.daemon_words(name), env=env)

    def start_extra(self, name: str, *words: str, env: Mapping[str, str] | None = None) -> Process:
        """Start a daemon beside those of the farm; `end_extra` ends all of these."""
        process = self.farm.lan[name].spawn([DAEMON, *words], env=env)
        self.extra.append(process)
        return process

    def end_extra(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End them; they drain."""
        for process in self.extra:
            process.send_signal(number)
        for process in self.extra:
            process.wait(30)
        self.extra.clear()

    def restart(self, name: str, *, first: signal.Signals | None = signal.SIGTERM) -> None:
        """Start a worker again that may have ended."""
        daemon = self.farm.daemons.pop(name)
        if first is not None:
            daemon.send_signal(first)
        daemon.wait(30)
        self.start(name)

    def revive(self) -> None:
        """Every worker runs, none is stopped, all cables are whole."""
        for name, daemon in list(self.farm.daemons.items()):
            machine = self.farm.lan[name]
            thaw(machine, [daemon])
            self.farm.lan.link_up(name)
            if daemon.poll() is not None:
                self.farm.daemons.pop(name)
                self.start(name)
        for name in self.farm.names:
            self.farm.serving(name)

    def wipe(self, name: str) -> None:
        """End all that runs on a machine."""
        kill_all(self.farm.lan[name])

    # --- the project ----------------------------------------------------------------------------

    def prepare(self) -> None:
        """A fresh copy of the project, with headers that no worker has seen and that say the same."""
        self._generation += 1
        shutil.rmtree(self.project, ignore_errors=True)
        copy_to(self.project)
        for header in sorted((self.project / "include").rglob("*.h*")):
            with header.open("a") as file:
                file.write(f"/* generation {self._generation} */\n")
        shutil.rmtree(self.project / "build", ignore_errors=True)

    def reference(self, options: str) -> dict[str, bytes]:
        """The objects as the plain compiler makes them; made at the project's own place, because paths are recorded."""
        if options not in self._references:
            self.prepare()
            words = ["make", "-j2", "CC=gcc", "CXX=g++", f"OPT={options}", *self._targets]
            self.farm.client.run(words, cwd=self.project, timeout_s=300, check=True)
            self._references[options] = made(self.project / "build")
        return self._references[options]

    def make(self, options: str) -> Process:
        """Begin a build through the farm."""
        words = ["make", f"-j{AT_ONCE}", "CC=zdistcc gcc", "CXX=zdistcc g++", f"OPT={options}", *self._targets]
        return self.farm.spawn(words, self.project)

    def objects(self) -> int:
        """How many objects there are so far."""
        return sum(name.endswith(".o") for _, _, names in os.walk(self.project / "build") for name in names)

    def agent(self) -> int | None:
        """The agent's process id on the client."""
        pids = processes(self.farm.client, "zdistcc-agent")
        return pids[0] if pids else None


def processes(machine: Machine, *names: str) -> list[int]:
    """The processes on a machine that run these programs (or scripts)."""
    return [
        pid
        for pid, words in machine.processes().items()
        if words and any(Path(word).name in names for word in words[:2])
    ]


def strangers(machine: Machine, known: Sequence[str]) -> list[str]:
    """What runs on a machine and is none of the known programs; what has ended and was not waited for."""
    return [
        " ".join(words[:3]) or f"zombie {pid}"
        for pid, words in machine.processes().items()
        if not words or not any(Path(word).name in known for word in words[:2])
    ]

"""Samples an agent: where its processor time goes, by function, with little weight of its own.

The agent runs under this module by a program of its name in a directory beside a copy of the launcher.  A timer that
counts processor time interrupts it; each time the function that is running is noted, and every function of the
project that called it.  Time inside C functions counts for the Python function that called them.  SIGUSR1 writes what
was seen and begins anew.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

from tests.bench.farm.measure import Figures
from tests.lan.machine import Machine
from tests.lan.waiting import wait_until

INTERVAL_S: Final = 0.001
PROJECT: Final = "/zdistcc/"
SHOWN: Final = 40


class Sampler:
    """What was seen in this process."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._own: Counter[CodeType] = Counter()
        self._lines: Counter[tuple[CodeType, int]] = Counter()
        self._under: Counter[CodeType] = Counter()
        self._count = 0

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR1, self._write)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        self._count += 1
        if frame is None:
            return
        self._own[frame.f_code] += 1
        self._lines[frame.f_code, frame.f_lineno] += 1
        seen = set()
        while frame is not None:
            seen.add(frame.f_code)
            frame = frame.f_back
        self._under.update(seen)

    def _write(self, _number: int, _frame: FrameType | None) -> None:
        if not self._count:
            return

        def named(counter: Counter[CodeType]) -> dict[str, int]:
            made: Counter[str] = Counter()
            for code, count in counter.items():
                made[_name(code)] += count
            return dict(made)

        lines = {f"{_name(code)}:{line}": count for (code, line), count in self._lines.items()}
        seen = {"count": self._count, "own": named(self._own), "under": named(self._under), "lines": lines}
        partial = self._output.with_suffix(".partial")
        partial.write_text(json.dumps(seen))
        partial.rename(self._output)
        self._count = 0
        for counter in (self._own, self._under, self._lines):
            counter.clear()


def _name(code: CodeType) -> str:
    path = code.co_filename
    where = path.rpartition(PROJECT)[2] if PROJECT in path else f"({Path(path).name})"
    return f"{where} {code.co_qualname}"


def programs(directory: Path, output: Path) -> Path:
    """Make a directory with the launcher and an agent that is sampled; return it."""
    directory.mkdir(parents=True)
    shutil.copy2(Path(sys.executable).parent / "zdistcc", directory / "zdistcc")
    agent = directory / "zdistcc-agent"
    root = Path(__file__).parents[3]
    agent.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
        f"from pathlib import Path\nfrom tests.bench.farm.sampler import Sampler\nfrom zdistcc.agent.main import main\n"
        f"Sampler(Path({str(output)!r})).start()\nmain()\n"
    )
    agent.chmod(0o755)
    return directory


def collect(client: Machine, agent: Path | None, output: Path) -> dict[str, Any]:
    """Return what was seen since the last time; ``agent`` is its directory in the /proc of ``client``."""
    assert agent is not None, "the agent runs"
    output.unlink(missing_ok=True)

    def written() -> bool:  # an idle agent may need to be asked again before it runs a handler
        return output.exists() or client.run(["kill", "-USR1", agent.name]).returncode != 0 or output.exists()

    wait_until(written, 10, "the samples are written")
    seen: dict[str, Any] = json.loads(output.read_text())
    return seen


def report(samples: dict[str, Any], figures: Figures) -> list[str]:
    """Return the profile as lines: microseconds a job, so that they add up to the client's time."""
    agent_us, client_us = figures.agent_ms * 1e3, figures.client_ms * 1e3
    per_sample = agent_us / max(samples["count"], 1)
    lines = [
        "",
        f"where {client_us:.0f} us of a warm job go: {agent_us:.0f} in the agent, the rest in launchers and driver;",
        f"{samples['count']} samples",
    ]
    for title, key in (("in itself", "own"), ("with what it calls", "under"), ("by line", "lines")):
        lines += ["", f"  us/job {title}"]
        ranked = sorted(samples[key].items(), key=lambda item: -item[1])[:SHOWN]
        lines += [f"  {count * per_sample:6.0f} {name}" for name, count in ranked]
    return lines

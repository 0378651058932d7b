"""What builds consist of: measured ones (``traces/*.json``) and made-up ones with heavy tails.

The measured ones were made by compiling each file of the project once (-O2) on one core: CPU seconds of the compiler,
bytes of the source alone, and of all files it reads.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceJob:
    """One compile job; ``cost`` in seconds of a slot of speed 1."""

    file: str
    language: str
    cost: float
    source_bytes: int
    closure_bytes: int


def measured(name: str, copies: int = 1) -> tuple[TraceJob, ...]:
    """Return the jobs of a measured project, ``copies`` times over under different names."""
    rows = json.loads((Path(__file__).parent / "traces" / f"{name}.json").read_text())["jobs"]
    jobs = [
        TraceJob(file=file, language=language, cost=cost, source_bytes=source, closure_bytes=closure)
        for file, language, cost, source, closure, _ in rows
    ]
    return tuple(replace(job, file=f"{copy}/{job.file}") for copy in range(copies) for job in jobs)


def even(count: int, cost: float) -> tuple[TraceJob, ...]:
    """Return ``count`` jobs that are all alike."""
    return tuple(
        TraceJob(file=f"{n}.cc", language="c++", cost=cost, source_bytes=10_000, closure_bytes=1_000_000)
        for n in range(count)
    )


def heavy(count: int, seed: int, mean: float = 1.0, sigma: float = 1.0) -> tuple[TraceJob, ...]:
    """Return jobs with log-normal costs; their sizes follow their costs, loosely."""
    rng = random.Random(seed)
    jobs = []
    for number in range(count):
        cost = mean * rng.lognormvariate(-sigma * sigma / 2, sigma)
        size = int(800_000 * (cost / mean) ** 0.7 * rng.lognormvariate(0, 0.4))
        language = "c" if rng.random() < 0.3 else "c++"
        jobs.append(
            TraceJob(file=f"{seed}-{number}", language=language, cost=cost, source_bytes=size // 20, closure_bytes=size)
        )
    return tuple(jobs)

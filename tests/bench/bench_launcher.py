"""What a compile costs on this machine when nobody helps: `python -m tests.bench.bench_launcher [JOBS]`.

CPU time (user and system) of trivial compiles by plain gcc, and by `zdistcc gcc` in the three ways a job can stay here:
no worker known, not a distributable job, zdistcc disabled.  Launcher and agent are counted together, because the
agent lives in the control group that is read.  Prints a table, then one line of JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from tests.e2e.farm import LAUNCHER, Farm, unavailable

ROUNDS = 5
WAYS: dict[str, tuple[str, dict[str, str], str]] = {
    "gcc": ("", {}, "-c"),
    "zdistcc gcc, no worker": (f"{LAUNCHER} ", {}, "-c"),
    "zdistcc gcc, stays here (-g)": (f"{LAUNCHER} ", {}, "-g -c"),
    "gcc -g": ("", {}, "-g -c"),
    "zdistcc gcc, disabled": (f"{LAUNCHER} ", {"ZDISTCC_DISABLE": "1"}, "-c"),
}


def measure(farm: Farm, here: Path, jobs: int) -> dict[str, float]:
    """Return the median CPU time per job of each way, in ms."""
    (here / "x.c").write_text("int f(void) { return 1; }\n")
    samples: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS + 1):
        for way, (before, env, flags) in WAYS.items():
            script = f"for i in $(seq {jobs}); do {before}gcc {flags} x.c -o x.o; done"
            begun = farm.client.cpu_seconds()
            farm.run(["sh", "-c", script], here, env=env)
            samples[way].append((farm.client.cpu_seconds() - begun) * 1000 / jobs)
    return {way: statistics.median(times[1:]) for way, times in samples.items()}  # the first starts the agent


def main() -> None:
    reason = unavailable()
    if reason is not None:
        sys.exit(f"not measured: {reason}")
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as directory, Farm(Path(directory), workers=0) as farm:
        here = Path(directory, "here")
        here.mkdir()
        costs = measure(farm, here, jobs)
    for way, cost in costs.items():
        plain = costs["gcc -g" if "-g" in way else "gcc"]
        print(f"{way:32} {cost:7.2f} ms a job  {cost - plain:+7.2f}")
    print(json.dumps({"jobs": jobs, "cpu_ms": costs}))


if __name__ == "__main__":
    main()

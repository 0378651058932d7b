"""A worker breaks in the middle of a build: what it costs, on a virtual LAN of three workers with four slots each.

    python -m tests.bench.bench_faults [--policy NAME]... [--fault NAME]... [--jobs N] [--json FILE]

300 jobs of 200 ms (stub compilers that wait); the first worker breaks when a quarter of them is done.  In a further
build it comes back after a quarter.  ``slowed`` is another experiment: jobs burn CPU, each worker has a quota of it,
the first one a tenth of the others'; ``shared`` is a third: two clients build at once.  Limits are those of the
project's promise.  Times are of this machine: compare them within one run only.  Results: FAULTS.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.bench.farm.faults import FAULTS, Figures, Shared, Slowed, Yard, run_fault, run_shared, run_slowed
from tests.bench.farm.systems import build
from tests.e2e.farm import unavailable
from zdistcc.schedule.policies import POLICIES

JOBS = 300
HEADING = (
    f"{'policy':17} {'fault':22} {'without':>8} {'with':>7} {'limit':>7} {'built':>8} {'remote':>7} {'gap':>6}"
    f" {'lost':>6} {'back':>6} {'used':>6}"
)


def _number(value: float | None, width: int) -> str:
    return f"{value:{width}.2f}" if value is not None else f"{'-':>{width}}"


def row(policy: str, figures: Figures) -> str:
    """One line of the table."""
    return (
        f"{policy:17} {figures.fault:22} {figures.undisturbed_s:8.2f} {figures.disturbed_s:7.2f}"
        f" {figures.limit_s:7.2f} {figures.built:4d}/{figures.jobs:<3d} {figures.remote:7d} {figures.gap_s:6.2f}"
        f" {_number(figures.lost_s, 6)} {_number(figures.back_s, 6)} {_number(figures.used_s, 6)}"
        f"  {', '.join(figures.missed) or 'held'}"
    )


def slowed_row(policy: str, figures: Slowed) -> str:
    """One line, in words."""
    return (
        f"{policy:17} slowed: {figures.without_s:.2f} s without the worker, {figures.with_s:.2f} s with it at a tenth:"
        f" {figures.ratio:.3f} ({'held' if figures.ratio <= 1.1 else 'missed: 1.10'}), {figures.done_there} jobs there,"
        f" built {figures.built}/{figures.jobs}"
    )


def shared_row(policy: str, figures: Shared) -> str:
    """One line, in words."""
    even = all(0.45 <= share <= 0.55 for share in figures.shares)
    return (
        f"{policy:17} shared: {figures.shares[0]:.1%} and {figures.shares[1]:.1%} of {figures.both_busy_jobs} jobs in"
        f" {figures.both_busy_s:.1f} s ({'held' if even else 'missed: 45-55 %'}); {figures.slots_together:.1f} of 12"
        f" slots busy together, {figures.slots_alone:.1f} when one has ended; built {figures.built}/{figures.jobs}"
    )


def main(words: Sequence[str] | None = None) -> None:
    """Entry point."""
    names = [*(fault.name for fault in FAULTS), "slowed", "shared"]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--policy", action="append", choices=list(POLICIES))
    parser.add_argument("--fault", action="append", choices=names, help="all, unless given")
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args(words)
    why_not = unavailable()
    if why_not is not None:
        sys.exit(f"not measured: {why_not}")
    chosen = options.fault or names
    rows = []
    print(HEADING)
    with tempfile.TemporaryDirectory(prefix="zdistcc-faults-") as name:
        replay = Path(name) / "replay"
        build("replay.c", replay)
        for policy in options.policy or ["least-loaded", "least-completion"]:
            for fault in chosen:
                directory = Path(name) / policy / fault.replace(" ", "-")
                yard = Yard(directory=directory, replay=replay, policy=policy, jobs=options.jobs)
                if fault == "slowed":
                    slowed = run_slowed(yard)
                    print(slowed_row(policy, slowed), flush=True)
                    rows.append({"policy": policy, "fault": fault, **asdict(slowed)})
                elif fault == "shared":
                    shared = run_shared(yard)
                    print(shared_row(policy, shared), flush=True)
                    rows.append({"policy": policy, "fault": fault, **asdict(shared)})
                else:
                    figures = run_fault(yard, next(each for each in FAULTS if each.name == fault))
                    print(row(policy, figures), flush=True)
                    rows.append({"policy": policy, **asdict(figures), "missed": figures.missed})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

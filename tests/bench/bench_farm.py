"""zdistcc beside distcc and icecream, in one run on a virtual LAN: what a job costs its client.

    python -m tests.bench.bench_farm [--quick] [--sources DIR] [--workload NAME]... [--system NAME]...
        [--json FILE] [--profile]

The client is bound to one processor, all workers to another; compilers on the workers are stubs that wait a little
and return a ready object, so that the client is what is measured.  CPU time is per job and of everything on the client:
build tool, wrappers, preprocessors, daemons.  ``floor`` is the same build with a stub in place of the wrapper;
``above`` is what a system takes beyond it.  Times are of this machine: compare them within one run only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench.farm import measure, sampler
from tests.bench.farm.measure import Bench, Figures
from tests.bench.farm.systems import Stubs, System, Unavailable, Zdistcc, build, systems
from tests.bench.farm.workloads import WORKLOADS, Missing, Workload
from tests.lan.needs import lan_unavailable_reason

WORKERS: Final = 3
SLOTS: Final = 32
AT_ONCE: Final = 64
QUICK: Final = 24
"""Commands of each workload in a quick run."""


def run_system(system: System, workload: Workload, stubs: Stubs, directory: Path, replay: Path) -> list[Figures]:
    """Measure ``system``; after a cold start also the build that follows."""
    with measure.new_lan(directory / "lan", WORKERS, replay.parent) as lan:
        site = measure.open_site(system, workload, stubs, lan, directory, workers=WORKERS, slots=SLOTS)
        bench = Bench(site, system, replay, AT_ONCE)
        if system.cold:
            return [bench.measure(f"{system.name} cold"), bench.measure(f"{system.name} warm")]
        if system.name != "floor":
            bench.warm_up()
        return [bench.measure(system.name)]


def profile(workload: Workload, stubs: Stubs, directory: Path, replay: Path) -> list[str]:
    """Return where the client's time of a warm job goes, as lines."""
    programs = sampler.programs(directory / "bin", directory / "samples.json")
    system = Zdistcc("zdistcc", mode="headers", cold=True, programs=programs)
    with measure.new_lan(directory / "lan", WORKERS, replay.parent) as lan:
        site = measure.open_site(system, workload, stubs, lan, directory, workers=WORKERS, slots=SLOTS)
        bench = Bench(site, system, replay, AT_ONCE)
        bench.measure("cold")
        sampler.collect(site.client, bench.agent(), directory / "samples.json")
        bench.alone_too = False
        figures = bench.measure("warm")
        samples = sampler.collect(site.client, bench.agent(), directory / "samples.json")
    return sampler.report(samples, figures)


def run_workload(workload: Workload, chosen: Sequence[System], directory: Path, replay: Path) -> list[dict[str, Any]]:
    """Measure all systems with one workload; print a row for each."""
    stubs = Stubs.make(directory / "stubs", workload)
    print(f"\n{workload.name}: {len(workload.commands)} commands, {AT_ONCE} at once")
    print(HEADING)
    rows: list[dict[str, Any]] = []
    floor = 0.0
    for number, system in enumerate(chosen):
        place = directory / str(number)
        place.mkdir()
        try:
            found = run_system(system, workload, stubs, place, replay)
        except Unavailable as error:
            print(f"{system.name:14} not measured: {error}")
            rows.append({"workload": workload.name, "system": system.name, "not_measured": str(error)})
            continue
        for figures in found:
            floor = figures.client_ms if system.name == "floor" else floor
            print(row(figures, floor), flush=True)
            rows.append({"workload": workload.name, **figures.as_json(), "above_ms": figures.client_ms - floor})
    print("\n".join(ratios(rows)))
    return rows


def ratios(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return how this project compares with the others, as lines."""
    by_name = {each["system"]: each for each in rows if "above_ms" in each}
    lines = []
    for ours, theirs in itertools.product(("zdistcc cold", "zdistcc warm"), by_name):
        if ours in by_name and not theirs.startswith(("zdistcc", "floor")):
            cpu = by_name[theirs]["above_ms"] / by_name[ours]["above_ms"]
            sent = by_name[ours]["sent"] / by_name[theirs]["sent"]
            lines.append(f"{ours}: 1/{cpu:.1f} of the CPU above the floor of {theirs}, {sent:.2%} of its bytes sent")
    if "zdistcc warm" in by_name:
        warm = by_name["zdistcc warm"]
        full = 1000 / warm["client_ms"]
        lines.append(f"zdistcc warm: a client's core would do {full:.0f} jobs/s if nothing else took it")
    return lines


HEADING: Final = (
    f"{'':14} {'client':>8} {'above':>8} {'agent':>7} {'worker':>7} {'sent':>9} {'received':>9} {'wall':>7}"
    f" {'jobs':>6} {'client':>6} {'alone':>7} {'agent':>6} {'remote':>11}\n"
    f"{'':14} {'ms/job':>8} {'ms/job':>8} {'ms/job':>7} {'ms/job':>7} {'B/job':>9} {'B/job':>9} {'s':>7}"
    f" {'/s':>6} {'busy':>6} {'ms':>7} {'MB':>6} {'of jobs':>11}"
)


def row(figures: Figures, floor: float) -> str:
    """Return one line of the table."""
    memory = f"{figures.agent_mb:6.1f}" if figures.agent_mb else f"{'':6}"
    return (
        f"{figures.system:14} {figures.client_ms:8.2f} {figures.client_ms - floor:8.2f} {figures.agent_ms:7.2f}"
        f" {figures.worker_ms:7.2f} {figures.sent:9.0f} {figures.received:9.0f} {figures.wall_s:7.2f}"
        f" {figures.jobs_s:6.0f} {figures.client_busy:6.0%} {figures.alone_ms or 0:7.2f} {memory}"
        f" {figures.remote:5d}/{figures.jobs:<5d}{' FAILED ' + str(figures.failed) if figures.failed else ''}"
    )


def main(words: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} commands of each workload")
    parser.add_argument("--sources", type=Path, default=os.environ.get("ZDISTCC_BENCH_SOURCES"))
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS), help="all, unless given")
    parser.add_argument("--system", action="append", choices=[system.name for system in systems()])
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--profile", action="store_true", help="also say where the time of a warm job goes")
    options = parser.parse_args(words)
    why_not = lan_unavailable_reason() or (None if len(os.sched_getaffinity(0)) > 1 else "it takes two processors")
    if why_not is not None:
        sys.exit(f"not measured: {why_not}")
    chosen = [
        system for system in systems() if system.name == "floor" or system.name in (options.system or [system.name])
    ]
    sources = Path(options.sources) if options.sources else None
    rows: list[dict[str, Any]] = []
    with measure.temporary() as name:
        directory = Path(name)
        replay = directory / "replay"
        build("replay.c", replay)
        for title in options.workload or WORKLOADS:
            try:
                workload = WORKLOADS[title](sources, directory / title / "sources", QUICK if options.quick else None)
            except Missing as missing:
                print(f"\n{title}: left out, {missing}")
                rows.append({"workload": title, "left_out": str(missing)})
                continue
            rows += run_workload(workload, chosen, directory / title, replay)
            if options.profile:
                (directory / title / "profile").mkdir()
                stubs = Stubs.known(directory / title / "stubs")
                print("\n".join(profile(workload, stubs, directory / title / "profile", replay)))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

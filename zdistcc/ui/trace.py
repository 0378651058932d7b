"""Builds as Chrome trace events: what chrome://tracing and ui.perfetto.dev open.

Each worker is a process, each slot a thread in which jobs are slices and their phases slices within; so is this
machine.  What waited for a slot is in a process of its own.  Times are microseconds since the first job's begin.  Pure.

Rejected: async events for the phases (viewers sort them by name, and a slot is not seen), flow arrows between waiting
and running (thousands of crossing lines).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from zdistcc.ui.builds import Build, Event, Job, Stretch, clean, lanes, places

_WAITING = "waiting for a slot"


def trace(builds: Sequence[Build], events: Iterable[Event]) -> str:
    """Return the JSON of a trace of ``builds``; ``events`` outside them are left out."""
    origin = min((build.begin for build in builds), default=0.0)
    end = max((build.end for build in builds), default=0.0)
    everything = Build(jobs=tuple(job for build in builds for job in build.jobs), begin=origin, end=end)
    written: list[dict[str, Any]] = []
    pids: dict[str, int] = {}
    for name, row in {_WAITING: _waits(everything), **places(everything)}.items():
        if not row:
            continue
        pid = pids[name] = len(pids) + 1
        given = lanes(row)
        written += _names(pid, name, max(given) + 1)
        for stretch, lane in zip(row, given, strict=True):
            written.extend(_slices(stretch, pid, lane + 1, origin))
    for event in events:
        if origin <= event.at <= end:
            pid = pids.get(event.worker, 0)
            slice_ = {"ph": "i", "s": "p" if pid else "g", "ts": _micro(event.at, origin), "pid": pid, "tid": 0}
            said = {"worker": clean(event.worker), "text": clean(event.text)}
            written.append({"name": clean(event.kind), "cat": "event", **slice_, "args": said})
    return json.dumps(
        {"traceEvents": written, "displayTimeUnit": "ms", "otherData": {"begin": origin, "program": "zdistcc"}},
        separators=(",", ":"),
    )


def _waits(build: Build) -> list[Stretch]:
    """What came before each job's slot, as stretches."""
    found = []
    for job in build.jobs:
        until = min([at for at in (job.granted, job.running, job.ended) if at])
        if until > job.begun:
            phases = [("plan", job.begun)]
            if job.begun < job.planned < until:
                phases.append(("queue", job.planned))
            found.append(
                Stretch(job=job, place=_WAITING, begin=job.begun, end=until, kind="waiting", phases=tuple(phases))
            )
    return sorted(found, key=lambda stretch: (stretch.begin, stretch.end))


def _names(pid: int, name: str, threads: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"name": "process_name", "ph": "M", "pid": pid, "args": {"name": name}},
        {"name": "process_sort_index", "ph": "M", "pid": pid, "args": {"sort_index": pid}},
    ]
    for tid in range(1, threads + 1):
        rows.append({"name": "thread_name", "ph": "M", "pid": pid, "tid": tid, "args": {"name": f"slot {tid}"}})
        rows.append({"name": "thread_sort_index", "ph": "M", "pid": pid, "tid": tid, "args": {"sort_index": tid}})
    return rows


def _micro(at: float, origin: float) -> int:
    return round((at - origin) * 1_000_000)


def _slices(stretch: Stretch, pid: int, tid: int, origin: float) -> Iterator[dict[str, Any]]:
    """The job's slice, then those of its phases; instants are rounded, not lengths, so that all nest."""
    begin, end = _micro(stretch.begin, origin), _micro(stretch.end, origin)
    where = {"ph": "X", "pid": pid, "tid": tid}
    name = stretch.job.file + (" (second start)" if stretch.kind == "second" else "")
    yield {"name": name, "cat": stretch.kind, **where, "ts": begin, "dur": end - begin, "args": _facts(stretch.job)}
    instants = [_micro(at, origin) for _, at in stretch.phases] + [end]
    for (phase, _), at, until in zip(stretch.phases, instants, instants[1:], strict=False):
        yield {"name": phase, "cat": "phase", **where, "ts": at, "dur": until - at}


def _facts(job: Job) -> dict[str, Any]:
    facts = {
        "job": job.number,
        "directory": job.directory,
        "worker": job.worker,
        "fate": job.fate or "under way",
        "mode": job.mode,
        "reason": job.reason,
        "why": job.why,
        "detail": job.detail,
        "starts": job.starts,
        "second_worker": job.second_worker,
        "cpu_ms": round(job.cpu * 1000),
        "compile_ms": round(job.seconds * 1000),
        "bytes_sent": job.shipped,
        "bytes_received": job.received,
    }
    return {name: value for name, value in facts.items() if value}

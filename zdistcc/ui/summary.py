"""The line at the end of a build: how many jobs, where they ran, and what that saved.

What was saved is told as the least that it can have been: the processor time that workers spent, spread over the cores
of this machine, less the time that the build took.  That is as if this machine had been as fast as the workers, had
kept all its cores busy, and had needed nothing for what ran here as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from zdistcc.errors import Reason

NO_COMPILES: Final = {
    reason.word
    for reason in (
        *(Reason.NOT_A_COMPILE, Reason.QUERY, Reason.LINK, Reason.PREPROCESS_ONLY, Reason.NO_INPUT),
        *(Reason.CONFIGURE_PROBE, Reason.STDIN_INPUT),
    )
}
"""A build that has only these has compiled nothing of which there would be something to tell."""
SHOWN_WORKERS: Final = 6
SHOWN_REASONS: Final = 3


def summary(build: Mapping[str, Any], elapsed_s: float, cores: int) -> str:
    """Return the line for what the agent counted of a build; empty if nothing was compiled."""
    workers: Mapping[str, Mapping[str, float]] = build.get("workers", {})
    reasons: Mapping[str, int] = build.get("reasons", {})
    if not workers and not reasons.keys() - NO_COMPILES:
        return ""
    remote = sum(int(worker["jobs"]) for worker in workers.values())
    here = sum(reasons.values())
    by_jobs = sorted(workers, key=lambda name: (-workers[name]["jobs"], name))
    places = [f"{int(workers[name]['jobs'])} on {name}" for name in by_jobs[:SHOWN_WORKERS]]
    if rest := by_jobs[SHOWN_WORKERS:]:
        places.append(f"{int(sum(workers[name]['jobs'] for name in rest))} on {_count(len(rest), 'other')}")
    if here:
        places.append(f"{here} here ({_reasons(reasons)})")
    saved_s = sum(worker["cpu_s"] for worker in workers.values()) / max(1, cores) - elapsed_s
    saved = f"; at least {duration(saved_s)} saved" if saved_s >= 1 else "; no time saved" if remote else ""
    return f"{_count(remote + here, 'job')} in {duration(elapsed_s)}: {', '.join(places)}{saved}"


def _reasons(reasons: Mapping[str, int]) -> str:
    if len(reasons) == 1:
        return next(iter(reasons))
    words = sorted(reasons, key=lambda word: (-reasons[word], word))
    shown = [f"{reasons[word]} {word}" for word in words[:SHOWN_REASONS]]
    if rest := words[SHOWN_REASONS:]:
        shown.append(f"{sum(reasons[word] for word in rest)} for {_count(len(rest), 'other reason')}")
    return ", ".join(shown)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a time as people say it: 4.2 s, 31 s, 2 min 5 s, 1 h 3 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

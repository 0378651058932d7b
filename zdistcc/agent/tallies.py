"""What became of the jobs of each build: those whose commands have the same ``_ZDISTCC_BUILD`` in their environment.

``zdistcc make`` and its like set it, and ask at the end.  Must not know: jobs under way.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from zdistcc.wire.control import BUILD_VARIABLE

LONGEST_NAME: Final = 64
KEPT: Final = 64
"""Tallies of which this much is remembered; the one that was quiet for longest is forgotten first."""


@dataclass(slots=True)
class Tally:
    """One build: jobs and processor seconds by worker, jobs that stayed here by reason, jobs that failed."""

    jobs: Counter[str] = field(default_factory=Counter)
    cpu_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    reasons: Counter[str] = field(default_factory=Counter)
    failed: int = 0


class Tallies:
    """The tallies of the last builds."""

    def __init__(self) -> None:
        self._tallies: OrderedDict[str, Tally] = OrderedDict()

    def count(self, build: str, fate: str, worker: str, reason: str, cpu_ms: int) -> None:
        """A job of ``build`` is over; its fate is that of a :class:`~zdistcc.agent.journal.JobRecord`."""
        tally = self._tallies.setdefault(build, Tally())
        self._tallies.move_to_end(build)
        if len(self._tallies) > KEPT:
            self._tallies.popitem(last=False)
        if fate == "remote":
            tally.jobs[worker] += 1
            tally.cpu_s[worker] += cpu_ms / 1000
        elif fate == "local":
            tally.reasons[reason] += 1
        else:
            tally.failed += 1

    def as_json(self, build: str) -> dict[str, Any]:
        """Return what became of the jobs of ``build``."""
        tally = self._tallies.get(build, Tally())
        return {
            "workers": {name: {"jobs": jobs, "cpu_s": tally.cpu_s[name]} for name, jobs in sorted(tally.jobs.items())},
            "reasons": dict(sorted(tally.reasons.items())),
            "failed": tally.failed,
        }


def build_of(env: dict[bytes, bytes]) -> str:
    """Return the build that a command belongs to, empty for none."""
    return env.get(BUILD_VARIABLE.encode(), b"").decode("ascii", "replace")[:LONGEST_NAME]

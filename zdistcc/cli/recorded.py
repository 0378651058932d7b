"""What the agent has on record, asked for page by page and put into builds: for ``report`` and ``trace``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zdistcc.cli.ask import ask
from zdistcc.errors import UserError
from zdistcc.ui.builds import Build, Event, Job, job_of, split


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """All builds, the last one first; events on the LAN; local slots; what of the history could not be read."""

    builds: Sequence[Build]
    events: Sequence[Event]
    slots: int
    skipped: int

    def choose(self, number: int) -> Build:
        """Return the build of this number, 1 being the last one."""
        if not self.builds:
            raise UserError("no build is on record: compile something with zdistcc first")
        if number > len(self.builds):
            raise UserError(f"there is no build {number}, only {len(self.builds)}: zdistcc report --list shows them")
        return self.builds[number - 1]


def recorded() -> Recorded:
    """Ask the agent for everything."""
    jobs: dict[tuple[str, int], Job] = {}
    events: dict[tuple[str, int], Event] = {}

    def take(agent: str, epoch: float, now: float, part: dict[str, Any]) -> None:
        for record in part.get("jobs", ()):
            jobs[agent, record["job"]] = job_of(record, epoch, now)
        for note in part.get("notes", ()):
            said = {name: note[name] for name in ("kind", "worker", "text")}
            events[agent, note["number"]] = Event(at=epoch + note["at"], **said)

    history = ask({"ask": "history"}) or {}
    for batch in history["batches"]:
        take(batch["agent"], batch["epoch"], 0.0, batch)
    after, page = 0, dict[str, Any]()
    while after is not None:
        page = ask({"ask": "journal", "after": after}) or {}
        take(page["agent"], page["epoch"], page["now"], page)
        after = page["next"]
    take(page["agent"], page["epoch"], page["now"], {"jobs": page["under_way"]})
    return Recorded(
        builds=split(jobs.values()),
        events=sorted(events.values(), key=lambda event: event.at),
        slots=page["slots"],
        skipped=history["skipped"],
    )


def write(place: str, text: str) -> None:
    """Write a file that the user has named."""
    try:
        Path(place).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{place} cannot be written: {error.strerror}; name another file") from error

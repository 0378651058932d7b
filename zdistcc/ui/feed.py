"""The feed: what ``status`` keeps of the snapshots it was given: the last one, the events, and rates by the second.

Pure: times come with the snapshots.  The agent counts; only who looks for a while sees how fast the counts grow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

Picture = Mapping[str, Any]
"""A snapshot as the agent answers it (``man 1 zdistcc``); a field that its version does not have is left out."""

KEPT_S: Final = 240
"""As many seconds as the widest screen has cells."""
KEPT_NOTES: Final = 500


class Rates:
    """Growth of a count, by the second."""

    def __init__(self) -> None:
        self._second: int | None = None
        self._seen = 0.0
        self._done: deque[float] = deque(maxlen=KEPT_S)
        self._growing = 0.0

    def take(self, time: float, count: float) -> None:
        """The count was ``count`` at ``time``."""
        second = int(time)
        if self._second is None or count < self._seen:
            self._second, self._seen, self._growing = second, count, 0.0
        for _ in range(min(KEPT_S, second - self._second)):
            self._done.append(self._growing)
            self._growing = 0.0
        self._second = max(self._second, second)
        self._growing += count - self._seen
        self._seen = count

    @property
    def values(self) -> list[float]:
        """Growth in each whole second, the last one newest."""
        return list(self._done)

    @property
    def recent(self) -> float:
        """Growth a second, over the last three whole ones."""
        last = self.values[-3:]
        return sum(last) / len(last) if last else 0.0


class Feed:
    """See the module."""

    def __init__(self) -> None:
        self.picture: Picture | None = None
        self.trouble = ""
        self.notes: deque[Mapping[str, Any]] = deque(maxlen=KEPT_NOTES)
        self.jobs = Rates()
        self.bytes = Rates()
        self._agent: object = None

    def take(self, picture: Picture) -> None:
        """A new snapshot has come."""
        agent = picture.get("agent", {}).get("pid")
        if agent != self._agent:
            self._agent = agent
            self.notes.clear()
        self.picture, self.trouble = picture, ""
        self.notes.extend(picture.get("notes", ()))
        time, moved = float(picture.get("time", 0.0)), picture.get("bytes", {})
        self.jobs.take(time, picture.get("finished", 0))
        self.bytes.take(time, moved.get("sent", 0) + moved.get("received", 0))

    @property
    def after(self) -> dict[str, int]:
        """What to name in the question for the next snapshot."""
        if self.picture is None:
            return {}
        named = {"revision": "revision", "finished": "finished", "notes": "last_note"}
        return {word: int(self.picture.get(key, 0)) for word, key in named.items()}

    def lost(self, trouble: str) -> None:
        """The agent does not answer; the next one counts from the beginning."""
        self.trouble = trouble

    @property
    def log(self) -> Iterable[tuple[Mapping[str, Any], int]]:
        """Events, oldest first; the same kind of one worker in a row is one, with its number."""
        last: Mapping[str, Any] | None = None
        number = 0
        for note in self.notes:
            if last is not None and (note["kind"], note["worker"]) != (last["kind"], last["worker"]):
                yield last, number
                number = 0
            last, number = note, number + 1
        if last is not None:
            yield last, number

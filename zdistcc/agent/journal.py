"""The journal: what happened to each job, phase by phase, and what happened on the LAN.

One record a job from its launcher's arrival to its end, and one note an event; the newest are kept.  ``status``,
``trace`` and ``report`` are made of it, so it holds times and words, never content.

Times are seconds of the event loop's clock, 0 where a phase was not reached; ``epoch`` added to one gives the time of
day.  Must not know: why a job went where it went.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Final

import msgspec

from zdistcc.agent.tallies import Tallies, build_of
from zdistcc.discovery.advert import printable
from zdistcc.schedule.events import JobId
from zdistcc.wire.control import LaunchRequest

KEPT_JOBS: Final = 20_000
"""About half a kilobyte each: 10 MB at most."""
KEPT_NOTES: Final = 500
LONGEST_WORD: Final = 300


class JobRecord(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One job.

    ``fate`` is empty while it is under way, then ``remote``, ``local``, ``failed`` or ``abandoned``.  ``begun`` to
    ``ended`` are in the order in which they come; a local job has ``running`` (its slot was free) instead of the four
    before it, or beside them when a worker's answer was not used.  A job that was started a second time has ``second``,
    when that was, and ``first_worker`` if the second was first to answer.  ``*_ms`` are the worker's measurements,
    ``shipped`` and ``received`` packed bytes.  ``session`` is that of the launcher, 0 where it cannot be seen.
    """

    job: int
    file: str
    directory: str
    pid: int
    session: int = 0
    begun: float
    planned: float = 0.0
    granted: float = 0.0
    sent: float = 0.0
    started: float = 0.0
    answered: float = 0.0
    running: float = 0.0
    ended: float = 0.0
    worker: str = ""
    mode: str = ""
    reason: str = ""
    detail: str = ""
    fate: str = ""
    starts: int = 0
    second_worker: str = ""
    second: float = 0.0
    first_worker: str = ""
    build: str = ""
    cpu_ms: int = 0
    wall_ms: int = 0
    queue_ms: int = 0
    shipped: int = 0
    received: int = 0


class Note(msgspec.Struct, kw_only=True, frozen=True):
    """Something happened to a worker.

    ``kind`` is ``joined``, ``left``, ``lost``, ``unreachable``, ``refused`` or ``failed``.
    """

    number: int
    at: float
    kind: str
    worker: str
    text: str


def _text(word: bytes) -> str:
    return printable(os.fsdecode(word).encode("utf-8", "replace").decode(), LONGEST_WORD)


def subject(argv: tuple[bytes, ...]) -> bytes:
    """Return the word of a command line that says best what it is about: a source, else what it makes."""
    made, last = b"", b""
    words = iter(argv[1:])
    for word in words:
        if word == b"-o":
            made = next(words, b"")
        elif not word.startswith(b"-"):
            last = last or word
    return made if last.endswith((b".o", b".a", b".so")) and made else last or made or argv[0]


def _session(pid: int) -> int:
    """The session of a launcher: a terminal's, a script's; one build does not change it."""
    try:
        return os.getsid(pid) if pid > 0 else 0
    except OSError:  # it has ended, or has another process namespace
        return 0


def _deaf(news: JobRecord | Note) -> None:
    """The listener while nobody listens."""


class Journal:
    """All records, those under way by job.

    ``keep`` is called with each that is finished and with each note; ``listener`` also with those that begin or get a
    slot here.
    """

    def __init__(self, clock: Callable[[], float], keep: Callable[[JobRecord | Note], None] = _deaf) -> None:
        self.epoch = time.time() - clock()
        self.under_way: dict[JobId, JobRecord] = {}
        self.finished = 0
        self.listener: Callable[[JobRecord | Note], None] = _deaf
        self._clock = clock
        self._keep = keep
        self._jobs: deque[JobRecord] = deque(maxlen=KEPT_JOBS)
        self._notes: deque[Note] = deque(maxlen=KEPT_NOTES)
        self._numbers = count(1)
        self.tallies = Tallies()

    def begin(self, job: JobId, request: LaunchRequest) -> JobRecord:
        """A launcher came with a command."""
        record = self.under_way[job] = JobRecord(
            job=job,
            file=_text(subject(request.argv)),
            directory=_text(request.cwd),
            pid=request.pid,
            session=_session(request.pid),
            begun=self._clock(),
            build=build_of(request.env),
        )
        self.listener(record)
        return record

    def end(self, job: JobId | None, fate: str) -> None:
        """``job`` is over; a second end of the same job counts for nothing."""
        record = self.under_way.pop(job, None) if job is not None else None
        if record is not None:
            record.fate = fate
            record.ended = self._clock()
            self.finished += 1
            self._jobs.append(record)
            if record.build:
                self.tallies.count(record.build, fate, record.worker, record.reason, record.cpu_ms)
            self._keep(record)
            self.listener(record)

    def runs_here(self, job: JobId | None) -> None:
        """``job`` has a slot of this machine and runs there from now on."""
        record = self.under_way.get(job) if job is not None else None
        if record is not None:
            record.running = self._clock()
            self.listener(record)

    def note(self, kind: str, worker: str, text: str = "") -> None:
        """Something happened to ``worker``."""
        note = Note(
            number=next(self._numbers),
            at=self._clock(),
            kind=kind,
            worker=worker,
            text=printable(text, LONGEST_WORD),
        )
        self._notes.append(note)
        self._keep(note)
        self.listener(note)

    @property
    def first(self) -> int:
        """How many finished jobs are no longer kept."""
        return self.finished - len(self._jobs)

    def jobs(self, after: int = 0) -> Iterator[JobRecord]:
        """Yield the finished jobs that are kept, oldest first, without the first ``after`` of all that finished."""
        return islice(self._jobs, max(0, after - self.first), None)

    def notes(self, after: int = 0) -> Iterator[Note]:
        """Yield the notes with a number above ``after``."""
        return (note for note in self._notes if note.number > after)

"""Builds: the agent's records of jobs as groups that belong together, and what there is to say of one.

A build is the jobs of one session (a terminal's, a script's: what launchers inherit from ``make`` whatever groups of
processes it forms) between which no more than :data:`IDLE_S` passed without any job.  Rejected: the parent process (a
recursive make has many), the process group (ninja gives each command its own), the directory (makes change it).

Times are seconds since 1970, 0 where a phase was not reached.  Pure; must not know: how any of it is drawn, who
recorded it.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, Final

from zdistcc.errors import Reason

IDLE_S: Final = 10.0
HERE: Final = "this machine"
SLOWEST: Final = 20
_TIMES: Final = ("begun", "planned", "granted", "sent", "started", "answered", "running", "ended", "second")
_TEXTS: Final = {reason.word: reason.text for reason in Reason}


def clean(text: str) -> str:
    """Return ``text`` without what could act on a terminal or is no character of XML."""
    return "".join(character if character.isprintable() else "?" for character in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job; see ``agent.journal.JobRecord``.  ``under_way``: it has not ended, ``ended`` is now."""

    number: int
    file: str
    directory: str
    session: int
    begun: float
    planned: float
    granted: float
    sent: float
    started: float
    answered: float
    running: float
    ended: float
    second: float
    worker: str
    first_worker: str
    second_worker: str
    mode: str
    reason: str
    detail: str
    fate: str
    starts: int
    cpu: float
    wall: float
    shipped: int
    received: int
    under_way: bool

    @property
    def there(self) -> float:
        """How long its compiler ran on a worker."""
        return self.wall or (self.answered - self.started if self.answered and self.started else 0.0)

    @property
    def here(self) -> float:
        """How long its compiler ran on this machine."""
        return self.ended - self.running if self.running else 0.0

    @property
    def seconds(self) -> float:
        """How long its compiler ran, on a worker and here."""
        return self.there + self.here

    @property
    def work(self) -> float:
        """As :attr:`seconds`, of CPU time where that is known: on workers."""
        return self.cpu + self.here

    @property
    def place(self) -> str:
        """Where it ended: the name of a worker or :data:`HERE`."""
        return HERE if self.running or not self.worker else self.worker

    @property
    def how(self) -> str:
        """In a word or two how it went: its mode, or why it had none."""
        return self.mode if self.fate == "remote" else self.reason or self.fate or "under way"

    @property
    def why(self) -> str:
        """Why it was not done by a worker, as a sentence; empty if it was."""
        return _TEXTS.get(self.reason, self.reason)


def job_of(record: Mapping[str, Any], epoch: float, now: float) -> Job:
    """Return what a record says; phases that contradict each other are put between begin and end."""
    ended = record.get("ended") or max(now, record["begun"])
    times: dict[str, Any] = {}
    for name in _TIMES:
        at = ended if name == "ended" else record.get(name, 0.0)
        times[name] = epoch + min(max(at, record["begun"]), ended) if at else 0.0
    words: dict[str, Any] = {
        name: clean(record.get(name, ""))
        for name in ("file", "directory", "worker", "first_worker", "second_worker", "mode", "reason", "detail", "fate")
    }
    return Job(
        number=record["job"],
        session=record.get("session", 0),
        starts=record.get("starts", 0),
        cpu=record.get("cpu_ms", 0) / 1000,
        wall=record.get("wall_ms", 0) / 1000,
        shipped=record.get("shipped", 0),
        received=record.get("received", 0),
        under_way=not words["fate"],
        **times,
        **words,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a worker."""

    at: float
    kind: str
    worker: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Jobs that belong together, in the order in which they began; at least one."""

    jobs: tuple[Job, ...]
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """From its first launcher to the end of its last."""
        return self.end - self.begin

    @property
    def directory(self) -> str:
        """The directory that holds those of all jobs; the one of most of them if that says nothing."""
        directories = Counter(job.directory for job in self.jobs)
        absolute = [directory for directory in directories if directory.startswith("/")]
        common = posixpath.commonpath(absolute) if len(absolute) == len(directories) else "/"
        return common if common != "/" else directories.most_common(1)[0][0]

    @property
    def under_way(self) -> bool:
        """Whether it goes on."""
        return any(job.under_way for job in self.jobs)


def split(jobs: Iterable[Job]) -> list[Build]:
    """Return the builds that ``jobs`` are of, the last to end first."""
    groups: list[list[Job]] = []
    open_groups: dict[int, tuple[list[Job], float]] = {}
    for job in sorted(jobs, key=lambda job: (job.begun, job.number)):
        group, until = open_groups.get(job.session, ([], 0.0))
        if not group or job.begun - until > IDLE_S:
            group, until = [], 0.0
            groups.append(group)
        group.append(job)
        open_groups[job.session] = group, max(until, job.ended)
    builds = [Build(jobs=tuple(group), begin=group[0].begun, end=max(job.ended for job in group)) for group in groups]
    return sorted(builds, key=lambda build: (build.end, build.begin), reverse=True)


# --- where and when -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What a job did in one place: it held a slot there from ``begin`` to ``end``, through ``phases`` without gaps.

    ``kind`` is ``headers``, ``preprocessed``, ``local``, ``failed``, or ``second`` for a start that was not the first.
    """

    job: Job
    place: str
    begin: float
    end: float
    kind: str
    phases: tuple[tuple[str, float], ...]
    """Names and begins; each lasts until the next."""

    @property
    def working(self) -> float:
        """When its compiler began to run."""
        return next((at for name, at in self.phases if name in ("compile", "run")), self.end)


def stretches(job: Job) -> list[Stretch]:
    """Return where ``job`` was: on a worker, on a second one, here; nowhere, if it never came so far."""
    found = []
    if job.granted and job.worker and (job.answered or not job.running):
        end = job.ended if job.fate in ("remote", "") else job.answered or job.ended
        shipped = "preprocessed" if job.mode == "preprocessed" else "headers"
        named = (("prepare", job.granted), ("send", job.sent), ("compile", job.started), ("return", job.answered))
        phases = tuple((name, at) for name, at in named if at)
        kind = "failed" if job.fate in ("failed", "abandoned") or job.running else shipped
        place = job.first_worker or job.worker
        found.append(Stretch(job=job, place=place, begin=job.granted, end=end, kind=kind, phases=phases))
        if job.second and job.second_worker:
            phases = (("compile", job.second),)
            found.append(
                Stretch(job=job, place=job.second_worker, begin=job.second, end=end, kind="second", phases=phases)
            )
    if job.running:
        phases = (("run", job.running),)
        kind = "failed" if job.fate in ("failed", "abandoned") else "local"
        found.append(Stretch(job=job, place=HERE, begin=job.running, end=job.ended, kind=kind, phases=phases))
    return found


def _order(name: str) -> tuple[bool, list[tuple[int, str]]]:
    """How places are sorted: desk2 before desk10, this machine last."""
    return name == HERE, [(int(word), "") if word.isdecimal() else (-1, word) for word in re.split(r"(\d+)", name)]


def places(build: Build) -> dict[str, list[Stretch]]:
    """Return what was done where, by begin; workers by name, this machine last."""
    found: defaultdict[str, list[Stretch]] = defaultdict(list)
    for job in build.jobs:
        for stretch in stretches(job):
            found[stretch.place].append(stretch)
    for row in found.values():
        row.sort(key=lambda stretch: (stretch.begin, stretch.end))
    return {name: found[name] for name in sorted(found, key=_order)}


def lanes(row: Sequence[Stretch]) -> list[int]:
    """Return the lane of each stretch, the lowest that is free; as many lanes as overlap."""
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    result = []
    for stretch in row:
        while busy and busy[0][0] <= stretch.begin:
            heappush(free, heappop(busy)[1])
        lane = heappop(free) if free else len(busy)
        heappush(busy, (stretch.end, lane))
        result.append(lane)
    return result


def load(build: Build) -> list[tuple[float, int]]:
    """Return how many jobs were being worked on from when on, in order of time; nothing twice for a second start."""
    changes: Counter[float] = Counter()
    for job in build.jobs:
        for stretch in stretches(job):
            if stretch.kind != "second":
                changes[stretch.begin] += 1
                changes[stretch.end] -= 1
    running, result = 0, []
    for at in sorted(changes):
        running += changes[at]
        result.append((at, running))
    return result


# --- what to say of it ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The end of a build, in which at most half as many jobs ran as at its best.

    ``jobs`` were worked on in it, and for how long, the longest first; ``last`` is what ended it.
    """

    begin: float
    seconds: float
    jobs: tuple[tuple[Job, float], ...]
    last: Job | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceTotal:
    """What one worker, or this machine, did; ``share`` is that of all seconds of compilers."""

    name: str
    jobs: int
    seconds: float
    share: float
    lanes: int
    shipped: int
    received: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why jobs were not done by workers."""

    word: str
    text: str
    jobs: int
    seconds: float
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What there is to say of a build.

    ``parallelism`` is the seconds of compilers for each second of the build.  ``alone`` is an estimate: the work
    (CPU seconds on workers, seconds here) on ``slots`` cores like the workers', and not less than the longest job.
    """

    build: Build
    fates: dict[str, int]
    modes: dict[str, int]
    seconds: float
    parallelism: float
    peak: int
    slots: int
    alone: float
    second_starts: int
    tail: Tail
    places: tuple[PlaceTotal, ...]
    reasons: tuple[Why, ...]
    slowest: tuple[Job, ...]


def report(build: Build, slots: int) -> Report:
    """Return what there is to say of ``build`` on a machine with ``slots`` local slots."""
    seconds = sum(job.seconds for job in build.jobs)
    steps = load(build)
    longest = max(job.work for job in build.jobs)
    return Report(
        build=build,
        fates=dict(Counter(job.fate or "under way" for job in build.jobs).most_common()),
        modes=dict(Counter(job.mode for job in build.jobs if job.fate == "remote" and job.mode).most_common()),
        seconds=seconds,
        parallelism=seconds / build.seconds if build.seconds else 0.0,
        peak=max((running for _, running in steps), default=0),
        slots=slots,
        alone=max(sum(job.work for job in build.jobs) / max(1, slots), longest),
        second_starts=sum(1 for job in build.jobs if job.second),
        tail=_tail(build, steps),
        places=_totals(build, seconds),
        reasons=_reasons(build),
        slowest=tuple(sorted(build.jobs, key=lambda job: (-job.seconds, job.begun))[:SLOWEST]),
    )


def _tail(build: Build, steps: Sequence[tuple[float, int]]) -> Tail:
    half = max((running for _, running in steps), default=0) / 2
    begin = build.end
    for at, running in reversed(steps):
        if running > half:
            break
        begin = at
    spent = []
    for job in build.jobs:
        if job.ended > begin:
            ways = [stretch for stretch in stretches(job) if stretch.kind != "second"]
            spent.append((job, sum(max(0.0, way.end - max(way.begin, begin)) for way in ways)))
    spent.sort(key=lambda each: (-each[1], each[0].number))
    last = max((job for job, _ in spent), key=lambda job: job.ended, default=None)
    return Tail(begin=begin, seconds=build.end - begin, jobs=tuple(spent), last=last)


def _totals(build: Build, seconds: float) -> tuple[PlaceTotal, ...]:
    jobs: Counter[str] = Counter()
    spent: defaultdict[str, float] = defaultdict(float)
    shipped: Counter[str] = Counter()
    received: Counter[str] = Counter()
    for job in build.jobs:
        jobs[job.place] += job.fate in ("remote", "local")
        spent[HERE] += job.here
        spent[job.worker] += job.there
        shipped[job.worker] += job.shipped
        received[job.worker] += job.received
    used = {name: max(lanes(row)) + 1 for name, row in places(build).items()}
    totals = [
        PlaceTotal(
            name=name,
            jobs=jobs[name],
            seconds=spent[name],
            share=spent[name] / seconds if seconds else 0.0,
            lanes=used.get(name, 0),
            shipped=shipped[name],
            received=received[name],
        )
        for name in {*jobs, *spent}
        if jobs[name] or spent[name]
    ]
    return tuple(sorted(totals, key=lambda total: (-total.seconds, total.name)))


def _reasons(build: Build) -> tuple[Why, ...]:
    by_word: defaultdict[str, list[Job]] = defaultdict(list)
    for job in build.jobs:
        if job.reason:
            by_word[job.reason].append(job)
    whys = [
        Why(
            word=word,
            text=_TEXTS.get(word, word),
            jobs=len(jobs),
            seconds=sum(job.seconds for job in jobs),
            files=tuple(dict.fromkeys(job.file for job in jobs))[:3],
        )
        for word, jobs in by_word.items()
    ]
    return tuple(sorted(whys, key=lambda why: (-why.jobs, why.word)))

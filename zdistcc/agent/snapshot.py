"""The lookout: one frozen picture of everything, for ``zdistcc status``; and waiting for the next that differs.

The question ``{"ask": "snapshot", "after": {"revision": R, "finished": N, "notes": M}, "wait": SECONDS}`` is answered
when something has happened since revision ``R``, or after ``wait`` seconds: whoever asks again with each answer's
numbers follows the agent without busy polling.  The shape of the answer is a contract (``man 1 zdistcc``): fields may
be added, none renamed.

A worker that was there and is gone is shown for ``SHOWN_S`` with its cause, also when the roster has forgotten it.

Must not know: who asks, and how it is shown.  Rejected: pushing pictures to whoever listens, which needs a second kind
of connection and a limit for listeners that do not read.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from zdistcc import __version__
from zdistcc.agent import admin
from zdistcc.agent.dispatch import Dispatcher
from zdistcc.agent.entries import Entry
from zdistcc.agent.journal import JobRecord, Journal, Note
from zdistcc.agent.roster import Roster
from zdistcc.agent.stats import Stats
from zdistcc.agent.stocks import StockHost, Stocks
from zdistcc.agent.tally import Tally
from zdistcc.schedule.events import (
    Event,
    JobDone,
    JobId,
    LeaseBroken,
    WorkerChanged,
    WorkerId,
    WorkerJoined,
    WorkerLost,
)
from zdistcc.schedule.snapshot import Snapshot, WorkerView
from zdistcc.toolchain.identity import CompilerId, Match, Offer, best_match

LONGEST_WAIT_S: Final = 5.0
SHOWN_S: Final = 60.0
"""How long a worker that is gone is still shown."""
LOOK_S: Final = LONGEST_WAIT_S + 1.0
"""How long after a question that waits somebody is taken to be still there."""
MOST_SHOWN: Final = 64
MOST_FILES: Final = 64
"""Files of jobs that run here, and jobs that are listed of one worker."""
MOST_NOTES: Final = 200


class After(msgspec.Struct, frozen=True, kw_only=True):
    """What who asks has seen: the numbers of the last answer; -1: nothing."""

    revision: int = -1
    finished: int = 0
    notes: int = 0


class SnapshotQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """The question; other fields of it are not ours."""

    after: After = After()
    wait: float = 0.0


@dataclass(slots=True)
class _Parted:
    """A worker that is gone: how it was shown last, since when, and what was said of it."""

    row: dict[str, Any]
    kind: str
    at: float
    cause: str


class Lookout:
    """Sees everything that the agent's parts show, and knows when it changes."""

    def __init__(
        self, dispatcher: Dispatcher, roster: Roster, journal: Journal, stats: Stats, stocks: Stocks | None = None
    ) -> None:
        self._dispatcher, self._roster, self._journal, self._stats = dispatcher, roster, journal, stats
        self._stocks = stocks
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._revision = 0
        self._news = asyncio.Event()
        self._looking: asyncio.TimerHandle | None = None
        self._tally = Tally()
        self._rows: dict[WorkerId, dict[str, Any]] = {}
        self._parted: dict[WorkerId, _Parted] = {}
        self._troubles: dict[str, str] = {}
        self._ended: Counter[WorkerId] = Counter()
        """Jobs of ours that ended since the worker last said how many it has: it still counts them."""
        dispatcher.on_told = self._told
        journal.listener = self._heard

    async def answer(self, question: SnapshotQuestion, default: CompilerId | None) -> dict[str, Any]:
        """Return the picture as soon as it differs from revision ``after``, or after ``wait`` seconds."""
        if question.wait > 0:
            self._look_closely()
        if question.after.revision == self._revision and question.wait > 0:
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(question.wait, LONGEST_WAIT_S)):
                    await self._news.wait()
        return self.picture(question.after, default)

    def _look_closely(self) -> None:
        """Somebody follows: mind the silence of idle workers until nobody has asked for a while."""
        if self._looking is not None:
            self._looking.cancel()
        self._looking = self._loop.call_later(LOOK_S, self._look_away)
        for entry in self._roster.entries:
            if entry.remote is not None:
                entry.remote.look_at(True)

    def _look_away(self) -> None:
        self._looking = None
        for entry in self._roster.entries:
            if entry.remote is not None:
                entry.remote.look_at(False)

    # --- what happens ---------------------------------------------------------------------------

    def _changed(self) -> None:
        self._revision += 1
        self._news.set()

    def _told(self, event: Event) -> None:
        match event:
            case JobDone(worker=str(worker)) | LeaseBroken(worker=str(worker)):
                self._ended[WorkerId(worker)] += 1
            case WorkerChanged(running=int()) | WorkerJoined() | WorkerLost():
                self._ended.pop(event.worker, None)
        self._changed()

    def _heard(self, news: JobRecord | Note) -> None:
        if isinstance(news, Note):
            self._take(news)
        elif news.fate:
            self._tally.ended(news)
        elif not news.running:
            self._tally.began(news, len(self._journal.under_way))
        self._changed()

    def _take(self, note: Note) -> None:
        match note.kind:
            case "joined":
                self._troubles.pop(note.worker, None)
                for entry in self._roster.entries:
                    if entry.id is not None and entry.name == note.worker and entry.connected:
                        self._rows[entry.id] = admin.describe_host(entry, None, None)
                        self._parted.pop(entry.id, None)
            case "lost" | "left":
                for worker, row in list(self._rows.items()):
                    if row["name"] == note.worker and self._roster.remote(worker) is None:
                        self._parted[worker] = _Parted(self._rows.pop(worker), note.kind, note.at, note.text)
            case "failed":
                self._troubles[note.worker] = note.text
        while len(self._parted) > MOST_SHOWN:
            del self._parted[next(iter(self._parted))]

    # --- the picture ----------------------------------------------------------------------------

    def picture(self, after: After, default: CompilerId | None) -> dict[str, Any]:
        """Return everything as it is now; of notes only those after ``after``."""
        now, seen, journal = self._loop.time(), self._dispatcher.snapshot(), self._journal
        leased = {job for view in seen.workers for job in view.leases}
        here = [record for job, record in journal.under_way.items() if record.running and job not in leased]
        under_way = len(journal.under_way)
        views = {view.worker: view for view in seen.workers}
        hosts = self._hosts(views, default, now)
        sent = sum(entry.bytes[0] for entry in self._roster.entries) + self._roster.bytes_of_the_gone[0]
        received = sum(entry.bytes[1] for entry in self._roster.entries) + self._roster.bytes_of_the_gone[1]
        notes = list(journal.notes(after.notes))
        return {
            "revision": self._revision,
            "time": round(journal.epoch + now, 3),
            "agent": {"version": __version__, "pid": os.getpid(), "uptime_s": round(now - self._begun, 1)},
            "compiler": _compiler(default),
            "local": {
                "slots": seen.local_slots,
                "running": seen.local_running,
                "waiting": seen.local_waiting,
                "files": [_job(record, now - record.running) for record in here[:MOST_FILES]],
            },
            "hosts": hosts,
            "jobs": {
                "waiting": max(0, under_way - len(leased) - len(here)),
                "remote": len(leased),
                "local": len(here),
                **self._tally.all.as_json(),
                "fell_through": dict(self._stats.fell_through.most_common()),
            },
            "build": self._tally.build_as_json(now, under_way, seen.local_slots),
            "parallelism": _parallelism(hosts),
            "bytes": {"sent": sent, "received": received},
            "second_starts": _second_starts(seen),
            "notes": [_note(note, journal.epoch) for note in notes[-MOST_NOTES:]],
            "last_note": notes[-1].number if notes else after.notes,
            "finished": journal.finished,
            "finished_after": journal.finished - after.finished,
        }

    def _hosts(
        self, views: Mapping[WorkerId, WorkerView], default: CompilerId | None, now: float
    ) -> list[dict[str, Any]]:
        rows = []
        there: set[WorkerId] = set()
        for entry in self._roster.entries:
            if entry.id is None and entry.sought is not None:
                continue
            view = views.get(entry.id) if entry.id is not None else None
            if entry.id is not None:
                there.add(entry.id)
            rows.append(self._host(entry, view, default, now))
        for worker, parted in list(self._parted.items()):
            if worker not in there and now - parted.at >= SHOWN_S:
                del self._parted[worker]
            elif worker not in there:
                rows.append({**parted.row, **_gone(parted, now), **_work(None, ()), "match": None})
        stocks = self._stocks.hosts if self._stocks is not None else ()
        rows += [self._stock(host, views.get(host.id), default, now) for host in stocks]
        return sorted(rows, key=lambda row: (row["name"], str(row["id"])))

    def _stock(
        self, host: StockHost, view: WorkerView | None, default: CompilerId | None, now: float
    ) -> dict[str, Any]:
        row = admin.describe_stock(host, view, default)
        row |= _work(view, self._jobs_of(host.name, view, now))
        return row | {"until_s": None, "jobs_done": self._stats.workers[host.name], "match": _match(view, default)}

    def _host(self, entry: Entry, view: WorkerView | None, default: CompilerId | None, now: float) -> dict[str, Any]:
        row = admin.describe_host(entry, view, default)
        parted = self._parted.get(entry.id) if entry.id is not None else None
        row |= _work(view, self._jobs_of(entry.name, view, now))
        if view is not None:
            row["others"] = max(0, view.running + view.queued - len(view.leases) - self._ended[view.worker])
        row |= {"until_s": None, "jobs_done": self._stats.workers[entry.name], "match": _match(view, default)}
        if not entry.connected and parted is not None:
            row |= _gone(parted, now)
            row["compilers"] = row["compilers"] or parted.row["compilers"]
            row["version"] = row["version"] or parted.row["version"]
        elif view is not None and view.paused_until > now and row["state"] in ("ready", "busy"):
            cause = self._troubles.get(entry.name) or "the connection to it was lost"
            row |= {"state": "backoff", "until_s": round(view.paused_until - now, 1), "reason": cause}
        return row

    def _jobs_of(self, name: str, view: WorkerView | None, now: float) -> list[dict[str, Any]]:
        """Return our jobs on a worker, the oldest first."""
        rows = []
        for job in sorted(view.leases if view is not None else ())[:MOST_FILES]:
            record = self._journal.under_way.get(JobId(job))
            if record is not None:
                second = record.second_worker == name and record.worker != name
                row = _job(record, now - (record.granted or record.begun))
                rows.append({**row, "phase": "compile" if record.started or second else "send", "second": second})
        return rows


def _work(view: WorkerView | None, jobs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return what a worker does: for us, and for others as it last said."""
    return {
        "jobs": list(jobs),
        "others": 0,
        "speed": round(view.speed, 3) if view is not None and view.speed is not None else None,
    }


def _gone(parted: _Parted, now: float) -> dict[str, Any]:
    return {
        "state": parted.kind,
        "usable": False,
        "reason": parted.cause or "no way leads to it any more",
        "gone_s": round(now - parted.at, 1),
        "address": None,
        "running": 0,
        "leases": 0,
    }


def _match(view: WorkerView | None, default: CompilerId | None) -> dict[str, Any] | None:
    """Return the compiler that would do this machine's default compiler's jobs."""
    found = best_match(default, view.offers, Match.SAME_VERSION, "c") if view is not None and default else None
    return {**_words(found.id), "exact": found.id == default} if isinstance(found, Offer) else None


def _compiler(compiler: CompilerId | None) -> dict[str, str] | None:
    return _words(compiler) if compiler is not None else None


def _words(compiler: CompilerId) -> dict[str, str]:
    return {
        "family": compiler.family.value,
        "version": compiler.version,
        "target": compiler.target,
        "build_id": compiler.build_id,
    }


def _job(record: JobRecord, seconds: float) -> dict[str, Any]:
    return {"job": record.job, "file": record.file, "directory": record.directory, "seconds": round(seconds, 2)}


def _note(note: Note, epoch: float) -> dict[str, Any]:
    return {
        "number": note.number,
        "time": round(epoch + note.at, 3),
        "kind": note.kind,
        "worker": note.worker,
        "text": note.text,
    }


def _second_starts(seen: Snapshot) -> dict[str, Any]:
    return {"started": seen.duplicates, "won": seen.duplicates_won, "wasted_s": round(seen.wasted_s, 2)}


def _parallelism(hosts: Iterable[Mapping[str, Any]]) -> float:
    """Return how many compiles the workers do at once for us, in slots of their average speed.

    Counted are the usable workers' slots that others leave; one whose speed is not known yet is taken as average.
    """
    usable = [host for host in hosts if host["usable"] and host["state"] != "backoff"]
    speeds = [host["speed"] for host in usable if host["speed"]]
    average = sum(speeds) / len(speeds) if speeds else 1.0
    free = (max(0, host["slots"] - host["others"]) * (host["speed"] or average) / average for host in usable)
    return round(float(sum(free)), 1)

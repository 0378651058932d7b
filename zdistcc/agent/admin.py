"""What the command line interface asks the agent: hosts, statistics, explanations, what was done when, to stop.

Questions and answers are JSON objects; ``{"ask": WORD, …}``.  The shapes of ``hosts`` and ``stats`` are contracts
(``man 1 zdistcc``): fields may be added, none renamed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from zdistcc.agent.headers import Bundle
from zdistcc.agent.job import Farm
from zdistcc.agent.plan import Stay, not_as_text
from zdistcc.agent.roster import Entry, Roster, offers_of
from zdistcc.config import Config
from zdistcc.discovery.advert import printable
from zdistcc.errors import Reason
from zdistcc.schedule.events import Need
from zdistcc.schedule.snapshot import WorkerView
from zdistcc.toolchain.identity import CompilerId, Match, Mismatch, Offer, best_match
from zdistcc.wire import frames
from zdistcc.wire.control import LaunchFlag, LaunchRequest

JOURNAL_PAGE: Final = 2000
"""Jobs in one answer: 5 ms in which the agent does nothing else."""


class LaunchQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """A compile command as the interface describes it to ``explain``."""

    cwd: bytes
    compiler: bytes
    argv: tuple[bytes, ...]
    env: dict[str, str]

    def request(self) -> LaunchRequest:
        """Return it as the launcher would have sent it."""
        return LaunchRequest(
            cwd=self.cwd,
            compiler=self.compiler,
            argv=self.argv,
            env={os.fsencode(key): os.fsencode(value) for key, value in self.env.items()},
            flags=LaunchFlag(0),
            umask=0o022,
            pid=0,
        )


def journal_page(farm: Farm, agent: str, after: object) -> dict[str, Any]:
    """Return some of the journal's finished jobs, from the one numbered ``after``, and all that is under way.

    ``next`` is where the following page begins, null behind the last one.
    """
    journal = farm.journal
    first = max(after if isinstance(after, int) else 0, journal.first)
    page = list(islice(journal.jobs(first), JOURNAL_PAGE))
    reached = first + len(page)
    last = reached >= journal.finished
    return {
        "agent": agent,
        "epoch": journal.epoch,
        "now": asyncio.get_running_loop().time(),
        "slots": farm.dispatcher.snapshot().local_slots,
        "next": None if last else reached,
        "jobs": page,
        "under_way": list(journal.under_way.values()) if last else [],
        "notes": list(journal.notes()) if last else [],
    }


def offers(entry: Entry) -> tuple[Offer, ...]:
    """Return what ``entry`` offers, as far as is known."""
    return offers_of(entry.greeting.compilers) if entry.greeting is not None else ()


def describe_compiler(compiler: CompilerId | None) -> dict[str, str] | None:
    """Return this machine's default compiler as ``hosts --json`` has it."""
    if compiler is None:
        return None
    return {
        "family": compiler.family.value,
        "version": compiler.version,
        "target": compiler.target,
        "build_id": compiler.build_id,
    }


def describe_host(entry: Entry, view: WorkerView | None, default: CompilerId | None) -> dict[str, Any]:
    """Return one row of ``hosts --json``."""
    greeting, ad = entry.greeting, entry.ad
    usable, reason = _usable(entry, view, default)
    sent, received = entry.bytes
    compilers = [
        {"family": info.family, "version": info.version, "target": info.target, "build_id": info.build_id}
        for info in (greeting.compilers if greeting else ())
    ] or [
        {"family": known.family, "version": known.version, "target": known.target, "build_id": known.build}
        for known in (ad.compilers if ad else ())
    ]
    remote = entry.remote
    address = entry.address or min(entry.addresses, default=None)
    return {
        "name": entry.name,
        "id": entry.id,
        "addresses": sorted(address.host for address in entry.addresses) or [entry.ssh.host if entry.ssh else ""],
        "port": address.port if address else 0,
        "protocol": frames.PROTOCOL_VERSION if greeting else (ad.protocol if ad else None),
        "version": printable(greeting.version if greeting else ad.version if ad else ""),
        "state": _state(entry, view, usable),
        "slots": view.slots if view else (ad.slots if ad else 0),
        "configured_slots": view.configured if view else None,
        "limited": view.limited or None if view else None,
        "running": view.running if view else 0,
        "others_load": view.others_load if view else None,
        "memory_free": view.memory_free if view else None,
        "memory_total": view.memory_total if view else None,
        "efficiency": view.efficiency if view else None,
        "compilers": compilers,
        "usable": usable,
        "reason": reason,
        "address": entry.reached.place if entry.reached and entry.connected else None,
        "reach": "ssh" if _through_ssh(entry) else "tcp",
        "ways": sorted(way.value for way in entry.ways),
        "leases": len(view.leases) if view else 0,
        "round_trip_ms": round(remote.link.round_trip_s * 1000, 2) if remote and remote.link.round_trip_s else None,
        "bytes": {"sent": sent, "received": received},
        "clock_skew_s": None if entry.clock_skew_s is None else round(entry.clock_skew_s, 1),
    }


def _through_ssh(entry: Entry) -> bool:
    return entry.ssh is not None or (entry.reached is not None and entry.reached.tunnel is not None)


def _state(entry: Entry, view: WorkerView | None, usable: bool) -> str:
    if not entry.connected or view is None:
        return "unreachable" if entry.trouble else "connecting"
    if view.quarantined:
        return "quarantined"
    if not view.slots:
        return "resting"
    if view.draining:
        return "draining"
    if not usable:
        return "incompatible"
    return "busy" if view.running >= view.slots else "ready"


def _usable(entry: Entry, view: WorkerView | None, default: CompilerId | None) -> tuple[bool, str | None]:
    if not entry.connected or view is None:
        return False, entry.trouble or "not connected yet"
    if view.quarantined:
        return False, view.quarantined
    if not view.slots:
        return False, f"takes no jobs now: {view.limited}" if view.limited else "takes no jobs now"
    if view.draining:
        return False, "draining: it takes no new jobs"
    if default is None:
        return False, "this machine has no C compiler to compare with"
    match = best_match(default, view.offers, Match.SAME_VERSION, "c")
    if isinstance(match, Offer):
        return True, None
    return False, match.sentence if isinstance(match, Mismatch) else "offers no compiler"


def explain_workers(roster: Roster, views: Mapping[str, WorkerView], need: Need) -> list[dict[str, Any]]:
    """Return, worker by worker, whether it could do a job with ``need``, and why not."""
    rows = []
    for entry in roster.entries:
        view = views.get(entry.id or "")
        if view is None:
            fits, reason = False, entry.trouble or "not connected yet"
        else:
            match = best_match(need.compiler, view.offers, need.level, need.language)
            fits = isinstance(match, Offer) and not view.draining and not view.quarantined
            reason = ""
            if isinstance(match, Mismatch):
                reason = match.sentence
            elif match is None:
                reason = "offers no compiler"
            elif view.quarantined:
                reason = f"in quarantine: {view.quarantined}"
            elif not view.slots:
                reason = f"takes no jobs now: {view.limited}"
            elif view.draining:
                reason = "draining: it takes no new jobs"
        rows.append({"name": entry.name, "id": entry.id, "fits": fits, "reason": reason or None})
    return sorted(rows, key=lambda row: (row["name"], str(row["id"])))


def _shown(data: bytes) -> str:
    """Return a path or word as JSON can hold it; not every file name is text."""
    return data.decode("utf-8", "replace")


async def explain(
    farm: Farm, roster: Roster, views: Mapping[str, WorkerView], question: LaunchQuestion, config: Config
) -> dict[str, Any]:
    """Return what would happen to a command, and why."""
    begun = time.monotonic()
    plan = await farm.planner.plan(question.request(), config)
    bundle: Bundle | Stay = Stay(reason=Reason.MODE_PREPROCESSED)
    if not isinstance(plan, Stay) and config.mode == "headers":
        bundle = await farm.shelf.bundle(plan, question.request())
    if not isinstance(plan, Stay) and isinstance(bundle, Stay) and not plan.text_fits:
        plan = Stay(reason=not_as_text(plan), detail=f"{bundle.reason.text} {bundle.detail}".strip())
    took_ms = round((time.monotonic() - begun) * 1000, 2)
    if isinstance(plan, Stay):
        return {
            "distributable": False,
            "reason": plan.reason.word,
            "text": plan.reason.text,
            "detail": plan.detail,
            "workers": [],
            "took_ms": took_ms,
        }
    compiler = plan.need.compiler
    workers = explain_workers(roster, views, plan.need)
    return {
        "distributable": True,
        "reason": None,
        "mode": "preprocessed" if isinstance(bundle, Stay) else "headers",
        "why_not_headers": bundle.reason.text if isinstance(bundle, Stay) else None,
        "files": None if isinstance(bundle, Stay) else len(bundle.closure.files),
        "compiler": {**(describe_compiler(compiler) or {}), "path": _shown(plan.compiler.driver)},
        "match": plan.need.level.value,
        "language": plan.need.language,
        "source": _shown(plan.invocation.source),
        "output": _shown(plan.output),
        "preprocess": [_shown(word) for word in plan.preprocess_command()],
        "remote_args": [_shown(word) for word in plan.remote_args()],
        "workers": workers,
        "remote": any(row["fits"] for row in workers),
        "took_ms": took_ms,
    }

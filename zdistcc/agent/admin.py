"""What the command line interface asks the agent: hosts, statistics, explanations, what was done when, to stop.

Questions and answers are JSON objects; ``{"ask": WORD, …}``.  The shapes of ``hosts`` and ``stats`` are contracts
(``man 1 zdistcc``): fields may be added, none renamed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from zdistcc.agent.entries import Entry, offers_of
from zdistcc.agent.headers import Bundle
from zdistcc.agent.job import Farm
from zdistcc.agent.plan import Stay, not_as_text
from zdistcc.agent.roster import Roster
from zdistcc.agent.stocks import State, StockHost, Stocks
from zdistcc.config import Config
from zdistcc.discovery.advert import printable
from zdistcc.errors import Reason
from zdistcc.net.race import Address
from zdistcc.schedule.events import Need
from zdistcc.schedule.snapshot import WorkerView
from zdistcc.toolchain.identity import CompilerId, Match, Mismatch, Offer, best_match
from zdistcc.wire import frames
from zdistcc.wire.control import LaunchFlag, LaunchRequest

TRIALS_S: Final = 2.0
"""How long ``explain`` waits for stock hosts to show what they can."""
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


def describe_stock(host: StockHost, view: WorkerView | None, default: CompilerId | None) -> dict[str, Any]:
    """Return the row of a stock ``distccd``: what it shows of itself, and what was found out by trials."""
    ad, remote = host.ad, host.remote
    usable = default is not None and (default, "c") in host.passed
    reason = host.reason or None
    if host.state is State.TRUSTED and not usable:
        reason = host.failed.get((default, "c"), "not tried yet") if default is not None else None
    busy = host.state is State.TRUSTED and remote.running >= host.slots
    compilers = [describe_compiler(compiler) for compiler in dict.fromkeys(compiler for compiler, _ in host.passed)]
    if not compilers and ad is not None and ad.compiler_version:
        shown = {"family": "cc", "version": ad.compiler_version, "target": ad.compiler_target, "build_id": ""}
        compilers = [shown]
    sent, received = remote.bytes_sent, remote.bytes_received
    return {
        "name": host.name,
        "id": host.id,
        "addresses": sorted(address.host for address in remote.addresses),
        "port": min(remote.addresses).port,
        "protocol": "distcc",
        "version": ad.version if ad else "",
        "state": "busy" if busy else host.state.value,
        "slots": host.slots,
        "configured_slots": None,
        "limited": None,
        "running": remote.running,
        "others_load": None,
        "memory_free": None,
        "memory_total": None,
        "efficiency": None,
        "compilers": compilers,
        "usable": usable,
        "reason": reason,
        "address": str(remote.address) if remote.address and host.joined else None,
        "ways": sorted(host.ways),
        "leases": len(view.leases) if view else 0,
        "round_trip_ms": None if remote.connect_s is None else round(remote.connect_s * 1000, 2),
        "bytes": {"sent": sent, "received": received},
        "clock_skew_s": None,
    }


def distcc_hosts(stocks: Stocks, roster: Roster, views: Mapping[str, WorkerView]) -> list[str]:
    """Return the usable hosts that speak distcc's protocol, each as a word of ``DISTCC_HOSTS``."""
    words = [
        f"{host.remote.address or min(host.remote.addresses)}/{host.remote.limit}"
        for host in stocks.hosts
        if host.state is State.TRUSTED
    ]
    for entry in roster.entries:
        ad = stocks.speaking.get(entry.id) if entry.id is not None else None
        view = views.get(entry.id or "")
        if ad is not None and entry.address is not None and view is not None and view.slots:
            words.append(f"{Address(entry.address.host, ad.port)}/{ad.jobs}")
    return sorted(words)


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


def explain_workers(
    roster: Roster, stocks: Stocks, views: Mapping[str, WorkerView], need: Need
) -> list[dict[str, Any]]:
    """Return, worker by worker, whether it could do a job with ``need``, and why not."""
    rows = []
    known = [(entry.id, entry.name, entry.trouble) for entry in roster.entries if entry.id or entry.sought is None]
    for worker, name, trouble in [*known, *((host.id, host.name, host.reason) for host in stocks.hosts)]:
        view = views.get(worker or "")
        if view is None or not view.offers:
            fits, reason = False, trouble or ("not connected yet" if view is None else "offers no compiler")
        else:
            match = best_match(need.compiler, view.offers, need.level, need.language, plain=need.plain)
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
        rows.append({"name": name, "id": worker, "fits": fits, "reason": reason or None})
    return sorted(rows, key=lambda row: (row["name"], str(row["id"])))


def _shown(data: bytes) -> str:
    """Return a path or word as JSON can hold it; not every file name is text."""
    return data.decode("utf-8", "replace")


async def explain(
    farm: Farm,
    roster: Roster,
    views: Callable[[], Mapping[str, WorkerView]],
    question: LaunchQuestion,
    config: Config,
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
    if plan.need.plain:
        farm.stocks.want(plan)
        await farm.stocks.settled(TRIALS_S)
    workers = explain_workers(roster, farm.stocks, views(), plan.need)
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

"""A trial job on every worker that could serve this machine's default compiler, for ``zdistcc doctor``.

It goes the way of every job (plan, closure, tree), past the scheduler: a worker that is full or paused is tried all
the same.  Must not know: what the doctor makes of it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from zdistcc.agent.entries import Entry, offers_of
from zdistcc.agent.headers import Bundle
from zdistcc.agent.job import Farm
from zdistcc.agent.plan import Plan, Stay
from zdistcc.agent.remote import Refused, Remote
from zdistcc.agent.roster import Roster
from zdistcc.agent.ship import send_tree
from zdistcc.config import Config
from zdistcc.errors import InfraError
from zdistcc.schedule.decisions import Grant
from zdistcc.schedule.events import JobId
from zdistcc.toolchain.identity import Match, Offer, best_match
from zdistcc.toolchain.probe import Probed

TIMEOUT_S: Final = 20.0
_NO_JOB: Final = JobId(0)


async def trial_everywhere(farm: Farm, roster: Roster, compiler: Probed | None) -> dict[str, Any]:
    """Return, by worker, ``{"ok", "sentence", "remedy", "seconds"}``; workers that cannot be tried are left out."""
    if compiler is None:
        return {}
    request, expected = await farm.canaries.expected(compiler.driver, compiler.id, "c")
    plan = await farm.planner.plan(request, Config())
    bundle = await farm.shelf.bundle(plan, request) if isinstance(plan, Plan) else plan
    if isinstance(plan, Stay) or isinstance(bundle, Stay) or expected is None:
        return {}
    entries = [entry for entry in roster.entries if entry.connected]
    results = await asyncio.gather(*(_one(farm, entry, plan, bundle, expected) for entry in entries))
    return {entry.id: result for entry, result in zip(entries, results, strict=True) if entry.id and result}


async def _one(farm: Farm, entry: Entry, plan: Plan, bundle: Bundle, expected: bytes) -> dict[str, Any] | None:
    remote, greeting = entry.remote, entry.greeting
    if remote is None or greeting is None or entry.id is None or not remote.takes_sources:
        return None
    offer = best_match(plan.need.compiler, offers_of(greeting.compilers), Match.SAME_VERSION, "c")
    if not isinstance(offer, Offer):
        return None
    loop = asyncio.get_running_loop()
    begun = loop.time()
    grant = Grant(job=_NO_JOB, worker=entry.id, offer=offer)
    sentence, remedy = await _fate(farm, remote, grant, plan, bundle, expected)
    return {"ok": not sentence, "sentence": sentence, "remedy": remedy, "seconds": round(loop.time() - begun, 4)}


async def _fate(
    farm: Farm, remote: Remote, grant: Grant, plan: Plan, bundle: Bundle, expected: bytes
) -> tuple[str, str]:
    """Return what went wrong and what helps; two empty texts when nothing did."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            answer = await send_tree(farm.shelf, remote, grant, plan, bundle)
    except TimeoutError:
        return f"no answer within {TIMEOUT_S:g} s", ""
    except Refused as error:
        return str(error), error.refusal.remedy
    except InfraError as error:
        return str(error), ""
    if answer.result.status != 0 or not answer.outputs:
        return f"its compiler fails: {answer.result.stderr[:300].decode('utf-8', 'replace')}", "try that compiler there"
    if answer.outputs[0] != expected:
        return "its compiler makes another object than the one here", "bring both machines to the same release of it"
    return "", ""

"""What a worker's answer has to consist of, and where each of its outputs belongs.

Must not know: how a job is shipped, how files are written.
"""

from __future__ import annotations

from zdistcc.agent.plan import Plan
from zdistcc.agent.remote import Answer, WrongResult
from zdistcc.wire import messages


def places_of(plan: Plan, mode: str) -> dict[str, bytes]:
    """Return where each kind of output belongs, the object last: with it the job is done."""
    places: dict[str, bytes] = {}
    if mode == "headers":
        places.update((each.side.value, each.path) for each in plan.invocation.side_outputs)
        if plan.invocation.depfile is not None:
            places["dependencies"] = plan.invocation.depfile.path
    return {**places, "object": plan.output}


def check_kinds(plan: Plan, answer: Answer, mode: str) -> None:
    """Raise :class:`WrongResult` unless the outputs of a success are the job's; side outputs may be missing."""
    if answer.result.status != 0:
        return
    kinds = [output.kind for output in answer.result.outputs]
    places = places_of(plan, mode)
    needed = places.keys() - {each.side.value for each in plan.invocation.side_outputs}
    if len(set(kinds)) < len(kinds) or not needed <= set(kinds) <= places.keys():
        returned = messages.sentence(", ".join(kinds)) or "nothing"
        raise WrongResult(f"it returned {returned} for a job that makes {', '.join(places)}")

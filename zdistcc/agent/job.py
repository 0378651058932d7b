"""One job, from the command line to its answer, on one page.

Every way that is not a success ends in :class:`Here`: the launcher runs the user's own compiler.  A compiler's error
is decided here as well: what a remote compiler refuses is compiled locally, and the local compiler's words are the
ones that are shown, once.

Must not know: unix sockets, the discovery of workers.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from zdistcc import children
from zdistcc.agent import outputs
from zdistcc.agent.dispatch import Dispatcher
from zdistcc.agent.outputs import NotWritten
from zdistcc.agent.plan import Plan, Planner, Stay
from zdistcc.agent.remote import Answer, Refused, Remote
from zdistcc.agent.stats import Stats
from zdistcc.children import SpawnError
from zdistcc.config import Config
from zdistcc.errors import ExitCode, InfraError, Reason
from zdistcc.schedule.decisions import Grant
from zdistcc.schedule.events import Blame, JobId, WorkerId
from zdistcc.toolchain import rebuild
from zdistcc.toolchain.invocation import Stage
from zdistcc.wire import codecs, messages
from zdistcc.wire.control import LaunchRequest
from zdistcc.wire.messages import RefusalCode

EAGER_BYTES: Final = 32 << 10
"""Texts that pack to less than this go along with the job; larger ones wait until the worker has admitted it."""
_log = logging.getLogger("zdistcc.agent")

_BLAME: Final = {
    RefusalCode.BUSY: Blame.BUSY,
    RefusalCode.DRAINING: Blame.JOB,
    RefusalCode.NO_COMPILER: Blame.JOB,
    RefusalCode.ARGUMENTS: Blame.FINAL,
    RefusalCode.TOO_LARGE: Blame.JOB,
    RefusalCode.STORE_FULL: Blame.JOB,
    RefusalCode.LIMIT: Blame.FINAL,
    RefusalCode.CANCELLED: Blame.JOB,
    RefusalCode.INTERNAL: Blame.JOB,
}
_EXIT_CODES: Final = {
    Reason.NO_WORKER: ExitCode.NO_HOSTS,
    Reason.NO_COMPATIBLE_WORKER: ExitCode.NO_HOSTS,
    Reason.WORKERS_FAILED: ExitCode.CONNECT_FAILED,
    Reason.WORKERS_BUSY: ExitCode.BUSY,
    Reason.WORKER_REFUSED: ExitCode.ACCESS_DENIED,
    Reason.PREPROCESSING_FAILED: ExitCode.LOCAL_CPP,
    Reason.OUTPUT_NOT_WRITTEN: ExitCode.IO_ERROR,
    Reason.INTERNAL: ExitCode.GENERAL,
}
"""What ``ZDISTCC_FALLBACK=0`` turns a failure into; reasons that are not here run locally all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """Run the compiler on this machine, for this reason."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The job is done: raw wait status and what the compiler printed."""

    status: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The job is not done and must not be done here (``ZDISTCC_FALLBACK=0``)."""

    code: ExitCode
    message: str


Outcome = Here | Done | Failed


class Farm(Protocol):
    """What a job needs of the agent."""

    dispatcher: Dispatcher
    planner: Planner
    stats: Stats

    def remote(self, worker: WorkerId) -> Remote | None:
        """Return the connection to a worker."""

    def worker_name(self, worker: WorkerId) -> str:
        """Return the name under which a worker is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A preprocessed source: what travels, and what the preprocessor said."""

    blob: messages.Blob
    packed: bytes
    stderr: bytes


async def run(
    farm: Farm, job: JobId, request: LaunchRequest, config: Config, still_wanted: Callable[[], bool]
) -> Outcome:
    """Have ``request`` done and say how; counts it."""
    try:
        outcome = await _attempt(farm, job, request, config, still_wanted)
    except InfraError as error:
        _log.warning("job=%d failed %s", job, error)
        outcome = Here(reason=Reason.INTERNAL, detail=str(error))
    if isinstance(outcome, Here):
        _log.info("job=%d local reason=%s detail=%r", job, outcome.reason, outcome.detail)
        code = None if config.fallback else _EXIT_CODES.get(outcome.reason)
        if code is not None:
            farm.stats.failed(outcome.reason)
            return Failed(code=code, message=messages.sentence(f"{outcome.reason.text} {outcome.detail}".strip()))
        farm.stats.local(outcome.reason)
    return outcome


async def _attempt(
    farm: Farm, job: JobId, request: LaunchRequest, config: Config, still_wanted: Callable[[], bool]
) -> Outcome:
    plan = await farm.planner.plan(request, config)
    if isinstance(plan, Stay):
        return Here(reason=plan.reason, detail=plan.detail)
    text: Text | None = None
    try:
        placement = await farm.dispatcher.place(job, plan.need)
        while isinstance(placement, Grant):
            if text is None:
                made = await preprocess(farm, plan, request)
                if isinstance(made, Here):
                    return made
                text = made
            worker = farm.worker_name(placement.worker)
            try:
                answer = await _send(farm, placement, plan, request, text)
            except InfraError as error:
                blame = _BLAME[error.refusal.code] if isinstance(error, Refused) else Blame.WORKER
                _log.info("job=%d worker=%r lost blame=%s %s", job, worker, blame.value, error)
                placement = await farm.dispatcher.place_again(job, blame)
                continue
            farm.dispatcher.done(job)
            return _finish(farm, job, plan, request, config, text, answer, worker, still_wanted)
        return Here(reason=placement.reason, detail=placement.detail)
    finally:
        farm.dispatcher.abandon(job)


async def preprocess(farm: Farm, plan: Plan, request: LaunchRequest) -> Text | Here:
    """Make the text here, in a local slot."""
    ticket = await farm.dispatcher.local(urgent=True)
    try:
        ended = await children.run(
            plan.preprocess_command(),
            env={**request.env, b"_ZDISTCC_SAFEGUARD": b"1"},
            cwd=request.cwd,
            umask=request.umask,
        )
    except SpawnError as error:
        return Here(reason=Reason.PREPROCESSING_FAILED, detail=str(error))
    finally:
        farm.dispatcher.release(ticket)
    if not ended.ok:
        return Here(reason=Reason.PREPROCESSING_FAILED)
    unfit = rebuild.text_reason(ended.stdout, plan.invocation)
    if unfit is not None:
        return Here(reason=unfit)
    codec, packed = codecs.pack(ended.stdout)
    body = messages.Body(raw=len(ended.stdout), packed=len(packed), codec=codec)
    blob = messages.Blob(digest=hashlib.sha256(ended.stdout).digest(), body=body)
    return Text(blob=blob, packed=packed, stderr=ended.stderr)


async def _send(farm: Farm, grant: Grant, plan: Plan, request: LaunchRequest, text: Text) -> Answer:
    remote = farm.remote(grant.worker)
    if remote is None:
        raise InfraError("the worker left")
    invocation = plan.invocation
    message = messages.Job(
        compiler=grant.offer.id.build_id,
        target=plan.need.compiler.target,
        language=rebuild.explicit_language(invocation).decode(),
        stage=messages.Stage.OBJECT if invocation.stage is Stage.OBJECT else messages.Stage.ASSEMBLY,
        args=tuple(plan.remote_args()),
        name=os.path.basename(invocation.source)[:255],
        cwd=request.cwd[:4096],
        source=text.blob,
        eager=len(text.packed) <= EAGER_BYTES,
        env=tuple((name.decode("ascii", "replace"), value) for name, value in invocation.env),
        label=os.path.basename(invocation.source)[:100].decode("utf-8", "replace"),
    )
    return await remote.compile(message, text.packed)


def _finish(
    farm: Farm,
    job: JobId,
    plan: Plan,
    request: LaunchRequest,
    config: Config,
    text: Text,
    answer: Answer,
    worker: str,
    still_wanted: Callable[[], bool],
) -> Outcome:
    """Write the outputs of a success; leave a compiler's error to the local compiler."""
    result = answer.result
    stderr = text.stderr + result.stderr
    if result.status != 0:
        if config.fallback:
            return Here(reason=Reason.REMOTE_ERROR, detail=worker)
        farm.stats.remote("preprocessed", worker)
        return Done(status=result.status, stdout=result.stdout, stderr=stderr)
    if len(answer.outputs) != 1:
        return Here(reason=Reason.INTERNAL, detail=f"{worker} returned {len(answer.outputs)} outputs")
    try:
        outputs.write(
            plan.output,
            answer.outputs[0],
            umask=request.umask,
            unique=f"{os.getpid()}-{job}",
            still_wanted=still_wanted,
        )
    except NotWritten as error:
        return Here(reason=Reason.OUTPUT_NOT_WRITTEN, detail=str(error))
    farm.stats.remote("preprocessed", worker)
    _log.info("job=%d remote worker=%r file=%r cpu_ms=%d wall_ms=%d queue_ms=%d", job, worker,
              os.fsdecode(plan.invocation.source), result.cpu_ms, result.wall_ms, result.queue_ms)  # fmt: skip
    return Done(status=0, stdout=result.stdout, stderr=stderr)

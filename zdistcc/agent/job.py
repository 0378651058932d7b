"""One job, from the command line to its answer, on one page (:meth:`JobRun._attempt`).

Ways of shipping, each falling through to the next for this job alone: sources with their headers, preprocessed text,
nothing (the launcher runs the user's own compiler: :class:`Here`).  A compiler's error is decided here as well: what a
remote compiler refuses is compiled locally, and the local compiler's words are the ones that are shown, once.

Must not know: unix sockets, the discovery of workers.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from zdistcc import children
from zdistcc.agent import outputs
from zdistcc.agent.answers import check_kinds, places_of
from zdistcc.agent.canary import Canaries, Verdict
from zdistcc.agent.dispatch import Dispatcher, Known
from zdistcc.agent.headers import Bundle, Shelf
from zdistcc.agent.journal import Journal
from zdistcc.agent.outputs import NotWritten
from zdistcc.agent.plan import Plan, Planner, Stay, not_as_text
from zdistcc.agent.race import CalledBack, Lost, Order, SecondFailed, first_answer
from zdistcc.agent.remote import Answer, Refused, Remote, Stale, WrongResult, nothing
from zdistcc.agent.ship import Text, send_text, send_tree
from zdistcc.agent.stats import Stats
from zdistcc.agent.stock import HostTrouble, Unlike
from zdistcc.agent.stocks import Stocks
from zdistcc.children import SpawnError
from zdistcc.config import Config, Fidelity
from zdistcc.errors import ExitCode, InfraError, LocalProtocolError, Reason
from zdistcc.net.distcc import NoAnswer
from zdistcc.schedule.decisions import Duplicate, Grant
from zdistcc.schedule.events import Blame, JobId, WorkerId
from zdistcc.sources.model import Closure
from zdistcc.toolchain import rebuild
from zdistcc.wire import codecs, messages
from zdistcc.wire.control import LaunchRequest
from zdistcc.wire.messages import RefusalCode

_NEEDS_COMMENTS: Final = b"-Wimplicit-fallthrough"
"""GCC's warning that a comment silences.  Comments in the text (-C) are no way out: they change stringification."""
PACKS_TO: Final = 4
"""Sources are packed to about one in so many bytes."""
TREE_TRIES: Final = 2
"""How often a job is shipped with its headers: the second time in a new epoch, because the first was in doubt."""
_log = logging.getLogger("zdistcc.agent")
_NOT_FOUND: Final = re.compile(rb"error: '?([^\n:']+)'?(?:: No such file or directory| file not found)")

_BLAME: Final = {
    RefusalCode.BUSY: Blame.BUSY,
    RefusalCode.DRAINING: Blame.JOB,
    RefusalCode.NO_COMPILER: Blame.JOB,
    RefusalCode.ARGUMENTS: Blame.FINAL,
    RefusalCode.TOO_LARGE: Blame.JOB,
    RefusalCode.STORE_FULL: Blame.JOB,
    RefusalCode.TREE: Blame.JOB,
    RefusalCode.FOREIGN: Blame.JOB,
    RefusalCode.INEXACT: Blame.FINAL,
    RefusalCode.LIMIT: Blame.FINAL,
    RefusalCode.MEMORY: Blame.JOB,
    RefusalCode.CANCELLED: Blame.JOB,
    RefusalCode.INTERNAL: Blame.JOB,
}
_NOT_TRIED: Final = (RefusalCode.BUSY, RefusalCode.DRAINING, RefusalCode.NO_COMPILER)
"""Refusals of a trial that keep the job from being sent in any other way as well."""
_EXIT_CODES: Final = {
    Reason.NO_WORKER: ExitCode.NO_HOSTS,
    Reason.NO_COMPATIBLE_WORKER: ExitCode.NO_HOSTS,
    Reason.WORKERS_FAILED: ExitCode.CONNECT_FAILED,
    Reason.WORKERS_QUARANTINED: ExitCode.CONNECT_FAILED,
    Reason.WORKERS_BUSY: ExitCode.BUSY,
    Reason.WORKER_REFUSED: ExitCode.ACCESS_DENIED,
    Reason.OUTPUT_NOT_WRITTEN: ExitCode.IO_ERROR,
    Reason.INTERNAL: ExitCode.GENERAL,
}
"""What ``ZDISTCC_FALLBACK=0`` turns a failure into; reasons that are not here run locally all the same.

Among them what the preprocessor finds wrong: only the compiler can show that, and it stops there."""


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
    shelf: Shelf
    canaries: Canaries
    stocks: Stocks
    stats: Stats
    journal: Journal

    def remote(self, worker: WorkerId) -> Remote | None:
        """Return the connection to a worker."""

    def worker_name(self, worker: WorkerId) -> str:
        """Return the name under which a worker is shown."""

    def holders(self, closure: Closure) -> frozenset[WorkerId]:
        """Return the workers that have most of ``closure`` already."""

    def quarantine(self, worker: WorkerId, cause: WrongResult) -> None:
        """Believe ``worker`` in nothing any more."""


async def run(
    farm: Farm, job: JobId, request: LaunchRequest, config: Config, still_wanted: Callable[[], bool]
) -> Outcome:
    """Have ``request`` done and say how; counts it."""
    try:
        outcome = await JobRun(farm, job, request, config, still_wanted).go()
    except InfraError as error:
        _log.warning("job=%d failed %s", job, error)
        outcome = Here(reason=Reason.INTERNAL, detail=str(error))
    if isinstance(outcome, Here):
        record = farm.journal.under_way[job]
        record.reason, record.detail = outcome.reason.word, messages.sentence(outcome.detail)
        _log.info("job=%d local reason=%s detail=%r", job, outcome.reason, outcome.detail)
        code = None if config.fallback else _EXIT_CODES.get(outcome.reason)
        if code is not None:
            farm.stats.failed(outcome.reason)
            return Failed(code=code, message=messages.sentence(f"{outcome.reason.text} {outcome.detail}".strip()))
        farm.stats.local(outcome.reason)
    return outcome


class JobRun:
    """The state of one job while it is under way."""

    def __init__(
        self, farm: Farm, job: JobId, request: LaunchRequest, config: Config, still_wanted: Callable[[], bool]
    ) -> None:
        self._farm = farm
        self._job = job
        self._request = request
        self._config = config
        self._still_wanted = still_wanted
        self._bundle: Bundle | None = None
        self._text: Text | None = None
        self._tree_tries = 0
        self._record = farm.journal.under_way[job]
        self._clock = asyncio.get_running_loop().time

    async def go(self) -> Outcome:
        """Return the outcome."""
        plan = await self._farm.planner.plan(self._request, self._config)
        if isinstance(plan, Stay):
            return Here(reason=plan.reason, detail=plan.detail)
        why_no_headers = await self._gather(plan)
        if why_no_headers is not None and not plan.text_fits:
            return Here(reason=not_as_text(plan), detail=why_no_headers.word)
        self._record.planned = self._clock()
        try:
            return await self._attempt(plan)
        finally:
            self._farm.dispatcher.abandon(self._job)

    async def _attempt(self, plan: Plan) -> Outcome:
        """Ask for a worker, ship, and ask again as long as workers let us down."""
        dispatcher = self._farm.dispatcher
        if plan.need.plain:
            self._farm.stocks.want(plan)
        placement = await dispatcher.place(self._job, plan.need, self._known(plan))
        while isinstance(placement, Grant):
            try:
                end = await first_answer(
                    dispatcher, self._job, placement, lambda order: self._start(plan, order), _blame
                )
            except _Stays as stays:
                return stays.here
            if isinstance(end, CalledBack):
                return Here(reason=Reason.STRAGGLER, detail=self._name(end.order))
            if isinstance(end, Lost):
                placement = await dispatcher.place_again(self._job, _blame(end.error), end.order.worker)
                continue
            run, answer, mode = end.answer
            self._write_down(answer, mode, self._name(end.order))
            times = {name: getattr(answer.result, f"{name}_ms") / 1000 for name in ("wall", "cpu", "queue")}
            dispatcher.done(self._job, end.order.worker, **{f"{name}_s": time for name, time in times.items()})
            if run._bundle is not None and mode == "headers":
                self._farm.shelf.settle(run._bundle, end.order.worker)
            return run._finish(plan, answer, mode, self._name(end.order))
        return Here(reason=placement.reason, detail=placement.detail)

    async def _start(self, plan: Plan, order: Order) -> tuple[JobRun, Answer, str]:
        """Ship the job once; a second start has its own state of what is shipped, and in which mode."""
        run, record = self, self._record
        record.starts += 1
        if isinstance(order, Duplicate):
            run, record.second_worker, record.second = copy.copy(self), self._name(order), self._clock()
        else:
            record.granted, record.worker = self._clock(), self._name(order)
            record.sent = record.started = record.second = 0.0
            record.second_worker = ""
        try:
            answer, mode = await run._ship(plan, order)
            check_kinds(plan, answer, mode)
            return run, answer, mode
        except InfraError as error:
            if isinstance(error, WrongResult):
                self._farm.quarantine(order.worker, error)
            _log.info("job=%d worker=%r blame=%s %s", self._job, self._name(order), _blame(error).value, error)
            if not isinstance(error, _Unfit):
                kind = "refused" if isinstance(error, Refused) else "failed"
                self._farm.journal.note(kind, self._name(order), f"{record.file}: {error}")
            raise

    def _write_down(self, answer: Answer, mode: str, worker: str) -> None:
        record, result = self._record, answer.result
        if worker != record.worker:
            record.first_worker = record.worker
        record.answered, record.worker, record.mode = self._clock(), worker, mode
        record.shipped = answer.shipped
        record.cpu_ms, record.wall_ms, record.queue_ms = result.cpu_ms, result.wall_ms, result.queue_ms
        record.received = sum(output.body.packed for output in result.outputs)

    def _on_its_way(self, order: Order) -> Callable[[], None]:
        """Write down that the job is sent; return what does so for the start of its compiler (not of a second one)."""
        if isinstance(order, Duplicate):
            return nothing
        self._record.sent = self._clock()

        def began() -> None:
            self._record.started = self._clock()

        return began

    def _known(self, plan: Plan) -> Known:
        """What the scheduler can go by."""
        if self._bundle is None:
            return Known(key=plan.output)
        home = self._farm.shelf.home(self._bundle)
        if not self._farm.dispatcher.foresees:
            return Known(home=home)
        size = sum(file.size for file in self._bundle.closure.files)
        return Known(
            input_bytes=size,
            key=plan.output,
            transfer_bytes=size // PACKS_TO,
            holders=self._farm.holders(self._bundle.closure),
            home=home,
        )

    # --- shipping -------------------------------------------------------------------------------

    async def _gather(self, plan: Plan) -> Reason | None:
        """Find out what the job reads; return why it cannot be shipped with its headers, if so."""
        self._bundle = None
        if self._config.mode != "headers":
            return Reason.MODE_PREPROCESSED
        bundle = await self._farm.shelf.bundle(plan, self._request)
        if isinstance(bundle, Stay):
            _log.info("job=%d not shipped with headers reason=%s detail=%r", self._job, bundle.reason, bundle.detail)
            self._farm.stats.fell(bundle.reason)
            return bundle.reason
        self._bundle = bundle
        return None

    async def _ship(self, plan: Plan, grant: Order) -> tuple[Answer, str]:
        """Send the job to the granted worker in the best mode that is left; return its answer and the mode."""
        if grant.offer.plain:
            return await self._ship_plain(plan, grant), "preprocessed"
        remote = self._farm.remote(grant.worker)
        if remote is None:
            raise InfraError("the worker left")
        verdict = await self._judge(plan, grant, remote)
        unfit = Reason.CANARY
        while self._bundle is not None and verdict is Verdict.SAME:
            try:
                began = self._on_its_way(grant)
                return await send_tree(self._farm.shelf, remote, grant, plan, self._bundle, began), "headers"
            except Stale as error:
                await self._doubt(plan, error)
            except Refused as error:
                match error.refusal.code:
                    case RefusalCode.TREE:
                        await self._doubt(plan, error)
                    case RefusalCode.FOREIGN:
                        unfit = Reason.OWN_HEADERS_DIFFER
                        self._farm.stats.fell(unfit)
                        break
                    case RefusalCode.INEXACT:
                        self._farm.stats.fell(Reason.TREE_LEAKED)
                        self._bundle = None
                    case _:
                        raise
        if not plan.text_fits and self._bundle is None:
            raise _Stays(Here(reason=not_as_text(plan)))
        same_build = grant.offer.id == plan.compiler.id
        exact = self._config.fidelity is not Fidelity.CODE or same_build
        trusted = verdict is Verdict.SAME or (verdict is Verdict.UNTRIED and same_build)
        if not plan.text_fits or (exact and not trusted):
            raise _Unfit(f"{unfit.word}: {unfit.text}")
        if self._text is None:
            self._text = await self._preprocess(plan)
        began = self._on_its_way(grant)
        return await send_text(self._request, remote, grant, plan, self._text, began), "preprocessed"

    async def _ship_plain(self, plan: Plan, grant: Order) -> Answer:
        """Send the job to a stock host, as text."""
        if self._text is None:
            self._text = await self._preprocess(plan, pack=False)
        began = self._on_its_way(grant)
        began()
        return await self._farm.stocks.compile(grant.worker, plan, self._text.plain())

    async def _judge(self, plan: Plan, grant: Order, remote: Remote) -> Verdict:
        """What is known, or found out now, of the worker's compiler compared with ours."""

        async def trial(request: LaunchRequest) -> bytes | None:
            trial_plan = await self._farm.planner.plan(request, Config())
            if isinstance(trial_plan, Stay) or not remote.takes_sources:
                return None
            bundle = await self._farm.shelf.bundle(trial_plan, request)
            if isinstance(bundle, Stay):
                return None
            try:
                answer = await send_tree(self._farm.shelf, remote, grant, trial_plan, bundle)
            except (Refused, Stale) as error:
                if isinstance(error, Refused) and error.refusal.code in _NOT_TRIED:
                    raise
                _log.warning("trial refused worker=%r %s", self._name(grant), error)
                return None
            if os.WIFSIGNALED(answer.result.status):
                return None  # the machine's trouble (memory, somebody's kill), not the compiler's
            return answer.outputs[0] if answer.result.status == 0 and answer.outputs else b""

        canaries, here, there = self._farm.canaries, plan.compiler.id, grant.offer.id
        verdict = await canaries.verdict(
            plan.compiler.driver, grant.worker, remote.stock, here, there, plan.need.language, trial
        )
        if verdict is not Verdict.SAME:
            self._farm.stats.fell(Reason.CANARY)
            _log.info("job=%d trial=%s worker=%r compiler=%s", self._job, verdict.value, self._name(grant), there)
        if verdict is Verdict.DIFFERENT and here == there:
            raise WrongResult("its compiler says that it is the same build as here, and made another object of a trial")
        return verdict

    async def _doubt(self, plan: Plan, error: InfraError) -> None:
        """A tree was in doubt: once more in a new epoch, then no more."""
        self._tree_tries += 1
        _log.info("job=%d tree in doubt tries=%d %s", self._job, self._tree_tries, error)
        if self._tree_tries < TREE_TRIES:
            if not isinstance(error, Stale):
                self._farm.shelf.epochs.abandon()
            await self._gather(plan)
        else:
            self._farm.stats.fell(Reason.TREE_LOST)
            self._bundle = None

    async def _preprocess(self, plan: Plan, *, pack: bool = True) -> Text:
        """Make the text here, in a local slot; raises :class:`_Stays` when there is none to be sent."""
        if plan.invocation.language.preprocessed:
            text, stderr = _read(os.path.join(self._request.cwd, plan.invocation.source)), b""
        else:
            text, stderr = await self._run_preprocessor(plan)
        unfit = rebuild.text_reason(text, plan.invocation)
        if unfit is not None:
            raise _Stays(Here(reason=unfit))
        codec, packed = codecs.pack(text) if pack else (0, text)
        body = messages.Body(raw=len(text), packed=len(packed), codec=codec)
        blob = messages.Blob(digest=hashlib.sha256(text).digest(), body=body)
        return Text(blob=blob, packed=packed, stderr=stderr)

    async def _run_preprocessor(self, plan: Plan) -> tuple[bytes, bytes]:
        ticket = await self._farm.dispatcher.local(urgent=True)
        try:
            ended = await children.run(
                plan.preprocess_command(),
                env={**self._request.env, b"_ZDISTCC_SAFEGUARD": b"1"},
                cwd=self._request.cwd,
                umask=self._request.umask,
            )
        except SpawnError as error:
            raise _Stays(Here(reason=Reason.PREPROCESSING_FAILED, detail=str(error))) from error
        finally:
            self._farm.dispatcher.release(ticket)
        if not ended.ok:
            raise _Stays(Here(reason=Reason.PREPROCESSING_FAILED))
        return ended.stdout, ended.stderr

    # --- the answer -----------------------------------------------------------------------------

    def _finish(self, plan: Plan, answer: Answer, mode: str, worker: str) -> Outcome:
        """Write the outputs of a success; leave a compiler's error to the local compiler."""
        result = answer.result
        text = self._text if mode == "preprocessed" else None
        stderr = (text.stderr if text else b"") + result.stderr
        if result.status != 0:
            if mode == "headers" and self._bundle is not None and (miss := _NOT_FOUND.search(result.stderr)):
                self._farm.shelf.report_miss(self._bundle, miss[1])
            if self._config.fallback:
                return Here(reason=Reason.REMOTE_ERROR, detail=worker)
            self._farm.stats.remote(mode, worker)
            return Done(status=result.status, stdout=result.stdout, stderr=stderr)
        exact = self._config.fidelity is not Fidelity.CODE
        if (
            text is not None
            and self._config.fallback
            and (result.stderr if exact else _NEEDS_COMMENTS in result.stderr)
        ):
            return Here(reason=Reason.REMOTE_WARNING, detail=worker)
        made = dict(zip((output.kind for output in result.outputs), answer.outputs, strict=True))
        places = places_of(plan, mode)
        try:
            for kind, path in places.items():
                if kind not in made:
                    continue
                outputs.write(
                    os.path.join(self._request.cwd, path),
                    made[kind],
                    umask=self._request.umask,
                    unique=f"{os.getpid()}-{self._job}",
                    still_wanted=self._still_wanted,
                )
        except NotWritten as error:
            return Here(reason=Reason.OUTPUT_NOT_WRITTEN, detail=str(error))
        self._farm.stats.remote(mode, worker)
        _log.info(
            "job=%d remote worker=%r mode=%s file=%r cpu_ms=%d wall_ms=%d queue_ms=%d", self._job, worker, mode,
            os.fsdecode(plan.invocation.source), result.cpu_ms, result.wall_ms, result.queue_ms,
        )  # fmt: skip
        return Done(status=0, stdout=result.stdout, stderr=stderr)

    def _name(self, grant: Order) -> str:
        return self._farm.worker_name(grant.worker)


class _Stays(Exception):
    """Carries :class:`Here` out of shipping."""

    def __init__(self, here: Here) -> None:
        super().__init__(here.reason.word)
        self.here = here


class _Unfit(InfraError):
    """This worker cannot be given this job in any mode that is exact enough."""


def _blame(error: InfraError) -> Blame:
    if isinstance(error, _Unfit | SecondFailed | WrongResult | NoAnswer | HostTrouble | Unlike | LocalProtocolError):
        return Blame.JOB
    return _BLAME[error.refusal.code] if isinstance(error, Refused) else Blame.WORKER


def _read(path: bytes) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise _Stays(Here(reason=Reason.PREPROCESSING_FAILED, detail=str(error.strerror))) from error

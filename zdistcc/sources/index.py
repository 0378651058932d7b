"""The source index: which files a compile reads, remembered across jobs and builds.

``closure`` answers from memory if every file, searched directory and link is as it was, which costs one
``stat`` each; otherwise it walks the include graph again, reading only what changed.  It runs no
compiler: where one has to be asked it says so (:class:`NeedsSearchPath`, :class:`NeedsCompiler`), the
caller asks in its own way and time, and hands the answer back.  :func:`zdistcc.sources.search_probe.close`
does both for callers that may block.

Walk, then check, then believe: a walk may use what is remembered, because everything used is in the plan
that is checked against the disk afterwards.  If the check fails the walk is repeated.

A precompiled header stands for the text it was made from as long as it is newer than every file of that
text; then the text is shipped (with a caution, for debug information may differ).  An older one, or
one without its header, is refused: GCC would use it without a word.

Not thread-safe, but for :meth:`SourceIndex.read`: it has one owner at a time.
Must not know: the wire, workers, processes.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Final

from zdistcc.errors import Reason
from zdistcc.sources import cache
from zdistcc.sources.closure import Expander, Graph, Reached, Stale, Unexpandable
from zdistcc.sources.dependencies import parse_dependencies
from zdistcc.sources.model import (
    Answer,
    Caution,
    Clock,
    Closure,
    ClosureRequest,
    NeedsCompiler,
    NeedsSearchPath,
    Refused,
    SearchContext,
    SourceFile,
    Unclosable,
)
from zdistcc.sources.plan import Plan
from zdistcc.sources.replica import Replica
from zdistcc.sources.resolver import Found, joined
from zdistcc.sources.scanner import Form, Hazard, Include, Kind
from zdistcc.sources.search_path import search_key
from zdistcc.sources.world import (
    SIGNATURE_LENGTH,
    Directory,
    Marker,
    Subject,
    World,
    read_stable,
    system_clock,
    tick_ns,
)

ATTEMPTS: Final = 50  # when a whole project was replaced, each walk finds out about a few more directories
MAX_REMEMBERED_CHECKS: Final = 4_000_000  # 8 bytes each, over all plans
MAX_CONTEXTS: Final = 64  # about a megabyte each
MAX_PATHS: Final = 60_000  # two kilobytes each
MAX_MISSES: Final = 4_096

_PREPROCESSED: Final = frozenset(("cpp-output", "c++-cpp-output", "objective-c-cpp-output", "objc-cpp-output"))
_PREPROCESSED_SEARCH: Final = SearchContext(quote=(), angle=())
_MODULE_STANDARDS: Final = (b"2a", b"20", b"2b", b"23", b"2c", b"26")


class _Context:
    """A search path, its graph, and what has to hold for the compiler to give it again."""

    def __init__(self, search: SearchContext, world: World) -> None:
        self.search = search
        self.graph = Graph(search, world)
        self.expander = Expander(self.graph, world)
        self.watched: set[Directory] = set()
        existing = [world.directory(path) for path in search.existing]
        self._identities = [(directory, directory.identity) for directory in existing]
        self._volatile: list[tuple[Directory, int]] = []
        for path in search.volatile:
            directory = world.directory(path)
            directory.all_asked = True
            self._volatile.append((directory, directory.version))
        self.watched.update(existing)
        self.watched.update(directory for directory, _ in self._volatile)
        self.watched.update(_missing(world, path)[1] for path in search.missing)

    def holds(self, world: World) -> bool:
        """As far as ``world`` knows; the plan that is checked afterwards has ``watched`` in it."""
        missing = [_missing(world, path) for path in self.search.missing]
        self.watched.update(watched for _, watched in missing)
        return (
            not any(appeared for appeared, _ in missing)
            and all(directory.exists for directory, _ in self._identities)
            and all(directory.identity == identity for directory, identity in self._identities)
            and all(directory.version == version for directory, version in self._volatile)
        )


def _look_again(world: World, paths: Iterable[bytes]) -> None:
    """The compiler looked just now: what is known of these and the directories above has to be as fresh."""
    since_ns = world.clock().steady_ns
    above = {path[:end] or b"/" for path in paths for end in (*_slashes(path), len(path))}
    for path in above:
        known = world.directories.get(path)
        if known is not None:
            world.renew_directory(known, since_ns)


def _slashes(path: bytes) -> list[int]:
    return [position for position, byte in enumerate(path) if byte == 0x2F]


def _missing(world: World, path: bytes) -> tuple[bool, Directory]:
    """Is it there after all, and what has to be watched for it to stay away?"""
    above, _, name = path.rpartition(b"/")
    present, watched = world.consult(above or b"/", name)
    # Something other than a directory is "nonexistent" to clang and "not a directory" to GCC.
    return present and world.directory(path).exists, world.directory(path) if present else watched


class SourceIndex:
    """All that is known of the sources on this machine; see the module's docstring.

    ``cache_path``: where :meth:`save` puts what the next index can start with; read when first needed.
    """

    def __init__(self, clock: Clock = system_clock, *, cache_path: bytes | None = None) -> None:
        self._cache = cache_path
        self._cache_is_read = cache_path is None
        self.world = World(clock)
        self.counts: Counter[str] = Counter()
        self._replica = Replica(self.world)
        self._contexts: OrderedDict[tuple[object, ...], _Context] = OrderedDict()
        self._plans: OrderedDict[ClosureRequest, Plan] = OrderedDict()
        self._weight = 0
        self._missed: OrderedDict[ClosureRequest, int] = OrderedDict()

    def closure(self, request: ClosureRequest, since_ns: int | None = None) -> Answer:
        """What the request reads now; the same object as before if nothing has changed.

        ``since_ns``: a moment of the steady clock; what was looked at since then need not be looked at again.
        """
        if since_ns is None:
            since_ns = self.world.clock().steady_ns
        try:
            return self.held(request, since_ns) or self._walk(request, since_ns)
        except Refused as refusal:
            return refusal.value

    def held(self, request: ClosureRequest, since_ns: int) -> Closure | Unclosable | None:
        """As :meth:`closure`, but ``None`` where more has to be done than to check what is remembered."""
        plan = self._plans.get(request)
        try:
            if plan is None or plan.answer is None or not plan.holds(self.world, since_ns):
                return None
        except Refused as refusal:
            return refusal.value
        self._plans.move_to_end(request)
        self.counts["held"] += 1
        return plan.answer

    def weight(self, request: ClosureRequest) -> int:
        """How many ``stat`` :meth:`held` costs; 0 when nothing is remembered."""
        plan = self._plans.get(request)
        return plan.weight if plan is not None else 0

    def learn_search_path(self, request: ClosureRequest, search: SearchContext) -> Unclosable | None:
        """The answer to :class:`NeedsSearchPath`, as :func:`zdistcc.sources.search_path.parse` makes it.

        Unclosable if a directory of it can't be listed.
        """
        try:
            _look_again(self.world, (*search.existing, *search.missing, *search.volatile))
            self._contexts[search_key(request)] = _Context(search, self.world)
        except Refused as refusal:
            return refusal.value
        while len(self._contexts) > MAX_CONTEXTS:
            self._contexts.popitem(last=False)
        return None

    def teach(self, asked: NeedsCompiler, printed: bytes) -> Answer:
        """The answer to :class:`NeedsCompiler`: what the compiler printed for ``-M``.

        The closure holds until any file of it changes.  If a file may have changed while the compiler
        ran, or only just before, the question is put again.
        """
        names = parse_dependencies(printed)
        if not names:
            return Unclosable(reason=Reason.DEPENDENCIES_UNKNOWN)
        self.counts["taught"] += 1
        try:
            return self._walk(asked.request, self.world.clock().steady_ns, asked, names)
        except Refused as refusal:
            return refusal.value

    def report_miss(self, request: ClosureRequest, path: bytes) -> None:
        """A worker lacked a file: next time the compiler is asked; if it knew no better, nobody is."""
        self.counts[Reason.SCANNER_MISS.word] += 1
        self._drop(request)
        self._missed[request] = self._missed.get(request, 0) + 1
        while len(self._missed) > MAX_MISSES:
            self._missed.popitem(last=False)

    def read(self, file: SourceFile) -> bytes | None:
        """The bytes of a closure's file; None if it no longer has them, so that the closure is void."""
        try:
            read = read_stable(file.path)
        except Refused:
            return None
        if read is None or hashlib.sha256(read[1]).digest() != file.digest:
            return None
        return read[1]

    def save(self) -> bool:
        """Write the cache, if there is a place for it; False if that failed."""
        return self._cache is None or cache.save(self._cache, self.world.contents)

    def _walk(
        self,
        request: ClosureRequest,
        since_ns: int,
        asked: NeedsCompiler | None = None,
        taught: list[bytes] | None = None,
    ) -> Answer:
        self.counts["walked"] += 1
        if not self._cache_is_read and self._cache is not None:
            self._cache_is_read = True
            self.world.contents.update(cache.load(self._cache))
        previous = self._plans.get(request)
        self._drop(request)
        if len(self.world.files) + len(self.world.directories) > MAX_PATHS:
            self._forget()
        for _ in range(ATTEMPTS):
            context = self._context(request)
            if context is None:
                return NeedsSearchPath(request=request)
            reached = Reached(watched=set(context.watched))
            self.world.consulted.clear()
            try:
                question, markers, cautions = self._reach(request, context, reached, taught)
            except Stale as stale:
                self.world.read_again(stale.path, since_ns=self.world.clock().steady_ns)
                continue
            except Refused as refusal:
                # As good as any answer, once what it rests on is found to be as it was.
                plan = self._refusal_plan(refusal, reached)
                if not plan.holds(self.world, since_ns):
                    continue
                plan.answer = refusal.value
                self._remember(request, plan)
                return plan.answer
            plan = self._plan(reached, markers)
            if not plan.holds(self.world, since_ns):
                continue
            if question is not None:
                return self._question(request, question, reached)
            if asked is not None and not self._unchanged_since(asked, reached):
                return self._question(request, Unexpandable(asked.reason, asked.detail), reached)
            closure = self._replica.closure(
                [self.world.files[path] for path in dict.fromkeys((*reached.texts, *reached.data))],
                (request.cwd, *context.search.existing),
                cautions,
                previous.answer if previous is not None else None,
            )
            plan.answer = closure
            self._remember(request, plan)
            return closure
        return Unclosable(reason=Reason.SOURCES_CHANGING)

    def _reach(
        self, request: ClosureRequest, context: _Context, reached: Reached, taught: list[bytes] | None
    ) -> tuple[Unexpandable | None, list[Marker], list[Caution]]:
        """Walk from everything the request names; the question, if one is left for the compiler."""
        source = joined(request.cwd, request.source)
        forced: list[Found] = []
        if request.language not in _PREPROCESSED:
            forced = [
                context.graph.find(Include(Kind.INCLUDE, Form.QUOTE, name), request.cwd) for _, name in request.forced
            ]
            forced.append(context.graph.find(Include(Kind.INCLUDE, Form.ANGLE, b"stdc-predef.h"), request.cwd))
        reached.watched.update(directory for found in forced for directory in found.watched)
        context.graph.walk([source], reached)
        if source not in reached.texts:
            raise Refused(Reason.SOURCE_MISSING, source, source)
        for found in forced:
            context.graph.walk(found.paths, reached)
        question: Unexpandable | None = None
        try:
            context.expander.expand(reached, request.defines, request.cwd, taught=taught is not None)
        except Unexpandable as error:
            question = error
        if taught is not None:
            self._follow_taught(request, context, reached, taught)
        elif request in self._missed:
            if self._missed[request] > 1:
                raise Refused(Reason.SCANNER_MISS, source)
            question = Unexpandable(Reason.SCANNER_MISS, source)
        self._refuse_modules(request, reached)
        made = [(found.paths[0], path) for found in forced for path in found.precompiled]
        made += [pair for node in reached.texts.values() for pair in node.precompiled]
        markers, cautions = self._judge_precompiled(context, dict.fromkeys(made))
        cautions += [caution for node in reached.texts.values() for caution in node.cautions]
        return question, markers, cautions

    def _follow_taught(self, request: ClosureRequest, context: _Context, reached: Reached, taught: list[bytes]) -> None:
        """Add what the compiler named, and watch wherever it may have looked for it first."""
        besides = {path.rpartition(b"/")[0] or b"/" for path, node in reached.texts.items() if node.computed}
        for path in [joined(request.cwd, name) for name in taught]:
            if path in reached.texts:
                continue
            for directory in {*context.graph.chain, *besides}:
                name = path.removeprefix(directory.rstrip(b"/") + b"/")
                for beside in besides if name != path else ():
                    found = context.graph.find(Include(Kind.INCLUDE, Form.QUOTE, name), beside)
                    reached.watched |= found.watched
            context.graph.walk([path], reached)
            if path not in reached.texts:
                raise Refused(Reason.SOURCES_CHANGING, path)
        context.expander.expand(reached, request.defines, request.cwd, taught=True)

    def _judge_precompiled(
        self, context: _Context, made: Iterable[tuple[bytes, bytes]]
    ) -> tuple[list[Marker], list[Caution]]:
        """A precompiled header has to be newer than all that it was made from."""
        markers: list[Marker] = []
        cautions: list[Caution] = []
        for header, path in made:
            marker = Marker(path)
            sources = Reached()
            context.graph.walk([header], sources)
            newest = max(max(self.world.files[each].signature[:2]) for each in sources.texts)
            # A directory may hold several, each of its own age.
            if os.path.isdir(path) or len(marker.signature) < SIGNATURE_LENGTH or marker.signature[1] <= newest:
                raise Refused(Reason.STALE_PRECOMPILED_HEADER, path, path)
            markers.append(marker)
            cautions.append(Caution(Reason.PRECOMPILED_HEADER, header))
        return markers, cautions

    @staticmethod
    def _refuse_modules(request: ClosureRequest, reached: Reached) -> None:
        if "c++" not in request.language or not _knows_modules(request.search_words):
            return
        for path, node in reached.texts.items():
            if node.directives.hazards & Hazard.MODULE:
                raise Refused(Reason.MODULE_UNIT, path)

    def _plan(self, reached: Reached, markers: list[Marker]) -> Plan:
        files = self.world.files
        subjects: list[Subject] = [files[path] for path in reached.texts]
        subjects += [files[path] for path in reached.data if path not in reached.texts]
        return Plan([*subjects, *reached.watched, *markers])

    def _refusal_plan(self, refusal: Refused, reached: Reached) -> Plan:
        files = self.world.files
        known = dict.fromkeys((*reached.texts, *reached.data, *refusal.paths))
        subjects: list[Subject] = [files[path] for path in known if path in files]
        subjects += [Marker(path) for path in refusal.paths if path not in files]
        return Plan([*subjects, *reached.watched, *self.world.consulted])

    def _question(self, request: ClosureRequest, error: Unexpandable, reached: Reached) -> NeedsCompiler:
        self.counts[error.reason.word] += 1
        return NeedsCompiler(
            request=request,
            reason=error.reason,
            detail=error.detail,
            asked_at_ns=self.world.clock().wall_ns,
            read=frozenset((path, self.world.files[path].content.digest) for path in reached.texts),
        )

    def _unchanged_since(self, asked: NeedsCompiler, reached: Reached) -> bool:
        """True if the compiler, while it was asked, saw the files that are there now."""
        known = {path for path, _ in asked.read}
        files = self.world.files
        return all(path in files and files[path].content.digest == digest for path, digest in asked.read) and all(
            max(files[path].signature[:2]) < asked.asked_at_ns - tick_ns(files[path].signature)
            for path in (*reached.texts, *reached.data)
            if path not in known
        )

    def _context(self, request: ClosureRequest) -> _Context | None:
        if request.language in _PREPROCESSED:
            return _Context(_PREPROCESSED_SEARCH, self.world)
        key = search_key(request)
        context = self._contexts.get(key)
        if context is None:
            return None
        if not context.holds(self.world):
            del self._contexts[key]
            return None
        self._contexts.move_to_end(key)
        return context

    def _remember(self, request: ClosureRequest, plan: Plan) -> None:
        self._plans[request] = plan
        self._weight += plan.weight
        while self._weight > MAX_REMEMBERED_CHECKS and len(self._plans) > 1:
            self._weight -= self._plans.popitem(last=False)[1].weight

    def _drop(self, request: ClosureRequest) -> None:
        plan = self._plans.pop(request, None)
        if plan is not None:
            self._weight -= plan.weight

    def _forget(self) -> None:
        self.world.forget()
        self._replica.forget()
        self._contexts.clear()
        self._plans.clear()
        self._weight = 0


def _knows_modules(words: tuple[bytes, ...]) -> bool:
    return any(
        word.startswith(b"-fmodule") or (word.startswith(b"-std=") and word.endswith(_MODULE_STANDARDS))
        for word in words
    )

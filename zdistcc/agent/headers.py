"""Headers mode on the client's side: what a job reads, which tree it belongs to, and the words to compile it with.

:class:`Shelf` owns the source index and the epochs; :meth:`Shelf.bundle` turns a plan into a :class:`Bundle`, or says
why this job's sources are not shipped.  The compiler is asked where it searches once for each set of flags, and for
its dependencies only where the scanner cannot tell.

Must not know: workers, connections.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from zdistcc.agent.closures import Closures, Together
from zdistcc.agent.epochs import Epochs
from zdistcc.agent.plan import Plan, Stay
from zdistcc.errors import Reason
from zdistcc.schedule.events import WorkerId
from zdistcc.sources.model import (
    Closure,
    ClosureRequest,
    ForcedKind,
    SourceFile,
    Unclosable,
)
from zdistcc.sources.search_path import SEARCH_VARIABLES
from zdistcc.sources.search_probe import (
    PROBE_TIMEOUT_S,
    probe_environment,
    probe_search_path,
)
from zdistcc.toolchain import rebuild
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.native import compiler_command
from zdistcc.toolchain.options import Mark, Undistributable
from zdistcc.toolchain.pathwords import PathWord
from zdistcc.wire import codecs
from zdistcc.wire.control import LaunchRequest
from zdistcc.wire.messages import Blob, Body

T = TypeVar("T")
MAX_PACKED_BYTES: Final = 64 << 20
"""Packed sources kept in memory, so that several workers cost one packing."""
FILES_AT_ONCE: Final = 256
FILES_IN_LOOP: Final = 8
BYTES_IN_LOOP: Final = 256 << 10
"""More than these is read and packed in a thread: some milliseconds."""
_Packed = tuple[int, int, bytes]
"""Raw size, codec and packed bytes."""
MAX_HOMES: Final = 100_000
"""Sources of which it is known who has them."""
_STANDARD_WORDS: Final = (
    b"--sysroot",
    b"-isysroot",
    b"-nostdinc",
    b"-stdlib",
    b"--stdlib",
    b"-target",
    b"--target",
    b"-m",
)
"""Options that decide which directories a compiler searches by itself."""
_SHAPING: Final = (*_STANDARD_WORDS, b"-std=")
_STANDARD_WITH_VALUE: Final = (b"--sysroot", b"-isysroot", b"-target")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A job whose sources can be shipped: what it reads, the epoch, and the words for the worker.

    ``search``: directories that the worker's compiler must be told of, each with the option for it.
    """

    request: ClosureRequest
    closure: Closure
    epoch: int
    args: tuple[bytes | PathWord, ...]
    search: tuple[tuple[str, bytes], ...]
    cwd: bytes
    paths: tuple[tuple[bytes, bytes], ...]
    env: tuple[tuple[str, bytes], ...] = ()


class Shelf:
    """The sources of this machine, as far as jobs read them."""

    def __init__(self, cache: Path) -> None:
        self._closures = Closures(cache)
        self.epochs = Epochs()
        self._standard: dict[tuple[object, ...], tuple[tuple[str, bytes], ...] | None] = {}
        self._together = Together()
        self._packed: OrderedDict[bytes, _Packed] = OrderedDict()
        self._packed_bytes = 0
        self._homes: OrderedDict[tuple[bytes, bytes], WorkerId] = OrderedDict()

    async def bundle(self, plan: Plan, request: LaunchRequest) -> Bundle | Stay:
        """Return what ``plan`` needs to be compiled from its sources elsewhere, or why it cannot be."""
        invocation = plan.invocation
        if invocation.language.preprocessed:
            return Stay(reason=Reason.UNSUPPORTED_LANGUAGE, detail="already preprocessed")
        args = rebuild.headers_args(invocation, native=plan.machine)
        if isinstance(args, Undistributable):
            return Stay(reason=args.reason, detail=os.fsdecode(args.detail))
        question = closure_request(plan, request)
        search = await self._standard_search(plan, question, request.env)
        if search is None:
            return Stay(reason=Reason.SEARCH_PATH_UNKNOWN)
        since_ns = time.monotonic_ns()
        await asyncio.sleep(0)  # jobs that came together share what is looked at from here on
        closure = await self._closures.find(question, plan, request.env, since_ns)
        if isinstance(closure, Unclosable):
            return Stay(reason=closure.reason, detail=os.fsdecode(closure.detail))
        for caution in closure.cautions:
            if caution.reason is not Reason.DATE_OR_TIME or not dates_are_set(plan, request):
                return Stay(reason=caution.reason, detail=os.fsdecode(caution.path))
        looks = self.epochs.looks
        await asyncio.sleep(0)
        return Bundle(
            request=question,
            closure=closure,
            epoch=self.epochs.admit(closure, looks),
            args=(*plan.colour, *args),
            search=search,
            cwd=question.cwd,
            paths=question.env,
            env=(("SOURCE_DATE_EPOCH", epoch),) if (epoch := request.env.get(b"SOURCE_DATE_EPOCH")) else (),
        )

    def report_miss(self, bundle: Bundle, path: bytes) -> None:
        """A worker lacked a file of ``bundle``."""
        self._closures.report_miss(bundle.request, path)

    def close(self) -> None:
        """Write down what the next agent can begin with."""
        self._closures.close()

    def home(self, bundle: Bundle) -> WorkerId | None:
        """Return the worker to which this source was sent last."""
        return self._homes.get((bundle.cwd, bundle.request.source))

    def settle(self, bundle: Bundle, worker: WorkerId) -> None:
        """``worker`` has been sent this source."""
        self._homes[bundle.cwd, bundle.request.source] = worker
        self._homes.move_to_end((bundle.cwd, bundle.request.source))
        if len(self._homes) > MAX_HOMES:
            self._homes.popitem(last=False)

    # --- directories that the compiler searches by itself ---------------------------------------

    async def _standard_search(
        self, plan: Plan, question: ClosureRequest, env: Mapping[bytes, bytes]
    ) -> tuple[tuple[str, bytes], ...] | None:
        words = tuple(standard_words(question.search_words))
        if not all(word.partition(b"=")[2].startswith(b"/") for word in words if word.startswith(b"--sysroot=")):
            return None  # the names of what is found there would have to be relative, too
        key = plan.compiler.driver, plan.compiler.id, question.language, words
        if key not in self._standard:
            ask = _clang_search if plan.invocation.family is Family.CLANG else _gcc_search
            self._standard[key] = await self._together.ask(key, lambda: asyncio.to_thread(ask, question, words, env))
        return self._standard[key]

    # --- content --------------------------------------------------------------------------------

    async def supply(self, closure: Closure, digests: Sequence[bytes]) -> list[tuple[Blob, bytes]] | None:
        """Return the content of ``closure`` with these digests, packed; ``None`` when some of it is not there (now)."""
        files = {file.digest: file for file in closure.files}
        if not files.keys() >= set(digests):
            return None
        content = []
        for start in range(0, len(digests), FILES_AT_ONCE):
            some = digests[start : start + FILES_AT_ONCE]
            fresh = [files[digest] for digest in some if digest not in self._packed]
            if len(fresh) > FILES_IN_LOOP or sum(file.size for file in fresh) > BYTES_IN_LOOP:
                packed = await asyncio.to_thread(self._pack, fresh)
            else:
                packed = self._pack(fresh)
            if packed is None:
                return None
            packed.update((digest, self._packed[digest]) for digest in some if digest in self._packed)
            self._keep(packed)
            content += [
                (Blob(digest=digest, body=Body(raw=raw, packed=len(body), codec=codec)), body)
                for digest in some
                for raw, codec, body in (packed[digest],)
            ]
        return content

    def _pack(self, files: Sequence[SourceFile]) -> dict[bytes, _Packed] | None:
        """Pack each of ``files``; ``None`` when one has changed since.  Touches nothing of ours."""
        packed = {}
        for file in files:
            data = self._closures.read(file)
            if data is None:
                return None
            codec, body = codecs.pack(data)
            packed[file.digest] = len(data), codec, body
        return packed

    def _keep(self, packed: Mapping[bytes, _Packed]) -> None:
        for digest, each in packed.items():
            if digest not in self._packed:
                self._packed[digest] = each
                self._packed_bytes += len(each[2])
            self._packed.move_to_end(digest)
        while self._packed_bytes > MAX_PACKED_BYTES and len(self._packed) > 1:
            _, (_, _, oldest) = self._packed.popitem(last=False)
            self._packed_bytes -= len(oldest)


def dates_are_set(plan: Plan, request: LaunchRequest) -> bool:
    """Whether ``__DATE__`` and ``__TIME__`` are what ``SOURCE_DATE_EPOCH`` says: GCC's since 7, Clang's since 16."""
    return plan.invocation.family is Family.GCC and b"SOURCE_DATE_EPOCH" in request.env


def closure_request(plan: Plan, request: LaunchRequest) -> ClosureRequest:
    """Return the question to the source index for ``plan``."""
    invocation = plan.invocation
    words: list[bytes] = []
    for arg in invocation.args:
        if arg.row is not None and (arg.row.mark is Mark.SEARCH or arg.words[0].startswith(_SHAPING)):
            words += arg.words
    return ClosureRequest(
        compiler=plan.compiler.driver,
        compiler_key=plan.compiler.id.build_id,
        language=invocation.language.value.decode(),
        cwd=logical_cwd(request),
        source=invocation.source,
        search_words=tuple(words),
        forced=tuple((ForcedKind(name.decode()), value) for name, value in invocation.forced_includes),
        defines=tuple(b"-D" + text for mark, text in invocation.macros if mark is Mark.DEFINE),
        env=tuple((name, request.env[name]) for name in SEARCH_VARIABLES if name in request.env),
    )


def standard_words(words: tuple[bytes, ...]) -> list[bytes]:
    """Return those of ``words`` that decide which directories a compiler searches by itself."""
    kept: list[bytes] = []
    takes_next = False
    for word in words:
        if takes_next or word.startswith(_STANDARD_WORDS):
            takes_next = not takes_next and word in _STANDARD_WITH_VALUE
            kept.append(word)
    return kept


def logical_cwd(request: LaunchRequest) -> bytes:
    """Return the working directory as compilers record it: ``$PWD`` if that leads there, else its real path."""
    claimed = request.env.get(b"PWD", b"")
    if claimed.startswith(b"/") and claimed != request.cwd and b".." not in claimed.split(b"/"):
        try:
            if os.path.samestat(os.stat(claimed), os.stat(request.cwd)):
                return claimed
        except OSError:
            pass
    return request.cwd


def _gcc_search(
    question: ClosureRequest, words: tuple[bytes, ...], env: Mapping[bytes, bytes]
) -> tuple[tuple[str, bytes], ...] | None:
    """C++'s own directories: GCC does not put ``--sysroot`` before them, so they go by ``-isystem``."""
    found = []
    for extra in ((), (b"-nostdinc++",)):
        bare = ClosureRequest(
            compiler=question.compiler,
            compiler_key=question.compiler_key,
            language=question.language,
            cwd=b"/",
            source=b"/dev/null",
            search_words=(*words, *extra),
        )
        search = probe_search_path(bare, env)
        if isinstance(search, Unclosable):
            return None
        found.append(search.angle)
    with_cxx, without = found
    return tuple(("-isystem", directory) for directory in with_cxx if directory not in without)


def _clang_search(
    question: ClosureRequest, words: tuple[bytes, ...], env: Mapping[bytes, bytes]
) -> tuple[tuple[str, bytes], ...] | None:
    """All of clang's own directories, with the option by which its driver passes each on."""
    command = [question.compiler, *words, b"-x", question.language.encode(), b"-###", b"-E", b"/dev/null"]
    try:
        ended = subprocess.run(
            command, cwd=b"/", env=probe_environment(question, env), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=PROBE_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    called = compiler_command(ended.stderr.decode("utf-8", "surrogateescape"))
    if called is None:
        return None
    return tuple(
        (word, os.fsencode(directory))
        for word, directory in itertools.pairwise(called)
        if word in ("-internal-isystem", "-internal-externc-isystem") and directory.startswith("/")
    )

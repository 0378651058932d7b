"""The source index and the thread it works in: the first look at 5,000 headers takes seconds, and nobody else waits.

The index has one owner at a time.  What may take long (walking the include graph, what a compiler printed) is done in
one thread of its own, in order.  What is remembered and has few files is checked in the loop itself, while that thread
has nothing to do: most jobs are of that kind, and a change of threads costs as much as twenty ``stat``.

Must not know: workers, epochs.  Rejected: a process (closures would have to be copied), slices of the walk in the loop
(every function of it would have to be a generator), a lock (the loop would wait for it).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from zdistcc.agent.plan import Plan
from zdistcc.errors import Reason
from zdistcc.sources.index import SourceIndex
from zdistcc.sources.model import (
    Answer,
    Closure,
    ClosureRequest,
    NeedsCompiler,
    NeedsSearchPath,
    SourceFile,
    Unclosable,
)
from zdistcc.sources.search_path import search_key
from zdistcc.sources.search_probe import ATTEMPTS, probe_dependencies, probe_search_path
from zdistcc.toolchain import rebuild

T = TypeVar("T")
MAX_STATS_IN_LOOP: Final = 2000
"""Some 8 ms."""


class Together:
    """Jobs that want to know the same at the same time ask once."""

    def __init__(self) -> None:
        self._asking: dict[tuple[object, ...], asyncio.Task[Any]] = {}

    async def ask(self, key: tuple[object, ...], ask: Callable[[], Coroutine[None, None, T]]) -> T:
        """Return what ``ask`` finds out."""
        task: asyncio.Task[T] | None = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.ensure_future(ask())
            task.add_done_callback(lambda _: self._asking.pop(key))
        return await asyncio.shield(task)


class Closures:
    """What compiles read, asked from the loop."""

    def __init__(self, cache: Path) -> None:
        self._index = SourceIndex(cache_path=os.fsencode(cache))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sources")
        self._loop = asyncio.get_running_loop()
        self._under_way = 0
        self._together = Together()

    async def find(
        self, question: ClosureRequest, plan: Plan, env: Mapping[bytes, bytes], since_ns: int
    ) -> Closure | Unclosable:
        """Return what ``question`` reads; what was looked at since ``since_ns`` need not be looked at again."""
        answer: Answer | None = None
        if not self._under_way and self._index.weight(question) <= MAX_STATS_IN_LOOP:
            answer = self._index.held(question, since_ns)
        if answer is None:
            answer = await self._in_thread(lambda: self._index.closure(question, since_ns))
        for _ in range(ATTEMPTS):
            match answer:
                case NeedsSearchPath():
                    refusal = await self._together.ask(search_key(question), lambda: self._learn_search(question, env))
                    answer = refusal or await self._in_thread(lambda: self._index.closure(question))
                case NeedsCompiler():
                    answer = await self._teach(answer, plan, env)
                case Closure() | Unclosable():
                    return answer
        return Unclosable(reason=Reason.SOURCES_CHANGING)

    def read(self, file: SourceFile) -> bytes | None:
        """Return the bytes of a closure's file, ``None`` if it has changed since; may be called in any thread."""
        return self._index.read(file)

    def report_miss(self, question: ClosureRequest, path: bytes) -> None:
        """A worker lacked a file: next time the compiler is asked."""
        self._submit(lambda: self._index.report_miss(question, path))

    def close(self) -> None:
        """Wait for what is under way, and write down what the next agent can begin with."""
        self._thread.shutdown(cancel_futures=True)
        self._index.save()

    async def _learn_search(self, question: ClosureRequest, env: Mapping[bytes, bytes]) -> Unclosable | None:
        search = await asyncio.to_thread(probe_search_path, question, env)
        if isinstance(search, Unclosable):
            return search
        return await self._in_thread(lambda: self._index.learn_search_path(question, search))

    async def _teach(self, asked: NeedsCompiler, plan: Plan, env: Mapping[bytes, bytes]) -> Answer:
        flags = tuple(rebuild.remote_args(plan.invocation, native=plan.machine))
        printed = await asyncio.to_thread(probe_dependencies, asked.request, flags, env)
        return await self._in_thread(lambda: self._index.teach(asked, printed))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._submit(work))

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        """Have it done in the thread; nobody else owns the index until it is really over, even if nobody waits."""
        future = self._thread.submit(work)
        self._under_way += 1
        future.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._over))
        return future

    def _over(self) -> None:
        self._under_way -= 1

"""The canary: one small trial compile for each worker and pair of compilers, before any job is trusted to them.

What it shows is true of the compilers that the worker had at that moment: when it begins anew, or says that its
compilers have changed, it is tried again, even if it calls them by the same ids.

The trial is compiled here and there from its sources, with everything a debugger may want (``-g3`` records every
predefined macro), and the two objects have to be equal to the byte.  Where they are not, or where the worker's
compiler is another build than ours, only what the trial has shown to be equal is used.  A trial that could not be made
(no room in the worker's store, other headers there) says nothing: it is repeated after a while.

Must not know: how jobs are scheduled.  Rejected: one trial for a pair of compilers, whoever has them: what a
compiler says of itself does not show that it is run through a script that adds options.
"""

from __future__ import annotations

import asyncio
import enum
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from zdistcc import children
from zdistcc.errors import InfraError
from zdistcc.schedule.events import WorkerId
from zdistcc.toolchain.identity import CompilerId
from zdistcc.wire.control import LaunchFlag, LaunchRequest

TRIALS: Final = {
    "c": (
        b"canary.c",
        b"""#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
struct pair { int first; long second; double third; };
static int weigh(const struct pair *pairs, size_t count) {
    int sum = 0;
    for (size_t i = 0; i < count; i++) sum += pairs[i].first * (int)pairs[i].second + (int)pairs[i].third;
    return sum;
}
int canary(const char *name) {
    struct pair pairs[4] = {{1, 2, 3.5}, {INT_MAX, 1, 0.1}, {(int)strlen(name), 7, 1e9}, {0, 0, 0}};
    printf("%s:%d %s\\n", __FILE__, __LINE__, name);
    return weigh(pairs, sizeof pairs / sizeof pairs[0]);
}
""",
    ),
    "c++": (
        b"canary.cc",
        b"""#include <climits>
#include <cstdio>
#include <string>
#include <vector>
namespace { struct Counter { int n = 0; int operator()(const std::string& s) { return n += int(s.size()); } }; }
template <typename T> T sum(const std::vector<T>& v) { T t{}; for (const auto& x : v) t += x; return t; }
int canary(const char* name) {
    std::vector<std::string> words{name, "canary", __FILE__};
    Counter counter;
    for (auto& word : words) { counter(word); word += 'x'; }
    try { std::printf("%s\\n", sum(words).c_str()); } catch (...) { return INT_MIN; }
    return counter.n;
}
""",
    ),
}
_BASE_LANGUAGE: Final = {"objective-c": "c", "objective-c++": "c++", "assembler": "c"}
_FLAGS: Final = (b"-O2", b"-g3", b"-Wall")

RETRY_S: Final = 30.0
"""How long a trial that could not be made is not repeated."""


class Verdict(enum.Enum):
    """What a trial has shown."""

    SAME = "same"
    DIFFERENT = "different"
    UNTRIED = "untried"


Trial = Callable[[LaunchRequest], Awaitable[bytes | None]]
"""Compiles a request on the worker in question from its sources; ``None`` when that is not possible, nothing if the
compiler there fails."""
_Key = tuple[WorkerId, object, CompilerId, CompilerId, str]


class Canaries:
    """Which workers have proved themselves, with which compilers."""

    def __init__(self, directory: Path, env: Mapping[bytes, bytes]) -> None:
        self._directory = directory
        self._env = env
        self._local: dict[tuple[bytes, CompilerId, str], asyncio.Task[bytes | None]] = {}
        self._stocks: dict[WorkerId, object] = {}
        self._trials: dict[_Key, asyncio.Task[Verdict]] = {}
        self._untried: dict[_Key, float] = {}

    async def verdict(
        self,
        driver: bytes,
        worker: WorkerId,
        stock: object,
        here: CompilerId,
        there: CompilerId,
        language: str,
        trial: Trial,
    ) -> Verdict:
        """Return whether the compilers make the same object of the same sources; asks each worker once.

        ``stock`` is another object whenever the worker's compilers may be other ones than before.
        Raises the :class:`InfraError` that kept the trial from being made; it is made anew the next time.
        """
        language = _BASE_LANGUAGE.get(language, language)
        if self._stocks.setdefault(worker, stock) is not stock:
            self._forget(worker, stock)
        key = worker, stock, here, there, language
        now = asyncio.get_running_loop().time()
        if now < self._untried.get(key, now):
            return Verdict.UNTRIED
        task = self._trials.get(key)
        if task is None:
            task = self._trials[key] = asyncio.ensure_future(self._try(driver, here, language, trial))
        try:
            verdict = await asyncio.shield(task)
        except InfraError:
            self._trials.pop(key, None)
            raise
        except asyncio.CancelledError:
            if task.cancelled():
                self._trials.pop(key, None)
            raise
        if verdict is Verdict.UNTRIED and self._trials.pop(key, None) is not None:
            self._untried[key] = now + RETRY_S
        return verdict

    def forget(self, worker: WorkerId) -> None:
        """What was shown of ``worker`` counts no more: it is tried anew."""
        for key in [key for key in self._trials if key[0] == worker]:
            del self._trials[key]

    def _forget(self, worker: WorkerId, stock: object) -> None:
        self._stocks[worker] = stock
        for book in (self._trials, self._untried):
            for key in [key for key in book if key[0] == worker and key[1] is not stock]:
                del book[key]

    async def expected(self, driver: bytes, here: CompilerId, language: str) -> tuple[LaunchRequest, bytes | None]:
        """Return the trial's command, and what it makes here (``None``: it cannot be made); made once."""
        name, _ = TRIALS[language]
        local = self._local.get((driver, here, language))
        if local is None:
            local = self._local[driver, here, language] = asyncio.ensure_future(self._compile_here(driver, language))
        return self._request(driver, name), await asyncio.shield(local)

    async def _try(self, driver: bytes, here: CompilerId, language: str, trial: Trial) -> Verdict:
        request, expected = await self.expected(driver, here, language)
        made = await trial(request) if expected is not None else None
        if made is None:
            return Verdict.UNTRIED
        return Verdict.SAME if made == expected else Verdict.DIFFERENT

    def _request(self, driver: bytes, name: bytes) -> LaunchRequest:
        return LaunchRequest(
            cwd=os.fsencode(self._directory),
            compiler=driver,
            argv=(driver, *_FLAGS, b"-c", name, b"-o", b"canary.o"),
            env={key: value for key, value in self._env.items() if key in (b"PATH", b"HOME")},
            flags=LaunchFlag(0),
            umask=0o077,
            pid=0,
        )

    async def _compile_here(self, driver: bytes, language: str) -> bytes | None:
        name, text = TRIALS[language]
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            (self._directory / os.fsdecode(name)).write_bytes(text)
            output = self._directory / f"here-{os.getpid()}-{language}.o"
            request = self._request(driver, name)
            words = [driver, *_FLAGS, b"-c", name, b"-o", os.fsencode(output)]
            ended = await children.run(words, env=request.env, cwd=request.cwd)
            if not ended.ok:
                return None
            try:
                return output.read_bytes()
            finally:
                output.unlink()
        except OSError:
            return None

"""Running coroutines in tests: a loop of their own, conditions instead of sleeps, no task left at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], seconds: float = 60.0) -> T:
    """Run ``main`` to its end; fails if a task outlives it."""

    async def whole() -> T:
        async with asyncio.timeout(seconds):
            result = await main
        await until(lambda: len(asyncio.all_tasks()) == 1, "every task has ended")
        return result

    return asyncio.run(whole())


async def until(condition: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """Let the loop run until ``condition`` holds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        if loop.time() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(0.002)


async def pass_time(seconds: float) -> None:
    """For tests of what must *not* happen within ``seconds``."""
    await asyncio.sleep(seconds)

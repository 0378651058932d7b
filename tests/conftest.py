"""What every test is held to: it leaves no thread, descriptor, child process or complaint of asyncio behind."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE_S = 3.0
_PROC = Path("/proc/self")


class _Complaints(logging.Handler):
    """Collects what asyncio says of exceptions that nobody took."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


def _descriptors() -> set[str]:
    found = set()
    for name in os.listdir(_PROC / "fd"):
        try:
            found.add(f"descriptor {name} -> {os.readlink(_PROC / 'fd' / name)}")
        except OSError:
            continue  # the one of the listing itself
    return found


def _children() -> set[str]:
    found = set()
    for path in _PROC.glob("task/*/children"):
        try:
            found |= {f"child {pid}" for pid in path.read_text().split()}
        except OSError:
            continue  # that thread has ended
    return found


def _threads() -> set[str]:
    return {f"thread {t.ident} {t.name}" for t in threading.enumerate() if not t.name.startswith("pytest")}


def _held() -> set[str]:
    here = _descriptors() | _children() if _PROC.is_dir() else set()
    return here | _threads()


@pytest.fixture(autouse=True)
def _leaves_nothing_behind() -> Iterator[None]:
    complaints = _Complaints()
    logger = logging.getLogger("asyncio")
    logger.addHandler(complaints)
    before = _held()
    yield
    try:
        deadline = time.monotonic() + PATIENCE_S
        while left := _held() - before:
            gc.collect()
            if time.monotonic() > deadline:
                pytest.fail(f"the test leaves behind: {', '.join(sorted(left))}")
            threading.Event().wait(0.01)
    finally:
        logger.removeHandler(complaints)
    if complaints.said:
        pytest.fail("asyncio complains:\n" + "\n".join(complaints.said))

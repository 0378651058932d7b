"""Workers seen lately, on disk: an instant start for a new agent.  A cache: wrong or missing costs time only."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

MAX_REMEMBERED: Final = 256


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that was connected once; ``seen`` in seconds since the epoch."""

    id: str
    name: str
    addresses: tuple[str, ...]
    port: int
    seen: float


def load(path: Path) -> list[Remembered]:
    """Return what is remembered, the latest first; nothing when the file is missing or damaged."""
    try:
        workers = msgspec.json.decode(path.read_bytes(), type=list[Remembered])
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return []
    return sorted(workers, key=lambda worker: -worker.seen)[:MAX_REMEMBERED]


def save(path: Path, workers: Iterable[Remembered]) -> None:
    """Replace what is remembered; a failure (full disk, read-only home) is not worth a word."""
    latest = sorted(workers, key=lambda worker: -worker.seen)[:MAX_REMEMBERED]
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(latest))
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise

"""The history: finished jobs on disk, so that builds can be looked at when the agent that did them has left.

One file an agent's key (host, user, mount namespace), because what another machine or container built is none of this
one's builds, and because homes are on NFS, where appending from two machines tears lines.  Grammar::

    file  = line*
    line  = JSON of a Batch NL         written by one call, so that two agents of one key do not mix theirs

A full file becomes ``NAME.1`` in place of the one before it; the files of long gone keys are removed.  It is a cache:
deleting it costs what ``zdistcc report`` can show, and a line that cannot be read is left out, which the answer says.
What an agent that is killed had not yet written, two seconds at most, is lost.

Writing is done in a thread, since the cache may be on a slow disk.  Rejected: a line a job (the epoch in each), SQLite
(locks on NFS, a dependency of start-up), a binary log (nobody can look at it).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from pathlib import Path
from typing import Any, Final

import msgspec

from zdistcc.agent.journal import JobRecord, Note

VERSION: Final = 1
MAX_FILE_BYTES: Final = 4 << 20
"""At 400 bytes a job, two such files hold some 20,000."""
MAX_KEYS: Final = 8
"""Files of how many agents' keys are left: each container may make a new one."""
BATCH_JOBS: Final = 256
BATCH_S: Final = 2.0
_log = logging.getLogger("zdistcc.agent")


class Batch(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line: ``epoch`` added to its times gives the time of day."""

    version: int = 0
    agent: str
    epoch: float
    jobs: list[JobRecord] = []
    notes: list[Note] = []


class History:
    """Keeps what :class:`~zdistcc.agent.journal.Journal` finishes."""

    def __init__(self, path: Path) -> None:
        self.agent = secrets.token_hex(8)
        self.epoch = 0.0
        self._path = path
        self._fresh: list[JobRecord | Note] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writer: asyncio.Future[None] | None = None
        self._tidied = False
        self._loop = asyncio.get_running_loop()

    def keep(self, record: JobRecord | Note) -> None:
        """Write ``record`` before long."""
        self._fresh.append(record)
        if len(self._fresh) == BATCH_JOBS:
            self._write_soon()
        elif self._timer is None:
            self._timer = self._loop.call_later(BATCH_S, self._write_soon)

    def _write_soon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writer is not None and not self._writer.done():
            self._timer = self._loop.call_later(BATCH_S, self._write_soon)
            return
        fresh, self._fresh = self._fresh, []
        if not fresh:
            return
        line = msgspec.json.encode(
            Batch(
                version=VERSION,
                agent=self.agent,
                epoch=self.epoch,
                jobs=[record for record in fresh if isinstance(record, JobRecord)],
                notes=[record for record in fresh if isinstance(record, Note)],
            )
        )
        self._writer = self._loop.run_in_executor(None, self._append, line + b"\n")

    async def flush(self) -> None:
        """Write what is not written yet, and return when that is done."""
        while self._fresh or (self._writer is not None and not self._writer.done()):
            if self._writer is not None:
                await self._writer
            self._write_soon()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- in threads -----------------------------------------------------------------------------

    def _append(self, line: bytes) -> None:
        """Add ``line`` to the file; whoever cannot write has no history, and is told once."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self._tidied:
                self._tidied = True
                self._tidy()
            with contextlib.suppress(FileNotFoundError):
                if self._path.stat().st_size >= MAX_FILE_BYTES:
                    self._path.replace(older(self._path))
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.write(handle, line) != len(line):
                    os.write(handle, b"\n")  # a torn line is one line
            finally:
                os.close(handle)
        except OSError as error:
            _log.warning("the history is not written: %s", error)

    def _tidy(self) -> None:
        """Remove the files of all keys but ours and the newest others."""
        found = [path for path in self._path.parent.glob("*.jsonl*") if not path.name.startswith(self._path.name)]
        found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in found[2 * (MAX_KEYS - 1) :]:
            path.unlink()

    def read(self, *, own: bool) -> dict[str, Any]:
        """Return what was written, oldest first, by this agent too if ``own``, and how many lines could not be read."""
        batches, skipped = [], 0
        decoder = msgspec.json.Decoder(Batch)
        for path in (older(self._path), self._path):
            try:
                with path.open("rb") as file:
                    content = file.read(2 * MAX_FILE_BYTES)
            except FileNotFoundError:
                continue
            except OSError as error:
                _log.warning("the history is not read: %s", error)
                skipped += 1
                continue
            for line in content.splitlines():
                try:
                    batch = decoder.decode(line)
                except msgspec.MsgspecError:
                    skipped += 1
                    continue
                if batch.version != VERSION:
                    skipped += 1
                elif own or batch.agent != self.agent:
                    batches.append(msgspec.Raw(line))
        return {"batches": batches, "skipped": skipped}


def older(path: Path) -> Path:
    """Where the file that was full is."""
    return path.with_name(f"{path.name}.1")

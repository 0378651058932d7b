"""The files of one version 3 request of stock distcc, in a tree of their own that goes with the job.

Paths and links were judged by the protocol's core (``wire.distcc_tokens``): names are absolute and plain, none lies
under a file or a link, no link leads out.  What is left to mind here: the working directory is made first, so that it
is never reached through a link; an absolute target means the tree's root; a directory that is to be "the server's own"
is linked only if a compiler of this worker really searches it.  (A stock include server names the directories of all
compilers that it has met, so the one that compiles is not the only one that counts.)

Twins of equal content get different times: GCC takes files of equal size, time and content for one when it heeds
``#pragma once``.

Rejected: the trees of headers mode.  Their epochs are told by the client, and everything is sent with each job of
stock distcc anyway: each tree would be built from the store and thrown away, at the price of a digest for each file.

Must not know: connections, slots.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from zdistcc import children
from zdistcc.children import Limits
from zdistcc.errors import InfraError
from zdistcc.toolchain.identity import CompilerId
from zdistcc.worker.execute import SCRATCH_PREFIX

_SEARCH_TIMEOUT_S: Final = 20.0
_LANGUAGES: Final = (b"c", b"c++")
_NONEXISTENT: Final = b'ignoring nonexistent directory "'


class Unfit(InfraError):
    """What the client wants in its tree cannot be there."""


class StockTree:
    """One job's tree; ``root`` takes the place of the client's ``/``."""

    def __init__(self, workspace: Path, cwd: bytes) -> None:
        """Make it, with the directory ``cwd``; :class:`InfraError` when the disk does not let us."""
        with _trouble("the worker's disk"):
            workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._place = tempfile.mkdtemp(dir=workspace, prefix=SCRATCH_PREFIX).encode()
        self.root = os.path.join(self._place, b"tree")
        self._made: set[bytes] = set()
        self._twins: dict[tuple[int, int], int] = {}
        self._system: list[bytes] = []
        try:
            self._make_directory(cwd)
        except InfraError:
            self.remove()
            raise

    def add_file(self, path: bytes, data: bytes) -> None:
        """Write a file; :class:`InfraError` when that cannot be."""
        self._make_directory(os.path.dirname(path))
        place = self.root + path
        with _trouble("a file of the job"):
            handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(handle, "wb") as file:
                file.write(data)
            key = len(data), zlib.crc32(data)
            earlier = self._twins.get(key, 0)
            self._twins[key] = earlier + 1
            if earlier and data:
                time = int(os.stat(place).st_mtime) - 2 * earlier
                os.utime(place, (time, time))

    def add_link(self, path: bytes, target: bytes) -> None:
        """Make a link, of which an absolute ``target`` means the client's root."""
        directory = os.path.dirname(path)
        self._make_directory(directory)
        if target.startswith(b"/"):
            depth = sum(bool(part) for part in directory.split(b"/"))
            target = b"../" * depth + (target.lstrip(b"/") or b".")
        with _trouble("a link of the job"):
            os.symlink(target, self.root + path)

    def name_system(self, path: bytes) -> None:
        """The job reads this machine's own directory of that name; see :meth:`link_system`."""
        self._system.append(path)

    def link_system(self, allowed: Collection[bytes]) -> None:
        """Link what was named and is ``allowed``; :class:`Unfit` for anything else that is on this machine."""
        for path in self._system:
            if path not in allowed:
                if not os.path.lexists(path):
                    continue  # a compiler of the client that is not here has its headers there
                shown = ascii(path[:200].decode("utf-8", "replace"))[1:-1]
                raise Unfit(f"no compiler of this worker searches {shown}, where the job has system headers")
            self._make_directory(os.path.dirname(path))
            with _trouble("a link of the job"):
                os.symlink(path, self.root + path)

    def names_more_than(self, allowed: Collection[bytes]) -> bool:
        """Whether something was named that is not ``allowed``."""
        return any(path not in allowed for path in self._system)

    def remove(self) -> None:
        """Remove it, beside the event loop where there is one."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            shutil.rmtree(self._place, ignore_errors=True)
            return
        loop.run_in_executor(None, shutil.rmtree, self._place, True)

    def _make_directory(self, path: bytes) -> None:
        if path not in self._made:
            with _trouble("a directory of the job"):
                os.makedirs(self.root + path, mode=0o700, exist_ok=True)
            self._made.add(path)


@contextlib.contextmanager
def _trouble(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unfit(f"{what}: {error.strerror}") from error


class SystemDirectories:
    """Where compilers search for headers whatever they are told, asked once."""

    def __init__(self) -> None:
        self._known: dict[CompilerId, frozenset[bytes]] = {}

    async def of(self, compiler: CompilerId, driver: bytes) -> frozenset[bytes]:
        """Return the directories, as the compiler names them and as they really are."""
        if compiler not in self._known:
            found: set[bytes] = set()
            for language in _LANGUAGES:
                ended = await children.run(
                    [driver, b"-v", b"-E", b"-x", language, b"-o", b"/dev/null", b"/dev/null"],
                    env={b"PATH": b"/usr/local/bin:/usr/bin:/bin", b"LC_ALL": b"C"},
                    cwd=b"/",
                    limits=Limits(seconds=_SEARCH_TIMEOUT_S),
                )
                found |= named_in(ended.stderr)
            self._known[compiler] = frozenset({*found, *map(os.path.realpath, found)})
        return self._known[compiler]


def named_in(said: bytes) -> set[bytes]:
    """Return the directories that ``-v`` lists, those that are not there included."""
    lines = said.splitlines()
    found = {line[len(_NONEXISTENT) : -1] for line in lines if line.startswith(_NONEXISTENT)}
    _, _, listed = said.partition(b"search starts here:\n")
    found |= {line.strip() for line in listed.partition(b"End of search list.")[0].splitlines() if line[:1] == b" "}
    return {os.path.normpath(path) for path in found if path.startswith(b"/")}

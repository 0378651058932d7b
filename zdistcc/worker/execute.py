"""Executes one order: a fresh directory, the text in it, the compiler in its own process group, the outputs read back.

The directory is the compiler's working directory and is gone afterwards.  The text keeps its base name, because clang
records it.  Limits are children.Limits; a compiler that exceeds them is an answer (:class:`Exceeded`), not a crash.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zdistcc import children
from zdistcc.children import Ended, Limits
from zdistcc.errors import InfraError
from zdistcc.toolchain.identity import Family
from zdistcc.wire.messages import Stage
from zdistcc.worker.vet import Order

_STAGE_WORDS: Final = {Stage.OBJECT: b"-c", Stage.ASSEMBLY: b"-S"}
_OUTPUT_NAMES: Final = {Stage.OBJECT: b"out.o", Stage.ASSEMBLY: b"out.s"}
_SAFE_ENVIRONMENT: Final = {b"PATH": b"/usr/local/bin:/usr/bin:/bin", b"_ZDISTCC_SAFEGUARD": b"1"}


class Exceeded(InfraError):
    """The compiler used more than it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What came of an order: how the compiler ended, and the bytes of its main output (when it succeeded)."""

    ended: Ended
    output: bytes


def command(order: Order, driver: bytes) -> list[bytes]:
    """Return the whole command line for ``order``, to be run in the directory that holds its text."""
    mode = [b"--driver-mode=g++"] if order.offer.id.family is Family.CLANG and "++" in order.language else []
    return [
        driver,
        *mode,
        *order.args,
        b"-x",
        order.language.encode(),
        _STAGE_WORDS[order.stage],
        b"-o",
        b"../" + _OUTPUT_NAMES[order.stage],
        order.name,
    ]


async def execute(
    order: Order, driver: bytes, text: bytes, workspace: Path, limits: Limits, base_env: Mapping[bytes, bytes]
) -> Made:
    """Compile ``text``; :class:`Exceeded` when a limit was hit, :class:`InfraError` when nothing could be run."""
    try:
        directory = tempfile.mkdtemp(dir=workspace, prefix="job-").encode()
    except OSError as error:
        raise InfraError(f"no room to work in: {error.strerror}") from error
    try:
        source_dir = _place(text, directory, order.name)
        ended = await children.run(
            command(order, driver),
            env={**_SAFE_ENVIRONMENT, **base_env, **order.env, b"TMPDIR": directory},
            cwd=source_dir,
            limits=limits,
            umask=0o077,
        )
        _mind_limits(ended, limits)
        output = _read(os.path.join(directory, _OUTPUT_NAMES[order.stage])) if ended.ok else b""
        return Made(ended=ended, output=output)
    except OSError as error:
        raise InfraError(f"the worker's disk: {error.strerror}") from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _place(text: bytes, directory: bytes, name: bytes) -> bytes:
    source_dir = os.path.join(directory, b"src")
    os.mkdir(source_dir)
    with open(os.path.join(source_dir, name), "wb") as file:
        file.write(text)
    return source_dir


def _read(path: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _mind_limits(ended: Ended, limits: Limits) -> None:
    if ended.timed_out:
        raise Exceeded(f"the compiler ran for more than {limits.seconds:g} s")
    killed = os.WTERMSIG(ended.status) if os.WIFSIGNALED(ended.status) else 0
    if killed == signal.SIGXFSZ:
        raise Exceeded(f"the compiler wrote more than {limits.output} bytes")
    if killed == signal.SIGKILL:
        raise Exceeded("the compiler was killed, most likely for want of memory")

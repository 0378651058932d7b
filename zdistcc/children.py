"""Child processes: spawned into their own process group, limited, awaited without a thread, killed whole.

Both the agent (local preprocessing) and the worker (compilers) run children here.  Output goes to memory files,
not pipes: a 3 MB preprocessed text then costs one read instead of fifty wake-ups of the event loop.

Rejected: ``asyncio.create_subprocess_exec`` (a thread per child on Python 3.11, pipes only, no resource usage of the
single child).  Limits are set from outside right after the spawn, on what the child has started until then as well, so
that no Python code has to run between fork and exec.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Final

from zdistcc.errors import InfraError

MAX_TEXT_BYTES: Final = 1 << 20
"""How much of a compiler's messages is kept; the protocol's limit for them is the same."""
_MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024
_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "loongarch64": 30, "ppc64le": 273, "s390x": 282}
"""Numbers of ioprio_set(2), for 64-bit processes."""
_IOPRIO_WHO_PROCESS: Final = 1
_IOPRIO_CLASS_IDLE: Final = 3 << 13


class SpawnError(InfraError):
    """The program could not be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a child may use; 0 means no limit.  ``memory`` and ``output`` in bytes, ``seconds`` of wall clock.

    ``background``: it is scheduled as a batch job and reads and writes when nobody else does (Linux).
    """

    seconds: float = 0.0
    memory: int = 0
    output: int = 0
    nice: int = 0
    background: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a child ended: raw wait status, what it printed, what it used.

    ``peak_bytes``: the most memory that it, or one of its own children, had at once.
    """

    status: int
    stdout: bytes
    stderr: bytes
    cpu_s: float
    wall_s: float
    timed_out: bool = False
    peak_bytes: int = 0

    @property
    def ok(self) -> bool:
        """True for exit status 0."""
        return self.status == 0


def memory_file(name: str) -> IO[bytes]:
    """Return an unnamed file in memory (or, where the system has none, in the temporary directory)."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create(name, os.MFD_CLOEXEC), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


def read_all(file: IO[bytes], limit: int | None = None) -> bytes:
    """Return what was written to ``file``, at most ``limit`` bytes of it."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size if limit is None else min(size, limit), 0) if size else b""


def _limit(pid: int, limits: Limits) -> None:
    for member in _family(pid):
        with contextlib.suppress(ProcessLookupError):
            _limit_one(member, limits)


def _family(pid: int) -> Iterator[int]:
    """Yield ``pid``, then what it has started before it was limited itself: on a busy machine that has happened."""
    yield pid
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            started = file.read().split()
        for child in started:
            yield from _family(int(child))


def _limit_one(pid: int, limits: Limits) -> None:
    wanted = (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_FSIZE, limits.output),
        (resource.RLIMIT_CPU, math.ceil(limits.seconds)),  # should nobody be left to mind the clock
    )
    for kind, value in wanted:
        if (value or kind == resource.RLIMIT_CORE) and hasattr(resource, "prlimit"):
            _, hard = resource.prlimit(pid, kind)
            ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.prlimit(pid, kind, (ceiling, ceiling))
    if limits.background:
        _background(pid)
    if limits.nice:
        os.setpriority(os.PRIO_PROCESS, pid, limits.nice)


@functools.cache
def _ioprio_set() -> Callable[[int, int, int], int] | None:
    """Return the system call, which neither Python nor the C library has; ``None`` where its number is not known."""
    number = _IOPRIO_SET.get(platform.machine()) if sys.platform == "linux" and sys.maxsize > 1 << 32 else None
    if number is None:
        return None
    import ctypes

    return functools.partial(ctypes.CDLL(None).syscall, number)


def _background(pid: int) -> None:
    """Make ``pid`` give way; what it starts later inherits that."""
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
    set_priority = _ioprio_set()
    if set_priority is not None:
        set_priority(_IOPRIO_WHO_PROCESS, pid, _IOPRIO_CLASS_IDLE)


def raise_descriptor_limit() -> None:
    """Take as many descriptors as the system gives unasked: each waiting launcher and each connection needs one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def kill_group(pid: int) -> None:
    """Kill the process group that :func:`run` started for ``pid``."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


async def run(
    argv: Sequence[bytes | str],
    *,
    env: Mapping[bytes, bytes],
    cwd: bytes | str,
    limits: Limits | None = None,
    umask: int = -1,
    stdout_limit: int | None = None,
) -> Ended:
    """Run ``argv[0]`` (a path) to its end; cancelling kills its group.  :class:`SpawnError` if it cannot start."""
    limits = limits or Limits()
    if limits.background:
        _ioprio_set()  # looked up before the child runs: it is not to be late
    with memory_file("stdout") as out, memory_file("stderr") as err:
        begun = time.monotonic()
        try:
            child = subprocess.Popen(  # noqa: ASYNC220 (returns as soon as exec has happened)
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                process_group=0,
                umask=umask,
            )
        except OSError as error:
            raise SpawnError(f"cannot run {os.fsdecode(argv[0])}: {error.strerror}") from error
        timed_out = False
        try:
            _limit(child.pid, limits)
            async with asyncio.timeout(limits.seconds or None):  # wait_for() of 3.11 can lose a cancellation
                await _exited(child.pid)
        except TimeoutError:
            timed_out = True
        finally:
            status, usage = _reap(child)
        return Ended(
            status=status,
            stdout=read_all(out, stdout_limit),
            stderr=read_all(err, MAX_TEXT_BYTES),
            cpu_s=usage.ru_utime + usage.ru_stime,
            wall_s=time.monotonic() - begun,
            timed_out=timed_out,
            peak_bytes=usage.ru_maxrss * _MAXRSS_UNIT,
        )


def _reap(child: subprocess.Popen[bytes]) -> tuple[int, resource.struct_rusage]:
    """Collect ``child``; if it still runs, its group is killed first."""
    pid, status, usage = os.wait4(child.pid, os.WNOHANG)
    if pid == 0:
        kill_group(child.pid)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return status, usage


def _settle(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


async def _exited(pid: int) -> None:
    """Return when the process has ended; it stays to be reaped."""
    loop = asyncio.get_running_loop()
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError):
        await loop.run_in_executor(None, os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return
    done = loop.create_future()
    try:
        loop.add_reader(handle, _settle, done)
        await done
    finally:
        loop.remove_reader(handle)
        os.close(handle)

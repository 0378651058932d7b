"""Executes one order: the compiler in its own process group, in a scratch directory that is gone afterwards.

Preprocessed text is written into the scratch directory, which is the compiler's working directory; it keeps its base
name, because clang records it.  Sources are compiled where they stand in the client's tree: the tree's root takes the
place of ``/`` in every path, prefix maps take it out of what the compiler records, and what is left of it in messages
and dependency files is taken out here.  An output in which the root is still found is not the client's own and
is refused (:class:`Leaked`).  Limits are children.Limits; a compiler that exceeds them is an answer
(:class:`Exceeded`), not a crash.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from zdistcc import children
from zdistcc.children import Ended, Limits
from zdistcc.errors import InfraError
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.pathwords import PathWord
from zdistcc.wire.messages import Stage
from zdistcc.worker.depfile import as_on_client
from zdistcc.worker.vet import Order, TreeOrder

_STAGE_WORDS: Final = {Stage.OBJECT: b"-c", Stage.ASSEMBLY: b"-S"}
_OUTPUT_NAMES: Final = {Stage.OBJECT: b"out.o", Stage.ASSEMBLY: b"out.s"}
_MAP: Final = b"-prefix-map="
DISK_RESERVE_BYTES: Final = 8 << 20
"""With less room than this on the worker's disk, a failure says nothing about the source."""
OWN_LIMIT_SHARE: Final = 0.7
"""A compiler that had so much of its limit ran into that, not into the machine's; address space exceeds memory."""
_WANT_OF_MEMORY: Final = re.compile(
    rb"^(?:[^\s:]+: )*(?:(?:fatal )?error: )?"
    rb"(?:out of memory allocating |virtual memory exhausted|Killed signal terminated program "
    rb"|LLVM ERROR: out of memory|unable to execute command: Killed"
    rb"|terminate called after throwing an instance of 'std::bad_alloc')",
    re.MULTILINE,
)
"""How compilers say it, or how their drivers say that the system has killed them; lines about the source have a colon
after a line number.  A translated message is missed: then the client compiles the file itself, as after any error."""
_DEPFILE: Final = b"out.d"
SCRATCH_PREFIX: Final = "job-"
_SAFE_ENVIRONMENT: Final = {b"PATH": b"/usr/local/bin:/usr/bin:/bin", b"_ZDISTCC_SAFEGUARD": b"1"}


class Exceeded(InfraError):
    """The compiler used more than it may."""


class OutOfMemory(InfraError):
    """The machine had too little memory for the compiler; it says nothing about the source."""

    def __init__(self, why: str, peak_bytes: int) -> None:
        super().__init__(why)
        self.peak_bytes = peak_bytes


class Replaced(InfraError):
    """The compiler is not the one that was asked what it is."""


class Leaked(InfraError):
    """The tree's place on this worker found its way into an output."""


class Escaped(InfraError):
    """A path of the job leads out of the tree."""


class Rooted(Protocol):
    """Something that has taken the place of a client's ``/``."""

    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What came of an order: how the compiler ended, and its outputs by kind (when it succeeded)."""

    ended: Ended
    outputs: tuple[tuple[str, bytes], ...]


def text_command(order: Order, driver: bytes) -> list[bytes]:
    """Return the command line for preprocessed text, to be run in the directory that holds it."""
    return [
        driver,
        *_driver_mode(order),
        *order.args,
        b"-x",
        order.language.encode(),
        _STAGE_WORDS[order.stage],
        b"-o",
        b"../" + _OUTPUT_NAMES[order.stage],
        order.name,
    ]


def tree_command(order: TreeOrder, driver: bytes, root: bytes, scratch: bytes) -> list[bytes]:
    """Return the command line for sources in the tree at ``root``; outputs go to ``scratch``."""

    def place(word: bytes | PathWord) -> bytes:
        return _placed(word, root, order.cwd) if isinstance(word, PathWord) else word

    output = place(order.output) if order.output else os.path.join(scratch, _OUTPUT_NAMES[order.stage])
    gcc = order.offer.id.family is Family.GCC
    own_search = b"-nostdinc++" if gcc else b"-nostdinc"
    return [
        driver,
        *_driver_mode(order),
        *([b"--sysroot=" + root] if gcc and not order.own_system else []),
        # for what GCC reads outside the tree, its own headers; the first to be compared with comes last
        *(word.word for word in order.args if gcc and isinstance(word, PathWord) and word.before.endswith(_MAP)),
        b"-ffile-prefix-map=" + root + b"=",
        *map(place, order.args),
        *([own_search] if order.search else []),
        *map(place, order.search),
        b"-x",
        order.language.encode(),
        _STAGE_WORDS[order.stage],
        b"-o",
        output,
        *_counters(order),
        *([b"-MF", os.path.join(scratch, _DEPFILE)] if order.dependencies else []),
        place(PathWord(b"", order.source)),
    ]


def _placed(word: PathWord, root: bytes, cwd: bytes) -> bytes:
    placed = word.placed(root=root, cwd=cwd)
    if placed is None:
        raise Escaped("a path of the job leads out of its tree")
    return placed


def _counters(order: TreeOrder) -> list[bytes]:
    """Clang: the name of the coverage counters, which the object records whole, as it is on the client."""
    notes = dict(order.sides).get("gcno")
    if notes is None or order.offer.id.family is not Family.CLANG:
        return []
    counters = os.path.join(order.cwd, notes.path.removesuffix(b".gcno") + b".gcda")
    return [b"-Xclang", b"-coverage-data-file", b"-Xclang", counters]


def _driver_mode(order: Order | TreeOrder) -> list[bytes]:
    return [b"--driver-mode=g++"] if order.offer.id.family is Family.CLANG and "++" in order.language else []


async def execute_text(
    order: Order, driver: bytes, text: bytes, workspace: Path, limits: Limits, base_env: Mapping[bytes, bytes]
) -> Made:
    """Compile ``text``; :class:`Exceeded` when a limit was hit, :class:`InfraError` when nothing could be run."""
    with _scratch(workspace) as scratch:
        cwd = _place(text, scratch, order.name)
        ended = await children.run(
            text_command(order, driver),
            env={**_SAFE_ENVIRONMENT, **base_env, **order.env, b"TMPDIR": scratch},
            cwd=cwd,
            limits=limits,
            umask=0o077,
        )
        _mind_limits(ended, limits, scratch)
        output = _read(os.path.join(scratch, _OUTPUT_NAMES[order.stage])) if ended.ok else b""
        return Made(ended=ended, outputs=(("object", output),) if ended.ok else ())


async def execute_tree(
    order: TreeOrder, driver: bytes, root: bytes, workspace: Path, limits: Limits, base_env: Mapping[bytes, bytes]
) -> Made:
    """Compile a source in the tree at ``root``; raises as :func:`execute_text`, and :class:`Leaked`."""
    cwd = root + order.cwd
    lists = {
        name: b":".join(root + part if part.startswith(b"/") else part for part in value.split(b":"))
        for name, value in order.paths.items()
    }
    with _scratch(workspace) as scratch, _written_beside(order, root) as beside:
        ended = await children.run(
            tree_command(order, driver, root, scratch),
            env={**_SAFE_ENVIRONMENT, **base_env, **order.env, **lists, b"PWD": cwd, b"TMPDIR": scratch},
            cwd=cwd,
            limits=limits,
            umask=0o077,
        )
        _mind_limits(ended, limits, scratch)
        ended = replace(ended, stdout=ended.stdout.replace(root, b""), stderr=ended.stderr.replace(root, b""))
        outputs: list[tuple[str, bytes]] = []
        if ended.ok:
            made = beside or {"object": os.path.join(scratch, _OUTPUT_NAMES[order.stage])}
            outputs = _read_those_there(made)
            if any(root in output for _, output in outputs):
                raise Leaked("an output names the directory in which this worker compiled it")
            if order.dependencies:
                rules = _read(os.path.join(scratch, _DEPFILE))
                outputs.append(("dependencies", as_on_client(rules, root, order.offer.id.family)))
        return Made(ended=ended, outputs=tuple(outputs))


@contextlib.contextmanager
def _written_beside(order: TreeOrder, root: bytes) -> Iterator[dict[str, bytes]]:
    """Where in the tree the compiler writes, by kind; whatever it wrote there is removed at the end.

    Nothing of the client's may be in that place: an output is never an input.
    """
    if order.output is None:
        yield {}
        return
    cwd = root + order.cwd
    words = {"object": order.output, **dict(order.sides)}
    places = {kind: os.path.join(cwd, _placed(word, root, order.cwd)) for kind, word in words.items()}
    if any(os.path.lexists(path) for path in places.values()):
        raise Escaped("an output of the job lies where its tree has a file")
    try:
        yield places
    finally:
        for path in places.values():
            with contextlib.suppress(OSError):
                os.unlink(path)


def sweep(workspace: Path) -> None:
    """End and remove what jobs of a worker that was killed have left; nobody else may use ``workspace``."""
    for pid in _orphans(workspace):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    for left in workspace.glob(SCRATCH_PREFIX + "*"):
        shutil.rmtree(left, ignore_errors=True)


def _orphans(workspace: Path) -> list[int]:
    """Return the processes whose temporary files are in ``workspace``: compilers, where the system tells."""
    place = b"TMPDIR=" + os.fsencode(workspace / SCRATCH_PREFIX)
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            if any(word.startswith(place) for word in environment.read_bytes().split(b"\0")):
                found.append(int(environment.parent.name))
    return found


@contextlib.contextmanager
def _scratch(workspace: Path) -> Iterator[bytes]:
    """A directory for one job; trouble with the disk is the worker's fault, not the job's."""
    try:
        workspace.mkdir(mode=0o700, parents=True, exist_ok=True)  # somebody may have deleted the store
        directory = tempfile.mkdtemp(dir=workspace, prefix=SCRATCH_PREFIX).encode()
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    except OSError as error:
        raise InfraError(f"the worker's disk: {error.strerror}") from error


def _place(text: bytes, directory: bytes, name: bytes) -> bytes:
    source_dir = os.path.join(directory, b"src")
    os.mkdir(source_dir)
    with open(os.path.join(source_dir, name), "wb") as file:
        file.write(text)
    return source_dir


def _read_those_there(places: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    """The object, and of further outputs those that the compiler found it had reason to write."""
    return [(kind, _read(path)) for kind, path in places.items() if kind == "object" or os.path.exists(path)]


def _read(path: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _mind_limits(ended: Ended, limits: Limits, scratch: bytes) -> None:
    if not ended.ok and _is_full(scratch):
        raise InfraError("the worker's disk is full")
    if ended.timed_out:
        raise Exceeded(f"the compiler ran for more than {limits.seconds:g} s")
    killed = os.WTERMSIG(ended.status) if os.WIFSIGNALED(ended.status) else 0
    if killed == signal.SIGXFSZ:
        raise Exceeded(f"the compiler wrote more than {limits.output} bytes")
    if killed == signal.SIGKILL or (not ended.ok and _WANT_OF_MEMORY.search(ended.stderr)):
        if limits.memory and ended.peak_bytes > OWN_LIMIT_SHARE * limits.memory:
            raise Exceeded(f"the compiler needed more than {limits.memory} bytes of memory")
        raise OutOfMemory("the compiler was killed or gave up, most likely for want of memory", ended.peak_bytes)


def _is_full(directory: bytes) -> bool:
    """Whether a compiler that failed there may have failed for want of room."""
    room = os.statvfs(directory)
    return room.f_bavail * room.f_frsize < DISK_RESERVE_BYTES

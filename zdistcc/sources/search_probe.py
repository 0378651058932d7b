"""Runs the compiler for what only the compiler knows: its search path, and ``-M``.

Synchronous, with a timeout, for a thread or a test; the index itself never waits.  A caller with its own
way of running children needs only the two command builders.

Must not know: the index's memory.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from typing import Final

from zdistcc.errors import Reason
from zdistcc.sources.index import SourceIndex
from zdistcc.sources.model import (
    Closure,
    ClosureRequest,
    NeedsCompiler,
    NeedsSearchPath,
    SearchContext,
    Unclosable,
)
from zdistcc.sources.search_path import parse

PROBE_TIMEOUT_S: Final = 20.0  # a cold compiler on a slow network file system; it takes 10 ms warm
DEPENDENCIES_TIMEOUT_S: Final = 60.0
ATTEMPTS: Final = 12  # a compiler needs 10 ms for -M, and a fresh file has to be older than a tick


def search_path_command(request: ClosureRequest) -> tuple[bytes, ...]:
    """Prints the search path on its standard error; run in ``request.cwd`` and :func:`probe_environment`."""
    language = request.language.encode()
    return (request.compiler, *request.search_words, b"-x", language, b"-v", b"-E", b"/dev/null")


def dependencies_command(request: ClosureRequest, flags: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Prints the make rule on its standard output; ``flags``: the job's other words that may steer macros."""
    forced = tuple(word for kind, name in request.forced for word in (kind.value.encode(), name))
    return (
        request.compiler,
        *flags,
        *request.search_words,
        *request.defines,
        *forced,
        b"-x",
        request.language.encode(),
        b"-M",
        b"-MT",
        b"x",
        request.source,
    )


def probe_environment(request: ClosureRequest, base: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """The request's variables, and the C locale, for the text is parsed."""
    kept = {name: base[name] for name in (b"PATH", b"HOME", b"TMPDIR") if name in base}
    return {**kept, **dict(request.env), b"LC_ALL": b"C"}


def probe_search_path(
    request: ClosureRequest, base: Mapping[bytes, bytes] = os.environb, *, timeout_s: float = PROBE_TIMEOUT_S
) -> SearchContext | Unclosable:
    """Ask the compiler where it searches headers."""
    try:
        run = subprocess.run(
            search_path_command(request),
            cwd=request.cwd,
            env=probe_environment(request, base),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return Unclosable(reason=Reason.SEARCH_PATH_UNKNOWN, detail=request.compiler)
    return parse(run.stderr, request)


def probe_dependencies(
    request: ClosureRequest,
    flags: tuple[bytes, ...] = (),
    base: Mapping[bytes, bytes] = os.environb,
    *,
    timeout_s: float = DEPENDENCIES_TIMEOUT_S,
) -> bytes:
    """What the compiler prints for ``-M``; empty if it fails."""
    try:
        run = subprocess.run(
            dependencies_command(request, flags),
            cwd=request.cwd,
            env=probe_environment(request, base),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return b""
    return run.stdout if run.returncode == 0 else b""


def close(index: SourceIndex, request: ClosureRequest, flags: tuple[bytes, ...] = ()) -> Closure | Unclosable:
    """The closure, asking the compiler as often as needed."""
    answer = index.closure(request)
    for _ in range(ATTEMPTS):
        match answer:
            case NeedsSearchPath():
                search = probe_search_path(request)
                if isinstance(search, Unclosable):
                    return search
                answer = index.learn_search_path(request, search) or index.closure(request)
            case NeedsCompiler():
                answer = index.teach(answer, probe_dependencies(request, flags))
            case Closure() | Unclosable():
                return answer
    return answer if isinstance(answer, Unclosable) else Unclosable(reason=Reason.SOURCES_CHANGING)

"""Every compiler a machine has: what a worker offers.

Looks for names that compilers have (``families``) on the PATH and in the usual places, asks each distinct
program once, and keeps one entry for each :class:`CompilerId`, under its plainest name.  What a client may
have run is then exactly what was found: there is no list to maintain.

A compiler behind a script with options of its own (``c99``) is left out: as a client's compiler it is the
same id with words put before its own (:attr:`Probed.implied`), as a worker's it is of no use.

Must not know: how to ask a compiler (``probe``), the network.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from zdistcc.errors import Reason
from zdistcc.toolchain import families
from zdistcc.toolchain.identity import CompilerId
from zdistcc.toolchain.lookup import Environment, is_program
from zdistcc.toolchain.probe import Probed, ProbeFailure
from zdistcc.toolchain.probecache import ProbeCache, stamp

PROBES_AT_ONCE = 4  # processes of some 10 ms each; more only compete with the jobs being compiled
CANDIDATES_MAX = 512  # a directory made to keep us busy ends here

# Where packages put compilers without anybody's PATH saying so.  Shell patterns, in order of preference.
USUAL_PLACES: tuple[str, ...] = (
    "/usr/bin",
    "/usr/local/bin",
    "/usr/lib/llvm-*/bin",  # Debian, apt.llvm.org
    "/usr/lib/llvm/*/bin",  # Gentoo
    "/usr/lib64/llvm*/bin",  # Fedora's versioned packages
    "/usr/local/llvm*/bin",  # FreeBSD
    "/usr/*-*-*/gcc-bin/*",  # Gentoo
    "/opt/*/bin",
    "/opt/rh/*/root/usr/bin",  # RHEL's toolsets
    "/opt/intel/oneapi/compiler/*/bin",
    "/opt/intel/oneapi/compiler/*/linux/bin",
    "/opt/oracle/*/bin",
    "/home/linuxbrew/.linuxbrew/bin",
    "/opt/homebrew/opt/llvm*/bin",  # macOS
    "/usr/local/opt/llvm*/bin",
    "/opt/local/bin",
    "/Library/Developer/CommandLineTools/usr/bin",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """``compilers``: one for each id.  ``left_out``: what looked like one, and why it isn't."""

    compilers: tuple[Probed, ...]
    left_out: tuple[ProbeFailure, ...]


def usual_places() -> tuple[bytes, ...]:
    """The directories of :data:`USUAL_PLACES` that exist."""
    return tuple(
        os.fsencode(path) for pattern in USUAL_PLACES for path in sorted(glob.glob(pattern)) if os.path.isdir(path)
    )


def find_compilers(
    path_dirs: Iterable[bytes], env: Environment, cache: ProbeCache, extra_dirs: Iterable[bytes] | None = None
) -> Inventory:
    """Asks whatever looks like a compiler in ``path_dirs`` and ``extra_dirs`` (default: the usual places)."""
    extra = usual_places() if extra_dirs is None else tuple(extra_dirs)
    # Wrappers are to be seen through wherever the compiler lies.
    directories = tuple(dict.fromkeys((*path_dirs, *extra)))
    searching = {**env, b"PATH": b":".join(directories)}
    candidates = _candidates(directories)
    with ThreadPoolExecutor(PROBES_AT_ONCE, thread_name_prefix="probe") as pool:
        answers = list(pool.map(lambda path: cache.probe(path, searching), candidates))
    found: dict[CompilerId, Probed] = {}
    left_out: list[ProbeFailure] = []
    for answer in answers:
        if isinstance(answer, ProbeFailure):
            left_out.append(answer)
        elif answer.implied:
            left_out.append(_opinionated(answer))
        else:
            found[answer.id] = min(found.get(answer.id, answer), answer, key=_plainness)
    return Inventory(compilers=tuple(found.values()), left_out=tuple(left_out))


def _candidates(directories: Sequence[bytes]) -> list[bytes]:
    """The plainest path of each distinct program; with each prefix, as clang reads its own name's."""
    plainest: dict[tuple[bytes, str], tuple[tuple[int, int, int, int], bytes]] = {}
    for position, directory in enumerate(directories):
        for name in _names(directory):
            guess = families.looks_like_compiler(name)
            path = os.path.join(directory, name)
            if guess is None or not is_program(path):
                continue
            real = os.path.realpath(path)
            if families.is_wrapper(real):
                # Each name of a wrapper stands for another compiler.
                real = path
            key, rank = (real, guess.prefix), ((*guess.plainness, position), path)
            plainest[key] = min(plainest.get(key, rank), rank)
    return [path for _, path in plainest.values()][:CANDIDATES_MAX]


def _names(directory: bytes) -> list[bytes]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _opinionated(compiler: Probed) -> ProbeFailure:
    words = b" ".join(compiler.implied).decode("utf-8", "replace")
    return ProbeFailure(
        path=compiler.path,
        reason=Reason.COMPILER_WRAPPED,
        sentence=f"is {compiler.id} with {words} added by a script",
    )


def _plainness(compiler: Probed) -> tuple[int, int, int, int]:
    """Orders the names of one compiler: the one to show and run first."""
    guess = families.looks_like_compiler(compiler.driver)
    return (0, *guess.plainness) if guess is not None else (1, 0, 0, 0)


def fingerprint(directories: Iterable[bytes]) -> int:
    """Changes when a compiler comes, goes or is replaced in ``directories``; costs a listing and a few stats.

    Comparable within this process.  A compiler proper (cc1) replaced without its driver is not noticed.
    """
    seen: list[object] = []
    for directory in directories:
        seen.append((directory, stamp(directory)))
        names = filter(families.looks_like_compiler, _names(directory))
        seen.extend((name, stamp(os.path.join(directory, name))) for name in names)
    return hash(tuple(seen))


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """An inventory and the fingerprint of the places it was taken from."""

    inventory: Inventory
    fingerprint: int


def refresh(last: Watched | None, path_dirs: Sequence[bytes], env: Environment, cache: ProbeCache) -> Watched:
    """``last`` itself if nothing changed there, else a new look, in which known compilers cost no process."""
    places = usual_places()
    # Before the search: what changes during it is found by the next refresh.
    now = fingerprint(dict.fromkeys((*path_dirs, *places)))
    if last is not None and last.fingerprint == now:
        return last
    inventory = find_compilers(path_dirs, env, cache, places)
    return Watched(inventory=inventory, fingerprint=now)

"""Build tools: how each is told how many jobs to run, and which words of its command line say that already.

A row of ``READERS`` is a tool by the names of its program.  Must not know: the agent, what is compiled.
"""

from __future__ import annotations

import enum
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zdistcc.jobserver import words
from zdistcc.jobserver.words import CMAKE_BUILD, MAKE, NINJA, Grammar, find_jobs

FIFO_MAKE: Final = (4, 4)
DESCRIPTORS_MAKE: Final = (4, 2)
"""Older ones know the descriptors by another name, and read them blocking."""
JOBSERVER_NINJA: Final = (1, 13)
LEVEL: Final = "CMAKE_BUILD_PARALLEL_LEVEL"
_VERSION_TIMEOUT_S: Final = 10


class Told(enum.Enum):
    """How a tool is told the number of jobs."""

    NOTHING = "nothing"  # it has been told: by the user, or by an outer jobserver
    FIFO = "fifo"
    DESCRIPTORS = "descriptors"
    WORD = "word"  # -jN
    VARIABLE = "variable"  # CMake hands it on as the -j of whatever tool it uses


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A command to run: its words (without the ``-j`` that became ``bound``) and what it is told.

    ``bound`` is the most jobs that the user allows, None for no limit; ``makeflags`` the words of the user's own
    ``MAKEFLAGS``, without ``-j``; ``links`` whether the directory of links belongs on its PATH.
    """

    argv: tuple[str, ...]
    told: Told
    bound: int | None = None
    makeflags: tuple[str, ...] = ()
    links: bool = True


def plan(argv: Sequence[str], env: Mapping[str, str]) -> Plan:
    """Return how to run ``argv``; starts a tool to ask for its version."""
    reader = READERS.get(os.path.basename(argv[0]), _other)
    return reader(tuple(argv), env)


def _make(argv: tuple[str, ...], env: Mapping[str, str]) -> Plan:
    return _with_jobserver(argv, env, how_make_is_told(argv[0], env), MAKE)


def _ninja(argv: tuple[str, ...], env: Mapping[str, str]) -> Plan:
    return _with_jobserver(argv, env, how_ninja_is_told(argv[0], env), NINJA)


def _with_jobserver(argv: tuple[str, ...], env: Mapping[str, str], told: Told, grammar: Grammar) -> Plan:
    own, flags = find_jobs(argv[1:], grammar), words.flags_of(env.get("MAKEFLAGS", ""))
    if told is Told.NOTHING or (told is Told.WORD and (own.said or (grammar is MAKE and flags.said))):
        return Plan(argv=argv, told=Told.NOTHING)
    if told is Told.WORD:
        return Plan(argv=argv, told=told)
    bound = own.bound if own.said else flags.bound
    return Plan(argv=(argv[0], *own.others), told=told, bound=bound, makeflags=flags.others)


def _cmake(argv: tuple[str, ...], env: Mapping[str, str]) -> Plan:
    if argv[1:2] != ("--build",):
        # A compiler that CMake finds is written down with its path: it must be the real one.
        return Plan(argv=argv, told=Told.NOTHING, links=False)
    told, grammar = _how_a_build_is_told(argv[2] if len(argv) > 2 else "", env)
    place = argv.index("--") if "--" in argv else len(argv)
    own, native = find_jobs(argv[1:place], CMAKE_BUILD), find_jobs(argv[place + 1 :], grammar)
    flags, level = words.flags_of(env.get("MAKEFLAGS", "")), env.get(LEVEL, "")
    said = own.said or native.said or bool(level)
    if told is Told.VARIABLE and said:
        told = Told.NOTHING
    if told in (Told.NOTHING, Told.VARIABLE):
        return Plan(argv=argv, told=told)
    if native.said:
        bound = native.bound
    elif own.said:
        bound = own.bound
    else:
        bound = int(level) if level.isdecimal() and int(level) else flags.bound
    behind = ("--", *native.others) if native.others else ()
    return Plan(argv=(argv[0], *own.others, *behind), told=told, bound=bound, makeflags=flags.others)


def _how_a_build_is_told(directory: str, env: Mapping[str, str]) -> tuple[Told, Grammar]:
    """Return how the tool is told for which CMake made the build in ``directory``, and that tool's grammar."""
    known = cmake_cache(Path(directory))
    generator, program = known.get("CMAKE_GENERATOR", ""), known.get("CMAKE_MAKE_PROGRAM", "")
    if generator.startswith("Ninja"):
        told, grammar = how_ninja_is_told(program or "ninja", env), NINJA
    elif generator == "Unix Makefiles":
        told, grammar = how_make_is_told(program or "make", env), MAKE
    else:
        told, grammar = Told.NOTHING if _outer(env) else Told.VARIABLE, MAKE
    return Told.VARIABLE if told is Told.WORD else told, grammar


def cmake_cache(directory: Path) -> dict[str, str]:
    """Return the entries of a build directory's cache; empty if there is none."""
    try:
        lines = (directory / "CMakeCache.txt").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return {}
    entries = (line.partition("=") for line in lines if line and line[0] not in "#/")
    return {name.partition(":")[0]: value for name, _, value in entries}


def _other(argv: tuple[str, ...], env: Mapping[str, str]) -> Plan:
    """What we don't know may call make in the end."""
    told = how_make_is_told("make", env) if shutil.which("make", path=env.get("PATH")) else Told.FIFO
    flags = words.flags_of(env.get("MAKEFLAGS", ""))
    if _outer(env) or told is Told.WORD:
        return Plan(argv=argv, told=Told.NOTHING)
    return Plan(argv=argv, told=told, bound=flags.bound, makeflags=flags.others)


READERS: Final[Mapping[str, Callable[[tuple[str, ...], Mapping[str, str]], Plan]]] = {
    **dict.fromkeys(("make", "gmake", "gnumake"), _make),
    **dict.fromkeys(("ninja", "ninja-build"), _ninja),
    "cmake": _cmake,
}


def _outer(env: Mapping[str, str]) -> bool:
    return words.has_jobserver(env.get("MAKEFLAGS", ""))


def how_make_is_told(program: str, env: Mapping[str, str]) -> Told:
    """Ask a make for its version; other makes than GNU's know no jobserver."""
    if _outer(env):
        return Told.NOTHING
    text = _version(program, env)
    version = words.version_in(text) if text.startswith("GNU Make") else (0, 0)
    if version >= FIFO_MAKE:
        return Told.FIFO
    return Told.DESCRIPTORS if version >= DESCRIPTORS_MAKE else Told.WORD


def how_ninja_is_told(program: str, env: Mapping[str, str]) -> Told:
    """Ask a ninja for its version."""
    if _outer(env):
        return Told.NOTHING
    return Told.FIFO if words.version_in(_version(program, env)) >= JOBSERVER_NINJA else Told.WORD


def _version(program: str, env: Mapping[str, str]) -> str:
    plain = {name: value for name, value in env.items() if name != "MAKEFLAGS"}  # -n or -p of it would be obeyed
    found = shutil.which(program, path=env.get("PATH"))
    try:
        ended = subprocess.run(
            [found or program, "--version"],
            env=plain,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_VERSION_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.decode("ascii", "replace")

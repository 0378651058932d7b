"""Makes a `cases.Case` into files and a command."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

from tests.e2e import exact
from tests.e2e.cases import Case

COMPILERS = {"CC": ("gcc", "clang"), "CXX": ("g++", "clang++")}


def expand(case: Case) -> tuple[str, ...]:
    """The compilers that the case is for."""
    return case.compilers or COMPILERS[case.command.partition(" ")[0]]


def place(top: Path, case: Case) -> Path:
    """Write the case's project to ``top``, which is emptied first."""
    shutil.rmtree(top, ignore_errors=True)
    top.mkdir()
    exact.write(top, {name: _filled(text, top) for name, text in case.files.items()})
    return top


def command(case: Case, compiler: str, top: Path) -> tuple[list[bytes], Path, dict[str, str]]:
    """Words, directory and environment of the case."""
    words = [os.fsencode(word) for word in shlex.split(case.command.replace("TOP", str(top)))]
    env = {name: value.replace("TOP", str(top)) for name, value in case.env.items()}
    return [compiler.encode(), *words[1:], *case.words], top / case.cwd, env


def _filled(text: str | bytes, top: Path) -> str | bytes:
    return text.replace("TOP", str(top)) if isinstance(text, str) else text


def expected(case: Case, compiler: str) -> str | None:
    """How the job is to go; None if that does not matter."""
    if case.way is None or isinstance(case.way, str):
        return case.way
    return case.way["clang" if "clang" in compiler else "gcc"]

"""What is compiled: lists of compile commands whose sources were prepared once, the same for every system.

Real projects come from the directory that the option ``--sources`` names (unpacked upstream releases, one directory
each: ``abseil*``, ``leveldb*``, ``redis*``); one that is not there is left out with a message.  Nothing is built:
commands are what CMake exports, or what ``make -n`` would run.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LONG_AGO_S: Final = 1_500_000_000
"""Modification time of generated files: sources of a project are older than its build."""
HEADERS: Final = 20
HEADER_BYTES: Final = 10_000


class Missing(Exception):
    """The sources of a workload are not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One compile command."""

    cwd: Path
    words: tuple[str, ...]
    output: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A list of commands; ``debug`` says that they record columns, which preprocessed text does not keep."""

    name: str
    commands: tuple[Command, ...]
    debug: bool = False

    @property
    def cxx(self) -> bool:
        return "++" in self.commands[0].words[0]

    def write(self, path: Path) -> None:
        """Write the list as ``replay`` reads it."""
        fields = [[str(command.cwd), *command.words, ""] for command in self.commands]
        path.write_bytes("".join(f"{field}\0" for command in fields for field in command).encode())

    def clean(self, trash: Path) -> None:
        """Move all outputs to ``trash``.

        Not removed: ext4 looks through all that was deleted in the last seconds whenever it makes a file, which would
        be charged to the client.
        """
        trash.mkdir(exist_ok=True)
        for command in self.commands:
            for path in (command.output, command.output.with_suffix(".d")):
                if path.exists():
                    path.rename(trash / f"{next(_SERIAL)}")


_SERIAL: Final = itertools.count()


def _command(cwd: Path, words: Sequence[str]) -> Command:
    """``words`` with a program by its plain name and an output that is said."""
    words = [
        Path(words[0]).name.replace("cc", "gcc") if Path(words[0]).name == "cc" else Path(words[0]).name,
        *words[1:],
    ]
    words = ["g++" if words[0] == "c++" else words[0], *words[1:]]
    if "-o" not in words:
        source = next(word for word in words if word.endswith(".c"))
        words += ["-o", Path(source).with_suffix(".o").name]
    output = cwd / words[words.index("-o") + 1]
    output.parent.mkdir(parents=True, exist_ok=True)
    return Command(cwd=cwd, words=tuple(words), output=output)


def _copy(sources: Path | None, pattern: str, into: Path) -> Path:
    found = sorted(path for path in (sources.glob(pattern) if sources else ()) if path.is_dir())
    if not found:
        raise Missing(f"no {pattern} in {sources or 'the directory of --sources, which was not given'}")
    into.mkdir(parents=True)
    return Path(shutil.copytree(found[-1], into / found[-1].name, symlinks=True))


def _cmake(name: str, pattern: str, *options: str) -> Callable[[Path | None, Path, int | None], Workload]:
    def prepare(sources: Path | None, into: Path, limit: int | None) -> Workload:
        project = _copy(sources, pattern, into)
        build = into / "build"
        subprocess.run(
            [
                "cmake",
                "-S",
                project,
                "-B",
                build,
                "-G",
                "Unix Makefiles",
                "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
                *options,
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        entries = json.loads((build / "compile_commands.json").read_text())
        commands = [_command(Path(entry["directory"]), shlex.split(entry["command"])) for entry in entries]
        return Workload(name=name, commands=tuple(commands[:limit]))

    return prepare


def _redis(sources: Path | None, into: Path, limit: int | None) -> Workload:
    project = _copy(sources, "redis*", into)
    targets = ["redis-server", "redis-cli", "redis-benchmark"]
    printed = subprocess.run(
        ["make", "-n", "-B", "-w", "-C", project / "src", "V=1", "MALLOC=libc", "USE_SYSTEMD=no", *targets],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    ).stdout
    commands: dict[tuple[Path, str], Command] = {}
    directories: list[Path] = []
    for line in printed.splitlines():
        if ": Entering directory '" in line:
            directories.append(Path(line.split("'")[1]))
        elif ": Leaving directory '" in line:
            directories.pop()
        split = shlex.split(line) if line.startswith(("cc ", "gcc ")) else []
        if "-c" in split and sum(word.endswith(".c") for word in split) == 1:
            commands[directories[-1], line] = _command(directories[-1], split)
    return Workload(name="redis", commands=tuple(commands.values())[:limit], debug=True)


def _tiny(sources: Path | None, into: Path, limit: int | None) -> Workload:
    return _generated("tiny", into, limit or 1000, headers=0)


def _tiny_headers(sources: Path | None, into: Path, limit: int | None) -> Workload:
    return _generated("tiny+200k", into, limit or 1000, headers=HEADERS)


def _generated(name: str, into: Path, count: int, *, headers: int) -> Workload:
    into.mkdir(parents=True)
    made = [into / f"h{number}.h" for number in range(headers)]
    for number, header in enumerate(made):
        lines = [f"#ifndef H{number}", f"#define H{number}"]
        while sum(map(len, lines)) + len(lines) < HEADER_BYTES:
            lines.append(f"extern int h{number}_{len(lines)}(int first, const char *second, unsigned long third);")
        header.write_text("\n".join([*lines, "#endif", ""]))
    includes = "".join(f'#include "{header.name}"\n' for header in made)
    commands = []
    for number in range(count):
        source = into / f"t{number}.c"
        source.write_text(f"{includes}int t{number}(int x) {{ return x + {number}; }}\n")
        commands.append(_command(into, ["gcc", "-O2", "-Wall", "-c", source.name, "-o", f"t{number}.o"]))
        os.utime(source, (LONG_AGO_S, LONG_AGO_S))
    for header in made:
        os.utime(header, (LONG_AGO_S, LONG_AGO_S))
    return Workload(name=name, commands=tuple(commands))


WORKLOADS: Final[dict[str, Callable[[Path | None, Path, int | None], Workload]]] = {
    "abseil": _cmake(
        "abseil", "abseil*", "-DCMAKE_BUILD_TYPE=Release", "-DABSL_PROPAGATE_CXX_STD=ON", "-DCMAKE_CXX_STANDARD=17"
    ),
    "leveldb": _cmake(
        "leveldb",
        "leveldb*",
        "-DCMAKE_BUILD_TYPE=Release",
        "-DLEVELDB_BUILD_TESTS=OFF",
        "-DLEVELDB_BUILD_BENCHMARKS=OFF",
    ),
    "redis": _redis,
    "tiny": _tiny,
    "tiny+200k": _tiny_headers,
}

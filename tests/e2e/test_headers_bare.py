"""A worker that has compilers and nothing else: no C library's headers, no C++ library's, none of clang's own.  And
workers that do not tell the truth about their compilers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e import exact
from tests.e2e.cases import BASIC, BASIC_CXX
from tests.e2e.exact import Comparison
from tests.e2e.farm import DAEMON, Farm, missing
from tests.lan.needs import lan_unavailable_reason
from tests.lan.waiting import wait_until

WHY_NOT = missing() or lan_unavailable_reason()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
COMMANDS = (
    ("gcc", "-O2", "-g3", "-Wall", "-MD", "-c", "src/main.c", "-o", "main.o"),
    ("clang", "-O2", "-g3", "-Wall", "-MD", "-c", "src/main.c", "-o", "main.o"),
    ("g++", "-O2", "-g3", "-std=c++17", "-MD", "-c", "src/main.cc", "-o", "main.o"),
    ("clang++", "-O2", "-g3", "-std=c++17", "-MD", "-c", "src/main.cc", "-o", "main.o"),
)


def project(farm: Farm) -> Path:
    top = farm.directory / "project"
    exact.write(top, {**BASIC, **BASIC_CXX})
    return top


def start(farm: Farm, name: str, script: str, *words: str) -> None:
    """Start a worker after ``script`` has changed what its machine looks like."""
    command = f"set -e; {script}; exec {DAEMON} --slots 2 {' '.join(words)}"
    farm.daemons[name] = farm.lan[name].spawn(["sh", "-c", command])
    farm.serving(name)


def clang_headers() -> Path:
    told = subprocess.run(["clang", "-print-resource-dir"], capture_output=True, text=True, check=True)
    return Path(told.stdout.strip()) / "include"


def test_a_worker_without_headers(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=1, started=0) as farm:
        empty = f"mount -t tmpfs none /usr/include; mount -t tmpfs none {clang_headers()}; rm -rf /usr/local/include/*"
        start(farm, "w1", empty.rpartition(";")[0])
        assert not farm.lan["w1"].run(["ls", "/usr/include"]).stdout
        farm.wait_for_workers()
        top, comparison = project(farm), Comparison(farm)
        for command in COMMANDS:
            assert comparison.same(command, top).way == "headers", command


@pytest.mark.parametrize("lie", ["-DSAID_BY_THE_WORKER=1", "-fno-inline", "-fshort-enums"])
def test_a_compiler_that_is_run_with_further_options_gets_no_job(tmp_path: Path, lie: str) -> None:
    """It answers every question like an honest one: only a trial tells, and what is proved holds for one worker."""
    with Farm(tmp_path, workers=2, started=0) as farm:
        real = Path(shutil.which("gcc") or "").resolve()
        wrapper = tmp_path / "wrapper"
        wrapper.write_text(
            '#!/bin/sh\nfor word; do case $word in out.[os]|*/out.[os]) exec /run/real "$@" '
            f'{lie};; esac; done\nexec /run/real "$@"\n'
        )
        wrapper.chmod(0o755)
        start(farm, "w1", f"cp {real} /run/real; cp {wrapper} /run/gcc; mount --bind /run/gcc {real}")
        farm.start("w2")
        farm.serving("w2")
        farm.wait_for_workers()
        top, comparison = project(farm), Comparison(farm)
        ways = [comparison.same(COMMANDS[0], top) for _ in range(4)]
        ways += [comparison.same(("gcc", "-O2", "-c", "src/main.c", "-o", "main.o"), top) for _ in range(4)]
        farm.stop("w2")
        wait_until(lambda: not farm.hosts().get("w2", {}).get("usable"), 10, "w2 is gone")
        plain = ("gcc", "-O2", "-c", "src/main.c", "-o", "main.o")
        alone = [
            comparison.same(plain, top),
            comparison.same(COMMANDS[0], top),
            comparison.same(plain, top, env={"ZDISTCC_MODE": "preprocessed"}),
        ]
        liar = farm.hosts()["w1"]
        assert (liar["state"], liar["usable"]) == ("quarantined", False), liar
        assert "same build" in liar["reason"]
        assert {way.worker for way in ways} == {"w2"}
        assert {way.way for way in ways} == {"headers"}
        assert not any(way.worker for way in alone), [way.way for way in alone]


def test_a_worker_whose_compiler_has_other_headers_of_its_own(tmp_path: Path) -> None:
    told = subprocess.run(["gcc", "-print-file-name=include/stddef.h"], capture_output=True, text=True, check=True)
    header = Path(told.stdout.strip()).resolve()
    with Farm(tmp_path, workers=1, started=0) as farm:
        changed = tmp_path / "stddef.h"
        changed.write_bytes(header.read_bytes() + b"#define OTHER_STDDEF 1\n")
        start(farm, "w1", f"mount --bind {changed} {header}")
        farm.wait_for_workers()
        top, comparison = project(farm), Comparison(farm)
        assert comparison.same(COMMANDS[0], top).way != "headers"
        comparison.same(("gcc", "-O2", "-c", "src/main.c", "-o", "main.o"), top)
        exact.write(top, {"rare.c": "#include <stddef.h>\n#ifdef OTHER_STDDEF\nint wrong;\n#endif\nint v;\n"})
        comparison.same(("gcc", "-O2", "-g", "-c", "rare.c"), top)


def test_a_header_that_the_trial_does_not_read(tmp_path: Path) -> None:
    told = subprocess.run(["gcc", "-print-file-name=include/stdalign.h"], capture_output=True, text=True, check=True)
    header = Path(told.stdout.strip()).resolve()
    with Farm(tmp_path, workers=1, started=0) as farm:
        changed = tmp_path / "changed.h"
        changed.write_bytes(header.read_bytes() + b"#define OTHER 1\n")
        start(farm, "w1", f"mount --bind {changed} {header}")
        farm.wait_for_workers()
        top, comparison = project(farm), Comparison(farm)
        assert comparison.same(COMMANDS[0], top).way == "headers"
        exact.write(top, {"a.c": "#include <stdalign.h>\n#ifdef OTHER\nint wrong;\n#endif\nalignas(16) int v;\n"})
        assert comparison.same(("gcc", "-O2", "-g", "-c", "a.c"), top).way != "headers"
        assert comparison.same(("gcc", "-O2", "-c", "a.c"), top).way == "preprocessed"
        assert comparison.same(COMMANDS[0], top).way == "headers"

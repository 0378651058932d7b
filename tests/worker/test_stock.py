"""Stock distcc clients and a real worker: the Debian program where it can say it, our client's core where it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.aio import run, until
from tests.golden import stock
from tests.worker.bench import ENDLESS, QUICK, Shop, compiler, job_for, shop
from zdistcc.wire.distcc import DistccClient
from zdistcc.wire.distcc_events import Answered, Event, File, Link, OutputReceived, Part, Version
from zdistcc.wire.messages import Result
from zdistcc.worker.stock import Patience

GCC, GXX, CLANG = "/usr/bin/gcc", "/usr/bin/g++", "/usr/bin/clang"
SOURCES = {
    "t.c": '#include "inc/a.h"\n#include <stdio.h>\n#include <stdlib.h>\n'
    'int main(int n, char **w) { printf("%d %s\\n", n + A, getenv(w[0])); return 0; }\n',
    "t.cc": '#include "inc/a.h"\n#include <map>\n#include <string>\n'
    'int f(const std::map<std::string, int> &m) { return m.at("x") + A; }\n',
    "inc/a.h": "#define A 1\n",
    "wrong.c": "int f(void) { return missing; }\n",
}
VERSIONS = {Version.PLAIN: "", Version.LZO: ",lzo", Version.PUMP: ",cpp,lzo"}


def project(place: Path) -> Path:
    for name, text in SOURCES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


def local(words: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(words, cwd=cwd, capture_output=True, check=False)


def distcc(port: int, options: str, words: Sequence[str], cwd: Path, **more: str) -> subprocess.CompletedProcess[bytes]:
    """What `distcc *words` does, with this worker as its only host, and without falling back."""
    settings = cwd / ".distcc"
    settings.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C",
        "HOME": str(cwd),
        "DISTCC_DIR": str(settings),
        "DISTCC_HOSTS": f"127.0.0.1:{port}/4{options}",
        "DISTCC_FALLBACK": "0",
        "DISTCC_BACKOFF_PERIOD": "0",
        **more,
    }
    return subprocess.run(
        ["distcc", *words],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(bool(stock.MISSING), reason=f"needs {', '.join(stock.MISSING)} (Debian: distcc, distcc-pump, gcc)")
@pytest.mark.parametrize("debug", [False, True], ids=["", "-g"])
@pytest.mark.parametrize(("source", "command"), [("t.c", "gcc"), ("t.cc", "g++"), ("t.c", "clang")])
@pytest.mark.parametrize("version", Version)
def test_the_stock_client_gets_what_its_own_compiler_makes(
    version: Version, source: str, command: str, debug: bool, tmp_path: Path
) -> None:
    where = project(tmp_path / "p")
    words = [command, "-O2", *(["-g"] if debug else []), "-MD", "-MF", "t.d", "-c", source, "-o", "t.o"]

    async def main() -> tuple[subprocess.CompletedProcess[bytes], int]:
        async with shop(tmp_path / "jobs", compilers=[GCC, CLANG]) as place:
            more = {}
            with contextlib.ExitStack() as stack:
                if version is Version.PUMP:
                    more["INCLUDE_SERVER_PORT"] = stack.enter_context(stock.include_server(where))
                done = await asyncio.to_thread(distcc, place.port, VERSIONS[version], words, where, **more)
            return done, place.worker.jobs_done

    done, count = run(main())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert count == 1, "it was not our worker that compiled it"
    theirs, dependencies = (where / "t.o").read_bytes(), (where / "t.d").read_bytes()
    assert dependencies.startswith(b"t.o: ") and b"inc/a.h" in dependencies
    assert local(words, where).returncode == 0
    if debug:
        (where / "theirs.o").write_bytes(theirs)
        for name in ("theirs.o", "t.o"):
            subprocess.run(["strip", "-d", name], cwd=where, check=True)
        theirs = (where / "theirs.o").read_bytes()
    assert theirs == (where / "t.o").read_bytes()

"""The first look at thousands of headers, by the installed agent: everybody else is served meanwhile."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path

import pytest

from tests.agent.liar import LAUNCHER, client, liar, own_compiler
from tests.aio import run
from zdistcc.wire.control import encode_admin

pytestmark = pytest.mark.skipif(
    not LAUNCHER.exists() or shutil.which("gcc") is None,
    reason="zdistcc is not installed beside this Python (pip install -e .), or gcc is missing",
)

HEADERS = 12_000
LONGEST_SHARE = 0.35
"""Of the whole compile: when the scan was made in the loop it was most of it.  On a machine with other work each turn
takes tens of milliseconds."""


async def answered_in(socket: Path) -> float:
    """Seconds that the agent takes to say who it is."""
    begun = time.monotonic()
    reader, writer = await asyncio.open_unix_connection(socket)
    writer.write(encode_admin(json.dumps({"ask": "version"}).encode()))
    await reader.readexactly(20)
    writer.close()
    return time.monotonic() - begun


def test_nobody_waits_for_a_huge_closure(tmp_path: Path) -> None:
    (tmp_path / "inc").mkdir()
    for number in range(HEADERS):
        below = "".join(
            f'#include "h{each}.h"\n' for each in range(10 * number + 1, 10 * number + 11) if each < HEADERS
        )
        text = f"#ifndef H{number}\n#define H{number}\n{below}" + f"extern int v{number};\n" * 20 + "#endif\n"
        (tmp_path / "inc" / f"h{number}.h").write_text(text)
    (tmp_path / "huge.c").write_text('#include "inc/h0.h"\nint x;\n')

    async def main() -> None:
        async with liar("a", own_compiler()) as worker, client(tmp_path, worker) as here:
            await here.compile("first")  # the trial is over
            (socket,) = (tmp_path / "run").glob("agent-*.sock")
            compiling = asyncio.create_task(here.run("gcc", "-c", "huge.c"))
            waits, begun = [], time.monotonic()
            while not compiling.done():
                waits.append(await answered_in(socket))
            await compiling
            took = time.monotonic() - begun
            assert worker.jobs == 2, "it was shipped with all its headers"
            print(f"{len(waits)} questions, the slowest answered in {max(waits) * 1000:.0f} ms")
            assert max(waits) < LONGEST_SHARE * took and len(waits) > 10

    run(main(), 120)

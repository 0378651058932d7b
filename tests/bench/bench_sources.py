"""What the source index costs, each step against the others, in one run: a table or, with --json, JSON.

``python -m tests.bench.bench_sources [--compiler g++] [--json]``.  Ratios matter, not absolutes: the
yardstick is what the compiler needs to preprocess the same source.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from zdistcc.sources.index import SourceIndex
from zdistcc.sources.model import Closure, ClosureRequest
from zdistcc.sources.search_probe import close

HEADERS = ("iostream", "regex", "map", "algorithm", "thread", "future", "filesystem", "chrono", "random")
REPEATS = 20
SETTLE_DEADLINE_S = 10.0


def timed_ms(action: Callable[[], object], repeats: int = REPEATS) -> float:
    """The least of several runs."""
    spans = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        spans.append(time.perf_counter() - start)
    return min(spans) * 1000


def measure(compiler: bytes, root: Path) -> dict[str, float]:
    text = "".join(f"#include <{name}>\n" for name in HEADERS)
    for number in range(REPEATS + 1):
        (root / f"{number}.cc").write_text(f"{text}int variable{number};\n")

    def request(number: int) -> ClosureRequest:
        return ClosureRequest(
            compiler=compiler,
            compiler_key="bench",
            language="c++",
            cwd=os.fsencode(root),
            source=b"%d.cc" % number,
            search_words=(b"-Iinclude", b"-std=c++17"),
        )

    def ask(index: SourceIndex, number: int) -> Closure:
        answer = close(index, request(number))
        if not isinstance(answer, Closure):
            raise SystemExit(f"no closure: {answer}")
        return answer

    cache = os.fsencode(root / "cache")
    index = SourceIndex(cache_path=cache)
    rows = {"first closure, search path probed, all scanned and hashed": timed_ms(lambda: ask(index, 0), 1)}
    closure = ask(index, 0)
    numbers = iter(range(1, REPEATS + 1))
    rows["first closure of another source"] = timed_ms(lambda: ask(index, next(numbers)))
    deadline = time.monotonic() + SETTLE_DEADLINE_S
    while True:  # fresh sources are read again until their times can be believed
        read = index.world.files_read
        ask(index, 0)
        if index.world.files_read == read or time.monotonic() > deadline:
            break
    rows["unchanged closure (the steady state)"] = timed_ms(lambda: ask(index, 0))
    paths = [file.path for file in closure.files]
    rows["bare stat of the same files"] = timed_ms(lambda: [os.stat(path) for path in paths])
    index.save()
    warm = SourceIndex(cache_path=cache)
    rows["first closure of a new agent with its cache"] = timed_ms(lambda: ask(warm, 0), 1)
    command = (compiler, b"-std=c++17", b"-E", b"0.cc")
    rows["the compiler's -E"] = timed_ms(
        lambda: subprocess.run(command, cwd=root, stdout=subprocess.DEVNULL, check=True), 3
    )
    rows["files"] = len(closure.files)
    rows["kB"] = sum(file.size for file in closure.files) / 1000
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    compiler = shutil.which(options.compiler)
    if compiler is None:
        parser.error(f"no such compiler: {options.compiler}")
    with tempfile.TemporaryDirectory() as directory:
        rows = measure(os.fsencode(compiler), Path(directory))
    if options.json:
        print(json.dumps(rows))
        return 0
    base = rows["the compiler's -E"]
    print(f"{rows.pop('files'):.0f} files, {rows.pop('kB'):.0f} kB\n")
    for name, span_ms in rows.items():
        print(f"{name:58} {span_ms:9.3f} ms {100 * span_ms / base:7.2f} % of -E")
    return 0


if __name__ == "__main__":
    sys.exit(main())

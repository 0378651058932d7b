"""What headers mode sends: each content once, whoever asks for it, and nothing that holds up small jobs."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.e2e import exact
from tests.e2e.exact import Comparison
from tests.e2e.farm import LAUNCHER, Farm, missing
from tests.lan.needs import lan_unavailable_reason

WHY_NOT = missing() or lan_unavailable_reason()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
BIG_BYTES = 3_000_000


def noise(seed: int) -> str:
    """A header that does not get smaller by packing."""
    rng = random.Random(seed)
    return f"/* {rng.randbytes(BIG_BYTES // 2).hex()} */\n#define BIG {seed}\n"


def received(farm: Farm, name: str) -> int:
    """Bytes that a machine got by its network interface."""
    told = farm.lan[name].run(["cat", "/proc/net/dev"]).stdout
    return next(int(line.split()[1]) for line in told.splitlines() if line.strip().startswith("eth0:"))


def test_many_jobs_and_clients_that_lack_one_header_have_it_sent_once(tmp_path: Path) -> None:
    """``w2`` is a second client, with the same header at another path."""
    with Farm(tmp_path, workers=2, started=1, slots=4) as farm:
        farm.wait_for_workers()
        sides = [Comparison(farm), Comparison(farm, "w2")]
        for side in sides:
            exact.write(side.machine.tmp / "warm", {"w.c": "#include <stdio.h>\nint w;\n"})
            run(farm, side, ["gcc", "-c", "w.c"], "/tmp/warm")
        header = noise(7)
        for number, side in enumerate(sides):
            files = {f"u{unit}.c": f'#include "big.h"\nint v{unit} = BIG;\n' for unit in range(6)}
            exact.write(side.machine.tmp / f"p{number}", {**files, "big.h": header})
        before = received(farm, "w1")
        builds = [
            side.machine.spawn(
                ["sh", "-c", f"for u in 0 1 2 3 4 5; do {LAUNCHER} gcc -c u$u.c & done; wait"],
                cwd=f"/tmp/p{number}", env=farm.environment(),
            )
            for number, side in enumerate(sides)
        ]  # fmt: skip
        assert [each.wait(60) for each in builds] == [0, 0]
        sent = received(farm, "w1") - before
        jobs = farm.ask("stats")
        assert jobs, "the agent still answers"
        assert BIG_BYTES // 2 < sent < 1.6 * BIG_BYTES, f"{sent} bytes for one header of {BIG_BYTES // 2} random bytes"


def run(farm: Farm, side: Comparison, words: list[str], cwd: str) -> None:
    ended = side.machine.run([LAUNCHER, *words], cwd=cwd, env=farm.environment(), timeout_s=60)
    assert ended.returncode == 0, ended.stderr


def test_a_big_header_does_not_hold_up_small_jobs(tmp_path: Path) -> None:
    """On a slow cable: the small job ends long before the big header has arrived."""
    with Farm(tmp_path, workers=1, slots=2) as farm:
        farm.wait_for_workers()
        comparison, top = Comparison(farm), tmp_path / "project"
        exact.write(
            top,
            {
                "small.c": '#include <stdio.h>\n#include "s.h"\nint v = S;\n',
                "s.h": "#define S 1\n",
                "big.c": '#include "big.h"\nint v = BIG;\n',
                "big.h": noise(1),
            },
        )
        comparison.same(("gcc", "-c", "small.c"), top)
        exact.write(top, {"s.h": "#define S 2\n"})
        farm.lan.impair("client", rate_mbit=4)
        big = farm.spawn([LAUNCHER, "gcc", "-c", "big.c"], top)
        small = farm.run([LAUNCHER, "gcc", "-c", "small.c", "-o", "there.o"], top, timeout_s=20)
        assert big.poll() is None, "the big job is still on its way"
        farm.lan.impair("client")
        assert big.wait(60) == 0
        farm.run(["gcc", "-c", "small.c", "-o", "here.o"], top)
        assert (top / "there.o").read_bytes() == (top / "here.o").read_bytes()
        assert small.returncode == 0


def test_a_tree_of_five_thousand_headers(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=1) as farm:
        farm.wait_for_workers()
        comparison, top = Comparison(farm), tmp_path / "project"
        headers = {f"h/d{n % 50}/h{n}.h": f"#define H{n} {n}\nextern int x{n};\n" for n in range(5000)}
        text = "".join(f'#include "h/d{n % 50}/h{n}.h"\n' for n in range(5000))
        exact.write(top, {**headers, "m.c": text + "int v = H4999;\n"})
        command = ("gcc", "-g", "-MD", "-c", "m.c")
        assert comparison.same(command, top).way == "headers"
        exact.write(top, {"h/d0/h0.h": "#define H0 7\n"})
        assert comparison.same(command, top).way == "headers"


def test_a_big_generated_header(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=1) as farm:
        farm.wait_for_workers()
        comparison, top = Comparison(farm), tmp_path / "project"
        rows = "".join(f'{{ {n}, "row {n * 7919 % 100003}" }},\n' for n in range(150_000))
        exact.write(top, {"m.c": 'static const struct { int n; const char *s; } t[] = {\n#include "t.inc"\n};\n'
                                 "const char *f(int i) { return t[i].s; }\n", "t.inc": rows})  # fmt: skip
        assert comparison.same(("gcc", "-c", "m.c"), top).way == "headers"


@pytest.mark.parametrize("words", [("-O2", "-g3"), ("-O2",)])
def test_a_cross_compiler_on_both_sides(tmp_path: Path, words: tuple[str, ...]) -> None:
    with Farm(tmp_path, workers=1) as farm:
        farm.wait_for_workers()
        comparison, top = Comparison(farm), tmp_path / "project"
        text = "#include <stdint.h>\n#include <stdio.h>\nint f(int64_t a) { return printf(__FILE__) + a; }\n"
        exact.write(top, {"m.c": text, "m.cc": "#include <string>\nstd::string f() { return __FILE__; }\n"})
        assert comparison.same(("aarch64-linux-gnu-gcc", *words, "-MD", "-c", "m.c"), top).way == "headers"
        assert comparison.same(("aarch64-linux-gnu-g++", *words, "-MD", "-c", "m.cc"), top).way == "headers"

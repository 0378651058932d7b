"""Throws mutated command lines at the scanner, the rebuilders and the worker's vetting.

Run by hand: ``python tests/fuzz/fuzz_arguments.py --count 1000000 [--seed N]``.  ``ZDISTCC_FUZZ_COUNT``
sets the default count, at most ten million.  No exception is allowed; besides, what is rebuilt must
pass the worker's vetting unchanged, and what the worker lets pass must name nothing that it runs,
reads or writes.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import sys
import time

from zdistcc.toolchain import rebuild
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.invocation import Invocation, scan
from zdistcc.toolchain.languages import Driver
from zdistcc.toolchain.options import Form, Side, Undistributable, table_of
from zdistcc.toolchain.vetting import Refused, vet, vet_headers

MAX_COUNT = 10_000_000
SEEDS = [
    "-O2 -g -Wall -DX=1 -Ifoo -MD -MT x.o -MF x.d -o x.o -c x.c",
    "-Wp,-MMD,drivers/.a.o.d -nostdinc -isystem inc -include k.h -std=gnu11 -c -o d/a.o d/a.c",
    "-DHAVE_CONFIG_H -I. -MT x.lo -MD -MP -MF .deps/x.Tpo -c x.c -fPIC -DPIC -o .libs/x.o",
    "-fdiagnostics-color=always -MD -MQ 'a b' -MF a.d -march=native -mtune=native -o a.o -c ../a.cc",
    "-x c++ -target x86_64-linux-gnu -Xclang -disable-O0-optnone -mllvm -inline-threshold=1 -c x -o x.o",
    "-g -gsplit-dwarf --coverage -fstack-usage -c x.m @r",
    "-Wa,--noexecstack -Xassembler --noexecstack --param a=b -ffile-prefix-map=/a=. -S x.S -- y.c",
]
FILES = {b"r": b"-O2 '-DX= 1' @s", b"s": b'"-Ia b" -Wall', b"t": b"@t", b"u": b"'"}
PIECES = [
    b"",
    b"-",
    b"=",
    b",",
    b"/",
    b"@r",
    b"@t",
    b"@u",
    b"native",
    b"x.c",
    b"\0",
    b"\xff",
    b"-Wp,",
    b"-MD",
    b"--",
]
FAMILIES = (Family.GCC, Family.CLANG)
# the first bytes of what a worker must never pass on, whatever table says
NEVER = (
    b"@",
    b"-o",
    b"-B",
    b"-I",
    b"-D",
    b"-x",
    b"-E",
    b"-fplugin",
    b"-specs",
    b"-wrapper",
    b"-L",
    b"-save-temps",
)


def words_of_tables() -> list[bytes]:
    """Every option in every form."""
    found = []
    for family in FAMILIES:
        table = table_of(family)
        assert table is not None
        for row in table.rows:
            found += [row.name + (b"=v" if form is Form.EQUALS else b"v") for form in row.forms]
            found.append(row.name)
    return found


def mutate(rng: random.Random, words: list[bytes], vocabulary: list[bytes]) -> list[bytes]:
    """A few words dropped, doubled, swapped, replaced, cut or glued."""
    words = list(words)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(words) + 1)
        what = rng.randrange(7)
        if what == 0 or not words or at == len(words):
            words.insert(at, rng.choice(vocabulary))
        elif what == 1:
            del words[at]
        elif what == 2:
            words.insert(at, rng.choice(words))
        elif what == 3:
            other = rng.randrange(len(words))
            words[at], words[other] = words[other], words[at]
        elif what == 4:
            words[at] = words[at][: rng.randrange(len(words[at]) + 1)]
        elif what == 5:
            cut = rng.randrange(len(words[at]) + 1)
            words[at] = words[at][:cut] + rng.choice(PIECES) + words[at][cut:]
        else:
            words[at] += rng.choice(vocabulary)
    return words


def check(rng: random.Random, words: list[bytes]) -> str:
    """One input through everything; what became of it."""
    family = rng.choice(FAMILIES)
    allowed = set(Side) if rng.random() < 0.3 else set()
    env = {b"CPATH": b"x"} if rng.random() < 0.9 else {b"DEPENDENCIES_OUTPUT": b"x"}
    inv = scan(
        words,
        family=family,
        driver=rng.choice(tuple(Driver)),
        env=env,
        read_file=FILES.get,
        allow_side_outputs=allowed,
    )
    passed = vet(words, family=family, allow_side_outputs=allowed)
    if not isinstance(passed, Refused):
        assert list(passed) == words
        assert all(word[:1] == b"-" for word in split_off_values(words)), words
        assert not any(word.startswith(NEVER) for word in split_off_values(words)), words
    if isinstance(inv, Undistributable):
        return inv.reason.word
    assert isinstance(inv, Invocation)
    native = [b"-mexpanded"]
    args = rebuild.remote_args(inv, native=native)
    assert vet(args, family=family, allow_side_outputs=allowed) == tuple(args), (words, args)
    headers = rebuild.headers_args(inv, native=native)
    if not isinstance(headers, Undistributable):
        assert vet_headers(headers, family=family, allow_side_outputs=allowed) == tuple(headers), (
            words,
            headers,
        )
    here = rebuild.preprocess_args(inv, output=b"out")
    assert here.count(inv.source) >= 1
    assert rebuild.explicit_language(inv)
    return "distributable"


def split_off_values(words: list[bytes]) -> list[bytes]:
    """The words that are not the value of the word before them, for those rows a worker lets pass."""
    takes = {b"-Xassembler", b"--param", b"-target", b"-arch", b"-Xclang", b"-mllvm", b"-meabi",
             b"-mthread-model", b"-fdebug-compilation-dir"}  # fmt: skip
    found = []
    skip = False
    for word in words:
        if not skip:
            found.append(word)
        skip = not skip and word in takes
    return found


def campaign(count: int, seed: int) -> dict[str, int]:
    """``count`` inputs; how often each outcome."""
    rng = random.Random(seed)
    vocabulary = words_of_tables() + PIECES + [b"x.c", b"y.cc", b"-c"]
    corpus = [[word.encode() for word in shlex.split(line)] for line in SEEDS]
    outcomes: dict[str, int] = {}
    for _ in range(count):
        words = mutate(rng, rng.choice(corpus), vocabulary)
        outcome = check(rng, words)
        if outcome not in outcomes and len(corpus) < 400:
            corpus.append(words)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    default = min(int(os.environ.get("ZDISTCC_FUZZ_COUNT", "20000")), MAX_COUNT)
    parser.add_argument("--count", type=int, default=default)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()
    outcomes = campaign(min(options.count, MAX_COUNT), options.seed)
    for outcome, times in sorted(outcomes.items(), key=lambda each: -each[1]):
        print(f"{times:9} {outcome}")
    print(f"{options.count} inputs, seed {options.seed}, {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Lexical soup, read by the scanner and by real compilers: what they include, the scanner has to name.

``python -m tests.fuzz.fuzz_scanner --count 5000 [--seed N]``; prints the soup that was misread and exits 1.
The oracle is ``-M -MG``, which names headers that don't exist.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from zdistcc.sources.dependencies import parse_dependencies
from zdistcc.sources.scanner import Form, scan

DIALECTS = (
    ("gcc", "c", "-std=gnu17"),
    ("gcc", "c", "-std=c90"),
    ("gcc", "c", "-std=c2x"),
    ("g++", "c++", "-std=gnu++17"),
    ("g++", "c++", "-std=c++98"),
    ("clang", "c", "-std=c99"),
    ("clang", "c", "-std=c89"),
    ("clang++", "c++", "-std=c++17"),
    ("clang++", "c++", "-std=gnu++20"),
)
PIECES = (
    "/*", "*/", "//", "/", "*", '"', "'", "\\", "\\\n", "\\ \n", "\n", "\n", "\n", "\r\n", "\r", "\\\r",
    " ", "\t", "\f",
    'R"(', ')"', 'R"x(', ')x"', "1'000", "0x1'f", "L'a'", "u8\"s\"", "??/", "??/\n", "??=", "%:", "#",
    "# ",
    "#if 0\n", "#if 1\n", "#else\n", "#endif\n", "#error don't\n", "#define A B\n", "#define Q \"\n",
    "int a;",
    "<", ">", "x", "don't", "#pragma once\n", "\\\r\n", "\0", "\v", "#inc", "lude", "/**/", "/*/", "//*",
    "'\"'", '"/*"',
)  # fmt: skip
DIRECTIVES = (
    '#include "{}"\n', "#include <{}>\n", '# include/**/"{}"\n', '/* */#include "{}"\n', '%:include "{}"\n',
    '??=include "{}"\n', '#include "{}"', '#inc\\\nlude "{}"\n', '#import "{}"\n', '\n#include "{}"\n',
    '*/ #include "{}"\n', "#/*\n*/include <{}>//\n", '#include_next "{}"\n',
)  # fmt: skip


def soup(chance: random.Random) -> tuple[bytes, set[bytes]]:
    parts: list[str] = []
    names: set[bytes] = set()
    for number in range(chance.randint(1, 6)):
        parts += chance.choices(PIECES, k=chance.randint(0, 6))
        name = f"header{number}.h"
        names.add(name.encode())
        parts.append(chance.choice(DIRECTIVES).format(name))
    parts += chance.choices(PIECES, k=chance.randint(0, 4))
    return "".join(parts).encode(), names


def included(text: bytes, dialect: tuple[str, str, str], directory: Path) -> set[bytes]:
    """What a compiler would include, as far as it gets."""
    compiler, language, standard = dialect
    source = directory / "soup"
    source.write_bytes(text)
    run = subprocess.run(
        (compiler, standard, "-x", language, "-w", "-M", "-MG", "-nostdinc", str(source)),
        capture_output=True,
        timeout=60,
        check=False,
    )
    return {name.rpartition(b"/")[2] for name in parse_dependencies(run.stdout)}


def check(seed: int, count: int) -> str | None:
    """The first text in which the scanner missed an include, told for a person; None if there is none."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(count):
            text, names = soup(chance)
            dialect = chance.choice(DIALECTS)
            needed = included(text, dialect, Path(directory)) & names
            found = {each.name for each in scan(text).includes if each.form is not Form.MACRO}
            if not needed <= found:
                return f"{' '.join(dialect)}: missed {needed - found} in {text!r}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    problem = check(options.seed, options.count)
    print(problem or f"{options.count} texts, nothing missed")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())

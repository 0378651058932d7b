"""Make rules, as compilers write them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources.trees import run
from zdistcc.sources.dependencies import parse_dependencies


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"", []),
        (b"no rule here\n", []),
        (b"x:\n", []),
        (b"x: a.c\n", [b"a.c"]),
        (b"x: a.c b.h \\\n c.h \\\r\n d.h a.c\n", [b"a.c", b"b.h", b"c.h", b"d.h"]),
        (b"a\\ b.o: a\\ b.c c:d.h\n", [b"a b.c", b"c:d.h"]),
        (b"x y: a$$b \\#c \\\\d\n", [b"a$b", b"#c", b"\\\\d"]),
        (b"x: a\\\\\\ b\n", [b"a\\ b"]),
        (b"x: a.c\n\na.h:\n", [b"a.c"]),
    ],
)
def test_rules(text: bytes, names: list[bytes]) -> None:
    assert parse_dependencies(text) == names


@given(st.binary(max_size=200))
def test_any_bytes(text: bytes) -> None:
    assert all(parse_dependencies(text))


@pytest.mark.parametrize("compiler", [b"gcc", b"clang"])
def test_names_that_need_escapes(tmp_path: Path, compiler: bytes) -> None:
    assert shutil.which(compiler)
    names = ["plain.h", "sp ace.h", "do$lar.h", "ha#sh.h", "co:lon.h", "per%cent.h"]
    for name in names:
        (tmp_path / name).write_text("")
    (tmp_path / "m.c").write_text("".join(f'#include "{name}"\n' for name in names))
    printed = run((compiler, b"-MM", b"m.c"), tmp_path)
    assert parse_dependencies(printed.stdout) == [b"m.c", *map(os.fsencode, names)]

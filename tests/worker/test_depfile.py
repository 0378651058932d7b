"""Dependency files from a tree, put back: compared with what real compilers write at the real place."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from zdistcc.toolchain.identity import Family
from zdistcc.worker.depfile import as_on_client

COMPILERS = [
    pytest.param(name, family, id=name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"{name} is missing"))
    for name, family in (("gcc", Family.GCC), ("clang", Family.CLANG))
]
LONG = "a-directory-whose-name-alone-is-nearly-as-long-as-a-line-of-a-dependency-file-may-be"
ODD = [
    b"plain.h",
    b"with space.h",
    b" leading.h",
    b"two  spaces.h",
    b"dollar$.h",
    b"$$.h",
    b"ha#sh.h",
    b"back\\slash.h",
    b"back\\ space.h",
    b"back\\\\ two.h",
    b"back\\#hash.h",
    b"co:lon.h",
    b"per%cent.h",
    b"semi;colon.h",
    b"quote'.h",
    b"tilde~.h",
    b"~first.h",
    b"tab\there.h",
    b"uml\xc3\xa4ut.h",
    b"raw\xff.h",
    b"a=b.h",
    b"(brackets)[].h",
    b"star*.h",
]


def depfile(compiler: str, cwd: bytes, words: list[bytes]) -> bytes:
    """What the compiler writes; the target is set, as it always is on a worker."""
    path = cwd + b"/../made.d"
    command = [os.fsencode(compiler), *words, b"-fsyntax-only", b"-MF", path]
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)
    with open(path, "rb") as file:
        return file.read()


def compare(compiler: str, family: Family, tmp_path: Path, root: bytes, names: list[bytes], flags: list[bytes]) -> None:
    """Compile the same project at its place and below ``root``, all its paths absolute."""
    place = os.fsencode(tmp_path) + b"/real/work"
    mirrored = root + place
    for top in (place, mirrored):
        os.makedirs(top + b"/inc", exist_ok=True)
        for name in names:
            with open(top + b"/inc/" + name, "wb") as file:
                file.write(b"\n")
        with open(top + b"/m.c", "wb") as file:
            file.writelines(b'#include "' + name + b'"\n' for name in names)
    texts = [depfile(compiler, top, [*flags, b"-I" + top + b"/inc", b"-c", top + b"/m.c"]) for top in (place, mirrored)]
    assert as_on_client(texts[1], root, family) == texts[0]


@pytest.mark.parametrize(("compiler", "family"), COMPILERS)
@pytest.mark.parametrize(
    "flags", [b"-MQ m.o", b"-MT t.o -MT all -MP", b"-MQ $x.o -MQ y$(z).o -MP", b"-MT " + b"l" * 90]
)
def test_odd_names(compiler: str, family: Family, flags: bytes, tmp_path: Path) -> None:
    words = [b"-MD", *flags.split(b" ")]
    compare(compiler, family, tmp_path, os.fsencode(tmp_path / "store/trees/4f-1"), ODD, words)


@pytest.mark.parametrize(("compiler", "family"), COMPILERS)
@pytest.mark.parametrize("name", ODD)
def test_each_odd_name_in_lines_of_every_length(compiler: str, family: Family, name: bytes, tmp_path: Path) -> None:
    """What precedes the name is made longer by one each time, so that every way to break the line is met."""
    names = list(itertools.chain.from_iterable((b"f" * n + b".h", b"d%d-" % n + name) for n in range(1, 40, 3)))
    compare(compiler, family, tmp_path, os.fsencode(tmp_path / "t"), names, [b"-MD", b"-MT", b"x.o", b"-MP"])


@pytest.mark.parametrize(("compiler", "family"), COMPILERS)
@pytest.mark.parametrize("length", [1, 30, 71, 72, 73, 74, 75, 76, 90, 200])
def test_targets_and_roots_of_every_length(compiler: str, family: Family, length: int, tmp_path: Path) -> None:
    rng = random.Random(length)
    names = [b"n" * rng.randrange(1, 60) + b"%d.h" % n for n in range(60)]
    root = os.fsencode(tmp_path / ("_" + "r" * length))
    compare(compiler, family, tmp_path, root, names, [b"-MD", b"-MT", b"t" * length])
    compare(compiler, family, tmp_path, root, names, [b"-MD", b"-MT", b"s", b"-MQ", b"t" * length, b"-MP"])


@pytest.mark.parametrize(("compiler", "family"), COMPILERS)
def test_targets_that_look_like_rules(compiler: str, family: Family, tmp_path: Path) -> None:
    """``-MT`` is copied as it stands: it may hold blanks and colons."""
    root = os.fsencode(tmp_path / LONG)
    for target in (b"a b", b"a: b", b"a  b\\ c", b"$(objpfx)x.o $(objpfx)y.o", b"x:y", b"#"):
        compare(compiler, family, tmp_path, root, ODD[:6], [b"-MD", b"-MT", target, b"-MP"])


@pytest.mark.parametrize("family", [Family.GCC, Family.CLANG])
def test_a_text_without_the_root_stays(family: Family) -> None:
    text = b"a.o: b.c \\\n  c.h  d.h\n"
    assert as_on_client(text, b"/root", family) == text
    assert as_on_client(b"", b"/root", family) == b""

"""Commands for sources that are shipped as they are, compiled in a tree that mirrors the client."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from tests.toolchain.commands import SOURCES
from tests.toolchain.test_rebuild import FAMILIES, natives, read, run, take
from zdistcc.errors import Reason
from zdistcc.toolchain import rebuild
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.options import Undistributable
from zdistcc.toolchain.pathwords import PathWord
from zdistcc.toolchain.vetting import Refused, vet_headers

LINES = [
    "-O2 -c x.c -I{root}/inc -o o/x.o -MD",
    "-g -O2 -c x.c -isystem {root}/inc -o o/x.o -MMD -MP",
    "-g3 -Iinc -include {root}/pre.h -imacrospre.h -c 'd i/x y.c' -MD -MT 'a b' -MQ 'c$d'",
    "-g -Iinc -ffile-prefix-map={root}=/build -c x.c -Wp,-MMD,o/.x.o.d -Wp,-DQ,-UX -Xpreprocessor -DV=1,2",
    "-g -I inc -Wall -Wextra -c x.c -fmacro-prefix-map={root}=. -D 'VAL=(1 + 2)' -iquote {root} -S -MD",
    "-O1 -march=native -idirafter ../w/inc -c {root}/x.c -MMD -MF o/f.d",
    "-c a.S -I{root} -MD -Wa,--noexecstack",
]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("line", LINES)
def test_compile_in_a_tree_equals_local_compile(compiler: str, line: str, tmp_path: Path) -> None:
    client, tree = tmp_path / "client" / "w", tmp_path / "tree"
    for name, text in SOURCES.items():
        (client / name).parent.mkdir(parents=True, exist_ok=True)
        (client / name).write_text(text)
    (client / "o").mkdir()
    cwd, root = str(client).encode(), str(tree).encode()
    mirrored = Path(str(tree) + str(client))
    shutil.copytree(client, mirrored)
    command = [word.encode() for word in shlex.split(line.format(root=client))]
    inv = read(compiler, command)
    local = run([compiler.encode(), *command], client)
    assert local.returncode == 0, local.stderr
    expected = take(client / inv.output.decode())
    dependencies = take(client / inv.depfile.path.decode()) if inv.depfile else b""
    shutil.rmtree(client)

    args = rebuild.headers_args(inv, native=natives(compiler, inv, mirrored))
    assert not isinstance(args, Undistributable)
    assert vet_headers(args, family=inv.family) == tuple(args)
    placed = [word.placed(root=root, cwd=cwd) if isinstance(word, PathWord) else word for word in args]
    words = [word for word in placed if word is not None]
    assert len(words) == len(args)
    source = PathWord(b"", inv.source).placed(root=root, cwd=cwd)
    assert source is not None
    tail = [b"-x", inv.language.value, inv.stage.value, b"-o", b"out", b"-MF", b"deps", source]
    remote = run([compiler.encode(), b"-ffile-prefix-map=" + root + b"=", *words, *tail], mirrored)
    assert remote.returncode == 0, remote.stderr
    assert (mirrored / "out").read_bytes().replace(root, b"") == expected
    assert (mirrored / "deps").read_bytes().replace(root, b"") == dependencies
    assert remote.stderr.replace(root, b"") == local.stderr


def test_paths_are_marked_and_the_rest_is_not() -> None:
    line = b"-I/a -I b -isystem/c --sysroot=/s -include /p.h -DX=/n -ffile-prefix-map=/o=/n -O2 -lx -pipe -c x"
    assert rebuild.headers_args(read("gcc", [b"-xc", *line.split()]), native=()) == [
        PathWord(b"-I", b"/a"), b"-I", PathWord(b"", b"b"), PathWord(b"-isystem", b"/c"),
        PathWord(b"--sysroot=", b"/s"), b"-include", PathWord(b"", b"/p.h"), b"-DX=/n",
        PathWord(b"-ffile-prefix-map=", b"/o", b"=/n"), b"-O2",
    ]  # fmt: skip


def test_a_toolchain_elsewhere_cannot_be_shipped() -> None:
    found = rebuild.headers_args(read("clang", [b"-c", b"x.c", b"--gcc-toolchain=/opt"]), native=())
    assert found == Undistributable(Reason.COMPILER_PROGRAMS, b"--gcc-toolchain=/opt")


@pytest.mark.parametrize(
    ("path", "placed"),
    [
        (b"/usr/include", b"-I/tree/usr/include"),
        (b"inc", b"-Iinc"),
        (b"../../x", b"-I../../x"),
        (b"./a/../../../b", b"-I./a/../../../b"),
        (b"../../../x", None),
        (b"/..", None),
        (b"/a/../../b", None),
        (b"", b"-I"),
    ],
)
def test_no_path_leads_out_of_the_tree(path: bytes, placed: bytes | None) -> None:
    assert PathWord(b"-I", path).placed(root=b"/tree", cwd=b"/home/u") == placed


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize(
    "args",
    [
        [b"-I/etc"],
        [b"-I", b"/etc"],
        [b"-include", b"/etc/passwd"],
        [b"-ffile-prefix-map=/a=/b"],
        [PathWord(b"-I/etc", b"x")],
        [PathWord(b"-O", b"2")],
        [PathWord(b"", b"-O2")],
        [PathWord(b"-I", b"/etc"), b"x.c"],
        [b"-MF", PathWord(b"", b"x.d")],
        [b"-MFx.d"],
        [b"-o", PathWord(b"", b"x")],
        [b"-Wp,-MD,x"],
        [b"-Wp,-DX,-MD,x"],
        [b"-pipe"],
        [b"-lx"],
        [PathWord(b"", b"@x")],
    ],
)
def test_lists_that_no_client_of_ours_sends(compiler: str, args: list[bytes | PathWord]) -> None:
    assert isinstance(vet_headers([b"-O2", *args], family=FAMILIES[compiler]), Refused)


def test_clang_is_not_given_a_toolchain() -> None:
    sent: list[bytes | PathWord] = [PathWord(b"--gcc-toolchain=", b"/x")]
    assert isinstance(vet_headers(sent, family=Family.CLANG), Refused)


@pytest.mark.parametrize(
    ("compiler", "line", "word"),
    [
        ("gcc", "-flto -c x.c", b"-flto"),
        ("gcc", "-O2 -flto=auto -c x.c", b"-flto=auto"),
        ("gcc", "-fsanitize=address -c x.cc", b"-fsanitize=address"),
        ("clang", "-fsanitize=undefined -xc++ -c x.c", b"-fsanitize=undefined"),
        ("clang", "-g -c a.S", b"-g"),
        ("gcc", "-g -ffile-prefix-map==/x -c x.c", b"-ffile-prefix-map==/x"),
    ],
)
def test_what_would_name_the_tree_is_not_shipped(compiler: str, line: str, word: bytes) -> None:
    found = rebuild.headers_args(read(compiler, line.encode().split()), native=())
    assert found == Undistributable(Reason.TREE_LEAKED, word)


@pytest.mark.parametrize(
    ("compiler", "line"),
    [
        ("gcc", "-fsanitize=address -c x.c"),
        ("gcc", "-fsanitize=thread -c x.cc"),
        ("clang", "-flto -c x.c"),
        ("clang", "-g0 -c a.S"),
        ("gcc", "-g -c a.S"),
    ],
)
def test_what_names_no_tree_is_shipped(compiler: str, line: str) -> None:
    assert not isinstance(rebuild.headers_args(read(compiler, line.encode().split()), native=()), Undistributable)

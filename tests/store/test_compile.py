"""Real compilers, run in a tree, make the object that they make on the client."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from zdistcc.store.entries import Directory, Entry, File, HardLink, Symlink
from zdistcc.store.trees import TreeStore

from .kit import add, let_clock_tick, opened_trees, sha

TWIN = """\
#pragma once
const char *NAME(void) { return __FILE__; }
"""

MAIN = """\
#include <assert.h>
#include <stdio.h>
#include "empty/../inc/plain.h"
#define NAME first_twin
#include "twins/one.h"
#undef NAME
#define NAME second_twin
#include "twins/two.h"
#undef NAME
#define NAME real_name
#include "inc/real.h"
#undef NAME
#define NAME by_symlink
#include "inc/symlink.h"
#undef NAME
#define NAME by_hard_link
#include "inc/hard.h"
#undef NAME
#define NAME by_directory
#include "linked/real.h"
#undef NAME
#include <absolute.h>

int main(int argc, char **argv)
{
    struct plain p = {argc};
    assert(argc < 3);
    printf("%s %s %d %s\\n", first_twin(), real_name(), p.member, ABSOLUTE);
    return __LINE__;
}
"""


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[TreeStore]:
    with opened_trees(tmp_path / "store") as store:
        yield store


def make_project(project: Path, second_twin_s: int) -> None:
    for name in ("src", "src/empty", "src/inc", "src/twins", "more/include"):
        (project / name).mkdir(parents=True)
    (project / "src/main.c").write_text(MAIN)
    (project / "src/inc/plain.h").write_text("struct plain { int member; };\n")
    (project / "src/inc/real.h").write_text(TWIN + "/* real */\n")
    (project / "src/inc/symlink.h").symlink_to("real.h")
    (project / "src/inc/hard.h").hardlink_to(project / "src/inc/real.h")
    (project / "src/linked").symlink_to(project / "src/inc")
    (project / "more/include/absolute.h").write_text('#define ABSOLUTE "absolute" __FILE__\n')
    for name, mtime_s in (("one.h", 1_000_000_000), ("two.h", second_twin_s)):
        (project / "src/twins" / name).write_text(TWIN)
        os.utime(project / "src/twins" / name, (mtime_s, mtime_s))


def links_on_the_way(path: str) -> Iterator[Symlink]:
    """A Symlink for each component of the path that is one, outermost first."""
    at, pending = "", path.split("/")[:0:-1]
    while pending:
        part = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            at = os.path.dirname(at)
        elif os.path.islink(f"{at}/{part}"):
            target = os.readlink(f"{at}/{part}")
            yield Symlink(path=os.fsencode(f"{at}/{part}"), target=os.fsencode(target))
            at = "" if target.startswith("/") else at
            pending.extend(target.split("/")[::-1])
        else:
            at = f"{at}/{part}"


def entries_of(paths: list[str], trees: TreeStore) -> list[Entry]:
    entries: list[Entry] = []
    names: dict[tuple[int, int], str] = {}
    for path in paths:
        entries.extend(links_on_the_way(path))
        st = os.stat(path)
        first = names.setdefault((st.st_dev, st.st_ino), path)
        if os.path.realpath(first) != os.path.realpath(path):
            entries.append(HardLink(path=os.fsencode(path), of=os.fsencode(first)))
        else:
            data = Path(path).read_bytes()
            add(trees.blobs, data)
            entries.append(File(path=os.fsencode(path), digest=sha(data), mtime_s=int(st.st_mtime)))
    return entries


def dependencies(command: list[str], cwd: Path) -> list[str]:
    rule = subprocess.run([*command, "-M"], cwd=cwd, capture_output=True, text=True, check=True).stdout
    names = rule.partition(":")[2].replace("\\\n", " ").split()
    return list(dict.fromkeys(os.path.join(cwd, name) for name in names))


def compile_in(cwd: str, command: list[str], output: Path) -> bytes:
    subprocess.run([*command, "-c", "-o", str(output)], cwd=cwd, check=True, stdin=subprocess.DEVNULL)
    return output.read_bytes()


@pytest.mark.parametrize("second_twin_s", [1_000_000_000, 1_000_000_001], ids=["same-mtime", "other-mtime"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("flags", [["-g", "-O2"], ["-g3", "-O0"]], ids=" ".join)
def test_the_object_is_that_of_a_local_compile(
    tmp_path: Path, trees: TreeStore, compiler: str, flags: list[str], second_twin_s: int
) -> None:
    project = tmp_path / "client"
    make_project(project, second_twin_s)
    source = project / "src"
    local = [compiler, *flags, "main.c", "-Itwins", f"-I{project}/more/include", "-Igone"]
    expected = compile_in(str(source), local, tmp_path / "out.o")
    # where the compilers differ in what "once" means, so must the trees
    symbols = subprocess.run(["nm", tmp_path / "out.o"], capture_output=True, text=True, check=True).stdout.split()
    assert ("second_twin" in symbols) == (compiler == "clang" or second_twin_s != 1_000_000_000)
    assert "real_name" in symbols
    assert not {"by_symlink", "by_hard_link", "by_directory"} & set(symbols)

    # what "once" left out was looked at nonetheless, as a client's scanner knows
    seen = ("twins/two.h", "inc/symlink.h", "inc/hard.h", "linked/real.h")
    entries = entries_of([*dependencies(local, source), *(str(source / name) for name in seen)], trees)
    entries.append(Directory(path=os.fsencode(source / "empty")))
    with trees.job("client", 1) as tree:
        assert tree.ensure(entries) == []
        root = os.fsdecode(tree.root)
        remote = [
            compiler,
            *flags,
            "main.c",
            "-Itwins",
            f"-I{root}{project}/more/include",
            "-Igone",
            f"--sysroot={root}",
            f"-ffile-prefix-map={root}=",
        ]
        let_clock_tick(tmp_path)
        assert compile_in(root + str(source), remote, tmp_path / "out.o") == expected
        assert tree.intact(entries)

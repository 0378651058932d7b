"""Whatever changes, and whenever: never an object of something else than what is on the client's disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import exact
from tests.e2e.exact import Comparison
from tests.e2e.farm import LAUNCHER, Farm, missing
from tests.lan.needs import lan_unavailable_reason

WHY_NOT = missing() or lan_unavailable_reason()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
COMPILE = ("gcc", "-g3", "-O2", "-Ia", "-Ib", "-MD", "-c", "m.c")
SOURCE = '#include <stdio.h>\n#include "v.h"\nconst char *where = __FILE__; int value = V;\n'


@pytest.fixture(scope="module")
def comparison() -> Iterator[Comparison]:
    with tempfile.TemporaryDirectory(prefix="zdistcc-change-") as name, Farm(Path(name), workers=1) as farm:
        farm.wait_for_workers()
        yield Comparison(farm)


@pytest.fixture
def top(comparison: Comparison, request: pytest.FixtureRequest) -> Path:
    return comparison.farm.directory / str(request.node.name)


def test_a_header_edited_at_once_without_a_change_of_size(comparison: Comparison, top: Path) -> None:
    exact.write(top, {"m.c": SOURCE, "b/v.h": "#define V 0\n"})
    for turn in range(1, 9):
        (top / "b/v.h").write_text(f"#define V {turn}\n")
        there = comparison.there(COMPILE, top)
        exact.assert_same(comparison.here(COMPILE, top), there, COMPILE)
        assert there.way == "headers"


def test_a_header_edited_in_place_with_its_times_put_back(comparison: Comparison, top: Path) -> None:
    exact.write(top, {"m.c": SOURCE, "b/v.h": "#define V 1\n"})
    os.utime(top / "b/v.h", (1_000_000_000, 1_000_000_000))
    comparison.same(COMPILE, top)
    with (top / "b/v.h").open("r+") as file:
        file.write("#define V 2\n")
    os.utime(top / "b/v.h", (1_000_000_000, 1_000_000_000))
    assert comparison.same(COMPILE, top).way == "headers"


def test_a_header_regenerated_within_one_build(comparison: Comparison, top: Path) -> None:
    exact.write(
        top,
        {
            "m.c": SOURCE,
            "n.c": SOURCE.replace("where", "there").replace("value", "worth"),
            "Makefile": "all: m.o again n.o\nm.o: m.c\n\t$(CC) -g3 -Ib -c m.c\nagain: m.o\n"
            "\techo '#define V 2' > b/v.h\n\t$(CC) -g3 -Ib -c m.c -o m2.o\nn.o: again\n\t$(CC) -g3 -Ib -c n.c\n",
        },
    )
    made = []
    for compiler in ("gcc", f"{LAUNCHER} gcc"):
        exact.write(top, {"b/v.h": "#define V 1\n"})
        comparison.farm.run(["make", "-j2", f"CC={compiler}"], top)
        made.append({name: (top / name).read_bytes() for name in ("m.o", "m2.o", "n.o")})
        for name in made[-1]:
            (top / name).unlink()
    assert made[0] == made[1]


def test_a_header_that_shadows_another_and_goes_again(comparison: Comparison, top: Path) -> None:
    exact.write(top, {"m.c": SOURCE, "b/v.h": "#define V 1\n", "a/other.h": ""})
    comparison.same(COMPILE, top)
    exact.write(top, {"a/v.h": "#define V 2\n"})
    assert comparison.same(COMPILE, top).way == "headers"
    (top / "a/v.h").unlink()
    assert comparison.same(COMPILE, top).way == "headers"
    exact.write(top, {"v.h": "#define V 3\n"})
    assert comparison.same(COMPILE, top).way == "headers"


def test_a_deleted_header(comparison: Comparison, top: Path) -> None:
    exact.write(top, {"m.c": SOURCE, "b/v.h": "#define V 1\n"})
    comparison.same(COMPILE, top)
    (top / "b/v.h").unlink()
    assert comparison.same(COMPILE, top).status == 1
    shutil.rmtree(top / "b")
    assert comparison.same(COMPILE, top).status == 1
    exact.write(top, {"b/v.h": "#define V 4\n"})
    assert comparison.same(COMPILE, top).way == "headers"


def test_has_include_follows_what_is_there(comparison: Comparison, top: Path) -> None:
    text = '#if __has_include("opt.h")\nint with = 1;\n#else\nint without = 1;\n#endif\n'
    exact.write(top, {"m.c": text, "a/x": "", "b/x": ""})
    for _ in range(3):
        comparison.same(COMPILE, top)
        exact.write(top, {"a/opt.h": ""})
        assert comparison.same(COMPILE, top).way == "headers"
        (top / "a/opt.h").unlink()


def test_a_directory_that_is_only_passed_through(comparison: Comparison, top: Path) -> None:
    exact.write(top, {"m.c": '#include "gone/../v.h"\nint v = V;\n', "v.h": "#define V 1\n", "gone/x": ""})
    comparison.same(COMPILE, top)
    shutil.rmtree(top / "gone")
    assert comparison.same(COMPILE, top).status == 1


def test_a_link_that_is_switched(comparison: Comparison, top: Path) -> None:
    exact.write(top, {"m.c": SOURCE, "r1/v.h": "#define V 1\n", "r2/v.h": "#define V 2\n", "b/v.h": "->../r1/v.h"})
    comparison.same(COMPILE, top)
    exact.write(top, {"b/v.h": "->../r2/v.h"})
    assert comparison.same(COMPILE, top).way == "headers"
    shutil.rmtree(top / "b")
    exact.write(top, {"b": "->r1"})
    assert comparison.same(COMPILE, top).way == "headers"
    exact.write(top, {"b": "->r2"})
    assert comparison.same(COMPILE, top).way == "headers"
    (top / "b").unlink()
    exact.write(top, {"b/v.h": "#define V 3\n"})
    assert comparison.same(COMPILE, top).way == "headers"


def test_a_switched_link_between_equal_files(comparison: Comparison, top: Path) -> None:
    """The content is the same: only what `..` means, and so what is included next, is not."""
    each = '#include "../v.h"\n'
    exact.write(
        top,
        {
            "m.c": '#include "cur/p.h"\nint v = V;\n',
            "r1/p/p.h": each,
            "r1/v.h": "#define V 1\n",
            "r2/p/p.h": each,
            "r2/v.h": "#define V 2\n",
            "cur": "->r1/p",
        },
    )
    comparison.same(COMPILE, top)
    exact.write(top, {"cur": "->r2/p"})
    assert comparison.same(COMPILE, top).way == "headers"


def test_two_projects_with_the_same_relative_paths(comparison: Comparison, top: Path) -> None:
    for number in (1, 2):
        exact.write(top / str(number), {"m.c": SOURCE, "b/v.h": f"#define V {number}\n"})
    for number in (1, 2, 1, 2):
        assert comparison.same(COMPILE, top / str(number)).way == "headers"


def test_a_project_that_is_moved_and_replaced(comparison: Comparison, top: Path) -> None:
    exact.write(top / "p", {"m.c": SOURCE, "b/v.h": "#define V 1\n"})
    exact.write(top / "q", {"m.c": SOURCE, "b/v.h": "#define V 2\n"})
    comparison.same(COMPILE, top / "p")
    (top / "p").rename(top / "old")
    (top / "q").rename(top / "p")
    assert comparison.same(COMPILE, top / "p").way == "headers"
    shutil.rmtree(top / "p")
    (top / "p").symlink_to("old")
    assert comparison.same(COMPILE, top / "p").way == "headers"
    assert comparison.same(COMPILE, top / "p", env={"PWD": str(top / "p")}).way == "headers"


def test_another_branch_is_checked_out(comparison: Comparison, top: Path) -> None:
    def git(*words: str) -> None:
        who = {
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@b",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@b",
        }
        subprocess.run(
            ["git", "-c", "init.defaultBranch=one", *words], cwd=top, check=True, capture_output=True,
            env={**who, "PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null"},
        )  # fmt: skip

    exact.write(top, {"m.c": SOURCE, "b/v.h": '#include "deep/w.h"\n', "b/deep/w.h": "#define V 1\n"})
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm1")
    git("checkout", "-qb", "two")
    shutil.rmtree(top / "b/deep")
    exact.write(top, {"b/v.h": '#include "flat.h"\n', "b/flat.h": "#define V 2\n", "a/new.h": ""})
    git("add", "-A")
    git("commit", "-qm2")
    for branch in ("one", "two", "one", "two", "one"):
        git("checkout", "-q", branch)
        there = comparison.there(COMPILE, top)
        exact.assert_same(comparison.here(COMPILE, top), there, COMPILE)
        assert there.way == "headers"


def test_the_agent_begins_anew(comparison: Comparison, top: Path) -> None:
    exact.write(top, {"m.c": SOURCE, "b/v.h": "#define V 1\n"})
    comparison.same(COMPILE, top)
    comparison.farm.run([LAUNCHER, "stop"], top)
    exact.write(top, {"b/v.h": "#define V 2\n"})
    comparison.farm.wait_for_workers()
    assert comparison.same(COMPILE, top).way == "headers"


def test_two_clients_with_different_files_at_one_path(tmp_path: Path) -> None:
    """``w2`` is a machine of the LAN without a daemon: a second client with a home of its own at the same place."""
    with Farm(tmp_path, workers=2, started=1) as farm:
        farm.wait_for_workers()
        farm.lan["w2"].run([LAUNCHER, "hosts"], env=farm.environment())
        sides = [Comparison(farm), Comparison(farm, "w2")]
        tops = [side.machine.tmp / "project" for side in sides]
        for number, top in enumerate(tops):
            exact.write(top, {"m.c": SOURCE, "b/v.h": f"#define V {number}\n", f"b/only{number}.h": ""})
        ways = []
        for turn in range(3):
            for side, top in zip(sides, tops, strict=True):
                exact.write(top, {"b/v.h": f"#define V {turn}{tops.index(top)}\n"})
                ways.append(in_private_tmp(side, top))
        assert ways[-2:] == ["headers", "headers"]


def in_private_tmp(side: Comparison, top: Path) -> str:
    """Compile in ``/tmp/project``, which is another directory on each machine."""
    shown = Path("/tmp/project")
    local = side.here(COMPILE, shown, top)
    there = side.there(COMPILE, shown, top)
    exact.assert_same(local, there, COMPILE)
    return there.way


def blobs(farm: Farm) -> list[Path]:
    return [path for path in (farm.lan["w1"].home / ".cache/zdistcc/zdistccd").rglob("blobs/*/*") if path.is_file()]


def store(farm: Farm) -> Path:
    return farm.lan["w1"].home / ".cache/zdistcc/zdistccd/sources"


def flip(path: Path) -> None:
    """Change one byte of a file that may only be read."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))
    path.chmod(0o444)


@pytest.mark.parametrize("restarted", [False, True])
def test_flipped_bytes_in_the_store(tmp_path: Path, restarted: bool) -> None:
    with Farm(tmp_path, workers=1) as farm:
        farm.wait_for_workers()
        comparison, top = Comparison(farm), tmp_path / "project"
        exact.write(top, {"m.c": SOURCE, "b/v.h": "#define V 1\n", "n.c": "#include <stdlib.h>\n" + SOURCE})
        comparison.same(COMPILE, top)
        assert blobs(farm)
        if restarted:
            farm.stop("w1")
        for blob in blobs(farm):
            flip(blob)
        if restarted:
            farm.start("w1")
            farm.serving("w1")
            farm.wait_for_workers()
        again = (*COMPILE[:-1], "n.c")
        assert comparison.same(COMPILE, top).way == "headers"
        assert comparison.same(again, top).way == "headers"
        assert comparison.same(COMPILE, top).way == "headers"


@pytest.mark.parametrize("what", ["blobs", "trees", "."])
def test_the_store_is_deleted_while_it_is_used(tmp_path: Path, what: str) -> None:
    with Farm(tmp_path, workers=1) as farm:
        farm.wait_for_workers()
        comparison, top = Comparison(farm), tmp_path / "project"
        exact.write(top, {"m.c": SOURCE, "b/v.h": "#define V 1\n"})
        comparison.same(COMPILE, top)
        shutil.rmtree(store(farm) / what)
        comparison.same(COMPILE, top)
        exact.write(top, {"b/v.h": "#define V 2\n"})
        comparison.same(COMPILE, top)
        assert comparison.same(COMPILE, top).way == "headers"


def test_a_store_that_is_too_small(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=1, started=0) as farm:
        farm.start("w1", "--store-size", "300k")
        farm.serving("w1")
        farm.wait_for_workers()
        comparison, top = Comparison(farm), tmp_path / "project"
        exact.write(top, {"m.c": SOURCE, "b/v.h": "#define V 1\n", "n.cc": "#include <string>\nstd::string s;\n"})
        for turn in range(3):
            exact.write(top, {"b/v.h": f"#define V {turn}\n"})
            comparison.same(COMPILE, top)
            comparison.same(("g++", "-g", "-O2", "-c", "n.cc"), top)


def test_the_worker_is_killed_and_starts_again(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=1) as farm:
        farm.wait_for_workers()
        comparison, top = Comparison(farm), tmp_path / "project"
        exact.write(top, {"m.c": SOURCE, "b/v.h": "#define V 1\n"})
        for turn, number in enumerate((signal.SIGKILL, signal.SIGTERM)):
            comparison.same(COMPILE, top)
            farm.stop("w1", number)
            exact.write(top, {"b/v.h": f"#define V {turn}\n"})
            comparison.same(COMPILE, top)
            farm.start("w1")
            farm.serving("w1")
            farm.wait_for_workers()
            assert comparison.same(COMPILE, top).way == "headers"

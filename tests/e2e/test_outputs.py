"""Names of sources and outputs, and what is at the output's place already: all as with the compiler alone."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.builds import UNPRIVILEGED, counted, differing, empty, made, stray
from tests.e2e.farm import LAUNCHER, Farm, unavailable

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

SOURCE = b"#include <stddef.h>\nconst char *f(void) { return __FILE__; }\n"
NAMELESS = b"#include <stddef.h>\nint f(void) { return __LINE__; }\n"  # clang warns of names that are not UTF-8


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("farm"), workers=1, slots=4) as farm:
        farm.wait_for_workers()
        yield farm


@pytest.fixture
def here(farm: Farm) -> Path:
    return empty(farm.directory / "here")


def snapshot(directory: Path) -> dict[bytes, tuple[str, bytes]]:
    """Everything below `directory` but sources: names, modes, contents."""
    found: dict[bytes, tuple[str, bytes]] = {}
    for path in directory.rglob("*"):
        if path.suffix not in (".c", ".cc"):
            mode = stat.filemode(path.lstat().st_mode)
            content = os.readlink(os.fsencode(path)) if path.is_symlink() else b""
            name = os.path.relpath(os.fsencode(path), os.fsencode(directory))
            found[name] = mode, content or (path.read_bytes() if path.is_file() else b"")
    return found


def same(farm: Farm, here: Path, script: str, *, source: bytes = b"x.c", text: bytes = SOURCE, remote: int = 1) -> None:
    """Run a shell script, in which @ stands before the compiler, without and with us; compare what is left."""
    left, said = [], []
    for ours in (False, True):
        empty(here)
        path = os.path.join(os.fsencode(here), source)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(text)
        words = ["sh", "-c", script.replace("@", shlex.quote(str(LAUNCHER)) + " " if ours else "")]
        if ours:
            with counted(farm) as jobs:
                ended = farm.run(words, here, check=False)
            assert jobs.remote == remote, jobs
        else:
            ended = farm.run(words, here, check=False)
        said.append((ended.returncode, ended.stdout, ended.stderr))
        left.append(snapshot(here))
    assert said[1] == said[0]
    assert left[1].keys() == left[0].keys()
    assert left[1] == left[0]


@pytest.mark.parametrize("mask", ["077", "022", "002", "000"])
def test_umask(farm: Farm, here: Path, mask: str) -> None:
    same(farm, here, f"umask {mask}; @gcc -c x.c -o x.o -MD; @gcc -c x.c -S", remote=2)


@pytest.mark.parametrize(
    "name",
    [
        b"with space.c",
        b'it\'s "quoted".c',
        b"$HOME `id`.c",
        "größe-日本.c".encode(),
        b"latin-\xe9\xff.c",
        b"-dash.c",
        b"new\nline.c",
        b"back\\slash.c",
        b"percent%s.c",
        b"#hash.c",
        b"deep/er/x.c",
    ],
)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_names(farm: Farm, here: Path, compiler: str, name: bytes) -> None:
    """By relative and absolute path, with an output named and implied, with dependencies."""
    word = shlex.quote(os.fsdecode(name))
    script = (
        f"@{compiler} -c ./{word}; @{compiler} -c -MMD ./{word} -o ./{word}.o; @{compiler} -MD -c $PWD/{word} -o out.o"
    )
    # outputs that are called like options are left to the compiler
    text = NAMELESS if name.startswith(b"latin") else SOURCE
    same(farm, here, script, source=name, text=text, remote=1 if name.startswith(b"-") else 3)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize(
    "arguments",
    [
        "-c x.c",
        "-c x.c -ox.o",
        "-c x.c -o sub/x.o",
        "-c x.c -o ./sub/../y.o",
        "-c x.c -o $PWD/sub/x.o",
        "-c x.c -o no-ending",
        "-S x.c",
        "-S x.c -o y.s",
        "-S x.c -o y.o",
        "-x c++ -c x.c",
        "-x c -c x.c -o x.o",
        "-c x.c -MD -MF sub/deps -MT one -MQ 'two $'",
        "-c x.c -MMD -MP -o sub/x.o",
        "-c x.c @args",
    ],
)
def test_outputs(farm: Farm, here: Path, compiler: str, arguments: str) -> None:
    arguments = arguments.replace("@args", "$(printf @; echo args)")
    script = f"mkdir sub; echo '-O1 -DX=\"a b\"' > args; @{compiler} {arguments}"
    same(farm, here, script.replace("printf @", r"printf '\100'"))


LOOP = b"float f(float *a, int n) { float s = 0; for (int i = 0; i < n; i++) s += a[i] * a[i]; return s; }\n"


@pytest.mark.parametrize(
    ("script", "remote"),
    [
        ("@gcc -E x.c -o y.i; @gcc -O2 -c y.i", 1),
        ("@clang -E x.c -o y.i; @clang -O2 -c y.i", 1),
        ("@g++ -x c++ -E x.c -o y.ii; @g++ -O2 -c y.ii", 1),
        ("mkdir sub; cp x.c sub/y.i; @gcc -O2 -c sub/y.i; @clang -O2 -c sub/y.i -o z.o", 0),
        ("cp x.c y.i; @gcc -MD -c y.i; @clang -MD -c y.i -o z.o", 0),
        ("@gcc -O2 -x cpp-output -c x.c; @gcc -x cpp-output -c nowhere.c", 0),
        ("printf '#define N $1\\n.globl f\\nf: mov N, %%eax\\nret\\n' > y.S; @gcc -c y.S", 1),
        ("@gcc -S x.c; @gcc -c x.s", 1),
        ("cp x.c y.m; @gcc -std=gnu99 -O1 -c y.m; @clang -c y.m -o z.o", 2),
        ("@gcc -O2 -march=native -ffast-math -c x.c", 1),
        ("@clang -O2 -march=native -ffast-math -c x.c", 1),
        ("@gcc -O2 -march=native -mtune=generic -c x.c", 1),
        ("@aarch64-linux-gnu-gcc -O2 -c x.c", 1),
        ("@clang --target=aarch64-linux-gnu -O2 -c x.c", 1),
        ("@cc -O2 -c x.c; @c++ -O2 -x c++ -c x.c -o y.o; @c99 -c x.c -o z.o", 3),
        ("echo 'int g(void);' > h.h; @gcc -include h.h -DF='a b' -U__linux__ -O2 -c x.c", 1),
        ("@gcc -fsanitize=undefined -c x.c", 1),
        ("@gcc -O2 -fstack-usage -c x.c", 1),
        ("@gcc -g -gsplit-dwarf -c x.c", 1),
        ("@clang -c x.c -lm -L/tmp", 1),
        ("@gcc -c x.c -x c", 1),
        ("@gcc -save-temps -c x.c", 0),
        ("@clang -x c-header x.c -o x.h.gch", 0),
    ],
)
def test_kinds_of_jobs(farm: Farm, here: Path, script: str, remote: int) -> None:
    same(farm, here, script, text=LOOP, remote=remote)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("arguments", ["-c x.c -o -x.o", "-c -- x.c", "-c x.c -o .o"])
def test_odd_dashes_and_dots(farm: Farm, here: Path, compiler: str, arguments: str) -> None:
    same(farm, here, f"@{compiler} {arguments}", remote=int(compiler == "clang" and "--" in arguments))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize(
    ("before", "objects", "assembler"),
    [
        ("echo old > x.o", 1, 1),
        ("echo old > x.o; chmod 600 x.o", 1, 0),
        ("echo old > x.o; chmod 755 x.o", 1, 0),
        ("echo old > y.o; ln y.o x.o", 1, 0),
        ("echo old > y.o; ln -s y.o x.o", 0, 0),
        ("ln -s nowhere.o x.o", 0, 0),
        ("ln -s /dev/null x.o", 0, 0),
        ("mkdir x.o", 0, 0),
    ],
)
def test_something_is_there_already(
    farm: Farm, here: Path, compiler: str, before: str, objects: int, assembler: int
) -> None:
    same(farm, here, f"{before}; @{compiler} -c x.c -o x.o", remote=objects)
    same(farm, here, f"{before}; @{compiler} -S x.c -o x.o", remote=assembler)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("stage", ["-c", "-S"])
def test_read_only_output_without_privilege(farm: Farm, here: Path, compiler: str, stage: str) -> None:
    said, left = [], []
    for ours in ("", f"{LAUNCHER} "):
        (empty(here) / "x.c").write_bytes(SOURCE)
        script = f"echo old > x.o; chmod 444 x.o; {shlex.join(UNPRIVILEGED)} {ours}{compiler} {stage} x.c -o x.o"
        env = {"ZDISTCC_RUNTIME_DIR": str(farm.client.home / "unprivileged")}
        ended = farm.run(["sh", "-c", script], here, env=env, check=False)
        said.append((ended.returncode, ended.stderr))
        left.append(snapshot(here))
    assert said[1] == said[0]
    assert left[1] == left[0]


def test_devices_are_not_replaced(farm: Farm, here: Path) -> None:
    script = "@gcc -c x.c -o /dev/null; @gcc -S x.c -o /dev/null; @gcc -S x.c -o -; stat -c %F /dev/null"
    same(farm, here, script, remote=0)


def test_a_pipe_as_output(farm: Farm, here: Path) -> None:
    same(farm, here, "mkfifo x.s; cat x.s & @gcc -S x.c -o x.s; wait", remote=0)


def test_closed_descriptors(farm: Farm, here: Path) -> None:
    script = "(@gcc -c x.c -o 1.o) <&-; (@gcc -c x.c -o 2.o) >&-; (@gcc -c x.c -o 3.o) <&- >&- 2>&-"
    same(farm, here, script, remote=3)


def test_source_from_standard_input(farm: Farm, here: Path) -> None:
    same(farm, here, "@gcc -x c -c - -o x.o < x.c", remote=0)


def test_two_hundred_at_once(farm: Farm, here: Path) -> None:
    for number in range(200):
        (here / f"{number}.c").write_text(f"int f{number}(void) {{ return {number}; }}\n")
    script = "seq 0 199 | xargs -P200 -I% {}gcc -c %.c -o %.o"
    farm.run(["sh", "-c", script.format("")], here)
    theirs = made(here)
    for path in here.glob("*.o"):
        path.unlink()
    with counted(farm) as jobs:
        ended = farm.run(["sh", "-c", script.format(f"{LAUNCHER} ")], here)
    assert (ended.stdout, ended.stderr) == ("", "")
    assert len(theirs) == 200
    assert differing(made(here), theirs) == []
    assert (jobs.remote + jobs.local, jobs.failed) == (200, 0)
    assert jobs.remote > 20, "the client takes its share of so many"


def test_nothing_is_left_over(farm: Farm) -> None:
    """Runs last in this module."""
    assert stray(farm.directory) == []

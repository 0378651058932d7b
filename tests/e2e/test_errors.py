"""What people see when something is wrong with *their* command: exactly what the compiler alone shows, once."""

from __future__ import annotations

import re
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.e2e.builds import UNPRIVILEGED, counted, empty, stray
from tests.e2e.farm import LAUNCHER, Farm, unavailable

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

COMPILERS = ("gcc", "g++", "clang", "clang++")
BROKEN = """
#include <stddef.h>
static int unused(void) { return 1; }
int f(int n) {
    int m = n +;
    return undeclared + m;
}
"""
CAREFUL = "int f(int n) { int unused; return n; }\n"
PREPROCESSOR_ERROR = "#define X 1\n#define X 2\n#error stop here\nint f;\n"
MISSING_HEADER = '#include "nowhere.h"\nint f;\n'
BIG = "char filler[] = {\n" + ",".join(["1"] * 400_000) + "};\n"


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("farm"), workers=1, slots=4) as farm:
        farm.wait_for_workers()
        yield farm


@pytest.fixture
def here(farm: Farm) -> Path:
    return empty(farm.directory / "here")


def tree(directory: Path) -> dict[str, tuple[str, bytes | str]]:
    """Everything below `directory`: names, modes, contents."""
    found: dict[str, tuple[str, bytes | str]] = {}
    for path in sorted(directory.rglob("*")):
        mode = stat.filemode(path.lstat().st_mode)
        content: bytes | str = ""
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        found[str(path.relative_to(directory))] = mode, content
    return found


def without_random_names(text: str) -> str:
    return re.sub(r"/cc\w{6}\.|-[0-9a-f]{6}\.o", "/ccXXXXXX.", text)


def both(
    farm: Farm, here: Path, command: Sequence[str], files: Mapping[str, str], env: Mapping[str, str] | None = None
) -> CompletedProcess[str]:
    """Run `command`, whose word COMPILER… is the call of the compiler, without us and with us, in equal directories.

    All that can be seen from outside must be equal; returns what was said.
    """
    said, left = [], []
    for ours in (False, True):
        empty(here)
        for name, text in files.items():
            (here / name).write_text(text)
        words = [word.replace("@", f"{LAUNCHER} " if ours else "", 1) for word in command]
        ended = farm.run(words, here, env=env, check=False)
        said.append((ended.returncode, without_random_names(ended.stdout), without_random_names(ended.stderr)))
        left.append(tree(here))
    assert said[1] == said[0]
    assert left[1].keys() == left[0].keys()
    assert left[1] == left[0]
    return ended


def compiled(farm: Farm, here: Path, command: str, files: Mapping[str, str], **env: str) -> CompletedProcess[str]:
    return both(farm, here, ["sh", "-c", f"@{command}"], files, env)


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(
    ("source", "flags"),
    [(BROKEN, ""), (PREPROCESSOR_ERROR, ""), (MISSING_HEADER, ""), (CAREFUL, "-Wall -Werror")],
    ids=["error", "preprocessor error", "missing header", "Werror"],
)
def test_errors(farm: Farm, here: Path, compiler: str, source: str, flags: str) -> None:
    name = "x.cc" if "++" in compiler else "x.c"
    ended = compiled(farm, here, f"{compiler} {flags} -c {name} -o x.o", {name: source})
    assert ended.returncode == 1
    assert ended.stderr


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_errors_in_colour(farm: Farm, here: Path, compiler: str, term: str) -> None:
    """`script` gives the compiler a terminal."""
    name = "x.cc" if "++" in compiler else "x.c"
    command = ["script", "-qec", f"@{compiler} -Wall -c {name}", "/dev/null"]
    ended = both(farm, here, command, {name: BROKEN}, {"TERM": term})
    assert ended.returncode == 1
    assert ("\x1b[" in ended.stdout) is (term != "dumb")


@pytest.mark.parametrize(
    "arguments",
    [
        "-c",
        "",
        "-c nowhere.c",
        "-c nowhere.c -o nowhere.o",
        "-c x.c -o",
        "-c x.c -o nowhere/x.o",
        "-c x.c -o .",
        "-c x.c --no-such-option",
        "-c x.c -fno-such-option",
        "-c x.c -std=c17 -x no-such-language",
        "-c .",
        "-c x.c y.c -o z.o",
        "-c x.c -I",
        "-c @nowhere.rsp",
        "-c x.c -MF x.d",
        "-c x.c -MMD -MF nowhere/x.d",
    ],
)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_wrong_commands(farm: Farm, here: Path, compiler: str, arguments: str) -> None:
    compiled(farm, here, f"{compiler} {arguments}", {"x.c": "int f;\n", "y.c": "int g;\n"})


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_warnings_are_passed_on(farm: Farm, here: Path, compiler: str, locale: str) -> None:
    (here / "x.c").write_text(CAREFUL)
    env = {"LC_ALL": locale}
    plain = farm.run([compiler, "-Wall", "-c", "x.c"], here, env=env).stderr.splitlines()
    with counted(farm) as jobs:
        ours = farm.run([LAUNCHER, compiler, "-Wall", "-c", "x.c"], here, env=env).stderr.splitlines()
    assert (jobs.remote, jobs.local) == (1, 0)
    warnings = [line for line in plain if "warning: " in line]
    assert warnings
    assert [line for line in ours if "warning: " in line] == warnings
    assert set(ours) <= set(plain), "lines of source are quoted from the wrong file"


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("colours", ["warning=01;34", ""])
def test_warnings_are_coloured_for_a_terminal(farm: Farm, here: Path, compiler: str, colours: str) -> None:
    (here / "x.c").write_text(CAREFUL)
    warnings = []
    with counted(farm) as jobs:
        for before in ("", f"{LAUNCHER} "):
            words = ["script", "-qec", f"{before}{compiler} -Wall -c x.c", "/dev/null"]
            said = farm.run(words, here, env={"TERM": "xterm-256color", "GCC_COLORS": colours}).stdout
            without_links = re.sub(r"\x1b\]8;.*?(\x07|\x1b\\\\)", "", said)
            warnings.append([line for line in without_links.splitlines() if "warning: " in line])
    assert (jobs.remote, jobs.local) == (1, 0)
    assert warnings[1] == warnings[0]
    assert ("\x1b[" in warnings[0][0]) is (compiler == "clang" or colours != "")


@pytest.mark.parametrize("source", [BROKEN, PREPROCESSOR_ERROR, MISSING_HEADER])
def test_errors_are_shown_without_fallback_too(farm: Farm, here: Path, source: str) -> None:
    (here / "x.c").write_text(source)
    plain = farm.run(["gcc", "-c", "x.c"], here, check=False)
    ours = farm.run([LAUNCHER, "gcc", "-c", "x.c"], here, env={"ZDISTCC_FALLBACK": "0"}, check=False)
    assert ours.returncode == plain.returncode == 1
    errors = [line for line in plain.stderr.splitlines() if "error: " in line]
    assert errors
    assert [line for line in ours.stderr.splitlines() if "error: " in line] == errors
    assert not (here / "x.o").exists()


def test_comments_that_silence_a_warning_still_do(farm: Farm, here: Path) -> None:
    source = "int f(int n) {\n switch (n) {\n case 1: n++; /* fall through */\n case 2: n++;\n }\n return n; }\n"
    (here / "x.c").write_text(source)
    with counted(farm) as jobs:
        for flags in (["-Wextra"], ["-Wimplicit-fallthrough=5"], ["-Wextra", "-Wno-implicit-fallthrough"]):
            plain = farm.run(["gcc", *flags, "-c", "x.c", "-o", "plain.o"], here).stderr
            words = [LAUNCHER, "gcc", *flags, "-c", "x.c", "-o", "ours.o"]
            ours = farm.run(words, here, env={"ZDISTCC_MODE": "preprocessed"}).stderr
            assert ours == plain
            assert ("fall" in ours) is (flags == ["-Wimplicit-fallthrough=5"])
            assert (here / "ours.o").read_bytes() == (here / "plain.o").read_bytes()
    assert (jobs.remote, jobs.reasons) == (1, {"remote-warning": 2})


def test_missing_compiler(farm: Farm, here: Path) -> None:
    (here / "x.c").write_text("int f;\n")
    ended = farm.run([LAUNCHER, "no-such-gcc", "-c", "x.c"], here, check=False)
    assert ended.returncode == 110
    assert ended.stderr.startswith("zdistcc: no-such-gcc: no such compiler on PATH")
    assert len(ended.stderr.splitlines()) == 1
    assert [path.name for path in here.iterdir()] == ["x.c"]


def test_unreadable_source(farm: Farm, here: Path) -> None:
    env = {"ZDISTCC_RUNTIME_DIR": str(farm.client.home / "unprivileged")}
    script = f"chmod 0 x.c; {shlex.join(UNPRIVILEGED)} @gcc -c x.c; status=$?; chmod 644 x.c; exit $status"
    ended = both(farm, here, ["sh", "-c", script], {"x.c": "int f;\n"}, env)
    assert ended.returncode == 1
    assert "Permission denied" in ended.stderr


@pytest.fixture
def mounted(farm: Farm, here: Path) -> Iterator[Path]:
    """A small file system on the client; the test may make it read-only."""
    place = empty(farm.directory / "small")
    farm.client.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], check=True)
    yield place
    farm.client.run(["umount", place], check=True)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_full_disk(farm: Farm, here: Path, mounted: Path, compiler: str) -> None:
    """The object fits nowhere; what is left of it is what the compiler alone leaves.  Clang's stack dump differs."""
    script = f"(@{compiler} -c x.c -o {mounted}/x.o; echo $?) 2>&1 | grep -E '^[0-9]+$|No space'; ls -A {mounted}"
    ended = both(farm, here, ["sh", "-c", script], {"x.c": BIG})
    assert "No space left" in ended.stdout


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_read_only_output_directory(farm: Farm, here: Path, mounted: Path, compiler: str) -> None:
    farm.client.run(["mount", "-o", "remount,ro", mounted], check=True)
    ended = compiled(farm, here, f"{compiler} -c x.c -o {mounted}/x.o", {"x.c": "int f;\n"})
    assert ended.returncode == 1
    assert "Read-only file system" in ended.stderr


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_output_directory_that_may_not_be_written(farm: Farm, here: Path, compiler: str) -> None:
    env = {"ZDISTCC_RUNTIME_DIR": str(farm.client.home / "unprivileged")}
    script = f"mkdir out; chmod 555 out; {shlex.join(UNPRIVILEGED)} @{compiler} -c x.c -o out/x.o"
    ended = both(farm, here, ["sh", "-c", script], {"x.c": "int f;\n"}, env)
    assert ended.returncode == 1
    assert "Permission denied" in ended.stderr


def test_nothing_is_left_over(farm: Farm) -> None:
    """Runs last in this module."""
    assert stray(farm.directory) == []

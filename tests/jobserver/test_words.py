"""The number of jobs in command lines and in MAKEFLAGS, told apart from everything that only looks like it."""

from __future__ import annotations

import shlex
import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdistcc.jobserver.words import (
    CMAKE_BUILD,
    MAKE,
    NINJA,
    Grammar,
    find_jobs,
    flags_of,
    has_jobserver,
    version_in,
    with_jobserver,
)

UNSAID = "unsaid"


def read(words: str, grammar: Grammar) -> tuple[str, int | str | None]:
    found = find_jobs(shlex.split(words), grammar)
    return shlex.join(found.others), found.bound if found.said else UNSAID


@pytest.mark.parametrize(
    ("words", "others", "bound"),
    [
        ("", "", UNSAID),
        ("all", "all", UNSAID),
        ("-j8 all", "all", 8),
        ("-j 8 all", "all", 8),
        ("all -j", "all", None),
        ("-j all", "all", None),
        ("--jobs=8 all", "all", 8),
        ("--jobs 8 all", "all", 8),
        ("--jobs all", "all", None),
        ("-kj8", "-k", 8),
        ("-kj 8 x", "-k x", 8),
        ("-skj", "-sk", None),
        ("-j2 -j4", "", 4),
        ("-j4 -j", "", None),
        ("-C j -j3", "-C j", 3),
        ("-C -j3", "-C -j3", UNSAID),
        ("-Cj3", "-Cj3", UNSAID),
        ("-kC -j3 -j4", "-kC -j3", 4),
        ("-f -j8", "-f -j8", UNSAID),
        ("--directory -j8", "--directory -j8", UNSAID),
        ("--directory=d -j8", "--directory=d", 8),
        ("--eval -j8", "--eval -j8", UNSAID),
        ("-l 4 -j8", "-l 4", 8),
        ("-lj8", "-lj8", UNSAID),
        ("-Oj8", "-Oj8", UNSAID),
        ("-j0 x", "-j0 x", UNSAID),
        ("-jx", "-jx", UNSAID),
        ("--jobs=x", "--jobs=x", UNSAID),
        ("-- -j8", "-- -j8", UNSAID),
        ("-j3 -- -j8", "-- -j8", 3),
        ("CC=-j8 - x", "CC=-j8 - x", UNSAID),
        ("--jobserver-style=fifo -j2", "--jobserver-style=fifo", 2),
    ],
)
def test_make(words: str, others: str, bound: int | str | None) -> None:
    assert read(words, MAKE) == (others, bound)


@pytest.mark.parametrize(
    ("words", "others", "bound"),
    [
        ("-j8 all", "all", 8),
        ("-j 8 all", "all", 8),
        ("-vj8", "-v", 8),
        ("-j0", "", None),
        ("-j", "-j", UNSAID),
        ("-k 0 -j2", "-k 0", 2),
        ("-C -j3", "-C -j3", UNSAID),
        ("-t clean -j3", "-t clean -j3", UNSAID),
        ("-tclean -j3", "-tclean -j3", UNSAID),
        ("-j4 -t commands x", "-t commands x", 4),
        ("--quiet -j2", "--quiet", 2),
    ],
)
def test_ninja(words: str, others: str, bound: int | str | None) -> None:
    assert read(words, NINJA) == (others, bound)


@pytest.mark.parametrize(
    ("words", "others", "bound"),
    [
        ("--build . -j8", "--build .", 8),
        ("--build . --parallel 8 --target x", "--build . --target x", 8),
        ("--build . --parallel", "--build .", None),
        ("--build . -j -t all", "--build . -t all", None),
        ("--build -j8", "--build -j8", UNSAID),
        ("--build . -- -j8", "--build . -- -j8", UNSAID),
    ],
)
def test_cmake(words: str, others: str, bound: int | str | None) -> None:
    assert read(words, CMAKE_BUILD) == (others, bound)


@given(st.lists(st.text(alphabet=string.ascii_letters + string.digits + "-=/ .", max_size=8), max_size=8))
def test_no_word_is_made_up_or_changes_its_place(words: list[str]) -> None:
    for grammar in (MAKE, NINJA, CMAKE_BUILD):
        found = find_jobs(words, grammar)
        rest = iter(words)
        assert all(any(word.startswith(other) for word in rest) for other in found.others)
        if not found.said:
            assert list(found.others) == words


@pytest.mark.parametrize("words", ["-kj3", "-j 3 -s", "--jobs=3", "-l 2 -j3", "-sC . -j3", "-j3 X=-j7"])
def test_make_itself_understands_the_same(words: str, tmp_path: Path) -> None:
    """A real make shows in MAKEFLAGS what it understood."""
    (tmp_path / "Makefile").write_text("all: ; @echo '$(MAKEFLAGS)'\n")
    command = ["make", "-R", "--no-print-directory", *shlex.split(words)]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert f"-j{find_jobs(shlex.split(words), MAKE).bound} " in said


@pytest.mark.parametrize(
    ("flags", "others", "bound"),
    [
        ("", [], UNSAID),
        ("-j8", [], 8),
        ("ks -j8", ["-ks"], 8),
        ("kj8", ["-k"], 8),
        ("j", [], None),
        (" -j4 -- CC=gcc", ["--", "CC=gcc"], 4),
        ("w -- X=a\\ -j3", ["-w", "--", "X=a\\ -j3"], UNSAID),
        ("CC=gcc", ["CC=gcc"], UNSAID),
    ],
)
def test_makeflags(flags: str, others: list[str], bound: int | str | None) -> None:
    found = flags_of(flags)
    assert (list(found.others), found.bound if found.said else UNSAID) == (others, bound)


def test_a_jobserver_in_makeflags() -> None:
    assert with_jobserver([], 4, "3,4") == "-j4 --jobserver-auth=3,4"
    text = with_jobserver(["-k", "--", "CC=a\\ b"], 4, "fifo:/tmp/x")
    assert text == "-k -j4 --jobserver-auth=fifo:/tmp/x -- CC=a\\ b"
    assert has_jobserver(text) and has_jobserver(" -j --jobserver-fds=3,4")
    assert not has_jobserver("-j8 --no-print-directory") and not has_jobserver("X=a\\ --jobserver-auth=3,4")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("GNU Make 4.4.1\nBuilt for x", (4, 4)),
        ("1.13.0.git.kitware.jobserver-pipe-1\n", (1, 13)),
        ("1.11.1\n", (1, 11)),
        ("", (0, 0)),
    ],
)
def test_versions(text: str, version: tuple[int, int]) -> None:
    assert version_in(text) == version

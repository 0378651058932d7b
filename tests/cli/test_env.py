"""`zdistcc env` in real shells, and the directory of links."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.lab import LAUNCHER, Lab, lab_in, missing
from zdistcc.cli.env import Shell, commands, guess
from zdistcc.cli.masquerade import kept_links

SHELLS = {name: shutil.which(name) for name in ("bash", "zsh", "fish", "dash")}
REASON = missing() or ", ".join(f"{name} is not installed" for name, path in SHELLS.items() if path is None) or None
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

NASTY = "a b'c\"d\\e$HOME`x`!*?[~;&|(){}<>#%\\'é"
EVAL = {
    "bash": 'eval "$({})"',
    "zsh": 'eval "$({})"',
    "dash": 'eval "$({})"',
    "fish": "{} | source",
}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with lab_in(tmp_path) as lab:
        yield lab


def in_shell(shell: str, lab: Lab, script: str, **env: str) -> str:
    path = SHELLS[shell]
    assert path is not None
    fast = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"], "dash": []}[shell]
    ended = subprocess.run(
        [path, *fast, "-c", script],
        env={**lab.env, "SHELL": path, **env},
        cwd=lab.work,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return ended.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_is_set_up_and_back(shell: str, lab: Lab) -> None:
    """The cache's path has a space; evaluating twice changes nothing, undoing leaves what was."""
    names = "PATH|CMAKE|CCACHE"
    once, undo = EVAL[shell].format("zdistcc env"), EVAL[shell].format("zdistcc env --undo")
    shown = f"env | grep -E '^({names})' | sort; command -v gcc"
    before = in_shell(shell, lab, shown)
    first, second, third, undone = (
        in_shell(shell, lab, f"{script}; {shown}")
        for script in (once, f"{once}; {once}", f"{once}; {undo}; {once}", f"{once}; {undo}")
    )
    assert first == second == third
    assert undone == before
    lines = dict(line.split("=", 1) for line in first.splitlines()[:-1])
    links, rest = lines["PATH"].split(":", 1)
    assert rest == lab.env["PATH"] == lines["CCACHE_PATH"]
    assert Path(links).parent == Path(lab.env["ZDISTCC_CACHE_DIR"]) / "compilers"
    assert first.splitlines()[-1] == f"{links}/gcc"
    assert os.readlink(f"{links}/gcc") == str(LAUNCHER)
    assert lines["CMAKE_CXX_COMPILER_LAUNCHER"] == lines["CCACHE_PREFIX"] == str(LAUNCHER)


@pytest.mark.parametrize("shell", SHELLS)
def test_every_character_survives(shell: str, lab: Lab) -> None:
    text = commands({"X": NASTY, "PATH": f"/{NASTY}:/usr/bin:/bin"}, guess(f"/bin/{shell}"))
    (lab.work / "set.sh").write_text(text)
    assert in_shell(shell, lab, ". ./set.sh; env | grep -E '^(X|PATH)=' | sort") == (
        f"PATH=/{NASTY}:/usr/bin:/bin\nX={NASTY}\n"
    )


def test_a_compiler_called_through_links_and_by_zdistcc_finds_its_own_programs(lab: Lab) -> None:
    script = (
        'eval "$(zdistcc env)"; export ZDISTCC_DISABLE=1; gcc -print-prog-name=cc1; zdistcc gcc -print-prog-name=cc1'
    )
    one, two = in_shell("bash", lab, script).splitlines()
    assert one == two and os.access(one, os.X_OK)


def test_fish_takes_eval_as_well(lab: Lab) -> None:
    assert "/compilers/" in in_shell("fish", lab, 'eval "$(zdistcc env)"; command -v gcc')
    assert "/compilers/" in in_shell("fish", lab, "eval (zdistcc env); command -v gcc")


def test_whose_syntax(lab: Lab) -> None:
    assert [guess(path) for path in ("/bin/zsh", "/usr/bin/fish", "bash", "/bin/tcsh", "")] == [
        *(Shell.ZSH, Shell.FISH, Shell.BASH, Shell.SH, Shell.SH)
    ]
    assert lab.run("env", "--shell", "fish", env={"SHELL": "/bin/bash"}).stdout.startswith("set -gx ")
    assert lab.run("env", "--shell", "tcsh").returncode == 2


def test_what_the_user_has_set_stays(lab: Lab) -> None:
    own = {"CMAKE_C_COMPILER_LAUNCHER": "ccache", "CCACHE_PREFIX": "distcc"}
    said = lab.run("env", env=own).stdout
    assert "CMAKE_C_COMPILER_LAUNCHER" not in said and "CCACHE" not in said
    assert "CMAKE_CXX_COMPILER_LAUNCHER" in said
    undone = lab.run("env", "--undo", env=own).stdout
    assert "CMAKE_C_" not in undone and "CCACHE" not in undone


def test_a_compiler_that_comes_or_goes_gets_a_directory_of_its_own(tmp_path: Path) -> None:
    """What is named in a running build does not change."""
    programs = tmp_path / "programs"
    programs.mkdir()
    env = {"PATH": str(programs)}

    def install(name: str) -> None:
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)

    install("gcc")
    install("make")
    (programs / "clang").symlink_to(LAUNCHER)
    one = kept_links(tmp_path, env, str(LAUNCHER))
    assert [path.name for path in one.iterdir()] == ["gcc"]
    assert kept_links(tmp_path, env, str(LAUNCHER)) == one
    install("g++")
    two = kept_links(tmp_path, env, str(LAUNCHER))
    assert two != one and {path.name for path in two.iterdir()} == {"gcc", "g++"}
    assert [path.name for path in one.iterdir()] == ["gcc"]
    assert kept_links(tmp_path, {"PATH": f"{two}:{programs}"}, str(LAUNCHER)) == two
    assert sorted(path.name for path in one.parent.iterdir()) == sorted([one.name, two.name])

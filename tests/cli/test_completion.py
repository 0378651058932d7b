"""Completion in real shells, through the installed launchers: the key Tab on a terminal, and in fish its own question."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.lab import Lab, lab_in, missing
from tests.cli.test_status import TMUX, Tmux
from zdistcc import paths

SHELLS = {name: shutil.which(name) for name in ("bash", "zsh", "fish")}
ABSENT = [name for name, path in {**SHELLS, "tmux": TMUX}.items() if path is None]
REASON = missing() or (f"not installed: {', '.join(ABSENT)}" if ABSENT else None)
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

START = {"bash": "exec bash --rcfile rc -i", "zsh": 'exec env ZDOTDIR="$PWD" zsh -i'}
RC = {
    "bash": ("rc", 'PS1="> "; for p in zdistcc zdistccd; do eval "$($p --show-completion)"; done; clear\n'),
    "zsh": (
        ".zshrc",
        'PS1="> "; autoload -U compinit; compinit -D -u; unsetopt beep\n'
        'for p in zdistcc zdistccd; do eval "$($p --show-completion)"; done; clear\n',
    ),
}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with lab_in(tmp_path) as lab:
        (lab.work / "demanding.c").touch()
        yield lab


@pytest.fixture
def tmux(lab: Lab) -> Iterator[Tmux]:
    made = Tmux({**lab.env, "SHELL": "/bin/sh", "TERM": "xterm"}, lab.directory)
    yield made
    made("kill-server")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_key_tab(shell: str, lab: Lab, tmux: Tmux) -> None:
    """Commands, options, and files after a compiler: nothing of ours there."""
    name, text = RC[shell]
    (lab.work / name).write_text(text)
    tmux.type(f"cd '{lab.work}'", "Enter", START[shell], "Enter")
    tmux.wait_for(r"\A> *$")
    typed = [
        ("zdistcc masq", "zdistcc masquerade"),
        ("zdistcc report --ht", "zdistcc report --html"),
        ("zdistccd unin", "zdistccd uninstall"),
        ("zdistccd --store-", "zdistccd --store-size"),
        ("zdistcc gcc -c dem", r"zdistcc gcc -c demanding\.c"),
    ]
    for beginning, whole in typed:
        tmux.type(beginning, "Tab")
        tmux.wait_for(rf"^> {whole}\b")
        tmux.type("C-c")
    assert not paths.socket_path(lab.env).exists(), "completion starts no agent"


def fish(lab: Lab, script: str) -> str:
    path = SHELLS["fish"]
    assert path is not None
    words = [path, "--no-config", "-c", script]
    ended = subprocess.run(words, env=lab.env, cwd=lab.work, capture_output=True, text=True, timeout=120, check=True)
    assert ended.stderr == ""
    return ended.stdout


def test_fish(lab: Lab) -> None:
    """With what each command does beside it."""
    lines = ["zdistcc masq", "zdistcc report --ht", "zdistccd unin", "zdistcc gcc -c dem"]
    asked = "; ".join(f"complete -C '{line}'" for line in lines)
    said = fish(lab, f"zdistcc --show-completion | source; zdistccd --show-completion | source; {asked}").splitlines()
    assert [line.split("\t")[0] for line in said] == ["masquerade", "--html", "uninstall", "demanding.c"]
    assert "\t" in said[0] and "links" in said[0]


@pytest.mark.parametrize("shell", SHELLS)
def test_installing(shell: str, lab: Lab) -> None:
    path = SHELLS[shell]
    assert path is not None
    ended = subprocess.run(
        [path, "-c", "zdistcc --install-completion; true"],
        env=lab.env,
        cwd=lab.work,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert f"{shell} completion installed in {lab.directory}" in ended.stdout, ended
    written = [place.read_text() for place in lab.directory.rglob("*") if place.is_file() and "zdistcc" in place.name]
    assert any("_ZDISTCC_COMPLETE" in text for text in written)


@pytest.mark.parametrize("words", [[], ["-c", "demanding.c"], ["gcc", "-c", "demanding.c"]], ids=str)
def test_a_shells_question_is_no_compile(words: list[str], lab: Lab) -> None:
    """Whatever words come with it."""
    env = {"_ZDISTCC_COMPLETE": "complete_bash", "COMP_WORDS": "zdistcc sta", "COMP_CWORD": "1"}
    said = lab.run(*words, env=env)
    assert (said.returncode, said.stdout.split()) == (0, ["status", "stats"])
    assert not (lab.work / "demanding.o").exists()

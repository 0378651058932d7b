"""Help: examples that are valid command lines, colours on terminals alone."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from tests.cli.lab import BIN, LAUNCHER, TIMEOUT_S, missing
from zdistcc.cli import app, daemon, help
from zdistcc.cli.app import COMMANDS, UNTOUCHED
from zdistcc.toolchain.families import looks_like_compiler

needs_programs = pytest.mark.skipif(missing() is not None, reason=str(missing()))


def calls(line: str) -> Iterator[list[str]]:
    """The calls of our programs in a shell line, as words."""
    for inner in re.findall(r"\$\(([^)]*)\)", line):
        yield from calls(inner)
    words: list[str] = []
    reader = shlex.shlex(re.sub(r"\$\([^)]*\)", "", line), posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    for word in [*reader, ";"]:
        if word not in ("&&", ";", "|"):
            words.append(word)
            continue
        while words and ("=" in words[0] or words[0] == "sudo"):
            words.pop(0)
        if words and words[0] in ("zdistcc", "zdistccd"):
            yield words
        words = []


def parse(group: Any, words: list[str]) -> None:
    """Have a command line parsed as its program would, without running anything; a wrong usage raises."""
    name, *rest = words
    if rest and rest[0] in group.commands:
        group.commands[rest[0]].make_context(rest[0], rest[1:])
    elif name == "zdistccd":
        group.make_context(name, rest)
    elif rest != ["-j"]:
        assert looks_like_compiler(os.fsencode(rest[0])), f"{rest[0]} is neither a command nor a compiler"


@pytest.mark.parametrize("examples", [help.EXAMPLES, help.WORKER_EXAMPLES], ids=["zdistcc", "zdistccd"])
def test_examples_are_valid_command_lines(examples: help.Examples) -> None:
    groups = {"zdistcc": typer.main.get_command(app.build()), "zdistccd": typer.main.get_command(daemon.build())}
    for name, rows in examples.items():
        found = [words for line, _ in rows for words in calls(line)]
        assert len(found) >= len(rows), f"not every example of {name} calls us"
        assert not name or all(any(words[1] == name for words in calls(line)) for line, _ in rows), name
        for words in found:
            parse(groups[words[0]], words)


def test_a_wrong_example_would_be_found() -> None:
    group = typer.main.get_command(app.build())
    for wrong in (["zdistcc", "report", "--build", "x"], ["zdistcc", "stats", "--nothing"], ["zdistcc", "frobnicate"]):
        with pytest.raises(Exception, match=r"valid|[Nn]o such|neither"):
            parse(group, wrong)


def test_every_command_has_examples_and_no_other() -> None:
    assert set(help.EXAMPLES) == {"", *COMMANDS} - set(UNTOUCHED)
    assert set(help.WORKER_EXAMPLES) == {"", *typer.main.get_command(daemon.build()).commands}  # type: ignore[attr-defined]


def test_what_is_coloured() -> None:
    text = (
        "Usage: zdistcc x [OPTIONS]\n\n  Say: this.\n\nOptions:\n  --json  Print.\n\nExamples:\n  zdistcc x\n      so"
    )
    shown = help.coloured(text)
    assert re.sub(r"\x1b\[\d*m", "", shown) == text
    styled = re.findall(r"\x1b\[\d+m(.*?)\x1b\[0m", shown)
    assert sorted(styled) == sorted(["Usage", "Options", "--json", "Examples", "  zdistcc x"])


@pytest.mark.parametrize(
    ("env", "terminal", "shown"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({}, True, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
    ],
)
def test_where_colours_are_shown(env: dict[str, str], terminal: bool, shown: bool) -> None:
    assert help.shows_colours(env, terminal) is shown


@needs_programs
def test_help_of_the_installed_programs() -> None:
    """Through a pipe without colours, on a terminal with them."""
    env = {"PATH": f"{BIN}:/usr/bin:/bin", "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    words = [LAUNCHER, "stop", "--help"]
    piped = subprocess.run(words, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    assert "\x1b" not in piped.stdout and "Examples:\n  zdistcc stop\n" in piped.stdout
    for more, wanted in (({}, True), ({"NO_COLOR": "1"}, False)):
        ours, theirs = os.openpty()
        ended = subprocess.run(words, env=env | more, stdout=theirs, timeout=TIMEOUT_S, check=True)
        os.close(theirs)
        said = os.read(ours, 1 << 16).decode()
        os.close(ours)
        assert ended.returncode == 0 and ("\x1b[32m  zdistcc stop\x1b[0m" in said) is wanted, said


def test_help_is_not_paid_for_by_those_who_ask_for_none() -> None:
    code = (
        "import sys; from zdistcc.cli.app import build; build('stop');"
        "print(*(name for name in sys.modules if name.startswith('zdistcc.cli')))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(ended.stdout.split()) == {"zdistcc.cli", "zdistcc.cli.app", "zdistcc.cli.stop", "zdistcc.cli.ask"}

"""``zdistcc env``: the commands that set a shell up, so that what is compiled in it comes to us.

Rejected: setting ``MAKEFLAGS`` as well.  A number of jobs that is fixed for the life of a shell suits no LAN for long;
``zdistcc make`` keeps it fitting.
"""

from __future__ import annotations

import enum
import os
import shlex
import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from zdistcc import config, paths
from zdistcc.cli.masquerade import found_launcher, kept_links
from zdistcc.cli.surroundings import undone, with_launcher, with_links


class Shell(enum.Enum):
    """The syntax of the commands."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    SH = "sh"


def command(
    shell: Annotated[
        Shell | None, typer.Option(help="Whose syntax to print. Default: that of $SHELL, sh if that is none of these.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take back what an earlier env has set.")] = False,
) -> None:
    """Set a shell up to compile with zdistcc: eval "$(zdistcc env)".

    In fish: zdistcc env | source
    """
    launcher = found_launcher()
    cache = paths.cache_dir(os.environ, config.load(os.environ).cache_dir)
    changes: Mapping[str, str | None]
    if undo:
        changes = undone(os.environ, cache / "compilers", launcher)
    else:
        links = kept_links(cache, os.environ, launcher)
        changes = with_launcher(os.environ, launcher) | with_links(os.environ, links, launcher)
    text = commands(changes, shell or guess(os.environ.get("SHELL", "")))
    sys.stdout.buffer.write(os.fsencode(text))
    sys.stdout.buffer.flush()


def guess(path: str) -> Shell:
    """Return the shell whose program is at ``path``."""
    name = os.path.basename(path)
    return next((shell for shell in Shell if shell.value == name), Shell.SH)


def commands(changes: Mapping[str, str | None], shell: Shell) -> str:
    """Return a shell's commands, one a line."""
    return "".join(f"{_command(name, value, shell)};\n" for name, value in sorted(changes.items()))


def _command(name: str, value: str | None, shell: Shell) -> str:
    if shell is not Shell.FISH:
        return f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}"
    if value is None:
        return f"set -e {name}"
    # Of the variables that we set, PATH alone is a list in fish.
    words = value.split(os.pathsep) if name == "PATH" else [value]
    return " ".join(["set -gx", name, *map(_fish_quoted, words)])


def _fish_quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"

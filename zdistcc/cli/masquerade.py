"""``zdistcc masquerade``: a directory of links named after compilers, to be put first on PATH."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from zdistcc.errors import UserError
from zdistcc.launcher.which import launcher_path
from zdistcc.toolchain import families
from zdistcc.toolchain.lookup import is_program, search_path


def command(
    directory: Annotated[
        Path | None, typer.Argument(help="Where to make the links. Default: ~/.local/lib/zdistcc")
    ] = None,
) -> None:
    """Make links to zdistcc named after every compiler on PATH.

    Prints the shell command that puts their directory first: eval "$(zdistcc masquerade)"
    """
    launcher = launcher_path()
    if launcher is None:
        raise UserError("the program zdistcc is not beside this Python: reinstall the package")
    target = directory or Path.home() / ".local" / "lib" / "zdistcc"
    names = compilers_on_path(target)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            link = target / os.fsdecode(name)
            if link.is_symlink():
                link.unlink()
            if not link.exists():
                link.symlink_to(launcher)
    except OSError as error:
        raise UserError(f"{target}: {error.strerror}; name another directory") from error
    typer.echo(f"{len(names)} links in {target}: {', '.join(sorted(map(os.fsdecode, names)))}", err=True)
    typer.echo(f'export PATH="{target}:$PATH"')


def compilers_on_path(own: Path) -> set[bytes]:
    """Return the names on PATH, outside ``own``, that are called like compilers of C and its kin."""
    env = {os.fsencode(key): os.fsencode(value) for key, value in os.environ.items()}
    found: set[bytes] = set()
    for directory in search_path(env):
        if os.path.realpath(directory) == os.fsencode(os.path.realpath(own)):
            continue
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        found |= {
            name
            for name in names
            if families.looks_like_compiler(name) is not None and is_program(os.path.join(directory, name))
        }
    return found

"""``zdistcc masquerade``: a directory of links named after compilers, to be put first on PATH.

``run`` and ``env`` have directories of their own in the cache, made by the same function.  Such a directory is named
after what is in it and never changed: builds that run at the same time with different PATHs don't take links away from
each other.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping
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
    launcher = found_launcher()
    target = directory or Path.home() / ".local" / "lib" / "zdistcc"
    names = compilers_on_path(os.environ)
    try:
        make_links(target, names, launcher)
    except OSError as error:
        raise UserError(f"{target}: {error.strerror}; name another directory") from error
    typer.echo(f"{len(names)} links in {target}: {', '.join(sorted(map(os.fsdecode, names)))}", err=True)
    typer.echo(f'export PATH="{target}:$PATH"')


def found_launcher() -> str:
    """Return the path of the launcher; :class:`UserError` if there is none."""
    launcher = launcher_path()
    if launcher is None:
        raise UserError("the program zdistcc is not beside this Python: reinstall the package")
    return os.path.abspath(launcher)


def kept_links(cache: Path, env: Mapping[str, str], launcher: str) -> Path:
    """Return the directory below ``cache`` with links for the compilers on PATH, made if need be."""
    names = compilers_on_path(env)
    inside = b"\0".join([os.fsencode(launcher), *sorted(names)])
    place = cache / "compilers"
    target = place / hashlib.sha256(inside).hexdigest()[:16]
    if ":" in str(target):
        raise UserError(f"{target}: a directory with a colon cannot be on PATH; set ZDISTCC_CACHE_DIR to another")
    try:
        if not target.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(prefix=".new-", dir=place))
            try:
                made.chmod(0o755)
                make_links(made, names, launcher)
                with contextlib.suppress(FileExistsError):  # another build was quicker: as good
                    made.rename(target)
            finally:
                shutil.rmtree(made, ignore_errors=True)
        return target
    except OSError as error:
        if target.is_dir():
            return target
        raise UserError(f"{target}: {error.strerror}; set ZDISTCC_CACHE_DIR to another directory") from error


def make_links(target: Path, names: Collection[bytes], launcher: str) -> None:
    """Make links to ``launcher`` in ``target``; no link is missing for a moment, and no other file replaced."""
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        link = target / os.fsdecode(name)
        if link.is_symlink() and os.readlink(link) != launcher:
            fresh = target / f".{os.getpid()}-{link.name}"
            fresh.symlink_to(launcher)
            fresh.replace(link)
        elif not link.exists():
            link.symlink_to(launcher)


def compilers_on_path(environ: Mapping[str, str]) -> set[bytes]:
    """Return the names on PATH that are called like compilers of C and its kin, and are more than links to us."""
    env = {os.fsencode(key): os.fsencode(value) for key, value in environ.items()}
    found: set[bytes] = set()
    for directory in search_path(env):
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            if families.looks_like_compiler(name) is None or name in found:
                continue
            path = os.path.join(directory, name)
            if is_program(path) and os.path.basename(os.path.realpath(path)) != b"zdistcc":
                found.add(name)
    return found

"""``--version`` of both programs: everything that a bug report needs, in one block.

The first line is ``PROGRAM VERSION (…)`` and stays so; the others are a word and what there is to say.  Nothing is
started but the launcher, to ask it what it is, and the compiler, unless what it says is known from the last time.  The
agent is asked only if it runs.
"""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Final

from zdistcc import __version__, paths
from zdistcc.errors import UserError
from zdistcc.launcher.which import launcher_kind
from zdistcc.toolchain.lookup import default_compiler
from zdistcc.toolchain.probe import Probed
from zdistcc.toolchain.probecache import ProbeCache
from zdistcc.wire.frames import PROTOCOL_VERSION

LIBRARIES: Final = ("zstandard", "uvloop", "lzallright", "zeroconf", "jeepney", "msgspec", "typer", "rich")


def describe(program: str) -> str:
    """Return the block for ``zdistcc`` or ``zdistccd``."""
    kind = launcher_kind()
    note = "" if kind == "native" else "; every compile starts 20 ms later: install a C compiler and reinstall"
    python = sys.version.split()[0]
    rows = {
        "protocol": str(PROTOCOL_VERSION),
        "python": f"{platform.python_implementation()} {python} ({sys.executable})",
        "system": _system(),
        "libraries": ", ".join(f"{name} {_version(name)}" for name in LIBRARIES),
        "compiler": _compiler(),
        "agent": _agent(),
    }
    first = f"{program} {__version__} (launcher: {kind}{note}; Python {python}; {sys.platform})"
    return "\n".join([first, *(f"  {word:<11}{said}" for word, said in rows.items())])


def _system() -> str:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        name = platform.platform()
    libc = " ".join(platform.libc_ver()).strip()
    seen = os.uname()
    return ", ".join(part for part in (name, f"{seen.sysname} {seen.release} {seen.machine}", libc) if part)


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"


def _compiler() -> str:
    env = {os.fsencode(key): os.fsencode(value) for key, value in os.environ.items()}
    path = default_compiler(env)
    if path is None:
        return "no cc on PATH"
    found = ProbeCache(paths.cache_dir(os.environ) / "probes.json").probe(path, env)
    if not isinstance(found, Probed):
        return f"{os.fsdecode(path)}: {found}"
    known = found.id
    return f"{known.family.value} {known.version} for {known.target}, build {known.build_id} ({os.fsdecode(path)})"


def _agent() -> str:
    from zdistcc.cli.ask import ask

    try:
        about = ask({"ask": "version"}, start=False)
    except UserError as error:
        return str(error)
    return f"{about.get('version')}, pid {about.get('pid')}" if about else "not running"

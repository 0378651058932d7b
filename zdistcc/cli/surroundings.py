"""The environment in which what is compiled by any usual way comes to us: a value, changed nowhere but in a copy.

- ``PATH`` begins with the directory of links, for everything that calls a compiler by its name;
- CMake, when it configures, writes paths of compilers into the build: it is given a launcher instead;
- ccache looks for the compiler behind itself on ``PATH``.  It would find our link, take us for the compiler, and not
  notice when the compiler changes: so it is told to look on the ``PATH`` without us, and to call us.

What the user has set already stays.  Must not know: shells, build tools.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

LAUNCHER_VARIABLES: Final = tuple(f"CMAKE_{language}_COMPILER_LAUNCHER" for language in ("C", "CXX", "OBJC", "OBJCXX"))
DEFAULT_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


def with_launcher(env: Mapping[str, str], launcher: str) -> dict[str, str]:
    """Return what has to be set for CMake to configure builds that call us."""
    return {name: launcher for name in LAUNCHER_VARIABLES if name not in env}


def with_links(env: Mapping[str, str], links: Path, launcher: str) -> dict[str, str]:
    """Return what has to be set for ``links`` to be used, by ccache as well."""
    rest = path_without(env.get("PATH") or DEFAULT_PATH, links.parent)
    changes = {"PATH": f"{links}{os.pathsep}{rest}"}
    if "CCACHE_PREFIX" not in env and "CCACHE_PATH" not in env:
        changes |= {"CCACHE_PREFIX": launcher, "CCACHE_PATH": rest}
    return changes


def path_without(path: str, parent: Path) -> str:
    """Return a PATH without the directories of links that are in ``parent``."""
    return os.pathsep.join(entry for entry in path.split(os.pathsep) if not entry or Path(entry).parent != parent)


def undone(env: Mapping[str, str], parent: Path, launcher: str) -> dict[str, str | None]:
    """Return the changes that take ours back, None for a variable to remove."""
    changes: dict[str, str | None] = {}
    path = env.get("PATH", "")
    if (rest := path_without(path, parent)) != path:
        changes["PATH"] = rest
    changes |= {name: None for name in (*LAUNCHER_VARIABLES, "CCACHE_PREFIX") if env.get(name) == launcher}
    if "CCACHE_PREFIX" in changes:
        changes["CCACHE_PATH"] = None
    return changes

"""Where programs are: the PATH, past the wrappers on it.

The PATH and the rest of the environment are arguments: the agent asks for each launcher's own.

Must not know: what a compiler says (that costs a process; this costs some ``stat`` calls).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from zdistcc.toolchain import families

Environment = Mapping[bytes, bytes]


def search_path(env: Environment) -> tuple[bytes, ...]:
    """The absolute directories of PATH; a relative one is nobody's idea of where compilers are."""
    return tuple(d for d in env.get(b"PATH", os.defpath.encode()).split(b":") if d.startswith(b"/"))


def is_program(path: bytes) -> bool:
    """True for a file that we may execute."""
    return os.path.isfile(path) and os.access(path, os.X_OK)


def find_real(name: bytes, env: Environment) -> bytes | None:
    """The first program called ``name`` on the PATH that is no wrapper."""
    for directory in search_path(env):
        candidate = os.path.join(directory, name)
        if is_program(candidate) and not families.is_wrapper(os.path.realpath(candidate)):
            return candidate
    return None


def searched_for(found: bytes, env: Environment) -> tuple[bytes, ...]:
    """The directories of PATH up to that of ``found``: in these a program may turn up that hides it."""
    path = search_path(env)
    directory = os.path.dirname(found)
    return path[: path.index(directory) + 1] if directory in path else path


def default_compiler(env: Environment) -> bytes | None:
    """The path of the machine's ``cc``, past ourselves and other wrappers."""
    return find_real(b"cc", env)

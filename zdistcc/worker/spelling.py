"""How this machine's compilers are spelled by and for clients of stock distcc: asked of the compilers themselves.

What ``cc`` and ``c++`` are here (names.py), and what each compiler prints for ``-dumpversion``, by which stock clients
look for workers: that may be 12 or 12.2.0, as the compiler was configured.  Some milliseconds for each compiler; it
blocks, so call it in a thread.

Must not know: connections, announcements.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from zdistcc.discovery.distcc_advert import Spelled
from zdistcc.toolchain.identity import CompilerId
from zdistcc.toolchain.lookup import Environment, find_real
from zdistcc.toolchain.probe import Probed
from zdistcc.toolchain.probecache import ProbeCache
from zdistcc.worker.names import GENERIC

_ANSWER_TIMEOUT_S: Final = 10.0
_LONGEST: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """``generic``: what names mean that any compiler may have; ``compilers``: what is announced, ``cc`` first."""

    generic: dict[str, CompilerId]
    compilers: tuple[Spelled, ...]


def spell(compilers: Sequence[Probed], env: Environment, probes: ProbeCache) -> Spelling:
    """Ask."""
    offered = {compiler.id for compiler in compilers}
    generic: dict[str, CompilerId] = {}
    for name in GENERIC:
        path = find_real(name.encode(), env)
        found = probes.probe(path, env) if path is not None else None
        if isinstance(found, Probed) and not found.implied and found.id in offered:
            generic[name] = found.id
    usual_first = sorted(compilers, key=lambda compiler: compiler.id != generic.get("cc"))
    versions = [(compiler.id.target, _dump_version(compiler.driver)) for compiler in usual_first]
    spelled = [Spelled(machine=target, version=version) for target, version in versions if version]
    return Spelling(generic=generic, compilers=tuple(dict.fromkeys(spelled)))


def _dump_version(driver: bytes) -> str:
    """Return what a stock client asks its own compiler for; nothing where that is no word."""
    try:
        ended = subprocess.run(
            [driver, b"-dumpversion"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            timeout=_ANSWER_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    said = ended.stdout.decode("ascii", "replace").strip()
    return said if ended.returncode == 0 and said.isprintable() and len(said) <= _LONGEST else ""

"""Where the agent's socket and the caches are.

The launcher computes the same names (``launcher/launcher.c``, ``find_places``; ``launcher/fallback.py``);
a test compares them.  The runtime directory is one per user; the names in it are keyed by host, uid and
mount namespace, because home directories are shared over NFS and builds run in containers that share
``/tmp``: an agent must never be asked about files it sees differently.

Must not know: whether any of this exists.  Nothing is created here.  A variable that holds a relative
path is ignored, as the XDG base directory specification says: its meaning would change with each
directory that ``make`` enters.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# sizeof(sockaddr_un.sun_path), with the NUL: 108 on Linux, 104 on the BSDs and macOS.
_SUN_PATH_BYTES = 108 if os.uname().sysname == "Linux" else 104
_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3


def agent_key() -> str:
    """Sixteen hexadecimal digits: FNV-1a of protocol, host name, mount namespace and uid."""
    try:
        namespace = os.readlink(b"/proc/self/ns/mnt")
    except OSError:
        namespace = b""
    parts = (b"zdistcc/1", os.fsencode(os.uname().nodename), namespace, b"%d" % os.getuid())
    value = _FNV_OFFSET
    for byte in b"\0".join(parts):
        value = (value ^ byte) * _FNV_PRIME % 2**64
    return f"{value:016x}"


def runtime_dir(env: Mapping[str, str]) -> Path:
    """The directory of the agent's socket, lock and log; the launcher makes it, with mode 0700."""
    chosen = _wanted_runtime_dir(env)
    if chosen and len(os.fsencode(f"{chosen}/agent-{agent_key()}.sock")) < _SUN_PATH_BYTES:
        return Path(chosen)
    return Path(f"/tmp/zdistcc-{os.getuid()}")


def _wanted_runtime_dir(env: Mapping[str, str]) -> str | None:
    own = env.get("ZDISTCC_RUNTIME_DIR", "")
    if own.startswith("/"):
        return own
    session = env.get("XDG_RUNTIME_DIR", "")
    if session.startswith("/") and os.path.isdir(session) and os.stat(session).st_uid == os.getuid():
        return f"{session}/zdistcc"
    return None


def socket_path(env: Mapping[str, str]) -> Path:
    """The agent's unix socket."""
    return runtime_dir(env) / f"agent-{agent_key()}.sock"


def lock_path(env: Mapping[str, str]) -> Path:
    """Held by whoever starts the agent."""
    return runtime_dir(env) / f"agent-{agent_key()}.lock"


def log_path(env: Mapping[str, str]) -> Path:
    """What an agent started by a launcher writes to its standard error."""
    return runtime_dir(env) / f"agent-{agent_key()}.log"


def stdio_path(env: Mapping[str, str], kind: str) -> Path:
    """The private door of the user's worker: its socket (``sock``), ``lock`` or ``log``, as ``kind`` says."""
    return runtime_dir(env) / f"stdio-{agent_key()}.{kind}"


def cache_dir(env: Mapping[str, str], configured: str | None = None) -> Path:
    """What may be deleted at any time: last-seen workers, compiler probes.  ``configured`` is ``Config.cache_dir``."""
    own = configured or env.get("ZDISTCC_CACHE_DIR", "")
    if own.startswith("/"):
        return Path(own)
    cache = env.get("XDG_CACHE_HOME", "")
    if cache.startswith("/"):
        return Path(cache) / "zdistcc"
    return Path(env.get("HOME") or os.path.expanduser("~")) / ".cache" / "zdistcc"

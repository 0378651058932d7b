"""This machine: launcher, places, configuration, the order of PATH, room on the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from zdistcc import config, paths
from zdistcc.discovery import hostspec
from zdistcc.doctor.finding import Finding, bad, good, note
from zdistcc.errors import UserError
from zdistcc.launcher.which import launcher_kind
from zdistcc.toolchain.lookup import is_program, search_path

NETWORK_FILE_SYSTEMS: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "afs", "9p", "fuse.sshfs", "ceph", "lustre"})
SCARCE_BYTES: Final = 1 << 30
NONE_LEFT_BYTES: Final = 64 << 20
_MASQUERADES: Final = ("ccache", "zdistcc", "distcc", "icecc")
_COMMANDS: Final = (b"cc", b"gcc", b"g++", b"c++", b"clang")


def launcher() -> Finding:
    """Return which launcher there is."""
    kind = launcher_kind()
    if kind == "native":
        return good("launcher", "native")
    if kind == "python":
        return note(
            "launcher",
            "the Python one: every compile starts some 20 ms later",
            "install a C compiler (apt-get install build-essential), then reinstall zdistcc",
        )
    return bad("launcher", "the program zdistcc is not beside this Python", "reinstall zdistcc")


def settings(env: Mapping[str, str]) -> Finding:
    """Return whether the configuration can be read."""
    try:
        seen = config.load(env)
        hostspec.parse(seen.hosts)
    except UserError as error:
        return bad("configuration", str(error), "correct it; until then the defaults hold")
    if seen.disable:
        return note("configuration", "zdistcc is switched off (disable)", "unset ZDISTCC_DISABLE")
    if not seen.discovery:
        return note("configuration", "discovery is switched off: only peers are found", "unset ZDISTCC_DISCOVERY")
    return good("configuration", "can be read")


def file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system that holds ``path``; ``mounts``: what /proc/self/mounts says."""
    best, kind = "", ""
    real = os.path.realpath(path)
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].encode().decode("unicode_escape")
        if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind


def runtime_directory(env: Mapping[str, str], mounts: str) -> Finding:
    """Return whether the agent's socket is in a place that is ours alone."""
    directory = paths.runtime_dir(env)
    kind = file_system(directory, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        return bad(
            "runtime directory",
            f"{directory} is on a network file system ({kind}), where sockets and locks fail",
            "set ZDISTCC_RUNTIME_DIR to a directory of this machine, as /tmp/zdistcc-$USER",
        )
    try:
        seen = directory.stat()
    except FileNotFoundError:
        return good("runtime directory", f"{directory} will be made when it is needed")
    if seen.st_uid != os.getuid() or seen.st_mode & 0o077:
        return bad(
            "runtime directory",
            f"{directory} is open to others, so it is not used",
            f"chmod 700 {directory}, or set ZDISTCC_RUNTIME_DIR to a private one",
        )
    return good("runtime directory", str(directory))


def room(env: Mapping[str, str]) -> Iterator[Finding]:
    """Yield how much room is left for caches, and for a worker's store if there is one."""
    try:
        seen = config.load(env)
        hostspec.parse(seen.hosts)
    except UserError:
        return  # said already
    cache = paths.cache_dir(env, seen.cache_dir)
    store = Path(seen.store) if seen.store else cache / "zdistccd"
    yield _room("cache", cache)
    if store.exists():
        yield _room("store", store)


def _room(check: str, directory: Path) -> Finding:
    existing = directory
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    usage = shutil.disk_usage(existing)
    free = f"{usage.free / (1 << 30):.1f} GiB free"
    if not os.access(existing, os.W_OK):
        return bad(check, f"{directory} cannot be written", "set ZDISTCC_CACHE_DIR to a directory of yours")
    if usage.free < NONE_LEFT_BYTES:
        return bad(
            check, f"{directory}: the disk is full ({free})", "make room, or use another disk (ZDISTCC_CACHE_DIR)"
        )
    if usage.free < SCARCE_BYTES:
        return note(check, f"{directory}: {free}", "make room, or lower store_size")
    return good(check, f"{directory}: {free}")


def masquerade_of(directory: bytes) -> str | None:
    """Return whose compiler links ``directory`` holds (``ccache``, ``distcc``, …), ``None`` for no such place."""
    for command in _COMMANDS:
        path = os.path.join(directory, command)
        if is_program(path):
            name = os.path.basename(os.path.realpath(path)).decode("utf-8", "replace")
            return name if name in _MASQUERADES else None
    return None


def path_order(env: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what is wrong with the order of wrappers' directories on PATH: ccache, then we, then compilers."""
    as_bytes = {os.fsencode(key): os.fsencode(value) for key, value in env.items()}
    order: list[tuple[str, str]] = []
    compilers_from = ""
    for directory in search_path(as_bytes):
        wrapper = masquerade_of(directory)
        name = os.fsdecode(directory)
        if wrapper is not None and not compilers_from:
            order.append((wrapper, name))
        elif not compilers_from and any(is_program(os.path.join(directory, word)) for word in _COMMANDS):
            compilers_from = name
    wrappers = [wrapper for wrapper, _ in order]
    for rival in ("distcc", "icecc"):
        if rival in wrappers and "zdistcc" in wrappers and wrappers.index(rival) < wrappers.index("zdistcc"):
            yield bad(
                "PATH",
                f"{rival}'s links ({dict(order)[rival]}) come before zdistcc's: {rival} gets the compiles",
                f"take {dict(order)[rival]} out of PATH",
            )
    if "ccache" in wrappers and "zdistcc" in wrappers and wrappers.index("zdistcc") < wrappers.index("ccache"):
        yield note(
            "PATH",
            "zdistcc's links come before ccache's: what the cache has is compiled again",
            "put ccache's directory first, or use CCACHE_PREFIX=zdistcc",
        )
    prefix = env.get("CCACHE_PREFIX", "")
    if prefix and os.path.basename(prefix) != "zdistcc" and os.path.basename(prefix) in _MASQUERADES:
        yield note("PATH", f"ccache compiles with CCACHE_PREFIX={prefix}", "export CCACHE_PREFIX=zdistcc")
    if not compilers_from:
        yield bad("PATH", "no C compiler is on PATH", "install one: apt-get install build-essential")
    elif wrappers:
        yield good("PATH", f"{', then '.join(wrappers)}, then the compilers of {compilers_from}")
    else:
        yield good("PATH", f"compilers of {compilers_from} (zdistcc is used by name, as CC='zdistcc gcc')")

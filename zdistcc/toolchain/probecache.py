"""Remembers what probes found, for as long as the files that decided it are as they were.

A hit costs the ``stat`` calls of the witnesses and starts nothing: the driver under the name asked for, the
same one resolved, the compilers proper (cc1, cc1plus), the assembler, specs and configuration files, and,
where the PATH was searched, its directories.  clang's shared libraries are not among them: packages replace
the driver with them, and who swaps a library by hand can delete the cache.

On disk it is advice (JSON, format below): unreadable, corrupted or of another version means empty, and what
it says is held against the same witnesses.  Failures stay in memory.

    {"version": 1, "entries": [{"path", "search", "driver", "through", "implied": [..], "family", "release",
     "target", "build_id", "languages": [..], "architectures": [..],
     "witnesses": [[path, inode, mtime_ns, size], ..]}, ..]}

Must not know: how a probe works, where the cache file lives.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zdistcc.toolchain.identity import BUILD_ID_HEX_DIGITS, CompilerId, Family, Offer
from zdistcc.toolchain.lookup import Environment
from zdistcc.toolchain.native import NativeExpansion
from zdistcc.toolchain.probe import Probed, ProbeFailure, native_expansion, probe

FORMAT_VERSION = 1
ENTRIES_MAX = 256  # a machine with every cross compiler Debian has, under all of their names
EXPANSIONS_MAX = 256

_Key = tuple[bytes, bytes]
_Stamp = tuple[int, int, int]
_Found = Probed | ProbeFailure
_BUILD_ID = re.compile(rf"[0-9a-f]{{{BUILD_ID_HEX_DIGITS}}}")
_ABSENT: _Stamp = (0, 0, 0)


def stamp(path: bytes) -> _Stamp:
    """What changes if a file is replaced or a directory gets or loses a name; all zero if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return _ABSENT
    return (status.st_ino, status.st_mtime_ns, status.st_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    found: _Found
    witnesses: tuple[tuple[bytes, _Stamp], ...]

    def holds(self) -> bool:
        return all(stamp(path) == seen for path, seen in self.witnesses)


class ProbeCache:
    """Probes each compiler once.  May be used from several threads; equal questions wait for one answer."""

    def __init__(self, file: Path | None = None, *, ask: Callable[[bytes, Environment], _Found] = probe) -> None:
        """``file`` is read now and written by :meth:`save`; None keeps the cache in memory."""
        self._file = file
        self._ask = ask
        self._lock = threading.Lock()
        self._entries: dict[_Key, _Entry] = _load(file) if file is not None else {}
        self._asking: dict[_Key, concurrent.futures.Future[_Found]] = {}
        self._expansions: dict[tuple[CompilerId, tuple[bytes, ...]], NativeExpansion | ProbeFailure] = {}
        self._changed = False

    def probe(self, path: bytes, env: Environment) -> _Found:
        """As :func:`zdistcc.toolchain.probe.probe`."""
        found = self.known(path, env)
        if found is not None:
            return found
        key = (path, env.get(b"PATH", b""))
        with self._lock:
            answer = self._asking.get(key)
            mine = answer is None
            if answer is None:
                answer = self._asking[key] = concurrent.futures.Future()
        if not mine:
            return answer.result()
        try:
            found = self._ask(path, env)
            self._remember(key, found)
            answer.set_result(found)
        except BaseException as error:
            answer.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._asking[key]
        return found

    def known(self, path: bytes, env: Environment) -> _Found | None:
        """The remembered answer if it still holds.  Only stats: cheap enough for an event loop."""
        key = (path, env.get(b"PATH", b""))
        entry = self._entries.get(key)
        return entry.found if entry is not None and entry.holds() else None

    def expansion(self, compiler: Probed, words: Sequence[bytes], env: Environment) -> NativeExpansion | ProbeFailure:
        """As :func:`zdistcc.toolchain.probe.native_expansion`, once for each compiler and words."""
        key = (compiler.id, tuple(words))
        found = self._expansions.get(key)
        if found is None:
            found = native_expansion(compiler, words, env)
            with self._lock:
                self._expansions[key] = found
                while len(self._expansions) > EXPANSIONS_MAX:
                    del self._expansions[next(iter(self._expansions))]
        return found

    def save(self) -> None:
        """Writes the file, whole or not at all, if anything was learnt.  That it can't be is no error."""
        with self._lock:
            if self._file is None or not self._changed:
                return
            entries = [_to_json(key, entry) for key, entry in self._entries.items()]
            self._changed = False
        text = json.dumps({"version": FORMAT_VERSION, "entries": [entry for entry in entries if entry]})
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=self._file.parent, prefix=f".{self._file.name}.")
            try:
                with open(descriptor, "w", encoding="ascii") as file:
                    file.write(text)
                os.replace(temporary, self._file)
            except OSError:
                os.unlink(temporary)
                raise

    def _remember(self, key: _Key, found: _Found) -> None:
        # Stamped after the probe: a compiler replaced meanwhile is one that a build could not use either.
        entry = _Entry(found=found, witnesses=tuple((path, stamp(path)) for path in found.witnesses))
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = entry
            while len(self._entries) > ENTRIES_MAX:
                del self._entries[next(iter(self._entries))]
            self._changed = self._changed or isinstance(found, Probed)


def _to_json(key: _Key, entry: _Entry) -> dict[str, object] | None:
    found = entry.found
    if isinstance(found, ProbeFailure):
        return None
    return {
        "path": os.fsdecode(key[0]),
        "search": os.fsdecode(key[1]),
        "driver": os.fsdecode(found.driver),
        "through": os.fsdecode(found.through),
        "implied": [os.fsdecode(word) for word in found.implied],
        "family": found.id.family,
        "release": found.id.version,
        "target": found.id.target,
        "build_id": found.id.build_id,
        "languages": sorted(found.offer.languages),
        "architectures": sorted(found.offer.architectures),
        "witnesses": [[os.fsdecode(path), *seen] for path, seen in entry.witnesses],
    }


def _load(file: Path) -> dict[_Key, _Entry]:
    try:
        content: Any = json.loads(file.read_bytes())
        if content["version"] != FORMAT_VERSION:
            return {}
        return dict(_from_json(row) for row in content["entries"][:ENTRIES_MAX])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _from_json(row: Any) -> tuple[_Key, _Entry]:
    """Raises what a wrong type raises: the whole file is then not believed."""
    if _BUILD_ID.fullmatch(row["build_id"]) is None:
        raise ValueError(row["build_id"])
    path = os.fsencode(row["path"])
    compiler = CompilerId(
        family=Family(row["family"]),
        version=_text(row["release"]),
        target=_text(row["target"]),
        build_id=row["build_id"],
    )
    witnesses = [
        (os.fsencode(name), (int(inode), int(mtime), int(size))) for name, inode, mtime, size in row["witnesses"]
    ]
    found = Probed(
        path=path,
        driver=os.fsencode(row["driver"]),
        through=os.fsencode(row["through"]),
        implied=tuple(os.fsencode(word) for word in row["implied"]),
        offer=Offer(
            id=compiler,
            languages=frozenset(map(_text, row["languages"])),
            architectures=frozenset(map(_text, row["architectures"])),
        ),
        witnesses=tuple(name for name, _ in witnesses),
    )
    if not witnesses:
        raise ValueError("an entry that nothing can refute")
    return (path, os.fsencode(row["search"])), _Entry(found=found, witnesses=tuple(witnesses))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value

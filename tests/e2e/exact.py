"""Compares a compile here with the same compile by way of the farm: every file it writes, what it prints, its status.

A test gives a project as data and a command; the mode that the job went in is read from the agent's log.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.farm import LAUNCHER, Farm

_ENDED = re.compile(r"job=\d+ (?:remote worker='(?P<worker>[^']*)' mode=(?P<mode>\w+)|local reason=(?P<reason>[\w-]+))")
Files = Mapping[str | bytes, str | bytes]
Words = Sequence[str | bytes | Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one command left behind; ``way`` is the mode or the reason why it ran locally."""

    status: int
    stdout: str
    stderr: str
    files: Mapping[bytes, bytes]
    way: str = ""
    worker: str = ""


def write(directory: Path, files: Files) -> None:
    """Write a project; a text that begins with ``->`` is a symbolic link."""
    for name, text in files.items():
        path = os.path.join(os.fsencode(directory), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        data = text.encode() if isinstance(text, str) else text
        if os.path.lexists(path):
            os.unlink(path)
        if data.startswith(b"->"):
            os.symlink(data[2:].strip(), path)
        else:
            with open(path, "wb") as file:
                file.write(data)


def snapshot(directory: Path) -> dict[bytes, bytes]:
    """Every plain file below ``directory``."""
    found: dict[bytes, bytes] = {}
    for above, _, names in os.walk(os.fsencode(directory)):
        for name in names:
            path = os.path.join(above, name)
            if not os.path.islink(path):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, os.fsencode(directory))] = file.read()
    return found


class Comparison:
    """Commands of one farm's client, twice each."""

    def __init__(self, farm: Farm, machine: str = "client") -> None:
        self.farm = farm
        self.machine = farm.lan[machine]
        self._seen = 0

    def here(self, words: Words, cwd: Path, top: Path | None = None, env: Mapping[str, str] | None = None) -> Outcome:
        """Run a compiler as it is; what it wrote is taken away again."""
        return self._run(words, cwd, top or cwd, env)

    def there(self, words: Words, cwd: Path, top: Path | None = None, env: Mapping[str, str] | None = None) -> Outcome:
        """The same by way of the farm."""
        return self._run([LAUNCHER, *words], cwd, top or cwd, env)

    def same(self, words: Words, cwd: Path, top: Path | None = None, env: Mapping[str, str] | None = None) -> Outcome:
        """Both, which must not differ; returns how the job went."""
        local = self.here(words, cwd, top, env)
        remote = self.there(words, cwd, top, env)
        assert_same(local, remote, words)
        return remote

    def _run(self, words: Words, cwd: Path, top: Path, env: Mapping[str, str] | None) -> Outcome:
        before = snapshot(top)
        self._news()
        ended = self.machine.run(words, cwd=cwd, env=self.farm.environment(env), timeout_s=120)
        made = {name: data for name, data in snapshot(top).items() if before.get(name) != data}
        for name in made:
            os.unlink(os.path.join(os.fsencode(top), name))
        way, worker = self._news()
        return Outcome(
            status=ended.returncode, stdout=ended.stdout, stderr=ended.stderr, files=made, way=way, worker=worker
        )

    def _news(self) -> tuple[str, str]:
        """How the last job since this was last asked ended."""
        text = "".join(
            path.read_text(errors="replace")
            for path in sorted((self.machine.home.parent / "run/user/test/zdistcc").glob("*.log"))
        )
        ended = list(_ENDED.finditer(text, self._seen))
        self._seen = len(text)
        if not ended:
            return "", ""
        return ended[-1]["mode"] or ended[-1]["reason"], ended[-1]["worker"] or ""


def assert_same(local: Outcome, remote: Outcome, words: Words) -> None:
    """Fail with what differs."""
    told = " ".join(os.fsdecode(word) for word in words)
    assert remote.status == local.status, f"{told}: status {remote.status}, not {local.status}\n{remote.stderr}"
    assert remote.stderr == local.stderr, f"{told} [{remote.way}]: stderr\n{remote.stderr}\nnot\n{local.stderr}"
    assert remote.stdout == local.stdout, f"{told} [{remote.way}]: stdout\n{remote.stdout}\nnot\n{local.stdout}"
    assert remote.files.keys() == local.files.keys(), f"{told} [{remote.way}]: wrote {sorted(remote.files)}"
    for name, data in local.files.items():
        if remote.files[name] != data:
            raise AssertionError(f"{told} [{remote.way}]: {name!r} differs\n{difference(data, remote.files[name])}")


def difference(local: bytes, remote: bytes) -> str:
    """Where two outputs part, for people."""
    place = next((i for i, pair in enumerate(zip(local, remote, strict=False)) if pair[0] != pair[1]), -1)
    if not remote.startswith(b"\x7fELF"):
        return f"--- here\n{local.decode(errors='replace')}\n--- there\n{remote.decode(errors='replace')}"
    lines = [f"{len(local)} and {len(remote)} bytes, first at {place}"]
    readelf = shutil.which("readelf")
    if readelf is not None:
        told = []
        for data in (local, remote):
            path = f"/proc/self/fd/{_memory_file(data)}"
            told.append(
                subprocess.run([readelf, "-SWw", path], capture_output=True, text=True, errors="replace",
                               pass_fds=[int(path.rpartition("/")[2])]).stdout.splitlines()
            )  # fmt: skip
            os.close(int(path.rpartition("/")[2]))
        pairs = zip(*told, strict=False)
        lines += [f"  here  {a}\n  there {b}" for a, b in pairs if a != b][:8]
    return "\n".join(lines)


def _memory_file(data: bytes) -> int:
    file = os.memfd_create("object")
    os.write(file, data)
    return file

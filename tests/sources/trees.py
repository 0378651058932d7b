"""Source trees made for a test, and what a compiler makes of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from zdistcc.sources.index import SourceIndex
from zdistcc.sources.model import Closure, ClosureRequest, ForcedKind, SearchContext, Unclosable

COMPILERS = {"c": (b"gcc", b"clang"), "c++": (b"g++", b"clang++")}
DEADLINE_S = 20.0


def write(root: Path, files: Mapping[str, str | bytes]) -> None:
    """Each value is a text, or ``-> target`` for a symbolic link."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, str) and text.startswith("-> "):
            path.symlink_to(text[3:])
        elif isinstance(text, str):
            path.write_text(text)
        else:
            path.write_bytes(text)


class Project:
    """A tree with one index; the search path is given by hand, so that no compiler runs."""

    def __init__(self, root: Path, *, quote: tuple[str, ...] = (), angle: tuple[str, ...] = ()) -> None:
        self.root = root
        self.index = SourceIndex()
        self.quote = quote
        self.angle = angle

    def request(
        self,
        source: str = "main.c",
        *,
        language: str = "c",
        words: tuple[bytes, ...] = (),
        forced: tuple[str, ...] = (),
        defines: tuple[bytes, ...] = (),
    ) -> ClosureRequest:
        return ClosureRequest(
            compiler=b"/nonexistent/gcc",
            compiler_key="test",
            language=language,
            cwd=os.fsencode(self.root),
            source=source.encode(),
            search_words=words,
            forced=tuple((ForcedKind.INCLUDE, name.encode()) for name in forced),
            defines=defines,
        )

    def search(self) -> SearchContext:
        """What a compiler would say now."""
        quote = [os.fsencode(self.root / name) for name in self.quote]
        angle = [os.fsencode(self.root / name) for name in self.angle]
        existing = tuple(path for path in (*quote, *angle) if os.path.isdir(path))
        return SearchContext(
            quote=tuple(path for path in quote if path in existing),
            angle=tuple(path for path in angle if path in existing),
            existing=existing,
            missing=tuple(path for path in (*quote, *angle) if path not in existing),
        )

    def answer(self, request: ClosureRequest | None = None) -> object:
        request = request or self.request()
        answer = self.index.closure(request)
        for _ in range(3):
            if type(answer).__name__ != "NeedsSearchPath":
                break
            self.index.learn_search_path(request, self.search())
            answer = self.index.closure(request)
        return answer

    def closure(self, request: ClosureRequest | None = None) -> Closure:
        answer = self.answer(request)
        assert isinstance(answer, Closure), answer
        for file in answer.files:  # whatever else a test is about: never a stale digest
            data = Path(os.fsdecode(file.path)).read_bytes()
            assert hashlib.sha256(data).digest() == file.digest, file.path
            assert len(data) == file.size
            assert os.path.realpath(file.path) == file.path
        return answer

    def refusal(self, request: ClosureRequest | None = None) -> str:
        answer = self.answer(request)
        assert isinstance(answer, Unclosable), answer
        return answer.reason.word

    def names(self, request: ClosureRequest | None = None) -> set[str]:
        """The files of the closure, relative to the tree; those outside are left out."""
        return relative(self.closure(request), self.root)

    def settle(self) -> Closure:
        """Ask until the answer costs no reading: every file's times are old enough to be believed."""
        self.closure()

        def quiet() -> bool:
            read = self.index.world.files_read
            self.closure()
            return self.index.world.files_read == read

        wait_until(quiet)
        return self.closure()


def relative(closure: Closure, root: Path) -> set[str]:
    real = os.path.realpath(root)
    paths = {os.fsdecode(file.path) for file in closure.files}
    return {os.path.relpath(path, real) for path in paths if path.startswith(real + "/")}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"


def replicate(closure: Closure, root: Path, replica: Path) -> None:
    """Make in ``replica`` what the closure says of ``root``, as a worker does."""
    real = os.path.realpath(root)

    def inside(path: bytes) -> Path | None:
        name = os.fsdecode(path)
        return replica / os.path.relpath(name, real) if (name + "/").startswith(real + "/") else None

    for directory in closure.directories:
        place = inside(directory)
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
    for file in closure.files:
        place = inside(file.path)
        if place is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(Path(os.fsdecode(file.path)).read_bytes())
            if file.mtime_s:
                os.utime(place, (file.mtime_s, file.mtime_s))
    for link in closure.links:
        place, target = inside(link.path), inside(link.target)
        if place is not None and target is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(os.path.relpath(target, place.parent))


def run(command: tuple[bytes, ...], cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command, cwd=cwd, capture_output=True, timeout=60, check=False, env={**os.environ, "LC_ALL": "C"}
    )

"""The pipes of a jobserver, in the two forms in which tools are told of them.

``READ,WRITE``, two inherited descriptors, for a make before 4.4: they are the ends of two different pipes, so that a
token that comes back goes through us and is handed out again only if it is still allowed.  With one pipe for both, as
make makes it, a busy make has its token again before anybody else can look.

``fifo:PATH`` for tools that open the pipe themselves (make from 4.4, ninja from 1.13): one pipe, so there we are only
one of those who wait for a token, and win one back after some jobs.

Both are named pipes, of which we have openings of our own: make makes its reading end non-blocking, which is a property
of the opening, and other clients count on one that blocks or does not.  The directory is in /tmp and not in the runtime
directory, whose name may have a space: tools split ``MAKEFLAGS`` at spaces, and not all know make's way to quote one.
"""

from __future__ import annotations

import enum
import os
import shutil
import tempfile
from types import TracebackType
from typing import Final, Self

_READ_BYTES: Final = 4096


class Form(enum.Enum):
    """How a tool is told where the tokens are."""

    FIFO = "fifo"
    DESCRIPTORS = "descriptors"


class TokenPipe:
    """Open pipes; ``auth`` is the value of ``--jobserver-auth``.  OSError if they can't be made."""

    def __init__(self, form: Form) -> None:
        self._directory: str | None = tempfile.mkdtemp(prefix="zdistcc-jobs-", dir="/tmp")
        self._open: list[int] = []
        try:
            self._free = self._pipe("fifo")
            self._back = self._free
            self.auth = f"fifo:{self._directory}/fifo"
            if form is Form.DESCRIPTORS:
                self._back = self._pipe("back")
                # Open for both, so that no end is the last one: should we be killed, the build goes on, if slowly.
                ends = self._opened("fifo", os.O_RDWR), self._opened("back", os.O_RDWR)
                for end in ends:
                    os.set_inheritable(end, True)
                self.auth = f"{ends[0]},{ends[1]}"
                self._remove()
        except OSError:
            self.close()
            raise

    def _pipe(self, name: str) -> int:
        os.mkfifo(f"{self._directory}/{name}", 0o600)
        return self._opened(name, os.O_RDWR | os.O_NONBLOCK)

    def _opened(self, name: str, how: int) -> int:
        self._open.append(os.open(f"{self._directory}/{name}", how))
        return self._open[-1]

    def _remove(self) -> None:
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def returns(self) -> bool:
        """Whether tokens come back through us: then :meth:`returned` has to be called for each."""
        return self._back != self._free

    def fileno(self) -> int:
        """Readable when a token came back (through us, or into the common pipe, where it is anybody's)."""
        return self._back

    def returned(self) -> int:
        """Take all tokens that came back through us; return how many."""
        return _read(self._back, _READ_BYTES) if self.returns else 0

    def put(self, tokens: int) -> int:
        """Put up to ``tokens`` tokens in; return how many fitted."""
        try:
            return os.write(self._free, b"+" * tokens)
        except BlockingIOError:
            return 0

    def take(self, tokens: int) -> int:
        """Take up to ``tokens`` tokens out that nobody holds; return how many there were."""
        return _read(self._free, tokens)

    def close(self) -> None:
        """Close our ends and remove the pipes."""
        while self._open:
            os.close(self._open.pop())
        self._remove()


def _read(descriptor: int, most: int) -> int:
    try:
        return len(os.read(descriptor, most))
    except BlockingIOError:
        return 0

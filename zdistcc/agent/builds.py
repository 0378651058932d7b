"""Which build a compile command belongs to: the builds of one user take turns in the queue.

A build is the topmost build tool (make, ninja …) among the ancestors of the launcher, so that all of a recursive
make is one build; commands without one are of their terminal's session.  Where the system does not tell (no /proc) all
are of one build, and are served in the order in which they come.

Must not know: jobs, the scheduler.  Rejected: the process group (ninja gives each command its own), the parent (each
``make`` of a recursive one), make's jobserver (anonymous before 4.4, and other tools have none).
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

TOOLS: Final = frozenset(
    b"make gmake bmake ninja ninja-build samu cmake ctest scons waf meson bazel b2 xmake redo tup buck2 cargo".split()
)
MAX_DEPTH: Final = 32
MAX_KNOWN: Final = 4096
_Process = tuple[int, bytes]
"""Process number and start time: numbers are used again."""


class Builds:
    """Finds builds; what was found of a parent holds for all its children."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._known: OrderedDict[_Process, Hashable] = OrderedDict()

    def of(self, pid: int | None) -> Hashable:
        """Return what the commands of one build have in common."""
        found = self._look(pid) if pid is not None else None
        if found is None:
            return None
        _, _, parent, session = found
        return self._above(parent, session)

    def _above(self, parent: int, session: bytes) -> Hashable:
        looked = self._look(parent)
        if looked is None:
            return session
        key = parent, looked[1]
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        top: Hashable = session
        for _ in range(MAX_DEPTH):
            if looked is None:
                break
            name, started, above, _ = looked
            if name in TOOLS:
                top = parent, started
            parent, looked = above, self._look(above) if above > 0 else None
        self._known[key] = top
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return top

    def _look(self, pid: int) -> tuple[bytes, bytes, int, bytes] | None:
        """Return name, start time, parent and session of a process; ``None`` when it is gone."""
        try:
            with open(os.path.join(self._proc, str(pid), "stat"), "rb") as file:
                text = file.read(1024)
        except OSError:
            return None
        # The name is in parentheses and may hold any character; 19 fields after it comes the start time.
        name, _, rest = text.partition(b"(")[2].rpartition(b")")
        fields = rest.split()
        return (name, fields[19], int(fields[1]), fields[3]) if len(fields) > 19 else None

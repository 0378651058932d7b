"""Queues in which builds take turns: a build of two jobs does not wait behind 190 of another.

A :class:`Queue` has a line for each build, first come first served; the lines take turns by what the
:class:`Rotation` says, which several queues (jobs with different needs) share: whoever was served last is served next
after all others.  A build that appears takes its place behind those that are there.

Must not know: what waits, what a build is.  Rejected: turns by work instead of jobs (of new jobs it is not known), a
share of the slots for each build (slots would be idle while a build links).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from typing import Final, Generic, TypeVar

T = TypeVar("T", bound=Hashable)
K = TypeVar("K")
Build = Hashable
MAX_BUILDS: Final = 1024
"""Builds whose turn is remembered."""


class Rotation:
    """Whose turn it is."""

    def __init__(self) -> None:
        self._turn = 0
        self._last: OrderedDict[Build, int] = OrderedDict()

    def rank(self, build: Build) -> int:
        """Return a number that is lower the sooner it is the turn of ``build``."""
        return self._last.get(build, self._turn)

    def enter(self, build: Build) -> None:
        """``build`` has something that waits."""
        if build not in self._last:
            self._last[build] = self._turn
            if len(self._last) > MAX_BUILDS:
                self._last.popitem(last=False)

    def serve(self, build: Build) -> None:
        """``build`` has had its turn."""
        self._turn += 1
        self._last[build] = self._turn
        self._last.move_to_end(build)

    def order(self, queues: Iterable[tuple[K, Queue[T]]]) -> list[K]:
        """Return the keys of ``queues``, the one whose first build has its turn soonest first."""
        ranked = [(queue.rank, number, key) for number, (key, queue) in enumerate(queues)]
        return [key for _, _, key in sorted(ranked, key=lambda each: each[:2])]


class Queue(Generic[T]):
    """One line for each build; iteration is in the order in which all would be served."""

    def __init__(self, rotation: Rotation) -> None:
        self._rotation = rotation
        self._lines: dict[Build, OrderedDict[T, None]] = {}
        self._builds: dict[T, Build] = {}

    def __len__(self) -> int:
        return len(self._builds)

    def __contains__(self, item: object) -> bool:
        return item in self._builds

    def __iter__(self) -> Iterator[T]:
        """Yield in turns; may be changed meanwhile."""
        lines = [iter(list(line)) for _, line in self._in_turn()]
        while lines:
            left = []
            for line in lines:
                for item in line:
                    yield item
                    left.append(line)
                    break
            lines = left

    @property
    def rank(self) -> int:
        """The rank of the build whose turn it is here; not to be asked of an empty queue."""
        return min(map(self._rotation.rank, self._lines))

    def heads(self) -> Iterator[T]:
        """Yield the first of each line: one of them has waited longest."""
        return (next(iter(line)) for line in self._lines.values())

    def push(self, item: T, build: Build, *, first: bool = False) -> None:
        """``item`` of ``build`` waits, behind all others of its build, or before them."""
        self._rotation.enter(build)
        line = self._lines.setdefault(build, OrderedDict())
        line[item] = None
        if first:
            line.move_to_end(item, last=False)
        self._builds[item] = build

    def serve(self, item: T) -> None:
        """``item`` is served: it was its build's turn."""
        build = self._builds[item]
        self.remove(item)
        self._rotation.serve(build)

    def next(self) -> T:
        """Return who is to be served next."""
        _, line = min(self._in_turn(), key=lambda each: self._rotation.rank(each[0]))
        return next(iter(line))

    def remove(self, item: T) -> None:
        """``item`` does not wait any more, if it did."""
        if item not in self._builds:
            return
        build = self._builds.pop(item)
        line = self._lines[build]
        del line[item]
        if not line:
            del self._lines[build]

    def _in_turn(self) -> list[tuple[Build, OrderedDict[T, None]]]:
        if len(self._lines) == 1:
            return list(self._lines.items())
        return sorted(self._lines.items(), key=lambda each: self._rotation.rank(each[0]))

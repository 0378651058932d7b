"""What has to be looked at to say that a closure still holds, and the quickest way to look.

A :class:`Plan` is the memo of one request: the closure (or the refusal) and, for each path it depends on
(files read, directories searched, also in vain), the signature under which the answer was given.  The
steady-state cost of a job is the one loop in :meth:`Plan.holds`.

Links are not looked at: what a spelled path leads to is, and if all of these lead to the same inodes as
before, no compiler can tell that a link on the way was switched.

Must not know: directives, search order.
Rejected: comparing ``os.stat_result`` (contains the access time); one shared check of the whole world
(a job would pay for every project the agent has ever seen).
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from zdistcc.sources.model import Closure, Refused, Unclosable
from zdistcc.sources.world import (
    Check,
    Directory,
    File,
    Signature,
    Subject,
    World,
    present_signature,
)


class Plan:
    """``answer`` is set once the plan is found to hold for the first time."""

    __slots__ = ("_checks", "_subjects", "_versions", "answer")

    def __init__(self, subjects: Iterable[Subject]) -> None:
        self._subjects = list(subjects)
        self._checks: list[Check] = [subject.check for subject in self._subjects]
        self._versions = {
            position: subject.version
            for position, subject in enumerate(self._subjects)
            if isinstance(subject, Directory)
        }
        self.answer: Closure | Unclosable | None = None

    @property
    def weight(self) -> int:
        return len(self._checks)

    def holds(self, world: World, since_ns: int) -> bool:
        """True if nothing the closure depends on has changed; all that may have is looked at again.

        After False, ``world`` is as the disk was at ``since_ns`` or later.
        """
        stat = os.stat
        doubtful: list[tuple[int, Signature]] = []
        for position, (path, expected) in enumerate(self._checks):
            try:
                seen = stat(path)
            except OSError:
                current = present_signature(path)
            else:
                current = (seen.st_ctime_ns, seen.st_mtime_ns, seen.st_size, seen.st_ino, seen.st_dev)
            if current != expected:
                doubtful.append((position, current))
        sound = True
        for position, current in doubtful:
            sound &= self._confirmed(position, current, world, since_ns)
        return sound

    def _confirmed(self, position: int, current: Signature, world: World, since_ns: int) -> bool:
        subject = self._subjects[position]
        if isinstance(subject, Directory):
            world.renew_directory(subject, since_ns)
            self._checks[position] = subject.check
            return subject.version == self._versions[position]
        if not isinstance(subject, File):
            return subject.signature == current
        as_text = subject.content.directives is not None
        try:
            fresh = world.read_again(subject.path, since_ns=since_ns, as_text=as_text)
        except Refused:  # whether that matters is for the next walk to say
            world.files.pop(subject.path, None)
            return False
        if fresh is None or fresh.signature != subject.signature or fresh.content.digest != subject.content.digest:
            return False
        self._subjects[position], self._checks[position] = fresh, fresh.check
        return True

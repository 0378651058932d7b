"""Manners: how many slots the worker offers, given how the machine is used by others.  Pure.

The owner goes first.  Slots shrink

- with the load of others: CPU time of what is not niced.  Compilers are, those of any worker on the machine, so they
  never count as others; system time cannot be told apart and is divided as user time is.  What others leave of the
  cores is what is offered, which may be nothing.  Where ``nice`` is 0 the load of others is not known;
- when memory is short: jobs are expected to need what all but one in ten of the last ones needed, running ones half of
  that on top of what they have.  One job may always run, unless there is nothing left at all;
- to none on battery.

Slots go as soon as they are wanted, after some smoothing, and come back when they have been free for a while.

Must not know: where readings come from.  Rejected: load averages (a minute late), pressure stall information (niced
compilers are what stalls, whoever is in the way), the sum over all processes (a stat of each, every second).
"""

from __future__ import annotations

import enum
import math
from collections import deque
from dataclasses import dataclass
from typing import Final

LOAD_SMOOTHING_S: Final = 2.0
"""A page that loads is no load; a build, a game or a conference is."""
GROW_AFTER_S: Final = 3.0
MARGIN: Final = 0.15
"""Cores by which the load must be beyond the middle between two numbers of slots before they change."""
FIRST_JOB_BYTES: Final = 128 << 20
"""What a job is expected to need before any has been seen: C with some headers, not yet C++ with many."""
LEAST_JOB_BYTES: Final = 16 << 20
PEAKS: Final = 64
OUT_BYTES: Final = 64 << 20
"""With less memory than this, not even one job is begun."""
RESERVE: Final = 0.05
"""Share of the memory that is left to the machine."""
DECAY: Final = 0.9


class Limited(enum.Enum):
    """Why there are fewer slots than were configured."""

    NOT = ""
    LOAD = "this machine is used by others"
    MEMORY = "memory is short"
    BATTERY = "on battery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """CPU seconds used so far on the cores that compilers may use; ``own_s``: user time of the worker itself."""

    user_s: float
    nice_s: float
    system_s: float
    own_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The machine at one moment; ``at`` in seconds, memory in bytes (0: not known)."""

    at: float
    cores: int
    times: Times | None = None
    memory_free: int = 0
    memory_total: int = 0
    on_battery: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is offered now, and why; ``others_load`` in cores."""

    slots: int
    limited: Limited = Limited.NOT
    others_load: float = 0.0
    memory_free: int = 0
    memory_total: int = 0


class Manners:
    """What one worker has learnt of its machine and its jobs."""

    def __init__(self, *, slots: int, polite: bool = True, on_battery: bool = False) -> None:
        """``on_battery``: slots are offered then, too.  Without ``polite`` all are, always."""
        self.slots = slots
        self.standing = Standing(slots=slots)
        self._polite = polite
        self._battery_serves = on_battery
        self._last: Reading | None = None
        self._load = 0.0
        self._by_load = slots
        self._roomy_since: float | None = None
        self._peaks: deque[int] = deque(maxlen=PEAKS)
        self._cpu_s = 0.0
        self._wall_s = 0.0

    # --- what jobs teach ------------------------------------------------------------------------

    def used(self, peak_bytes: int) -> None:
        """A job has needed this much memory."""
        if peak_bytes > 0:
            self._peaks.append(peak_bytes)

    def ran(self, cpu_s: float, wall_s: float) -> None:
        """A job ran so long and got so much of a processor."""
        self._cpu_s = DECAY * self._cpu_s + cpu_s
        self._wall_s = DECAY * self._wall_s + wall_s

    @property
    def job_bytes(self) -> int:
        """Memory that a job is expected to need."""
        if not self._peaks:
            return FIRST_JOB_BYTES
        return max(LEAST_JOB_BYTES, sorted(self._peaks)[(9 * len(self._peaks)) // 10])

    @property
    def efficiency(self) -> int | None:
        """Percent of a processor that a job gets on its slot; ``None`` before the first."""
        return round(100 * self._cpu_s / self._wall_s) if self._wall_s > 0 else None

    # --- what the machine says ------------------------------------------------------------------

    def judge(self, reading: Reading, running: int) -> Standing:
        """Return what is offered from now on; ``running``: compilers of ours."""
        self._follow(reading)
        slots, why = self._wanted(reading, running) if self._polite else (self.slots, Limited.NOT)
        before = self.standing
        if slots > before.slots:
            since = self._roomy_since = reading.at if self._roomy_since is None else self._roomy_since
            if reading.at - since < GROW_AFTER_S:
                slots, why = before.slots, before.limited
        else:
            self._roomy_since = None
        if slots > before.slots:
            self._roomy_since = None
        self.standing = Standing(
            slots=slots,
            limited=why if slots < self.slots else Limited.NOT,
            others_load=self._load,
            memory_free=reading.memory_free,
            memory_total=reading.memory_total,
        )
        return self.standing

    def _follow(self, reading: Reading) -> None:
        """Take the load of others, smoothed, from what was used since the last reading."""
        last, self._last = self._last, reading
        if last is None or last.times is None or reading.times is None or reading.at <= last.at:
            return
        old, new = last.times, reading.times
        user = max(0.0, new.user_s - old.user_s)
        others = max(0.0, user - max(0.0, new.own_s - old.own_s))
        known = user + max(0.0, new.nice_s - old.nice_s)
        if known > 0:
            others += max(0.0, new.system_s - old.system_s) * others / known
        seconds = reading.at - last.at
        load = min(float(reading.cores), others / seconds)
        self._load += (1 - math.exp(-seconds / LOAD_SMOOTHING_S)) * (load - self._load)

    def _wanted(self, reading: Reading, running: int) -> tuple[int, Limited]:
        """Return how many slots would be right at this moment, and what keeps them from being all."""
        if reading.on_battery and not self._battery_serves:
            return 0, Limited.BATTERY
        rows = [(self._beside_load(reading.cores), Limited.LOAD), (self._by_memory(reading, running), Limited.MEMORY)]
        return min([(self.slots, Limited.NOT), *rows], key=lambda row: row[0])

    def _beside_load(self, cores: int) -> int:
        """What others leave, in slots; more slots than cores shrink in proportion, fewer only when they have to."""
        left = (cores - self._load) * max(1.0, self.slots / cores)
        lower = math.floor(left + 0.5 + MARGIN)
        upper = math.floor(left + 0.5 - MARGIN)
        self._by_load = max(0, min(self.slots, lower, max(self._by_load, upper)))
        return self._by_load

    def _by_memory(self, reading: Reading, running: int) -> int:
        if not reading.memory_total:
            return self.slots
        each = self.job_bytes
        spare = reading.memory_free - RESERVE * reading.memory_total - running * each / 2
        fit = running + max(0, math.floor(spare / each))
        least = 1 if reading.memory_free >= OUT_BYTES else 0
        return max(0, min(self.slots, max(fit, least)))

"""Draws what happens to each build from a seed, lets it happen, and judges.

The same seed gives the same faults in the same order; when they strike depends on how many objects there are, so on
nothing but the build's own progress.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.faults import BY_NAME, FAULTS, Fault, Heal, Strike
from tests.chaos.verdict import troubles
from tests.chaos.world import OPTIONS, World
from tests.lan.waiting import wait_until

BUILD_LIMIT_S: Final = 240.0
ALONE: Final = ("crowd-of-50",)
"""Faults that are not combined with others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A fault to come: on which worker, when so many objects are there, for how long."""

    fault: Fault
    worker: str
    at: int
    lasts_s: float
    seed: int

    def __str__(self) -> str:
        return f"{self.fault.name}({self.worker} at {self.at} for {self.lasts_s:.1f} s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one build."""

    number: int
    options: str
    planned: tuple[Planned, ...]
    struck: int
    seconds: float
    troubles: tuple[str, ...]

    def __str__(self) -> str:
        what = ", ".join(map(str, self.planned))
        end = "; ".join(self.troubles) or "well"
        return f"build {self.number:3d} {self.options:7} {self.seconds:6.1f} s  {what} ({self.struck} struck): {end}"


@dataclass(slots=True)
class _Active:
    heal: Heal
    until: float
    name: str
    worker: str


def available(names: Sequence[str] | None = None) -> list[Fault]:
    """The faults that can be had here, all or those named."""
    chosen = [BY_NAME[name] for name in names] if names else list(FAULTS)
    return [fault for fault in chosen if fault.unavailable() is None]


def plan(seed: int, number: int, workers: Sequence[str], faults: Sequence[Fault], objects: int) -> tuple[Planned, ...]:
    """What happens to build `number` of the campaign `seed`: one to three faults, on different workers."""
    dice = random.Random(f"{seed}/{number}")
    chosen = dice.choices(faults, weights=[fault.weight for fault in faults], k=dice.choice((1, 2, 2, 3)))
    alone = [fault for fault in chosen if fault.name in ALONE]
    unique = list({fault.name: fault for fault in (alone[:1] or chosen)}.values())
    struck = dice.sample(list(workers), k=min(len(unique), len(workers)))
    return tuple(
        Planned(
            fault=fault,
            worker=worker,
            at=dice.randrange(0, max(1, objects * 2 // 3)),
            lasts_s=dice.uniform(*fault.lasts_s),
            seed=dice.randrange(1 << 30),
        )
        for fault, worker in zip(unique, struck, strict=False)
    )


@dataclass(slots=True)
class Campaign:
    """Builds in a world."""

    world: World
    seed: int
    faults: Sequence[Fault]
    outcomes: list[Outcome] = field(default_factory=list)

    def run(self, number: int, planned: Sequence[Planned] | None = None) -> Outcome:
        """One build with what was planned for it, or drawn now."""
        dice = random.Random(f"{self.seed}/{number}/build")
        options = dice.choice(OPTIONS)
        expected = self.world.reference(options)
        if planned is None:
            planned = plan(self.seed, number, self.world.farm.names, self.faults, len(expected))
        self.world.prepare()
        begun = time.monotonic()
        found: list[str] = []
        struck = 0
        try:
            struck = self._build(options, planned, found)
        except AssertionError as error:
            found.append(f"while it was built: {error}")
        seconds = time.monotonic() - begun
        self.world.revive()
        found += troubles(self.world, expected)
        outcome = Outcome(
            number=number,
            options=options,
            planned=tuple(planned),
            struck=struck,
            seconds=seconds,
            troubles=tuple(found),
        )
        self.outcomes.append(outcome)
        return outcome

    def _build(self, options: str, planned: Sequence[Planned], found: list[str]) -> int:
        """Build to the end, with faults; return how many struck."""
        waiting, active, struck = sorted(planned, key=lambda each: each.at), list[_Active](), 0
        attempts = [self.world.make(options)]

        def step() -> bool:
            nonlocal struck
            objects, now = self.world.objects(), time.monotonic()
            for each in [each for each in active if each.until <= now]:
                active.remove(each)
                each.heal()
            while waiting and waiting[0].at <= objects:
                next_one = waiting.pop(0)
                struck += 1
                strike = Strike(world=self.world, worker=next_one.worker, dice=random.Random(next_one.seed))
                heal = next_one.fault.strike(strike)
                name, worker = next_one.fault.name, next_one.worker
                active.append(_Active(heal=heal, until=now + next_one.lasts_s, name=name, worker=worker))
            status = attempts[-1].poll()
            if status is None:
                return False
            if status == 0:
                return True
            interrupted = any(each.fault.name == "build-interrupted" for each in planned)
            if not interrupted or len(attempts) > 1:
                found.append(f"make ended with {status}: {attempts[-1].stderr[-300:]}")
                return True
            attempts.append(self.world.make(options))
            return False

        try:
            wait_until(step, BUILD_LIMIT_S, "the build ends")
        finally:
            for each in active:
                each.heal()
            for process in attempts:
                process.kill()
        return struck

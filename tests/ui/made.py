"""Made journals: builds of any size, the same each time."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from zdistcc.ui.builds import Job, job_of

EPOCH = 1_790_000_000.0
EVIL = "<script>alert(1)</script>\"'&\x1b[2J\u202e\x00\ud800]]>"


def record(number: int, **changes: Any) -> dict[str, Any]:
    """A record of a remote job of four seconds, three of them in the compiler."""
    begun = changes.pop("begun", 100.0)
    made = {
        "job": number, "file": f"src/unit{number}.cc", "directory": "/home/me/project", "pid": 7, "session": 5,
        "begun": begun, "planned": begun + 0.1, "granted": begun + 0.2, "sent": begun + 0.3, "started": begun + 0.5,
        "answered": begun + 3.8, "ended": begun + 4.0, "worker": "desk", "mode": "headers", "fate": "remote",
        "starts": 1, "cpu_ms": 2900, "wall_ms": 3000, "shipped": 1200, "received": 34_000,
    }  # fmt: skip
    return {**made, **changes}


def local(number: int, **changes: Any) -> dict[str, Any]:
    """A record of a local job of two seconds."""
    begun = changes.pop("begun", 100.0)
    made = {
        "job": number, "file": "program", "directory": "/home/me/project", "pid": 7, "session": 5, "begun": begun,
        "running": begun + 0.5, "ended": begun + 2.5, "reason": "link", "fate": "local",
    }  # fmt: skip
    return {**made, **changes}


def job(made: Mapping[str, Any]) -> Job:
    return job_of(made, EPOCH, 0.0)


def build_of(count: int, *, workers: int = 5, slots: int = 4, seed: int = 1) -> list[Job]:
    """A build of ``count`` jobs: compiles, some of them local, one slow one at the end, and a link."""
    chance = random.Random(seed)
    names = [f"worker-{number}" for number in range(1, workers + 1)]
    free = {(name, slot): 100.0 for name in names for slot in range(slots)}
    free |= {("", slot): 100.0 for slot in range(max(2, workers * slots // 12))}
    jobs: list[dict[str, Any]] = []
    for number in range(1, count):
        here = chance.random() < 0.06
        place = min((place for place in free if (place[0] == "") == here), key=lambda place: free[place])
        at = free[place]
        length = chance.lognormvariate(-0.2, 0.7) if number != count - 2 else 9.0
        begun = max(100.0, at - chance.random())
        if here:
            why = chance.choice(["source-columns", "configure-probe", "precompiled-header"])
            jobs.append(
                local(number, file=f"lib/here{number}.c", begun=begun, running=at, ended=at + length, reason=why)
            )
        else:
            mode = "headers" if chance.random() < 0.85 else "preprocessed"
            spent = {"cpu_ms": int(length * 900), "wall_ms": int(length * 950)}
            wait = 0.02 + 0.1 * chance.random()
            phases = {"granted": at, "sent": at + 0.01, "started": at + wait, "answered": at + wait + length}
            more = {"second_worker": names[0], "second": at + wait + length / 2} if number % 61 == 0 else {}
            jobs.append(
                record(
                    number,
                    begun=begun,
                    planned=begun + 0.005,
                    ended=at + wait + length + 0.01,
                    worker=place[0],
                    mode=mode,
                    file=f"src/part{number % 7}/unit{number}.cc",
                    **phases,
                    **spent,
                    **more,
                )
            )
        free[place] = jobs[-1]["ended"]
    end = max(free.values())
    jobs.append(local(count, begun=end + 0.01, running=end + 0.02, ended=end + 2.5))
    return [job(made) for made in jobs][:count]

"""What `status` costs: processor time of a frame with 100 hosts, from the agent's answer to the terminal's bytes.

    python -m tests.bench.bench_status

Every frame, jobs begin and end on all hosts, so nearly every line differs; four such frames a second are the most that
are ever drawn.  The bound is 3 % of a core.  Processor time, the least of several rounds: other work on the machine
does not count.  Printed beside it: how many bytes go to the terminal, and what the agent pays for a snapshot.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec

from tests.ui import pictures
from zdistcc.schedule.events import WorkerId
from zdistcc.schedule.snapshot import WorkerView
from zdistcc.toolchain.identity import CompilerId, Family, Match, Offer, best_match
from zdistcc.ui.controls import Controls
from zdistcc.ui.feed import Feed
from zdistcc.ui.live import FRAMES_A_SECOND, Canvas
from zdistcc.ui.view import Frame, draw
from zdistcc.wire.control import ReplyReader, encode_done

HOSTS = 100
SLOTS = 8
FRAMES = 40
ROUNDS = 5
BOUND = 0.03
SIZES = ((80, 24), (120, 40), (240, 80))


def snapshots() -> list[bytes]:
    """As the agent would send them: at each, other jobs run."""
    made = []
    for turn in range(FRAMES):
        hosts = [
            pictures.host(
                f"host-{number:03}", number, SLOTS, speed=0.5 + number / HOSTS, jobs_done=turn * 5 + number, others=number % 3,
                jobs=[pictures.job(turn * 7 + number + each, 0.25 * ((turn + each) % 9)) for each in range(1 + (turn + number) % 6)],
            )
            for number in range(1, HOSTS + 1)
        ]  # fmt: skip
        shown = pictures.building()
        shown |= {"hosts": hosts, "finished": 300 + 40 * turn, "time": pictures.NOW + turn / FRAMES_A_SECOND}
        made.append(encode_done(0, json.dumps(shown).encode(), b""))
    return made


def frame_s(answers: list[bytes], width: int, height: int) -> tuple[float, float]:
    """Seconds of processor time and bytes of a frame."""
    feed, canvas = Feed(), Canvas(colour=True)
    written = 0
    begun = time.process_time()
    for answer in answers:
        (reply,) = ReplyReader().receive_data(answer)
        feed.take(json.loads(reply.stdout))
        changes = canvas.changes(draw(feed, Controls(), Frame(width=width, height=height)))
        written += len(changes.encode())
    return (time.process_time() - begun) / len(answers), written / len(answers)


def least(measure: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    return min(measure() for _ in range(ROUNDS))


def matching_s() -> float:
    """Seconds that the agent takes to find each host's best compiler, the dearest part of a snapshot."""
    mine = CompilerId(family=Family.GCC, version="12.2.0", target="x86_64-linux-gnu", build_id="a" * 32)
    offers = tuple(
        Offer(
            id=CompilerId(family=Family.GCC, version=f"{version}.2.0", target="x86_64-linux-gnu", build_id="b" * 32),
            languages=frozenset({"c", "c++"}),
        )
        for version in (10, 11, 12, 13)
    )
    views = [WorkerView(worker=WorkerId(str(number)), name="w", slots=SLOTS, offers=offers) for number in range(HOSTS)]
    begun = time.process_time()
    for _ in range(FRAMES):
        for view in views:
            best_match(mine, view.offers, Match.SAME_VERSION, "c")
    return (time.process_time() - begun) / FRAMES


def main() -> dict[str, Any]:
    """Measure, print, and fail when the bound is broken."""
    answers = snapshots()
    print(
        f"{HOSTS} hosts, answers of {len(answers[0]) / 1000:.0f} kB, every frame different, {FRAMES_A_SECOND} frames a second"
    )
    shares = {}
    for width, height in SIZES:
        seconds, size = least(lambda w=width, h=height: frame_s(answers, w, h))  # type: ignore[misc]
        shares[width, height] = seconds * FRAMES_A_SECOND
        print(
            f"{width:>4}x{height:<3} {seconds * 1000:6.2f} ms  {seconds * FRAMES_A_SECOND:7.2%} of a core  {size / 1000:6.1f} kB a frame"
        )
    (reply,) = ReplyReader().receive_data(answers[0])
    decoded = json.loads(reply.stdout)
    begun = time.process_time()
    for _ in range(FRAMES):
        msgspec.json.encode(decoded)
    encode_s = (time.process_time() - begun) / FRAMES
    print(f"agent: {encode_s * 1000:.2f} ms to write an answer, {matching_s() * 1000:.2f} ms to match compilers")
    assert max(shares.values()) <= BOUND, f"more than {BOUND:.0%} of a core"
    return shares


if __name__ == "__main__":
    main()

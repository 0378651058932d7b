"""A bad cable: carries Ethernet frames between two tap devices, late or not at all.

``relay.py NAME NAME`` makes the two taps in its own network namespace and prints ``{"ready": true}``.
Each JSON line on standard input is a request, answered by one JSON line: ``{"delay_ms": f, "loss": f,
"seed": n}`` sets what happens to frames that arrive from now on, ``{}`` only asks.  The answer holds the
counts so far.  The end of standard input ends the program and with it the taps.

Each direction has its own random generator, so that the n-th frame's fate depends on the seed alone.
Rejected: the kernel's netem (often not built); packet sockets on the veth ends (they see segments
of 64 KB without checksums, which a tap has the kernel finish first).
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import select
import struct
import sys
import time
from collections import deque

TUNSETIFF = 0x400454CA
IFF_TAP_NO_PI = 0x0002 | 0x1000
FRAME_MAX = 65536
QUEUE_MAX = 20_000  # frames a direction; 30 MB, over a second of a gigabit
BATCH = 64  # frames read from one tap before the other gets its turn


def open_tap(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP_NO_PI))
    return fd


class Direction:
    """Frames that flow from one tap to the other, in order."""

    def __init__(self, source: int, target: int) -> None:
        self.source = source
        self.target = target
        self.queue: deque[tuple[float, bytes]] = deque()
        self.delay_s = 0.0
        self.loss = 0.0
        self.random = random.Random(0)
        self.lost = self.overflowed = self.carried = 0

    def take(self) -> None:
        for _ in range(BATCH):
            try:
                frame = os.read(self.source, FRAME_MAX)
            except OSError:  # nothing more to read, or the tap is not up yet
                return
            if self.loss and self.random.random() < self.loss:
                self.lost += 1
            elif len(self.queue) >= QUEUE_MAX:
                self.overflowed += 1
            else:
                self.queue.append((time.monotonic() + self.delay_s, frame))

    def give(self, now: float) -> None:
        while self.queue and self.queue[0][0] <= now:
            _due, frame = self.queue.popleft()
            try:
                os.write(self.target, frame)
                self.carried += 1
            except OSError:
                self.overflowed += 1


def obey(line: str, directions: list[Direction]) -> str:
    request = json.loads(line)
    if "loss" in request:
        for number, way in enumerate(directions):
            way.delay_s = request["delay_ms"] / 1000
            way.loss = request["loss"]
            way.random = random.Random(request["seed"] * 2 + number)
    names = ("carried", "lost", "overflowed")
    return json.dumps({name: sum(getattr(way, name) for way in directions) for name in names})


def main() -> None:
    near, far = open_tap(sys.argv[1]), open_tap(sys.argv[2])
    directions = [Direction(near, far), Direction(far, near)]
    print(json.dumps({"ready": True}), flush=True)
    while True:
        waiting = [way.queue[0][0] for way in directions if way.queue]
        timeout = max(0.0, min(waiting) - time.monotonic()) if waiting else None
        readable, _, _ = select.select([0, near, far], [], [], timeout)
        if 0 in readable:
            line = os.read(0, FRAME_MAX).decode()
            if not line:
                return
            print(obey(line, directions), flush=True)
        for way in directions:
            if way.source in readable:
                way.take()
            way.give(time.monotonic())


if __name__ == "__main__":
    main()

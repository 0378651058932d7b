"""How many jobs are useful now: asked of the agent again and again, without ever waiting for it.

The agent is not started here: while it is away, the compiles of the build start it.  Must not know: tokens, tools.
"""

from __future__ import annotations

import json
from typing import Any, Final

from zdistcc.config import cores
from zdistcc.errors import ProtocolError
from zdistcc.launcher import fallback
from zdistcc.wire import control
from zdistcc.wire.control import ReplyKind, ReplyReader

QUESTION: Final = {"ask": "parallelism"}
EVERY_S: Final = 0.5
PATIENCE_S: Final = 5.0
"""How long an answer holds after which none came: an agent that is started anew takes as long to know the LAN."""
MOST_JOBS: Final = 4096


def useful_jobs(answer: dict[str, Any]) -> int | None:
    """Return how many jobs an answer calls useful; None if it does not say."""
    number = answer.get("useful")
    return max(1, min(number, MOST_JOBS)) if isinstance(number, int) else None


class Poll:
    """One question under way at most; ``jobs`` is the last answer, the machine's cores without one."""

    def __init__(self, jobs: int | None, now: float) -> None:
        self.jobs = jobs or cores()
        self._answered = now
        self._next = now
        self._link: Any = None
        self._reader = ReplyReader()
        self._place = fallback.find_places()[1]

    @property
    def link(self) -> Any:
        """The socket on which the answer will come, None while no question is under way."""
        return self._link

    def tick(self, now: float) -> float:
        """Ask if it is time; return in how many seconds to come again."""
        if now - self._answered > PATIENCE_S:
            self.jobs = cores()
            self.close()
        if now >= self._next:
            self._next = now + EVERY_S
            if self._link is None:
                self._ask()
        return max(0.0, self._next - now)

    def _ask(self) -> None:
        self._reader = ReplyReader()
        try:
            self._link = fallback.connect_agent(self._place)
            if self._link is not None:
                self._link.setblocking(False)
                self._link.send(control.encode_admin(json.dumps(QUESTION).encode()))
        except OSError:
            self.close()

    def receive(self, now: float) -> None:
        """Read what came on the link."""
        try:
            data = self._link.recv(1 << 16)
            replies = self._reader.receive_data(data)
            if not data:
                self.close()
            for reply in replies:
                if reply.kind is ReplyKind.DONE:
                    self.close()
                    jobs = useful_jobs(json.loads(reply.stdout))
                    if jobs is not None:
                        self.jobs, self._answered = jobs, now
        except BlockingIOError:
            return
        except (OSError, ValueError, ProtocolError):
            self.close()

    def close(self) -> None:
        """Ask no more until the next tick."""
        if self._link is not None:
            self._link.close()
            self._link = None

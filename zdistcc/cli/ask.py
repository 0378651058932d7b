"""Asks the agent, starting it if need be, in the way the launcher does."""

from __future__ import annotations

import json
import os
from typing import Any

from zdistcc.errors import InfraError, UserError
from zdistcc.launcher import fallback
from zdistcc.wire import control
from zdistcc.wire.control import ReplyKind, ReplyReader


def _connect(*, start: bool) -> Any:
    """Return a connection to the agent; ``None`` when none runs and it was not to be started."""
    directory, place = fallback.find_places()
    if not fallback.is_private(directory):
        raise UserError(
            f"the runtime directory {os.fsdecode(directory)} is open to others: chmod 700 it, "
            "or set ZDISTCC_RUNTIME_DIR to a private one"
        )
    link = fallback.reach_agent(place) if start else fallback.connect_agent(place)
    if link is None and start:
        raise UserError(f"the agent does not start; {os.fsdecode(place)}.log says why: zdistcc log")
    return link


def _silent(error: Exception) -> UserError:
    return UserError(f"the agent does not answer ({error}): end it with zdistcc stop, the next compile starts another")


def ask(question: dict[str, Any], *, start: bool = True) -> dict[str, Any] | None:
    """Return the agent's answer; ``None`` when none runs and it was not to be started.

    :class:`UserError` when it cannot be started or does not answer.
    """
    try:
        link = _connect(start=start)
        if link is None:
            return None
        link.sendall(control.encode_admin(json.dumps(question).encode()))
        answer: dict[str, Any] = json.loads(_receive(link))
    except (OSError, InfraError, ValueError) as error:
        raise _silent(error) from error
    if "error" in answer:
        refusal = UserError(str(answer["error"]))
        refusal.code = answer.get("code", refusal.code)
        raise refusal
    return answer


def _receive(link: Any) -> bytes:
    reader = ReplyReader()
    while True:
        data = link.recv(1 << 16)
        if not data:
            raise InfraError("it closed the connection")
        for reply in reader.receive_data(data):
            if reply.kind is ReplyKind.DONE:
                return reply.stdout


class Snapshots:
    """Asks for one snapshot after the other without blocking; a ``ui.live.Source``.

    The agent is started for the first question only: who stops it while somebody looks on wants it stopped.
    """

    WAIT_S = 1.0
    """An unchanged picture is sent again after this time: round trips change without an event."""

    def __init__(self, peers: tuple[str, ...] = ()) -> None:
        self._peers = peers
        self._first = True
        self._link: Any = None
        self._reader = ReplyReader()

    def ask(self, after: dict[str, int]) -> None:
        """Ask for what comes after ``after``; :class:`UserError` when no agent runs."""
        question: dict[str, Any] = {"ask": "snapshot", "after": after, "wait": self.WAIT_S}
        if self._first:
            question["peers"] = self._peers
        try:
            self._link = _connect(start=self._first)
            if self._link is None:
                raise UserError("no agent is running; the next compile starts one")
            self._link.sendall(control.encode_admin(json.dumps(question).encode()))
        except OSError as error:
            raise _silent(error) from error
        self._first = False
        self._reader = ReplyReader()

    def fileno(self) -> int:
        """Return the descriptor of the question that is under way."""
        return int(self._link.fileno())

    def receive(self) -> dict[str, Any] | None:
        """Read what is there; return the answer once it is whole."""
        try:
            data = self._link.recv(1 << 20)
            replies = self._reader.receive_data(data)
            done = [reply for reply in replies if reply.kind is ReplyKind.DONE]
            if done:
                answer: dict[str, Any] = json.loads(done[0].stdout)
                self.close()
                if "error" in answer:
                    raise UserError(str(answer["error"]))
                return answer
        except (OSError, InfraError, ValueError) as error:
            self.close()
            raise _silent(error) from error
        if not data:
            self.close()
            raise UserError("the agent has left; the next compile starts another")
        return None

    def close(self) -> None:
        """Ask nothing more."""
        if self._link is not None:
            self._link.close()
            self._link = None

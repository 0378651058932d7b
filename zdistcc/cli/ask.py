"""Asks the agent, starting it if need be, in the way the launcher does."""

from __future__ import annotations

import json
import os
from typing import Any

from zdistcc.errors import InfraError, UserError
from zdistcc.launcher import fallback
from zdistcc.wire import control
from zdistcc.wire.control import ReplyKind, ReplyReader


def ask(question: dict[str, Any], *, start: bool = True) -> dict[str, Any] | None:
    """Return the agent's answer; ``None`` when none runs and it was not to be started.

    :class:`UserError` when it cannot be started or does not answer.
    """
    directory, place = fallback.find_places()
    try:
        if not fallback.is_private(directory):
            raise UserError(
                f"the runtime directory {os.fsdecode(directory)} is open to others: chmod 700 it, "
                "or set ZDISTCC_RUNTIME_DIR to a private one"
            )
        link = fallback.reach_agent(place) if start else fallback.connect_agent(place)
        if link is None:
            if not start:
                return None
            raise UserError(f"the agent does not start; {os.fsdecode(place)}.log says why")
        link.sendall(control.encode_admin(json.dumps(question).encode()))
        answer: dict[str, Any] = json.loads(_receive(link))
    except (OSError, InfraError, ValueError) as error:
        raise UserError(f"the agent does not answer ({error}); try zdistcc stop") from error
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

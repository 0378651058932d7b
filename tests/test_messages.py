"""Messages to the user have the shape: what happened, why, what to do."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import zdistcc

ROOT = Path(zdistcc.__file__).parent

VERBS = (
    *(
        "adapt",
        "call",
        "choose",
        "chmod",
        "compile",
        "correct",
        "end",
        "install",
        "lists",
        "name",
        "reinstall",
        "remove",
    ),
    *("says why", "see", "set", "shows", "start", "starts", "try", "update", "use", "write", "must be"),
)
"""What a user is told to do, or where it is said."""


def texts() -> list[tuple[str, str]]:
    """Where a UserError is raised, and its text; what is filled in is left out."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "UserError":
                parts = [part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
                found.append((f"{path.relative_to(ROOT)}:{node.lineno}", "…".join(map(str, parts))))
    return found


def remedy(text: str) -> str:
    """What follows the first colon or semicolon."""
    return re.split(r"[:;]", text, maxsplit=1)[1] if re.search("[:;]", text) else ""


def test_there_are_messages() -> None:
    assert len(texts()) > 25


@pytest.mark.parametrize(("place", "text"), [pytest.param(*row, id=row[0]) for row in texts()])
def test_a_message_says_what_to_do(place: str, text: str) -> None:
    if text == "error" or text.endswith("; "):
        return  # filled in: the agent's words, or what a key may be
    assert re.search(rf"\b({'|'.join(VERBS)})\b", remedy(text)), f"{place}: {text!r} does not say what to do"

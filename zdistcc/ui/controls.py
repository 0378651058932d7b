"""What keys do to what is shown: which hosts, in which order, which of them in full.  Pure.

``Keys`` makes names of keys from the bytes of a terminal, :func:`press` a new :class:`Controls` from a key.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

Host = Mapping[str, Any]

_USELESS_LAST: Final = (
    "busy", "ready", "draining", "resting", "connecting", "backoff", "incompatible", "quarantined", "unreachable",
    "refusing", "off", "lost", "left",
)  # fmt: skip


def _rank(host: Host) -> int:
    state = host.get("state")
    return _USELESS_LAST.index(state) if state in _USELESS_LAST else len(_USELESS_LAST)


def _name(host: Host) -> tuple[str, str]:
    return str(host.get("name", "")).lower(), str(host.get("id", ""))


SORTS: Final[Mapping[str, Callable[[Host], Any]]] = {
    "name": lambda host: 0,
    "state": _rank,
    "load": lambda host: -(host.get("running") or 0) / max(1, host.get("slots") or 0),
    "slots": lambda host: -(host.get("slots") or 0),
    "speed": lambda host: -(host.get("speed") or 0.0),
    "round trip": lambda host: host.get("round_trip_ms") or float("inf"),
    "jobs done": lambda host: -(host.get("jobs_done") or 0),
}
"""Orders of the hosts, those of equal rank by name."""
LONGEST_FILTER: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """What the user has chosen; ``selected`` is a host's key."""

    sort: str = "name"
    filter: str = ""
    typing: bool = False
    selected: str | None = None
    expanded: bool = False
    paused: bool = False
    help: bool = False


def key_of(host: Host) -> str:
    """Return what tells ``host`` from the others."""
    return str(host.get("id") or host.get("name"))


def listed(hosts: Sequence[Host], controls: Controls) -> list[Host]:
    """Return the hosts to be shown, in their order."""
    wanted = controls.filter.lower()
    shown = [host for host in hosts if not wanted or wanted in _words(host)]
    rank = SORTS[controls.sort]
    return sorted(shown, key=lambda host: (rank(host), _name(host)))


def _words(host: Host) -> str:
    compilers = (f"{each.get('family')} {each.get('version')} {each.get('target')}" for each in host["compilers"])
    where = (str(host.get("address") or ""), *map(str, host.get("addresses", ())))
    return " ".join((str(host.get("name")), str(host.get("state")), *where, *compilers)).lower()


# --- keys ------------------------------------------------------------------------------------------

_SEQUENCES: Final = {
    "[A": "up", "OA": "up", "[B": "down", "OB": "down", "[C": "right", "OC": "right", "[D": "left", "OD": "left",
    "[5~": "page up", "[6~": "page down", "[H": "home", "OH": "home", "[1~": "home", "[F": "end", "OF": "end",
    "[4~": "end",
}  # fmt: skip
_SINGLE: Final = {"\r": "enter", "\n": "enter", "\x7f": "rub out", "\x08": "rub out", "\x03": "q", "\x04": "q"}


class Keys:
    """Makes keys of bytes, in whatever pieces they come."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._sequence = ""

    @property
    def undecided(self) -> bool:
        """Whether an escape has come that may be a key of its own or the begin of another."""
        return bool(self._sequence)

    def feed(self, data: bytes) -> list[str]:
        """Return the keys that ``data`` completes; unknown sequences are none."""
        keys = []
        for letter in self._decoder.decode(data):
            if self._sequence:
                keys += self._continue(letter)
            elif letter == "\x1b":
                self._sequence = letter
            elif letter in _SINGLE:
                keys.append(_SINGLE[letter])
            elif letter.isprintable():
                keys.append(letter)
        return keys

    def _continue(self, letter: str) -> list[str]:
        if letter == "\x1b":
            return ["escape"]
        self._sequence += letter
        body = self._sequence[1:]
        if body[0] not in "[O":  # not the begin of a sequence: two keys, one quickly after the other
            self._sequence = ""
            return ["escape", *self.feed(letter.encode())]
        if body in ("[", "O") or (body[0] == "[" and not "\x40" <= letter <= "\x7e" and len(body) < 16):
            return []
        self._sequence = ""
        return [_SEQUENCES[body]] if body in _SEQUENCES else []

    def flush(self) -> list[str]:
        """Nothing more has come for a moment: an escape that was undecided is one."""
        alone, self._sequence = self._sequence == "\x1b", ""
        return ["escape"] if alone else []


def press(controls: Controls, key: str, hosts: Sequence[Host], page: int = 10) -> Controls | None:
    """Return what is chosen after ``key``; ``None``: leave.  ``hosts`` are all there are."""
    if controls.typing:
        return _type(controls, key)
    if controls.help:
        return None if key == "q" else replace(controls, help=False)
    match key:
        case "q":
            return None
        case "?" | "h":
            return replace(controls, help=True)
        case "s":
            names = list(SORTS)
            return replace(controls, sort=names[(names.index(controls.sort) + 1) % len(names)])
        case "/":
            return replace(controls, typing=True, expanded=False)
        case "p" | " ":
            return replace(controls, paused=not controls.paused)
        case "enter" | "e":
            shown = listed(hosts, controls)
            return _select(replace(controls, expanded=not controls.expanded and bool(shown)), shown, 0)
        case "escape" if controls.expanded:
            return replace(controls, expanded=False)
        case "escape":
            return replace(controls, filter="", selected=None)
        case _:
            steps = {"up": -1, "down": 1, "k": -1, "j": 1, "page up": -page, "page down": page}
            steps |= {"home": -len(hosts), "end": len(hosts)}
            return _select(controls, listed(hosts, controls), steps[key]) if key in steps else controls


def _type(controls: Controls, key: str) -> Controls:
    match key:
        case "enter":
            return replace(controls, typing=False)
        case "escape":
            return replace(controls, typing=False, filter="")
        case "rub out":
            return replace(controls, filter=controls.filter[:-1])
        case _ if len(key) == 1 and len(controls.filter) < LONGEST_FILTER:
            return replace(controls, filter=controls.filter + key)
        case _:
            return controls


def _select(controls: Controls, shown: Sequence[Host], step: int) -> Controls:
    if not shown:
        return replace(controls, selected=None)
    keys = [key_of(host) for host in shown]
    if controls.selected not in keys:
        return replace(controls, selected=keys[-1 if step >= len(keys) > 1 else 0])
    there = max(0, min(len(keys) - 1, keys.index(controls.selected) + step))
    return replace(controls, selected=keys[there])

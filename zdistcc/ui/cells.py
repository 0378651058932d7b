"""Words, bars and numbers in terminal cells, and lines that are made of them.  Pure.

Everything that others said (names, paths, causes) goes through :func:`clean` before it becomes part of a line: what is
left of it neither acts on a terminal nor takes another place than is counted for it.  Nothing is read as markup.

Must not know: what is shown.  Rejected: rich's tables and texts, which are measured and wrapped anew for each frame and
took ten times the time that a hundred hosts may take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

Line = tuple[Segment, ...]

PLAIN: Final = Style()
BOLD: Final = Style(bold=True)
DIM: Final = Style(dim=True)
GOOD: Final = Style(color="green")
WARM: Final = Style(color="yellow")
BAD: Final = Style(color="red")
COOL: Final = Style(color="cyan")
PALE: Final = Style(color="magenta")
TITLE: Final = Style(bold=True, color="cyan")
MARK: Final = Style(reverse=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """The characters that pictures are made of."""

    ours: str
    others: str
    free: str
    sparks: str
    more: str
    rule: str
    fits: str
    misfits: str
    dot: str
    times: str
    dash: str


UNICODE: Final = Glyphs(
    ours="█", others="▒", free="·", sparks=" ▁▂▃▄▅▆▇█", more="…", rule="─", fits="✓", misfits="✗",
    dot=" · ", times="×", dash="–",  # noqa: RUF001
)  # fmt: skip
ASCII: Final = Glyphs(
    ours="#", others="o", free=".", sparks=" .:-=+*#@", more="~", rule="-", fits="+", misfits="x",
    dot=", ", times="x", dash="-",
)  # fmt: skip


@lru_cache(maxsize=8192)
def clean(word: str, unicode: bool = True) -> str:
    """Return ``word`` without what is not printable, takes no cell of its own, or (``unicode`` false) is not ASCII."""
    if word.isascii() and word.isprintable():
        return word
    shown = (letter if letter.isprintable() and (unicode or letter.isascii()) else "?" for letter in word)
    return "".join(letter for letter in shown if cell_len(letter))


@lru_cache(maxsize=8192)
def fit(word: str, width: int, more: str = "…") -> str:
    """Return ``word`` in exactly ``width`` cells, its end cut off or filled up."""
    cells = len(word) if word.isascii() else cell_len(word)
    if cells <= width:
        return word + " " * (width - cells)
    if width <= 0:
        return ""
    kept, used = [], 0
    for letter in word:
        size = cell_len(letter)
        if used + size > width - 1:
            break
        kept.append(letter)
        used += size
    return "".join(kept) + more + " " * (width - 1 - used)


def fit_right(word: str, width: int, more: str = "…") -> str:
    """Return ``word`` in exactly ``width`` cells, at their right end."""
    cells = cell_len(word)
    return " " * (width - cells) + word if cells <= width else fit(word, width, more)


def fit_path(word: str, width: int, more: str = "…") -> str:
    """Return ``word`` in at most ``width`` cells; of one that is too long, the end, which tells most of a file."""
    if cell_len(word) <= width:
        return word
    kept, used = [], 0
    for letter in reversed(word):
        used += cell_len(letter)
        if used > width - 1:
            break
        kept.append(letter)
    return more + "".join(reversed(kept)) if width > 0 else ""


class Row:
    """A line in the making: pieces up to ``width`` cells; what does not fit is cut off."""

    __slots__ = ("_glyphs", "_pieces", "_room", "_width")

    def __init__(self, width: int, glyphs: Glyphs) -> None:
        self._width = self._room = width
        self._glyphs = glyphs
        self._pieces: list[Segment] = []

    @property
    def room(self) -> int:
        """How many cells are left."""
        return self._room

    def add(self, word: str, style: Style = PLAIN) -> Row:
        """Append a clean ``word``."""
        cells = len(word) if word.isascii() else cell_len(word)
        if cells > self._room:
            word, cells = fit(word, self._room, self._glyphs.more), self._room
        if cells:
            self._pieces.append(Segment(word, style))
            self._room -= cells
        return self

    def said(self, word: object, style: Style = PLAIN) -> Row:
        """Append what somebody else said."""
        return self.add(clean(str(word), self._glyphs is UNICODE), style)

    def skip(self, cells: int) -> Row:
        """Append nothing."""
        return self.add(" " * min(cells, self._room))

    def to(self, cell: int) -> Row:
        """Go on at ``cell``, counted from 0."""
        return self.skip(max(0, cell - (self._width - self._room)))

    def line(self, style: Style | None = None) -> Line:
        """Return the line, filled up to its width; ``style`` lies over all of it."""
        if self._room:
            self._pieces.append(Segment(" " * self._room, PLAIN))
        if style is None:
            return tuple(self._pieces)
        return tuple(Segment(piece.text, (piece.style or PLAIN) + style) for piece in self._pieces)


def bar(slots: int, ours: int, others: int, width: int, glyphs: Glyphs) -> list[tuple[str, Style]]:
    """Return a picture of ``slots`` in ``width`` cells: ours, others' and free ones.

    One cell a slot if there is room for all; else in proportion, and what is there at all has a cell.
    """
    scale = min(1.0, width / slots) if slots else 0.0
    cells = min(width, slots)
    mine = min(cells, math.ceil(ours * scale))
    theirs = min(cells - mine, math.ceil(others * scale))
    free = cells - mine - theirs
    parts = [(glyphs.ours * mine, GOOD), (glyphs.others * theirs, WARM), (glyphs.free * free, DIM)]
    return [*((text, style) for text, style in parts if text), (" " * (width - cells), PLAIN)]


def spark(values: Sequence[float], width: int, glyphs: Glyphs) -> str:
    """Return a line of ``width`` cells whose heights are the newest of ``values``, compared with the highest."""
    shown = list(values)[-width:]
    top = max(shown, default=0.0)
    steps = len(glyphs.sparks) - 1
    heights = (math.ceil(value / top * steps) if top > 0 and value > 0 else 0 for value in shown)
    return "".join(glyphs.sparks[height] for height in heights).rjust(width)


def span(seconds: float) -> str:
    """Return a duration in as few characters as are useful."""
    if seconds < 60:
        return f"{int(seconds)}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def trip(milliseconds: float | None, glyphs: Glyphs) -> str:
    """Return a round trip."""
    if milliseconds is None:
        return glyphs.dash
    return f"{milliseconds:.1f}ms" if milliseconds < 10 else f"{min(milliseconds, 9999):.0f}ms"


def size(count: float) -> str:
    """Return a number of bytes with a unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.1f} {unit}" if unit != "B" and count < 100 else f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"

"""Makes the kept screenshots and README's picture anew: `python -m tests.ui.renew`; then look at what `git diff` shows.

Rejected: rich's own export to SVG, whose text depends on rich's version and which fetches a font from the network.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Final

from rich.cells import cell_len
from rich.style import Style

from tests.ui import pictures
from zdistcc.ui.controls import Controls
from zdistcc.ui.view import Frame, Screen, draw

SCREENS = Path(__file__).parent / "screens"
PICTURE = Path(__file__).parents[2] / "man/status.svg"
LAPTOP = f"{13:016x}"
SIZES = {"80x24": (80, 24), "60x15": (60, 15), "240x80": (240, 80)}
STATES: Final = {
    "empty": (pictures.empty, Controls()),
    "ready": (pictures.ready, Controls()),
    "building": (pictures.building, Controls()),
    "trouble": (pictures.trouble, Controls(sort="state", selected=f"{12:016x}")),
    "one-host": (pictures.building, Controls(selected=LAPTOP, expanded=True)),
    "help": (pictures.ready, Controls(help=True)),
}


def screen(state: str, width: int, height: int, *, unicode: bool = True) -> Screen:
    make, controls = STATES[state]
    frame = Frame(width=width, height=height, unicode=unicode)
    return draw(pictures.feed_of(make()), controls, frame)


def text_of(shown: Screen) -> str:
    """A screen as text; a bar at each line's end shows that it has its width."""
    return "".join("".join(piece.text for piece in line) + "|\n" for line in shown.lines)


# --- the picture -----------------------------------------------------------------------------------

CELL: Final = 8.4
LINE: Final = 18
EDGE: Final = 14
COLOURS: Final = {"green": "#8bd649", "yellow": "#e8c547", "red": "#ff6b6b", "cyan": "#5fc9d8", "magenta": "#c792ea"}
PAPER, INK, FAINT = "#16181d", "#d8dee9", "#7b8494"


def _fill(style: Style | None) -> str:
    if style is None:
        return INK
    if style.color is not None:
        return COLOURS[style.color.name]
    return FAINT if style.dim else INK


def svg_of(shown: Screen) -> str:
    """A screen as a picture: each piece of text at its place and in its width, whatever font there is."""
    width, height = shown.width * CELL + 2 * EDGE, len(shown.lines) * LINE + 2 * EDGE
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}">',
        "<title>zdistcc status during a build</title>",
        "<style>text{font:14px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;white-space:pre}</style>",
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
    ]
    for number, line in enumerate(shown.lines):
        cell = 0
        top = EDGE + number * LINE
        for piece in line:
            cells = cell_len(piece.text)
            x, style = EDGE + cell * CELL, piece.style
            cell += cells
            if style is not None and style.reverse:
                out.append(f'<rect x="{x:.1f}" y="{top}" width="{cells * CELL:.1f}" height="{LINE}" fill="{FAINT}"/>')
            body = piece.text.strip(" ")
            if not body:
                continue
            x += (len(piece.text) - len(piece.text.lstrip(" "))) * CELL
            weight = ' font-weight="bold"' if style is not None and style.bold else ""
            fill = PAPER if style is not None and style.reverse else _fill(style)
            out.append(
                f'<text x="{x:.1f}" y="{top + 13.5}" fill="{fill}"{weight} xml:space="preserve"'
                f' textLength="{cell_len(body) * CELL:.1f}">{html.escape(body)}</text>'
            )
    return "\n".join([*out, "</svg>", ""])


def picture() -> str:
    feed = pictures.feed_of(pictures.showcase())
    return svg_of(draw(feed, Controls(sort="state"), Frame(width=100, height=29)))


def main() -> None:
    SCREENS.mkdir(exist_ok=True)
    for state in STATES:
        for name, (width, height) in SIZES.items():
            (SCREENS / f"{state}-{name}.txt").write_text(text_of(screen(state, width, height)))
    PICTURE.write_text(picture())


if __name__ == "__main__":
    main()

"""The terminal of ``status``: shows screens, reads keys, and gives the terminal back as it was, whatever ends it.

Lines that differ from those that are shown are written over them, at most ``FRAMES_A_SECOND`` times a second and all in
one write: nothing is ever cleared but by a change of size, so nothing flickers, and little is sent over ssh.  Lines
never wrap, even where a terminal takes a character for wider than it was counted.

Signals are read from a pipe like keys, never raised in the middle of something.  Must not know: the agent's socket (a
:class:`Source` asks it), what is shown (``view``), what keys mean (``controls``).

Rejected: rich's Live, which clears and writes everything anew for each frame; curses, which asks the terminal's
database and knows no style but its own.
"""

from __future__ import annotations

import copy
import fcntl
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final, Protocol

from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style

from zdistcc.errors import UserError
from zdistcc.ui.cells import PLAIN, Line
from zdistcc.ui.controls import Controls, Keys, press
from zdistcc.ui.feed import Feed, Picture
from zdistcc.ui.view import Frame, Screen, draw

FRAMES_A_SECOND: Final = 4
CLOCK_S: Final = 1.0
"""How often ages and the clock are brought up to date while nothing happens."""
ASK_AGAIN_S: Final = 0.5
"""How long after the agent left it is looked for."""
SILENCE_S: Final = 3.0
"""After what time without an answer the picture is said to be old; an agent answers within one second."""
ESCAPE_S: Final = 0.05
"""How long the rest of a key may take after its escape character."""
READ_BYTES: Final = 4096
_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
_LEAVE: Final = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Source(Protocol):
    """Where snapshots come from."""

    def ask(self, after: dict[str, int]) -> None:
        """Ask for the next snapshot; :class:`UserError` when nobody is there to be asked."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when an answer comes."""

    def receive(self) -> Picture | None:
        """Read; return the answer once it is whole.  :class:`UserError` when it will not come."""


def is_terminal() -> bool:
    """Return whether pictures can be shown and keys be read."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


def _has_unicode() -> bool:
    return "utf" in (sys.stdout.encoding or "").lower()


def _zone_s(moment: float) -> int:
    return time.localtime(moment).tm_gmtoff


def print_once(picture: Picture, *, colour: bool) -> None:
    """Print ``picture`` as it is, as high as it takes."""
    console = Console(highlight=False, no_color=None if colour else True)
    width = console.width if console.is_terminal else 160
    feed = Feed()
    feed.take(picture)
    screen = draw(feed, Controls(), Frame(width=width, unicode=_has_unicode(), zone_s=_zone_s(picture["time"])))
    lines = [line[:-1] if line and not line[-1].text.strip() else line for line in screen.lines]
    Console(highlight=False, no_color=None if colour else True, width=width).print(
        Screen(lines=tuple(lines), width=width), end=""
    )


# --- the terminal ----------------------------------------------------------------------------------


class Canvas:
    """The lines that a terminal shows; only what differs is written."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour
        self._shown: tuple[Line, ...] = ()
        self._codes: dict[Style | None, tuple[str, str]] = {}

    def forget(self) -> None:
        """Something else has written there."""
        self._shown = ()

    def changes(self, screen: Screen) -> str:
        """Return what turns the lines that are shown into ``screen``."""
        shown, self._shown = self._shown, screen.lines
        parts = []
        if len(shown) != len(screen.lines):
            shown = ()
            parts.append("\x1b[2J")
        for number, line in enumerate(screen.lines):
            if not shown or shown[number] != line:
                parts.append(f"\x1b[{number + 1};1H{self._text(line)}")
        return "".join(parts)

    def _text(self, line: Line) -> str:
        last = line[-1] if line else Segment("")
        filler = not last.text.strip() and last.style == PLAIN
        codes, parts = self._codes, []
        for text, style, _ in line[:-1] if filler else line:
            before, after = codes.get(style) or self._code(style)
            parts.append(f"{before}{text}{after}")
        return "".join(parts) + "\x1b[K" if filler else "".join(parts)

    def _code(self, style: Style | None) -> tuple[str, str]:
        """Return what stands before and after a text of ``style``."""
        shown = (style or PLAIN) if self._colour else (style or PLAIN).without_color
        before, _, after = shown.render("\0", color_system=ColorSystem.STANDARD).partition("\0")
        self._codes[style] = before, after
        return before, after


class Terminal:
    """Standard input and output in the state that pictures and single keys need, between ``enter`` and ``leave``."""

    def __init__(self) -> None:
        self.keys = sys.stdin.fileno()
        self._out = sys.stdout.fileno()
        self._before: list[Any] | None = None

    def enter(self) -> None:
        """Switch to the alternate screen; keys come one by one."""
        self._before = termios.tcgetattr(self.keys)
        tty.setcbreak(self.keys, termios.TCSADRAIN)
        self.write(_ENTER)

    def leave(self) -> None:
        """Give everything back."""
        if self._before is not None:
            with suppress(OSError):  # it may be gone
                self.write(_LEAVE)
            with suppress(OSError, termios.error):
                termios.tcsetattr(self.keys, termios.TCSAFLUSH, self._before)
            self._before = None

    def write(self, text: str) -> None:
        """Write all of ``text``; a terminal that is slow is waited for."""
        data = text.encode("utf-8", "replace")
        while data:
            try:
                data = data[os.write(self._out, data) :]
            except BlockingIOError:
                select.select([], [self._out], [])

    def size(self) -> tuple[int, int]:
        """Return columns and lines."""
        try:
            columns, lines = os.get_terminal_size(self._out)
        except OSError:
            columns = lines = 0
        return columns or 80, lines or 24


def _heard(number: int, frame: FrameType | None) -> None:
    """The signal is in the pipe."""


@contextmanager
def _signals() -> Iterator[int]:
    """Yield a descriptor from which the numbers of signals are read while the body runs."""
    receiving, sending = os.pipe()
    for descriptor in (receiving, sending):
        fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_NONBLOCK)
    before_fd = signal.set_wakeup_fd(sending, warn_on_full_buffer=False)
    before = {number: signal.signal(number, _heard) for number in (*_ENDING, signal.SIGWINCH, signal.SIGTSTP)}
    try:
        yield receiving
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before_fd)
        os.close(receiving)
        os.close(sending)


# --- the loop --------------------------------------------------------------------------------------


def run(source: Source, *, colour: bool) -> None:
    """Show what ``source`` answers until the user leaves."""
    terminal = Terminal()
    ended_by = 0
    with _signals() as signals:
        try:
            terminal.enter()
            ended_by = _Show(source, terminal, signals, colour=colour).loop()
        finally:
            terminal.leave()
    if ended_by not in (0, signal.SIGINT):
        signal.signal(ended_by, signal.SIG_DFL)
        os.kill(os.getpid(), ended_by)


class _Show:
    """One run of the loop: what is known, what is chosen, and when what is due (in seconds of the monotonic clock)."""

    def __init__(self, source: Source, terminal: Terminal, signals: int, *, colour: bool) -> None:
        self._source, self._terminal, self._signals = source, terminal, signals
        self._canvas = Canvas(colour=colour and "NO_COLOR" not in os.environ)
        self._unicode = _has_unicode()
        self._feed, self._held = Feed(), Feed()
        self._controls = Controls()
        self._keys = Keys()
        self._asked = False
        self._asked_at = self._ask_at = self._draw_at = self._taken_at = self._held_at = time.monotonic()
        self._drawn_at = 0.0
        self._dirty = True
        self._ended_by: int | None = None

    def loop(self) -> int:
        """Return the signal that ended it, 0 if the user left."""
        while self._ended_by is None:
            now = time.monotonic()
            if not self._asked and now >= self._ask_at:
                self._ask(now)
            if (self._dirty and now >= self._draw_at) or now >= self._drawn_at + CLOCK_S:
                self._draw(now)
            self._wait(time.monotonic())
        return self._ended_by

    def _ask(self, now: float) -> None:
        try:
            self._source.ask(self._feed.after)
            self._asked, self._asked_at = True, now
        except UserError as error:
            self._miss(error, now)

    def _miss(self, error: UserError, now: float) -> None:
        self._dirty = self._dirty or self._feed.trouble != str(error)
        self._feed.lost(str(error))
        self._asked, self._ask_at = False, now + ASK_AGAIN_S

    def _draw(self, now: float) -> None:
        if self._asked and now > self._asked_at + SILENCE_S:
            self._feed.lost(f"the agent has not answered for {int(now - self._asked_at)} s")
        width, height = self._terminal.size()
        paused = self._controls.paused
        feed = self._held if paused else self._feed
        age = (self._held_at if paused else now) - self._taken_at if feed.picture is not None else 0.0
        zone = _zone_s(time.time())
        frame = Frame(width=width, height=height, unicode=self._unicode, age_s=max(0.0, age), zone_s=zone)
        changes = self._canvas.changes(draw(feed, self._controls, frame))
        if changes:
            self._terminal.write(changes)
        self._dirty, self._drawn_at = False, now
        self._draw_at = now + 1 / FRAMES_A_SECOND

    def _wait(self, now: float) -> None:
        due = [self._drawn_at + CLOCK_S]
        if self._dirty:
            due.append(self._draw_at)
        if not self._asked:
            due.append(self._ask_at)
        if self._keys.undecided:
            due.append(now + ESCAPE_S)
        watched: list[Any] = [self._terminal.keys, self._signals]
        if self._asked:
            watched.append(self._source)
        ready = select.select(watched, [], [], max(0.0, min(due) - now))[0]
        if self._signals in ready:
            for number in os.read(self._signals, READ_BYTES):
                self._signalled(number)
        if self._source in ready:
            self._receive()
        if self._terminal.keys in ready:
            self._read_keys()
        elif self._keys.undecided and not ready:
            self._press(self._keys.flush())

    def _receive(self) -> None:
        now = time.monotonic()
        try:
            picture = self._source.receive()
        except UserError as error:
            self._miss(error, now)
            return
        if picture is not None:
            self._feed.take(picture)
            if not self._controls.paused:
                self._taken_at = now
            # What changes in between comes with the next answer, at once.
            self._asked, self._ask_at = False, now + 1 / FRAMES_A_SECOND
            self._dirty = True

    def _read_keys(self) -> None:
        try:
            data = os.read(self._terminal.keys, READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._ended_by = 0
            return
        self._press(self._keys.feed(data))

    def _press(self, keys: list[str]) -> None:
        for key in keys:
            picture = (self._held if self._controls.paused else self._feed).picture or {}
            pressed = press(self._controls, key, picture.get("hosts", ()))
            if pressed is None:
                self._ended_by = 0
                return
            if pressed.paused and not self._controls.paused:
                self._held, self._held_at = copy.deepcopy(self._feed), time.monotonic()
            elif self._controls.paused and not pressed.paused:
                self._taken_at = time.monotonic()
            self._controls = pressed
            # A key is answered at once.
            self._dirty, self._draw_at = True, 0.0

    def _signalled(self, number: int) -> None:
        if number == signal.SIGWINCH:
            self._canvas.forget()
            self._dirty, self._draw_at = True, 0.0
        elif number == signal.SIGTSTP:
            self._stand_still()
        elif number in _ENDING:
            self._ended_by = number

    def _stand_still(self) -> None:
        """Control-Z: the shell gets its terminal back; after ``fg`` everything is drawn anew."""
        self._terminal.leave()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        self._terminal.enter()
        self._canvas.forget()
        self._dirty, self._draw_at = True, 0.0

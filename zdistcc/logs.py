"""Logs of the programs that stay: structured as ``key=value``, to standard error or to the journal.

A service manager's journal has its own clock and levels: there a line begins with its priority as ``sd-daemon(3)``
says, and without the time.  On a terminal a live line may stand below the log; it is taken away while a
record is written.  Must not know: who logs what.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Final, TextIO

_PRIORITIES: Final = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))
_WHOLE: Final = "%(asctime)s %(levelname)s %(message)s"
_TIME: Final = "%Y-%m-%dT%H:%M:%S"
_CLEAR: Final = "\r\x1b[K"


class _ForTheJournal(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        priority = next(number for level, number in _PRIORITIES if record.levelno >= level)
        lines = super().format(record).split("\n")
        return "\n".join(f"<{priority}>{line}" for line in lines)


class LiveLine(logging.StreamHandler[TextIO]):
    """A log handler for a terminal with one line below the log that is drawn anew whenever it changes."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._shown = ""

    def show(self, text: str) -> None:
        """Put ``text`` there, cut to the terminal's width."""
        text = text[: max(10, _width(self.stream) - 1)]
        if text != self._shown:
            self._shown = text
            self._write(_CLEAR + text)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record above the line."""
        if self._shown:
            self._write(_CLEAR)
        super().emit(record)
        if self._shown:
            self._write(self._shown)

    def close(self) -> None:
        """Take the line away."""
        if self._shown:
            self._shown = ""
            self._write(_CLEAR)
        super().close()

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):
            self._shown = ""  # the terminal is gone: nobody to show anything to


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def to_journal(stream: TextIO, env: Mapping[str, str]) -> bool:
    """Return whether ``stream`` leads to the journal, as ``systemd.exec(5)`` lets a program find out."""
    try:
        seen = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return env.get("JOURNAL_STREAM") == f"{seen.st_dev}:{seen.st_ino}"


def begin(level: str, env: Mapping[str, str]) -> LiveLine | None:
    """Send the log to standard error; return the live line where that is a terminal that can show one."""
    stream = sys.stderr
    live = LiveLine(stream) if stream.isatty() and env.get("TERM", "dumb") != "dumb" else None
    handler = live or logging.StreamHandler(stream)
    handler.setFormatter(_ForTheJournal("%(message)s") if to_journal(stream, env) else logging.Formatter(_WHOLE, _TIME))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    return live

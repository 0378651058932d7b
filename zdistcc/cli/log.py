"""``zdistcc log``: the agent's log, as it is written.

The file is looked at again and again, by its name: an agent that starts may write a new one, or empty the one that is
there.  Rejected: inotify (not on macOS, and a quarter of a second is soon enough), ``tail -F`` (the log names hosts and
files of others, which must not write to the terminal).
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from zdistcc import paths
from zdistcc.errors import UserError

EVERY_S: Final = 0.25


def command(
    lines: Annotated[
        int, typer.Option("--lines", "-n", metavar="N", min=0, help="How many lines that are there to show first.")
    ] = 20,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Go on with what is written from now on.")
    ] = True,
) -> None:
    """Show the agent's log, and what is added to it.

    The worker's log is where zdistccd writes it: on its terminal, or in the journal (journalctl -u zdistccd).
    """
    place = paths.log_path(os.environ)
    reader = Follower(place)
    try:
        _show(b"".join(reader.last(lines)))
        while follow:
            time.sleep(EVERY_S)
            _show(reader.news())
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class Follower:
    """A log file by its name, and how far it was read; :class:`UserError` if there is none at the beginning."""

    def __init__(self, place: Path) -> None:
        self._place = place
        try:
            self._file: BinaryIO = place.open("rb")
        except FileNotFoundError:
            raise UserError(
                f"there is no log at {place}: no agent was started here yet; zdistcc hosts or the next compile "
                "starts one"
            ) from None
        except OSError as error:
            raise UserError(f"{place} cannot be read: {error.strerror}; the directory must be your own") from error

    def last(self, lines: int) -> list[bytes]:
        """Return the last lines of what is there, and stand at its end."""
        return list(deque(self._file, maxlen=lines))

    def news(self) -> bytes:
        """Return what was written since: the rest of the old file and all of a new one, if there is one."""
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)  # emptied
        data = self._file.read()
        try:
            fresh = self._place.open("rb")
        except OSError:  # gone; there will be another one when an agent starts
            return data
        if os.path.sameopenfile(fresh.fileno(), self._file.fileno()):
            fresh.close()
            return data
        self._file.close()
        self._file = fresh
        return data + fresh.read()

    def close(self) -> None:
        """Read no more."""
        self._file.close()


def _show(data: bytes) -> None:
    if data:
        sys.stdout.write(shown(data.decode("utf-8", "replace")))
        sys.stdout.flush()


def shown(text: str) -> str:
    """Return a text without characters that a terminal obeys."""
    return "".join(character if character in "\n\t" or character.isprintable() else "�" for character in text)

"""A program for a terminal test: `status` with snapshots that are made here. `python -m tests.ui.show WHAT`."""

from __future__ import annotations

import os
import sys
from typing import Any

from tests.ui import pictures
from zdistcc.errors import UserError
from zdistcc.ui import live


class Made:
    """Answers at once: as fast as it is asked, the picture has changed."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._number = 0
        self._receiving, self._sending = os.pipe()

    def ask(self, after: dict[str, int]) -> None:
        if self._what == "gone" and self._number:
            raise UserError("nobody is there")
        if not (self._what == "silent" and self._number):
            os.write(self._sending, b"x")

    def fileno(self) -> int:
        return self._receiving

    def receive(self) -> dict[str, Any]:
        os.read(self._receiving, 1)
        self._number += 1
        if self._what == "bug" and self._number == 2:
            raise RuntimeError("a bug")
        shown = pictures.building()
        return {**shown, "finished": shown["finished"] + self._number, "time": pictures.NOW + self._number / 4}


if __name__ == "__main__":
    live.run(Made(sys.argv[1]), colour="--no-color" not in sys.argv)

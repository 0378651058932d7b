"""The terminal: what is written to it, how it is given back, and that nothing flickers."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.lan.waiting import wait_until
from tests.ui.renew import screen
from zdistcc.ui import live
from zdistcc.ui.live import Canvas

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 20
CLEAR = b"\x1b[2J"
PLACE = re.compile(rb"\x1b\[(\d+);1H")
COLOUR = re.compile(rb"\x1b\[[0-9;]*(?:3|9)[0-7]m")


class Screen:
    """A terminal of 80x24 in which a program runs."""

    def __init__(self, *words: str, **env: str) -> None:
        self._ours, self._theirs = pty.openpty()
        termios.tcsetwinsize(self._theirs, (24, 80))
        self.before = termios.tcgetattr(self._theirs)
        self.said = b""
        base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        self.program = subprocess.Popen(
            [sys.executable, "-m", "tests.ui.show", *words],
            stdin=self._theirs, stdout=self._theirs, stderr=subprocess.PIPE, env={**base, **env}, start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.program.kill()
        self.program.wait()
        assert self.program.stderr is not None
        self.program.stderr.close()
        os.close(self._ours)
        os.close(self._theirs)

    def read(self) -> bytes:
        while select.select([self._ours], [], [], 0)[0]:
            self.said += os.read(self._ours, 1 << 16)
        return self.said

    def wait_for(self, seen: Callable[[bytes], object], what: str) -> None:
        wait_until(lambda: seen(self.read()), TIMEOUT_S, f"{what}: {self.said[-300:]!r}")

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def resize(self, columns: int, lines: int) -> None:
        termios.tcsetwinsize(self._theirs, (lines, columns))
        self.program.send_signal(signal.SIGWINCH)

    def end(self) -> int:
        wait_until(lambda: self.read() is not None and self.program.poll() is not None, TIMEOUT_S, "the program ends")
        self.read()
        return self.program.returncode

    def given_back(self) -> None:
        assert self.said.endswith(b"\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"), self.said[-100:]
        assert termios.tcgetattr(self._theirs) == self.before


def frames(said: bytes) -> int:
    """How often the first line, which shows the time, was written."""
    return len([row for row in PLACE.findall(said) if row == b"1"])


def drawn(said: bytes) -> bool:
    return b"parser.cc" in said


@pytest.mark.parametrize("ending", [b"q", b"\x03", b"\x04", b"?q"])
def test_leaving_gives_the_terminal_back(ending: bytes) -> None:
    with Screen("steady") as terminal:
        terminal.wait_for(drawn, "a picture")
        assert terminal.said.startswith(b"\x1b[?1049h\x1b[?25l\x1b[?7l")
        terminal.type(ending)
        if ending == b"\x03":  # the terminal is of no session here, so it does not make the signal
            terminal.program.send_signal(signal.SIGINT)
        assert terminal.end() == 0
        terminal.given_back()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_gives_the_terminal_back_and_ends_it_as_it_would(number: signal.Signals) -> None:
    with Screen("steady") as terminal:
        terminal.wait_for(drawn, "a picture")
        terminal.program.send_signal(number)
        assert terminal.end() == -number
        terminal.given_back()


def test_a_bug_gives_the_terminal_back_before_it_is_shown() -> None:
    with Screen("bug") as terminal:
        assert terminal.end() == 1
        terminal.given_back()
        assert terminal.program.stderr is not None
        assert b"RuntimeError: a bug" in terminal.program.stderr.read()


def test_standing_still_gives_the_terminal_back_for_the_time() -> None:
    with Screen("steady") as terminal:
        terminal.wait_for(drawn, "a picture")
        terminal.program.send_signal(signal.SIGTSTP)
        # In a session of its own nothing can wake it but us, so the kernel lets it run on: there and back at once.
        terminal.wait_for(lambda said: said.count(b"\x1b[?1049h") == 2, "it is there again")
        assert b"\x1b[?1049l\x1b[?1049h" in terminal.said
        terminal.type(b"q")
        assert terminal.end() == 0
        terminal.given_back()


def test_nothing_is_cleared_and_only_what_differs_is_written_four_times_a_second() -> None:
    with Screen("steady") as terminal:
        terminal.wait_for(drawn, "a picture")
        begun, before = time.monotonic(), frames(terminal.said)
        cleared, start = terminal.said.count(CLEAR), len(terminal.said)
        terminal.wait_for(lambda said: frames(said) >= before + 6, "six seconds of the clock or changes")
        took = time.monotonic() - begun
        later = terminal.said[start:]
        assert terminal.said.count(CLEAR) == cleared == 2, "at the beginning only"
        written = len(PLACE.findall(later))
        changes = later.count(b"done in")
        assert changes <= took * live.FRAMES_A_SECOND + 2
        assert written < 24 * (frames(terminal.said) - before) * 0.75, "most lines stay"
        assert b"\x1b[J" not in later and b"\x1b[H" not in later


def test_a_change_of_size_is_followed() -> None:
    with Screen("steady") as terminal:
        terminal.wait_for(drawn, "a picture")
        for columns, lines in ((60, 15), (240, 80), (80, 24)):
            cleared = terminal.said.count(CLEAR)
            terminal.resize(columns, lines)

            def filled(said: bytes, before: int = cleared, last: int = lines) -> bool:
                return said.count(CLEAR) > before and b"\x1b[%d;1H" % last in said[said.rindex(CLEAR) :]

            terminal.wait_for(filled, f"{lines} lines")
            assert terminal.said.count(CLEAR) == cleared + 1
            rows = {int(row) for row in PLACE.findall(terminal.said[terminal.said.rindex(CLEAR) :])}
            assert rows == set(range(1, lines + 1))


def test_keys_are_answered_at_once() -> None:
    with Screen("steady") as terminal:
        terminal.wait_for(drawn, "a picture")
        for keys, answer in ((b"?", b"Keys"), (b" ", b"raytrace"), (b"s", b"sort: state"), (b"/zzz", b"No host is like"),
                             (b"\x1b", b"laptop"), (b"p", b"paused")):  # fmt: skip
            start, begun = len(terminal.said), time.monotonic()
            terminal.type(keys)
            terminal.wait_for(lambda said, at=start, text=answer: text in said[at:], f"{keys!r} is answered")  # type: ignore[misc]
            print(f"{keys!r}: {time.monotonic() - begun:.3f} s")


def test_what_is_held_does_not_move() -> None:
    with Screen("steady") as terminal:
        terminal.wait_for(drawn, "a picture")
        terminal.type(b"p")
        terminal.wait_for(lambda said: b"paused" in said, "it is held")
        start = len(terminal.said)
        with pytest.raises(AssertionError):
            wait_until(lambda: PLACE.search(terminal.read(), start), 1.5, "something is written")
        terminal.type(b"p")
        terminal.wait_for(lambda said: frames(said[start:]) > 0, "it goes on")


def test_an_agent_that_is_gone_is_told_and_looked_for() -> None:
    with Screen("gone") as terminal:
        terminal.wait_for(lambda said: drawn(said) and b"nobody is there" in said, "the trouble over the last picture")
        terminal.type(b"q")
        assert terminal.end() == 0


def test_an_agent_that_does_not_answer_is_told() -> None:
    with Screen("silent") as terminal:
        terminal.wait_for(lambda said: drawn(said) and b"the agent has not answered for 3 s" in said, "its silence")


@pytest.mark.parametrize(("words", "env"), [(["--no-color"], {}), ([], {"NO_COLOR": "1"})])
def test_without_colours_there_are_none(words: list[str], env: dict[str, str]) -> None:
    with Screen("steady", *words, **env) as terminal:
        terminal.wait_for(drawn, "a picture")
        assert not COLOUR.search(terminal.said)
        assert b"\x1b[1m" in terminal.said, "bold is no colour"


def test_colours_otherwise_and_plain_characters_where_there_are_no_others() -> None:
    with Screen("steady") as terminal:
        terminal.wait_for(drawn, "a picture")
        assert COLOUR.search(terminal.said)
    with Screen("steady", LANG="C", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0") as terminal:
        terminal.wait_for(drawn, "a picture")
        assert terminal.said.isascii()


def test_a_canvas_writes_what_turns_one_screen_into_the_next() -> None:
    canvas = Canvas(colour=True)
    first = screen("building", 80, 24)
    assert canvas.changes(first).count("\x1b[2J") == 1
    assert canvas.changes(first) == ""
    assert PLACE.findall(canvas.changes(screen("ready", 80, 24)).encode())
    assert canvas.changes(screen("ready", 80, 24)) == ""
    canvas.forget()
    assert len(PLACE.findall(canvas.changes(first).encode())) == 24

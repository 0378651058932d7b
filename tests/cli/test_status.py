"""`zdistcc status` with the installed programs: in a terminal (tmux) during a real build, and where there is none."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.builds import SLOW_FLAGS, SLOW_SOURCE
from tests.e2e.farm import IMPOLITE
from tests.lan.waiting import wait_until

BIN = Path(sys.executable).parent
TMUX = shutil.which("tmux")
TIMEOUT_S = 60
CORRECT_WITHIN_S = 1.0
ROUNDS = 1_000_000_000  # no compile ends of itself while the test looks on

pytestmark = [
    pytest.mark.skipif(not (BIN / "zdistcc").exists(), reason="zdistcc is not installed (pip install -e .)"),
    pytest.mark.skipif(TMUX is None, reason="tmux is not installed"),
]


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An agent of its own, which neither browses nor outlives the test."""
    env = {
        "PATH": f"{BIN}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "SHELL": "/bin/sh",
        "PS1": "shell> ",
        "ZDISTCC_RUNTIME_DIR": str(tmp_path / "run"),
        "ZDISTCC_CACHE_DIR": str(tmp_path / "cache"),
        "ZDISTCC_DISCOVERY": "0",
        "ZDISTCC_INTERFACE": "lo",
        "ZDISTCC_LOCAL_SLOTS": "2",
        **IMPOLITE,
    }
    yield env
    zdistcc(env, "stop")


def zdistcc(env: dict[str, str], *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "zdistcc", *words], env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, **options
    )


def descendants(pid: int) -> set[int]:
    """The processes below `pid`."""
    found: set[int] = set()
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for word in path.read_text().split():
            found |= {int(word), *descendants(int(word))}
    return found


def kill_with_all_below(process: subprocess.Popen[bytes]) -> None:
    """Compilers are in groups of their own, and nobody is left to end them."""
    below = descendants(process.pid)
    process.kill()
    process.wait(TIMEOUT_S)
    for pid in below:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Workers:
    """Daemons on the loopback interface that do not announce themselves."""

    def __init__(self, env: dict[str, str], directory: Path) -> None:
        self._env, self._directory = env, directory
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}

    def start(self, name: str, slots: int) -> None:
        log = self._directory / f"{name}.log"
        words = ["--port", "0", "--name", name, "--slots", str(slots), "--store", str(self._directory / name)]
        with log.open("wb") as file:
            self.running[name] = subprocess.Popen([BIN / "zdistccd", *words], env=self._env, stderr=file)
        found = wait_until(lambda: re.search(r" on port (\d+):", log.read_text()), TIMEOUT_S, f"{name} serves")
        self.ports[name] = int(found[1])

    def kill(self, name: str) -> None:
        kill_with_all_below(self.running.pop(name))

    @property
    def peers(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.ports.values())


@pytest.fixture
def workers(env: dict[str, str], tmp_path: Path) -> Iterator[Workers]:
    made = Workers(env, tmp_path)
    made.start("attic", 2)
    made.start("desk", 3)
    env["ZDISTCC_PEERS"] = made.peers
    yield made
    for name in list(made.running):
        made.kill(name)


class Tmux:
    """A terminal with a shell in it."""

    def __init__(self, env: dict[str, str], directory: Path) -> None:
        self._env = env
        self._socket = directory / "tmux"
        self("new-session", "-d", "-x", "80", "-y", "24", "-c", str(directory), "sh")
        self("set-option", "-g", "window-size", "manual")

    def __call__(self, *words: str) -> str:
        assert TMUX is not None
        command = [TMUX, "-f", "/dev/null", "-S", str(self._socket), *words]
        return subprocess.run(
            command, env=self._env, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
        ).stdout

    def type(self, *keys: str) -> None:
        self("send-keys", *keys)

    def screen(self) -> str:
        return self("capture-pane", "-p")

    def wait_for(self, *facts: str, within_s: float = TIMEOUT_S) -> str:
        """Wait until all expressions are found on the screen; return it."""
        shown = ""

        def seen() -> bool:
            nonlocal shown
            shown = self.screen()
            return all(re.search(fact, shown, re.MULTILINE) for fact in facts)

        try:
            wait_until(seen, within_s, "the screen")
        except AssertionError:
            missing = [fact for fact in facts if not re.search(fact, shown, re.MULTILINE)]
            raise AssertionError(f"not within {within_s} s: {missing}\n{shown}") from None
        return shown


@pytest.fixture
def tmux(env: dict[str, str], tmp_path: Path) -> Iterator[Tmux]:
    made = Tmux(env, tmp_path)
    yield made
    made("kill-server")


@pytest.fixture
def slow(env: dict[str, str], workers: Workers, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Start compiles that go on until the end of the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*names: str) -> None:
        for name in names:
            (tmp_path / f"{name}.cc").write_text(SLOW_SOURCE.replace("ROUNDS", str(ROUNDS)))
            words = [BIN / "zdistcc", "g++", *SLOW_FLAGS, "-c", f"{name}.cc", "-o", f"{name}.o"]
            running.append(subprocess.Popen(words, env=env, cwd=tmp_path))

    yield start
    for process in running:
        kill_with_all_below(process)


def took(what: str, begun: float, limit_s: float = CORRECT_WITHIN_S) -> None:
    seconds = time.monotonic() - begun
    print(f"{what}: {seconds:.2f} s")
    assert seconds < limit_s, f"{what}: {seconds:.2f} s"


def test_a_build_as_it_is_seen_at_80_by_24(
    env: dict[str, str], workers: Workers, tmux: Tmux, slow: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "quick.c").write_text("int f(void) { return 1; }\n")
    tmux.type("zdistcc status", "Enter")
    tmux.wait_for(
        r"^attic +ready .* 0/2 ", r"^desk +ready .* 0/3 ", r"2 of 2 hosts usable", r"No build yet", r"joined +desk"
    )
    assert zdistcc(env, "gcc", "-c", "quick.c", cwd=tmp_path).returncode == 0
    tmux.wait_for(r"1 done in", r"headers 1 ", r"^(attic|desk) .* [0-9.]+\S +[0-9.]+ms +1 ")
    begun = time.monotonic()
    slow("alpha", "beta")
    tmux.wait_for(r"alpha\.cc \d+s", r"beta\.cc \d+s", r"^2 there . 0 here")
    took("jobs are shown", begun)
    slow("gamma", "delta", "epsilon")
    shown = tmux.wait_for(r"^attic +busy +██ +2/2", r"^desk +busy +███ +3/3", r"epsilon\.cc", "5 there")
    for name, port in workers.ports.items():
        row = next(line for line in shown.splitlines() if line.startswith(name))
        assert re.search(r"[\d.]+ms +\d+ +0(\+[\d.]+)? . gcc 12", row), row
        assert re.search(rf"^  127\.0\.0\.1:{port} +0\.1\.0 \S+\.cc", shown, re.MULTILINE), shown
    for fact in ("for gcc", r"jobs/s +\S+", "bytes/s .*B$", r"parallelism 5\b", "this machine +here", "events"):
        assert re.search(fact, shown, re.MULTILINE), (fact, shown)
    begun = time.monotonic()
    workers.kill("attic")
    tmux.wait_for(r"^attic +lost \d", r"(closed the connection|reset by peer)", r"1 of 2 hosts usable", r"lost +attic")
    took("a worker that is killed is lost", begun)
    begun = time.monotonic()
    workers.running["desk"].send_signal(signal.SIGTERM)
    tmux.wait_for(r"^desk +draining")
    took("a worker that drains", begun)


def test_keys_sizes_and_the_terminal_afterwards(env: dict[str, str], workers: Workers, tmux: Tmux) -> None:
    tmux.wait_for("shell>")
    before = tmux("display-message", "-p", "#{alternate_on} #{cursor_flag} #{wrap_flag}")
    tmux.type("clear; stty -a > before; zdistcc status; stty -a > after; echo ended $?", "Enter")
    tmux.wait_for("2 of 2 hosts usable")
    tmux.type("?")
    tmux.wait_for("^Keys", "show one host in full")
    tmux.type("Escape")
    tmux.type("s")
    tmux.wait_for("sort: state", "^desk")
    tmux.type("/", "desk")
    shown = tmux.wait_for("filter: desk", "^desk +ready")
    assert not re.search("^attic", shown, re.MULTILINE)
    tmux.type("Enter", "e")
    tmux.wait_for("^desk +ready +usable", "known by +peer", r"✓ gcc \S+ \(\S+\) · fits: the same build", "✗ .* than")
    tmux.type("Escape")
    tmux.wait_for("^HOST")
    tmux.type("Escape")
    tmux.wait_for("^attic", "^desk")
    tmux.type("p")
    tmux.wait_for(" paused ")
    tmux.type("p")
    for columns, lines in ((60, 15), (240, 80), (80, 24)):
        tmux("resize-window", "-x", str(columns), "-y", str(lines))

        def fits(last: int = lines) -> bool:
            rows = tmux.screen().splitlines()
            return len(rows) == last and rows[-1].startswith("q leave") and rows[0].startswith("zdistcc status")

        wait_until(fits, TIMEOUT_S, f"the picture has {columns}x{lines}")
        shown = tmux.wait_for("^attic", "── events ─")
        assert max(map(len, shown.splitlines())) <= columns and shown.count("zdistcc status") == 1, shown
    tmux.type("q")
    tmux.wait_for("^ended 0", "^shell>")
    assert "hosts usable" not in tmux.screen()
    assert tmux("display-message", "-p", "#{alternate_on} #{cursor_flag} #{wrap_flag}") == before
    tmux.type("cmp before after && echo same", "Enter")
    tmux.wait_for("^same")


def test_an_agent_that_is_stopped_is_missed_and_not_started_again(
    env: dict[str, str], workers: Workers, tmux: Tmux
) -> None:
    tmux.type("zdistcc status", "Enter")
    tmux.wait_for("2 of 2 hosts usable")
    zdistcc(env, "stop")
    tmux.wait_for("no agent is running; the next compile starts one")
    assert json.loads(zdistcc(env, "hosts", "--json").stdout)["hosts"]
    tmux.wait_for("2 of 2 hosts usable")
    tmux.type("C-c")
    tmux.wait_for("^shell> *$")


# --- without a terminal ----------------------------------------------------------------------------


def test_once_and_where_there_is_no_terminal(env: dict[str, str], workers: Workers, tmux: Tmux) -> None:
    for words in (("--once",), ()):
        ended = zdistcc(env, "status", *words)
        assert ended.returncode == 0 and "\x1b" not in ended.stdout
        for fact in (r"^attic +ready", r"^desk +ready", r"2 of 2 hosts usable", r"No build yet", r"joined +desk"):
            assert re.search(fact, ended.stdout, re.MULTILINE), (fact, ended.stdout)
        assert "q leave" not in ended.stdout
    tmux.type("TERM=dumb zdistcc status", "Enter")
    shown = tmux.wait_for("^attic +ready", "joined +desk", "^shell> *$")
    assert "q leave" not in shown and tmux("display-message", "-p", "#{alternate_on}") == "0\n"


def test_nobody_is_there(env: dict[str, str]) -> None:
    shown = zdistcc(env, "status", "--once").stdout
    assert "No worker found" in shown and "0 of 0 hosts usable" in shown


def test_json_is_one_object(env: dict[str, str], workers: Workers) -> None:
    answer = json.loads(zdistcc(env, "status", "--json").stdout)
    assert [(host["name"], host["state"], host["slots"]) for host in answer["hosts"]] == [
        ("attic", "ready", 2),
        ("desk", "ready", 3),
    ]
    assert answer["local"]["slots"] == 2 and answer["build"] is None
    assert [note["kind"] for note in answer["notes"]] == ["joined", "joined"]


def test_watching_prints_a_line_a_change_without_any_twice(
    env: dict[str, str], workers: Workers, tmp_path: Path
) -> None:
    with (tmp_path / "lines").open("wb") as file:
        watching = subprocess.Popen([BIN / "zdistcc", "status", "--watch-json"], env=env, stdout=file)

    def lines() -> list[dict[str, Any]]:
        text = (tmp_path / "lines").read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    try:
        wait_until(lambda: lines() and len(lines()[-1]["hosts"]) == 2, TIMEOUT_S, "both workers")
        (tmp_path / "quick.c").write_text("int f(void) { return 1; }\n")
        assert zdistcc(env, "gcc", "-c", "quick.c", cwd=tmp_path).returncode == 0
        wait_until(lambda: lines()[-1]["finished"] == 1, TIMEOUT_S, "the job is done")
        revisions = [line["revision"] for line in lines()]
        assert revisions == sorted(set(revisions)) and len(revisions) > 2
        notes = [note["number"] for line in lines() for note in line["notes"]]
        assert notes == sorted(set(notes)), "each event once"
        zdistcc(env, "stop")
        assert watching.wait(TIMEOUT_S) == 0, "it ends with the agent"
    finally:
        watching.kill()
        watching.wait()

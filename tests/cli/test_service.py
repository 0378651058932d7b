"""The worker as a service: its unit and property list, what it tells the manager, `zdistccd status`."""

from __future__ import annotations

import os
import plistlib
import pty
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lan.waiting import wait_until
from zdistcc.cli import units
from zdistcc.logs import to_journal

BIN = Path(sys.executable).parent
TIMEOUT_S = 60
ANALYZE = shutil.which("systemd-analyze")

installed = pytest.mark.skipif(
    not (BIN / "zdistccd").exists(), reason="zdistccd is not installed beside this Python (pip install -e .)"
)


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("system", [True, False])
def test_systemd_understands_every_line_of_the_unit(system: bool, tmp_path: Path) -> None:
    assert ANALYZE is not None
    file = tmp_path / units.UNIT
    file.write_text(units.systemd_unit(["/bin/true", "--name", 'a 50% $x "q" \\ b'], system=system))
    run_dir = tmp_path / "run"
    run_dir.mkdir(mode=0o700)
    ended = subprocess.run(
        [ANALYZE, "verify", "--man=no", *([] if system else ["--user"]), file],
        env={**os.environ, "XDG_RUNTIME_DIR": str(run_dir)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


def test_the_unit_runs_the_very_words_that_were_given() -> None:
    words = ["/opt/my tools/zdistccd", "--name", "50% $HOME", '--store="x"\\y', ""]
    unit = units.systemd_unit(words, system=False)
    line = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert line is not None
    assert [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line[1])] == words


@pytest.mark.parametrize(("program", "seen"), [("/home/me/v/bin/zdistccd", "read-only"), ("/opt/z/zdistccd", "yes")])
def test_homes_are_shut_out_unless_the_program_is_in_one(program: str, seen: str) -> None:
    assert f"\nProtectHome={seen}\n" in units.systemd_unit([program], system=True)


def test_launchd_keeps_the_very_words_running() -> None:
    words = ["/opt/my tools/zdistccd", "--name", "a <b> & c"]
    read = plistlib.loads(units.launchd_plist(words, "/tmp/log").encode())
    assert (read["ProgramArguments"], read["RunAtLoad"], read["Label"]) == (words, True, units.LABEL)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(tmp_path),
        "ZDISTCC_CACHE_DIR": str(tmp_path / "cache"),
        "ZDISTCC_DISCOVERY": "0",
        "ZDISTCC_INTERFACE": "lo",
        "TERM": "xterm",
    }


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager's ear."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(TIMEOUT_S)
        yield sock


@installed
def test_the_manager_hears_when_the_worker_serves_and_when_it_stops(
    env: dict[str, str], manager: socket.socket, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        kind = os.fstat(file.fileno())
        told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "JOURNAL_STREAM": f"{kind.st_dev}:{kind.st_ino}"}
        words = [BIN / "zdistccd", "--port", "0", "--slots", "3", "--name", "kept"]
        worker = subprocess.Popen(words, env={**env, **told}, stderr=file)
    try:
        assert manager.recv(4096) == b"READY=1"
        assert manager.recv(4096) == b"STATUS=0 of 3 slots busy, 0 jobs done"
        found = re.search(r" on port (\d+):", log.read_text())
        assert found is not None
        seen = subprocess.run(
            [BIN / "zdistccd", "status", "--port", found[1]], env=env, capture_output=True, text=True, check=False
        )
        assert seen.returncode == 0, seen.stderr
        assert re.search(
            r"^worker: kept \(zdistccd .*\) on port \d+: 0 of 3 slots busy, 0 jobs waiting$", seen.stdout, re.M
        )
        assert "service: not installed" in seen.stdout
    finally:
        worker.terminate()
        worker.wait(TIMEOUT_S)
    heard = manager.recv(4096)
    while heard != b"STOPPING=1":
        assert heard.startswith(b"STATUS=")
        heard = manager.recv(4096)
    assert re.search(r"^<6>offers ", log.read_text(), re.MULTILINE)


@installed
def test_status_says_that_nobody_answers(env: dict[str, str]) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        ended = subprocess.run(
            [BIN / "zdistccd", "status", "--port", str(port)], env=env, capture_output=True, text=True, check=False
        )
    assert ended.returncode == 1
    assert f"worker: none answers on port {port} (Connection refused)" in ended.stdout


@installed
def test_the_file_can_be_seen_before_anything_is_done(env: dict[str, str]) -> None:
    ended = subprocess.run(
        [BIN / "zdistccd", "install", "--print", "--", "--slots", "2"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert f"{BIN / 'zdistccd'} --slots 2" in ended.stdout


@installed
def test_a_terminal_has_a_line_below_the_log_that_leaves_no_trace(env: dict[str, str]) -> None:
    master, slave = pty.openpty()
    worker = subprocess.Popen([BIN / "zdistccd", "--port", "0", "--slots", "3"], env=env, stderr=slave)
    os.close(slave)
    seen = b""

    def shown() -> bool:
        nonlocal seen
        seen += os.read(master, 4096)
        return b"0 of 3 slots busy, 0 jobs done" in seen

    try:
        wait_until(shown, TIMEOUT_S, "the line is drawn")
    finally:
        worker.terminate()
        while worker.poll() is None:
            try:
                seen += os.read(master, 4096)
            except OSError:  # the last one to hold the other end is gone
                worker.wait(TIMEOUT_S)
        os.close(master)
    assert seen.rpartition(b"0 of 3 slots busy, 0 jobs done")[2].startswith(b"\r\x1b[K")
    assert b" INFO offers " in seen


def test_a_file_is_not_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        assert not to_journal(file, {})
        assert not to_journal(file, {"JOURNAL_STREAM": "1:2"})

"""`ZDISTCC_PEERS` and mistakes in variables, with the installed programs on the loopback interface."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lan.waiting import wait_until

BIN = Path(sys.executable).parent
TIMEOUT_S = 60

pytestmark = pytest.mark.skipif(
    not (BIN / "zdistcc").exists(), reason="zdistcc is not installed beside this Python (pip install -e .)"
)


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An agent of its own, which neither browses nor outlives the test."""
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(tmp_path),
        "ZDISTCC_RUNTIME_DIR": str(tmp_path / "run"),
        "ZDISTCC_CACHE_DIR": str(tmp_path / "cache"),
        "ZDISTCC_DISCOVERY": "0",
        "ZDISTCC_INTERFACE": "lo",
    }
    yield env
    ask(env, "stop")


def ask(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "zdistcc", *words], env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


@pytest.fixture
def port(env: dict[str, str], tmp_path: Path) -> Iterator[int]:
    """The port of a worker that does not announce itself."""
    log = tmp_path / "worker.log"
    with log.open("wb") as file:
        worker = subprocess.Popen(
            [BIN / "zdistccd", "--port", "0", "--name", "quiet", "--no-polite"], env=env, stderr=file
        )
    try:
        found = wait_until(lambda: re.search(r" on port (\d+):", log.read_text()), TIMEOUT_S, "the worker serves")
        yield int(found[1])
    finally:
        worker.terminate()
        worker.wait(TIMEOUT_S)


def test_a_running_agent_hears_of_a_peer_that_hosts_names(env: dict[str, str], port: int) -> None:
    assert "No worker found" in ask(env, "hosts").stdout
    named = env | {"ZDISTCC_PEERS": f"127.0.0.1:{port}"}
    hosts = json.loads(ask(named, "hosts", "--json").stdout)["hosts"]
    assert [(host["name"], host["usable"], host["ways"]) for host in hosts] == [("quiet", True, ["peer"])]


def test_a_running_agent_hears_of_a_peer_that_explain_names(env: dict[str, str], port: int, tmp_path: Path) -> None:
    assert "No worker is known" in ask(env, "explain", "gcc", "-c", "x.c").stdout
    named = env | {"ZDISTCC_PEERS": f"127.0.0.1:{port}"}
    answer = json.loads(ask(named, "explain", "--json", "gcc", "-c", "x.c").stdout)
    assert [(row["name"], row["fits"]) for row in answer["workers"]] == [("quiet", True)] and answer["remote"]


@pytest.mark.parametrize("words", [("hosts",), ("explain", "gcc", "-c", "x.c")])
def test_a_mistake_in_a_variable_is_told(words: tuple[str, ...], env: dict[str, str]) -> None:
    ended = ask(env | {"ZDISTCC_FIDELITY": "most"}, *words)
    assert ended.returncode == 100
    assert ended.stderr.startswith("zdistcc: environment variable ZDISTCC_FIDELITY: ")
    assert "use one of: auto, exact, code" in ended.stderr


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("explain", "-h"), ("hosts", "--help")])
def test_help_is_there_under_both_names(words: tuple[str, ...], env: dict[str, str]) -> None:
    ended = ask(env, *words)
    assert ended.returncode == 0 and ended.stdout.startswith("Usage: zdistcc ")

"""`zdistcc doctor` on a LAN whose workers are broken, each in its own way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.farm import LAUNCHER, Farm, unavailable
from tests.e2e.test_alone import GCC, hide
from tests.lan.machine import Machine
from tests.lan.waiting import wait_until

NFT = shutil.which("nft") or "/usr/sbin/nft"
REASON = unavailable() or (None if Path(NFT).exists() else "nft is not installed")
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def doctor(farm: Farm, machine: Machine | None = None) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """The exit status, and what was found, by subject (or by check where there is none)."""
    on = machine or farm.client
    ended = on.run([LAUNCHER, "doctor", "--json"], cwd=farm.directory, env=farm.environment(), timeout_s=120)
    told = json.loads(ended.stdout)
    found: dict[str, list[dict[str, str]]] = {}
    for row in told["findings"]:
        found.setdefault(row["subject"] or row["check"], []).append(row)
    assert told["wrong"] == sum(row["verdict"] == "bad" for row in told["findings"])
    return ended.returncode, found


def wall(machine: Machine, *rules: str) -> None:
    """Have a machine's firewall drop something."""
    lines = ["add table inet t", "add chain inet t i { type filter hook input priority 0; }",
             "add chain inet t o { type filter hook output priority 0; }", *(f"add rule inet t {rule}" for rule in rules)]  # fmt: skip
    machine.run([NFT, "\n".join(lines)], check=True)


def the_bad(rows: list[dict[str, str]]) -> str:
    wrong = [row["text"] for row in rows if row["verdict"] == "bad"]
    assert len(wrong) == 1, rows
    return wrong[0]


def test_each_broken_worker_s_cause_is_named(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=6, started=0) as farm:
        hide(farm.lan["w2"], *GCC)
        wall(farm.lan["w3"], "i tcp dport 3633 drop")
        wall(farm.lan["w4"], "i udp dport 5353 drop", "o udp dport 5353 drop")
        store = tmp_path / "store"
        store.mkdir()
        farm.lan["w6"].run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", store], check=True)
        words = {"w5": ["--deny", farm.client.ipv4, "--deny", "fe80::/10"], "w6": ["--store", str(store)]}
        for name in farm.names:
            farm.start(name, *words.get(name, ()))
        for name in farm.names:
            farm.serving(name)
        wait_until(
            lambda: {"w1", "w2", "w3", "w5", "w6"} <= farm.hosts().keys(), 30, "those that can be heard are known"
        )
        farm.lan["w6"].run(["sh", "-c", f"cat /dev/zero >{store}/fill"])
        status, found = doctor(farm)
        assert status == 1
        assert [row["verdict"] for row in found["w1"]] == ["good"], found["w1"]
        assert "a trial job came back right" in found["w1"][0]["text"]
        assert the_bad(found["w2"]).startswith("it has ") and "gcc-" in found["w2"][0]["remedy"]
        assert "nothing comes back from TCP port 3633" in the_bad(found["w3"])
        assert "3633" in found["w3"][0]["remedy"]
        assert "its announcements do not arrive here" in the_bad(found["w4"])
        assert "it refuses this machine" in the_bad(found["w5"]) and "--deny" in found["w5"][0]["remedy"]
        assert "disk" in the_bad(found["w6"]), found["w6"]
        assert all(row["verdict"] == "good" for row in found["eth0"]), found["eth0"]

        status, on_mute = doctor(farm, farm.lan["w4"])
        assert status == 1
        assert "an announcement was sent, but not heard" in the_bad(on_mute["eth0"])
        assert "its announcements are not heard" in the_bad(on_mute["own worker"])


def test_a_healthy_network_has_nothing_wrong(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=2) as farm:
        farm.wait_for_workers()
        status, found = doctor(farm)
        assert status == 0, found
        shown = farm.run([LAUNCHER, "doctor", "--no-scan"], tmp_path)
        assert "Nothing is wrong." in shown.stdout and "→" not in shown.stdout
        assert {"w1", "w2", "agent", "launcher", "PATH", "eth0"} <= found.keys()

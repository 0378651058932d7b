"""Who is found, by which ways, as what; and what the commands tell of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.builds import empty
from tests.e2e.farm import LAUNCHER, Farm, unavailable
from tests.lan.waiting import wait_until

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

UNDISCOVERED = {"ZDISTCC_DISCOVERY": "0"}
HOST_FIELDS: dict[str, Any] = {
    "name": str, "id": str, "addresses": list, "port": int, "protocol": int, "version": str, "state": str,
    "slots": int, "running": int, "compilers": list, "usable": bool, "reason": (str, type(None)),
}  # fmt: skip


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("farm"), workers=2) as farm:
        farm.wait_for_workers()
        yield farm


def source(farm: Farm) -> Path:
    here = empty(farm.directory / "here")
    (here / "x.c").write_text("int f;\n")
    return here


def compile_one(farm: Farm, **env: str) -> None:
    farm.run([LAUNCHER, "gcc", "-c", "x.c"], source(farm), env=env)


# --- what the commands tell ---------------------------------------------------------------------


def test_hosts_as_json(farm: Farm) -> None:
    hosts: list[dict[str, Any]] = farm.ask("hosts")["hosts"]
    assert [host["name"] for host in hosts] == ["w1", "w2"]
    for host in hosts:
        for field, kind in HOST_FIELDS.items():
            assert isinstance(host[field], kind), field
        assert (host["state"], host["usable"], host["reason"]) == ("ready", True, None)
        assert (host["slots"], host["running"]) == (2, 0)
        machine = farm.lan[host["name"]]
        assert machine.ipv4 in host["addresses"]
        assert any(address.startswith("fe80::") for address in host["addresses"])
        assert {"gcc", "clang"} <= {compiler["family"] for compiler in host["compilers"]}
        for compiler in host["compilers"]:
            assert {"family", "version", "target", "build_id"} <= compiler.keys()
            assert all(isinstance(value, str) and value for value in compiler.values())


def test_the_number_for_make(farm: Farm) -> None:
    """Two workers of two slots, one more for each on the way, and what this machine spares."""
    said = farm.run([LAUNCHER, "-j"], farm.directory)
    answer = farm.ask_agent("parallelism")
    assert answer is not None
    assert (said.stdout, said.stderr) == (f"{answer['useful']}\n", "")
    assert (answer["remote"], answer["workers"]) == (4, 2)
    assert answer["local"] >= 1 and answer["useful"] == 4 + answer["local"] + 2


def test_stats_as_json(farm: Farm) -> None:
    compile_one(farm)
    stats = farm.ask("stats")
    assert stats["jobs"].keys() >= {"remote", "local", "failed"}
    assert stats["modes"].keys() >= {"headers", "preprocessed", "local"}
    assert stats["bytes"]["sent"] > 0 < stats["bytes"]["received"]
    assert isinstance(stats["reasons"], dict)
    assert sum(stats["workers"].values()) == stats["jobs"]["remote"] > 0
    assert sum(stats["modes"].values()) == stats["jobs"]["remote"] + stats["jobs"]["local"]


def test_explain_as_json(farm: Farm) -> None:
    here = source(farm)

    yes = json.loads(farm.run([LAUNCHER, "explain", "--json", "gcc", "-O2", "-c", "x.c"], here).stdout)
    assert (yes["distributable"], yes["remote"], yes["reason"]) == (True, True, None)
    assert yes["compiler"]["family"] == "gcc"
    assert sorted((row["name"], row["fits"]) for row in yes["workers"]) == [("w1", True), ("w2", True)]
    no = json.loads(farm.run([LAUNCHER, "explain", "--json", "gcc", "x.c"], here).stdout)
    assert (no["distributable"], no["reason"]) == (False, "link")
    assert not list(here.glob("*.o"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["hosts"], ["HOST", "w1", "w2", "ready", "10.77.1.2:3633"]),
        (["stats"], ["remote", "WORKER"]),
        (
            ["explain", "gcc", "-c", "x.c"],
            ["Can be compiled by another machine, shipped with its headers (", "fits", "w1"],
        ),
        (["explain", "gcc", "x.c"], ["Runs on this machine: the command links", "[link]"]),
        (["--version"], ["launcher: native"]),
        (["--help"], ["zdistcc gcc -O2 -c x.c"]),
    ],
)
def test_on_a_terminal(farm: Farm, words: list[str], expected: list[str]) -> None:
    compile_one(farm)
    command = " ".join([str(LAUNCHER), *words])
    shown = farm.run(["script", "-qec", f"stty cols 200; {command}", "/dev/null"], source(farm), env={"TERM": "xterm"})
    for text in expected:
        assert text in shown.stdout
    assert "Traceback" not in shown.stdout


# --- identity -----------------------------------------------------------------------------------


def test_a_second_address_is_no_second_worker(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=1, started=0) as farm:
        farm.lan["w1"].run(["ip", "address", "add", "10.77.1.200/24", "dev", "eth0"], check=True)
        farm.start("w1")
        farm.serving("w1")
        farm.wait_for_workers()
        env = {"ZDISTCC_PEERS": f"10.77.1.200,{farm.lan['w1'].ipv4}"}
        compile_one(farm, **env)
        wait_until(lambda: len(farm.ask("hosts")["hosts"]) == 1, 10, "one host")
        (host,) = farm.ask("hosts")["hosts"]
        assert {"10.77.1.200", farm.lan["w1"].ipv4} <= set(host["addresses"])
        assert farm.stats()["workers"] == {"w1": 1}


def test_link_local_addresses_are_enough(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=2, started=0) as farm:
        for machine in farm.lan:
            machine.run(["ip", "-4", "address", "flush", "dev", "eth0"], check=True)
        for name in farm.names:
            farm.start(name)
            farm.serving(name)
        farm.wait_for_workers()
        for host in farm.hosts().values():
            assert all(address.startswith("fe80::") for address in host["addresses"])
        compile_one(farm)
        assert farm.stats()["jobs"]["remote"] == 1


def test_names_that_are_hostile(tmp_path: Path) -> None:
    name = "\x1b[31mred\x07\n[bold]x[/bold]\u202e"
    with Farm(tmp_path, workers=1, started=0) as farm:
        farm.start("w1", "--name", name)
        farm.serving("w1")
        wait_until(lambda: any(host["usable"] for host in farm.hosts().values()), 20, "the worker is usable")
        compile_one(farm)
        for words in (["hosts"], ["stats"], ["hosts", "--json"], ["explain", "gcc", "-c", "x.c"]):
            shown = farm.run([LAUNCHER, *words], source(farm)).stdout
            assert "red" in shown
            assert not {"\x1b", "\x07", "\u202e"} & set(shown), shown
            assert "[bold]" in shown


def test_two_workers_of_one_name(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=2, started=0, env={"ZDISTCC_POLICY": "least-loaded"}) as farm:  # runs none here
        for name in farm.names:
            farm.start(name, "--name", "twin")
            farm.serving(name)

        def both() -> list[dict[str, Any]]:
            hosts: list[dict[str, Any]] = farm.ask("hosts")["hosts"]
            return hosts if len(hosts) == 2 and all(host["usable"] for host in hosts) else []

        hosts = wait_until(both, 20, "both are usable")
        assert {host["name"] for host in hosts} == {"twin"}
        assert len({host["id"] for host in hosts}) == 2
        here = source(farm)
        for number in range(8):
            (here / f"{number}.c").write_text("int f;\n")
        farm.run(["sh", "-c", f"seq 0 7 | xargs -P8 -I% {LAUNCHER} gcc -O2 -c %.c"], here)
        assert farm.stats()["workers"] == {"twin": 8}
        done = [farm.daemons[name].stderr.count("job done") for name in farm.names]
        assert min(done) > 0


# --- ways ---------------------------------------------------------------------------------------


def test_peers_where_nothing_is_announced(tmp_path: Path) -> None:
    """By name, by address, by address and port; a word that names nobody does no harm."""
    with Farm(tmp_path, workers=3, started=0, env=UNDISCOVERED) as farm:
        farm.start("w1", "--no-discovery")
        farm.start("w2", "--no-discovery", "--port", "4000")
        farm.start("w3", "--no-discovery")
        for name in farm.names:
            farm.serving(name)
        w1, w2, w3 = (farm.lan[name] for name in farm.names)
        peers = f"{w1.ipv4},{w2.ipv4}:4000,[{w3.ipv6}]:3633, not a host,10.77.1.99"
        compile_one(farm, ZDISTCC_PEERS=peers)
        assert farm.stats()["jobs"]["remote"] == 1
        farm.wait_for_workers(*farm.names)
        assert {name for name, host in farm.hosts().items() if host["usable"]} == set(farm.names)


def test_a_peer_tells_of_others(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=3) as farm:
        env = {**UNDISCOVERED, "ZDISTCC_PEERS": farm.lan["w1"].ipv4}
        compile_one(farm, **env)
        farm.wait_for_workers(*farm.names)
        assert sorted(farm.hosts()) == farm.names
        assert farm.hosts()["w2"]["ways"] == ["told"]


def test_an_agent_remembers(tmp_path: Path) -> None:
    """The next agent's first job is remote although nothing is announced to it any more."""
    with Farm(tmp_path, workers=1) as farm:
        farm.wait_for_workers()
        farm.run([LAUNCHER, "stop"], tmp_path)
        wait_until(lambda: farm.ask_agent("stats") is None, 10, "the agent is gone")
        compile_one(farm, **UNDISCOVERED)
        assert farm.stats()["jobs"]["remote"] == 1
        assert farm.hosts()["w1"]["ways"] == ["remembered"]


def test_the_first_job_finds_workers(tmp_path: Path) -> None:
    """No agent, nothing remembered: the first compile of all waits for as long as discovery takes."""
    with Farm(tmp_path, workers=1) as farm:
        compile_one(farm)
        assert farm.stats()["jobs"]["remote"] == 1


def test_a_worker_says_goodbye(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=1) as farm:
        farm.wait_for_workers()
        farm.stop("w1")
        wait_until(lambda: farm.hosts() == {}, 5, "w1 is forgotten")


def test_help_reads_like_help() -> None:
    shown = subprocess.run([LAUNCHER, "--help"], capture_output=True, text=True, check=True).stdout
    for command in ("hosts", "stats", "explain", "stop", "demo", "masquerade"):
        assert command in shown

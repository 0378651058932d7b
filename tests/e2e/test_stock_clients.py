"""Stock distcc on a LAN where zdistccd runs: clients that find it by avahi, daemons that run beside it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import avahi
from tests.e2e.builds import empty
from tests.e2e.farm import LAUNCHER, Farm, unavailable
from tests.golden import stock
from tests.lan.machine import Process
from tests.lan.waiting import wait_until

REASON = unavailable()
MISSING = [*stock.MISSING, *avahi.MISSING]
pytestmark = [
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)} (Debian: distcc, avahi-daemon, dbus)"),
]
TEXT = {
    "t.c": "#include <stdio.h>\nint f(void) { return puts(__FILE__); }\n",
    "t.cc": '#include <string>\n#include <map>\nint f(const std::map<std::string, int> &m) { return m.at("x"); }\n',
}
COMPILER = {"t.c": "gcc", "t.cc": "g++"}
MDNS_PEER = Path(__file__).parent.parent / "lan/mdns_peer.py"


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """`w1` runs zdistccd beside avahi; on `w2` there are a stock daemon and avahi before it."""
    with Farm(tmp_path_factory.mktemp("farm"), workers=2, started=0) as farm:
        for name in ("client", "w1", "w2"):
            avahi.start(farm.lan[name])
        yield farm


@pytest.fixture
def w1(farm: Farm) -> Iterator[Process]:
    """The daemon on `w1`."""
    daemon = farm.start("w1")
    farm.serving("w1")
    yield daemon
    farm.stop("w1")


def project(farm: Farm) -> Path:
    place = empty(farm.directory / "p")
    for name, text in TEXT.items():
        (place / name).write_text(text)
    return place


def distcc(farm: Farm, hosts: str, place: Path, name: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**avahi.ENVIRONMENT, "DISTCC_HOSTS": hosts, **(more or {"DISTCC_FALLBACK": "0"})}
    words = ["distcc", COMPILER[name], "-O2", "-c", name, "-o", "t.o"]
    return farm.client.run(words, cwd=place, env=env)


def compare_with_local(place: Path, name: str) -> None:
    sent = (place / "t.o").read_bytes()
    subprocess.run([COMPILER[name], "-O2", "-c", name, "-o", "t.o"], cwd=place, check=True)
    assert (place / "t.o").read_bytes() == sent


@pytest.mark.parametrize("name", TEXT)
def test_a_stock_client_finds_the_worker_by_zeroconf(farm: Farm, w1: Process, name: str) -> None:
    place = project(farm)
    known = farm.client.home / ".distcc/zeroconf/hosts"

    def compiled() -> bool:
        return distcc(farm, "+zeroconf", place, name).returncode == 0

    wait_until(compiled, 60, "the stock client finds the worker")
    assert known.read_text().split() == [f"{farm.lan['w1'].ipv4}:3632/4"]
    assert f"client={farm.client.ipv4} version=1 file='{name}' status=0" in w1.stderr
    compare_with_local(place, name)


@pytest.mark.parametrize(("port", "options", "version"), [(3632, "", 1), (3632, ",lzo", 2), (3633, ",lzo", 2)])
def test_a_stock_client_is_served_on_both_ports(farm: Farm, w1: Process, port: int, options: str, version: int) -> None:
    place = project(farm)
    for name in TEXT:
        done = distcc(farm, f"{farm.lan['w1'].ipv4}:{port}/4{options}", place, name)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"version={version} file='{name}' status=0" in w1.stderr
        compare_with_local(place, name)


def test_our_own_clients_see_one_worker_and_share_it(farm: Farm, w1: Process) -> None:
    place = project(farm)
    farm.wait_for_workers("w1")
    assert list(farm.hosts()) == ["w1"]
    farm.run([LAUNCHER, "gcc", "-O2", "-c", "t.c", "-o", "t.o"], place, env={"ZDISTCC_LOCAL_SLOTS": "0"})
    done = distcc(farm, f"{farm.lan['w1'].ipv4}/4,lzo", place, "t.c")
    assert done.returncode == 0
    farm.run([LAUNCHER, "stop"], place)


def browse(farm: Farm) -> Process:
    return farm.client.spawn([sys.executable, MDNS_PEER, "_distcc._tcp.local.", "1", farm.client.ipv4])


def lines(process: Process, sign: str) -> list[str]:
    return [line[2:] for line in process.stdout.splitlines() if line.startswith(sign) and "distcc@w" in line]


def test_beside_a_stock_daemon_nobody_fights_over_names(farm: Farm) -> None:
    """Both are announced, each under its own name; the port goes to the first; ours says goodbye."""
    w2 = farm.lan["w2"]
    words = ["--daemon", "--no-detach", "--zeroconf", "--allow", "10.0.0.0/8", "--log-stderr", "--user", "nobody"]
    theirs = w2.spawn([shutil.which("distccd") or "distccd", *words], env=avahi.ENVIRONMENT)
    seen = browse(farm)
    try:
        wait_until(lambda: lines(seen, "+"), 30, "the stock daemon is announced")
        ours = farm.start("w2")
        farm.serving("w2")
        assert "port 3632 is taken" in ours.stderr
        wait_until(lambda: len(lines(seen, "+")) >= 2, 30, "both are announced")
        names = {line.rpartition(" ")[0].rpartition(" ")[0]: line.rpartition(" ")[2] for line in lines(seen, "+")}
        assert names.pop("distcc@w2") == "3632"
        # this library hands on the instances of subtypes to who browses the plain type
        assert names and all(name.startswith("distcc@w2 ") and port == "3633" for name, port in names.items())
        farm.stop("w2")
        wait_until(lambda: {*names} <= {*lines(seen, "-")}, 30, "ours is gone")
        assert "distcc@w2" not in lines(seen, "-")
        assert theirs.poll() is None, theirs.stderr
    finally:
        for process in (seen, theirs):
            process.kill()
            process.wait()


def test_with_distcc_port_0_nobody_is_told_and_nobody_is_served(farm: Farm) -> None:
    place = project(farm)
    farm.start("w1", env={"ZDISTCC_DISTCC_PORT": "0"})
    farm.serving("w1")
    try:
        farm.wait_for_workers("w1")
        for port in (3632, 3633):
            done = distcc(farm, f"{farm.lan['w1'].ipv4}:{port}/4", place, "t.c", DISTCC_FALLBACK="1")
            assert done.returncode == 0 and "running locally" in done.stderr
        assert farm.daemons["w1"].stderr.count("client of distcc denied") == 1
    finally:
        farm.stop("w1")
        farm.run([LAUNCHER, "stop"], place)

"""Stock distccd hosts beside a worker: found by avahi's announcements, used, and what is done when they are no good."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.builds import empty
from tests.e2e.farm import BIN, LAUNCHER, Farm, unavailable
from tests.lan.machine import Process
from tests.lan.waiting import wait_until

PROGRAMS = ("distccd", "avahi-daemon", "dbus-daemon", "make", "strip")
ABSENT = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
REASON = unavailable() or (f"not installed: {', '.join(ABSENT)}" if ABSENT else None)
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

UNITS = 12
STOCK = ("s1", "s2")
ODD = "s3"
"""Runs a daemon in those tests only that are about one which is no good."""
PATH = "/usr/sbin:/usr/bin:/bin"


class StockFarm(Farm):
    """A farm with one worker and two machines that have distcc's daemon, and avahi to announce it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, workers=1, others=(*STOCK, ODD))
        self.stock: dict[str, Process] = {}

    def avahi(self, name: str) -> None:
        machine = self.lan[name]
        machine.run(["sh", "-c", "mkdir -p /run/dbus /run/avahi-daemon && chown messagebus /run/dbus"])
        machine.spawn(["dbus-daemon", "--system", "--nofork", "--nopidfile"])
        wait_until(lambda: machine.run(["test", "-S", "/run/dbus/system_bus_socket"]).returncode == 0, 20, "the bus")
        daemon = machine.spawn(["avahi-daemon", "--no-chroot", "--no-rlimits", "--no-drop-root"], env={"PATH": PATH})
        wait_until(lambda: "startup complete" in daemon.stderr, 20, "avahi")

    def distccd(self, name: str, *words: str, path: str = PATH) -> None:
        """Start a machine's distccd."""
        allow = () if "--allow" in words else ("--allow-private",)
        self.stock[name] = self.lan[name].spawn(
            ["distccd", "--daemon", "--no-detach", "--zeroconf", "--log-stderr", "-j", "3", *allow, *words],
            env={"PATH": path},
        )

    @contextmanager
    def odd_distccd(self, *words: str, path: str = PATH) -> Iterator[None]:
        self.distccd(ODD, *words, path=path)
        try:
            yield
        finally:
            daemon = self.stock.pop(ODD)
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)
            wait_until(lambda: ODD not in self.hosts(), 30, "it is forgotten")

    def wait_for(self, name: str, state: str) -> dict[str, object]:
        try:
            wait_until(lambda: self.hosts().get(name, {}).get("state") == state, 30, f"{name} is {state}")
        except AssertionError as error:
            daemon = self.stock[name]
            raise AssertionError(f"{error}: {self.hosts().get(name)}\n{daemon.stderr}") from None
        return self.hosts()[name]

    def jobs(self) -> dict[str, int]:
        workers: dict[str, int] = self.stats()["workers"]
        return workers


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StockFarm]:
    with StockFarm(tmp_path_factory.mktemp("farm")) as farm:
        for name in (*STOCK, ODD):
            farm.avahi(name)
        for name in STOCK:
            farm.distccd(name)
        farm.wait_for_workers("w1", *STOCK)
        yield farm


def project(farm: Farm, name: str, flags: str, compiler: str = "zdistcc g++") -> Path:
    """A directory with some sources and a Makefile."""
    here = empty(farm.directory / name)
    (here / "common.h").write_text("#include <string>\n#include <cstdio>\nstd::string name(int);\n")
    for number in range(UNITS):
        (here / f"u{number}.cc").write_text(
            f'#include "common.h"\n'
            f'std::string f{number}(int n) {{ std::puts(__FILE__); return name(n) + "{number}"; }}\n'
        )
    objects = " ".join(f"u{number}.o" for number in range(UNITS))
    (here / "Makefile").write_text(f"all: {objects}\n%.o: %.cc\n\t{compiler} {flags} -c $< -o $@\n")
    return here


def identical(here: Path, flags: Sequence[str], *, stripped: bool = False) -> None:
    for number in range(UNITS):
        subprocess.run(["g++", *flags, "-c", f"u{number}.cc", "-o", "here.o"], cwd=here, check=True)
        if stripped:
            for name in ("here.o", f"u{number}.o"):
                subprocess.run(["strip", "--strip-debug", name], cwd=here, check=True)
        assert (here / "here.o").read_bytes() == (here / f"u{number}.o").read_bytes(), f"u{number}.o"


def build(farm: Farm, here: Path, **env: str) -> None:
    farm.run(["make", "-j7"], here, env=env)


def test_all_three_are_used_and_objects_are_identical(farm: StockFarm) -> None:
    hosts = farm.hosts()
    assert {name: row["protocol"] for name, row in hosts.items()} == {"w1": 1, "s1": "distcc", "s2": "distcc"}
    assert "3.4" in str(hosts["s1"]["version"]) and hosts["s1"]["ways"] == ["announced"]
    before = farm.jobs()
    here = project(farm, "three", "-O2")
    while True:
        build(farm, here)
        identical(here, ["-O2"])
        used = {name for name, count in farm.jobs().items() if count > before.get(name, 0)}
        if used == {"w1", *STOCK}:
            break
        assert used, "nobody is used"
        subprocess.run(["make", "-s", "-C", str(here), "-t", "-W", "common.h"], check=False, capture_output=True)
        for number in range(UNITS):
            (here / f"u{number}.o").unlink()
    words = farm.run([LAUNCHER, "hosts", "--distcc"], here).stdout.split()
    assert {f"{farm.lan[name].ipv4}:3632/3" for name in STOCK} <= set(words)


def test_debug_builds_stay_with_the_worker(farm: StockFarm) -> None:
    before = farm.jobs()
    here = project(farm, "debug", "-g -O2")
    build(farm, here)
    identical(here, ["-g", "-O2"])
    after = farm.jobs()
    assert all(after.get(name, 0) == before.get(name, 0) for name in STOCK)
    assert after["w1"] > before.get("w1", 0)
    told = farm.run([LAUNCHER, "explain", "g++", "-g", "-c", "u0.cc"], here).stdout
    assert "s1: speaks distcc's protocol, which is not exact for this job" in told


def test_a_host_with_another_compiler_is_not_used(farm: StockFarm) -> None:
    script = """
        mkdir -p /tmp/other && cd /tmp/other
        for name in gcc g++; do
            for called in $name $name-12 x86_64-linux-gnu-$name x86_64-linux-gnu-$name-12; do
                printf '#!/bin/sh\\nexec /usr/bin/%s "$@" -O1 -fno-ident\\n' $name >$called
                chmod 755 $called
            done
        done
    """  # in that machine's own /tmp, where distccd's user may go
    farm.lan[ODD].run(["sh", "-e", "-c", script])
    with farm.odd_distccd(path=f"/tmp/other:{PATH}"):
        row = farm.wait_for(ODD, "incompatible")
        assert not row["usable"] and "makes another object of a trial" in str(row["reason"])
        here = project(farm, "unlike", "-O2")
        build(farm, here)
        identical(here, ["-O2"])
        assert ODD not in farm.jobs()


def test_a_host_that_refuses_is_shown_with_its_reason(farm: StockFarm) -> None:
    with farm.odd_distccd("--allow", "192.0.2.0/24"):
        row = farm.wait_for(ODD, "refusing")
        assert "it does not serve this machine" in str(row["reason"])
        here = project(farm, "refused", "-O2")
        build(farm, here)
        identical(here, ["-O2"])
        assert "distccd --allow" in farm.run([LAUNCHER, "doctor", "--no-scan"], here, check=False).stdout


def test_a_host_that_dies_in_the_middle_fails_no_build(farm: StockFarm) -> None:
    here = project(farm, "dies", "-O2")
    before = sum(farm.jobs().values())
    running = farm.spawn(["make", "-j7"], here)
    wait_until(lambda: sum(farm.jobs().values()) > before + 1, 60, "the build is under way")
    farm.lan.link_down("s2")
    try:
        assert running.wait(120) == 0, running.stderr
        identical(here, ["-O2"])
    finally:
        farm.lan.link_up("s2")
    farm.wait_for("s2", "ready")


def test_scripts_for_distcc_and_a_network_of_stock_hosts_alone(farm: StockFarm) -> None:
    """A list in DISTCC_HOSTS, a link called distcc, no worker: debug builds go, and only columns may differ."""
    farm.run([LAUNCHER, "stop"], farm.directory)
    names = empty(farm.directory / "names")
    (names / "distcc").symlink_to(LAUNCHER)
    env = {
        "ZDISTCC_DISCOVERY": "0",
        "ZDISTCC_CACHE_DIR": str(empty(farm.directory / "cache")),  # where no worker is remembered
        "ZDISTCC_USE_DISTCC_HOSTS": "1",
        "DISTCC_HOSTS": " ".join(f"{farm.lan[name].ipv4}/2,lzo" for name in STOCK),
        "PATH": f"{names}:{BIN}:{PATH}",
    }
    try:
        shown = farm.run(["distcc", "--show-hosts"], farm.directory, env=env).stdout.split()
        assert shown == [f"{farm.lan[name].ipv4}:3632/2" for name in STOCK]
        here = project(farm, "alone", "-g -O2", "distcc g++")
        build(farm, here, **env)
        farm.run(["zdistcc", "explain", "g++", "-c", "u0.cc"], here, env=env)
        for number in range(UNITS):
            (here / f"u{number}.o").unlink()
        build(farm, here, **env)
        identical(here, ["-g", "-O2"], stripped=True)
        assert sum(farm.jobs().get(farm_name, 0) for farm_name in shown_names(farm)) > 0
        assert "ZDISTCC_FIDELITY=exact" in farm.run(["zdistcc", "hosts"], here, env=env).stdout
        notes = (farm.ask_agent("snapshot") or {})["notes"]
        assert [note["text"] for note in notes if note["kind"] == "fidelity"] == [
            "only stock distccd hosts are here: debug information may lack columns"
        ]
        bad = {**env, "DISTCC_HOSTS": "desk angry::"}
        refused = farm.run(["distcc", "--show-hosts"], here, env=bad, check=False)
        assert refused.returncode == 106 and "character 11" in refused.stderr
        bad["DISTCC_FALLBACK"] = "0"
        assert farm.run(["distcc", "g++", "-c", "u0.cc"], here, env=bad, check=False).returncode == 106
        assert farm.run(["distcc", "--version"], here, env=env).stdout.startswith("zdistcc ")
    finally:
        farm.run([LAUNCHER, "stop"], farm.directory)


def shown_names(farm: StockFarm) -> list[str]:
    return [f"{farm.lan[name].ipv4}:3632" for name in STOCK]

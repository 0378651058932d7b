"""Workers that are reached through ssh: real sshds, keys and known hosts; no port of a zdistccd anywhere."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import sshd
from tests.e2e.builds import counted, differing, empty, made
from tests.e2e.farm import LAUNCHER, Farm, unavailable
from tests.e2e.sshd import Sshds
from tests.lan.lan import PROJECT
from tests.lan.waiting import wait_until

REASON = unavailable() or sshd.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

ALONE = {"ZDISTCC_DISCOVERY": "0", "ZDISTCC_POLICY": "least-loaded"}
"""Nobody is found, and no job stays here because this machine is quicker."""
JOBS = 200
STRANGER = """
import socket
door = socket.create_server(("", 3633))
print("on", flush=True)
while True:
    door.accept()[0].send(b"220 hi")
    print("met", flush=True)
"""
TWO = ("w1", "w2")
UNIT = '#include "shared.h"\nint unit_{number}(int x) {{ return shared(x) * {number}; }}\n'
MAKEFILE = """
OBJECTS := $(patsubst %.c,%.o,$(wildcard *.c))
all: $(OBJECTS)
%.o: %.c shared.h
	$(CC) -O2 -g -c -o $@ $<
"""


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("farm"), workers=2, started=0, env=ALONE) as farm:
        yield farm


@pytest.fixture(scope="module")
def sshds(lan: Farm) -> Sshds:
    made = Sshds(lan, TWO)
    made.start(*TWO)
    return made


@pytest.fixture
def farm(lan: Farm, sshds: Sshds) -> Iterator[Farm]:
    """The LAN with no agent yet, and none left."""
    lan.run([LAUNCHER, "stop"], lan.directory, check=False)
    wait_until(lambda: lan.ask_agent("stats") is None, 10, "no agent")
    yield lan
    lan.run([LAUNCHER, "stop"], lan.directory, check=False)
    wait_until(lambda: lan.ask_agent("stats") is None, 10, "the agent has left")
    wait_until(lambda: not clients(lan), 10, f"no ssh is left: {clients(lan)}")


def clients(farm: Farm) -> list[list[str]]:
    """The command lines of the client's ssh processes."""
    return [words for words in farm.client.processes().values() if words and words[0].rpartition("/")[2] == "ssh"]


def tunnels(farm: Farm, sshds: Sshds, *names: str, **env: str) -> dict[str, str]:
    peers = ",".join(f"root@{farm.lan[name].ipv4}" for name in names)
    return {"ZDISTCC_PEERS": peers, "ZDISTCC_SSH": sshds.program(), **env}


def project(farm: Farm, units: int) -> Path:
    here = empty(farm.directory / "project")
    (here / "Makefile").write_text(MAKEFILE)
    (here / "shared.h").write_text("static inline int shared(int x) { return x + 1; }\n")
    for number in range(units):
        (here / f"u{number}.c").write_text(UNIT.format(number=number))
    return here


def build(farm: Farm, here: Path, compiler: str, env: dict[str, str]) -> dict[str, bytes]:
    for path in here.glob("*.o"):
        path.unlink()
    farm.run(["make", "-s", "-j6", f"CC={compiler}"], here, env=env, timeout_s=240)
    return made(here)


def compile_one(farm: Farm, env: dict[str, str]) -> None:
    farm.run([LAUNCHER, "gcc", "-O2", "-c", "u0.c"], project(farm, 1), env=env)


def test_two_hundred_jobs_through_one_connection_each(farm: Farm, sshds: Sshds) -> None:
    env = tunnels(farm, sshds, *TWO)
    compile_one(farm, env)
    farm.wait_for_workers(*TWO)
    here = project(farm, JOBS)
    plain = build(farm, here, "gcc", {})
    with counted(farm) as jobs:
        ours = build(farm, here, "zdistcc gcc", env)
    assert len(ours) == JOBS
    assert differing(ours, plain) == []
    assert (jobs.remote, jobs.reasons) == (JOBS, {})
    assert set(jobs.workers) == set(TWO)
    for name in TWO:
        assert sshds.sessions(name) == 1
        listening = farm.lan[name].run(["cat", "/proc/net/tcp", "/proc/net/tcp6"]).stdout
        assert f":{3633:04X}" not in listening
    for name, host in farm.hosts().items():
        assert (host["address"], host["reach"]) == (f"ssh root@{farm.lan[name].ipv4}", "ssh")
        assert host["ways"] == ["peer"]


def test_an_sshd_that_is_killed_mid_build(tmp_path: Path) -> None:
    """The build ends well, by the other worker and this machine; when sshd is back, so is the worker, by a new tunnel."""
    with Farm(tmp_path, workers=2, started=0, env=ALONE) as farm:
        sshds = Sshds(farm, TWO)
        sshds.start(*TWO)
        env = tunnels(farm, sshds, *TWO)
        compile_one(farm, env)
        farm.wait_for_workers(*TWO)
        here = project(farm, 60)
        plain = build(farm, here, "gcc", {})
        for path in here.glob("*.o"):
            path.unlink()
        with counted(farm) as jobs:
            making = farm.spawn(["make", "-s", "-j6", "CC=zdistcc gcc"], here, env=env)
            wait_until(lambda: len(list(here.glob("*.o"))) >= 10, 60, "some objects")
            sshds.kill("w1")
            assert making.wait(120) == 0, making.stderr
        assert differing(made(here), plain) == []
        assert jobs.remote + jobs.local == 60
        assert jobs.workers["w2"] > 0
        wait_until(lambda: not farm.hosts()["w1"]["usable"], 10, "w1 is lost")
        assert farm.hosts()["w1"]["reason"]
        sshds.start("w1")
        wait_until(lambda: farm.hosts()["w1"]["usable"], 40, "w1 is back")
        assert sshds.sessions("w1") == 1


def test_an_ssh_that_is_killed(farm: Farm, sshds: Sshds) -> None:
    """A tunnel whose ssh has died is noticed at once and built anew; the worker behind it is the same, still warm."""
    env = tunnels(farm, sshds, "w1")
    compile_one(farm, env)
    farm.wait_for_workers("w1")
    before = sshds.sessions("w1")
    (pid,) = [pid for pid, words in farm.client.processes().items() if words and words[0] == "ssh"]
    farm.client.run(["kill", "-KILL", str(pid)], check=True)
    wait_until(lambda: sshds.sessions("w1") == before + 1, 20, "a new session")
    farm.wait_for_workers("w1")
    compile_one(farm, env)
    assert farm.stats()["jobs"]["remote"] > 0


def reason(farm: Farm, name: str) -> str:
    wait_until(lambda: farm.hosts().get(name, {}).get("state") == "unreachable", 30, f"{name} is unreachable")
    shown = farm.run([LAUNCHER, "hosts"], farm.directory, env={"COLUMNS": "400"}).stdout
    said: str = farm.hosts()[name]["reason"]
    assert said in " ".join(shown.split())
    return said


def test_a_key_that_is_not_known_there(farm: Farm, sshds: Sshds) -> None:
    name = f"root@{farm.lan['w1'].ipv4}"
    compile_one(farm, tunnels(farm, sshds, "w1", ZDISTCC_SSH=sshds.program("stranger")))
    said = reason(farm, name)
    assert "Permission denied (publickey)" in said
    assert said.endswith(f"add your key there: ssh-copy-id {name}")
    assert farm.stats()["jobs"] == {"remote": 0, "local": 1, "failed": 0}


def test_a_key_that_is_good_for_one_command(farm: Farm, sshds: Sshds) -> None:
    """As the manual writes it into authorized_keys: whatever is asked for, zdistccd --stdio runs."""
    env = tunnels(farm, sshds, "w1", ZDISTCC_SSH=sshds.program("guest"))
    compile_one(farm, env)
    farm.wait_for_workers("w1")
    compile_one(farm, env)
    assert farm.stats()["jobs"]["remote"] > 0


def test_a_machine_whose_key_is_not_known_here(farm: Farm, sshds: Sshds) -> None:
    sshds.know("w2")
    try:
        compile_one(farm, tunnels(farm, sshds, "w1"))
        name = f"root@{farm.lan['w1'].ipv4}"
        assert reason(farm, name).endswith(f"connect once by hand, to see and accept its key: ssh {name}")
    finally:
        sshds.know(*TWO)


def test_no_ssh_at_all(farm: Farm, sshds: Sshds) -> None:
    compile_one(farm, tunnels(farm, sshds, "w1", ZDISTCC_SSH="/nowhere/ssh"))
    assert reason(farm, f"root@{farm.lan['w1'].ipv4}") == "cannot run /nowhere/ssh: No such file or directory"


def test_a_program_that_is_not_there(farm: Farm, sshds: Sshds) -> None:
    name = f"root@{farm.lan['w1'].ipv4}"
    compile_one(farm, tunnels(farm, sshds, "w1", ZDISTCC_PEERS=f"{name}:/opt/none/zdistccd"))
    assert "/opt/none/zdistccd" in reason(farm, name)


def test_a_shell_that_talks(farm: Farm, sshds: Sshds) -> None:
    (farm.lan["w1"].home / ".bashrc").write_text("echo Welcome to w1!; echo on both >&2\n")
    env = tunnels(farm, sshds, "w1")
    compile_one(farm, env)
    farm.wait_for_workers("w1")
    compile_one(farm, env)
    assert farm.stats()["jobs"]["remote"] > 0
    (farm.lan["w1"].home / ".bashrc").unlink()


def test_what_the_other_end_complains_of(farm: Farm, sshds: Sshds) -> None:
    shell = farm.lan["w1"].home / ".bashrc"
    shell.write_text("export ZDISTCC_RUNTIME_DIR=/tmp/open; mkdir -p -m 755 /tmp/open\n")
    name = f"root@{farm.lan['w1'].ipv4}"
    env = tunnels(farm, sshds, "w1")
    compile_one(farm, env)
    assert "/tmp/open is open to others: it must belong to you alone" in reason(farm, name)
    said = farm.run([LAUNCHER, "doctor"], farm.directory, env=env, check=False).stdout
    assert f"worker {name}: not reached through ssh: zdistccd: /tmp/open is open to others" in said
    shell.unlink()


def test_one_worker_for_the_network_and_for_ssh(farm: Farm, sshds: Sshds) -> None:
    """A zdistccd that runs there serves those who come through ssh; one that ssh began gives way to it."""
    env = tunnels(farm, sshds, "w1")
    compile_one(farm, env)
    farm.wait_for_workers("w1")
    began = farm.lan["w1"].processes()
    farm.start("w1", "--no-discovery")
    farm.serving("w1")
    log = farm.lan["w1"].run(["sh", "-c", "cat /run/user/test/zdistcc/stdio-*.log"]).stdout
    assert "leaving" in log, began
    wait_until(lambda: "client connected" in farm.daemons["w1"].stderr, 30, "the tunnel leads to the daemon")
    farm.wait_for_workers("w1")
    compile_one(farm, env)
    assert "job done" in farm.daemons["w1"].stderr
    farm.stop("w1")


def test_a_daemon_that_is_found_by_its_port(farm: Farm, sshds: Sshds) -> None:
    """As one of the system's, which has another user's directories and so another door."""
    farm.start("w2", "--no-discovery", env={"ZDISTCC_RUNTIME_DIR": "/tmp/other", "ZDISTCC_CACHE_DIR": "/tmp/cache"})
    farm.serving("w2")
    env = tunnels(farm, sshds, "w2")
    compile_one(farm, env)
    farm.wait_for_workers("w2")
    compile_one(farm, env)
    assert "job done" in farm.daemons["w2"].stderr
    farm.stop("w2")


def test_discovered_workers_by_ssh_only(tmp_path: Path) -> None:
    with Farm(tmp_path, workers=2, env={"ZDISTCC_POLICY": "least-loaded"}) as farm:
        sshds = Sshds(farm, TWO)
        sshds.start(*TWO)
        env = {"ZDISTCC_REACH": "ssh", "ZDISTCC_SSH": sshds.program(), "ZDISTCC_SSH_USER": "root"}
        compile_one(farm, env)
        farm.wait_for_workers(*TWO)
        here = project(farm, 20)
        plain = build(farm, here, "gcc", {})
        with counted(farm) as jobs:
            assert differing(build(farm, here, "zdistcc gcc", env), plain) == []
        assert (jobs.remote, jobs.reasons) == (20, {})
        for name in TWO:
            assert sshds.sessions(name) == 1
            assert farm.hosts()[name]["address"] == f"ssh root@{name}"
            assert farm.daemons[name].stderr.count("client connected") == 1
        port = f":{3633:04X} "
        table = farm.client.run(["cat", "/proc/net/tcp", "/proc/net/tcp6"]).stdout
        assert port not in table.upper(), "a connection to a worker's port"


@pytest.mark.skipif(shutil.which("distccd") is None, reason="there is no distccd here (apt-get install distcc)")
@pytest.mark.parametrize("command", ["/usr/bin/distccd", ""], ids=["named", "found"])
def test_stock_jobs_share_a_connection(farm: Farm, sshds: Sshds, command: str) -> None:
    """One tunnel a job, as the protocol has it, and one connection for all of them."""
    here = project(farm, 6)
    sources = [f"u{number}.i" for number in range(6)]
    for source in sources:
        farm.run(["gcc", "-E", source.replace(".i", ".c"), "-o", source], here)
        farm.run(["gcc", "-O2", "-c", source, "-o", f"plain-{source}.o"], here)
    before = sshds.sessions("w2")
    words = [farm.lan["w2"].ipv4, command, "/run/user/test", *shlex.split(sshds.program()), "--", *sources]
    farm.run([sys.executable, "-m", "tests.e2e.stock_jobs", *words], here, env={"PYTHONPATH": str(PROJECT)})
    for source in sources:
        assert (here / source).with_suffix(".o").read_bytes() == (here / f"plain-{source}.o").read_bytes()
    assert sshds.sessions("w2") == before + 1


@pytest.mark.skipif(shutil.which("distccd") is None, reason="there is no distccd here (apt-get install distcc)")
def test_a_machine_with_distccd_alone(farm: Farm, sshds: Sshds) -> None:
    """It is a stock host, whose jobs share one connection."""
    name = f"root@{farm.lan['w1'].ipv4}"
    env = tunnels(farm, sshds, "w1", ZDISTCC_PEERS=f"{name}:/usr/bin/distccd")
    compile_one(farm, env)
    wait_until(lambda: farm.hosts().get(name, {}).get("state") == "ready", 30, "it has passed its trial")
    assert farm.hosts()[name]["protocol"] == "distcc"
    here = project(farm, 12)
    makefile = here / "Makefile"
    makefile.write_text(makefile.read_text().replace("-O2 -g", "-O2"))
    plain = build(farm, here, "gcc", {})
    before = sshds.sessions("w1")
    with counted(farm) as jobs:
        assert differing(build(farm, here, "zdistcc gcc", env), plain) == []
    assert jobs.workers == {name: 12}
    assert sshds.sessions("w1") <= before + 1


def test_a_stranger_on_the_port(farm: Farm, sshds: Sshds) -> None:
    """Something of the system listens on our port and is no zdistccd: a worker is begun beside it."""
    w2 = farm.lan["w2"]
    for pid in w2.run(["sh", "-c", "cat /run/user/test/zdistcc/stdio-*.lock"]).stdout.split():
        w2.run(["kill", pid])
    wait_until(lambda: not any("--stdio" in words for words in w2.processes().values()), 20, "no worker is left")
    stranger = w2.spawn([sys.executable, "-c", STRANGER])
    try:
        stranger.wait_for_output("on")
        env = tunnels(farm, sshds, "w2")
        compile_one(farm, env)
        farm.wait_for_workers("w2")
        compile_one(farm, env)
        assert farm.stats()["jobs"]["remote"] > 0
        assert "met" in stranger.stdout
    finally:
        stranger.kill()
        stranger.wait()

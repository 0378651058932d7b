"""The virtual LAN keeps its promises: a test that uses it may rely on each of these."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lan.cpu import remove_group
from tests.lan.lan import Host, Lan
from tests.lan.machine import Machine, Process
from tests.lan.needs import impair_unavailable_reason, lan_unavailable_reason, program
from tests.lan.waiting import wait_until

REASON = lan_unavailable_reason()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

needs_taps = pytest.mark.skipif(impair_unavailable_reason() is not None, reason=str(impair_unavailable_reason()))

HOSTS = (Host("client"), Host("w1"), Host("w2"))
SERVICE = "_zdistcc-test._tcp.local."

ECHO_SERVER = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
address = socket.getaddrinfo(sys.argv[1], 7000, type=socket.SOCK_STREAM)[0][4]
with socket.socket(family) as listener:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen()
    print("listening", flush=True)
    peer, _ = listener.accept()
    with peer:
        while data := peer.recv(65536):
            peer.sendall(data)
"""

# Stepped, it sends one line a SIGUSR1, so that the test decides when.
ECHO_CLIENT = """
import signal, socket, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
with socket.create_connection((sys.argv[1], 7000), 10) as sock:
    print("connected", flush=True)
    for number in range(int(sys.argv[2])):
        if sys.argv[3] == "stepped":
            signal.sigwait({signal.SIGUSR1})
        sock.sendall(b"%d" % number)
        print("answer", sock.recv(100).decode(), flush=True)
"""

FLOOD = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for number in range(int(sys.argv[2])):
        sock.sendto(b"x" * int(sys.argv[3]), (sys.argv[1], 7001))
print("sent", flush=True)
"""

BURN = """
import sys, time
while time.process_time() < float(sys.argv[1]):
    pass
"""


@pytest.fixture(scope="module")
def lan() -> Iterator[Lan]:
    """One LAN for the tests that leave it as it was."""
    with Lan(HOSTS) as lan:
        yield lan


def python(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", script, *arguments]


def network_namespaces() -> set[str]:
    """The namespaces some process is in; ours end with their processes."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.add(os.readlink(entry / "ns/net"))
            except OSError:
                continue
    return found


def own_children() -> set[str]:
    """The processes that this one has started and not yet collected."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def machine_state() -> tuple[list[str], str, set[str], str]:
    """What a leak would change in the machine's own view; other test runs on it may come and go meanwhile."""
    groups = Path("/sys/fs/cgroup/cpuacct")
    ip = program("ip")
    return (
        sorted(os.listdir("/sys/class/net")),
        subprocess.run([ip, "netns"], capture_output=True, text=True, check=True).stdout,
        {group.name for group in groups.glob(f"zdistcc-lan-{os.getpid()}-*")} if groups.exists() else set(),
        Path("/proc/self/mountinfo").read_text(),
    )


# --- what a host is ------------------------------------------------------------------------------


@pytest.mark.parametrize("user_namespace", [False, True])
def test_hosts_reach_each_other_in_both_families(user_namespace: bool) -> None:
    if reason := lan_unavailable_reason(user_namespace):
        assert user_namespace != (os.geteuid() != 0), "the default kind must work, or all is skipped"
        pytest.skip(reason)
    with Lan(HOSTS, user_namespace=user_namespace) as lan:
        for one in lan:
            for other in lan:
                assert None not in one.ping(other.ipv4), (one, other)
                assert None not in one.ping(other.ipv6), (one, other)


def test_outside_is_unreachable_at_once(lan: Lan) -> None:
    assert lan["client"].ping("192.0.2.1", timeout_s=5) == [None]
    script = "import socket; socket.create_connection(('192.0.2.1', 80), 5)"
    assert "Network is unreachable" in lan["client"].run(python(script)).stderr


def test_each_host_has_its_own_name(lan: Lan) -> None:
    script = "import socket; print(socket.gethostname(), socket.gethostbyname(socket.gethostname()))"
    for machine in lan:
        assert machine.run(python(script), check=True).stdout == f"{machine.name} 127.0.1.1\n"
    assert socket.gethostname() not in {machine.name for machine in lan}


def test_private_and_shared_directories(lan: Lan, tmp_path: Path) -> None:
    client, worker = lan["client"], lan["w1"]
    assert client.run(["sh", "-c", "echo secret > /tmp/mark; echo > $XDG_RUNTIME_DIR/mark"]).returncode == 0
    assert (client.tmp / "mark").read_text() == "secret\n"
    assert not Path("/tmp/mark").exists()
    assert worker.run(["test", "-e", "/tmp/mark"]).returncode == 1
    assert worker.run(["test", "-e", "/run/user/test/mark"]).returncode == 1
    assert worker.run(["test", "-e", "/run/user/test"]).returncode == 0
    assert client.environment["HOME"] != worker.environment["HOME"]
    assert worker.run([sys.executable, "-c", "import zdistcc"], cwd=Path(__file__).parents[2]).returncode == 0
    with Lan([Host("one")], visible=[tmp_path]) as other:
        (tmp_path / "input").write_text("seen\n")
        assert other["one"].run(["cat", tmp_path / "input"], check=True).stdout == "seen\n"


def test_environment_and_directory_are_what_was_said(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKED_FROM_THE_TEST", "1")
    done = lan["w1"].run(["sh", "-c", "pwd; echo $EXTRA; env"], env={"EXTRA": "given"}, cwd="/usr")
    assert done.stdout.startswith("/usr\ngiven\n")
    assert "LEAKED" not in done.stdout


# --- processes -----------------------------------------------------------------------------------


def test_exit_status_signals_and_output(lan: Lan) -> None:
    worker = lan["w1"]
    done = worker.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    sleeper = worker.spawn(["sleep", "100"])
    sleeper.terminate()
    assert sleeper.wait(10) == -signal.SIGTERM
    sleeper.terminate()  # nobody there any more: no error
    with pytest.raises(subprocess.TimeoutExpired):
        worker.run(["sleep", "100"], timeout_s=0.05)
    assert worker.processes() == {}


def test_stopped_and_continued(lan: Lan) -> None:
    process = lan["w1"].spawn(["cat", "/dev/zero"], stdin=None)
    pid = process.pid
    assert pid is not None

    def state() -> str:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: state() == "T", 10, "the process is stopped")
    process.send_signal(signal.SIGCONT)
    wait_until(lambda: state() in "RSD", 10, "the process runs again")
    process.kill()
    assert process.wait(10) == -signal.SIGKILL


def test_orphans_are_reaped_on_the_host(lan: Lan) -> None:
    worker = lan["w2"]
    assert worker.run(["sh", "-c", "sleep 0.05 & exit 0"]).returncode == 0
    wait_until(lambda: worker.processes() == {}, 10, "the orphan is gone, not a zombie")


def test_daemons_end_with_the_lan() -> None:
    with Lan([Host("one")]) as lan:
        lan["one"].run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & exit 0"])
        wait_until(lambda: ["sleep", "1000"] in lan["one"].processes().values(), 10, "the daemon runs")
        inner = next(pid for pid, argv in lan["one"].processes().items() if argv == ["sleep", "1000"])
        stopped = lan["one"].spawn(["sleep", "1001"])
        stopped.send_signal(signal.SIGSTOP)
        proc = Path(f"/proc/{lan['one'].holder}/root/proc/{inner}")
        assert proc.exists()
    assert not proc.exists()
    assert stopped.returncode == -signal.SIGKILL


def test_spawning_is_cheap(lan: Lan) -> None:
    """Compared with the same program started directly: budget 10 ms on any machine that runs tests."""

    def once() -> float:
        start = time.perf_counter()
        lan["client"].run(["true"], check=True)
        return time.perf_counter() - start

    assert min(once() for _ in range(20)) < 0.010


def test_cpu_time_and_pinning(lan: Lan) -> None:
    worker = lan["w1"]
    last = max(os.sched_getaffinity(0))
    worker.cpuset(str(last))
    try:
        script = "import os; print(os.sched_getaffinity(0))"
        assert worker.run(python(script), check=True).stdout == f"{{{last}}}\n"
    finally:
        worker.cpuset(None)
    with Lan([Host("plain")], control_groups=False) as other:
        for machine in (worker, other["plain"]):
            before, idle = machine.cpu_seconds(), lan["w2"].cpu_seconds()
            machine.run(["sh", "-c", '"$@" & "$@" & wait', "sh", *python(BURN, "0.3")], check=True)
            machine.run(["sh", "-c", '"$@" & exit', "sh", *python(BURN, "0.2")], check=True)
            wait_until(lambda m=machine: m.processes() == {}, 20, "the orphan is done")  # type: ignore[misc]
            assert 0.75 < machine.cpu_seconds() - before < 1.5
            assert lan["w2"].cpu_seconds() == idle


# --- the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_tcp(lan: Lan, family: str) -> None:
    address = str(getattr(lan["w1"], family))
    server = lan["w1"].spawn(python(ECHO_SERVER, address))
    server.wait_for_output("listening", 10)
    done = lan["client"].run(python(ECHO_CLIENT, address, "1", "freely"), check=True)
    assert done.stdout == "connected\nanswer 0\n"
    assert server.wait(10) == 0


def start_peers(lan: Lan) -> dict[str, Process]:
    script = str(Path(__file__).with_name("mdns_peer.py"))
    return {
        machine.name: machine.spawn([sys.executable, script, SERVICE, str(5000 + number), machine.ipv4])
        for number, machine in enumerate(lan)
    }


def test_mdns_between_all_hosts_and_goodbye() -> None:
    with Lan(HOSTS) as lan:
        peers = start_peers(lan)
        for peer in peers.values():
            for number, machine in enumerate(lan):
                peer.wait_for_output(f"+ {machine.name} {machine.ipv4} {5000 + number}\n", 15)
        peers["w2"].terminate()
        assert peers["w2"].wait(15) == 0, peers["w2"].stderr
        for name in ("client", "w1"):
            peers[name].wait_for_output("- w2\n", 10)
        for name in ("client", "w1"):
            assert "- w1" not in peers[name].stdout
            peers[name].terminate()
            assert peers[name].wait(15) == 0


def test_pulled_cable_stops_traffic_and_keeps_sockets() -> None:
    with Lan(HOSTS) as lan:
        client, worker = lan["client"], lan["w1"]
        server = worker.spawn(python(ECHO_SERVER, worker.ipv4))
        server.wait_for_output("listening", 10)
        talk = client.spawn(python(ECHO_CLIENT, worker.ipv4, "2", "stepped"))
        talk.wait_for_output("connected", 10)
        lan.link_down(worker)
        assert client.ping(worker.ipv4, 2, timeout_s=0.1) == [None, None]
        assert client.ping(worker.ipv6, 1, timeout_s=0.1) == [None]
        assert None not in client.ping(lan["w2"].ipv4, 2)
        assert "NO-CARRIER" in worker.run(["ip", "link", "show", "eth0"]).stdout
        talk.send_signal(signal.SIGUSR1)
        assert talk.poll() is None
        assert "answer" not in talk.stdout
        lan.link_up(worker)
        talk.wait_for_output("answer 0", 30)  # by TCP's own retransmission
        talk.send_signal(signal.SIGUSR1)
        assert talk.wait(30) == 0, talk.stderr
        assert None not in client.ping(worker.ipv6, 1)


def round_trip(client: Machine, worker: Machine) -> float:
    times = [answer for answer in client.ping(worker.ipv4, 9) if answer is not None]
    assert len(times) == 9
    return statistics.median(times)


@needs_taps
def test_delay_is_added_and_removed() -> None:
    with Lan(HOSTS) as lan:
        client, worker = lan["client"], lan["w1"]
        plain = round_trip(client, worker)
        lan.impair(worker, delay_ms=15)
        short = round_trip(client, worker)
        lan.impair(worker, delay_ms=60)
        long = round_trip(client, worker)
        assert short > max(30, 5 * plain)
        assert long >= 120
        assert 2.5 < long / short < 5
        assert round_trip(client, lan["w2"]) < short / 2
        lan.impair(worker)
        assert round_trip(client, worker) < short / 2
        with pytest.raises(KeyError):
            lan.counts(worker)


@needs_taps
def test_bulk_through_an_impaired_cable_is_intact() -> None:
    """Large segments are cut and their checksums finished before the relay sees them."""
    with Lan(HOSTS) as lan:
        lan.impair("w1", delay_ms=2)
        lan["w1"].spawn(python(ECHO_SERVER, lan["w1"].ipv4)).wait_for_output("listening", 10)
        script = (
            "import socket, sys, threading\n"
            "data = bytes(range(256)) * 8192\n"
            "with socket.create_connection((sys.argv[1], 7000), 30) as sock:\n"
            "    threading.Thread(target=sock.sendall, args=(data,)).start()\n"
            "    back = bytearray()\n"
            "    while len(back) < len(data): back += sock.recv(65536)\n"
            "print(back == data)\n"
        )
        assert lan["client"].run(python(script, lan["w1"].ipv4), check=True).stdout == "True\n"
        counts = lan.counts("w1")
        assert counts.carried > 2 * 8192 * 256 / 1500
        assert counts.lost == counts.overflowed == 0


def lost_of_a_flood(seed: int) -> tuple[int, int]:
    with Lan(HOSTS) as lan:
        client, worker = lan["client"], lan["w1"]
        assert None not in client.ping(worker.ipv4)  # the neighbour is known, its frames are not counted
        lan.impair(worker, loss=0.25, seed=seed)
        before = worker.run(["cat", "/proc/net/dev"]).stdout
        assert lan.counts(worker).lost <= 2
        client.run(python(FLOOD, worker.ipv4, "400", "64"), check=True)
        wait_until(lambda: lan.counts(worker).carried + lan.counts(worker).lost >= 400, 10, "all frames are judged")
        after = worker.run(["cat", "/proc/net/dev"]).stdout
        return lan.counts(worker).lost, received(after) - received(before)


def received(net_dev: str) -> int:
    return next(int(line.split()[2]) for line in net_dev.splitlines() if "eth0:" in line)


@needs_taps
def test_loss_is_counted_and_real() -> None:
    lost, arrived = lost_of_a_flood(seed=1)
    assert 60 <= lost <= 140  # 100 expected, standard deviation 8.7
    assert 400 - lost - 3 <= arrived <= 400 - lost + 8  # a few frames are the kernel's own


PACED = """
import socket, sys, time
with socket.create_connection((sys.argv[1], 7000), 30) as sock:
    start = time.monotonic()
    for _ in range(25):
        sock.sendall(bytes(10000))
        left = 10000
        while left:
            left -= len(sock.recv(left))
    print(time.monotonic() - start)
"""


def paced_seconds(lan: Lan) -> float:
    """How long 25 times 10 kB take to the first worker and back."""
    server = lan["w1"].spawn(python(ECHO_SERVER, lan["w1"].ipv4))
    server.wait_for_output("listening", 10)
    answer = lan["client"].run(python(PACED, lan["w1"].ipv4), check=True).stdout
    assert server.wait(10) == 0
    return float(answer)


def test_rate_limit() -> None:
    """A lower bound holds even on a busy machine: 250 kB a direction at 1.25 MB/s are 0.2 s."""
    with Lan(HOSTS) as lan:
        lan.impair("w1", rate_mbit=10)
        assert paced_seconds(lan) > 0.18
        lan.impair("w1")
        assert min(paced_seconds(lan) for _ in range(3)) < 0.12


# --- coming and going ----------------------------------------------------------------------------


def test_lans_are_separate() -> None:
    with Lan(HOSTS) as one, Lan([Host("client"), Host("other", "10.77.1.9")]) as two:
        assert two["client"].ipv4 == one["client"].ipv4
        assert None not in two["client"].ping(two["other"].ipv4)
        assert one["client"].ping(two["other"].ipv4, timeout_s=0.1) == [None]


@needs_taps
def test_teardown_leaves_nothing(tmp_path: Path) -> None:
    before = machine_state()
    descriptors = sorted(os.listdir("/proc/self/fd"))
    with Lan(HOSTS) as lan:
        lan.impair("w1", delay_ms=1, loss=0.1, rate_mbit=100)
        lan["w1"].spawn(["sleep", "1000"])
        mine = Path(lan["client"].home).parent.parent
        relatives = {lan[name].holder for name in ("client", "w1", "w2")}
        namespaces = {os.readlink(f"/proc/{pid}/ns/net") for pid in relatives}
        assert len(namespaces) == 3 and namespaces <= network_namespaces()
    with pytest.raises(ZeroDivisionError), Lan(HOSTS, directory=tmp_path) as lan:
        lan["w2"].spawn(["sleep", "1000"])
        raise ZeroDivisionError
    assert machine_state() == before
    assert not namespaces & network_namespaces()
    assert sorted(os.listdir("/proc/self/fd")) == descriptors
    assert not mine.exists()
    assert (tmp_path / "w2/log/000-sleep.out").exists()
    assert not any(Path(f"/proc/{pid}").exists() for pid in relatives)


def test_a_failed_start_leaves_nothing() -> None:
    """The second host's name is longer than the kernel takes."""
    before, children = machine_state(), own_children()
    with pytest.raises(RuntimeError), Lan([Host("a"), Host("b" * 65)]):
        pass
    assert (machine_state(), own_children()) == (before, children)


def test_a_killed_test_run_leaves_nothing() -> None:
    script = (
        "import os, sys\n"
        "from tests.lan.lan import Host, Lan\n"
        "lan = Lan([Host('one')]).__enter__()\n"
        "lan['one'].spawn(['sleep', '1000'])\n"
        "print(os.getpid(), lan['one'].holder, lan['one'].home.parent.parent, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    pid, holder, directory = done.stdout.split()
    wait_until(lambda: not Path(f"/proc/{holder}").exists(), 10, "the host has ended")
    shutil.rmtree(directory)
    for group in Path("/sys/fs/cgroup/cpuacct").glob(f"zdistcc-lan-{pid}-*"):
        remove_group(group)

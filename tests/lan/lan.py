"""Virtual LANs as data: `with Lan([Host("client"), Host("w1")]) as lan: lan["w1"].run(...)`.

Every host is a set of namespaces (network, hostname, mounts, processes) with a private /tmp, /run and
home; the rest of the file system is the machine's own.  A further network namespace, the hub, holds the
bridge and the hosts' cables, so nothing is created in the machine's own namespace, names can't collide
between LANs, and when the last process of a namespace ends the kernel takes everything down: nothing
is left behind even by a test run that was killed.

There is no router and no name server: addresses outside the LAN are unreachable at once.  /sys shows
the machine's interfaces, not the host's (a second sysfs would hide the control groups).

Rejected: `ip netns` (names in a global directory, leaked by a killed test); netem (see relay.py).
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lan.cpu import CpuGroup
from tests.lan.machine import END_TIMEOUT_S, Addresses, Machine
from tests.lan.needs import nsenter, program, unshare

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent
PRIVATE = ("/tmp", "/var/tmp", "/run", "/dev/shm")
SERIAL = itertools.count(1)
TBF_LATENCY_MS = 100  # the queue before the rate limit; a good switch has less, a wireless bridge more
TBF_BURST_S = 0.01  # a scheduler tick at HZ=100, the least that still reaches the rate


@dataclass(frozen=True, slots=True)
class Host:
    """A host to be: its name (a DNS label), and its address if not the next free one."""

    name: str
    ipv4: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What an impaired cable has done to frames of both directions so far."""

    carried: int
    lost: int
    overflowed: int


class _Program:
    """A helper process with lines in and out, which ends when its input does."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PATH": os.defpath}
        )
        self.pid = self._process.pid

    def answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait(END_TIMEOUT_S)}")
        return line

    def ask(self, request: object) -> str:
        assert self._process.stdin is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self.answer()

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_TIMEOUT_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


def _interpreter(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", str(HERE / script), *arguments]


def _mac(number: int) -> bytes:
    return bytes((0x02, 0x7A, 0x64, 0, number >> 8, number & 0xFF))


def _link_local(mac: bytes) -> ipaddress.IPv6Interface:
    """The address a host gives itself by RFC 4291, appendix A."""
    identifier = bytes((mac[0] ^ 2, *mac[1:3], 0xFF, 0xFE, *mac[3:]))
    return ipaddress.IPv6Interface((b"\xfe\x80" + bytes(6) + identifier, 64))


class Lan:
    """Hosts on one Ethernet segment. A context manager; `lan[name]` is the running host.

    `visible` are further directories below /tmp, /run... that the hosts shall see; the project,
    the interpreter's environment and `directory` always are.  `directory` (kept) holds the hosts'
    private files and logs; without it a temporary one is made, and removed.  The other two say how:
    in a user namespace (None: unless we are root), and measuring CPU time by control groups if possible.
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        *,
        subnet: str = "10.77.1.0/24",
        directory: Path | None = None,
        visible: Sequence[Path] = (),
        user_namespace: bool | None = None,
        control_groups: bool = True,
    ) -> None:
        names = [host.name for host in hosts]
        if len(set(names)) != len(names):
            raise ValueError(f"two hosts of one name: {names}")
        self._hosts = tuple(hosts)
        self._subnet = ipaddress.IPv4Network(subnet)
        self._directory = directory
        self._visible = visible
        self._user = os.geteuid() != 0 if user_namespace is None else user_namespace
        self._control_groups = control_groups
        self._name = f"zdistcc-lan-{os.getpid()}-{next(SERIAL)}"
        self._machines: dict[str, Machine] = {}
        self._relays: dict[str, _Program] = {}
        self._stack = contextlib.ExitStack()
        self._hub: _Program | None = None

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def __getitem__(self, name: str) -> Machine:
        return self._machines[name]

    def __iter__(self) -> Iterator[Machine]:
        return iter(self._machines.values())

    # --- cables ---------------------------------------------------------------------------------

    def link_down(self, host: Machine | str) -> None:
        """Pull the host's cable out of the switch: no carrier; addresses and sockets stay."""
        self._ip(f"link set port{self._number(host)} down")

    def link_up(self, host: Machine | str) -> None:
        self._ip(f"link set port{self._number(host)} up")

    def impair(
        self,
        host: Machine | str,
        *,
        delay_ms: float = 0.0,
        loss: float = 0.0,
        rate_mbit: float | None = None,
        seed: int = 0,
    ) -> None:
        """Make the host's cable as bad as said, in each direction; without arguments, good again.

        `delay_ms` is one way, `loss` the probability for a frame, decided by a generator of `seed`.
        """
        name = host if isinstance(host, str) else host.name
        number = self._number(host)
        if (delay_ms or loss) and name not in self._relays:
            self._insert_relay(name, number)
        if name in self._relays:
            self._relays[name].ask({"delay_ms": delay_ms, "loss": loss, "seed": seed})
            if not (delay_ms or loss):
                self._remove_relay(name, number)
        self._limit(self._enter_hub(), f"port{number}", rate_mbit)
        inside = nsenter(self._machines[name].holder, "--net", user=self._user)
        self._limit(inside, "eth0", rate_mbit)

    def counts(self, host: Machine | str) -> Counts:
        """What the cable has done since delay or loss were first asked for; KeyError without these."""
        name = host if isinstance(host, str) else host.name
        return Counts(**json.loads(self._relays[name].ask({})))

    def _insert_relay(self, name: str, number: int) -> None:
        """host - port - bridge `far` - tap - relay - tap - bridge `lan`: taps can't be joined directly."""
        relay = _Program([*self._enter_hub(), *_interpreter("relay.py", f"near{number}", f"away{number}")])
        self._stack.callback(relay.close)
        relay.answer()
        self._ip(
            f"link add far{number} type bridge forward_delay 0 mcast_snooping 0",
            *(f"link set {link}{number} addrgenmode none" for link in ("far", "near", "away")),
            f"link set near{number} master lan",
            f"link set away{number} master far{number}",
            *(f"link set {link}{number} up" for link in ("far", "near", "away")),
            f"link set port{number} master far{number}",
        )
        self._relays[name] = relay

    def _remove_relay(self, name: str, number: int) -> None:
        self._ip(f"link set port{number} master lan", f"link del far{number}")
        self._relays.pop(name).close()

    def _limit(self, enter: Sequence[str], device: str, rate_mbit: float | None) -> None:
        tc = [*enter, program("tc"), "qdisc"]
        if rate_mbit is None:
            subprocess.run([*tc, "del", "dev", device, "root"], capture_output=True)  # fails if there is none
            return
        burst = max(2 * 1514, round(rate_mbit * 1e6 / 8 * TBF_BURST_S))
        limit = ["rate", f"{rate_mbit}mbit", "burst", str(burst), "latency", f"{TBF_LATENCY_MS}ms"]
        subprocess.run([*tc, "replace", "dev", device, "root", "tbf", *limit], check=True)

    # --- building -------------------------------------------------------------------------------

    def _number(self, host: Machine | str) -> int:
        name = host if isinstance(host, str) else host.name
        return list(self._machines).index(name) + 1

    def _enter_hub(self) -> list[str]:
        assert self._hub is not None
        return nsenter(self._hub.pid, "--net", user=self._user)

    def _ip(self, *commands: str, enter: Sequence[str] | None = None) -> None:
        subprocess.run(
            [*(enter or self._enter_hub()), program("ip"), "-batch", "-"],
            input="\n".join(commands).encode(),
            check=True,
        )

    def _build(self) -> None:
        if self._directory is None:
            root = Path(tempfile.mkdtemp(prefix=f"{self._name}-"))
            self._stack.callback(shutil.rmtree, root)
        else:
            root = self._directory
        self._hub = _Program([*unshare("--net", user=self._user), *_interpreter("holder.py")])
        self._stack.callback(self._hub.close)
        self._hub.ask({"hostname": None, "mounts": []})
        self._ip(
            "link set lo up",
            "link add lan type bridge forward_delay 0 mcast_snooping 0",
            "link set lan addrgenmode none",
            "link set lan up",
        )
        free = self._subnet.hosts()
        for number, host in enumerate(self._hosts, 1):
            address = host.ipv4 or next(free)
            ipv4 = ipaddress.IPv4Interface(f"{address}/{self._subnet.prefixlen}")
            self._add(host.name, number, ipv4, root / host.name)

    def _add(self, name: str, number: int, ipv4: ipaddress.IPv4Interface, root: Path) -> None:
        addresses = Addresses(ipv4=ipv4, ipv6=_link_local(_mac(number)))
        group = CpuGroup.make(f"{self._name}-{name}") if self._control_groups else None
        if group is not None:
            self._stack.callback(group.remove)
        hold = _Program(
            [
                *(nsenter(self._hub.pid, user=True) if self._user and self._hub else []),
                *unshare(*("--net", "--uts", "--ipc", "--mount", "--pid", "--fork", "--kill-child"), user=False),
                *_interpreter("holder.py"),
            ]
        )
        mounts = self._mounts(name, number, root)
        try:
            holder = int(hold.ask({"hostname": name, "mounts": mounts}))
            machine = Machine(name, addresses, root, holder=holder, user=self._user, group=group)
        except BaseException:
            hold.close()
            raise
        self._stack.callback(hold.close)
        self._stack.callback(machine.finish)  # in the opposite order: programs, host, group
        self._machines[name] = machine
        mac = _mac(number).hex(":")
        self._ip(
            f"link add port{number} type veth peer name eth0 address {mac} netns {holder}",
            f"link set port{number} addrgenmode none",
            f"link set port{number} master lan",
            f"link set port{number} up",
        )
        self._ip(
            "link set lo up",
            "link set eth0 addrgenmode none",
            f"address add {ipv4} broadcast + dev eth0",
            f"address add {addresses.ipv6} dev eth0 nodad",
            "link set eth0 up",
            "route add 224.0.0.0/4 dev eth0",
            enter=nsenter(holder, "--net", user=self._user),
        )

    def _mounts(self, name: str, number: int, root: Path) -> list[tuple[str, str, str]]:
        """Make the host's private directories; the mounts that put them, and what stays visible, in place."""
        for part in ("home", "log", "etc", "run/user/test"):
            (root / part).mkdir(parents=True)
        (root / "run/user/test").chmod(0o700)
        visible = {PROJECT, Path(sys.prefix), Path(sys.base_prefix), root.parent, *self._visible}
        inner: list[tuple[str, str, str]] = []
        outer: list[tuple[str, str, str]] = []
        for private in PRIVATE:
            source = root / Path(private).relative_to("/")
            source.mkdir(parents=True, exist_ok=True)
            if private != "/run":
                source.chmod(0o1777)
            for path in sorted(path.resolve() for path in visible):
                if path.is_relative_to(private):
                    place = source / path.relative_to(private)
                    place.mkdir(parents=True, exist_ok=True)
                    inner.append(("bind", str(path), str(place)))
            outer.append(("bind", str(source), str(Path(private).resolve())))
        files = {
            "hosts": f"127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n",
            "hostname": f"{name}\n",
            "machine-id": f"{number:032x}\n",
        }
        for file, text in files.items():
            (root / "etc" / file).write_text(text)
            if os.path.exists(f"/etc/{file}"):
                outer.append(("bind", str(root / "etc" / file), f"/etc/{file}"))
        return [*inner, *outer, ("proc", "proc", "/proc")]

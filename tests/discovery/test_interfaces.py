"""Which interfaces are used, from tables of names."""

from __future__ import annotations

import pytest

from zdistcc.discovery import interfaces
from zdistcc.discovery.interfaces import Interface, choose, is_loopback, why_left_out
from zdistcc.errors import UserError


def nic(name: str, v4: str = "192.0.2.1", v6: str = "fe80::1") -> Interface:
    return Interface(name=name, index=2, v4=(v4,), v6=(v6,))


LO = Interface(name="lo", index=1, v4=("127.0.0.1",), v6=("::1",))


@pytest.mark.parametrize(
    "name", ["eth0", "enp3s0", "wlan0", "wlp2s0", "en0", "br0", "bond0", "eno1.100", "ens18", "team0", "veth0", "usb0",
             "vlan5", "eth0@if7", "bridge0", "wwan0", "lowpan0", "test"]
)  # fmt: skip
def test_those_of_a_lan_are_used(name: str) -> None:
    assert why_left_out(name) is None


@pytest.mark.parametrize(
    ("name", "owner"),
    [("lo", "loopback"), ("lo0", "loopback"), ("docker0", "containers"), ("br-3f2a9c1d", "containers"),
     ("podman1", "containers"),
     ("cni0", "containers"), ("cali12ab", "containers"), ("veth1a2b3c4", "containers"), ("virbr0", "virtual machines"),
     ("vmnet8", "virtual machines"), ("vboxnet0", "virtual machines"), ("tun0", "VPN"), ("tap1", "VPN"), ("wg0", "VPN"),
     ("utun3", "VPN"), ("tailscale0", "VPN"), ("ppp0", "VPN"), ("zt5u4y", "VPN")],
)  # fmt: skip
def test_those_of_others_are_not(name: str, owner: str) -> None:
    assert why_left_out(name) == owner


def test_choice() -> None:
    eth, docker, vpn = nic("eth0"), nic("docker0", "172.17.0.1"), nic("wg0", "10.8.0.2")
    assert choose((), [LO, eth, docker, vpn]) == (eth,)
    assert choose((), [LO, docker]) == (LO,), "nothing else: two programs on this machine still meet"
    assert choose((), [docker]) == () == choose((), [])
    assert choose(["docker0", "10.8.0.2"], [LO, eth, docker, vpn]) == (docker, vpn)
    assert choose(["fe80::1%eth0"], [LO, eth]) == (eth,)
    with pytest.raises(UserError, match="eth9; name one that this machine has: lo, eth0"):
        choose(["eth9"], [LO, eth])


def test_what_stays_on_this_machine() -> None:
    assert is_loopback(LO) and not is_loopback(nic("eth0"))


def test_this_machine_has_a_loopback() -> None:
    assert any(is_loopback(interface) for interface in interfaces.all_interfaces())


def test_an_interface_that_vanishes_meanwhile_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    names = interfaces.netifaces.interfaces
    monkeypatch.setattr(interfaces.netifaces, "interfaces", lambda: [*names(), "gone0"])
    assert "gone0" not in {interface.name for interface in interfaces.all_interfaces()}

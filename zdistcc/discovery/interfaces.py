"""Which network interfaces to use.

Default: every interface with an address but loopback, and but those that containers, virtual machines and VPNs make:
an announcement there reaches nobody who can help, or everybody but over a slow line.  If that leaves none, loopback,
so that two programs on one machine find each other.  A name or an address given by the user always wins.

Rejected: asking the kernel for each interface's kind (Linux only, and a container's end of a veth pair is *its* LAN).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import netifaces

from zdistcc.errors import UserError

_LEFT_OUT: Final = (
    (re.compile(r"lo\d*"), "loopback"),
    (re.compile(r"(docker|br-|podman|cni|flannel|cali|lxc|lxd|nerdctl|kube|cilium)[\w.-]*"), "containers"),
    (re.compile(r"veth[0-9a-f]{6,}.*"), "containers"),
    (re.compile(r"(virbr|vmnet|vboxnet|vnet|vEthernet|bridge1\d\d)[\w.-]*"), "virtual machines"),
    (re.compile(r"(tun|tap|wg|utun|ppp|ipsec|tailscale|zt|nordlynx|proton|wt)[\w.-]*"), "VPN"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """An interface and its numeric addresses; IPv6 ones without scope, which is ``index``."""

    name: str
    index: int
    v4: tuple[str, ...]
    v6: tuple[str, ...]

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses."""
        return self.v4 + self.v6


def why_left_out(name: str) -> str | None:
    """Return what an interface of this name belongs to when it is not used unasked, else ``None``."""
    for pattern, owner in _LEFT_OUT:
        if pattern.fullmatch(name):
            return owner
    return None


def all_interfaces() -> tuple[Interface, ...]:
    """Return every interface that has an address."""
    found = []
    for name in netifaces.interfaces():
        try:
            families = netifaces.ifaddresses(name)
        except (OSError, ValueError):
            continue  # it has just vanished
        v4 = tuple(row["addr"] for row in families.get(netifaces.InterfaceType.AF_INET, []) if row.get("addr"))
        v6 = tuple(
            row["addr"].partition("%")[0]
            for row in families.get(netifaces.InterfaceType.AF_INET6, [])
            if row.get("addr")
        )
        if v4 or v6:
            try:
                index = socket.if_nametoindex(name)
            except OSError:
                continue
            found.append(Interface(name=name, index=index, v4=v4, v6=v6))
    return tuple(found)


def choose(wanted: Sequence[str] = (), available: Sequence[Interface] | None = None) -> tuple[Interface, ...]:
    """Return the interfaces to use; :class:`UserError` when a wanted one does not exist."""
    here = all_interfaces() if available is None else tuple(available)
    if wanted:
        return tuple(_named(word, here) for word in wanted)
    chosen = tuple(interface for interface in here if why_left_out(interface.name) is None)
    return chosen or tuple(interface for interface in here if why_left_out(interface.name) == "loopback")


def _named(word: str, here: Sequence[Interface]) -> Interface:
    for interface in here:
        if word == interface.name or word.partition("%")[0] in interface.addresses:
            return interface
    names = ", ".join(interface.name for interface in here) or "none"
    raise UserError(f"there is no network interface {word}; name one that this machine has: {names}")


def networks(interface: Interface) -> tuple[tuple[ipaddress.IPv4Network, str], ...]:
    """Return the IPv4 networks that ``interface`` is in, each with its own address there."""
    try:
        rows = netifaces.ifaddresses(interface.name).get(netifaces.InterfaceType.AF_INET, [])
    except (OSError, ValueError):
        return ()
    found = []
    for row in rows:
        try:
            found.append((ipaddress.IPv4Network(f"{row['addr']}/{row['mask']}", strict=False), row["addr"]))
        except (KeyError, ValueError):
            continue
    return tuple(found)


def is_loopback(interface: Interface) -> bool:
    """Whether everything on ``interface`` stays on this machine."""
    return all(ipaddress.ip_address(address).is_loopback for address in interface.addresses)

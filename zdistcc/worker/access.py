"""Access: whose connections are served.  Pure.

Private, link-local and loopback addresses (RFC 1918, RFC 4193, RFC 3927, RFC 4291) are the LAN; anything else has to be
named with ``--allow``.  What ``--deny`` names is not served in any case.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from zdistcc.errors import UserError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LAN: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::1/128",
        "fe80::/10",
        "fc00::/7",
    )
)


def parse_networks(words: Iterable[str], option: str = "--allow") -> tuple[Network, ...]:
    """Return the networks in CIDR notation; :class:`UserError` names a bad one, and ``option``."""
    networks = []
    for word in words:
        try:
            networks.append(ipaddress.ip_network(word, strict=False))
        except ValueError as error:
            raise UserError(f"{option} {word}: {error}; write a network as 203.0.113.0/24") from None
    return tuple(networks)


def allowed(address: str, more: Iterable[Network] = ()) -> bool:
    """Return whether a peer at the numeric ``address`` (with or without scope) is one of the LAN, or of ``more``."""
    return within(address, (*_LAN, *more))


def within(address: str, networks: Iterable[Network]) -> bool:
    """Return whether the numeric ``address`` (with or without scope) is in one of ``networks``."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in network for network in networks if network.version == ip.version)

"""One mDNS responder for browsing and advertising, on the chosen interfaces only.

Must not know: what is done about a worker.  IPv6 multicast is used where it works and done without where it does not
(containers often have half an IPv6).
"""

from __future__ import annotations

from collections.abc import Sequence

from zeroconf import IPVersion
from zeroconf.asyncio import AsyncZeroconf

from zdistcc.discovery.interfaces import Interface, is_loopback
from zdistcc.errors import InfraError


class NoMulticast(InfraError):
    """mDNS cannot be used on this machine."""


def open_responder(interfaces: Sequence[Interface]) -> AsyncZeroconf:
    """Return a responder on ``interfaces``; :class:`NoMulticast` with the system's words when it cannot be."""
    v4 = [address for interface in interfaces for address in interface.v4[:1]]
    v6 = [interface.index for interface in interfaces if interface.v6 and not is_loopback(interface)]
    attempts: list[tuple[list[str | int], IPVersion]] = []
    if v4 and v6:
        attempts.append(([*v4, *v6], IPVersion.All))
    if v4:
        attempts.append(([*v4], IPVersion.V4Only))
    if v6:
        attempts.append(([*v6], IPVersion.V6Only))
    cause: Exception | None = None
    for chosen, version in attempts:
        try:
            return AsyncZeroconf(interfaces=chosen, ip_version=version)
        except (OSError, RuntimeError) as error:
            cause = error
    raise NoMulticast(str(cause) if cause else "no network interface has an address")

"""Announces one worker, keeps the announcement true, and says goodbye."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from zdistcc.discovery.advert import SERVICE_TYPE, WorkerAd, to_txt
from zdistcc.discovery.interfaces import Interface


def service_info(ad: WorkerAd, interfaces: Sequence[Interface]) -> AsyncServiceInfo:
    """Return the DNS-SD records for ``ad``.

    Instance and host name carry the worker's id, so that two machines of one name, or two workers on
    one machine, never fight over a name.
    """
    label = f"{ad.name} {ad.id[:8]}".replace(".", "-")
    while len(label.encode()) > 63:
        label = label[1:]
    return AsyncServiceInfo(
        SERVICE_TYPE,
        f"{label}.{SERVICE_TYPE}",
        addresses=[ipaddress.ip_address(text).packed for interface in interfaces for text in interface.addresses],
        port=ad.port,
        properties=to_txt(ad),
        server=f"zdistcc-{ad.id[:16]}.local.",
    )


class Advertiser:
    """One announced worker."""

    def __init__(self, responder: AsyncZeroconf, interfaces: Sequence[Interface]) -> None:
        self._responder = responder
        self._interfaces = interfaces
        self._info: AsyncServiceInfo | None = None

    async def announce(self, ad: WorkerAd) -> None:
        """Announce ``ad``, or replace what was announced by it."""
        info = service_info(ad, self._interfaces)
        if self._info is None:
            await self._responder.async_register_service(info, cooperating_responders=True)
        else:
            await self._responder.async_update_service(info)
        self._info = info

    async def goodbye(self) -> None:
        """Take the announcement back; returns when everybody has been told (a quarter of a second)."""
        info, self._info = self._info, None
        if info is not None:
            await (await self._responder.async_unregister_service(info))

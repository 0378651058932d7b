"""Announces one worker, keeps the announcement true, and says goodbye.

A worker that serves clients of stock distcc is announced to them as well: one instance of ``_distcc._tcp``, and one for
each subtype, which has to be an instance of its own because the library keeps one type for each.  So whoever browses
the plain type sees the worker once.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Sequence

from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from zdistcc.discovery import distcc_advert
from zdistcc.discovery.advert import SERVICE_TYPE, WorkerAd, to_txt
from zdistcc.discovery.distcc_advert import DISTCC_TYPE, DistccAd
from zdistcc.discovery.interfaces import Interface


def service_info(ad: WorkerAd, interfaces: Sequence[Interface]) -> AsyncServiceInfo:
    """Return the DNS-SD records for ``ad``.

    Instance and host name carry the worker's id, so that two machines of one name, or two workers on
    one machine, never fight over a name.
    """
    label = f"{ad.name} {ad.id[:8]}".replace(".", "-")
    while len(label.encode()) > 63:
        label = label[1:]
    return _info(SERVICE_TYPE, f"{label}.{SERVICE_TYPE}", ad, interfaces, to_txt(ad))


def distcc_infos(ad: DistccAd, interfaces: Sequence[Interface]) -> list[AsyncServiceInfo]:
    """Return the same for clients of stock distcc, the instance of the plain type first."""
    usual = ad.compilers[0] if ad.compilers else None
    kinds = [(DISTCC_TYPE, usual)]
    for label, compiler in distcc_advert.subtypes(ad.compilers).items():
        kinds.append((f"{label}._sub.{DISTCC_TYPE}", compiler))
    return [
        _info(
            kind,
            f"{distcc_advert.instance(ad, number)}.{DISTCC_TYPE}",
            ad,
            interfaces,
            distcc_advert.to_txt(ad, compiler),
        )
        for number, (kind, compiler) in enumerate(kinds)
    ]


def _info(
    kind: str, name: str, ad: WorkerAd | DistccAd, interfaces: Sequence[Interface], txt: dict[str, str]
) -> AsyncServiceInfo:
    return AsyncServiceInfo(
        kind,
        name,
        addresses=[ipaddress.ip_address(text).packed for interface in interfaces for text in interface.addresses],
        port=ad.port,
        properties=txt,
        server=f"zdistcc-{ad.id[:16]}.local.",
    )


class Advertiser:
    """One announced worker."""

    def __init__(
        self,
        responder: AsyncZeroconf,
        interfaces: Sequence[Interface],
        distcc: Callable[[], DistccAd | None] = lambda: None,
    ) -> None:
        """``distcc`` is asked at each announcement what clients of stock distcc are told, if anything."""
        self._responder = responder
        self._interfaces = interfaces
        self._distcc = distcc
        self._infos: dict[tuple[str, str], AsyncServiceInfo] = {}

    async def announce(self, ad: WorkerAd) -> None:
        """Announce ``ad``, or replace what was announced by it."""
        distcc = self._distcc()
        infos = [service_info(ad, self._interfaces), *(distcc_infos(distcc, self._interfaces) if distcc else [])]
        before, self._infos = self._infos, {(info.type, info.name): info for info in infos}
        await self._withdraw([info for key, info in before.items() if key not in self._infos])
        for key, info in self._infos.items():
            if key in before:
                await self._responder.async_update_service(info)
            else:
                await self._responder.async_register_service(info, cooperating_responders=True)

    async def goodbye(self) -> None:
        """Take the announcement back; returns when everybody has been told (a quarter of a second)."""
        infos, self._infos = self._infos, {}
        await self._withdraw(list(infos.values()))

    async def _withdraw(self, infos: Sequence[AsyncServiceInfo]) -> None:
        told = [await self._responder.async_unregister_service(info) for info in infos]
        await asyncio.gather(*told)

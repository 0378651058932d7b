"""Listens for workers: each announcement becomes a :class:`WorkerAd`, each goodbye its instance's end.  The same for
stock ``distccd`` hosts and :class:`StockAd`.

What is known here is soft: records have a time to live, and one worker with several addresses is one
instance.  The owner of the list (the agent) decides what to believe.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from zdistcc.discovery import advert, stockad
from zdistcc.discovery.advert import WorkerAd
from zdistcc.discovery.stockad import StockAd

RESOLVE_TIMEOUT_MS: Final = 3000
_log = logging.getLogger("zdistcc.discovery")


class _Heard(Protocol):
    """An announcement, parsed."""

    @property
    def id(self) -> str:
        """Who announces."""


Ad = TypeVar("Ad", bound=_Heard)
Parse = Callable[[str, Mapping[bytes, bytes | None], Sequence[str], int], Ad | None]
"""Makes an announcement of an instance's name, TXT keys, addresses and port."""


class _Listener(Generic[Ad]):
    """Calls ``on_ad`` for each announcement of ``service`` heard or changed, ``on_gone`` with its id at a goodbye."""

    def __init__(
        self,
        responder: AsyncZeroconf,
        service: str,
        parse: Parse[Ad],
        on_ad: Callable[[Ad], None],
        on_gone: Callable[[str], None],
    ) -> None:
        self._responder = responder
        self._service = service
        self._parse = parse
        self._on_ad = on_ad
        self._on_gone = on_gone
        self._ids: dict[str, str] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._browser: AsyncServiceBrowser | None = None

    def start(self) -> None:
        """Begin to listen, and ask."""
        self._browser = AsyncServiceBrowser(self._responder.zeroconf, self._service, handlers=[self._changed])

    async def stop(self) -> None:
        """Stop listening."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._browser is not None:
            await self._browser.async_cancel()

    def _changed(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        under_way = self._tasks.pop(name, None)
        if under_way is not None:
            under_way.cancel()  # what it would find is no longer true
        if state_change is ServiceStateChange.Removed:
            self._forget(name)
            return
        self._tasks[name] = asyncio.ensure_future(self._resolve_safely(zeroconf, name))

    def _forget(self, name: str) -> None:
        worker = self._ids.pop(name, None)
        if worker is not None and worker not in self._ids.values():
            self._on_gone(worker)

    async def _resolve_safely(self, zeroconf: Zeroconf, name: str) -> None:
        """Whatever an announcement holds, the next one is heard."""
        try:
            await self._resolve(zeroconf, name)
        except Exception:
            _log.exception("a bug: an announcement could not be dealt with instance=%r", name)
        finally:
            if self._tasks.get(name) is asyncio.current_task():
                del self._tasks[name]

    async def _resolve(self, zeroconf: Zeroconf, name: str) -> None:
        info = AsyncServiceInfo(self._service, name)
        if not await info.async_request(zeroconf, RESOLVE_TIMEOUT_MS):
            _log.info("announcement without an answer instance=%r", name)
            return
        addresses = info.parsed_scoped_addresses(IPVersion.All)
        ad = self._parse(name, info.properties, addresses, info.port or 0)
        if ad is None or not addresses:
            _log.info("announcement not understood instance=%r", name)
            return
        if self._ids.get(name, ad.id) != ad.id:
            self._forget(name)
        self._ids[name] = ad.id
        self._on_ad(ad)


class Browser(_Listener[WorkerAd]):
    """Listens for workers."""

    def __init__(
        self, responder: AsyncZeroconf, on_ad: Callable[[WorkerAd], None], on_gone: Callable[[str], None]
    ) -> None:
        super().__init__(
            responder,
            advert.SERVICE_TYPE,
            lambda _, txt, addresses, port: advert.from_txt(txt, addresses, port),
            on_ad,
            on_gone,
        )


class StockBrowser(_Listener[StockAd]):
    """Listens for stock ``distccd`` hosts, and for workers that announce themselves as such."""

    def __init__(
        self, responder: AsyncZeroconf, on_ad: Callable[[StockAd], None], on_gone: Callable[[str], None]
    ) -> None:
        super().__init__(responder, stockad.SERVICE_TYPE, stockad.from_txt, on_ad, on_gone)

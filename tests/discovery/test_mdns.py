"""Announced, heard, changed and gone: real multicast DNS on the loopback interface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.aio import run, until
from tests.discovery.test_advert import GCC, LO, ad
from zdistcc.discovery.advert import WorkerAd
from zdistcc.discovery.advertise import Advertiser
from zdistcc.discovery.browse import Browser
from zdistcc.discovery.mdns import NoMulticast, open_responder


class Ears:
    """What a browser on a responder of its own hears."""

    def __init__(self) -> None:
        self.ads: list[WorkerAd] = []
        self.gone: list[str] = []


@asynccontextmanager
async def listening() -> AsyncIterator[Ears]:
    ears = Ears()
    responder = open_responder([LO])
    browser = Browser(responder, ears.ads.append, ears.gone.append)
    browser.start()
    try:
        yield ears
    finally:
        await browser.stop()
        await responder.async_close()


@asynccontextmanager
async def speaking() -> AsyncIterator[Advertiser]:
    responder = open_responder([LO])
    try:
        yield Advertiser(responder, [LO])
    finally:
        await responder.async_close()


def test_announce_change_and_goodbye() -> None:
    async def main() -> None:
        async with listening() as ears, speaking() as advertiser:
            await advertiser.announce(ad(GCC, name='büchse.local "x"'))
            await until(lambda: ears.ads, "it is heard")
            heard = ears.ads[-1]
            assert (heard.id, heard.port, heard.compilers) == ("0123456789abcdef", 3633, (GCC,))
            assert heard.name == 'büchse.local "x"' and "127.0.0.1" in heard.addresses
            await advertiser.announce(ad(GCC, GCC, name='büchse.local "x"'))
            await until(lambda: len(ears.ads[-1].compilers) == 2, "the change is heard")
            await advertiser.goodbye()
            await advertiser.goodbye()
        await asyncio.sleep(0)
        assert ears.gone == ["0123456789abcdef"]

    run(main())


def test_goodbye_is_heard_though_the_program_ends_at_once() -> None:
    async def main() -> None:
        async with listening() as ears:
            async with speaking() as advertiser:
                await advertiser.announce(ad(GCC))
                await until(lambda: ears.ads, "it is heard")
                await advertiser.goodbye()
            await until(lambda: ears.gone, "the goodbye is heard", 4)

    run(main())


def test_a_browser_that_stops_while_it_resolves() -> None:
    async def main() -> None:
        async with speaking() as advertiser:
            await advertiser.announce(ad(GCC))
            for _ in range(5):
                async with listening():
                    await asyncio.sleep(0.02)

    run(main())


def test_an_owner_that_fails_does_not_deafen_it(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        responder = open_responder([LO])
        heard: list[WorkerAd] = []

        def on_ad(found: WorkerAd) -> None:
            heard.append(found)
            raise ZeroDivisionError("a bug")

        browser = Browser(responder, on_ad, lambda worker: None)
        browser.start()
        async with speaking() as advertiser:
            await advertiser.announce(ad(GCC))
            await until(lambda: heard, "it is heard")
            await advertiser.announce(ad(GCC, GCC))
            await until(lambda: len(heard) > 1, "it is heard again")
        await browser.stop()
        await responder.async_close()

    run(main())
    assert any("a bug" in str(record.exc_info) for record in caplog.records)


def test_no_interface_is_said() -> None:
    async def main() -> None:
        with pytest.raises(NoMulticast, match="no network interface"):
            open_responder([])

    run(main())

"""What stock distccd announces: as recorded, hostile, and heard on the loopback interface."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zeroconf import ServiceInfo

from tests.aio import run, until
from tests.discovery.test_advert import LO
from zdistcc.discovery.browse import StockBrowser
from zdistcc.discovery.mdns import open_responder
from zdistcc.discovery.stockad import MAX_JOBS, SERVICE_TYPE, StockAd, from_txt

SEEN: dict[bytes, bytes | None] = {
    b"txtvers": b"1", b"cpus": b"2", b"jobs": b"4", b"distcc": b"3.4", b"gnuhost": b"x86_64-pc-linux-gnu",
    b"cc_version": b"12", b"cc_machine": b"x86_64-linux-gnu",
}  # fmt: skip
"""As Debian's distccd says it."""


def test_what_debian_announces() -> None:
    heard = from_txt(f"distcc@desk.{SERVICE_TYPE}", SEEN, ["192.0.2.1"], 3632)
    assert heard == StockAd(
        id="distcc@desk", name="desk", addresses=("192.0.2.1",), port=3632, cpus=2, jobs=4, version="3.4",
        compiler_version="12", compiler_target="x86_64-linux-gnu",
    )  # fmt: skip


def test_a_worker_says_which_one_it_is() -> None:
    heard = from_txt("w", {**SEEN, b"zdistcc": b"0123456789abcdef"}, ["192.0.2.1"], 3632)
    assert heard is not None and heard.worker == "0123456789abcdef"


@pytest.mark.parametrize(
    ("changes", "addresses", "port"),
    [({b"txtvers": b"2"}, ["192.0.2.1"], 3632), ({}, [], 3632), ({}, ["192.0.2.1"], 0)],
    ids=["another format", "no address", "no port"],
)
def test_what_is_no_host(changes: dict[bytes, bytes | None], addresses: list[str], port: int) -> None:
    assert from_txt("w", {**SEEN, **changes}, addresses, port) is None


@given(st.dictionaries(st.sampled_from(sorted(SEEN)), st.binary(max_size=300)), st.text(max_size=300))
def test_whatever_it_says_is_harmless(txt: dict[bytes, bytes], instance: str) -> None:
    heard = from_txt(instance, {**SEEN, **txt, b"txtvers": b"1"}, ["192.0.2.1"], 3632)
    assert heard is not None and 0 <= heard.cpus <= MAX_JOBS and 1 <= heard.jobs <= MAX_JOBS and heard.name
    for text in (heard.name, heard.version, heard.compiler_version, heard.compiler_target):
        assert text.isprintable() and len(text) <= 64


def test_heard_and_gone() -> None:
    async def main() -> None:
        heard: list[StockAd] = []
        gone: list[str] = []
        ears, mouth = open_responder([LO]), open_responder([LO])
        browser = StockBrowser(ears, heard.append, gone.append)
        browser.start()
        info = ServiceInfo(
            SERVICE_TYPE, f"distcc@desk.{SERVICE_TYPE}", 3632, properties=SEEN, server="desk-of-a-test.local.",
            addresses=[socket.inet_aton("127.0.0.1")],
        )  # fmt: skip
        try:
            await (await mouth.async_register_service(info))
            await until(lambda: heard, "it is heard")
            assert (heard[0].id, heard[0].port, heard[0].jobs) == ("distcc@desk", 3632, 4)
            await (await mouth.async_unregister_service(info))
            await until(lambda: gone == ["distcc@desk"], "its goodbye is heard")
        finally:
            await browser.stop()
            await asyncio.gather(ears.async_close(), mouth.async_close())

    run(main())

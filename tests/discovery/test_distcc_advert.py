"""What stock clients are told: the keys of a stock daemon in its order, its way to write subtypes."""

from __future__ import annotations

import pytest

from tests.aio import run, until
from tests.discovery.test_advert import GCC, LO, ad
from tests.discovery.test_mdns import listening
from zdistcc.discovery.advertise import Advertiser, distcc_infos
from zdistcc.discovery.distcc_advert import DISTCC_TYPE, DistccAd, Spelled, instance, subtype, subtypes, to_txt
from zdistcc.discovery.mdns import open_responder

CC = Spelled(machine="x86_64-linux-gnu", version="12")
CLANG = Spelled(machine="x86_64-pc-linux-gnu", version="14.0.6")


def stock(*compilers: Spelled, name: str = "box") -> DistccAd:
    return DistccAd(
        id="0123456789abcdef", name=name, cpus=2, slots=2, gnuhost="x86_64-pc-linux-gnu", compilers=compilers, port=3632
    )


def test_the_record_is_that_of_a_stock_daemon_and_one_key_more() -> None:
    record = " ".join(f"{key}={value}" for key, value in to_txt(stock(CC), CC).items())
    theirs = "txtvers=1 cpus=2 jobs=4 distcc=3.4 gnuhost=x86_64-pc-linux-gnu cc_version=12 cc_machine=x86_64-linux-gnu"
    assert record == f"{theirs} zdistcc=0123456789abcdef"
    assert "cc_version" not in to_txt(stock(), None)


@pytest.mark.parametrize(
    ("compiler", "label"),
    [
        (CC, "_x86-64-linux-gnu--12"),
        (CLANG, "_x86-64-pc-linux-gnu--14-0-6"),
        (Spelled(machine="arm64-apple-darwin22.6.0", version="15.0.0"), "_arm64-apple-darwin22-6-0--15-0-0"),
        (Spelled(machine="AVR", version="7é"), "_avr--7-"),
    ],
)
def test_subtypes(compiler: Spelled, label: str) -> None:
    assert subtype(compiler) == label


def test_each_subtype_is_there_once_and_fits() -> None:
    long = Spelled(machine="x" * 60, version="12")
    same = Spelled(machine="x86_64_linux_gnu", version="12")
    assert subtypes([CC, CLANG, CC, same, long]) == {subtype(CC): CC, subtype(CLANG): CLANG}


@pytest.mark.parametrize("name", ["box", "box.example.org", "bü" * 40, "x" * 200, "a\x1b[31m"])
def test_an_instance_is_never_that_of_a_stock_daemon_and_fits(name: str) -> None:
    names = [instance(stock(name=name), number) for number in (0, 1, 12)]
    assert len(set(names)) == 3
    for found in names:
        assert found.startswith("distcc@") and " 01234567" in found
        assert len(found.encode()) <= 63 and found.isprintable() and "." not in found


def test_the_records_of_a_worker() -> None:
    plain, first, second = distcc_infos(stock(CC, CLANG), [LO])
    assert plain.type == DISTCC_TYPE and plain.properties[b"cc_version"] == b"12"
    assert first.type == "_x86-64-linux-gnu--12._sub._distcc._tcp.local." and first.properties[b"cc_version"] == b"12"
    assert second.properties[b"cc_version"] == b"14.0.6"
    assert {info.port for info in (plain, first, second)} == {3632}
    assert len({info.name for info in (plain, first, second)}) == 3
    assert [info.type for info in distcc_infos(stock(), [LO])] == [DISTCC_TYPE]


def test_our_own_browser_takes_it_for_no_worker_and_changes_are_announced() -> None:
    told = [stock(CC, CLANG)]

    async def main() -> None:
        responder = open_responder([LO])
        try:
            async with listening() as ears:
                advertiser = Advertiser(responder, [LO], lambda: told[-1] if told else None)
                await advertiser.announce(ad(GCC))
                await until(lambda: ears.ads, "it is heard")
                registry = responder.zeroconf.registry
                assert sum("_distcc" in name for name in registry.async_get_types()) == 3
                told.append(stock(CLANG))
                await advertiser.announce(ad(GCC))
                assert sum("_distcc" in name for name in registry.async_get_types()) == 2
                told.clear()
                await advertiser.announce(ad(GCC))
                assert registry.async_get_types() == ["_zdistcc._tcp.local."]
                assert {heard.id for heard in ears.ads} == {"0123456789abcdef"} and not ears.gone
                await advertiser.goodbye()
                assert not registry.async_get_types()
        finally:
            await responder.async_close()

    run(main())

"""TXT records: round trips, limits, hostile ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdistcc.discovery.advert import MAX_TXT_BYTES, SERVICE_TYPE, AdCompiler, WorkerAd, from_txt, printable, to_txt
from zdistcc.discovery.advertise import service_info
from zdistcc.discovery.interfaces import Interface

GCC = AdCompiler(family="gcc", version="12.2.0", target="x86_64-linux-gnu", build="0123abcd")
LO = Interface(name="lo", index=1, v4=("127.0.0.1",), v6=("::1",))


def ad(*compilers: AdCompiler, name: str = "box") -> WorkerAd:
    return WorkerAd(
        id="0123456789abcdef", name=name, version="1.0", protocol=1, slots=8, compilers=compilers, port=3633
    )  # fmt: skip


def size_of(txt: dict[str, str]) -> int:
    return sum(2 + len(key.encode()) + len(value.encode()) for key, value in txt.items())


def back(made: WorkerAd) -> WorkerAd | None:
    txt = {key.encode(): value.encode() for key, value in to_txt(made).items()}
    return from_txt(txt, made.addresses, made.port)


@pytest.mark.parametrize("count", [0, 1, 5, 20])
def test_round_trip(count: int) -> None:
    made = ad(*[GCC] * count)
    assert back(made) == made


def test_a_hundred_compilers_fit_and_the_rest_is_counted() -> None:
    made = ad(
        *(
            AdCompiler(family="clang", version=f"1{n}.0.0", target="x86_64-pc-linux-gnu", build="a" * 32)
            for n in range(100)
        )
    )
    txt = to_txt(made)
    assert size_of(txt) <= MAX_TXT_BYTES
    heard = back(made)
    assert heard is not None and len(heard.compilers) + heard.hidden == 100 and len(heard.compilers) > 15
    assert list(txt)[:6] == ["txtvers", "id", "ver", "proto", "slots", "name"]


def test_a_compiler_too_long_for_an_entry_is_hidden() -> None:
    heard = back(ad(GCC, AdCompiler(family="gcc", version="1" * 300, target="t", build="b"), GCC))
    assert heard is not None and len(heard.compilers) == 2 and heard.hidden == 1


ANY = st.builds(
    AdCompiler,
    family=st.text(max_size=9),
    version=st.text(max_size=99),
    target=st.text(max_size=99),
    build=st.text(max_size=40),
)


@given(name=st.text(max_size=200), compilers=st.lists(ANY, max_size=30))
def test_any_names_fit_and_come_back_harmless(name: str, compilers: list[AdCompiler]) -> None:
    made = ad(*compilers, name=printable(name) or "worker")
    assert size_of(to_txt(made)) <= MAX_TXT_BYTES
    heard = back(made)
    assert heard is not None and heard.name.isprintable()
    info = service_info(made, [LO])
    assert info.name.endswith(SERVICE_TYPE) and len(info.name.encode()) <= 63 + 1 + len(SERVICE_TYPE)


@given(st.dictionaries(st.binary(max_size=12), st.one_of(st.none(), st.binary(max_size=300)), max_size=12))
def test_garbage_is_no_worker(txt: dict[bytes, bytes | None]) -> None:
    assert from_txt(txt, ["192.0.2.1"], 3633) is None


HOSTILE = [b"\x1b[2J", b"\xff\xfe", b"a|b|c|d\n", b"|||", b"x" * 255, "١٢".encode(), b"-1", b"9" * 30, b"", b"\0"]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("key", [b"name", b"ver", b"proto", b"slots", b"c0", b"more", b"NAME", b"x\xff"])
def test_hostile_values_do_nothing(key: bytes, value: bytes) -> None:
    txt = {b"txtvers": b"1", b"id": b"0123456789abcdef", key: value}
    heard = from_txt(txt, ["192.0.2.1"], 3633)
    assert heard is not None
    assert heard.name.isprintable() and heard.name and heard.version.isprintable()
    assert 0 <= heard.slots < 10**6 and 0 <= heard.protocol < 10**6 and 0 <= heard.hidden < 10**6
    for compiler in heard.compilers:
        assert f"{compiler.family}{compiler.version}{compiler.target}{compiler.build}".isprintable()


@pytest.mark.parametrize(
    ("changes", "port"),
    [({b"id": b"../../etc"}, 1), ({b"id": b"ABCDEF0123"}, 1), ({b"id": b"0" * 65}, 1), ({b"txtvers": b"2"}, 1), ({}, 0),
     ({}, 65536)],
)  # fmt: skip
def test_what_is_no_worker(changes: dict[bytes, bytes], port: int) -> None:
    assert from_txt({b"txtvers": b"1", b"id": b"0123456789abcdef", **changes}, ["192.0.2.1"], port) is None

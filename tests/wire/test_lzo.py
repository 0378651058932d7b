"""LZO: what a stream unpacks to is known without unpacking it, for streams of ours and of others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdistcc.errors import RemoteProtocolError
from zdistcc.wire import lzo

END = b"\x11\0\0"
runs = st.lists(
    st.one_of(
        st.binary(max_size=300),
        st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=9), st.integers(0, 3000)),
    ),
    max_size=8,
).map(b"".join)


@given(runs)
def test_round_trip_and_size(data: bytes) -> None:
    packed = lzo.pack(data)
    assert lzo.unpack(packed, len(data)) == data
    if data:
        assert lzo.unpacked_size(packed, len(data)) == len(data)
        with pytest.raises(RemoteProtocolError, match="more than"):
            lzo.unpacked_size(packed, len(data) - 1)


def test_nothing_packs_to_nothing() -> None:
    assert lzo.pack(b"") == b"" and lzo.unpack(b"", 0) == b""
    assert lzo.unpack(END, 0) == b"" and lzo.unpacked_size(END, 0) == 0


@pytest.mark.parametrize("first", [18, 19, 20, 21, 22, 238, 255])
def test_first_bytes_are_literals(first: int) -> None:
    data = bytes(range(first - 17 & 0xFF))
    assert lzo.unpack(bytes([first]) + data + END, 1 << 20) == data
    assert lzo.unpacked_size(bytes([first]) + data + END, 1 << 20) == len(data)


@pytest.mark.parametrize("code", range(256))
def test_every_instruction(code: int) -> None:
    """The size that is foretold is the one that comes out, whatever the instruction and what came before it."""
    for before in (bytes([17 + 4]) + b"abcd", bytes([17 + 2]) + b"ab", b"\0" * 9 + b"\x05" + bytes(2318)):
        for more in (b"\x04\0" + b"x" * 99, b"\0\0\x07\x04\0" + b"x" * 700, b"x" * 999):
            packed = before + bytes([code]) + more
            for end in range(len(before) + 1, min(len(packed), len(before) + 300)):
                stream = packed[:end] + END
                try:
                    data = lzo.unpack(stream, 1 << 30)
                except RemoteProtocolError:
                    continue
                assert lzo.unpacked_size(stream, 1 << 30) == len(data)


@given(st.binary(max_size=200))
def test_garbage(data: bytes) -> None:
    try:
        unpacked = lzo.unpack(data, 1 << 20)
    except RemoteProtocolError:
        return
    assert not data or lzo.unpacked_size(data, 1 << 20) == len(unpacked)


@given(st.binary(max_size=200), st.integers(0, 100))
def test_never_more_than_the_limit(data: bytes, limit: int) -> None:
    try:
        assert len(lzo.unpack(data, limit)) <= limit
    except RemoteProtocolError:
        return


@pytest.mark.parametrize("packed", [b"\0", b"\x20", b"\x20\0\0\0", b"\x12", b"\x11", b"\x11\0", b"\xff"])
def test_sizes_of_what_is_cut_short(packed: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        lzo.unpacked_size(packed, 1 << 20)
    with pytest.raises(RemoteProtocolError):
        lzo.unpack(packed, 1)


def test_the_steepest_instruction_is_within_the_cheap_bound() -> None:
    steep = b"\x12a" + b"\x20\xff\x04\x01" * 1000 + END
    size = lzo.unpacked_size(steep, 1 << 30)
    assert size == 1 + 1000 * 288
    zeros = steep.count(0)
    assert size <= zeros * 255 + (len(steep) - zeros) * 72

"""A short run of the campaign in fuzz_frames.py."""

from __future__ import annotations

from tests.fuzz.fuzz_frames import campaign


def test_nothing_but_protocol_errors() -> None:
    ends = campaign(20_000, seed=20)
    assert ends.total() == 20_000
    assert "LocalProtocolError" not in ends, "a peer made us break the protocol"
    assert ends["fine"] > 500 and ends["RemoteProtocolError"] > 5_000

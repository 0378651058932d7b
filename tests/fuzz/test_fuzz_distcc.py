"""A short run of the campaign in fuzz_distcc.py."""

from __future__ import annotations

from tests.fuzz.fuzz_distcc import campaign


def test_nothing_but_remote_protocol_errors() -> None:
    ends = campaign(10_000, seed=20)
    assert ends.total() == 10_000
    assert set(ends) == {"whole", "cut short", "RemoteProtocolError"}, "a peer made us break the protocol"
    assert ends["whole"] > 500 and ends["cut short"] > 500 and ends["RemoteProtocolError"] > 2_000

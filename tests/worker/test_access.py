"""Whose connections are served."""

from __future__ import annotations

import pytest

from zdistcc.errors import UserError
from zdistcc.worker.access import allowed, parse_networks, within


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.31.255.255", "192.168.0.1", "169.254.7.7", "::1", "fe80::1%2", "fe80::1%eth0",
     "fd00::1", "::ffff:192.168.1.1"],
)  # fmt: skip
def test_the_lan_is_served(address: str) -> None:
    assert allowed(address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "172.32.0.1",
        "192.169.0.1",
        "2001:db8::1",
        "::ffff:8.8.8.8",
        "::",
        "0.0.0.0",
        "",
        "x",
        "1.2.3",
        "%eth0",
    ],
)
def test_others_are_not(address: str) -> None:
    assert not allowed(address)


def test_named_networks_are_served_too() -> None:
    more = parse_networks(["203.0.113.7/24", "2001:db8::/32", "198.51.100.1"])
    for address in ("203.0.113.200", "2001:db8::5", "198.51.100.1", "::ffff:203.0.113.1"):
        assert allowed(address, more)
    assert not allowed("198.51.100.2", more)


def test_what_is_denied_is_told_from_what_is_not() -> None:
    networks = parse_networks(["192.0.2.0/24", "fe80::/10"], "--deny")
    assert within("192.0.2.9", networks) and within("::ffff:192.0.2.9", networks) and within("fe80::1%eth0", networks)
    assert not within("198.51.100.9", networks) and not within("name", networks)


def test_a_bad_network_is_the_user_s_to_mend() -> None:
    with pytest.raises(UserError, match=r"--allow lan: .*write a network"):
        parse_networks(["10.0.0.0/8", "lan"])

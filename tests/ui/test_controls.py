"""Keys, in whatever pieces they come, and what they choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ui import pictures
from zdistcc.ui.controls import SORTS, Controls, Keys, key_of, listed, press

HOSTS = pictures.trouble()["hosts"]
ALL = (
    b"q\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[H\x1b[4~\r\x7f\xc3\xa9\x03",
    ["q", "up", "down", "page up", "page down", "home", "end", "enter", "rub out", "é", "q"],
)


def after(keys: list[str], controls: Controls | None = None) -> Controls:
    controls = controls or Controls()
    for key in keys:
        pressed = press(controls, key, HOSTS)
        assert pressed is not None, key
        controls = pressed
    return controls


def test_keys_whole_and_byte_by_byte() -> None:
    data, expected = ALL
    assert Keys().feed(data) == expected
    keys = Keys()
    assert [key for byte in data for key in keys.feed(bytes([byte]))] == expected


def test_an_escape_alone_is_decided_by_time() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b") == [] and keys.undecided
    assert keys.flush() == ["escape"] and not keys.undecided
    assert keys.flush() == []
    assert keys.feed(b"\x1b\x1b[A") == ["escape", "up"]


def test_unknown_sequences_are_no_keys() -> None:
    assert Keys().feed(b"\x1b[200~\x1b[1;5Aq\x00\x01") == ["q"]


def test_a_key_right_after_an_escape_is_not_swallowed() -> None:
    assert Keys().feed(b"\x1bs\x1b\xc3\xa9\x1b\r") == ["escape", "s", "escape", "é", "escape", "enter"]


@given(st.binary())
def test_any_bytes_give_keys_that_can_be_pressed(data: bytes) -> None:
    keys, controls = Keys(), Controls()
    for key in [*keys.feed(data), *keys.flush()]:
        controls = press(controls, key, HOSTS) or Controls()


def test_every_order_is_reached_and_sorts() -> None:
    seen = []
    controls = Controls()
    for _ in SORTS:
        seen.append(controls.sort)
        assert sorted(map(key_of, listed(HOSTS, controls))) == sorted(map(key_of, HOSTS))
        controls = after(["s"], controls)
    assert seen == list(SORTS) and controls.sort == "name"

    def names(sort: str) -> list[str]:
        return [host["name"] for host in listed(HOSTS, Controls(sort=sort))]

    assert names("state") == ["laptop", "desk", "fileserver", "printer", "attic"]
    assert names("slots")[0] == "fileserver" and names("jobs done")[0] == "laptop"
    assert names("speed")[0] == "desk" and names("load")[0] == "laptop" and names("round trip")[0] == "attic"


@pytest.mark.parametrize(
    ("words", "names"),
    [("DESK", ["desk"]), ("incompat", ["fileserver"]), ("11.4", ["fileserver"]), ("168.1.15", ["printer"]), ("zz", [])],
)
def test_a_filter_looks_at_names_states_addresses_and_compilers(words: str, names: list[str]) -> None:
    controls = after(["/", *words, "enter"])
    assert not controls.typing
    assert [host["name"] for host in listed(HOSTS, controls)] == names


def test_typing_takes_every_key_for_itself() -> None:
    controls = after(["/", "q", "s", "up", "rub out", "p"])
    assert controls.typing and controls.filter == "qp"
    assert after(["escape"], controls) == Controls()


def test_arrows_move_within_the_list_and_stay_in_it() -> None:
    names = [key_of(host) for host in listed(HOSTS, Controls())]
    assert after(["down"]).selected == names[0]
    assert after(["down", "down"]).selected == names[1]
    assert after(["end", "down"]).selected == names[-1]
    assert after(["end", "home", "up"]).selected == names[0]
    assert after(["down", "page down"]).selected == names[-1]
    assert after(["down", "escape"]).selected is None
    assert press(Controls(selected="gone"), "down", HOSTS) == Controls(selected=names[0])
    assert press(Controls(), "down", ()) == Controls()


def test_one_host_in_full_and_back() -> None:
    full = after(["e"])
    assert full.expanded and full.selected is not None
    assert after(["down"], full).expanded
    assert not after(["enter"], full).expanded and not after(["escape"], full).expanded
    assert press(Controls(), "e", ()) == Controls()


def test_help_pause_and_leaving() -> None:
    assert after(["?"]).help and not after(["?", "x"]).help
    assert after(["p"]).paused and not after(["p", "p"]).paused
    assert press(Controls(), "q", HOSTS) is None
    assert press(Controls(help=True), "q", HOSTS) is None

"""Host specifications: the whole grammar, and the exact place of what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdistcc.discovery import hostspec
from zdistcc.discovery.hostspec import BadHostList, HostList, HostSpec, Option, Way, parse


def tcp(host: str, port: int = 3632, limit: int = 4, *options: Option) -> HostSpec:
    return HostSpec(way=Way.TCP, host=host, port=port, limit=limit, options=frozenset(options))


def ssh(user: str, host: str, limit: int = 4, command: str = "", *options: Option) -> HostSpec:
    return HostSpec(way=Way.SSH, host=host, user=user, limit=limit, command=command, options=frozenset(options))


def local(limit: int = 2, *options: Option) -> HostSpec:
    return HostSpec(way=Way.LOCAL, host="localhost", limit=limit, options=frozenset(options))


GOOD = {
    "localhost": local(),
    "localhost/7": local(7),
    "localhost/7,cpp": local(7, Option.CPP),
    "localhost:4000": tcp("localhost", 4000),
    "127.0.0.1": tcp("127.0.0.1"),
    "desk": tcp("desk"),
    "desk:4200": tcp("desk", 4200),
    "desk/16": tcp("desk", 3632, 16),
    "desk:4200/16,lzo,cpp": tcp("desk", 4200, 16, Option.LZO, Option.CPP),
    "desk,lzo": tcp("desk", 3632, 4, Option.LZO),
    "desk,auth,down": tcp("desk", 3632, 4, Option.AUTH, Option.DOWN),
    "a.b-c_d.example": tcp("a.b-c_d.example"),
    "[::1]": tcp("::1"),
    "[2001:db8::1]:99/2,lzo": tcp("2001:db8::1", 99, 2, Option.LZO),
    "[fe80::1%eth0]": tcp("fe80::1%eth0"),
    "@desk": ssh("", "desk"),
    "me@desk": ssh("me", "desk"),
    "me@desk/3": ssh("me", "desk", 3),
    "me@desk:/opt/distccd": ssh("me", "desk", 4, "/opt/distccd"),
    "me@desk/3:/opt/distccd,lzo": ssh("me", "desk", 3, "/opt/distccd", Option.LZO),
    "DOM\\me@[::1]": ssh("DOM\\me", "::1"),
}


@pytest.mark.parametrize("word", GOOD)
def test_a_host(word: str) -> None:
    assert parse(word) == HostList(hosts=(GOOD[word],))


def test_a_list_with_everything() -> None:
    text = "--localslots=3 --localslots_cpp=9 # ours\n--randomize\t+zeroconf desk # the big one\n\n me@far:x"
    assert parse(text) == HostList(
        hosts=(tcp("desk"), ssh("me", "far", 4, "x")),
        zeroconf=True,
        randomize=True,
        local_slots=3,
        local_slots_cpp=9,
    )


@pytest.mark.parametrize("text", ["", " \t\n", "# nothing"])
def test_a_list_may_be_empty(text: str) -> None:
    assert parse(text) == HostList()


BAD = {
    ":": 0,
    ":4200": 0,
    "mbp@": 4,
    "@": 1,
    "angry::": 5,
    "angry::1": 5,
    "2001:db8::1": 4,
    "desk:": 5,
    "desk:0": 5,
    "desk:65536": 5,
    "desk:http": 5,
    "desk/": 5,
    "desk/0": 5,
    "desk/x": 5,
    "desk/2:80": 6,
    "desk,": 5,
    "desk,zip": 5,
    "desk,lzo,zip": 9,
    "desk,lzox": 5,
    "desk!": 4,
    "-oProxyCommand=x@desk": 0,
    "-desk": 0,
    "me@-desk": 3,
    "me@desk:": 8,
    "[::1": 0,
    "[zz]": 0,
    "[1:2]": 1,
    "[::1]x": 5,
    "+mdns": 0,
    "--fast": 0,
    "--localslots": 0,
    "--localslots=": 13,
    "--localslots=many": 13,
    "fine also,lzo wrong:x tail": 20,
    "fine # wrong:x\nworse:x": 21,
    "d\u00e9sk": 1,
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_wrong_is_pointed_at(text: str) -> None:
    with pytest.raises(BadHostList) as raised:
        parse(text)
    assert raised.value.position == BAD[text]
    lines = str(raised.value).splitlines()
    assert len(lines) == 3
    position = BAD[text] - text.rfind("\n", 0, BAD[text]) - 1
    assert lines[2] == "  " + " " * position + "^"


def test_the_place_is_shown_in_a_long_list_and_harms_no_terminal() -> None:
    text = " ".join(f"host{number}" for number in range(200)) + " \x1b[2J"
    with pytest.raises(BadHostList) as raised:
        parse(text)
    _, shown, mark = str(raised.value).splitlines()
    assert shown[mark.index("^") :] == "?[2J"
    with pytest.raises(BadHostList, match="longer than"):
        parse("a " * hostspec.MAX_LIST)


@given(st.text(alphabet="ab1:/,@[]%.-+=# \n\t\u00e9\x1b", max_size=40))
def test_any_text_is_read_or_refused_with_a_place_in_it(text: str) -> None:
    try:
        parse(text)
    except BadHostList as error:
        assert 0 <= error.position <= len(text)


@given(st.lists(st.sampled_from(sorted(GOOD)), max_size=8), st.sampled_from([" ", "\n", " # x\n", "\t"]))
def test_hosts_are_independent_of_their_neighbours(words: list[str], gap: str) -> None:
    assert parse(gap.join(words)).hosts == tuple(GOOD[word] for word in words)

"""Scanning and rebuilding never loses, invents or reorders meaning."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from zdistcc.toolchain import rebuild
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.invocation import Invocation, scan
from zdistcc.toolchain.languages import Driver
from zdistcc.toolchain.options import Effect, Form, OptionRow, Undistributable, split, table_of
from zdistcc.toolchain.pathwords import PathWord
from zdistcc.toolchain.responses import tokens
from zdistcc.toolchain.vetting import vet, vet_headers

FAMILIES = st.sampled_from([Family.GCC, Family.CLANG])
VALUES = st.sampled_from([b"a", b"a.h", b"-x", b"dir/sub", b"k=v", b"x y", b"native", b"a$#", b"../up", b"2"])
NATIVE = [b"-mexpanded"]
PASSED_ON = (b"-Wp,", b"-Xpreprocessor")
KEPT = {Effect.BOTH, Effect.PREPROCESS, Effect.DRIVER, Effect.LINK, Effect.DEPEND}


def written(row: OptionRow, form: Form, value: bytes) -> list[bytes]:
    """One way to write an option."""
    if form is Form.SEPARATE:
        return [row.name, value]
    if form is Form.FLAG:
        return [row.name]
    return [row.name + (b"=" if form is Form.EQUALS else b"") + value]


@st.composite
def options(draw: st.DrawFn, family: Family) -> list[list[bytes]]:
    """Options that leave a job distributable, each as its words."""
    table = table_of(family)
    assert table is not None
    found = []
    rows = [row for row in table.rows if row.effect in KEPT and row.name not in (*PASSED_ON, b"--")]
    for row in draw(st.lists(st.sampled_from(rows), max_size=12)):
        form = draw(st.sampled_from(list(row.forms)))
        found.append(written(row, form, draw(VALUES)))
    found.append([b"-MMD"])
    return found


@st.composite
def commands(draw: st.DrawFn) -> tuple[Family, list[list[bytes]]]:
    family = draw(FAMILIES)
    return family, draw(options(family))


def read(words: Sequence[bytes], family: Family) -> Invocation | Undistributable:
    return scan(words, family=family, driver=Driver.C, env={}, read_file=lambda path: None)


def place(found: list[list[bytes]], where: int) -> list[bytes]:
    """The options with ``-c -o o/x.o s/x.c`` among them."""
    parts = [*found[:where], [b"s/x.c"], *found[where:], [b"-c"], [b"-o", b"o/x.o"]]
    return [word for part in parts for word in part]


@given(commands())
def test_every_option_is_kept_once_in_order_by_the_side_it_concerns(
    command: tuple[Family, list[list[bytes]]],
) -> None:
    family, found = command
    inv = read(place(found, 0), family)
    if isinstance(inv, Undistributable):
        return
    table = table_of(family)
    assert table is not None
    args, _ = split([word for part in found for word in part], table)
    assert [list(arg.words) for arg in args] == found
    here = rebuild.preprocess_args(inv, output=None)
    expected = [b"s/x.c", *(word for part in found for word in part)]
    assert here[len(here) - len(expected) :] == expected
    assert set(here[: len(here) - len(expected)]) <= {b"-E", b"-MFo/x.d", b"-MQo/x.o"}
    there = rebuild.remote_args(inv, native=NATIVE)
    plain = [arg for arg in args if arg.row and arg.row.effect is Effect.BOTH]
    if not inv.native:
        assert there == [word for arg in plain for word in arg.words]
    assert vet(there, family=family) == tuple(there)
    shipped = rebuild.headers_args(inv, native=NATIVE)
    if not isinstance(shipped, Undistributable):
        assert vet_headers(shipped, family=family) == tuple(shipped)
        flat = [word.word if isinstance(word, PathWord) else word for word in shipped]
        named = [arg for arg in args if arg.row and arg.row.effect in (Effect.BOTH, Effect.PREPROCESS)]
        if not inv.native:
            options = [word for arg in named for word in arg.words]
            assert flat[len(flat) - len(options) :] == options
    assert not {b"-c", b"-o", b"o/x.o", b"s/x.c"} & set(there)


@given(commands(), st.integers(0, 12))
def test_the_place_of_the_input_changes_nothing(command: tuple[Family, list[list[bytes]]], where: int) -> None:
    family, found = command
    first, second = read(place(found, 0), family), read(place(found, min(where, len(found))), family)
    assert type(first) is type(second)
    if isinstance(first, Invocation) and isinstance(second, Invocation):
        assert rebuild.remote_args(first, native=NATIVE) == rebuild.remote_args(second, native=NATIVE)
        for name in (
            "source",
            "output",
            "depfile",
            "debug",
            "text_exact",
            "macros",
            "include_args",
            "native",
        ):
            assert getattr(first, name) == getattr(second, name)


@given(commands())
def test_reading_the_preprocess_command_again_gives_the_same_job(
    command: tuple[Family, list[list[bytes]]],
) -> None:
    family, found = command
    inv = read(place(found, 0), family)
    if isinstance(inv, Undistributable):
        return
    words = rebuild.preprocess_args(inv, output=None)
    again = read([b"-c", b"-o", b"o/x.o", *(word for word in words if word != b"-E")], family)
    assert isinstance(again, Invocation)
    assert rebuild.remote_args(again, native=NATIVE) == rebuild.remote_args(inv, native=NATIVE)
    assert rebuild.preprocess_args(again, output=None) == words
    assert inv.depfile is not None
    assert again.depfile is not None
    assert (again.depfile.path, [each.name for each in again.depfile.targets]) == (
        inv.depfile.path,
        [each.name for each in inv.depfile.targets],
    )


@given(FAMILIES, st.data())
def test_the_forms_of_one_option_mean_the_same(family: Family, data: st.DataObject) -> None:
    table = table_of(family)
    assert table is not None
    several = [row for row in table.rows if row.effect in KEPT and len(row.forms & ~Form.FLAG) > 1]
    row = data.draw(st.sampled_from(several))
    value = data.draw(VALUES)
    read_as = set()
    for form in row.forms & ~Form.FLAG:
        inv = read([b"-MD", b"-c", b"x.c", *written(row, form, value)], family)
        if isinstance(inv, Invocation):
            read_as.add((inv.depfile, inv.macros, inv.include_args, inv.forced_includes, inv.output))
        else:
            read_as.add(inv.reason)
    assert len(read_as) == 1


@given(st.lists(st.binary(max_size=12), max_size=6), FAMILIES)
def test_any_words_are_read_or_refused(words: list[bytes], family: Family) -> None:
    inv = read([*words, b"-c"], family)
    assert isinstance(inv, Invocation | Undistributable)
    found = vet(words, family=family)
    if isinstance(found, tuple):
        assert found == tuple(words)


@settings(max_examples=200)
@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\0\x0b\x0c\\"), min_size=1), max_size=5))
def test_response_files_keep_every_word(words: list[str]) -> None:
    text = " \n".join(shlex.quote(word).replace("'\"'\"'", "'\\''") for word in words)
    assert tokens(text.encode()) == [word.encode() for word in words]

"""The option tables: sorted, without duplicates or dead rows, complete for the compilers here."""

from __future__ import annotations

import itertools
import re
import subprocess
from pathlib import Path

import pytest

import zdistcc
from zdistcc.errors import Reason
from zdistcc.toolchain import clang, gcc
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.options import Effect, Form, Mark, OptionRow, Side, Table, split, table_of

GROUPS = gcc.GROUPS + clang.GROUPS
ROWS = [row for group in GROUPS for row in group]
VALUES = {Form.FLAG: b"", Form.SEPARATE: b"", Form.JOINED: b"~v", Form.EQUALS: b"=~v", Form.PREFIX: b"~v"}
FORMS = [
    pytest.param(family, row, form, id=f"{family}{row.name.decode()}:{form.name}")
    for row in ROWS
    for family in sorted(row.families)
    for form in row.forms
]


def table(family: Family) -> Table:
    found = table_of(family)
    assert found is not None
    return found


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0].name.decode())
def test_a_group_is_sorted_and_of_one_meaning(group: tuple[OptionRow, ...]) -> None:
    names = [row.name for row in group]
    assert names == sorted(names)
    assert len({(row.effect, row.mark, row.reason, row.families) for row in group}) == 1


def test_rows_claim_different_words() -> None:
    for one, other in itertools.combinations(ROWS, 2):
        if one.families & other.families and one.name == other.name:
            assert not one.forms & other.forms, one.name


def test_two_rows_for_one_word_are_an_error() -> None:
    with pytest.raises(ValueError, match="-c"):
        Table([*table(Family.GCC).rows, gcc.rows(Effect.STAGE, Form.FLAG, "-c")[0]])


@pytest.mark.parametrize(("family", "row", "form"), FORMS)
def test_every_form_of_every_row_is_reached(family: Family, row: OptionRow, form: Form) -> None:
    word = row.name + VALUES[form]
    found = table(family).find(word)
    assert found is not None
    assert found[:2] == (row, form)
    assert found[2] == VALUES[form].removeprefix(b"=" if form is Form.EQUALS else b"")
    args, _ = split([word, b"next.c"], table(family))
    taken = (word, b"next.c") if form is Form.SEPARATE else (word,)
    assert args[0].words == taken
    assert args[0].row is row
    assert len(args) == (1 if form is Form.SEPARATE else 2)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.decode())
def test_a_row_that_refuses_says_why(row: OptionRow) -> None:
    refuses = row.effect in (Effect.LOCAL, Effect.SIDE)
    assert (row.reason is not None) == refuses
    assert (row.side is not None) == (row.effect is Effect.SIDE)
    assert row.name[:1] == b"-"
    assert row.forms


def test_every_effect_mark_and_side_has_a_row() -> None:
    assert {row.effect for row in ROWS} == set(Effect)
    assert {row.mark for row in ROWS} - {None} == set(Mark)
    assert {row.side for row in ROWS} - {None} == set(Side)


def test_no_row_is_a_repetition_of_a_shorter_prefix() -> None:
    for row in ROWS:
        for family in row.families:
            for length in range(2, len(row.name)):
                found = table(family).find(row.name[:length])
                if found and found[1] is Form.PREFIX and row.forms == Form.PREFIX:
                    assert _meaning(found[0]) != _meaning(row), row.name


def _meaning(row: OptionRow) -> tuple[object, ...]:
    return row.effect, row.reason, row.mark, row.check, row.side


@pytest.mark.parametrize("family", [Family.INTEL, Family.SUN, Family.UNKNOWN])
def test_other_families_have_no_table(family: Family) -> None:
    assert table_of(family) is None


def test_every_reason_of_the_command_line_is_given_somewhere() -> None:
    source = "".join(path.read_text() for path in Path(zdistcc.__file__).parent.rglob("*.py"))
    ours = list(itertools.takewhile(lambda reason: reason is not Reason.NO_WORKER, Reason))
    # the prober gives this one: it runs the driver that is asked about "native"
    unused = [reason.name for reason in ours if f"Reason.{reason.name}" not in source]
    assert unused == []


ON_FILES = re.compile(rb"<(?:file|path|dir|directory|filename|pathname|dsopath|dirname|fname|prefix)>|\bfile name\b")


@pytest.mark.parametrize(
    ("family", "command"),
    [
        (Family.GCC, b"gcc --help=common --help=c --help=c++ --help=objc --help=target"),
        (Family.CLANG, b"clang --help-hidden"),
    ],
)
def test_every_option_on_files_that_the_compiler_knows_has_a_row(family: Family, command: bytes) -> None:
    said = subprocess.run(command.split(), capture_output=True, check=True).stdout
    names = set()
    for line in said.splitlines():
        match = re.match(rb" +(-[\w+-]+)([=\[ ]?\S*)", line)
        if match and ON_FILES.search(line):
            names.add(match[1] + (b"=x" if b"=" in match[2] else b""))
    assert len(names) > 15
    passed = set()
    for name in names:
        found = table(family).find(name)
        if found and found[0].effect is Effect.BOTH:
            passed.add(name)
    assert passed == set()


def test_every_prefix_option_with_a_value_apart_has_a_row() -> None:
    said = subprocess.run([b"clang", b"--help-hidden"], capture_output=True, check=True).stdout
    names = re.findall(rb"^ +(-(?:[fmWOg]|std)[\w+-]*) <", said, re.MULTILINE)
    assert b"-mllvm" in names
    for name in names:
        found = table(Family.CLANG).find(name)
        assert found is not None
        assert found[1] is Form.SEPARATE or found[0].effect is Effect.LOCAL, name

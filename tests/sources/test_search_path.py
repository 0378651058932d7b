"""What compilers print about their search, read."""

from __future__ import annotations

import dataclasses

import pytest

from zdistcc.errors import Reason
from zdistcc.sources.model import ClosureRequest, SearchContext, Unclosable
from zdistcc.sources.search_path import parse, search_key

REQUEST = ClosureRequest(compiler=b"/usr/bin/gcc", compiler_key="k", language="c", cwd=b"/w", source=b"a.c")
PRINTED = b"""Using built-in specs.
Found candidate GCC installation: /usr/bin/../lib/gcc/x86_64-linux-gnu/12
ignoring nonexistent directory "/usr/local/include/x86_64-linux-gnu"
ignoring nonexistent directory "gone"
ignoring duplicate directory "/usr/include"
  as it is a non-system directory that duplicates a system directory
#include "..." search starts here:
 .
 q
#include <...> search starts here:
 ../rel
 /usr/lib/gcc/x86_64-linux-gnu/12/include
 /usr/include
End of search list.
COMPILER_PATH=/usr
 /not/a/directory/of/the/list
"""


def test_lists_and_what_they_depend_on() -> None:
    angle = (b"/w/../rel", b"/usr/lib/gcc/x86_64-linux-gnu/12/include", b"/usr/include")
    assert parse(PRINTED, REQUEST) == SearchContext(
        quote=(b"/w", b"/w/q"),
        angle=angle,
        existing=(b"/w", b"/w/q", *angle),
        missing=(b"/usr/local/include/x86_64-linux-gnu", b"/w/gone"),
        volatile=(b"/usr/bin/../lib/gcc/x86_64-linux-gnu",),
    )


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        (b"", Reason.SEARCH_PATH_UNKNOWN),
        (PRINTED.partition(b"End")[0], Reason.SEARCH_PATH_UNKNOWN),
        (PRINTED.replace(b" ../rel", b" ../rel (framework directory)"), Reason.FRAMEWORK_SEARCH),
        (PRINTED.replace(b" ../rel", b" x.map (headermap)"), Reason.HEADER_MAP),
    ],
)
def test_what_is_refused(printed: bytes, reason: Reason) -> None:
    answer = parse(printed, REQUEST)
    assert isinstance(answer, Unclosable)
    assert answer.reason is reason


@pytest.mark.parametrize(
    ("words", "env", "depends"),
    [
        ((), (), False),
        ((b"-I/abs", b"-isystem", b"/abs", b"-nostdinc", b"-std=c11", b"--sysroot=/s"), (), False),
        ((b"-Irel",), (), True),
        ((b"-I", b"rel"), (), True),
        ((b"-iquote.",), (), True),
        ((b"--sysroot=s",), (), True),
        ((b"--embed-dir=s",), (), True),
        ((), ((b"CPATH", b"/a:/b"),), False),
        ((), ((b"CPATH", b"/a:b"),), True),
        ((), ((b"CPATH", b"/a:"),), True),
    ],
)
def test_the_working_directory_counts_where_a_path_is_relative(
    words: tuple[bytes, ...], env: tuple[tuple[bytes, bytes], ...], depends: bool
) -> None:
    here = dataclasses.replace(REQUEST, search_words=words, env=env)
    there = dataclasses.replace(here, cwd=b"/elsewhere")
    assert (search_key(here) != search_key(there)) is depends


def test_the_source_does_not_count() -> None:
    assert search_key(REQUEST) == search_key(dataclasses.replace(REQUEST, source=b"b.c", defines=(b"-DX",)))

"""Requests of stock distcc as orders: nothing of a command passes that our own client's would not."""

from __future__ import annotations

import pytest

from tests.worker.test_names import GENERIC_HERE, HERE
from zdistcc.toolchain.pathwords import PathWord
from zdistcc.wire.distcc_events import JobAnnounced, Version
from zdistcc.wire.messages import Stage
from zdistcc.worker.names import Spellings
from zdistcc.worker.translate import Declined, translate
from zdistcc.worker.vet import Order, TreeOrder

SPELLED = Spellings(
    compilers=list(HERE.values()), generic={name: HERE[which].offer.id for name, which in GENERIC_HERE.items()}
)


def order_of(job: JobAnnounced) -> Order | TreeOrder | Declined:
    found = translate(job, SPELLED)
    if isinstance(found, Declined):
        return found
    assert found.source in job.args
    return found.order


def text(words: str, version: Version = Version.LZO) -> Order | TreeOrder | Declined:
    return order_of(JobAnnounced(version=version, args=tuple(words.encode().split())))


def tree(words: str, cwd: str = "/home/u/p") -> Order | TreeOrder | Declined:
    return order_of(JobAnnounced(version=Version.PUMP, args=tuple(words.encode().split()), cwd=cwd.encode()))


@pytest.mark.parametrize(
    ("words", "args", "language"),
    [
        ("gcc -g -iquote . -Wall -O2 -c t.c -o t.o", "-g -Wall -O2", "cpp-output"),
        ("g++ -O1 -c d/box.cc -o d/box.o", "-O1", "c++-cpp-output"),
        ("g++ -c t.c", "", "c++-cpp-output"),
        ("gcc -x c++ -c t.c -o t.o", "", "c++-cpp-output"),
        ("gcc -c t.i", "", "cpp-output"),
        ("gcc -c t.m", "", "objective-c-cpp-output"),
        ("gcc -c conftest.c -o conftest.o", "", "cpp-output"),
        ("gcc -c CMakeFiles/CMakeTmp/testCCompiler.c -o .tmp_t.o", "", "cpp-output"),
        ("clang -c t.c -o t.o -target x86_64-pc-linux-gnu", "-target x86_64-pc-linux-gnu", "cpp-output"),
        ("aarch64-linux-gnu-clang -c t.c", "--target=aarch64-linux-gnu", "cpp-output"),
        ("gcc -c /home/u/p/t.c -o /home/u/p/t.o -march=x86-64-v3", "-march=x86-64-v3", "cpp-output"),
    ],
)
def test_text(words: str, args: str, language: str) -> None:
    order = text(words)
    assert isinstance(order, Order), order
    assert b" ".join(order.args).decode() == args
    assert (order.language, order.stage, order.env) == (language, Stage.OBJECT, {})
    assert order.name == b"preprocessed.i" if "gcc" in words or "g++" in words else order.name in words.encode()
    assert b"/" not in order.name


def test_assembly_is_a_stage() -> None:
    order = text("gcc -S t.c -o t.s")
    assert isinstance(order, Order) and order.stage is Stage.ASSEMBLY


HARMFUL = (
    "gcc -fplugin=x.so -c t.c",
    "gcc -fplugin-arg-x-y=z -c t.c",
    "gcc -specs=x -c t.c",
    "gcc -wrapper sh,-c -c t.c",
    "gcc -B/tmp -c t.c",
    "gcc -Xassembler --listing=x -c t.c",
    "gcc -Wa,-al=/tmp/x -c t.c",
    "gcc -o a.o -o b.o -c t.c -fdump-tree-all",
    "gcc -fprofile-use=/tmp/x -c t.c",
    "gcc -save-temps -c t.c",
    "gcc -gsplit-dwarf -g -c t.c",
    "gcc --coverage -c t.c",
    "gcc -march=native -c t.c",
    "gcc -c a.c b.c",
    "gcc -c @words",
    "gcc -E t.c",
    "gcc t.c",
    "gcc -v",
    "gcc",
    "gcc -c -",
    "gcc -c t.s",
    "gcc -c t.f90",
    "gcc --unheard-of -c t.c",
    "clang -Xclang -load -Xclang x.so -c t.c",
    "clang -fpass-plugin=x.so -c t.c",
    "clang -cc1 -c t.c",
    "gcc -c t.c -o",
)


@pytest.mark.parametrize("words", HARMFUL)
def test_words_that_are_not_safe_are_declined_in_every_version(words: str) -> None:
    for declined in (text(words), text(words, Version.PLAIN), tree(words)):
        assert isinstance(declined, Declined), declined
        assert declined.code == 101 and declined.sentence


@pytest.mark.parametrize("words", ["sh -c t.c", "/tmp/gcc -c t.c", "gcc-13 -c t.c"])
def test_what_is_not_here_is_said_with_distccs_code_for_it(words: str) -> None:
    for declined in (text(words), tree(words)):
        assert isinstance(declined, Declined) and declined.code == 110


def words_of(order: Order | TreeOrder | Declined) -> list[str]:
    assert isinstance(order, TreeOrder), order
    return [(b"*" + word.word if isinstance(word, PathWord) else word).decode() for word in order.args]


@pytest.mark.parametrize(
    ("words", "args"),
    [
        ("gcc -O2 -MD -c sum.c -o sum.o -MT sum.o", "-MD -MTsum.o -O2"),
        ("gcc -c sum.c -o d/sum.o", "-MMD -MQd/sum.o"),
        ("gcc -c d/sum.c", "-MMD -MQsum.o"),
        ("gcc -MMD -MP -MF x.d -c sum.c -o sum.o", "-MMD -MP -MQsum.o"),
        ("gcc -Wp,-MMD,d/.sum.o.d -c d/sum.c -o d/sum.o", "-MMD -MQsum.o"),
        ("gcc -I/home/u/p/inc -Iinc -DX=1 -include pre.h -isystem /s -c sum.c -o o",
         "-MMD -MQo *-I/home/u/p/inc *-Iinc -DX=1 -include *pre.h -isystem *s"),
    ],
)  # fmt: skip
def test_sources(words: str, args: str) -> None:
    order = tree(words)
    found = " ".join(words_of(order)).replace("*-include pre.h", "-include *pre.h")
    assert found.replace("*/s", "*s") == args
    assert isinstance(order, TreeOrder)
    assert order.own_system and order.dependencies and order.output is None and not order.sides and not order.search
    assert order.cwd == b"/home/u/p"


def test_a_source_that_leads_out_of_the_tree() -> None:
    assert isinstance(tree("gcc -c ../../../t.c"), TreeOrder)
    assert isinstance(tree("gcc -c ../../../../t.c"), Declined)

"""Hostile jobs: what is not what our client could have sent is refused, and nothing raises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zdistcc.toolchain.identity import CompilerId, Family, Offer
from zdistcc.wire import messages
from zdistcc.wire.messages import Blob, Body, Job, RefusalCode, Refuse, Stage
from zdistcc.worker.execute import text_command
from zdistcc.worker.vet import ENVIRONMENT, Order, examine

OFFERS = [
    Offer(
        id=CompilerId(family=family, version="1", target="x86_64-linux-gnu", build_id=family.value * 8),
        languages=frozenset({"c", "c++"}),
    )
    for family in (Family.GCC, Family.CLANG)
]


def job(**changes: Any) -> Job:
    fields: dict[str, Any] = {
        "compiler": "gcc" * 8,
        "target": "t",
        "language": "cpp-output",
        "stage": Stage.OBJECT,
        "args": (b"-O2",),
        "name": b"x.c",
        "cwd": b"/p",
        "source": Blob(digest=b"d" * 32, body=Body(raw=1, packed=1)),
    }
    return Job(**{**fields, **changes})


def order_of(**changes: Any) -> Order:
    order = examine(job(**changes), OFFERS)
    assert isinstance(order, Order), order
    return order


def test_ours_pass() -> None:
    order = order_of(args=(b"-O2", b"-g", b"-Wall", b"-std=c11", b"-fPIC"))
    assert order.args == (b"-O2", b"-g", b"-Wall", b"-std=c11", b"-fPIC") and order.name == b"x.c"


@pytest.mark.parametrize("family", ["gcc", "clang"])
@pytest.mark.parametrize(
    "words",
    [
        [b"/etc/passwd"],
        [b"x.c"],
        [b"-"],
        [b""],
        [b"@/etc/passwd"],
        [b"-fplugin=/tmp/evil.so"],
        [b"-fplugin-arg-x-y=z"],
        [b"-fpass-plugin=/tmp/evil.so"],
        [b"-Xclang", b"-load", b"-Xclang", b"/tmp/evil.so"],
        [b"-load", b"/tmp/evil.so"],
        [b"-B/tmp"],
        [b"-B", b"/tmp"],
        [b"-specs=/tmp/evil"],
        [b"--specs=/tmp/evil"],
        [b"-wrapper", b"sh,-c,evil"],
        [b"-o", b"/tmp/evil"],
        [b"-o/tmp/evil"],
        [b"--output=/tmp/evil"],
        [b"-I/etc"],
        [b"-include", b"/etc/passwd"],
        [b"-imacros", b"/etc/passwd"],
        [b"-isystem", b"/etc"],
        [b"-iquote/etc"],
        [b"-MD"],
        [b"-MF", b"/tmp/evil"],
        [b"-Wp,-MD,/tmp/evil"],
        [b"-Wa,-a=/tmp/evil"],
        [b"-Xassembler", b"-a=/tmp/evil"],
        [b"-Wl,--version"],
        [b"-dumpdir", b"/tmp/"],
        [b"-save-temps"],
        [b"-fdump-tree-all=/tmp/evil"],
        [b"-fprofile-use=/etc/passwd"],
        [b"-fprofile-generate=/tmp"],
        [b"-fauto-profile=/etc/passwd"],
        [b"--coverage"],
        [b"-gsplit-dwarf"],
        [b"-fcompare-debug"],
        [b"-E"],
        [b"-S"],
        [b"-x", b"c"],
        [b"-xc"],
        [b"-v"],
        [b"-###"],
        [b"--config", b"/tmp/evil"],
        [b"-march=native"],
        [b"-fsanitize-blacklist=/etc/passwd"],
        [b"-ftime-trace=/tmp/evil"],
        [b"-mllvm", b"-load=/tmp/evil.so"],
        [b"-fmodule-file=/etc/passwd"],
        [b"-ivfsoverlay", b"/etc/passwd"],
        [b"-print-prog-name=as"],
        [b"-O2\0"],
        [b"-DX=\0"],
        [b"-O" + b"2" * 100_000],
        [b"-O2"] * 16_000,
        [b"--param"],
    ],
    ids=lambda words: ascii(b" ".join(words)[:40]),
)
def test_hostile_words(words: list[bytes], family: str) -> None:
    refusal = examine(job(args=tuple(words), compiler=family * 8), OFFERS)
    assert isinstance(refusal, Refuse) and refusal.code is RefusalCode.ARGUMENTS, refusal
    assert messages.encode(refusal)
    assert refusal.sentence.isprintable()


@pytest.mark.parametrize("name", [b".", b"..", b"a/..", b"-x", b"/", b"a\0b", b"a/-o"])
def test_hostile_names(name: bytes) -> None:
    assert isinstance(examine(job(name=name), OFFERS), Refuse)


@pytest.mark.parametrize(("name", "bare"), [(b"/etc/passwd", b"passwd"), (b"../../x.c", b"x.c"), (b"@x", b"@x")])
def test_names_lose_their_directory(name: bytes, bare: bytes) -> None:
    order = order_of(name=name)
    assert order.name == bare
    assert text_command(order, b"/usr/bin/gcc")[-1] == bare


@pytest.mark.parametrize("language", ["c", "c++", "none", "", "cpp-output -o /x", "\x1b[2J" * 60, "\U000e0001" * 250])
def test_hostile_languages(language: str) -> None:
    refusal = examine(job(language=language), OFFERS)
    assert isinstance(refusal, Refuse) and messages.encode(refusal)
    assert refusal.sentence.isprintable()


def test_a_compiler_is_a_build_id_of_the_list_and_never_a_path() -> None:
    for word in ("/bin/sh", "gcc", "", "gcc" * 7):
        refusal = examine(job(compiler=word), OFFERS)
        assert isinstance(refusal, Refuse) and refusal.code is RefusalCode.NO_COMPILER


def test_of_the_environment_little_passes() -> None:
    hostile = [
        (key, b"/tmp/evil") for key in ("PATH", "LD_PRELOAD", "GCC_EXEC_PREFIX", "COMPILER_PATH", "TMPDIR", "CPATH")
    ]
    good = sorted(ENVIRONMENT)[0]
    order = order_of(env=(*hostile, (good, b"v"), (good + "X", b"v")))
    assert order.env == {good.encode(): b"v"}
    assert order_of(env=((good, b"a\0b"),)).env == {} == order_of(env=((good, b"v" * 5000),)).env


@settings(deadline=None)
@given(
    args=st.lists(
        st.one_of(st.binary(max_size=30), st.sampled_from([b"-O2", b"-I", b"-D", b"-Wp,", b"-x"])), max_size=6
    ),
    name=st.binary(min_size=1, max_size=30),
    language=st.text(max_size=20),
)
def test_nothing_raises_and_nothing_bare_passes(args: list[bytes], name: bytes, language: str) -> None:
    for text in (language, "cpp-output"):
        answer = examine(job(args=tuple(args), name=name, language=text), OFFERS)
        if isinstance(answer, Order):
            assert all(
                word.startswith(b"-") or answer.args[i - 1].startswith(b"-") for i, word in enumerate(answer.args)
            )
            assert b"/" not in answer.name and not answer.name.startswith(b"-")
            assert b"\0" not in b"".join(answer.args)
        else:
            assert messages.encode(answer)

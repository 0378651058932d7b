"""Reading compilers' texts, and deciding which stands in for which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.toolchain import recorded
from zdistcc.toolchain.identity import (
    BUILD_ID_HEX_DIGITS,
    CompilerId,
    Difference,
    Family,
    Language,
    Match,
    Mismatch,
    Offer,
    best_match,
    build_digest,
    canonical_target,
    llvm_architecture,
    major_version,
    matches,
    parse_gcc_v,
    parse_llvm_targets,
    parse_self_description,
    parse_sun_version,
)

C_AND_CXX = frozenset({Language.C, Language.CXX})


def compiler(
    version: str = "12.2.0",
    family: Family = Family.GCC,
    target: str = "x86_64-linux-gnu",
    build_id: str = "a" * BUILD_ID_HEX_DIGITS,
) -> CompilerId:
    return CompilerId(family=family, version=version, target=target, build_id=build_id)


def offer(id: CompilerId, *architectures: str) -> Offer:
    return Offer(id=id, languages=C_AND_CXX, architectures=frozenset(architectures))


@pytest.mark.parametrize("known", recorded.EVERYTHING, ids=lambda known: f"{known.family}-{known.label}")
def test_reads_what_compilers_print(known: recorded.Recorded) -> None:
    found = parse_self_description(known.text)
    assert found is not None
    assert (found.family, found.version, found.target) == (known.family, known.version, known.target)
    assert found.statements


def test_distinct_texts_are_distinct_builds() -> None:
    described = [parse_self_description(known.text) for known in recorded.GCC + recorded.CLANG]
    digests = {build_digest(found.statements) for found in described if found is not None}
    assert len(digests) == len(described)


def test_how_it_was_called_is_no_part_of_a_gcc_build() -> None:
    text = recorded.GCC[0].text
    called = text.replace("COLLECT_GCC=gcc", "COLLECT_GCC=/usr/bin/g++-12").replace(
        "COLLECT_LTO_WRAPPER=/usr/libexec/",
        "OFFLOAD_TARGET_NAMES=nvptx-none\nCOLLECT_LTO_WRAPPER=/elsewhere/",
    )
    plain, other = parse_gcc_v(text), parse_gcc_v(called)
    assert plain is not None and other is not None
    assert plain.statements == other.statements
    assert other.called_as == "/usr/bin/g++-12"


@pytest.mark.parametrize(
    ("what", "old", "new"),
    [
        ("distribution revision", "-14+deb12u1) ", "-14+deb12u2) "),
        ("configuration", "--enable-default-pie", "--disable-default-pie"),
        ("arithmetic", "MPFR version 4.2.0", "MPFR version 4.2.1"),
        ("the compiler proper", "checksum: df5c", "checksum: 0000"),
    ],
)
def test_what_changes_bytes_changes_a_gcc_build(what: str, old: str, new: str) -> None:
    introduction = (
        "GNU C17 (Debian 12.2.0-14+deb12u1) version 12.2.0 (x86_64-linux-gnu)\n"
        "\tcompiled by GNU C version 12.2.0, GMP version 6.2.1, MPFR version 4.2.0, MPC version 1.3.1\n"
        "Compiler executable checksum: df5cb71f7b1353aac39c2b59ae45fa4a\n"
    )
    text = recorded.GCC[0].text + introduction
    assert old in text
    before, after = parse_gcc_v(text), parse_gcc_v(text.replace(old, new))
    assert before is not None and after is not None
    assert before.statements != after.statements, what


def test_a_clang_under_a_prefixed_name_is_the_same_build() -> None:
    text = recorded.CLANG[0].text
    moved = text.replace("x86_64-pc-linux-gnu", "aarch64-linux-gnu").replace("/usr/bin", "/opt/llvm/bin")
    plain, prefixed = parse_self_description(text), parse_self_description(moved)
    assert plain is not None and prefixed is not None
    assert plain.statements == prefixed.statements


def test_files_a_compiler_consults_are_named() -> None:
    described = {known.label: parse_self_description(known.text) for known in recorded.EVERYTHING}
    gentoo, icx = described["gentoo"], described["icx"]
    assert gentoo is not None and gentoo.consulted == ("/usr/lib/gcc/x86_64-pc-linux-gnu/13/specs",)
    assert icx is not None and icx.consulted[0].endswith("icx.cfg")


def test_suns_two_programs_are_two_builds() -> None:
    c = parse_sun_version("suncc: Studio 12.6 Sun C 5.15 Linux_i386 2017/05/30")
    cxx = parse_sun_version("sunCC: Studio 12.6 Sun C++ 5.15 Linux_i386 2017/05/30")
    assert c is not None and cxx is not None
    assert c.languages == frozenset({Language.C}) and cxx.languages == frozenset({Language.CXX})
    assert c.statements != cxx.statements


@pytest.mark.parametrize(
    "text",
    ["", "cc: no input files\n", "gcc version 12.2.0\n", "Target: x86_64-linux-gnu\n", "distcc 3.4 x86_64\n"],
)
def test_other_texts_are_no_compiler(text: str) -> None:
    assert parse_self_description(text) is None


@given(st.text(), st.sampled_from(recorded.EVERYTHING), st.integers(0, 400))
def test_no_text_breaks_the_parsers(junk: str, known: recorded.Recorded, at: int) -> None:
    parse_self_description(known.text[:at] + junk + known.text[at:])
    parse_llvm_targets(junk)
    canonical_target(junk)
    llvm_architecture(junk)


# --- may it serve -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("need", "has", "level", "what", "sentence"),
    [
        (
            compiler("12.2.0"),
            compiler("14.0.6", Family.CLANG),
            Match.SAME_MAJOR,
            Difference.FAMILY,
            "has clang 14.0.6, this job needs gcc 12.2.0",
        ),
        (
            compiler("12.2.0"),
            compiler("11.4.0"),
            Match.SAME_MAJOR,
            Difference.VERSION,
            "has gcc 11.4.0, this job needs gcc 12.2.0",
        ),
        (
            compiler("12.2.0"),
            compiler("12.3.0"),
            Match.SAME_VERSION,
            Difference.VERSION,
            "has gcc 12.3.0, this job needs gcc 12.2.0",
        ),
        (
            compiler(target="aarch64-linux-gnu"),
            compiler(),
            Match.SAME_VERSION,
            Difference.TARGET,
            "has gcc 12.2.0 for x86_64-linux-gnu, this job needs it for aarch64-linux-gnu",
        ),
        (
            compiler(build_id="b" * 32),
            compiler(),
            Match.EXACT,
            Difference.BUILD,
            "has another build of gcc 12.2.0 (aaaaaaaa), this job needs bbbbbbbb",
        ),
        (
            compiler("15.0.0", Family.CLANG),
            compiler("15.0.0-apple", Family.CLANG),
            Match.SAME_MAJOR,
            Difference.VERSION,
            "has clang 15.0.0-apple, this job needs clang 15.0.0",
        ),
        (
            compiler("1", Family.UNKNOWN),
            compiler("1", Family.UNKNOWN),
            Match.SAME_MAJOR,
            Difference.FAMILY,
            "has unknown 1, this job needs unknown 1",
        ),
    ],
)
def test_says_what_differs(need: CompilerId, has: CompilerId, level: Match, what: Difference, sentence: str) -> None:
    assert matches(need, offer(has), level) == Mismatch(what=what, sentence=sentence)


@pytest.mark.parametrize(
    ("need", "has", "level"),
    [
        (compiler(), compiler(), Match.EXACT),
        (compiler(build_id="b" * 32), compiler(), Match.SAME_VERSION),
        (compiler("12.3.0"), compiler("12.2.0"), Match.SAME_MAJOR),
        (compiler(target="x86_64-redhat-linux"), compiler(target="x86_64-pc-linux-gnu"), Match.SAME_VERSION),
    ],
)
def test_serves(need: CompilerId, has: CompilerId, level: Match) -> None:
    assert matches(need, offer(has), level, Language.CXX) is None


def test_a_language_it_has_no_compiler_for() -> None:
    miss = matches(compiler(), offer(compiler()), Match.EXACT, Language.OBJCXX)
    assert miss == Mismatch(what=Difference.LANGUAGE, sentence="has gcc 12.2.0 without objective-c++")


def test_clang_serves_the_targets_of_its_build() -> None:
    has = offer(compiler("14.0.6", Family.CLANG, "x86_64-pc-linux-gnu"), "aarch64", "x86-64")
    assert matches(compiler("14.0.6", Family.CLANG, "arm64-linux-gnu"), has, Match.EXACT) is None
    miss = matches(compiler("14.0.6", Family.CLANG, "riscv64-linux-gnu"), has, Match.SAME_MAJOR)
    assert miss is not None and miss.what is Difference.TARGET
    unheard = matches(compiler("14.0.6", Family.CLANG, "pdp11-dec-unix"), has, Match.SAME_MAJOR)
    assert unheard is not None and unheard.what is Difference.TARGET


def test_the_equal_build_is_preferred() -> None:
    near, equal = offer(compiler(build_id="b" * 32)), offer(compiler())
    assert best_match(compiler(), [near, equal], Match.SAME_VERSION) is equal
    assert best_match(compiler(build_id="c" * 32), [near, equal], Match.SAME_VERSION) is near


def test_the_nearest_miss_is_told() -> None:
    offered = [
        offer(compiler("14.0.6", Family.CLANG)),
        offer(compiler("11.4.0")),
        offer(compiler("9", Family.SUN)),
    ]
    miss = best_match(compiler(), offered, Match.SAME_VERSION)
    assert isinstance(miss, Mismatch)
    assert miss.sentence == "has gcc 11.4.0, this job needs gcc 12.2.0"
    assert best_match(compiler(), [], Match.SAME_VERSION) is None


@pytest.mark.parametrize(
    ("family", "version", "major"),
    [
        (Family.GCC, "12.2.0", "12"),
        (Family.GCC, "4.8.5", "4.8"),
        (Family.CLANG, "3.9.1", "3"),
        (Family.CLANG, "15.0.0-apple", "15-apple"),
        (Family.GCC, "", ""),
    ],
)
def test_major_version(family: Family, version: str, major: str) -> None:
    assert major_version(family, version) == major


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("x86_64-redhat-linux", "x86_64-linux-gnu", True),
        ("x86_64-alpine-linux-musl", "x86_64-linux-gnu", False),
        ("armv7l-unknown-linux-gnueabihf", "arm-linux-gnueabihf", False),
        ("aarch64-none-linux-gnu", "arm64-linux-gnu", True),
        ("i686-w64-mingw32", "i686-pc-mingw32", False),
        ("arm64-apple-darwin23.4.0", "arm64-apple-darwin22.1.0", False),
    ],
)
def test_targets_compare_without_their_vendors(one: str, other: str, same: bool) -> None:
    assert (canonical_target(one) == canonical_target(other)) is same

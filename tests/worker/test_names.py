"""What clients of stock distcc may call a compiler, and which one they then get."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from zdistcc.toolchain.identity import CompilerId, Family, Offer
from zdistcc.toolchain.languages import Driver
from zdistcc.worker.names import GENERIC, Known, Meant, Spellings, Unclear, find


def known(name: str, family: Family, version: str, target: str, *architectures: str) -> Known:
    made = CompilerId(family=family, version=version, target=target, build_id=f"{name}{version}")
    offer = Offer(id=made, languages=frozenset(), architectures=frozenset(architectures))
    return Known(offer=offer, name=name)


HERE = {
    "gcc 12": known("gcc", Family.GCC, "12.2.0", "x86_64-linux-gnu"),
    "gcc 11": known("gcc-11", Family.GCC, "11.3.0", "x86_64-linux-gnu"),
    "cross 12": known("aarch64-linux-gnu-gcc", Family.GCC, "12.2.0", "aarch64-linux-gnu"),
    "cross 11": known("aarch64-linux-gnu-gcc-11", Family.GCC, "11.3.0", "aarch64-linux-gnu"),
    "riscv": known("riscv64-linux-gnu-gcc-12", Family.GCC, "12.2.0", "riscv64-linux-gnu"),
    "clang 14": known("clang", Family.CLANG, "14.0.6", "x86_64-pc-linux-gnu", "x86-64", "aarch64"),
    "clang 16": known("clang-16", Family.CLANG, "16.0.1", "x86_64-pc-linux-gnu", "x86-64", "riscv64"),
}
GENERIC_HERE = {"cc": "gcc 12", "c++": "clang 14"}


def ask(words: str, here: Mapping[str, Known] = HERE, generic: Mapping[str, str] | None = None) -> Meant | Unclear:
    command, *args = words.encode().split()
    names = GENERIC_HERE if generic is None else generic
    spelled = Spellings(
        compilers=list(here.values()), generic={name: HERE[which].offer.id for name, which in names.items()}
    )
    return find(command, args, spelled)


@pytest.mark.parametrize(
    ("words", "which"),
    [
        ("gcc", "gcc 12"),
        ("g++", "gcc 12"),
        ("cc", "gcc 12"),
        ("c++", "clang 14"),
        ("clang", "clang 14"),
        ("clang++", "clang 14"),
        ("gcc-12", "gcc 12"),
        ("gcc-12.2", "gcc 12"),
        ("gcc-12.2.0", "gcc 12"),
        ("gcc12", "gcc 12"),
        ("g++-11", "gcc 11"),
        ("clang-14", "clang 14"),
        ("clang++-16", "clang 16"),
        ("clang-16.0", "clang 16"),
        ("x86_64-linux-gnu-gcc", "gcc 12"),
        ("x86_64-linux-gnu-g++", "gcc 12"),
        ("x86_64-linux-gnu-gcc-11", "gcc 11"),
        ("x86_64-redhat-linux-gcc", "gcc 12"),
        ("x86_64-pc-linux-gnu-gcc-12.2.0", "gcc 12"),
        ("amd64-linux-gnu-gcc", "gcc 12"),
        ("x86_64-linux-gnu-cc", "gcc 12"),
        ("aarch64-linux-gnu-gcc", "cross 12"),
        ("aarch64-linux-gnu-g++", "cross 12"),
        ("aarch64-linux-gnu-gcc-11", "cross 11"),
        ("aarch64-unknown-linux-gnu-gcc-12", "cross 12"),
        ("riscv64-linux-gnu-gcc", "riscv"),
        ("clang -target x86_64-pc-linux-gnu", "clang 14"),
        ("clang --target=aarch64-linux-gnu", "clang 14"),
        ("clang -target riscv64-linux-gnu", "clang 16"),
        ("clang --target=riscv64-linux-gnu -target aarch64-linux-gnu", "clang 14"),
        ("clang-16 -target riscv64-linux-gnu", "clang 16"),
        ("aarch64-linux-gnu-clang", "clang 14"),
        ("/usr/bin/gcc", "gcc 12"),
        ("/bin/clang++-16", "clang 16"),
        ("/usr/bin/cc", "gcc 12"),
    ],
)
def test_what_is_meant(words: str, which: str) -> None:
    found = ask(words)
    assert isinstance(found, Meant), found
    assert found.offer == HERE[which].offer
    called = words.split()[0].rpartition("/")[2]
    assert found.driver is (Driver.CXX if "++" in called else Driver.C)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "/",
        "/tmp/gcc",
        "/usr/local/bin/gcc",
        "/usr/bin/../../tmp/gcc",
        "./gcc",
        "bin/gcc",
        "/usr/bin/",
        "sh",
        "python3",
        "gcc;sh",
        "gcc\nsh",
        "-gcc",
        "gcc-",
        "c99",
        "c99-gcc",
        "icc",
        "CC",
        "suncc",
        "gcc-ar",
        "as",
        "zdistcc",
        "distcc",
        "ccache",
    ],
)
def test_what_is_no_name_of_a_compiler_that_is_served(words: str) -> None:
    found = find(words.encode(), [], Spellings(compilers=list(HERE.values()), generic={}))
    assert isinstance(found, Unclear) and ("is no name" in found.sentence or "is a path" in found.sentence)
    assert found.sentence.isprintable()


@pytest.mark.parametrize(
    "words",
    [
        "gcc-13",
        "gcc-1",
        "gcc-12.2.0.1",
        "gcc-12-win32",
        "gcc-mp-12",
        "clang-15",
        "mips-linux-gnu-gcc",
        "clang --target=mips-linux-gnu",
        "aarch64-linux-gnu-clang-16",
        "x86_64-linux-musl-gcc",
        "i686-linux-gnu-gcc",
        "my-gcc",
        "cc1",
    ],
)
def test_what_is_not_here(words: str) -> None:
    assert isinstance(ask(words), Unclear)


def test_a_prefix_becomes_clangs_target_unless_the_words_name_one() -> None:
    said = {words: ask(words) for words in ("aarch64-linux-gnu-clang", "aarch64-linux-gnu-clang --target=aarch64-none-elf",
                                            "clang", "aarch64-linux-gnu-gcc")}  # fmt: skip
    assert [found.target for found in said.values() if isinstance(found, Meant)] == ["aarch64-linux-gnu", "", "", ""]


def test_a_cross_compiler_is_never_the_plain_one() -> None:
    only = {"cross 12": HERE["cross 12"]}
    assert isinstance(ask("gcc", only, {}), Unclear)
    assert isinstance(ask("aarch64-linux-gnu-gcc", only, {}), Meant)


def test_what_is_unclear_is_not_guessed() -> None:
    two = {name: HERE[name] for name in ("gcc 11", "clang 16")} | {
        "gcc 10": known("gcc-10", Family.GCC, "10.2.1", "x86_64-linux-gnu")
    }
    found = ask("gcc", two, {})
    assert isinstance(found, Unclear) and "any of 2" in found.sentence
    assert isinstance(ask("gcc-10", two, {}), Meant)
    assert isinstance(ask("cc", two, {}), Unclear)


def test_a_name_that_another_family_has_taken_is_not_that_family() -> None:
    """On macOS gcc is clang."""
    mac = {"gcc": known("gcc", Family.CLANG, "15.0.0-apple", "arm64-apple-darwin22", "aarch64")}
    assert isinstance(ask("gcc", mac, {}), Unclear)


def test_cc_is_what_it_is_here_even_if_that_is_a_version_by_name() -> None:
    found = ask("cc", HERE, {"cc": "clang 16"})
    assert isinstance(found, Meant) and found.offer == HERE["clang 16"].offer
    assert set(GENERIC_HERE) == set(GENERIC)

"""The table of names."""

from __future__ import annotations

import pytest

from zdistcc.toolchain import families
from zdistcc.toolchain.identity import Family, Language


def test_the_table_is_sound() -> None:
    assert families.check_table() == []


@pytest.mark.parametrize(
    ("name", "family", "driver", "prefix", "suffix"),
    [
        (b"gcc", Family.GCC, Language.C, "", ""),
        (b"/usr/bin/g++-12", Family.GCC, Language.CXX, "", "-12"),
        (b"gcc-12.2.0", Family.GCC, Language.C, "", "-12.2.0"),
        (b"aarch64-linux-gnu-gcc", Family.GCC, Language.C, "aarch64-linux-gnu", ""),
        (b"x86_64-w64-mingw32-g++-12-posix", Family.GCC, Language.CXX, "x86_64-w64-mingw32", "-12-posix"),
        (b"gcc12", Family.GCC, Language.C, "", "12"),
        (b"g++-mp-13", Family.GCC, Language.CXX, "", "-mp-13"),
        (b"clang", Family.CLANG, Language.C, "", ""),
        (b"clang++-14", Family.CLANG, Language.CXX, "", "-14"),
        (b"armv7a-linux-androideabi21-clang++", Family.CLANG, Language.CXX, "armv7a-linux-androideabi21", ""),
        (b"cc", Family.UNKNOWN, Language.C, "", ""),
        (b"c++", Family.UNKNOWN, Language.CXX, "", ""),
        (b"c89", Family.UNKNOWN, Language.C, "", ""),
        (b"c99-gcc", Family.GCC, Language.C, "", ""),
        (b"gobjc", Family.GCC, Language.C, "", ""),
        (b"icpx", Family.INTEL, Language.CXX, "", ""),
        (b"suncc", Family.SUN, Language.C, "", ""),
        (b"sunCC", Family.SUN, Language.CXX, "", ""),
        (b"CC", Family.SUN, Language.CXX, "", ""),
    ],
)
def test_names_of_compilers(name: bytes, family: Family, driver: Language, prefix: str, suffix: str) -> None:
    guess = families.looks_like_compiler(name)
    assert guess is not None
    assert (guess.family, guess.driver, guess.prefix, guess.suffix) == (family, driver, prefix, suffix)
    assert families.driver_of(name) is driver


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b"gcc-ar",
        b"gcc-12-nm",
        b"clang-format",
        b"clang-cpp-14",
        b"cpp",
        b"ccache",
        b"distcc",
        b"ld",
        b"xcc",
        b"Cc",
        b"gcc.sh",
        b"-12",
        b"gcc-",
        b"g\xff+",
    ],
)
def test_names_of_other_things(name: bytes) -> None:
    assert families.looks_like_compiler(name) is None
    assert families.driver_of(name) is Language.C


def test_the_plainest_name_comes_first() -> None:
    names = [b"x86_64-linux-gnu-gcc-12", b"c99", b"g++", b"gcc-12", b"x86_64-linux-gnu-gcc", b"cc", b"gcc"]
    guesses = {name: families.looks_like_compiler(name) for name in names}
    ordered = sorted(names, key=lambda name: guess.plainness if (guess := guesses[name]) else (9, 9, 9))
    prefixed = [b"x86_64-linux-gnu-gcc", b"x86_64-linux-gnu-gcc-12"]
    assert ordered == [b"gcc", b"g++", b"cc", b"c99", b"gcc-12", *prefixed]


def test_wrappers_are_known_by_what_a_path_resolves_to() -> None:
    assert families.is_wrapper(b"/usr/bin/ccache")
    assert not families.is_wrapper(b"/usr/lib/ccache/gcc")

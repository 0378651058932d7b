"""Languages: what a suffix or ``-x`` says, and what the preprocessed form is called.

Must not know: options, jobs, the disk.
"""

from __future__ import annotations

import enum

from zdistcc.errors import Reason
from zdistcc.toolchain.identity import Family


class Driver(enum.Enum):
    """What the command is called like: ``g++`` and ``clang++`` take a ``.c`` for C++."""

    C = "c"
    CXX = "c++"


class Language(enum.Enum):
    """A language that can be shipped; the value is its ``-x`` name for GCC and Clang alike."""

    C = b"c"
    CXX = b"c++"
    OBJC = b"objective-c"
    OBJCXX = b"objective-c++"
    ASSEMBLER = b"assembler-with-cpp"
    C_TEXT = b"cpp-output"
    CXX_TEXT = b"c++-cpp-output"
    OBJC_TEXT = b"objective-c-cpp-output"
    OBJCXX_TEXT = b"objective-c++-cpp-output"
    ASSEMBLER_TEXT = b"assembler"

    @property
    def preprocessed(self) -> bool:
        """Whether this is the output of the preprocessor."""
        return self not in _TEXT_OF

    @property
    def text(self) -> Language:
        """The preprocessed form of this language; itself if it is one."""
        return _TEXT_OF.get(self, self)

    @property
    def cpp_output(self) -> bytes:
        """The ``-x`` name of the preprocessed form."""
        return self.text.value


_TEXT_OF = {
    Language.C: Language.C_TEXT,
    Language.CXX: Language.CXX_TEXT,
    Language.OBJC: Language.OBJC_TEXT,
    Language.OBJCXX: Language.OBJCXX_TEXT,
    Language.ASSEMBLER: Language.ASSEMBLER_TEXT,
}

_SUFFIXES: dict[bytes, Language] = {
    b"c": Language.C,
    b"i": Language.C_TEXT,
    b"cc": Language.CXX,
    b"cp": Language.CXX,
    b"cxx": Language.CXX,
    b"cpp": Language.CXX,
    b"CPP": Language.CXX,
    b"c++": Language.CXX,
    b"C": Language.CXX,
    b"ii": Language.CXX_TEXT,
    b"m": Language.OBJC,
    b"mi": Language.OBJC_TEXT,
    b"mm": Language.OBJCXX,
    b"M": Language.OBJCXX,
    b"mii": Language.OBJCXX_TEXT,
    b"S": Language.ASSEMBLER,
}
# What the families do not agree on.
_GCC_SUFFIXES = {b"sx": Language.ASSEMBLER}
_CLANG_SUFFIXES = {b"CC": Language.CXX, b"CXX": Language.CXX, b"C++": Language.CXX}

_REFUSED_SUFFIXES: dict[bytes, Reason] = {
    **dict.fromkeys((b"s", b"asm"), Reason.ASSEMBLER_INPUT),
    **dict.fromkeys(
        (b"h", b"hh", b"H", b"hp", b"hxx", b"hpp", b"HPP", b"h++", b"tcc"), Reason.PRECOMPILED_HEADER
    ),
    **dict.fromkeys((b"cppm", b"ixx", b"ccm", b"cxxm", b"c++m", b"mpp", b"pcm"), Reason.MODULES),
    **dict.fromkeys(
        (b"f", b"F", b"for", b"FOR", b"f90", b"F90", b"f95", b"F95", b"f03", b"F03", b"f08", b"F08", b"ftn",
         b"fpp", b"FPP", b"adb", b"ads", b"go", b"d", b"cu", b"cuh", b"hip", b"cl", b"rs", b"ll", b"bc",
         b"mod"),
        Reason.UNSUPPORTED_LANGUAGE,
    ),
}  # fmt: skip

_X_REFUSED: dict[bytes, Reason] = {
    b"assembler": Reason.ASSEMBLER_INPUT,
    **dict.fromkeys(
        (b"c-header", b"c++-header", b"c++-system-header", b"c++-user-header", b"objective-c-header",
         b"objective-c++-header", b"c-header-cpp-output", b"c++-header-cpp-output"),
        Reason.PRECOMPILED_HEADER,
    ),
    b"c++-module": Reason.MODULES,
    b"c++-module-cpp-output": Reason.MODULES,
}  # fmt: skip
_X_NAMES: dict[bytes, Language] = {
    **{language.value: language for language in Language if language is not Language.ASSEMBLER_TEXT},
    b"objc-cpp-output": Language.OBJC_TEXT,
}
_CXX_DRIVER = {Language.C: Language.CXX, Language.C_TEXT: Language.CXX_TEXT}


def language_of(path: bytes, family: Family, driver: Driver) -> Language | Reason | None:
    """The language a file's suffix stands for; a reason if it is not shipped; None for the linker."""
    dot = path.rfind(b".")
    if dot < 0 or b"/" in path[dot:]:
        return None
    suffix = path[dot + 1 :]
    own = _GCC_SUFFIXES if family is Family.GCC else _CLANG_SUFFIXES
    language = _SUFFIXES.get(suffix) or own.get(suffix)
    if language is None:
        return _REFUSED_SUFFIXES.get(suffix)
    return _CXX_DRIVER.get(language, language) if driver is Driver.CXX else language


def language_named(name: bytes) -> Language | Reason:
    """The language that ``-x NAME`` stands for, or why it is not shipped."""
    return _X_NAMES.get(name) or _X_REFUSED.get(name) or Reason.UNSUPPORTED_LANGUAGE

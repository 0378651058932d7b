"""What a worker refuses, and that it refuses nothing our own client sends."""

from __future__ import annotations

import pytest

from tests.toolchain.commands import ALL_LINES, words
from zdistcc.errors import Reason
from zdistcc.toolchain import rebuild
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.invocation import Invocation, scan
from zdistcc.toolchain.languages import Driver
from zdistcc.toolchain.options import Side
from zdistcc.toolchain.vetting import MAX_WORD_BYTES, MAX_WORDS, Refused, vet

HOSTILE = """
x.c|/etc/passwd|-|@/etc/passwd|-o/tmp/x|-o x|-c|-S|-E|-x c|-xc|-I/etc|-include /etc/passwd|-imacros x|-DX|-MD|-MF x
-fplugin=/tmp/x.so|-fplugin-arg-x-y|-specs=x|--specs=x|-specs x|-B/tmp|-B /tmp|-save-temps|-save-temps=obj
-fdump-tree-all=/tmp/x|-dumpdir x|-dumpbase x|-fprofile-use=x|-fprofile-generate=/tmp|-fauto-profile=x|-frepo
-Wa,@x|-Wa,-al=x|-Wa,--MD,x|-Wa,-I/etc|-Wa,x.s|-Xassembler x.s|-Xassembler @x|-Wl,-plugin,x|-Xlinker x|-L/tmp|-lx
-Wp,-MD,x|-Wp,-include,/etc/passwd|-Xpreprocessor -include|-aux-info x|-fuse-ld=/tmp/x|-fdiagnostics-add-output=x
-fstack-usage|-gsplit-dwarf|--coverage|-ftest-coverage|-fcallgraph-info|-ftime-trace=/tmp/x|-fopt-info-all=x
-fsave-optimization-record|-foptimization-record-file=x|-frecord-gcc-switches|-fmodules|-fmodule-file=x|-march=native
-fnovel-option=/tmp/x|--novel|-novel|-Onew/path|-Wnew=/x|-mnew=/x|-gnew=/x|-std=/x|-ftest=../x|-###|--version|-v
"""
GCC_HOSTILE = "-wrapper /bin/sh,-c|-iplugindir=/tmp|-gen-decls"
CLANG_HOSTILE = """
-Xclang -load|-Xclang /tmp/x.so|-Xclang x.c|-mllvm -load=x|-mllvm -stats|-fpass-plugin=x|-include-pch x|--config x
-ivfsoverlay x|-resource-dir x|-fsanitize-ignorelist=x|-fxray-attr-list=x|--serialize-diagnostics x|-MJ x|-target a/b
-index-store-path x|-fproc-stat-report=x|-fthinlto-index=x|--driver-mode=cl|-gcc-toolchain /tmp|-emit-llvm|--
-fbasic-block-sections=list=x|-Xarch_x86_64 -load|-fthin-link-bitcode=x|--analyze|-objcmt-migrate-all|-ccc-gcc-name x
"""


def split(text: str) -> list[bytes]:
    return [words.encode() for line in text.strip().splitlines() for words in line.split("|")]


CASES = [
    *((Family.GCC, line) for line in split(HOSTILE) + split(GCC_HOSTILE)),
    *((Family.CLANG, line) for line in split(HOSTILE) + split(CLANG_HOSTILE)),
]


@pytest.mark.parametrize(("family", "line"), CASES)
def test_hostile_words_are_refused_wherever_they_stand(family: Family, line: bytes) -> None:
    for before, after in (([], []), ([b"-O2"], [b"-Wall"]), ([b"-fPIC", b"-g"], [])):
        found = vet([*before, *line.split(), *after], family=family)
        assert isinstance(found, Refused)
        assert found.why in Reason


@pytest.mark.parametrize(
    ("family", "word"),
    [
        *((Family.GCC, word) for word in (b"-Xassembler", b"--param", b"-I", b"-o", b"-T")),
        *((Family.CLANG, word) for word in (b"-Xassembler", b"-target", b"-arch", b"-Xclang", b"-mllvm")),
        *((Family.CLANG, word) for word in (b"-meabi", b"-mthread-model", b"-fdebug-compilation-dir")),
    ],
)
def test_a_value_cannot_swallow_the_words_that_the_worker_adds(family: Family, word: bytes) -> None:
    assert isinstance(vet([b"-O2", word], family=family), Refused)


@pytest.mark.parametrize("family", [Family.INTEL, Family.SUN, Family.UNKNOWN])
def test_unknown_families_are_refused(family: Family) -> None:
    found = vet([], family=family)
    assert isinstance(found, Refused)
    assert found.why is Reason.UNSUPPORTED_COMPILER


def test_size_is_bounded() -> None:
    assert vet([b"-O2"] * MAX_WORDS, family=Family.GCC) == (b"-O2",) * MAX_WORDS
    assert isinstance(vet([b"-O2"] * (MAX_WORDS + 1), family=Family.GCC), Refused)
    assert isinstance(vet([b"-f" + b"x" * MAX_WORD_BYTES], family=Family.GCC), Refused)
    assert isinstance(vet([b""], family=Family.GCC), Refused)
    assert isinstance(vet([b"-fx\0"], family=Family.GCC), Refused)


def test_side_outputs_pass_where_the_worker_returns_them() -> None:
    args = [b"-g", b"-gsplit-dwarf"]
    assert vet(args, family=Family.GCC, allow_side_outputs={Side.DWO}) == tuple(args)
    assert vet(args, family=Family.GCC) == Refused(b"-gsplit-dwarf", Reason.SPLIT_DWARF)


@pytest.mark.parametrize("family", [Family.GCC, Family.CLANG])
def test_what_our_client_sends_passes_unchanged(family: Family) -> None:
    native = [b"-march=x86-64", b"-mavx", b"-mtune=generic", b"--param=l1-cache-size=48"]
    native = native[: 4 if family is Family.GCC else 3]
    passed = 0
    for line in ALL_LINES:
        found = scan(words(line), family=family, driver=Driver.C, env={}, read_file=lambda path: None)
        if isinstance(found, Invocation):
            args = rebuild.remote_args(found, native=native)
            assert vet(args, family=family) == tuple(args)
            passed += 1
    assert passed > 50

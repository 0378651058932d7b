"""What a command means: its reason for staying here, or what an invocation says of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import pytest

from zdistcc.errors import Reason
from zdistcc.toolchain import dependencies, responses
from zdistcc.toolchain.dependencies import Target
from zdistcc.toolchain.environment import VARIABLES, EnvEffect
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.invocation import Invocation, SideOutput, Stage, scan
from zdistcc.toolchain.languages import Driver, Language, language_of
from zdistcc.toolchain.options import Mark, Side, Undistributable

BOTH = (Family.GCC, Family.CLANG)


def read(
    line: str | list[bytes],
    family: Family = Family.GCC,
    driver: Driver = Driver.C,
    env: Mapping[bytes, bytes] | None = None,
    files: Mapping[bytes, bytes] | None = None,
    **more: Any,
) -> Invocation | Undistributable:
    words = [word.encode() for word in shlex.split(line)] if isinstance(line, str) else line
    return scan(words, family=family, driver=driver, env=env or {}, read_file=(files or {}).get, **more)


def ok(line: str | list[bytes], family: Family = Family.GCC, **more: Any) -> Invocation:
    found = read(line, family, **more)
    assert isinstance(found, Invocation), found
    return found


@pytest.mark.parametrize("family", BOTH)
@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        ("", Reason.NO_INPUT, ""),
        ("-c", Reason.NO_INPUT, ""),
        ("-c x.o", Reason.NO_INPUT, "x.o"),
        ("-c noext", Reason.NO_INPUT, "noext"),
        ("x.c -o x", Reason.LINK, "x.c"),
        ("-Wl,-z,now -fplugin=x a.o b.o -lfoo -o x", Reason.LINK, "a.o"),
        ("-E x.c", Reason.PREPROCESS_ONLY, "-E"),
        ("-c -E x.c -o x.i", Reason.PREPROCESS_ONLY, "-E"),
        ("-M x.c", Reason.PREPROCESS_ONLY, "-M"),
        ("-MM -MG x.c", Reason.PREPROCESS_ONLY, "-MM"),
        ("--version", Reason.QUERY, "--version"),
        ("-v", Reason.QUERY, "-v"),
        ("-### -c x.c", Reason.QUERY, "-###"),
        ("-dumpmachine", Reason.QUERY, "-dumpmachine"),
        ("-print-file-name=x", Reason.QUERY, "-print-file-name=x"),
        ("-c x.c -mcpu=help", Reason.QUERY, "-mcpu=help"),
        ("-fsyntax-only x.c", Reason.NOT_A_COMPILE, "-fsyntax-only"),
        ("-S a.S", Reason.NOT_A_COMPILE, "a.S"),
        ("-c a.c b.c", Reason.SEVERAL_INPUTS, "b.c"),
        ("-c a.c b.o", Reason.SEVERAL_INPUTS, "b.o"),
        ("-c -x c -", Reason.STDIN_INPUT, "-"),
        ("-c x.c -o -", Reason.STDOUT_OUTPUT, "-"),
        ("-c x.c -o /dev/null", Reason.SPECIAL_OUTPUT, "/dev/null"),
        ("-c x.c -o dir/", Reason.SPECIAL_OUTPUT, "dir/"),
        ("-c x.c -o x.c", Reason.SPECIAL_OUTPUT, "x.c"),
        ("-c x.c -o .hidden", Reason.SPECIAL_OUTPUT, ".hidden"),
        ("-c x.c -o a.o -o b.o", Reason.SPECIAL_OUTPUT, "b.o"),
        ("-c conftest.c", Reason.CONFIGURE_PROBE, "conftest.c"),
        ("-c a/conftest1.cpp -o x.o", Reason.CONFIGURE_PROBE, "a/conftest1.cpp"),
        ("-c /b/CMakeFiles/3.2/CompilerIdC/CMakeCCompilerId.c", Reason.CONFIGURE_PROBE, None),
        ("-c CMakeCXXCompilerId.cpp", Reason.CONFIGURE_PROBE, None),
        ("-c /b/CMakeFiles/CMakeTmp/t.c", Reason.CONFIGURE_PROBE, None),
        ("-c /b/CMakeFiles/CMakeScratch/TryCompile-xY/t.c", Reason.CONFIGURE_PROBE, None),
        ("-o CMakeFiles/cmTC_1.dir/t.c.o -c /usr/share/cmake/t.c", Reason.CONFIGURE_PROBE, None),
        ("-c x.c -o", Reason.MISSING_VALUE, "-o"),
        ("-c x.c -I", Reason.MISSING_VALUE, "-I"),
        ("-c x.c --nonsense", Reason.UNKNOWN_OPTION, "--nonsense"),
        ("-c x.c -I a -new-thing b", Reason.UNKNOWN_OPTION, "-new-thing"),
        ("-c x.c ''", Reason.UNKNOWN_OPTION, ""),
        ("-c x.c -fnew=some/file", Reason.UNKNOWN_FILE, "-fnew=some/file"),
        ("-c x.c @gone", Reason.RESPONSE_FILE, "@gone"),
        ("-c x.s", Reason.ASSEMBLER_INPUT, "x.s"),
        ("-c -x assembler x.c", Reason.ASSEMBLER_INPUT, "x.c"),
        ("-c x.h", Reason.PRECOMPILED_HEADER, "x.h"),
        ("-c -x c++-header x.h", Reason.PRECOMPILED_HEADER, "x.h"),
        ("-c x.c -fpch-preprocess", Reason.PRECOMPILED_HEADER, "-fpch-preprocess"),
        ("-c x.cppm", Reason.MODULES, "x.cppm"),
        ("-c x.cc -fmodules-ts", Reason.MODULES, "-fmodules-ts"),
        ("-c x.cc -fdeps-format=p1689r5", Reason.MODULES, "-fdeps-format=p1689r5"),
        ("-c x.f90", Reason.UNSUPPORTED_LANGUAGE, "x.f90"),
        ("-c -x cuda x.c", Reason.UNSUPPORTED_LANGUAGE, "x.c"),
        ("-c x.c -B/opt/bin", Reason.COMPILER_PROGRAMS, "-B/opt/bin"),
        ("-c x.c -specs=x", Reason.COMPILER_PROGRAMS, "-specs=x"),
        ("-c x.c -fplugin=x.so", Reason.COMPILER_PROGRAMS, "-fplugin=x.so"),
        ("-c x.c -save-temps", Reason.SIDE_OUTPUT, "-save-temps"),
        ("-c x.c -dumpbase x", Reason.SIDE_OUTPUT, "-dumpbase"),
        ("-c x.c -g -gsplit-dwarf", Reason.SPLIT_DWARF, "-gsplit-dwarf"),
        ("-c x.c -gsplit-dwarf=single", Reason.SPLIT_DWARF, "-gsplit-dwarf=single"),
        ("-c x.c --coverage", Reason.COVERAGE, "--coverage"),
        ("-c x.c -fprofile-arcs -ftest-coverage", Reason.COVERAGE, "-fprofile-arcs"),
        ("-c x.c -fstack-usage", Reason.STACK_USAGE, "-fstack-usage"),
        ("-c x.c -fprofile-generate=d", Reason.PROFILE, "-fprofile-generate=d"),
        ("-c x.c -fprofile-use", Reason.PROFILE, "-fprofile-use"),
        ("-c x.c -fauto-profile", Reason.PROFILE, "-fauto-profile"),
        ("-c x.c -fdump-tree-all", Reason.DUMP, "-fdump-tree-all"),
        ("-c x.c -dr", Reason.DUMP, "-dr"),
        ("-c x.c -fdiagnostics-format=json", Reason.DIAGNOSTICS_FORMAT, "-fdiagnostics-format=json"),
        ("-c x.c -MD -MG", Reason.DEPENDENCY_FORM, "-MG"),
        ("-c x.c -MF x.d", Reason.DEPENDENCY_FORM, "-MF"),
        ("-c x.c -MD -MF -", Reason.DEPENDENCY_FORM, "-"),
        ("-c x.c -MD -Wp,-MD,x.d", Reason.DEPENDENCY_FORM, "-Wp,-MD,x.d"),
        ("-c x.c -Wp,-MD", Reason.DEPENDENCY_FORM, "-Wp,-MD"),
        ("-c x.c -Wp,-MT,x", Reason.DEPENDENCY_FORM, "-Wp,-MT,x"),
        ("-c x.i -MD", Reason.DEPENDENCY_FORM, "x.d"),
        ("-c x.c -o x.d -MD", Reason.DEPENDENCY_FORM, "x.d"),
        ("-c x.c -P", Reason.PREPROCESSOR_OPTION, "-P"),
        ("-c x.c -fdirectives-only", Reason.PREPROCESSOR_OPTION, "-fdirectives-only"),
        ("-c x.c -Wp,-P", Reason.PREPROCESSOR_OPTION, "-Wp,-P"),
        ("-c x.c -Xpreprocessor -MD", Reason.PREPROCESSOR_OPTION, "-Xpreprocessor"),
        ("-c x.c -Wa,-al=x.lst", Reason.ASSEMBLER_OPTION, "-Wa,-al=x.lst"),
        ("-c x.c -Wa,--noexecstack,@f", Reason.ASSEMBLER_OPTION, "-Wa,--noexecstack,@f"),
        ("-c x.c -Wa,--MD,x.d", Reason.ASSEMBLER_OPTION, "-Wa,--MD,x.d"),
        ("-c x.c -Xassembler x.s", Reason.ASSEMBLER_OPTION, "-Xassembler"),
        ("-c x.c -frecord-gcc-switches", Reason.RECORDED_COMMAND_LINE, "-frecord-gcc-switches"),
        ("-c x.c -foffload=nvptx-none", Reason.OFFLOAD, "-foffload=nvptx-none"),
    ],
)  # fmt: skip
def test_what_stays_here(family: Family, line: str, reason: Reason, detail: str | None) -> None:
    found = read(line, family)
    assert isinstance(found, Undistributable), found
    assert found.reason is reason
    assert detail is None or found.detail == detail.encode()


@pytest.mark.parametrize(
    ("family", "line", "reason"),
    [
        (Family.INTEL, "-c x.c", Reason.UNSUPPORTED_COMPILER),
        (Family.GCC, "-wrapper gdb,--args -c x.c", Reason.COMPILER_PROGRAMS),
        (Family.GCC, "-c x.CC", Reason.NO_INPUT),
        (Family.GCC, "-c -- x.c", Reason.UNKNOWN_OPTION),
        (Family.CLANG, "-c x.sx", Reason.NO_INPUT),
        (Family.CLANG, "-c y.c -Xclang x.c", Reason.BACKEND_OPTION),
        (Family.CLANG, "-c x.c -Xclang -load -Xclang x.so", Reason.BACKEND_OPTION),
        (Family.CLANG, "-c x.c -mllvm -load=x.so", Reason.BACKEND_OPTION),
        (Family.CLANG, "-c x.c -arch arm64 -arch x86_64", Reason.SEVERAL_ARCHITECTURES),
        (Family.CLANG, "-c x.c -Xarch_arm64 -O3", Reason.SEVERAL_ARCHITECTURES),
        (Family.CLANG, "-c x.c -fpass-plugin=x.so", Reason.COMPILER_PROGRAMS),
        (Family.CLANG, "-c x.c -target a/b", Reason.UNKNOWN_FILE),
        (Family.CLANG, "-c x.c -fsanitize-ignorelist=x", Reason.EXTRA_INPUT),
        (Family.CLANG, "-c x.c -ivfsoverlay x.yaml", Reason.EXTRA_INPUT),
        (Family.CLANG, "-c x.c -include-pch x.pch", Reason.PRECOMPILED_HEADER),
        (Family.CLANG, "-c x.c --serialize-diagnostics x.dia", Reason.SIDE_OUTPUT),
        (Family.CLANG, "-c x.c -MJ x.json", Reason.SIDE_OUTPUT),
        (Family.CLANG, "-c x.c -objcmt-migrate-all", Reason.SIDE_OUTPUT),
        (Family.CLANG, "-c x.c -fmodules", Reason.MODULES),
        (Family.CLANG, "-c x.c -emit-llvm", Reason.NOT_A_COMPILE),
        (Family.CLANG, "-c x.c -g -grecord-gcc-switches", Reason.RECORDED_COMMAND_LINE),
        (Family.CLANG, "-c x.c -Wp,-MD,x.d,-MT,y", Reason.DEPENDENCY_FORM),
        (Family.CLANG, "-c x.c -fopenmp-targets=nvptx64", Reason.OFFLOAD),
    ],
)
def test_what_stays_here_with_one_family(family: Family, line: str, reason: Reason) -> None:
    found = read(line, family)
    assert isinstance(found, Undistributable), found
    assert found.reason is reason


@pytest.mark.parametrize("family", BOTH)
@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_environment(family: Family, name: bytes) -> None:
    effect, families = VARIABLES[name]
    found = read("-c x.c", family, env={name: b"v", b"HOME": b"/"})
    if effect is EnvEffect.LOCAL and family in families:
        assert found == Undistributable(Reason.ENVIRONMENT, name)
        return
    assert isinstance(found, Invocation)
    sent = effect in (EnvEffect.COMPILE, EnvEffect.MESSAGES) and family in families
    assert found.env == (((name, b"v"),) if sent else ())


@pytest.mark.parametrize("family", BOTH)
@pytest.mark.parametrize(
    ("line", "output", "stage"),
    [
        ("-c a/x.y.c", "x.y.o", Stage.OBJECT),
        ("-S a/x.c", "x.s", Stage.ASSEMBLY),
        ("-c -S a/x.c", "x.s", Stage.ASSEMBLY),
        ("-c a/x.c -o b/z", "b/z", Stage.OBJECT),
        ("-ohello.o -c a/x.c", "hello.o", Stage.OBJECT),
        ("-c -xc++ noext", "noext.o", Stage.OBJECT),
    ],
)
def test_output_and_stage(family: Family, line: str, output: str, stage: Stage) -> None:
    found = ok(line, family)
    assert (found.output, found.stage) == (output.encode(), stage)
    assert found.output_given == ("-o" in line)


@pytest.mark.parametrize("family", BOTH)
@pytest.mark.parametrize(
    ("line", "path", "targets", "system", "phony"),
    [
        ("-c a/x.c -MD", "x.d", [("x.o", True)], True, False),
        ("-S a/x.c -MMD -MP", "x.d", [("x.o", True)], False, True),
        ("-c a/x.c -MD -o b.d/y.z.o", "b.d/y.z.d", [("b.d/y.z.o", True)], True, False),
        ("-c x.c -MMD -MFf.d -MTt -MQ q -MF g.d", "g.d", [("t", False), ("q", True)], False, False),
    ],
)
def test_dependencies(
    family: Family, line: str, path: str, targets: list[tuple[str, bool]], system: bool, phony: bool
) -> None:
    found = ok(line, family).depfile
    assert found is not None
    assert found.path == path.encode()
    assert found.targets == tuple(Target(name.encode(), quoted) for name, quoted in targets)
    assert (found.system_headers, found.phony) == (system, phony)


def test_dependencies_in_the_kernels_form() -> None:
    line = "-Wp,-MMD,d/.x.o.d -c a/x.c -o d/x.o"
    gcc, clang = ok(line).depfile, ok(line, Family.CLANG).depfile
    assert gcc is not None
    assert clang is not None
    assert gcc.path == clang.path == b"d/.x.o.d"
    assert gcc.targets == (Target(b"x.o", True),)
    assert clang.targets == (Target(b"d/x.o", True),)
    assert not gcc.system_headers


@pytest.mark.parametrize(
    ("line", "debug", "gcc_exact", "clang_exact"),
    [
        ("-O2", False, True, True),
        ("-g", True, False, False),
        ("-g -g0", False, True, True),
        ("-g0 -ggdb3", True, False, False),
        ("-g -ggdb0", False, True, True),
        ("-gdwarf-4", True, False, False),
        ("-gline-tables-only", True, False, False),
        ("-gz -gno-record-gcc-switches -gpubnames", False, True, True),
        ("-g -gno-column-info", True, False, False),
        ("-g -gno-column-info -gcolumn-info", True, False, False),
        ("-fsanitize=address", False, False, False),
        ("-flto", False, False, True),
    ],
)
def test_debug_information(line: str, debug: bool, gcc_exact: bool, clang_exact: bool) -> None:
    for family, exact in ((Family.GCC, gcc_exact), (Family.CLANG, clang_exact)):
        found = ok(line + " -c x.c", family)
        assert (found.debug, found.text_exact) == (debug, exact)


def test_side_outputs_when_the_caller_takes_them() -> None:
    line = "-c a/x.c -o b/y.o -g -gsplit-dwarf --coverage -fstack-usage"
    found = ok(line, allow_side_outputs=set(Side))
    assert found.side_outputs == (
        SideOutput(Side.DWO, b"b/y.dwo"),
        SideOutput(Side.GCNO, b"b/y.gcno"),
        SideOutput(Side.SU, b"b/y.su"),
    )
    assert not found.text_exact
    refused = read(line, allow_side_outputs={Side.DWO, Side.SU})
    assert refused == Undistributable(Reason.COVERAGE, b"--coverage")
    unsplit = ok("-c a/x.c -gsplit-dwarf -g0 -fprofile-arcs", allow_side_outputs=set(Side))
    assert unsplit.side_outputs == ()


def test_what_else_is_collected() -> None:
    found = ok(
        "-DA=1 -UB -D C -Ia -isystem b --sysroot=/s -nostdinc -iquote c -include p.h -imacrosq.h -Wp,-DZ,-UA "
        "-march=native -fno-diagnostics-color -c x.c",
    )
    assert found.macros == (
        (Mark.DEFINE, b"A=1"), (Mark.UNDEFINE, b"B"), (Mark.DEFINE, b"C"),
        (Mark.DEFINE, b"Z"), (Mark.UNDEFINE, b"A"),
    )  # fmt: skip
    assert found.include_args == (
        (b"-I", b"a"), (b"-isystem", b"b"), (b"--sysroot", b"/s"), (b"-nostdinc", b""), (b"-iquote", b"c"),
    )  # fmt: skip
    assert found.forced_includes == ((b"-include", b"p.h"), (b"-imacros", b"q.h"))
    assert found.native == (b"-march=native",)
    assert found.colour_decided
    assert not ok("-c x.c").colour_decided


@pytest.mark.parametrize("family", BOTH)
@pytest.mark.parametrize(
    ("line", "native"),
    [
        ("-march=x86-64 -mavx -O2", ()),
        ("-mno-avx -O2 -march=native", (b"-mno-avx", b"-march=native")),
        ("-march=native -march=x86-64", (b"-march=native", b"-march=x86-64")),
        ("-mcpu=native", (b"-mcpu=native",)),
    ],
)
def test_native(family: Family, line: str, native: tuple[bytes, ...]) -> None:
    assert ok(line + " -c x.c", family).native == native


@pytest.mark.parametrize(
    ("name", "c", "cxx"),
    [
        ("x.c", Language.C, Language.CXX), ("x.i", Language.C_TEXT, Language.CXX_TEXT),
        ("x.cc", Language.CXX, Language.CXX), ("x.cp", Language.CXX, Language.CXX),
        ("x.cxx", Language.CXX, Language.CXX), ("x.cpp", Language.CXX, Language.CXX),
        ("x.CPP", Language.CXX, Language.CXX), ("x.c++", Language.CXX, Language.CXX),
        ("x.C", Language.CXX, Language.CXX),
        ("x.ii", Language.CXX_TEXT, Language.CXX_TEXT),
        ("x.m", Language.OBJC, Language.OBJC), ("x.mi", Language.OBJC_TEXT, Language.OBJC_TEXT),
        ("x.mm", Language.OBJCXX, Language.OBJCXX), ("x.M", Language.OBJCXX, Language.OBJCXX),
        ("x.mii", Language.OBJCXX_TEXT, Language.OBJCXX_TEXT),
        ("x.S", Language.ASSEMBLER, Language.ASSEMBLER),
        ("a.c/x", None, None), ("x.o", None, None), ("x.s", Reason.ASSEMBLER_INPUT, Reason.ASSEMBLER_INPUT),
    ],
)  # fmt: skip
def test_language_of_suffix(name: str, c: Language | Reason | None, cxx: Language | Reason | None) -> None:
    for family in BOTH:
        assert language_of(name.encode(), family, Driver.C) is c
        assert language_of(name.encode(), family, Driver.CXX) is cxx


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("-x c++ x.c", Language.CXX),
        ("x.c -x c++", Language.C),
        ("-xc++ -x none x.c", Language.C),
        ("-x objective-c-cpp-output x", Language.OBJC_TEXT),
    ],
)
def test_language_of_option_is_that_at_the_input(line: str, language: Language) -> None:
    for family in BOTH:
        assert ok("-c " + line, family).language is language


@pytest.mark.parametrize(
    ("language", "text"),
    [
        (Language.C, b"cpp-output"),
        (Language.CXX, b"c++-cpp-output"),
        (Language.OBJCXX_TEXT, b"objective-c++-cpp-output"),
        (Language.ASSEMBLER, b"assembler"),
    ],
)
def test_preprocessed_languages(language: Language, text: bytes) -> None:
    assert language.cpp_output == text
    assert language.text.preprocessed
    assert language.preprocessed == (language.value == text)


def test_response_files_are_expanded_first() -> None:
    files = {b"a": b"-O2 @b\n-D'X= 1'", b"b": b'"-I a\\"b" x\\ y.c -DY=\\\'', b"e": b" \n\t"}
    found = ok([b"-c", b"@a", b"@e"], files=files)
    assert found.source == b"x y.c"
    assert [arg.words[0] for arg in found.args] == [b"-c", b"-O2", b'-I a"b', b"x y.c", b"-DY='", b"-DX= 1"]


@pytest.mark.parametrize(
    "text",
    [
        b"'unclosed",
        b'"unclosed',
        b"trailing\\",
        b"'a\\b'",
        b'"a\\$b"',
        b"a\x0bb",
        b"a\0b",
        b"\xef\xbb\xbfa",
        b"@a",
    ],
)
def test_response_files_that_drivers_could_read_differently(text: bytes) -> None:
    found = read([b"-c", b"x.c", b"@a"], files={b"a": text})
    assert isinstance(found, Undistributable)
    assert found.reason is Reason.RESPONSE_FILE


def test_response_files_are_bounded() -> None:
    for text in (b" " * (responses.MAX_BYTES + 1), b"@a @a"):
        found = read([b"-c", b"x.c", b"@a"], files={b"a": text})
        assert isinstance(found, Undistributable)
        assert found.reason is Reason.RESPONSE_FILE


@pytest.mark.parametrize(
    ("path", "stem", "beside"),
    [(b"a.b/c", b"c", b"a.b/c.d"), (b"a/b.c.o", b"b.c", b"a/b.c.d"), (b"x.o", b"x", b"x.d")],
)
def test_names_beside_the_output(path: bytes, stem: bytes, beside: bytes) -> None:
    assert dependencies.stem(path) == stem
    assert dependencies.beside(path, b".d") == beside

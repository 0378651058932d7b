"""The closure against the compilers themselves: what they read is in it, and a replica made of it is enough.

The generated trees are compared by replica: the preprocessor's output and messages in a tree made of nothing
but the closure are those in the original tree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sources.trees import COMPILERS, relative, replicate, run, write
from zdistcc.sources.dependencies import parse_dependencies
from zdistcc.sources.index import SourceIndex
from zdistcc.sources.model import Closure, ClosureRequest, ForcedKind
from zdistcc.sources.search_probe import close

EVERY = [(language, compiler) for language, compilers in COMPILERS.items() for compiler in compilers]


def ask(
    root: Path,
    compiler: bytes,
    language: str,
    *words: bytes,
    source: bytes = b"main.c",
    forced: tuple[tuple[ForcedKind, bytes], ...] = (),
    defines: tuple[bytes, ...] = (),
    env: tuple[tuple[bytes, bytes], ...] = (),
    index: SourceIndex | None = None,
) -> Closure:
    request = ClosureRequest(
        compiler=compiler_path(compiler),
        compiler_key="test",
        language=language,
        cwd=os.fsencode(root),
        source=source,
        search_words=words,
        forced=forced,
        defines=defines,
        env=env,
    )
    answer = close(index or SourceIndex(), request)
    assert isinstance(answer, Closure), answer
    return answer


def compiler_path(name: bytes) -> bytes:
    found = shutil.which(name)
    assert found is not None, name
    return found


def make_rule(root: Path, compiler: bytes, language: str, *words: bytes, source: bytes = b"main.c") -> set[str]:
    printed = run((compiler, *words, b"-x", language.encode(), b"-M", source), root)
    assert printed.returncode == 0, printed.stderr
    return {os.path.realpath(os.path.join(root, os.fsdecode(name))) for name in parse_dependencies(printed.stdout)}


def all_names(closure: Closure) -> set[str]:
    return {os.fsdecode(file.path) for file in closure.files}


STANDARD_HEADERS = {
    "c": """assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h iso646.h limits.h locale.h math.h
        setjmp.h signal.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h
        stdnoreturn.h string.h tgmath.h threads.h time.h uchar.h wchar.h wctype.h unistd.h pthread.h fcntl.h
        sys/types.h sys/stat.h sys/socket.h sys/mman.h netinet/in.h dirent.h poll.h spawn.h""",
    "c++": """algorithm any array atomic bitset charconv chrono codecvt complex condition_variable deque
        exception filesystem forward_list fstream functional future initializer_list iomanip ios iosfwd
        iostream istream iterator limits list locale map memory memory_resource mutex new numeric optional
        ostream queue random ratio regex scoped_allocator set shared_mutex sstream stack stdexcept streambuf
        string string_view strstream system_error thread tuple type_traits typeindex typeinfo unordered_map
        unordered_set utility valarray variant vector cmath cstdio cstdlib ctgmath bits/stdc++.h""",
}


@pytest.mark.parametrize(("language", "compiler"), EVERY)
def test_every_standard_header(tmp_path: Path, language: str, compiler: bytes) -> None:
    lines = [f"#include <{name}>\n" for name in STANDARD_HEADERS[language].split()]
    write(tmp_path, {"main.c": "#define _GNU_SOURCE 1\n" + "".join(lines)})
    words = (b"-std=c++17",) if language == "c++" else ()
    closure = ask(tmp_path, compiler, language, *words)
    needed = make_rule(tmp_path, compiler, language, *words)
    assert len(needed) > 80
    assert needed <= all_names(closure)
    assert not closure.cautions


NAMES = ("a.h", "b.h", "c.h")
DIRECTORIES = (".", "sub", "inc1", "inc1/sub", "inc2", "inc2/sub", "inc2/sub/deep", "sys")
SPELLINGS = ('"a.h"', "<a.h>", '"b.h"', "<b.h>", '"c.h"', "<c.h>") * 6 + tuple(
    form.format(name)
    for name in NAMES
    for form in (
        '"{}"', "<{}>", '"sub/{}"', "<sub/{}>", '"../{}"', "<sub/../{}>", '"./{}"', '"deep/../../{}"',
        "<lnk/{}>", '"lnk/../{}"', '"nothere/../{}"', "<sub//deep/{}>",
    )
)  # fmt: skip
GUARDED = "#if __has_include({0})\n" + "{1}" + "\n#endif"
INCLUDES = (
    "#include {0}",
    "/* x */ # /* y */ include {0} // z",
    "#incl\\\nude {0}",
    "%:include {0}",
    "#import {0}",
    "#undef HEADER\n#define HEADER {0}\n#include HEADER",
    "#undef HEADER\n#define HEADER {0}\n#define OTHER HEADER\n#include OTHER",
    "#undef HEADER\n#define HEADER {0}\n#define CALL(x) x\n#include CALL(HEADER)",
)
LINES = st.one_of(
    # One in sixteen may be missing, which ends the compile.
    st.tuples(st.sampled_from(SPELLINGS), st.sampled_from(INCLUDES), st.integers(0, 15)).map(
        lambda each: (GUARDED.replace("{1}", each[1]) if each[2] else each[1]).replace("{0}", each[0])
    ),
    st.sampled_from(SPELLINGS).map("/*\n#include {}\n*/".format),
    st.sampled_from(SPELLINGS).map("#if __has_include({0})\nint probed;\n#endif".format),
    st.sampled_from(SPELLINGS).map("#if __has_include_next({0})\nint next_probed;\n#endif".format),
    st.sampled_from(SPELLINGS).map("#define HAS(x) __has_include(x)\n#if HAS({0})\nint wrapped;\n#endif".format),
    st.just("#ifdef HEADER\n#include HEADER\n#endif"),
    st.sampled_from(NAMES).map("#if __has_include_next(<{0}>)\n#include_next <{0}>\n#endif".format),
    st.sampled_from(NAMES).map('#if __has_include_next("{0}")\n#include_next "{0}"\n#endif'.format),
    st.just("__FILE__"),
)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, str]:
    files: dict[str, str] = {}
    places = draw(
        st.lists(
            st.tuples(st.sampled_from(DIRECTORIES), st.sampled_from(NAMES)),
            unique=True,
            min_size=4,
            max_size=16,
        )
    )
    for number, (directory, name) in enumerate(places):
        if draw(st.integers(0, 19)) == 0:
            files[f"{directory}/{name}"] = f"-> {draw(st.sampled_from(NAMES))}"  # to itself, perhaps
            continue
        body = "\n".join(draw(st.lists(LINES, min_size=1, max_size=4)))
        once = draw(st.booleans())
        guard = "#pragma once\n" if once else f"#ifndef G{number}\n#define G{number}\n"
        files[f"{directory}/{name}"] = f"{guard}{body}\nint file_{number % 12};\n" + ("" if once else "#endif\n")
    files["main.c"] = "\n".join(draw(st.lists(LINES, min_size=1, max_size=5))) + "\nint main_;\n"
    for directory in draw(st.lists(st.sampled_from(("inc1", "inc2", "sub", "sys")), unique=True)):
        files[f"{directory}/lnk"] = "-> " + draw(st.sampled_from(("../inc2/sub", "../sub", "sub", "../inc1")))
    return files


WORDS = st.permutations(
    [
        (b"-Iinc1",),
        (b"-I", b"inc2"),
        (b"-isystem", b"sys"),
        (b"-iquote", b"sub"),
        (b"-idirafter", b"inc1/sub"),
        (b"-Igone",),
    ]
).flatmap(lambda each: st.integers(2, len(each)).map(lambda count: sum(each[:count], ())))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees(), WORDS, st.sampled_from(EVERY), st.lists(st.sampled_from(NAMES), max_size=1))
def test_a_replica_is_all_that_is_needed(
    files: dict[str, str], words: tuple[bytes, ...], which: tuple[str, bytes], forced: list[str]
) -> None:
    language, compiler = which
    with tempfile.TemporaryDirectory() as name:
        root, replica = Path(name) / "tree", Path(name) / "replica"
        root.mkdir()
        replica.mkdir()
        write(root, files)
        request = ClosureRequest(
            compiler=compiler_path(compiler),
            compiler_key="test",
            language=language,
            cwd=os.fsencode(root),
            source=b"main.c",
            search_words=words,
            forced=tuple((ForcedKind.INCLUDE, each.encode()) for each in forced),
        )
        force = tuple(word for each in forced for word in (b"-include", each.encode()))
        command = (compiler, *words, *force, b"-x", language.encode(), b"-E", b"main.c")
        expected = run(command, root)
        answer = close(SourceIndex(), request)
        if not isinstance(answer, Closure):
            # A failing compile is repeated locally anyway; one that works may be refused only for its macros.
            loops = any(os.path.islink(path) for path in root.rglob("*"))
            assert (
                expected.returncode != 0
                or answer.reason.word == "computed-probe"
                or (answer.reason.word == "source-unreadable" and loops)
            )
            return
        replicate(answer, root, replica)
        actual = run(command, replica)
        assert (actual.stdout, actual.stderr, actual.returncode) == (
            expected.stdout,
            expected.stderr,
            expected.returncode,
        )


@pytest.mark.parametrize("compiler", [b"gcc", b"clang"])
def test_search_order_is_the_compilers(tmp_path: Path, compiler: bytes) -> None:
    """Each directory kind shadows the next; the first that has the header wins, in closure and compiler."""
    kinds = ("quote", "plain", "system", "cpath", "after")
    write(tmp_path, {"src/main.c": '#include "which.h"\n', "src/which.h": "beside"})
    for kind in kinds:
        write(tmp_path, {f"{kind}/which.h": kind})
    words = (b"-idirafter", b"after", b"-isystem", b"system", b"-Iplain", b"-iquotequote")
    env = ((b"CPATH", b"cpath"),)
    index = SourceIndex()
    for expected in ("src", "quote", "plain", "cpath", "system", "after"):
        closure = ask(tmp_path, compiler, "c", *words, source=b"src/main.c", env=env, index=index)
        assert f"{expected}/which.h" in relative(closure, tmp_path)
        printed = subprocess.run(
            (compiler, *words, b"-M", b"src/main.c"), cwd=tmp_path, capture_output=True, check=True,
            env={**os.environb, **dict(env)},
        )  # fmt: skip
        assert f"{expected}/which.h" in [os.fsdecode(name) for name in parse_dependencies(printed.stdout)]
        (tmp_path / expected / "which.h").unlink()


@pytest.mark.parametrize("compiler", [b"gcc", b"clang"])
def test_forced_includes_are_searched_from_the_working_directory(tmp_path: Path, compiler: bytes) -> None:
    write(tmp_path, {"src/main.c": "", "src/f.h": "", "f.h": '#include "g.h"\n', "g.h": "", "inc/m.h": ""})
    forced = ((ForcedKind.INCLUDE, b"f.h"), (ForcedKind.IMACROS, b"m.h"))
    closure = ask(tmp_path, compiler, "c", b"-Iinc", source=b"src/main.c", forced=forced)
    assert relative(closure, tmp_path) == {"src/main.c", "f.h", "g.h", "inc/m.h"}
    assert closure.files[0].path.endswith(b"src/main.c")


def test_gcc_reads_stdc_predef_although_nobody_names_it(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": ""})
    assert any(name.endswith("stdc-predef.h") for name in all_names(ask(tmp_path, b"gcc", "c")))
    assert all_names(ask(tmp_path, b"gcc", "c", b"-nostdinc")) == {os.path.realpath(tmp_path / "main.c")}


def test_a_sysroot(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": "#include <only.h>\n", "root/usr/include/only.h": ""})
    closure = ask(tmp_path, b"gcc", "c", b"--sysroot=root")
    assert "root/usr/include/only.h" in relative(closure, tmp_path)


def test_a_later_created_include_directory_moves_the_compilers_own_search_path(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": "#include <stdio.h>\n"})
    for compiler, word in ((b"gcc", b"-Iinc"), (b"gcc", b"-Iinc/"), (b"clang", b"-I./inc//")):
        index = SourceIndex()
        assert relative(ask(tmp_path, compiler, "c", word, index=index), tmp_path) == {"main.c"}
        write(tmp_path, {"inc/stdio.h": ""})
        assert relative(ask(tmp_path, compiler, "c", word, index=index), tmp_path) == {
            "main.c",
            "inc/stdio.h",
        }
        shutil.rmtree(tmp_path / "inc")


def test_what_only_the_compiler_can_expand(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "main.c": "#define STR(x) #x\n#define CAT(a, b) STR(a/b.h)\n#include CAT(sub, x)\n",
            "inc/sub/x.h": '#include "y.h"\n',
            "inc/sub/y.h": "",
        },
    )
    index = SourceIndex()
    closure = ask(tmp_path, b"gcc", "c", b"-Iearly", b"-Iinc", index=index)
    assert relative(closure, tmp_path) == {"main.c", "inc/sub/x.h", "inc/sub/y.h"}
    taught = index.counts["taught"]
    assert ask(tmp_path, b"gcc", "c", b"-Iearly", b"-Iinc", index=index) is closure
    assert index.counts["taught"] == taught
    write(tmp_path, {"early/sub/x.h": "shadows what only the compiler knew\n"})
    closure = ask(tmp_path, b"gcc", "c", b"-Iearly", b"-Iinc", index=index)
    assert relative(closure, tmp_path) == {"main.c", "early/sub/x.h"}


def test_a_cross_compiler(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": "#include <stdio.h>\n#include <stdint.h>\n"})
    closure = ask(tmp_path, b"aarch64-linux-gnu-gcc", "c")
    assert make_rule(tmp_path, b"aarch64-linux-gnu-gcc", "c") <= all_names(closure)


def test_preprocessed_and_assembler_input(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "main.i": '# 1 "main.c"\n#include "not-read.h"\nint a;\n',
            "main.S": '#include "x.h"\n.include "y.inc"\n.incbin "d.bin"\n',
            "x.h": "",
            "inc/y.inc": "",
            "d.bin": "\0",
        },
    )
    assert relative(ask(tmp_path, b"gcc", "cpp-output", source=b"main.i"), tmp_path) == {"main.i"}
    closure = ask(tmp_path, b"gcc", "assembler-with-cpp", b"-Iinc", source=b"main.S")
    assert relative(closure, tmp_path) == {"main.S", "x.h", "inc/y.inc", "d.bin"}

"""Compiles that have to come out alike wherever they are done, as data.

``CC`` and ``CXX`` at the start of a command stand for each C and C++ compiler in turn, ``TOP`` anywhere for the
project's absolute path.  ``way``: how the job is expected to go, by family if a mapping; ``None`` for "any way, as long
as the bytes are the same".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

HEADERS = "headers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One compile of one little project."""

    name: str
    command: str
    files: Mapping[str | bytes, str | bytes]
    cwd: str = "."
    env: Mapping[str, str] = field(default_factory=dict)
    way: str | Mapping[str, str] | None = HEADERS
    compilers: tuple[str, ...] = ()
    words: tuple[bytes, ...] = ()
    """Put at the end of the command, for what a shell's quoting would hide."""


BASIC: Mapping[str | bytes, str | bytes] = {
    "src/main.c": """#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "part.h"
#include "deep/er.h"
#define STR(x) #x
static const char *where = __FILE__;
const char *base = __BASE_FILE__;
int level = __INCLUDE_LEVEL__, counter = __COUNTER__ + __COUNTER__, line = __LINE__;
int run(struct part *p, int n) {
    assert(p != NULL && n > 0);
    printf("%s:%d %s %s %s\\n", where, __LINE__, part_file(), __func__, STR(run));
    for (int i = 0; i < n; i++) p->sum += p->items[i % 8] * DEEPER(i);
    return p->sum + (int)strlen(__builtin_FILE()) + level;
}
""",
    "src/part.h": """#pragma once
struct part { int items[8]; int sum; };
static inline const char *part_file(void) { return __FILE__; }
""",
    "src/deep/er.h": """#ifndef DEEP_ER_H
#define DEEP_ER_H
#include "../part.h"
#define DEEPER(x) ((x) + sizeof(struct part))
static inline int deeper(int x) { return (int)DEEPER(x) + __LINE__; }
#endif
""",
}
BASIC_CXX: Mapping[str | bytes, str | bytes] = {
    "src/main.cc": """#include <algorithm>
#include <cassert>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>
#include "part.hpp"
namespace { int hidden = 3; struct Anonymous { virtual ~Anonymous() {} int v = hidden; }; }
template <typename T> struct Table { std::map<std::string, std::vector<T>> rows; T total() const; };
template <typename T> T Table<T>::total() const {
    T t{};
    for (auto& [name, row] : rows) t += std::accumulate_(row.begin(), row.end(), T{});
    return t;
}
int run(const std::string& name) {
    Table<int> table;
    table.rows[name] = {1, 2, 3, Part::size};
    auto a = std::make_unique<Anonymous>();
    assert(a->v == 3);
    auto f = [&](int x) { return x + a->v; };
    try { std::cout << __FILE__ << Part().file() << f(table.total()) << "\\n"; } catch (...) { return 1; }
    return 0;
}
""",
    "src/part.hpp": """#pragma once
#include <string>
namespace std { template <class I, class T> T accumulate_(I b, I e, T t) { for (; b != e; ++b) t = t + *b; return t; } }
struct Part { static const int size = 4; std::string file() const { return __FILE__; } };
""",
}


def basic(name: str, flags: str, *, way: str | Mapping[str, str] | None = HEADERS, cxx: bool = False) -> list[Case]:
    """The basic C project, and the C++ one, with these flags."""
    cases = [Case(name=name, command=f"CC {flags} -c src/main.c -o main.o", files=BASIC, way=way)]
    if cxx:
        cases.append(
            Case(name=name, command=f"CXX -std=c++17 {flags} -c src/main.cc -o main.o", files=BASIC_CXX, way=way)
        )
    return cases


FLAGS = [
    *basic("O2", "-O2 -Wall", cxx=True),
    *basic("O2-g", "-O2 -g", cxx=True),
    *basic("g3", "-g3", cxx=True),
    *basic("O0-dwarf4", "-O0 -g -gdwarf-4"),
    *basic("dwarf2", "-O1 -gdwarf-2 -gstrict-dwarf"),
    *basic("gz", "-O2 -g -gz", cxx=True),
    *basic("ggdb3", "-O2 -ggdb3"),
    *basic("pie-less", "-O2 -fno-pie -fno-asynchronous-unwind-tables"),
    *basic("sections", "-Os -fPIC -ffunction-sections -fdata-sections -fvisibility=hidden", cxx=True),
    *basic("asan", "-O1 -g -fsanitize=address", way=None, cxx=True),
    *basic("ubsan", "-O1 -g -fsanitize=undefined", way=None, cxx=True),
    *basic("tsan", "-O1 -g -fsanitize=thread", way=None),
    *basic("lto", "-O2 -flto -frandom-seed=7", way=None, cxx=True),
    *basic("lto-g", "-O2 -g -flto -ffat-lto-objects -frandom-seed=7", way=None),
    *basic("native", "-O2 -march=native", cxx=True),
    *basic("native-g", "-O2 -g -march=native", way=None),
    *basic("stack-protector", "-O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2", cxx=True),
    *basic("assembly", "-O2 -g -S"),
    *basic("pg", "-O2 -pg"),
    *basic("ndebug", "-O2 -DNDEBUG -UNDEBUG -DX='\"a b\"'"),
    *basic("debug-prefix-map-absolute", "-g -fdebug-prefix-map=TOP=/build"),
    *basic("debug-prefix-map-relative", "-g -fdebug-prefix-map=src=there"),
    *basic("file-prefix-map-absolute", "-g3 -ffile-prefix-map=TOP=.", cxx=True),
    *basic("file-prefix-map-relative", "-g3 -ffile-prefix-map=src/=there/"),
    *basic("file-prefix-map-root", "-g3 -ffile-prefix-map=/=/root-of-all/", cxx=True),
    *basic("file-prefix-map-empty", "-g3 -ffile-prefix-map==/anywhere/", way=None),
    *basic("macro-prefix-map", "-O2 -fmacro-prefix-map=src/=", way=None),
    *basic("macro-prefix-map-system", "-g -fmacro-prefix-map=/usr/include=SYS -fdebug-prefix-map=/usr=U", cxx=True),
    *basic("prefix-map-twice", "-g -ffile-prefix-map=TOP=/one -ffile-prefix-map=TOP/src=/two -I TOP/src"),
    *basic("m32", "-m32 -O2", way=None),
    *basic("trigraphs", "-trigraphs -O1"),
    *basic("undef", "-O1 -undef", way=None),
    *basic("std-gnu", "-std=gnu11 -O1"),
    *basic("std-c99", "-std=c99 -pedantic -O1"),
    *basic("iquote", "-O2 -g -iquote src/deep -Isrc -isystem src -idirafter /usr/include", cxx=True),
    *basic("include-option", "-O2 -g -include stddef.h -include src/part.h -imacros limits.h"),
    *basic("dump-version", "-O2 -fno-working-directory", way=None),
    *basic("exotic-charset", "-O2 -finput-charset=UTF-8"),
    *basic("depfile", "-O2 -MD -MF deps.d", cxx=True),
    *basic("depfile-default", "-O2 -MMD"),
    *basic("depfile-phony", "-O2 -MD -MP"),
    *basic("depfile-targets", "-O2 -MMD -MT out/a.o -MQ 'b$c.o' -MT all"),
    *basic("depfile-kernel", "-O2 -Wp,-MD,.main.o.d", cxx=True),
    *basic("depfile-kernel-user", "-O2 -Wp,-MMD,.main.o.d"),
    *basic("depfile-xpre", "-O2 -Xpreprocessor -DA=1 -Wp,-DB=2,-UC"),
    *basic("depfile-absolute", "-O2 -MD -I TOP/src -MT TOP/x.o"),
    *basic("stack-usage", "-O2 -fstack-usage", way=None),
    *basic("split-dwarf", "-O2 -g -gsplit-dwarf -frandom-seed=5", way=None),
    *basic("coverage", "-O0 --coverage -frandom-seed=5", way=None),
    *basic("column-info", "-O2 -g -gno-column-info"),
    *basic("openmp", "-O2 -fopenmp"),
    *basic("save-optimisation", "-O2 -g -fno-eliminate-unused-debug-types -femit-class-debug-always", way=None),
    *basic("record", "-O2 -g -grecord-gcc-switches", way={"gcc": HEADERS, "clang": "recorded-command-line"}, cxx=True),
    *basic("verbose-includes", "-O2 -H", way=None),
    *basic("analyzer", "-O2 -fdiagnostics-show-template-tree -Wextra -Wshadow -Wconversion", way=None),
    *basic("sysroot-root", "-O2 -g --sysroot=/"),
    *basic("isysroot", "-O2 -g -isysroot /", way=None),
    *basic("colour", "-O2 -Wall -Wextra -Wconversion -fdiagnostics-color=always", cxx=True),
    *basic("no-stdinc", "-O2 -nostdinc -isystem /usr/include -isystem /usr/include/x86_64-linux-gnu", way=None),
]

WARN = {
    "src/w.c": '#include "lib/w.h"\n#include "lib/../lib/v.h"\n'
    "int f(int a) { int unused; char *s = 1; if (a = 2) return g(s); }\n",
    "src/lib/w.h": "#include <stdio.h>\n#warning said\nstatic int never(void) { return 1.5; }\n",
    "src/lib/v.h": '\n\nstatic inline int g(const char *s) { unsigned u = -1; return printf("%d\\n", s) < u; }\n',
}

SPELLINGS = [
    Case(name="warnings", command="CC -Wall -Wextra -O2 -c src/w.c", files=WARN),
    Case(name="warnings-absolute", command="CC -Wall -Wextra -O2 -c TOP/src/w.c -ITOP/src", files=WARN),
    Case(name="warnings-colour", command="CC -Wall -Wextra -fdiagnostics-color=always -c TOP/src/w.c", files=WARN),
    Case(name="warnings-build", command="CC -Wall -Wextra -c ../src/w.c -o w.o", files={**WARN, "b/x": ""}, cwd="b"),
    Case(
        name="warnings-locale",
        command="CC -Wall -c src/w.c",
        files=WARN,
        env={"LANG": "C", "LC_ALL": "C"},
    ),
    Case(
        name="error",
        command="CC -c src/e.c",
        files={"src/e.c": '#include "missing.h"\nint x = y;\n'},
        way=None,
    ),
    Case(name="error-in-code", command="CC -c TOP/e.c", files={"e.c": "int x = y;\n"}, way="remote-error"),
    Case(name="source-absolute", command="CC -g -O2 -c TOP/src/main.c -o main.o", files=BASIC),
    Case(
        name="build-directory", command="CC -g3 -O2 -c ../src/main.c -o main.o -MD", files={**BASIC, "b/x": ""}, cwd="b"
    ),
    Case(
        name="build-directory-absolute",
        command="CXX -std=c++17 -g -O2 -I../src -I.. -I. -c TOP/src/main.cc -o o/main.o -MD",
        files={**BASIC_CXX, "b/o/x": ""},
        cwd="b",
    ),
    Case(
        name="dots",
        command="CC -g -c ./src/../src//./main.c -o main.o -I./src/../src/deep -MD",
        files=BASIC,
    ),
    Case(
        name="include-next",
        command="CC -g3 -Ia -Ib -Ic -c m.c -MD",
        files={
            "m.c": "#include <x.h>\nint v = A + B + C;\n",
            "a/x.h": "#define A 1\n#include_next <x.h>\n",
            "b/x.h": "#define B 2\n#include_next <x.h>\n",
            "c/x.h": "#define C 3\n",
        },
    ),
    Case(
        name="include-next-system",
        command="CC -g3 -Ia -c m.c -MD",
        files={
            "m.c": "#include <limits.h>\n#include <stdint.h>\nlong v = INT_MAX + OURS;\nint32_t w;\n",
            "a/limits.h": "#include_next <limits.h>\n#define OURS 1\n",
            "a/stdint.h": "#include_next <stdint.h>\n",
        },
    ),
    Case(
        name="import",
        command="CC -g3 -Wno-deprecated -c m.c -MD",
        files={"m.c": '#import "x.h"\n#import "x.h"\nint v = X;\n', "x.h": "enum { X = __COUNTER__ };\n"},
    ),
    Case(
        name="has-include",
        command="CC -g3 -Ia -c m.c -MD",
        files={
            "m.c": '#if __has_include(<there.h>) && !__has_include("not.h")\n#include <there.h>\n#endif\n'
            "#if __has_include(<sys/epoll.h>)\n#include <sys/epoll.h>\n#endif\nint v = THERE;\n",
            "a/there.h": "#define THERE 1\n",
        },
    ),
    Case(
        name="computed",
        command="CC -g3 -Ia -c m.c -MD",
        files={
            "m.c": '#define H <there.h>\n#include H\n#define Q "q.h"\n#include Q\nint v = THERE + QQ;\n',
            "a/there.h": "#define THERE 1\n",
            "q.h": "#define QQ 2\n",
        },
    ),
    Case(
        name="computed-by-option",
        command="CC -g3 -Ia -c m.c -MD",
        words=(b'-DCONFIG="cfg/b.h"', b"-DP(x)=<x.h>"),
        files={
            "m.c": "#include CONFIG\n#include P(there)\nint v = THERE + B;\n",
            "a/there.h": "#define THERE 1\n",
            "cfg/b.h": "#define B 2\n",
        },
    ),
    Case(
        name="computed-pasted",
        command="CC -g3 -Ia -c m.c -MD",
        files={
            "m.c": "#define S(x) #x\n#define X(x) S(x)\n#define N there\n#include X(N.h)\nint v = THERE;\n",
            "a/there.h": "#define THERE 1\n",
        },
        words=(b"-I.", b"-Ia"),
    ),
    Case(
        name="search-variables",
        command="CC -g3 -c m.c -MD",
        files={
            "m.c": "#include <one.h>\n#include <two.h>\nint v = ONE + TWO;\n",
            "a/one.h": "#define ONE 1\n",
            "b/two.h": "#define TWO 2\n",
        },
        env={"CPATH": "a:", "C_INCLUDE_PATH": "TOP/b:nowhere"},
    ),
    Case(
        name="search-variable-cxx",
        command="CXX -g3 -c m.cc -MD",
        files={"m.cc": "#include <cstdio>\n#include <two.h>\nint v = TWO;\n", "b/two.h": "#define TWO 2\n"},
        env={"CPLUS_INCLUDE_PATH": "b"},
    ),
    Case(
        name="sysroot-own",
        command="CC -g3 --sysroot=TOP/root -c m.c -MD",
        files={
            "m.c": "#include <own.h>\n#include <stddef.h>\nsize_t v = OWN;\n",
            "root/usr/include/own.h": "#define OWN 4\n",
            "root/usr/local/include/other.h": "",
        },
    ),
    Case(
        name="sysroot-relative",
        command="CXX -g3 --sysroot=root -nostdinc++ -c m.cc -MD",
        files={
            "m.cc": "#include <own.h>\n#include <stddef.h>\nsize_t v = OWN;\n",
            "root/usr/include/own.h": "#define OWN 4\n",
        },
        way=None,
    ),
    Case(
        name="sysroot-prefixed",
        command="CC -g3 --sysroot=TOP/root -I=/inc -isystem =/sys -c m.c -MD",
        files={
            "m.c": "#include <own.h>\n#include <two.h>\nint v = OWN + TWO;\n",
            "root/inc/own.h": "#define OWN 4\n",
            "root/sys/two.h": "#define TWO 4\n",
        },
        way=None,
    ),
    Case(
        name="links-of-files",
        command="CC -g3 -c l.c -Iinc -MD",
        files={
            "l.c": "->real/m.c",
            "real/m.c": '#include "near.h"\n#include <far.h>\nconst char *v = __FILE__ NEAR FAR;\n',
            "near.h": "#define NEAR __FILE__\n",
            "real/near.h": "#define NEAR 1\n",
            "inc/far.h": "->../store/v2/far.h",
            "store/v2/far.h": '#pragma once\n#include "beside.h"\n#define FAR __FILE__\n',
            "inc/beside.h": "",
        },
    ),
    Case(
        name="links-of-directories",
        command="CC -g3 -c src/m.c -Icur/inc -Icur/inc/.. -MD",
        files={
            "src": "->releases/1/src",
            "cur": "->TOP/releases/1",
            "releases/1/src/m.c": '#include "../inc/a.h"\n#include <b.h>\n#include <inc/c.h>\nint v = A + B + C;\n',
            "releases/1/inc/a.h": "#pragma once\n#define A 1\nconst char *a = __FILE__;\n",
            "releases/1/inc/b.h": "#pragma once\n#define B 1\n#include <a.h>\n#include <inc/a.h>\n",
            "releases/1/inc/c.h": "#define C __COUNTER__\n",
            "inc/a.h": "#error the wrong one\n",
        },
    ),
    Case(
        name="pragma-once-twins",
        command="CC -g3 -c m.c -Ia -Ib -MD",
        files={
            "m.c": '#include "a/t.h"\n#include "b/t.h"\n#include "c/t.h"\nint v = __COUNTER__;\n',
            "a/t.h": "#pragma once\nstatic int X(int y) { return __COUNTER__; }\n".replace("X", "x"),
            "b/t.h": "#pragma once\n#undef N\n#define N __COUNTER__\n",
            "c/t.h": "#pragma once\n#undef N\n#define N __COUNTER__\n",
        },
    ),
    Case(
        name="odd-names",
        command="CC -g3 -MD -MP -o out.o -c",
        words=(b"with space/$dollar #hash.c", b"-Iwith space", b"-I", b"\xfe\xff"),
        files={
            "with space/$dollar #hash.c": '#include "a b.h"\n#include <$x.h>\n#include "ha#sh.h"\n#include <\u00fc.h>\n'
            '#include "back\\slash.h"\n#include <raw.h>\nconst char *v = __FILE__;\n',
            "with space/a b.h": "const char *ab = __FILE__;\n",
            "with space/$x.h": "const char *dollar = __FILE__;\n",
            "with space/ha#sh.h": "",
            "with space/\u00fc.h": "const char *uml = __FILE__;\n",
            "with space/back\\slash.h": "",
            b"\xfe\xff/raw.h": "const char *raw = __FILE__;\n",
        },
    ),
    Case(
        name="odd-names-make",
        command="CC -MD -MP -o out.o -c m.c",
        files={
            "m.c": '#include "a:b.h"\n#include "a%b.h"\n#include "a=b.h"\n#include "a;b&c.h"\n#include "d\\ e.h"\n'
            '#include "(x).h"\n#include "~t.h"\n#include "f\\#g.h"\n',
            "a:b.h": "",
            "a%b.h": "",
            "a=b.h": "",
            "a;b&c.h": "",
            "d\\ e.h": "",
            "(x).h": "",
            "~t.h": "",
            "f\\#g.h": "",
        },
    ),
    Case(
        name="assembler",
        command="CC -g -c s.S -MD",
        files={
            "s.S": '#include "c.h"\n#ifdef __x86_64__\n.globl f\nf: mov $V, %eax\n ret\n#endif\n.string __FILE__\n',
            "c.h": "#define V 7\n",
        },
        way=None,
    ),
    Case(
        name="assembler-absolute",
        command="CC -g -c TOP/s.S -MD",
        files={
            "s.S": "#include <asm/unistd.h>\n.globl f\nf: mov $__NR_read, %eax\n ret\n",
        },
        way=None,
    ),
    Case(
        name="assembler-plain",
        command="CC -O2 -c TOP/s.S -MD",
        files={
            "s.S": "#include <asm/unistd.h>\n.globl f\nf: mov $__NR_read, %eax\n ret\n",
        },
    ),
    Case(
        name="incbin",
        command="CC -O2 -c m.c",
        files={
            "m.c": '__asm__(".section .rodata\\n.incbin \\"blob.bin\\"\\n");\n',
            "blob.bin": b"\0\1\2",
        },
        way=None,
    ),
    Case(
        name="incbin-macro",
        command="CC -O2 -c m.c",
        files={
            "m.c": '#define P ".inc" "bin"\n__asm__(".section .rodata\\n" P " \\"blob.bin\\"\\n");\n',
            "blob.bin": b"\0\1\2",
        },
        way=None,
    ),
    Case(
        name="absolute-include",
        command="CC -g3 -c m.c -MD",
        files={
            "m.c": '#include "TOP/inc/a.h"\n#include "/usr/include/errno.h"\nconst char *v = A;\n',
            "inc/a.h": "#define A __FILE__\n",
        },
        way=None,
    ),
    Case(
        name="forced-absolute",
        command="CC -g3 -include TOP/inc/a.h -c m.c -MD",
        files={
            "m.c": "const char *v = A;\n",
            "inc/a.h": "#define A __FILE__\n",
        },
    ),
    Case(
        name="epoch",
        command="CC -g3 -c m.c",
        files={
            "m.c": "const char *v = __DATE__ __TIME__;\n",
        },
        env={"SOURCE_DATE_EPOCH": "1000000000"},
        compilers=("gcc",),  # Clang 14 does not look at the variable
    ),
    Case(
        name="embedded-assert",
        command="CXX -O2 -c TOP/m.cc",
        files={
            "m.cc": '#include "inc/a.hpp"\nint f(int x) { return g(x); }\n',
            "inc/a.hpp": "#pragma once\n#include <cassert>\n#include <stdexcept>\ninline int g(int x) { assert(x); "
            "if (x > 3) throw std::runtime_error(__FILE__); return x; }\n",
        },
    ),
    Case(
        name="source-location",
        command="CXX -std=c++20 -O2 -g -c TOP/m.cc -Iinc",
        files={
            "m.cc": "#include <a.hpp>\nint f() { return where(); }\n",
            "inc/a.hpp": "#include <source_location>\n#include <cstring>\n"
            "inline int where(std::source_location l = std::source_location::current()) "
            "{ return l.line() + l.column() + std::strlen(l.file_name()) + std::strlen(__builtin_FILE()); }\n",
        },
        compilers=("g++",),
    ),
    Case(
        name="standard-20",
        command="CXX -std=c++20 -O2 -g -c m.cc",
        files={
            "m.cc": "#include <concepts>\n#include <ranges>\n#include <span>\n"
            "template <std::integral T> T f(std::span<T> s) { T t{}; for (T x : s) t += x; return t; }\n"
            "template int f<int>(std::span<int>);\n",
        },
    ),
    Case(
        name="objective-c",
        command="CC -O2 -g -c m.m",
        files={
            "m.m": '#include <stdio.h>\n#import "x.h"\nint f(void) { return X; }\n',
            "x.h": "#define X 1\n",
        },
        compilers=("gcc", "clang"),
    ),
    Case(
        name="language-option",
        command="CC -O2 -g -x c++ -c m.txt -o m.o",
        files={
            "m.txt": "#include <string>\nstd::string s = __FILE__;\n",
        },
    ),
    Case(
        name="precompiled",
        command="CC -O2 -g -include pre.h -c m.c -o m.o",
        files={
            "m.c": "int v = V;\n",
            "pre.h": "#define V 3\n",
            "pre.h.gch": "not one\n",
        },
        way=None,
    ),
    Case(
        name="response-file",
        command="CC @flags -c src/main.c -o main.o",
        files={
            **BASIC,
            "flags": "-O2 -g -DA='\"x y\"' -Isrc\n",
        },
    ),
    Case(
        name="unicode-source",
        command="CC -O2 -g -c",
        words=("gr\u00fc\u00df.c".encode(),),
        files={
            "gr\u00fc\u00df.c": "const char *v = __FILE__; int \u00fcber = 1;\n",
        },
    ),
    Case(
        name="no-newline",
        command="CC -O2 -g3 -Wall -c m.c",
        files={
            "m.c": '#include "x.h"\nint v = X;',
            "x.h": "#define X 1",
        },
    ),
    Case(
        name="crlf",
        command="CC -O2 -g3 -Wall -c m.c",
        files={
            "m.c": '#include "x.h"\r\nint v = X;\r\n',
            "x.h": "#define X \\\r\n 1\r\n",
        },
    ),
    Case(
        name="line-directives",
        command="CC -O2 -g3 -Wall -c TOP/m.c",
        files={
            "m.c": '#line 10 "gen.y"\nint f(void) { int a; return 1; }\n#line 3 "/abs/gen.l"\nint b(void) { int c; }\n',
        },
    ),
    Case(
        name="macro-backtrace",
        command="CC -O2 -Wall -Wextra -c TOP/m.c",
        files={
            "m.c": '#include "x.h"\nint f(int a) { return M(a); }\n',
            "x.h": "#define N(x) ((x) == 1u ? (x) < 0u : -1 < (x))\n#define M(x) N(x)\n",
        },
    ),
    Case(
        name="missing-directories",
        command="CC -O2 -Wmissing-include-dirs -Inowhere -ITOP/nowhere -c m.c",
        files={
            "m.c": "int v;\n",
        },
    ),
    Case(name="empty", command="CC -O2 -g -c TOP/m.c -MD", files={"m.c": ""}),
    Case(name="no-output-option", command="CC -g -c TOP/src/main.c -MMD", files=BASIC),
    Case(name="output-elsewhere", command="CC -g -c src/main.c -MMD -o TOP/out/x.y.o", files={**BASIC, "out/z": ""}),
    Case(
        name="static-analysis-macro",
        command="CC -g3 -c m.c",
        files={
            "m.c": "#include <stdio.h>\n#ifdef __OPTIMIZE__\n#error\n#endif\n#include __FILE__\n#define __has_x\n",
        },
        way=None,
    ),
    Case(
        name="self-include",
        command="CC -g3 -c m.c -MD",
        files={
            "m.c": "#ifndef ONCE\n#define ONCE\n#include __FILE__\n#else\nint v;\n#endif\n",
        },
        way=None,
    ),
    Case(
        name="long-line",
        command="CC -Wall -c TOP/m.c",
        files={
            "m.c": "int f(int a) { " + "a += 1; " * 60 + "int unused; }\n",
        },
    ),
    Case(
        name="builtin-file",
        command="CC -O2 -c TOP/inc/../m.c -ITOP/inc",
        files={
            "m.c": "#include <a.h>\nconst char *v = __BASE_FILE__;\nconst char *w(void) { return a(); }\n",
            "inc/a.h": "static inline const char *a(void) { return __builtin_FILE(); }\n",
        },
        way=None,
    ),
    Case(
        name="gnu-inline-once",
        command="CC -c m.c -Ia/./ -Ia//b/.. -MD -g",
        files={
            "m.c": "#include <x.h>\n#include <b/../x.h>\n#include <./x.h>\nint v = __COUNTER__;\n",
            "a/x.h": "#pragma once\nstatic int c = __COUNTER__;\n",
            "a/b/y": "",
        },
    ),
]

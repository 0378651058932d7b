"""Command lines as real build systems write them, and the small sources they compile."""

from __future__ import annotations

import shlex

SOURCES = {
    "x.c": (
        '#include <stdio.h>\n#include "h.h"\n#include <string.h>\n#include <sys/sys.h>\n#define M(a) a+VAL\n'
        "static int f(int a){return M(a);}\n"
        "int main(int c,char**v){ char b[9]; if(c>2) strcpy(b,v[1]); puts(__FILE__);\n"
        ' printf("%d",f(c)); return f(c)+b[0]; }\n'
    ),
    "h.h": (
        "#ifndef H\n#define H\n#ifndef VAL\n#define VAL 3\n#endif\n"
        "#ifndef __ASSEMBLER__\nstruct s{int a;};\n#endif\n#endif\n"
    ),
    "inc/sys/sys.h": "#pragma GCC system_header\nint sysf(void);\n",
    "pre.h": "#define PRE 1\n",
    "x.cc": (
        '#include <vector>\n#include <string>\n#include "h.h"\nnamespace { int z(){return VAL;} }\n'
        'int g(std::vector<std::string>&v){ v.push_back("a"); for(auto&x:v) x+="b"; return z()+v.size(); }\n'
        'static std::string s="x";\n'
    ),
    "o.m": '#include "h.h"\n__attribute__((objc_root_class))\n@interface A\n+(int)f;\n@end\n'
    "@implementation A\n+(int)f{return VAL;}\n@end\n",
    "a.S": '#include "h.h"\n.text\n.globl q\nq: mov $VAL,%eax\n ret\n',
    "d i/x y.c": '#include "../h.h"\nint v=VAL;\n',
}

# Each is given to GCC and Clang, with SOURCES in the working directory.
C_LINES = """
-c x.c
-c x.c -o o/x.o
-S x.c -MD
-S -O1 -o o/x.s x.c -MMD -MP
-O2 -c x.c -o o/x.o -MD
-O2 -c x.c -MMD -o o/x.o
-MD -c x.c
-ox.o -c x.c -MD -Iinc
-O2 -c -MD -MT o/x.o -MF o/x.o.d -o o/x.o x.c -DNDEBUG -std=gnu11
-MT x.o -MD -MP -MF o/x.Tpo -c -o x.o x.c
-DHAVE_CONFIG_H -I. -fPIC -DPIC -c x.c -o o/x.o -MT x.lo -MD -MP -MF o/x.Tpo
-MD -MQ 'o/a b.o' -MF 'o/a b.d' -fdiagnostics-color=always -D_FILE_OFFSET_BITS=64 -Wall -O3 -o 'o/a b.o' -c x.c
-O2 -ffile-prefix-map=/build=. -fstack-protector-strong -Wformat -Werror=format-security -D_FORTIFY_SOURCE=2 -c x.c
-Wp,-MMD,o/.x.o.d -include pre.h -D__KERNEL__ -Wall -Wundef -O2 -std=gnu11 -fno-strict-aliasing -mno-red-zone -mcmodel=kernel -fno-PIE -DKBUILD_BASENAME='"x"' -c -o o/x.o x.c
-Wp,-MD,o/.x.d -O2 -c x.c
-c -xc x.c -include pre.h -imacros pre.h
-c -x c++ x.c -O1
-c a.S -o o/a.o -MD
-c a.S -DVAL=9 -Wa,--noexecstack
-c 'd i/x y.c' -o 'o/$p #q\\r:s t.o' -MD
-c 'd i/x y.c' -MMD -MP
-c 'd i/x y.c' -MD -MT 'a b' -MT 'c$d#e' -MQ 'c$d#e f' -MP -MF 'o/f#.d'
-c x.c -ansi -trigraphs -w
-c x.c -O2 -D 'VAL=(1 + 2)' -UNDEBUG -U X -I . -isystem inc -iquote . -idirafter inc -MD
-c x.c -Wall -Wextra -Wsystem-headers -pedantic -Wno-unused
-c x.c -fstack-clash-protection -fcf-protection -fno-plt
-c x.c -fno-ident -frandom-seed=x/y -fdata-sections -ffunction-sections
-c x.c -fshort-enums -funsigned-char -finput-charset=UTF-8 -fexec-charset=UTF-8
-c x.c -H
-c x.c -pg -O1
-c x.c -pipe -O2 -lfoo -L. -Wl,-z,now -fuse-ld=bfd
-c x.c -Xpreprocessor -DVAL=7 -Wp,-DQ,-UX
-c x.c -g -g0
-c x.c -gz -gno-column-info -O1
-MD -MMD -c x.c
-MMD -MD -c x.c
-c x.c -O2 -fmacro-prefix-map=x=y -MD
-c x.c -fopenmp -pthread -O2 -fno-working-directory
-c x.c --param max-inline-insns-single=7 --sysroot=/ -no-canonical-prefixes
-c x.c -march=native -O3
-c x.c -march=native -mtune=generic -mno-avx512f -O3
-c x.c -mno-avx2 -march=native -O3
-c x.c -march=native -march=x86-64 -O3
-c x.c -mtune=native -O3
-c x.c -O2 -g -fsanitize=undefined
-c x.c -g
-c x.c -g -gno-column-info
-c o.m -O1
"""

CXX_LINES = """
-c x.cc -O2 -o o/x.o
-c x.cc -O2 -std=c++17 -fno-exceptions -fno-rtti -MD -MF o/d.d -MT 'a$b#c' -MT two -MQ 'q $x#y'
-c x.cc -O2 -pthread -fopenmp -fvisibility=hidden -fvisibility-inlines-hidden
-Ilib -isystem inc -O3 -DNDEBUG -std=gnu++20 -MD -MT o/x.cc.o -MF o/x.cc.o.d -o o/x.cc.o -c x.cc
-c x.cc -x c
-c x.c -O2 -MD
"""

GCC_LINES = """
-Wp,-MD,o/k.d -Wp,-MT,o/x.o -Wp,-MP -c x.c -o o/x.o
-Wp,-MD,o/k.d,-MQ,'a$b' -c x.c
-O2 -flto -frandom-seed=1 -c x.c
-static -pie -rdynamic -shared -c x.c
"""

CLANG_LINES = """
-x c -target x86_64-linux-gnu -fmessage-length=0 -fdiagnostics-show-note-include-stack -fmacro-backtrace-limit=0 -std=gnu11 -Wno-trigraphs -fpascal-strings -Os -Wno-missing-field-initializers -Werror=return-type -DNS_BLOCK_ASSERTIONS=1 -fasm-blocks -fstrict-aliasing -fvisibility=hidden -iquote inc -I. -MMD -MT dependencies -MF o/x.d -c x.c -o o/x.o
--target=x86_64-linux-gnu -O2 -c x.c -integrated-as
-Xclang -disable-O0-optnone -mllvm -inline-threshold=300 -O1 -c x.c
-O1 -flto -c x.c
-c -O1 -MD -o o/x.o -- x.c
-fcolor-diagnostics -Qunused-arguments -c x.c -static
"""


def lines(text: str) -> list[str]:
    """The command lines in one of the texts above."""
    return [line for line in text.splitlines() if line]


def words(line: str) -> list[bytes]:
    """A line as the shell would split it, ``-Iinc`` first."""
    return [b"-Iinc", *(word.encode() for word in shlex.split(line))]


ALL_LINES = lines(C_LINES) + lines(CXX_LINES) + lines(GCC_LINES) + lines(CLANG_LINES)

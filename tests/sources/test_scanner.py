"""What the scanner finds, in every disguise that C allows, and what it leaves alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zdistcc.sources.scanner import (
    Directives,
    Form,
    Hazard,
    Include,
    Kind,
    find_definitions,
    find_uses,
    scan,
)

X = Include(Kind.INCLUDE, Form.QUOTE, b"x.h")
SYSTEM = Include(Kind.INCLUDE, Form.ANGLE, b"x.h")
COMPUTED = Include(Kind.INCLUDE, Form.MACRO, b"HEADER")


@pytest.mark.parametrize(
    "text",
    [
        b'#include "x.h"',
        b'#include"x.h"\n',
        b'\t #\t include\t"x.h"\n',
        b'\v\f#\vinclude\f"x.h"\n',
        b'int a;\n#include "x.h" // why\n',
        b'\xef\xbb\xbf#include "x.h"\n',
        b'#import "x.h"\n',
        b'#__include_macros "x.h"\n',
        b'#include "x.h"\r\n',
        b'int a;\r#include "x.h"\r',
        b'/* a */ #include "x.h"\n',
        b'/* a */ /* b */ # /* c */ include /* d */ "x.h"\n',
        b'/* a\n b */ #include "x.h"\n',
        b'/* a\n b\n*/\n#include "x.h"\n',
        b'#/* a\n */include/* b\n */"x.h"\n',
        b'#/**/include/***/"x.h"\n',
        b'#inc\\\nlude "x.h"\n',
        b'#inc\\  \t\nlude "x.h"\n',
        b'#inc\\\r\nlude "x.h"\n',
        b'#include \\\n "x.h"\n',
        b'int a;\\\0\n#include "x.h"\n',
        b'#inc\\\0\nlude "x.h"\n',
        b'#inc\\\rlude "x.h"\n',
        b'// \\\r#include "y.h"\r#include "x.h"\r',
        b'#include "\\\nx.h"\n',
        b'#\\\n\\\ninclude "x.h"\n',
        b'%:include "x.h"\n',
        b'??=include "x.h"\n',
        b'#inc??/\nlude "x.h"\n',
        b'// not continued ??/\n#include "x.h"\n',
        b'#if 0\n#include "x.h"\n#endif\n',
        b'#if 0\nisn\'t /* this\n#include "x.h"\n*/\n#endif\n',
        b'const char *s = "/*";\n#include "x.h"\n',
        b'char c = \'"\'; // /*\n#include "x.h"\n',
        b'// /* not opened\n#include "x.h"\n',
        b'auto s = R"(/*)";\n#include "x.h"\n',
        b"int i = 1'0; /* ' */\n#include \"x.h\"\n",
        b'#error don\'t /* open\n#include "x.h"\n',
        b'const char *s = "\\"/*";\n#include "x.h"\n',
        b'#include <a/*b.h>\n#include "x.h"\n',
        b'/* x */ /* y\n*/ #include "x.h"\n',
        b'a(); /* z */ #include "x.h"\n',  # not a directive, but too many is allowed
    ],
)
def test_an_include_is_found(text: bytes) -> None:
    assert X in scan(text).includes


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'// #include "x.h"\n',
        b'// \\\n#include "x.h"\n',
        b'/*\n#include "x.h"\n*/\n',
        b'/* the user\'s\n#include "x.h"\n*/\n',
        b'/* it /* is\n #include "x.h"\n one */\n',
        b'int a; #include "x.h"\n',
        b'#included "x.h"\n',
        b'#include_x "x.h"\n',
        b"#define f(x) #x\n",
        b'"#include \\"x.h\\""\n',
        b'#\ninclude "x.h"\n',
        b'#include "x.h\n',
    ],
)
def test_what_is_no_include_is_left_alone(text: bytes) -> None:
    assert scan(text) == Directives()


def test_kinds_and_forms() -> None:
    text = b"""
#include <x.h>
#include_next <n.h>
#include HEADER
#include HEADER /* again */ // and again
#include CALL(1, 2)
#embed "data.bin" limit(4)
#embed <data.bin>
#if __has_include("p.h") && defined(Y) && __has_include ( <q.h> )
#elif __has_include_next(<r.h>) || __has_embed("e.bin" limit(1)) || __has_include__(<s.h>)
#endif
#ifdef __has_include
#endif
"""
    assert set(scan(text).includes) == {
        SYSTEM,
        Include(Kind.NEXT, Form.ANGLE, b"n.h"),
        COMPUTED,
        Include(Kind.INCLUDE, Form.MACRO, b"CALL(1, 2)"),
        Include(Kind.EMBED, Form.QUOTE, b"data.bin"),
        Include(Kind.EMBED, Form.ANGLE, b"data.bin"),
        Include(Kind.PROBE, Form.QUOTE, b"p.h"),
        Include(Kind.PROBE, Form.ANGLE, b"q.h"),
        Include(Kind.PROBE_NEXT, Form.ANGLE, b"r.h"),
        Include(Kind.PROBE, Form.QUOTE, b"e.bin"),
        Include(Kind.PROBE, Form.ANGLE, b"s.h"),
    }


def test_each_name_is_told_once_in_the_order_met() -> None:
    assert [each.name for each in scan(b"#include <a>\n#include <b>\n#include <a>\n").includes] == [
        b"a",
        b"b",
    ]


def test_probes_by_macro() -> None:
    text = b"""
#define HAS(x) __has_include(x)
#define ALIAS __has_include
# define __has_include(x) 0
#define LATER __has_include(<later.h>)
#if __has_include(NAME)
#endif
"""
    found = scan(text)
    assert found.wrappers == (b"HAS", b"ALIAS")
    assert set(found.includes) == {
        Include(Kind.PROBE, Form.ANGLE, b"later.h"),
        Include(Kind.PROBE, Form.MACRO, b"NAME"),
    }


def test_uses_of_a_wrapper() -> None:
    text = b"""
#if HAS(<a.h>) || HAS( "b.h" ) || XHAS(<no.h>)
#endif
#define MORE(y) HAS(y)
#if HAS(NAME)
#endif
"""
    probes, more = find_uses(text, b"HAS")
    assert set(probes) == {
        Include(Kind.PROBE_NEXT, Form.ANGLE, b"a.h"),
        Include(Kind.PROBE_NEXT, Form.QUOTE, b"b.h"),
        Include(Kind.PROBE_NEXT, Form.MACRO, b"NAME"),
    }
    assert more == (b"MORE",)
    assert find_uses(b"nothing", b"HAS") == ((), ())


def test_definitions() -> None:
    text = b"""
#define HEADER "a.h"
 # define HEADER\t<b.h> // why
#define HEADER \\
   OTHER /* and so on */
#define HEADER(x) no
#define HEADERS "no.h"
#define HEADER
%:define HEADER "c.h"
"""
    assert find_definitions(text, b"HEADER") == (b'"a.h"', b"<b.h>", b"OTHER", b"", b'"c.h"')
    assert find_definitions(text, b"NONE") == ()


@pytest.mark.parametrize(
    ("text", "hazard"),
    [
        (b"char *s = __DATE__;", Hazard.DATE_OR_TIME),
        (b"char *s = __TIME__;", Hazard.DATE_OR_TIME),
        (b"char *s = __TIMESTAMP__;", Hazard.TIMESTAMP),
        (b"/* __DATE__ __TIMESTAMP__ */", Hazard.NONE),
        (b"int x__DATE__, __TIME__R;", Hazard.NONE),
        (b'#pragma GCC dependency "x.h"', Hazard.PRAGMA_FILE),
        (b'#pragma GCC pch_preprocess "x.h.gch"', Hazard.PRAGMA_FILE),
        (b"#pragma GCC system_header", Hazard.NONE),
        (b"export module a;", Hazard.MODULE),
        (b"int a;\nimport <vector>;", Hazard.MODULE),
        (b"module;\n", Hazard.MODULE),
        (b"// the\n// import of a module\nint important;", Hazard.NONE),
        (b'asm(".incbin " NAME);', Hazard.ASSEMBLER_FILE),
        (b'asm(".include \\"" NAME "\\"");', Hazard.ASSEMBLER_FILE),
        (b'asm(".incbin " STR(NAME) "\\n");', Hazard.ASSEMBLER_FILE),
        (b'asm(".INCBIN " NAME);', Hazard.ASSEMBLER_FILE),
        (b'.incbin "\\name"\n', Hazard.ASSEMBLER_FILE),
        (b"a.include(b);", Hazard.NONE),
        (b"/* .incbin */", Hazard.NONE),
    ],
)
def test_hazards(text: bytes, hazard: Hazard) -> None:
    assert scan(text).hazards == hazard


@pytest.mark.parametrize(
    "text",
    [
        b'asm(".incbin \\"d.bin\\"\\n");',
        b'\t.incbin "d.bin", 4\n',
        b'.include "d.bin"\n',
        b'.Include "d.bin"',
    ],
)
def test_files_of_the_assembler(text: bytes) -> None:
    found = scan(text)
    assert found.includes == (Include(Kind.ASSEMBLER, Form.QUOTE, b"d.bin"),)
    assert found.hazards == Hazard.NONE


PIECES = [
    b'#include "x.h"',
    b"\n",
    b"/*",
    b"*/",
    b"//",
    b'"',
    b"'",
    b"\\\n",
    b'R"(',
    b')"',
    b" ",
    b"a",
    b"??/",
    b"%:",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=30).map(b"".join))
def test_any_bytes_are_a_text(text: bytes) -> None:
    names = [each.name for each in scan(text).includes]
    assert len(names) == len(set(scan(text).includes))
    assert all(b"\n" not in name for name in names)

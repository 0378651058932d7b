"""From the text of a source file to the files it may name: by regular expression over bytes.

The scan over-approximates: every branch of every conditional counts, and where C's lexical rules
depend on the dialect (raw strings, digit separators, trigraphs, ``//`` in C90) the reading that
yields more directives wins.  Too many costs a ``stat`` a job; too few would be a wrong object.

It is fast because nearly nothing is looked at: the pattern starts with the literal ``#``, which the
regex engine finds by ``memchr``, and only the few hits are examined.  Comments are found exactly
only in the rare file in which a hit seems to lie inside one.

Must not know: the disk, search paths, which branch is taken.
Rejected: removing all comments first (three times slower, and impossible without knowing the dialect);
a line loop (ten times slower).
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import NamedTuple

SCANNER_VERSION = 1  # to be raised when the same text would give other directives: part of the cache's key


class Kind(enum.IntEnum):
    """What is done with a named file."""

    INCLUDE = 0  # read where the search finds it first
    NEXT = 1  # #include_next: read where the search goes on
    PROBE = 2  # __has_include and __has_embed: only its existence matters
    EMBED = 3  # #embed: its bytes matter, its directives don't
    ASSEMBLER = 4  # .include and .incbin: opened by the assembler
    PROBE_NEXT = 5  # __has_include_next, and probes by a macro that may stand for it


class Form(enum.IntEnum):
    """How the file is named: ``"name"``, ``<name>``, or by tokens still to be expanded."""

    QUOTE = 0
    ANGLE = 1
    MACRO = 2


class Include(NamedTuple):
    kind: Kind
    form: Form
    name: bytes


class Hazard(enum.IntFlag):
    """What else in a text makes the outcome depend on more than the text."""

    NONE = 0
    DATE_OR_TIME = 1
    TIMESTAMP = 2
    PRAGMA_FILE = 4
    MODULE = 8
    ASSEMBLER_FILE = 16  # .incbin or .include of something that is not a plain string


@dataclass(frozen=True, slots=True, kw_only=True)
class Directives:
    """All that one text may name.  ``wrappers``: macros that are defined as a use of ``__has_include``."""

    includes: tuple[Include, ...] = ()
    wrappers: tuple[bytes, ...] = ()
    hazards: Hazard = Hazard.NONE


_SPACE = b" \t\v\f\r\0"
_COMMENT = rb"/\*[^*]*+(?:\*(?!/)[^*]*+)*+\*/"
_GAP = rb"(?:[ \t\v\f\r\0]|" + _COMMENT + rb")*+"
_NAME = rb'(?:"([^"\n]*)"|<([^>\n]*)>|([^\n]*))'
_DIRECTIVE = re.compile(
    rb"#" + _GAP + rb"(include_next|include|import|embed|__include_macros)(?![A-Za-z0-9_$])" + _GAP + _NAME
)
_SPLICE = re.compile(rb"\\[ \t\v\f\r\0]*\n")
_NUL_SPLICE = re.compile(rb"\\([ \t\v\f\r]*\0[ \t\v\f\r\0]*\n)")
_RETURN = re.compile(rb"\r(?!\n)")
_PROBE = re.compile(
    rb"__has_(include_next|include|embed)(?:__)?(?![A-Za-z0-9_$])"
    + _GAP
    + rb"(\()?"
    + _GAP
    + rb'(?:"([^"\n]*)"|<([^>\n]*)>|([^\n)]*))'
)
_OPERAND = rb"(?![A-Za-z0-9_$])" + _GAP + rb"\(" + _GAP + rb'(?:"([^"\n]*)"|<([^>\n]*)>|([^\n)]*))'
_DEFINE_OF = re.compile(rb"#" + _GAP + rb"define(?![A-Za-z0-9_$])" + _GAP + rb"([A-Za-z_$][A-Za-z0-9_$]*)")
_IDENTIFIER = re.compile(rb"[A-Za-z_$][A-Za-z0-9_$]*")
# In an assembler file the name is in plain quotes, in a C string in escaped ones; as knows no case.
_ASSEMBLER = re.compile(
    rb'\.(?:(incbin)|include)(?![A-Za-z0-9_$])\s*(?:\\"([^"\\\n]+)\\"|("[^"\\\n]+")|(\\?"))?', re.IGNORECASE
)
_TIME = re.compile(rb"(?<![A-Za-z0-9_$])__(?:DATE|TIME|(TIMESTAMP))__(?![A-Za-z0-9_$])")
_PRAGMA = re.compile(rb"GCC\s+(?:dependency|pch_preprocess)\b")
_MODULE = re.compile(rb"(?:^|[;}\r]|\*/)[ \t\v\f]*(?:export\s+)?(?:import\s*[\w:<\"]|module\s*[\w:;])", re.MULTILINE)
_REMARK = re.compile(rb"//[^\n]*|" + _COMMENT)
_TOKENS = re.compile(rb"//[^\n]*|" + _COMMENT + rb'|/\*|"(?:[^"\\\n]|\\.)*+"|\'(?:[^\'\\\n]|\\.)*+\'|["\']')
_BEFORE_RAW_STRING = b"R"
_BEFORE_SEPARATOR = b"0123456789abcdefABCDEF"
_UTF8_MARK = b"\xef\xbb\xbf"


def scan(text: bytes) -> Directives:
    """The directives of one text.  Never fails: any bytes are a text."""
    found = _scan(text)
    # GCC takes a NUL between backslash and newline for a space, clang does not; clang ends a line at a
    # lone carriage return, GCC does not.  What either reads counts.
    if b"\0" in text and (other := _NUL_SPLICE.sub(rb" \1", text)) != text:
        found = _merged(found, scan(other))
    if b"\r" in text and (other := _RETURN.sub(b"\n", text)) != text:
        found = _merged(found, scan(other))
    # Digraphs and trigraphs count in addition: whether they are recognised depends on the dialect.
    if b"%:" in text:
        found = _merged(found, _scan(text.replace(b"%:", b"#")))
    if b"??" in text and (b"??=" in text or b"??/" in text):
        plain = text.replace(b"??=", b"#").replace(b"??/", b"\\").replace(b"%:", b"#")
        found = _merged(found, _scan(plain))
    return found


def find_definitions(text: bytes, name: bytes) -> tuple[bytes, ...]:
    """The bodies of all object-like definitions of ``name``, comments removed."""
    if name not in text:
        return ()
    pattern = re.compile(
        rb"(?:#|%:|\?\?=)"
        + _GAP
        + rb"define(?![A-Za-z0-9_$])"
        + _GAP
        + re.escape(name)
        + rb"(?![A-Za-z0-9_$(])([^\n]*)"
    )
    return tuple(dict.fromkeys(_without_remarks(body) for body in pattern.findall(_spliced(text))))


def find_uses(text: bytes, wrapper: bytes) -> tuple[tuple[Include, ...], tuple[bytes, ...]]:
    """The files that uses of ``wrapper(...)`` probe for, and the macros defined as a use of it."""
    if wrapper not in text:
        return (), ()
    pattern = re.compile(rb"(?<![A-Za-z0-9_$])" + re.escape(wrapper) + _OPERAND)
    return _probes(_spliced(text), pattern, wrapper)


def _scan(text: bytes) -> Directives:
    text = _spliced(text)
    includes: dict[Include, None] = {}
    hits = [hit for hit in _DIRECTIVE.finditer(text) if _starts_line(text, hit.start())]
    bare: bytes | None = None
    if any(_seems_commented(text, hit.start()) for hit in hits):
        bare = _blank_comments(text)
        if bare is not None and not any(hit[3] is not None and b"/*" in hit[3] for hit in hits):
            hits = [hit for hit in hits if bare[hit.start()] != 0x20]
    for hit in hits:
        _add_include(includes, hit)
    wrappers: tuple[bytes, ...] = ()
    if b"__has_" in text:
        probes, wrappers = _probes(text, _PROBE, b"")
        includes.update(dict.fromkeys(probes))
    hazards = Hazard.NONE
    if b".inc" in text or b".INC" in text or b".Inc" in text:
        hazards |= _assembler(text, includes)
    if b"__TIME" in text or b"__DATE__" in text:
        for hit in _TIME.finditer(_blank_comments(text) or text):
            hazards |= Hazard.TIMESTAMP if hit[1] else Hazard.DATE_OR_TIME
    if b"include_alias" in text or (b"#" in text and _PRAGMA.search(text)):
        hazards |= Hazard.PRAGMA_FILE
    if (b"import" in text or b"module" in text) and _MODULE.search(_blank_comments(text) or text):
        hazards |= Hazard.MODULE
    return Directives(includes=tuple(includes), wrappers=wrappers, hazards=hazards)


def _spliced(text: bytes) -> bytes:
    """Continuation lines joined; spaces after the backslash count as none, as in GCC and clang."""
    return _SPLICE.sub(b"", text) if b"\\" in text else text


def _starts_line(text: bytes, at: int) -> bool:
    """True if ``at`` may be the first token of its line; a comment before it is enough to say so."""
    prefix = text[text.rfind(b"\n", 0, at) + 1 : at]
    if not prefix or prefix.isspace():
        return True
    if b"*/" in prefix:
        return True
    return not prefix.rpartition(b"\r")[2].removeprefix(_UTF8_MARK).strip(_SPACE)


def _seems_commented(text: bytes, at: int) -> bool:
    opening = text.rfind(b"/*", 0, at)
    return opening != -1 and text.find(b"*/", opening + 2, at) == -1


def _add_include(includes: dict[Include, None], hit: re.Match[bytes]) -> None:
    word, quoted, angled, rest = hit.groups()
    kind = Kind.NEXT if word == b"include_next" else Kind.EMBED if word == b"embed" else Kind.INCLUDE
    if quoted is not None:
        includes[Include(kind, Form.QUOTE, quoted)] = None
    elif angled is not None:
        includes[Include(kind, Form.ANGLE, angled)] = None
    else:
        tokens = _without_remarks(rest.partition(b"\r")[0])
        if tokens and not tokens.startswith(b'"'):  # an open quote is an error, or in a branch not taken
            includes[Include(kind, Form.MACRO, tokens)] = None


def _probes(text: bytes, pattern: re.Pattern[bytes], wrapper: bytes) -> tuple[tuple[Include, ...], tuple[bytes, ...]]:
    """Literal operands anywhere; names as operands only where they are not a parameter."""
    found: dict[Include, None] = {}
    wrappers: dict[bytes, None] = {}
    for hit in pattern.finditer(text):
        quoted, angled, rest = hit.groups()[-3:]
        called = bool(wrapper) or hit[2] is not None
        kind = Kind.PROBE_NEXT if wrapper or hit[1] == b"include_next" else Kind.PROBE
        if called and quoted is not None:
            found[Include(kind, Form.QUOTE, quoted)] = None
            continue
        if called and angled is not None:
            found[Include(kind, Form.ANGLE, angled)] = None
            continue
        line = text[text.rfind(b"\n", 0, hit.start()) + 1 : text.find(b"\n", hit.start()) % (len(text) + 1)]
        definition = _DEFINE_OF.search(line)
        if definition is not None:
            name = definition[1]
            if name != wrapper and not name.startswith(b"__has_"):
                wrappers[name] = None
        elif called and re.search(rb"#|%:|\?\?=", line) is not None:
            found[Include(kind, Form.MACRO, _without_remarks(rest))] = None
    return tuple(found), tuple(wrappers)


def _assembler(text: bytes, includes: dict[Include, None]) -> Hazard:
    hazards = Hazard.NONE
    text = _blank_comments(text) or text
    for hit in _ASSEMBLER.finditer(text):
        incbin, escaped, plain, broken = hit.groups()
        if plain is not None and b'"' in text[text.rfind(b"\n", 0, hit.start()) + 1 : hit.start()]:
            hazards |= Hazard.ASSEMBLER_FILE  # the quote ends a string: the name is put together
        elif escaped is not None or plain is not None:
            includes[Include(Kind.ASSEMBLER, Form.QUOTE, escaped or plain[1:-1])] = None
        elif incbin is not None or broken is not None:  # ".include" alone is a member's name
            hazards |= Hazard.ASSEMBLER_FILE
    return hazards


def _blank_comments(text: bytes) -> bytes | None:
    """The text with each comment overwritten by spaces, or None where that depends on the dialect."""
    pieces: list[bytes] = []
    end = 0
    for token in _TOKENS.finditer(text):
        start = token.start()
        if token[0] in (b'"', b"'", b"/*"):  # unpaired: how far it reaches differs between compilers
            return None
        if text[start] == 0x22 and text[start - 1 : start] == _BEFORE_RAW_STRING:
            return None
        if text[start] == 0x27 and start and text[start - 1] in _BEFORE_SEPARATOR:
            return None
        if token[0].startswith(b"/"):
            pieces += (text[end:start], b" " * len(token[0]))
            end = token.end()
    pieces.append(text[end:])
    return b"".join(pieces)


def _without_remarks(tokens: bytes) -> bytes:
    return _REMARK.sub(b" ", tokens).strip(_SPACE)


def is_identifier(tokens: bytes) -> bool:
    return _IDENTIFIER.fullmatch(tokens) is not None


def identifiers(tokens: bytes) -> list[bytes]:
    return _IDENTIFIER.findall(tokens)


def _merged(first: Directives, second: Directives) -> Directives:
    return Directives(
        includes=tuple(dict.fromkeys(first.includes + second.includes)),
        wrappers=tuple(dict.fromkeys(first.wrappers + second.wrappers)),
        hazards=first.hazards | second.hazards,
    )

"""Dependency files, as the client's own compiler would have written them.  Pure.

A compiler that works in a tree names files below its root, and breaks lines by the length of those names.  Here the
root is removed and the lines are broken anew, by the rules of each family's writer: GCC breaks before column 72
(libcpp's mkdeps), Clang before 75 with room for the backslash (its DependencyFile).  Targets are the client's own text
and stay as they are, their breaks included.

Must not know: files.  The root must hold no character that make escapes; the store sees to it.
"""

from __future__ import annotations

import re

from zdistcc.toolchain.identity import Family

_GCC_COLUMNS = 72
_CLANG_COLUMNS = 75
_WORD = re.compile(rb"(?:\\[\s\S]|[^ \n\\])+")
_ESCAPES = re.compile(rb"\\([ #])|\$(\$)")


def as_on_client(text: bytes, root: bytes, family: Family) -> bytes:
    """Return the dependency file ``text`` without the tree at ``root``."""
    if not text or root not in text:
        return text
    rule, newline, rest = _first_rule(text)
    # the last one: a target may hold blanks and colons, in a name a blank is escaped
    targets, colon, sources = rule.rpartition(b": ")
    if not colon:
        return text.replace(root, b"")
    names = [name.replace(root, b"") for name in _WORD.findall(sources.replace(b"\\\n", b" "))]
    break_lines = _clang if family is Family.CLANG else _gcc
    head = targets + b":"
    column = len(head) - 1 - head.rfind(b"\n")
    return head + break_lines(column, names) + newline + rest.replace(root, b"")


def _first_rule(text: bytes) -> tuple[bytes, bytes, bytes]:
    """Split ``text`` after its first logical line."""
    position = 0
    while True:
        end = text.find(b"\n", position)
        if end < 0:
            return text, b"", b""
        if end == 0 or text[end - 1 : end] != b"\\":
            return text[:end], b"\n", text[end + 1 :]
        position = end + 1


def _gcc(column: int, names: list[bytes]) -> bytes:
    out = bytearray()
    for name in names:
        if column + len(name) > _GCC_COLUMNS:
            out += b" \\\n"
            column = 0
        out += b" " + name
        column += 1 + len(name)
    return bytes(out)


def _clang(column: int, names: list[bytes]) -> bytes:
    out = bytearray()
    for name in names:
        length = len(_ESCAPES.sub(rb"\1\2", name))
        if column + length + 3 > _CLANG_COLUMNS:
            out += b" \\\n "
            column = 2
        out += b" " + name
        column += length + 1
    return bytes(out)

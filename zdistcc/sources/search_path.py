"""Reads where a compiler searches headers from what it prints for ``-v -E``.

Format (GCC's ``incpath.cc``, clang's ``InitHeaderSearch``), untranslated, so the compiler has to be run
in the C locale::

    ignoring nonexistent directory "D"
    ignoring duplicate directory "D"
    #include "..." search starts here:
     D
    #include <...> search starts here:
     D [" (framework directory)" | " (headermap)"]
    End of search list.

clang also tells which GCC installations it chose among; their parents are ``volatile``, for a compiler
installed later moves the path.  Pure.
"""

from __future__ import annotations

import re
from typing import Final

from zdistcc.errors import Reason
from zdistcc.sources.model import ClosureRequest, SearchContext, Unclosable
from zdistcc.sources.resolver import joined

SEARCH_VARIABLES: Final = (
    b"CPATH",
    b"C_INCLUDE_PATH",
    b"CPLUS_INCLUDE_PATH",
    b"OBJC_INCLUDE_PATH",
    b"OBJCPLUS_INCLUDE_PATH",
    b"GCC_EXEC_PREFIX",
    b"COMPILER_PATH",
    b"SDKROOT",
)
_QUOTE_STARTS: Final = b'#include "..." search starts here:'
_ANGLE_STARTS: Final = b"#include <...> search starts here:"
_LIST_ENDS: Final = b"End of search list."
_IGNORED = re.compile(rb'ignoring (nonexistent|duplicate) directory "(.*)"')
_CANDIDATE = re.compile(rb"Found candidate GCC installation: (.+)")
# Lead the search by maps, or (-I-) by a rule that compilers no longer have.
_MAPPED: Final = (b"-ivfsoverlay", b"-fmodule-map-file", b"-vfsoverlay")
_TAKES_PATH = re.compile(
    rb"(?:-I|-isystem|-iquote|-idirafter|-isysroot|--sysroot=|-F|-iframework|-iprefix|-iwithprefixbefore"
    rb"|-iwithprefix|-imultilib|-B|--embed-dir=|-embed-dir=|-cxx-isystem|-stdlib\+\+-isystem|--gcc-toolchain=)(.*)",
    re.DOTALL,
)
_EMBED: Final = (b"--embed-dir=", b"-embed-dir=")


def parse(printed: bytes, request: ClosureRequest) -> SearchContext | Unclosable:
    """The search path for ``request``; the compiler ran in its ``cwd``."""
    if any(word.startswith(_MAPPED) or word.endswith(b".hmap") for word in request.search_words):
        return Unclosable(reason=Reason.HEADER_MAP)
    lists: dict[bytes, list[bytes]] = {_QUOTE_STARTS: [], _ANGLE_STARTS: []}
    ignored: dict[bytes, list[bytes]] = {b"nonexistent": [], b"duplicate": []}
    volatile: list[bytes] = []
    current: list[bytes] | None = None
    ended = False
    for line in printed.splitlines():
        if line in lists:
            current = lists[line]
        elif line == _LIST_ENDS:
            current, ended = None, True
        elif current is not None and line.startswith(b" "):
            if line.endswith(b" (framework directory)"):
                return Unclosable(reason=Reason.FRAMEWORK_SEARCH, detail=line[1:])
            if line.endswith(b" (headermap)"):
                return Unclosable(reason=Reason.HEADER_MAP, detail=line[1:])
            current.append(_directory(request, line[1:]))
        elif ignoring := _IGNORED.fullmatch(line):
            ignored[ignoring[1]].append(_directory(request, ignoring[2]))
        elif candidate := _CANDIDATE.fullmatch(line):
            volatile.append(_directory(request, candidate[1]).rpartition(b"/")[0])
    if not ended:
        return Unclosable(reason=Reason.SEARCH_PATH_UNKNOWN)
    quote, angle = tuple(lists[_QUOTE_STARTS]), tuple(lists[_ANGLE_STARTS])
    embed = tuple(
        _directory(request, word.partition(b"=")[2]) for word in request.search_words if word.startswith(_EMBED)
    )
    return SearchContext(
        quote=quote,
        angle=angle,
        embed=embed,
        existing=tuple(dict.fromkeys((*quote, *angle, *ignored[b"duplicate"]))),
        missing=tuple(dict.fromkeys(ignored[b"nonexistent"])),
        volatile=tuple(dict.fromkeys(volatile)),
    )


def _directory(request: ClosureRequest, name: bytes) -> bytes:
    return joined(request.cwd, name).rstrip(b"/") or b"/"


def search_key(request: ClosureRequest) -> tuple[object, ...]:
    """Requests with equal keys have the same search path; the directory counts only if a path is relative."""
    cwd = request.cwd if _depends_on_cwd(request) else b""
    return (
        request.compiler,
        request.compiler_key,
        request.language,
        request.search_words,
        request.env,
        cwd,
    )


def _depends_on_cwd(request: ClosureRequest) -> bool:
    for word in request.search_words:
        given = _TAKES_PATH.fullmatch(word)
        path = given[1] if given else b"" if word.startswith(b"-") else word
        if path and not path.startswith(b"/"):
            return True
    return any(not path.startswith(b"/") for _, value in request.env for path in value.split(b":"))

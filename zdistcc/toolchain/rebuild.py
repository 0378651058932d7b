"""Commands rebuilt from an `Invocation`: to preprocess here, to compile text or sources elsewhere.

Must not know: processes, the disk.

What `preprocess_args` adds stands first, so that Clang's ``--`` may stand before the input.  Names that
are derived are joined to their option: a word of its own that begins with ``@`` would be a response file.

Rejected: ``-o`` for the preprocessor whenever the job has one.  Both drivers derive the dependency
file's name and target from ``-o``, which here names another file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from zdistcc.errors import Reason
from zdistcc.toolchain.dependencies import passthrough
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.invocation import Invocation
from zdistcc.toolchain.languages import Language
from zdistcc.toolchain.options import MACHINE_MARKS, Arg, Effect, Mark, Undistributable
from zdistcc.toolchain.pathwords import PathWord, marked

_DROPPED_LOCALLY = frozenset({Effect.STAGE, Effect.OUTPUT})
_KEPT_REMOTELY = frozenset({Effect.BOTH, Effect.SIDE})


def preprocess_args(inv: Invocation, *, output: bytes | None) -> list[bytes]:
    """The command (without its first word) that preprocesses here, to ``output`` or standard output.

    It writes the dependency file as the compile would.  Only for sources that are not preprocessed
    yet: a driver ignores others under ``-E``.
    """
    words = [b"-E"]
    if output is not None:
        words += [b"-o", output]
    wanted = inv.depfile
    if wanted is not None:
        if wanted.path_implied:
            words.append(b"-MF" + wanted.path)
        if wanted.targets_implied:
            words += [b"-MQ" + target.name for target in wanted.targets]
    for arg in inv.args:
        if arg.row is None or arg.row.effect not in _DROPPED_LOCALLY:
            words.extend(arg.words)
    return words


def remote_args(inv: Invocation, *, native: Sequence[bytes] = ()) -> list[bytes]:
    """The options under which the preprocessed text is compiled elsewhere.

    No input, output, stage or language: who runs it adds ``-x LANGUAGE -c|-S -o OUT IN``.
    ``native`` replaces all words in ``inv.native``; ValueError if there are such and it is empty.
    """
    words = _machine(inv, native)
    for arg in inv.args:
        if arg.row is not None and arg.row.effect in _KEPT_REMOTELY and not _replaced(arg, inv):
            words.extend(arg.words)
    return words


def headers_args(inv: Invocation, *, native: Sequence[bytes] = ()) -> list[bytes | PathWord] | Undistributable:
    """The options under which the source itself is compiled in a tree elsewhere.

    Whoever runs it places each `PathWord` in its tree, runs in the mirrored working directory, puts
    its own ``--sysroot=TREE`` and prefix map first (of several the last counts), and adds
    ``-x LANGUAGE -c|-S -o OUT -MF DEPFILE SOURCE``, the language being ``inv.language.value`` and
    ``-MF`` only if ``inv.depfile`` asks for it.  Dependencies are asked for in one form, with targets
    that do not depend on ``-o``.
    """
    words: list[bytes | PathWord] = list(_machine(inv, native))
    if inv.depfile is not None:
        words.append(b"-MD" if inv.depfile.system_headers else b"-MMD")
        words += [b"-MP"] if inv.depfile.phony else []
        for target in inv.depfile.targets:
            words.append((b"-MQ" if target.quoted else b"-MT") + target.name)
    after_input = False
    for arg in inv.args:
        row = arg.row
        after_input |= row is None
        if row is None or _replaced(arg, inv):
            continue
        reason = _not_in_a_tree(arg, inv, after_input)
        if reason is not None:
            return Undistributable(reason, arg.words[0])
        if row.mark is Mark.PASSTHROUGH:
            for word in passthrough([arg]):
                # not as -Wp,WORD: a word of -Xpreprocessor may hold a comma
                words += [b"-Xpreprocessor", word] if word[:2] in (b"-D", b"-U") else []
        elif row.effect is Effect.PREPROCESS or row.effect in _KEPT_REMOTELY:
            words += marked(arg)
    return words


def _not_in_a_tree(arg: Arg, inv: Invocation, after_input: bool) -> Reason | None:
    """Why an option keeps a job's sources from being compiled in a tree."""
    assert arg.row is not None
    if arg.row.effect is Effect.LANGUAGE and after_input:  # drivers have something to say about that
        return Reason.UNSUPPORTED_LANGUAGE
    if arg.row.effect is Effect.LINK and inv.family is Family.CLANG:
        return Reason.LINKER_WORDS
    if arg.row.effect is Effect.DRIVER and arg.row.mark is Mark.SEARCH:
        return Reason.COMPILER_PROGRAMS
    return Reason.TREE_LEAKED if _records_places(arg, inv) else None


def _records_places(arg: Arg, inv: Invocation) -> bool:
    """Whether an option makes the compiler record names that no prefix map takes the tree's root out of.

    GCC's LTO streams the working directory; sanitizers name the file of each check, which is relative only
    as long as no system header is in play, in C++ hardly ever; Clang's assembler maps nothing; a
    map of the empty prefix fits the root itself.
    """
    if arg.row is None:
        return False
    if arg.row.mark is Mark.PATH_MAP:
        return arg.value[:1] == b"="
    if arg.row.mark is Mark.DEBUG:
        return inv.debug and inv.family is Family.CLANG and inv.language is Language.ASSEMBLER
    if arg.row.name == b"-fsanitize=":
        return arg.value != b"thread" and b"++" in inv.language.value
    return arg.row.name == b"-flto"


def _replaced(arg: Arg, inv: Invocation) -> bool:
    """Whether ``native`` stands for this option."""
    return bool(inv.native) and arg.row is not None and arg.row.mark in MACHINE_MARKS


def explicit_language(inv: Invocation) -> bytes:
    """The ``-x`` name of the text that `preprocess_args` makes."""
    return inv.language.cpp_output


_NAMES_FILE = re.compile(rb'#(?:line)? \d+ "')
_INCLUDES_FILE = re.compile(rb"\.(?:incbin|INCBIN)\b|\.(?:include|INCLUDE)\s*\\?\"")


def text_reason(text: bytes, inv: Invocation) -> Reason | None:
    """Why this preprocessed text must not be compiled elsewhere, if it must not.

    Assembler directives that read files are looked for in all text, as assembler may stand in
    any string; GCC's and Clang's source locations carry columns, which the text has not kept.  Text
    that is the user's own source has to name its file, as an object would otherwise name the worker's.
    """
    if inv.language.preprocessed and _NAMES_FILE.match(text) is None:
        return Reason.UNNAMED_TEXT
    if (b".inc" in text or b".INC" in text) and _INCLUDES_FILE.search(text):
        return Reason.INCLUDES_BINARY
    if b"__builtin_COLUMN" in text or b"__builtin_source_location" in text:
        return Reason.SOURCE_COLUMNS
    if inv.family is Family.CLANG and b"__builtin_FILE" in text and _maps_names(inv):
        return Reason.PREPROCESSOR_OPTION
    return None


def _maps_names(inv: Invocation) -> bool:
    return _names(inv.args, b"-fmacro-prefix-map=") or _names(inv.args, b"-ffile-prefix-map=")


def _machine(inv: Invocation, native: Sequence[bytes]) -> list[bytes]:
    if inv.native and not native:
        raise ValueError("the job's machine options are native ones and nothing stands for them")
    return list(native) if inv.native else []


def _names(args: Sequence[Arg], name: bytes) -> bool:
    return any(arg.row is not None and arg.row.name == name for arg in args)

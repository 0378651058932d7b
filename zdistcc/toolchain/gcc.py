"""Option rows that GCC and Clang share, and those of GCC alone.

Groups of rows with one meaning; names are sorted within a group.  Sources: GCC's manual, section
"Option Summary", and ``--help`` of the compilers.  What begins with ``-f -m -W -O -g -std`` and has
no row passes through the row of that prefix, unless it names a path: new releases add such options
faster than any table, and they change code far more often than they touch files.

Must not know: Clang's own options (`clang`), what a job is.

Rejected: passing any unknown option ("it would fail there and then run here"): an option that
takes the next word, or that writes a file, would not fail.
"""

from __future__ import annotations

import re

from zdistcc.errors import Reason
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.options import Check, Effect, Form, Mark, OptionRow, Side

F, J, S, E, P = Form.FLAG, Form.JOINED, Form.SEPARATE, Form.EQUALS, Form.PREFIX
JS = J | S
ALL = frozenset({Family.GCC, Family.CLANG})
GCC = frozenset({Family.GCC})
CLANG = frozenset({Family.CLANG})


_SIDE_REASON = {
    Side.DWO: Reason.SPLIT_DWARF,
    Side.GCNO: Reason.COVERAGE,
    Side.SU: Reason.STACK_USAGE,
}


def rows(
    effect: Effect,
    forms: Form,
    *names: str,
    families: frozenset[Family] = ALL,
    path: bool = False,
    check: Check | None = None,
    mark: Mark | None = None,
    side: Side | None = None,
) -> tuple[OptionRow, ...]:
    """A group of rows that differ in name only."""
    return tuple(
        OptionRow(
            name=name.encode(),
            forms=forms,
            effect=effect,
            value_is_path=path,
            families=families,
            check=check,
            mark=mark,
            reason=_SIDE_REASON[side] if side else None,
            side=side,
        )
        for name in names
    )


def local(reason: Reason, forms: Form, *names: str, families: frozenset[Family] = ALL) -> tuple[OptionRow, ...]:
    """A group of options that keep the job on this machine."""
    return tuple(
        OptionRow(name=name.encode(), forms=forms, effect=Effect.LOCAL, families=families, reason=reason)
        for name in names
    )


def plain(value: bytes) -> Reason | None:
    """An option without a row of its own may not name a path."""
    return Reason.UNKNOWN_FILE if b"/" in value else None


def machine(value: bytes) -> Reason | None:
    """``-mcpu=help`` asks for a list instead of compiling."""
    return Reason.QUERY if value in (b"help", b"?") else plain(value)


# What an assembler is told without its reading or writing a file.
_ASSEMBLER_WORD = re.compile(
    rb"--(?:no)?execstack|--fatal-warnings|--(?:no-)?warn|-W|--(?:no)?compress-debug-sections(?:=[a-z-]+)?"
    rb"|-m[\w=+.-]+|--(?:32|64|x32|divide|no-pad-sections|keep-locals|strip-local-absolute|traditional-format)"
    rb"|-[LQ][yn]?|--generate-missing-build-notes=(?:yes|no)|--reduce-memory-overheads|-n"
)


def assembler_words(value: bytes) -> Reason | None:
    """``-Wa,…``: each word on a list of harmless ones."""
    if all(_ASSEMBLER_WORD.fullmatch(word) for word in value.split(b",")):
        return None
    return Reason.ASSEMBLER_OPTION


def assembler_word(value: bytes) -> Reason | None:
    """``-Xassembler …``: the same list."""
    return None if _ASSEMBLER_WORD.fullmatch(value) else Reason.ASSEMBLER_OPTION


def preprocessor_words(value: bytes) -> Reason | None:
    """``-Wp,…``: definitions, or the kernel's way to ask for dependencies."""
    words = value.split(b",")
    while words:
        word = words.pop(0)
        if word in (b"-MD", b"-MMD", b"-MT", b"-MQ", b"-MF"):
            if not words or not words.pop(0):
                return Reason.DEPENDENCY_FORM
        elif word != b"-MP" and not _definition(word):
            return Reason.PREPROCESSOR_OPTION
    return None


def preprocessor_word(value: bytes) -> Reason | None:
    """``-Xpreprocessor …``: a definition in one word."""
    return None if _definition(value) else Reason.PREPROCESSOR_OPTION


def _definition(word: bytes) -> bool:
    return word[:2] in (b"-D", b"-U") and len(word) > 2


_COMMON: tuple[tuple[OptionRow, ...], ...] = (
    # --- what is done with which file ----------------------------------------------------------
    rows(Effect.STAGE, F, "-S", "-c"),
    rows(Effect.OUTPUT, JS, "-o", path=True),
    rows(Effect.LANGUAGE, JS, "-x"),
    rows(Effect.PREPROCESS_ONLY, F, "-E", "-M", "-MM"),
    rows(Effect.QUERY, F, "-###", "--help", "--target-help", "--version", "-v"),
    rows(
        Effect.QUERY,
        P,
        "--print-",
        "-dumpfullversion",
        "-dumpmachine",
        "-dumpspecs",
        "-dumpversion",
        "-print-",
    ),
    local(Reason.NOT_A_COMPILE, F, "-fsyntax-only"),
    # --- the preprocessor ----------------------------------------------------------------------
    rows(Effect.PREPROCESS, JS, "-D", mark=Mark.DEFINE),
    rows(Effect.PREPROCESS, JS, "-U", mark=Mark.UNDEFINE),
    rows(
        Effect.PREPROCESS,
        JS,
        "-F",
        "-I",
        "-idirafter",
        "-iprefix",
        "-iquote",
        "-isysroot",
        "-isystem",
        path=True,
        mark=Mark.SEARCH,
    ),
    # these are put behind what -iprefix says
    rows(Effect.PREPROCESS, JS, "-iwithprefix", "-iwithprefixbefore", mark=Mark.SEARCH),
    rows(Effect.PREPROCESS, E | S, "--sysroot", path=True, mark=Mark.SEARCH),
    rows(Effect.PREPROCESS, S, "-iframework", path=True, mark=Mark.SEARCH, families=GCC),
    rows(Effect.PREPROCESS, F, "-nostdinc", "-nostdinc++", mark=Mark.SEARCH),
    rows(Effect.PREPROCESS, JS, "-imacros", "-include", path=True, mark=Mark.FORCED),
    rows(Effect.PREPROCESS, F, "-H", "-fno-working-directory", "-fworking-directory", "-trigraphs", "-undef"),
    rows(Effect.PREPROCESS, E, "-finput-charset"),
    local(
        Reason.PREPROCESSOR_OPTION,
        F,
        "-C",
        "-CC",
        "-I-",
        "-P",
        "-fdirectives-only",
        "-fpreprocessed",
        "-traditional",
        "-traditional-cpp",
    ),
    rows(Effect.DEPEND, F, "-MD", "-MMD", "-MP"),
    rows(Effect.DEPEND, JS, "-MF", path=True),
    rows(Effect.DEPEND, JS, "-MQ", "-MT"),
    local(Reason.DEPENDENCY_FORM, F, "-MG"),
    rows(Effect.PREPROCESS, J, "-Wp,", check=preprocessor_words, mark=Mark.PASSTHROUGH),
    rows(Effect.PREPROCESS, S, "-Xpreprocessor", check=preprocessor_word, mark=Mark.PASSTHROUGH),
    # --- this machine's driver -----------------------------------------------------------------
    rows(Effect.DRIVER, F, "-no-canonical-prefixes", "-pipe"),
    local(Reason.COMPILER_PROGRAMS, JS, "-B"),
    local(Reason.COMPILER_PROGRAMS, S | E, "--specs", "-specs"),
    local(Reason.COMPILER_PROGRAMS, P, "-fplugin"),
    # --- the linker ----------------------------------------------------------------------------
    rows(
        Effect.LINK,
        F,
        "-no-pie",
        "-nodefaultlibs",
        "-nolibc",
        "-nostartfiles",
        "-nostdlib",
        "-nostdlib++",
        "-pie",
        "-r",
        "-rdynamic",
        "-s",
        "-shared",
        "-shared-libgcc",
        "-static-libgcc",
        "-static-libstdc++",
        "-static-pie",
        "-symbolic",
    ),
    rows(Effect.LINK, F, "-static", families=GCC),
    rows(Effect.LINK, J, "-Wl,", "-fuse-ld="),
    rows(Effect.LINK, JS, "-L", "-T", path=True),
    rows(Effect.LINK, JS, "-l", "-u", "-z"),
    rows(Effect.LINK, S, "-Xlinker", "-e", "-framework"),
    # --- the assembler -------------------------------------------------------------------------
    rows(Effect.BOTH, J, "-Wa,", check=assembler_words),
    rows(Effect.BOTH, S, "-Xassembler", check=assembler_word),
    # --- the compiler itself -------------------------------------------------------------------
    rows(Effect.BOTH, F, "-ansi", "-p", "-pedantic", "-pedantic-errors", "-pg", "-pthread", "-w"),
    rows(Effect.BOTH, P, "--std=", "-O", "-W", "-f", "-std=", check=plain),
    rows(Effect.BOTH, P, "-m", check=plain, mark=Mark.MACHINE),
    rows(Effect.BOTH, E | S, "--param", check=plain, families=GCC),
    rows(Effect.BOTH, J, "-march=", "-mcpu=", "-mtune=", check=machine, mark=Mark.MACHINE),
    rows(Effect.BOTH, P, "-g", check=plain, mark=Mark.DEBUG),
    rows(
        Effect.BOTH,
        P,
        "-fcolor-diagnostics",
        "-fdiagnostics-color",
        "-fdiagnostics-plain-output",
        "-fno-color-diagnostics",
        "-fno-diagnostics-color",
        check=plain,
        mark=Mark.COLOUR,
    ),
    rows(Effect.BOTH, J, "-fsanitize=", check=plain, mark=Mark.COLUMNS),
    rows(Effect.BOTH, P, "-flto", check=plain, mark=Mark.COLUMNS, families=GCC),
    # the values are text that goes into the object or a seed: no file of that name is touched
    rows(Effect.BOTH, J, "-frandom-seed="),
    rows(
        Effect.BOTH,
        J,
        "-fdebug-prefix-map=",
        "-ffile-prefix-map=",
        "-fprofile-prefix-map=",
        mark=Mark.PATH_MAP,
    ),
    # Clang's driver drops it, with a warning, where the input is preprocessed
    rows(Effect.BOTH, J, "-fmacro-prefix-map=", families=GCC, mark=Mark.PATH_MAP),
    # --- further files -------------------------------------------------------------------------
    rows(Effect.SIDE, F, "-gsplit-dwarf", side=Side.DWO, mark=Mark.DEBUG),
    rows(Effect.SIDE, F, "--coverage", "-coverage", "-fprofile-arcs", "-ftest-coverage", side=Side.GCNO),
    rows(Effect.SIDE, F, "-fstack-usage", side=Side.SU),
    local(Reason.SPLIT_DWARF, E, "-gsplit-dwarf"),
    local(Reason.COVERAGE, P, "-fcondition-coverage", "-fpath-coverage"),
    local(
        Reason.SIDE_OUTPUT,
        P,
        "--save-temps",
        "-fcallgraph-info",
        "-fdiagnostics-add-output",
        "-fdiagnostics-set-output",
        "-foptimization-record-file",
        "-fsave-optimization-record",
        "-ftime-trace",
        "-save-temps",
    ),
    local(Reason.SIDE_OUTPUT, S | E, "-aux-info", "-dumpbase", "-dumpbase-ext", "-dumpdir"),
    local(
        Reason.DUMP,
        P,
        "-d",
        "-fcompare-debug",
        "-fdbg-cnt",
        "-fdump-",
        "-fmem-report",
        "-fopt-info",
        "-fself-test",
        "-fstats",
        "-ftime-report",
        "-time",
    ),
    local(Reason.DUMP, F, "-Q"),
    local(Reason.DIAGNOSTICS_FORMAT, J, "-fdiagnostics-format="),
    local(Reason.DIAGNOSTICS_FORMAT, F, "-fdiagnostics-generate-patch"),
    local(Reason.PROFILE, P, "-fauto-profile", "-fbranch-probabilities", "-fprofile-"),
    local(
        Reason.EXTRA_INPUT,
        P,
        "-fembed-dir",
        "-fltrans",
        "-fresolution",
        "-fwpa",
    ),
    local(Reason.MODULES, P, "-fdeps-", "-fmodule"),
    local(Reason.PRECOMPILED_HEADER, P, "-fpch-"),
    local(Reason.RECORDED_COMMAND_LINE, F, "-frecord-gcc-switches", "-fverbose-asm"),
    local(Reason.SIDE_OUTPUT, F, "-frepo"),
    local(Reason.OFFLOAD, P, "-foffload", "-fopenmp-targets"),
)

_GCC_ONLY: tuple[tuple[OptionRow, ...], ...] = (
    rows(Effect.DRIVER, F, "-no-integrated-cpp", "-pass-exit-codes", families=GCC),
    rows(Effect.PREPROCESS, F, "-remap", families=GCC),
    rows(Effect.PREPROCESS, JS, "-A", families=GCC),
    local(Reason.COMPILER_PROGRAMS, S, "-wrapper", families=GCC),
    local(Reason.COMPILER_PROGRAMS, J, "-iplugindir=", families=GCC),
    local(Reason.DUMP, F, "-gtoggle", families=GCC),
    local(Reason.SIDE_OUTPUT, F, "-gen-decls", families=GCC),
)

GROUPS = _COMMON + _GCC_ONLY

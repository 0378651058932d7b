"""Option rows of Clang alone, beside those in `gcc`.

Sources: Clang's "Command Line Argument Reference" and ``clang --help-hidden``.

Must not know: what a job is.

Rejected: passing ``-Xclang`` and ``-mllvm`` on and trusting the worker to refuse bad ones: what
they can do (load code, write files) changes from release to release, so only a short list passes.
"""

from __future__ import annotations

import re

from zdistcc.errors import Reason
from zdistcc.toolchain.gcc import CLANG, JS, E, F, J, P, S, local, rows
from zdistcc.toolchain.options import Effect, Mark, OptionRow

_FRONTEND_WORDS = frozenset(
    {
        b"-disable-O0-optnone",
        b"-disable-llvm-optzns",
        b"-disable-llvm-passes",
        b"-fallow-half-arguments-and-returns",
        b"-fcolor-diagnostics",
        b"-fno-pch-timestamp",
        b"-fno-validate-pch",
        b"-mrelax-all",
        b"-no-opaque-pointers",
    }
)
_BACKEND_WORD = re.compile(
    rb"-(?:inline-threshold|inlinehint-threshold|inlinecold-threshold|unroll-threshold|unroll-count"
    rb"|asan-globals|asan-stack|enable-constraint-elimination|hot-cold-split|polly|vectorize-loops"
    rb"|x86-asm-syntax)(?:=[\w-]+)?"
)


def frontend_word(value: bytes) -> Reason | None:
    """``-Xclang …``."""
    return None if value in _FRONTEND_WORDS else Reason.BACKEND_OPTION


def backend_word(value: bytes) -> Reason | None:
    """``-mllvm …``."""
    return None if _BACKEND_WORD.fullmatch(value) else Reason.BACKEND_OPTION


def target_name(value: bytes) -> Reason | None:
    """A target triple or architecture."""
    return None if re.fullmatch(rb"[\w.+-]+", value) else Reason.UNKNOWN_FILE


GROUPS: tuple[tuple[OptionRow, ...], ...] = (
    rows(Effect.DRIVER, F, "--", families=CLANG),
    rows(Effect.QUERY, F, "--help-hidden", "-help", families=CLANG),
    rows(Effect.QUERY, P, "--autocomplete=", "-ccc-print-", families=CLANG),
    # --- the preprocessor ----------------------------------------------------------------------
    rows(
        Effect.PREPROCESS,
        JS,
        "-cxx-isystem",
        "-iframework",
        "-iframeworkwithsysroot",
        "-isystem-after",
        "-iwithsysroot",
        "-stdlib++-isystem",
        path=True,
        mark=Mark.SEARCH,
        families=CLANG,
    ),
    rows(
        Effect.PREPROCESS,
        F,
        "-ibuiltininc",
        "-nobuiltininc",
        "-nostdlibinc",
        mark=Mark.SEARCH,
        families=CLANG,
    ),
    rows(Effect.PREPROCESS, J, "--stdlib=", "-stdlib=", mark=Mark.SEARCH, families=CLANG),
    rows(
        Effect.DRIVER,
        J,
        "--gcc-install-dir=",
        "--gcc-toolchain=",
        mark=Mark.SEARCH,
        families=CLANG,
        path=True,
    ),
    local(
        Reason.PREPROCESSOR_OPTION,
        F,
        "-fkeep-system-includes",
        "-fminimize-whitespace",
        "-frewrite-imports",
        "-frewrite-includes",
        "-index-header-map",
        families=CLANG,
    ),
    local(Reason.DEPENDENCY_FORM, F, "-MV", families=CLANG),
    # --- the driver ----------------------------------------------------------------------------
    rows(
        Effect.DRIVER,
        F,
        "--end-no-unused-arguments",
        "--start-no-unused-arguments",
        "-canonical-prefixes",
        families=CLANG,
    ),
    # taken for GCC's sake and not used, with a warning
    rows(Effect.PREPROCESS, E | S, "--param", families=CLANG),
    rows(Effect.PREPROCESS, J, "-fmacro-prefix-map=", families=CLANG, mark=Mark.PATH_MAP),
    rows(Effect.DRIVER, J, "-fcrash-diagnostics-dir=", families=CLANG, path=True),
    local(
        Reason.COMPILER_PROGRAMS,
        S | E,
        "--config",
        "-ccc-gcc-name",
        "-gcc-toolchain",
        "-resource-dir",
        "-working-directory",
        families=CLANG,
    ),
    local(Reason.COMPILER_PROGRAMS, P, "--driver-mode=", "-fpass-plugin", families=CLANG),
    # --- the linker ----------------------------------------------------------------------------
    rows(Effect.LINK, F, "-bundle", "-dynamiclib", "-nopie", families=CLANG),
    rows(Effect.LINK, J, "--rtlib=", "--unwindlib=", "-rtlib=", "-unwindlib=", families=CLANG),
    rows(Effect.LINK, S, "-install_name", "-weak_framework", "-weak_library", families=CLANG),
    # --- the compiler itself -------------------------------------------------------------------
    rows(
        Effect.BOTH,
        F,
        "-Qn",
        "-Qunused-arguments",
        "-Qy",
        "-integrated-as",
        "-no-integrated-as",
        "-static",
        families=CLANG,
    ),
    rows(Effect.BOTH, P, "-Rpass", families=CLANG),
    rows(Effect.BOTH, E, "--target", families=CLANG, check=target_name, mark=Mark.MACHINE),
    rows(Effect.BOTH, S, "-target", families=CLANG, check=target_name, mark=Mark.MACHINE),
    rows(Effect.BOTH, S, "-arch", families=CLANG, check=target_name, mark=Mark.ARCHITECTURE),
    rows(Effect.BOTH, J, "-fcoverage-prefix-map=", families=CLANG, mark=Mark.PATH_MAP),
    rows(Effect.BOTH, S, "-meabi", "-mthread-model", families=CLANG, check=target_name, mark=Mark.MACHINE),
    rows(Effect.BOTH, S, "-fdebug-compilation-dir", families=CLANG),
    rows(Effect.BOTH, S, "-Xclang", families=CLANG, check=frontend_word),
    rows(Effect.BOTH, S, "-mllvm", families=CLANG, check=backend_word),
    rows(
        Effect.BOTH,
        J,
        "-fcoverage-compilation-dir=",
        "-fdebug-compilation-dir=",
        "-ffile-compilation-dir=",
        families=CLANG,
    ),
    local(Reason.SEVERAL_ARCHITECTURES, P, "-Xarch_", families=CLANG),
    # --- further files -------------------------------------------------------------------------
    local(Reason.NOT_A_COMPILE, F, "--analyze", "--precompile", "-verify-pch", families=CLANG),
    local(Reason.NOT_A_COMPILE, P, "-emit-", "-rewrite-", families=CLANG),
    local(Reason.UNSUPPORTED_LANGUAGE, P, "-ObjC", families=CLANG),
    local(
        Reason.SIDE_OUTPUT,
        P,
        "-fproc-stat-report",
        "-fthin-link-bitcode",
        "-gen-",
        "-objc",
        "-object-file-name",
        families=CLANG,
    ),
    local(
        Reason.SIDE_OUTPUT,
        S,
        "--serialize-diagnostics",
        "-dependency-dot",
        "-dependency-file",
        "-index-store-path",
        "-serialize-diagnostics",
        families=CLANG,
    ),
    local(Reason.SIDE_OUTPUT, JS, "-MJ", families=CLANG),
    local(Reason.COVERAGE, F, "-fcoverage-mapping", families=CLANG),
    local(Reason.PROFILE, P, "-fcs-profile-", "-fmemory-profile", "-forder-file-", families=CLANG),
    local(
        Reason.EXTRA_INPUT,
        P,
        "-fsanitize-blacklist",
        "-fsanitize-coverage-allowlist",
        "-fsanitize-coverage-blacklist",
        "-fsanitize-coverage-blocklist",
        "-fsanitize-coverage-ignorelist",
        "-fsanitize-coverage-whitelist",
        "-fsanitize-ignorelist",
        "-fsanitize-system-",
        "-fthinlto-index",
        "-fxray-always-instrument",
        "-fxray-attr-list",
        "-fxray-never-instrument",
        families=CLANG,
    ),
    local(Reason.EXTRA_INPUT, J, "-fbasic-block-sections=list=", "-fopenmp-host-ir-file-path=", families=CLANG),
    local(Reason.EXTRA_INPUT, S, "-ivfsoverlay", "-vfsoverlay", families=CLANG),
    local(Reason.MODULES, S, "-module-dependency-dir", families=CLANG),
    local(Reason.MODULES, F, "-gmodules", families=CLANG),
    local(
        Reason.MODULES,
        P,
        "-fbuild-session-",
        "-fcxx-modules",
        "-fimplicit-module",
        "-fprebuilt-",
        families=CLANG,
    ),
    local(Reason.PRECOMPILED_HEADER, S, "-include-pch", families=CLANG),
    local(
        Reason.RECORDED_COMMAND_LINE,
        F,
        "-frecord-command-line",
        "-grecord-command-line",
        "-grecord-gcc-switches",
        families=CLANG,
    ),
    local(Reason.RECORDED_COMMAND_LINE, P, "-fembed-bitcode", families=CLANG),
    local(Reason.OFFLOAD, P, "--offload", "-Xopenmp-target", families=CLANG),
)

"""Environment variables that compilers read, and what each means for a job.

Must not know: the process's own environment (it comes in as a mapping).

Not listed, because they change nothing that a job returns: ``TMPDIR``, ``LIBRARY_PATH``.
Locale variables change messages only, colours are decided by the caller.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from zdistcc.toolchain.identity import Family


class EnvEffect(enum.Enum):
    """What a variable means."""

    LOCAL = "local"
    """It changes the compiler or makes it write files: the job stays on this machine."""
    PREPROCESS = "preprocess"
    """It changes which headers or texts are read: the local preprocessor honours it."""
    COMPILE = "compile"
    """It changes the code: it has to be sent with the job."""
    MESSAGES = "messages"
    """It changes language, characters or colour of messages: it has to be sent with the job."""


_BOTH = frozenset({Family.GCC, Family.CLANG})
_GCC = frozenset({Family.GCC})
_CLANG = frozenset({Family.CLANG})

VARIABLES: dict[bytes, tuple[EnvEffect, frozenset[Family]]] = {
    b"CCC_ADD_ARGS": (EnvEffect.LOCAL, _CLANG),
    b"CCC_OVERRIDE_OPTIONS": (EnvEffect.LOCAL, _CLANG),
    b"CC_LOG_DIAGNOSTICS": (EnvEffect.LOCAL, _CLANG),
    b"CC_PRINT_HEADERS": (EnvEffect.LOCAL, _CLANG),
    b"CC_PRINT_INTERNAL_STAT": (EnvEffect.LOCAL, _CLANG),
    b"CC_PRINT_OPTIONS": (EnvEffect.LOCAL, _CLANG),
    b"CC_PRINT_PROC_STAT": (EnvEffect.LOCAL, _CLANG),
    b"CLANG_CONFIG_FILE_SYSTEM_DIR": (EnvEffect.LOCAL, _CLANG),
    b"CLANG_CONFIG_FILE_USER_DIR": (EnvEffect.LOCAL, _CLANG),
    b"COMPILER_PATH": (EnvEffect.LOCAL, _BOTH),
    b"CPATH": (EnvEffect.PREPROCESS, _BOTH),
    b"CPLUS_INCLUDE_PATH": (EnvEffect.PREPROCESS, _BOTH),
    b"C_INCLUDE_PATH": (EnvEffect.PREPROCESS, _BOTH),
    b"DEPENDENCIES_OUTPUT": (EnvEffect.LOCAL, _BOTH),
    b"GCC_COLORS": (EnvEffect.MESSAGES, _GCC),
    b"GCC_COMPARE_DEBUG": (EnvEffect.LOCAL, _GCC),
    b"GCC_EXEC_PREFIX": (EnvEffect.LOCAL, _GCC),
    b"GCC_EXTRA_DIAGNOSTIC_OUTPUT": (EnvEffect.LOCAL, _GCC),
    b"GCC_URLS": (EnvEffect.MESSAGES, _GCC),
    b"IPHONEOS_DEPLOYMENT_TARGET": (EnvEffect.COMPILE, _BOTH),
    b"LANG": (EnvEffect.MESSAGES, _BOTH),
    b"LANGUAGE": (EnvEffect.MESSAGES, _BOTH),
    b"LC_ALL": (EnvEffect.MESSAGES, _BOTH),
    b"LC_CTYPE": (EnvEffect.MESSAGES, _BOTH),
    b"LC_MESSAGES": (EnvEffect.MESSAGES, _BOTH),
    b"MACOSX_DEPLOYMENT_TARGET": (EnvEffect.COMPILE, _BOTH),
    b"NO_COLOR": (EnvEffect.MESSAGES, _CLANG),
    b"OBJCPLUS_INCLUDE_PATH": (EnvEffect.PREPROCESS, _BOTH),
    b"OBJC_INCLUDE_PATH": (EnvEffect.PREPROCESS, _BOTH),
    b"QA_OVERRIDE_GCC3_OPTIONS": (EnvEffect.LOCAL, _CLANG),
    b"SDKROOT": (EnvEffect.COMPILE, _CLANG),
    b"SOURCE_DATE_EPOCH": (EnvEffect.PREPROCESS, _BOTH),
    b"SUNPRO_DEPENDENCIES": (EnvEffect.LOCAL, _BOTH),
    b"TERM": (EnvEffect.MESSAGES, _BOTH),
    b"TERM_URLS": (EnvEffect.MESSAGES, _GCC),
    b"TVOS_DEPLOYMENT_TARGET": (EnvEffect.COMPILE, _CLANG),
    b"TZ": (EnvEffect.PREPROCESS, _BOTH),
    b"WATCHOS_DEPLOYMENT_TARGET": (EnvEffect.COMPILE, _CLANG),
}
_HARMFUL = {
    family: tuple(
        name for name, (effect, families) in VARIABLES.items() if effect is EnvEffect.LOCAL and family in families
    )
    for family in Family
}
_SENT = {
    family: tuple(
        name
        for name, (effect, families) in sorted(VARIABLES.items())
        if effect in (EnvEffect.COMPILE, EnvEffect.MESSAGES) and family in families
    )
    for family in Family
}
CODE_VARIABLES: frozenset[bytes] = frozenset(
    name for name, (effect, _) in VARIABLES.items() if effect is EnvEffect.COMPILE
)
"""Those that change the code."""


def harmful(env: Mapping[bytes, bytes], family: Family) -> bytes | None:
    """The first variable that keeps every job of this family on this machine."""
    return next((name for name in _HARMFUL[family] if name in env), None)


def to_send(env: Mapping[bytes, bytes], family: Family) -> tuple[tuple[bytes, bytes], ...]:
    """The variables that have to be set where the job is compiled, sorted by name."""
    return tuple((name, env[name]) for name in _SENT[family] if name in env)

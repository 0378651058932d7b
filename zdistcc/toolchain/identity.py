"""Compiler families."""

from __future__ import annotations

import enum


class Family(enum.StrEnum):
    """A family of compilers that share an option syntax."""

    GCC = "gcc"
    CLANG = "clang"
    INTEL = "intel"
    SUN = "sun"
    UNKNOWN = "unknown"

"""Which package makes a compiler like another one.  Pure.

Names are Debian's and Ubuntu's; elsewhere the version that is named still says what to look for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def triple(target: str) -> str:
    """Return ``target`` as Debian names packages after it (``x86-64-linux-gnu``)."""
    return target.replace("_", "-")


def package(family: str, version: str, target: str, machine: str) -> str | None:
    """Return the package with that compiler for a machine whose own target is ``machine``; ``None``: not known."""
    major = version.partition(".")[0]
    if family == "clang":
        return f"clang-{major}"
    if family == "gcc":
        cross = "" if target == machine else f"-{triple(target)}"
        return f"gcc-{major}{cross} g++-{major}{cross}"
    return None


def remedy(ours: Mapping[str, Any], theirs: list[Mapping[str, Any]], name: str) -> str:
    """Return what to install, and where, so that worker ``name`` can compile for us."""
    machine = next((row["target"] for row in theirs if row["family"] == "gcc"), ours["target"])
    wanted = package(ours["family"], ours["version"], ours["target"], machine)
    if wanted is None:
        return f"install {ours['family']} {ours['version']} for {ours['target']} on {name}"
    alike = [row for row in theirs if row["family"] == ours["family"] and row["target"] == ours["target"]]
    same_major = [row for row in alike if row["version"].partition(".")[0] == ours["version"].partition(".")[0]]
    if same_major:
        return (
            f"bring both machines to the same release of it (apt-get upgrade), or install on {name}: apt-get install "
            f"{wanted}"
        )
    here = alike and package(alike[0]["family"], alike[0]["version"], alike[0]["target"], ours["target"])
    other = f"; or compile here with what it has: apt-get install {here}" if here else ""
    return f"on {name}: apt-get install {wanted}{other}"

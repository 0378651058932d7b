"""What a worker says of itself to clients of stock distcc: the TXT keys and subtypes of ``_distcc._tcp``.  Pure.

Keys, in the order that stock daemons have them, and one of ours, by which our own clients see that this is a worker
they know by another name::

    txtvers=1  cpus=<n>  jobs=<n>  distcc=3.4  gnuhost=<triple>  cc_version=<cc -dumpversion>
    cc_machine=<cc -dumpmachine>  zdistcc=<worker id>

A stock client told ``+zeroconf`` browses one subtype only, that of its own ``cc``:
``_<machine>--<version>._sub._distcc._tcp``, in lower case, with a dash for whatever is neither letter nor digit.

Must not know: zeroconf, sockets, compilers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from zdistcc.discovery.advert import printable

DISTCC_TYPE: Final = "_distcc._tcp.local."
OWN_KEY: Final = "zdistcc"
SPOKEN: Final = "3.4"
"""The release of distcc whose protocol is spoken."""
EXTRA_JOBS: Final = 2
"""A client may have so many jobs here beyond the slots, as with a stock daemon: they hide the network."""
MAX_SUBTYPE_BYTES: Final = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelled:
    """A compiler as stock clients compare it: what it prints for ``-dumpmachine`` and ``-dumpversion``."""

    machine: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DistccAd:
    """A worker for stock clients.  ``compilers``: the machine's ``cc`` first, if it has one."""

    id: str
    name: str
    cpus: int
    slots: int
    gnuhost: str
    compilers: tuple[Spelled, ...]
    port: int


def to_txt(ad: DistccAd, compiler: Spelled | None) -> dict[str, str]:
    """Return the TXT keys for ``ad`` as far as it concerns ``compiler``."""
    own = {"cc_version": compiler.version, "cc_machine": compiler.machine} if compiler else {}
    return {
        "txtvers": "1",
        "cpus": str(ad.cpus),
        "jobs": str(ad.slots + EXTRA_JOBS),
        "distcc": SPOKEN,
        "gnuhost": ad.gnuhost,
        **own,
        OWN_KEY: ad.id,
    }


def subtype(compiler: Spelled) -> str:
    """Return the subtype's label."""
    return "_" + re.sub(r"[^a-z0-9]", "-", f"{compiler.machine}--{compiler.version}".lower())


def subtypes(compilers: Sequence[Spelled]) -> dict[str, Spelled]:
    """Return the labels to announce, each once; one that DNS cannot hold is left out."""
    found: dict[str, Spelled] = {}
    for compiler in compilers:
        label = subtype(compiler)
        if len(label) <= MAX_SUBTYPE_BYTES:
            found.setdefault(label, compiler)
    return found


def instance(ad: DistccAd, number: int) -> str:
    """Return the name of an instance: never one that a stock daemon on the same machine has (``distcc@HOST``)."""
    tail = f" {ad.id[:8]}" + (f" {number}" if number else "")
    name = printable(ad.name).replace(".", "-")
    while len(f"distcc@{name}{tail}".encode()) > 63:
        name = name[:-1]
    return f"distcc@{name}{tail}"

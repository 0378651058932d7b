"""What a worker says of itself in DNS-SD: TXT records <-> :class:`WorkerAd`.

Service ``_zdistcc._tcp``.  Keys, in this order (a value of more than 255 - key bytes is never made)::

    txtvers=1  id=<worker id>  ver=<zdistcc version>  proto=<protocol>  slots=<n>  name=<shown name>
    c0=<family>|<version>|<target>|<first 8 digits of the build id>  c1=…  …
    more=<n>    that many compilers found no room; the greeting on the connection has them all

The whole is kept under ``MAX_TXT_BYTES``, so that it fits one Ethernet frame with the rest of the answer.  What
comes in is hostile until parsed: lengths and characters are checked, unknown keys ignored, a record
without id or with another txtvers is no worker.

Must not know: zeroconf, sockets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

SERVICE_TYPE: Final = "_zdistcc._tcp.local."
MAX_TXT_BYTES: Final = 1300
_TXT_VERSION: Final = "1"
_BUILD_DIGITS: Final = 8
_ID: Final = re.compile(r"[0-9a-f]{8,64}")
_WORD: Final = re.compile(r"[A-Za-z0-9_.+~-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdCompiler:
    """A compiler as advertised: enough to see whether connecting is worth while."""

    family: str
    version: str
    target: str
    build: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerAd:
    """What a worker advertises.  ``hidden`` compilers found no room; ``addresses`` are numeric, with scope ids."""

    id: str
    name: str
    version: str
    protocol: int
    slots: int
    compilers: tuple[AdCompiler, ...]
    hidden: int = 0
    addresses: tuple[str, ...] = ()
    port: int = 0


def printable(text: str, limit: int = 64) -> str:
    """Return ``text`` without anything that could act on a terminal, cut to ``limit`` characters."""
    return "".join(character if character.isprintable() else "?" for character in text)[:limit]


def to_txt(ad: WorkerAd) -> dict[str, str]:
    """Return the TXT keys for ``ad``, in order, within ``MAX_TXT_BYTES``."""
    txt = {
        "txtvers": _TXT_VERSION,
        "id": ad.id,
        "ver": ad.version,
        "proto": str(ad.protocol),
        "slots": str(ad.slots),
        "name": ad.name.encode()[:63].decode("utf-8", "ignore"),
    }
    room = MAX_TXT_BYTES - sum(_entry_size(key, value) for key, value in txt.items()) - _entry_size("more", "999")
    left_out = 0
    for number, compiler in enumerate(ad.compilers):
        key = f"c{number - left_out}"
        value = "|".join((compiler.family, compiler.version, compiler.target, compiler.build[:_BUILD_DIGITS]))
        size = _entry_size(key, value)
        if size > room or size > 256:
            left_out += 1
            continue
        room -= size
        txt[key] = value
    if left_out or ad.hidden:
        txt["more"] = str(left_out + ad.hidden)
    return txt


def _entry_size(key: str, value: str) -> int:
    return 1 + len(key.encode()) + 1 + len(value.encode())


def from_txt(txt: Mapping[bytes, bytes | None], addresses: Sequence[str], port: int) -> WorkerAd | None:
    """Return what the TXT keys say, or ``None`` when they do not describe a worker."""
    values: dict[str, str] = {}
    for key, value in txt.items():
        if value is not None and len(value) <= 255:
            values[key.decode("ascii", "replace").lower()] = value.decode("utf-8", "replace")
    if values.get("txtvers") != _TXT_VERSION or not _ID.fullmatch(values.get("id", "")) or not 0 < port < 65536:
        return None
    compilers = []
    for number in range(256):
        text = values.get(f"c{number}")
        if text is None:
            break
        parts = text.split("|")
        if len(parts) == 4 and all(_WORD.fullmatch(part) for part in parts):
            compilers.append(AdCompiler(family=parts[0], version=parts[1], target=parts[2], build=parts[3]))
    return WorkerAd(
        id=values["id"],
        name=printable(values.get("name", "")) or values["id"][:8],
        version=printable(values.get("ver", ""), 32),
        protocol=_number(values.get("proto")),
        slots=_number(values.get("slots")),
        compilers=tuple(compilers),
        hidden=_number(values.get("more")),
        addresses=tuple(addresses),
        port=port,
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 7 else 0

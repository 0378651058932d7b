"""What a stock ``distccd`` says of itself in DNS-SD: TXT records -> :class:`StockAd`.

Service ``_distcc._tcp``, instance ``distcc@HOSTNAME``.  Keys::

    txtvers=1  cpus=<n>  jobs=<n>  distcc=<version>  gnuhost=<triple>  [cc_version=<n[.n]>  cc_machine=<triple>]
    zdistcc=<worker id>     only from a zdistcc worker, which announces itself to stock clients as well

``cc_version`` is the major version alone for most compilers ("12"), and of the default one alone: it is shown, and
nothing is concluded from it.  What comes in is hostile until parsed.

Must not know: zeroconf, sockets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from zdistcc.discovery.advert import printable

SERVICE_TYPE: Final = "_distcc._tcp.local."
DEFAULT_JOBS: Final = 4
"""What a stock client gives to a host of which it knows nothing more."""
MAX_JOBS: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class StockAd:
    """What a stock daemon advertises; ``id`` is its instance's name, ``worker`` the zdistcc worker that it is."""

    id: str
    name: str
    addresses: tuple[str, ...]
    port: int
    cpus: int = 0
    jobs: int = DEFAULT_JOBS
    version: str = ""
    compiler_version: str = ""
    compiler_target: str = ""
    worker: str = ""


def from_txt(instance: str, txt: Mapping[bytes, bytes | None], addresses: Sequence[str], port: int) -> StockAd | None:
    """Return what the TXT keys say, or ``None`` when they do not describe a daemon."""
    values: dict[str, str] = {}
    for key, value in txt.items():
        if value is not None and len(value) <= 255:
            values[key.decode("ascii", "replace").lower()] = value.decode("utf-8", "replace")
    if values.get("txtvers") != "1" or not 0 < port < 65536 or not addresses:
        return None
    own = instance.removesuffix("." + SERVICE_TYPE)
    return StockAd(
        id=own[:255],
        name=printable(own.removeprefix("distcc@")) or "distccd",
        addresses=tuple(addresses),
        port=port,
        cpus=_number(values.get("cpus"), 0),
        jobs=_number(values.get("jobs"), DEFAULT_JOBS),
        version=printable(values.get("distcc", ""), 32),
        compiler_version=printable(values.get("cc_version", ""), 32),
        compiler_target=printable(values.get("cc_machine", "") or values.get("gnuhost", "")),
        worker=printable(values.get("zdistcc", "")),
    )


def _number(text: str | None, default: int) -> int:
    number = int(text) if text and text.isascii() and text.isdigit() and len(text) < 7 else 0
    return min(number, MAX_JOBS) or default

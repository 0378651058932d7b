"""Which compiler is it, and may that one stand in for this one?

A job needs a :class:`CompilerId`; a worker offers a list of :class:`Offer`.  What a command was *called*
plays no part: ``cc``, ``gcc-12`` and ``x86_64-linux-gnu-gcc`` may be one id.  Everything here works on
text that a compiler has printed; running it is the business of ``probe``.

The build id is a digest over an *allow-list* of the statements a compiler makes about itself.  Leaving
out the lines that are known to vary (``COLLECT_GCC``, ``InstalledDir``, ``OFFLOAD_TARGET_NAMES``, search
paths) was rejected: the next release prints a new one and the ids of equal compilers drift apart.

Vendors that number their own fork (Apple, AMD, Android) have the fork in their version, ``15.0.0-apple``:
Apple's clang 15.0.0 is not LLVM's.

Must not know: processes, files, the network.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

BUILD_ID_HEX_DIGITS = 32


class Family(enum.StrEnum):
    """Compilers that understand each other's options."""

    GCC = "gcc"
    CLANG = "clang"
    INTEL = "intel"
    SUN = "sun"
    UNKNOWN = "unknown"


class Language(enum.StrEnum):
    """What a compiler can be asked to read; the words ``-x`` takes."""

    C = "c"
    CXX = "c++"
    OBJC = "objective-c"
    OBJCXX = "objective-c++"
    ASSEMBLER = "assembler"


class Match(enum.Enum):
    """How alike need and offer must be."""

    EXACT = "exact"
    SAME_VERSION = "same-version"
    SAME_MAJOR = "same-major"


class Difference(enum.IntEnum):
    """What differs; the higher, the nearer the miss."""

    FAMILY = 1
    VERSION = 2
    TARGET = 3
    BUILD = 4
    LANGUAGE = 5
    PROTOCOL = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilerId:
    """One build of one compiler for one target.

    ``version`` is the full dotted one (12.2.0), ``target`` the triple as the compiler spells it,
    ``build_id`` 32 hexadecimal digits: equal means that it says exactly the same of itself.
    """

    family: Family
    version: str
    target: str
    build_id: str

    def __str__(self) -> str:
        return f"{self.family} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A compiler somebody can run: its id, the languages it reads, (clang) all the architectures it knows.

    ``plain``: it is fed preprocessed text and nothing else, as a stock distccd is.
    """

    id: CompilerId
    languages: frozenset[str]
    architectures: frozenset[str] = frozenset()
    plain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """Why an offer does not serve a need.  ``sentence`` has the offering host as its subject."""

    what: Difference
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfDescription:
    """What a compiler said of itself.

    ``statements`` are the lines that go into the build id, ``consulted`` the files that change what it does
    (specs, configuration files), ``called_as`` the name its driver was started under, where it says so.
    """

    family: Family
    version: str
    target: str
    statements: tuple[str, ...]
    consulted: tuple[str, ...] = ()
    called_as: str = ""
    languages: frozenset[str] = field(default_factory=frozenset)


# --- may it serve -------------------------------------------------------------------------------------


def matches(
    need: CompilerId, offer: Offer, level: Match, language: str | None = None, *, plain: bool = True
) -> Mismatch | None:
    """None if ``offer`` may compile what was meant for ``need``, else the first thing that differs.

    ``plain``: preprocessed text is all that has to be sent.
    """
    has = offer.id
    if Family.UNKNOWN in (need.family, has.family) or need.family != has.family:
        return Mismatch(what=Difference.FAMILY, sentence=f"has {has}, this job needs {need}")
    if level is Match.SAME_MAJOR:
        same = major_version(need.family, need.version) == major_version(has.family, has.version)
    else:
        same = need.version == has.version
    if not same:
        return Mismatch(what=Difference.VERSION, sentence=f"has {has}, this job needs {need}")
    if not serves_target(need.target, offer):
        return Mismatch(
            what=Difference.TARGET,
            sentence=f"has {has} for {has.target}, this job needs it for {need.target}",
        )
    if level is Match.EXACT and need.build_id != has.build_id:
        return Mismatch(
            what=Difference.BUILD,
            sentence=f"has another build of {has} ({has.build_id[:8]}), this job needs {need.build_id[:8]}",
        )
    if language is not None and language not in offer.languages:
        return Mismatch(what=Difference.LANGUAGE, sentence=f"has {has} without {language}")
    if offer.plain and not plain:
        return Mismatch(what=Difference.PROTOCOL, sentence="speaks distcc's protocol, which is not exact for this job")
    return None


def best_match(
    need: CompilerId, offers: Iterable[Offer], level: Match, language: str | None = None, *, plain: bool = True
) -> Offer | Mismatch | None:
    """The offer to use, the equal build first; else the nearest miss; None if nothing is offered."""
    fitting: Offer | None = None
    nearest: Mismatch | None = None
    for offer in offers:
        miss = matches(need, offer, level, language, plain=plain)
        if miss is None:
            if offer.id == need:
                return offer
            fitting = fitting or offer
        elif nearest is None or miss.what > nearest.what:
            nearest = miss
    return fitting or nearest


def major_version(family: Family, version: str) -> str:
    """The part within which a family keeps its ABI; gcc before 5 counted in two fields."""
    number, _, fork = version.partition("-")
    fields = number.split(".")
    keep = 2 if family is Family.GCC and fields[0] in ("2", "3", "4") else 1
    return "-".join(filter(None, (".".join(fields[:keep]), fork)))


def serves_target(target: str, offer: Offer) -> bool:
    """True if code for ``target`` can come from ``offer``: it is its own, or clang knows the architecture."""
    if canonical_target(target) == canonical_target(offer.id.target):
        return True
    return llvm_architecture(target) in offer.architectures


# Fields that name who built a system, not what it is.
_VENDORS = frozenset({"pc", "unknown", "redhat", "suse", "alpine", "gentoo", "none", "slackware", "openwrt", "oe"})
_ARCHITECTURE_ALIASES = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "powerpc64le": "ppc64le",
    "powerpc64": "ppc64",
}


@lru_cache(maxsize=256)
def canonical_target(triple: str) -> str:
    """A triple as it can be compared: no vendor, one name per architecture, the C library spelled out.

    ``x86_64-redhat-linux``, ``x86_64-pc-linux-gnu`` and ``x86_64-linux-gnu`` are one target.
    """
    architecture, *rest = triple.lower().split("-")
    architecture = _ARCHITECTURE_ALIASES.get(architecture, architecture)
    rest = [part for part in rest if part not in _VENDORS]
    if "linux" in rest:
        rest = [*rest[rest.index("linux") :]]
        if len(rest) == 1:
            rest.append("gnu")
    return "-".join((architecture, *rest))


# Triple's first field -> the name in `clang -print-targets`; first row that matches.
_LLVM_ARCHITECTURES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"x86_64h?|amd64", "x86-64"),
        (r"i[3-9]86|x86", "x86"),
        (r"(aarch64|arm64)_be", "aarch64_be"),
        (r"(aarch64|arm64)_32", "aarch64_32"),
        (r"aarch64|arm64e?|arm64ec", "aarch64"),
        (r"thumbeb.*", "thumbeb"),
        (r"thumb.*", "thumb"),
        (r"armeb.*|armv\d+[a-z]*eb", "armeb"),
        (r"arm|armv[\d.]+[a-z]*|xscale", "arm"),
        (r"(powerpc|ppc)64le", "ppc64le"),
        (r"(powerpc|ppc)64", "ppc64"),
        (r"(powerpc|ppc)le", "ppc32le"),
        (r"powerpc|ppc", "ppc32"),
        (r"s390x", "systemz"),
        (r"(mips64|mipsisa64r6)el", "mips64el"),
        (r"mips64|mipsisa64r6", "mips64"),
        (r"(mips|mipsisa32r6)el", "mipsel"),
        (r"mips|mipsisa32r6", "mips"),
        (r"sparc64|sparcv9", "sparcv9"),
        (r"sparcel", "sparcel"),
        (r"sparc", "sparc"),
        (
            r"riscv32|riscv64|loongarch32|loongarch64|wasm32|wasm64|hexagon|avr|msp430|m68k|bpfe[bl]|bpf",
            r"\g<0>",
        ),
    )
)


def llvm_architecture(triple: str) -> str:
    """LLVM's name for the architecture of ``triple``; empty if it is none we know."""
    first = triple.lower().partition("-")[0]
    for pattern, name in _LLVM_ARCHITECTURES:
        if found := pattern.fullmatch(first):
            return found.expand(name)
    return ""


# --- what they print -----------------------------------------------------------------------------------

_GCC_VERSION = re.compile(r"^gcc version (\d+(?:\.[\dx]+)*)", re.M)
# The lines by which builds of one gcc version differ.  "compiled by" names GMP, MPFR and MPC, which fold
# constants; the checksum is one over the compiler proper, made when it was linked.
_GCC_STATEMENT = re.compile(
    r"^(?:Target: |Configured with: |Thread model: |Supported LTO compression algorithms: |gcc version "
    r"|\tcompiled by |Compiler executable checksum: ).*$",
    re.M,
)
_GCC_SPECS = re.compile(r"^Reading specs from (.+)$", re.M)
_COLLECT_GCC = re.compile(r"^COLLECT_GCC=(.*)$", re.M)
_TARGET = re.compile(r"^Target: (\S+)", re.M)

_CLANG_VERSION = re.compile(r"^(?:(.+?) )?(?:clang|LLVM) version (\d+(?:\.\d+)*)", re.M)
_CLANG_STATEMENT = re.compile(r"^(?:(?:.+ )?(?:clang|LLVM) version |Thread model: |Intel\(R\) ).*$", re.M)
_CLANG_CONFIGURATION = re.compile(r"^Configuration file: (.+)$", re.M)
_CLANG_FORKS = {"Apple": "apple", "AMD": "amd", "AOCC": "amd", "Android": "android"}

_ICX_VERSION = re.compile(r"^Intel\(R\) .*Compiler (?:for applications running on \S+, Version )?(\d+(?:\.\d+)+)", re.M)
_ICC_VERSION = re.compile(r"^(?:icc|icpc)(?: version | \((?:ICC|ICPC|ICCI?)\) )(\d+(?:\.\d+)*)(.*)$", re.M)
_SUN_VERSION = re.compile(r"^(?:cc|CC|suncc|sunCC): (?:.*\b)?Sun (C|C\+\+) (\d+(?:\.\d+)*) (\w+?)_(\w+)(.*)$", re.M)

_EVERY_LANGUAGE = frozenset(Language)


def parse_gcc_v(text: str) -> SelfDescription | None:
    """``gcc -v``, with or without the compilation of a file after it.  None if it is not gcc's text."""
    version, target = _GCC_VERSION.search(text), _TARGET.search(text)
    if version is None or target is None or parse_clang_v(text) is not None:
        return None
    called_as = _COLLECT_GCC.search(text)
    return SelfDescription(
        family=Family.GCC,
        version=version[1],
        target=target[1],
        # cc1 introduces itself twice, and later ones leave one away: each statement counts once.
        statements=tuple(dict.fromkeys(line.strip() for line in _GCC_STATEMENT.findall(text))),
        consulted=tuple(_GCC_SPECS.findall(text)),
        called_as=called_as[1] if called_as else "",
    )


def parse_clang_v(text: str) -> SelfDescription | None:
    """``clang -v``: LLVM's, the distributions', Apple's under whatever name, and forks of it."""
    version, target = _CLANG_VERSION.search(text), _TARGET.search(text)
    if version is None or target is None:
        return None
    vendor = version[1] or ""
    fork = next((fork for name, fork in _CLANG_FORKS.items() if vendor.startswith(name)), None)
    return SelfDescription(
        family=Family.CLANG,
        version="-".join(filter(None, (version[2], fork))),
        target=target[1],
        # Not the target: one build under a prefixed name has another, and serves both.
        statements=tuple(dict.fromkeys(_CLANG_STATEMENT.findall(text))),
        consulted=tuple(_CLANG_CONFIGURATION.findall(text)),
        languages=_EVERY_LANGUAGE,
    )


def parse_icx_v(text: str) -> SelfDescription | None:
    """``icx -v``: Intel's compiler on clang's frame, with Intel's own numbering."""
    version, target = _ICX_VERSION.search(text), _TARGET.search(text)
    if version is None or target is None:
        return None
    return SelfDescription(
        family=Family.INTEL,
        version=version[1],
        target=target[1],
        statements=tuple(dict.fromkeys(_CLANG_STATEMENT.findall(text))),
        consulted=tuple(_CLANG_CONFIGURATION.findall(text)),
        languages=frozenset({Language.C, Language.CXX, Language.ASSEMBLER}),
    )


def parse_icc_v(text: str) -> SelfDescription | None:
    """``icc -v`` or ``icc --version`` (classic).  It does not name its target: ``target`` is empty."""
    version = _ICC_VERSION.search(text)
    if version is None:
        return None
    return SelfDescription(
        family=Family.INTEL,
        version=version[1],
        target="",
        statements=(f"icc {version[1]}{version[2]}",),
        languages=frozenset({Language.C, Language.CXX, Language.ASSEMBLER}),
    )


def parse_sun_version(text: str) -> SelfDescription | None:
    """``suncc -V``, ``sunCC -V``: two programs, each for its own language."""
    version = _SUN_VERSION.search(text)
    if version is None:
        return None
    system = {"SunOS": "solaris", "Linux": "linux"}.get(version[3], version[3].lower())
    return SelfDescription(
        family=Family.SUN,
        version=version[2],
        target=f"{version[4]}-sun-{system}",
        statements=(f"Sun {version[1]} {version[2]} {version[3]}_{version[4]}{version[5]}",),
        languages=frozenset({Language.CXX if version[1] == "C++" else Language.C}),
    )


# icx before clang and clang before gcc: each of them prints enough of the next one's text to be taken for it.
_PARSERS = (parse_icx_v, parse_clang_v, parse_icc_v, parse_gcc_v, parse_sun_version)


def parse_self_description(text: str) -> SelfDescription | None:
    """Whose text it is, decided by the text alone; None if no compiler we know."""
    for parse in _PARSERS:
        if (found := parse(text)) is not None:
            return found
    return None


def parse_llvm_targets(text: str) -> frozenset[str]:
    """``clang -print-targets`` -> the names before the dashes."""
    _, _, table = text.partition("Registered Targets:")
    return frozenset(line.split()[0] for line in table.splitlines() if " - " in line)


def build_digest(statements: Sequence[str]) -> str:
    """The build id of a compiler that makes these statements, in this order."""
    joined = "\0".join(statements).encode("utf-8", "surrogateescape")
    return hashlib.sha256(joined).hexdigest()[:BUILD_ID_HEX_DIGITS]

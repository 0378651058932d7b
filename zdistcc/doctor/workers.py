"""What is the matter with each worker, from all that is known of it.  Pure.

Known are: its row in ``zdistcc hosts --json``, how each of its addresses answers a TCP connection, and what
became of a trial job there.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from zdistcc.doctor import packages
from zdistcc.doctor.finding import Finding, bad, good, note

CHECK: Final = "worker"
MOST_SKEW_S: Final = 5.0
MULTICAST: Final = "udp 5353"


class Knock(enum.Enum):
    """How an address answers a connection."""

    OPEN = "open"
    REFUSED = "refused"
    SILENT = "silent"
    NO_WAY = "no way"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """One address of a worker: the answer, and after which time in milliseconds."""

    address: str
    knock: Knock
    ms: float = 0.0

    def __str__(self) -> str:
        return f"{self.address} {self.ms:.1f} ms" if self.knock is Knock.OPEN else f"{self.address} {self.knock.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of a trial job on a worker: ``ok``, or the sentence that says why not."""

    ok: bool
    sentence: str = ""
    remedy: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Firewall:
    """The tool with which this machine's firewall is told things, as far as can be seen."""

    tool: str = ""

    def opens(self, port: str) -> str:
        """Return the command that lets ``port`` (``tcp 3633``) in."""
        protocol, number = port.split()
        lines = {
            "ufw": f"ufw allow {number}/{protocol}",
            "firewall-cmd": f"firewall-cmd --add-port={number}/{protocol} && firewall-cmd --runtime-to-permanent",
            "nft": f"nft insert rule inet filter input {protocol} dport {number} accept",
        }
        return lines[self.tool] if self.tool in lines else "  or  ".join(lines.values())


def examine(
    row: Mapping[str, Any],
    reaches: Sequence[Reach],
    trial: Trial | None,
    *,
    ours: Mapping[str, Any] | None,
    version: str,
) -> Iterator[Finding]:
    """Yield what is found of one worker: one line for what it is good for, and one for each further matter."""
    name = row["name"]
    if row["state"] in ("unreachable", "connecting", "lost"):
        yield _unreached(row, reaches)
    elif row["state"] == "refusing":
        remedy = f"on {name}: look at the log of distccd; distccd --allow NETWORK lets this machine in"
        yield bad(CHECK, f"distccd refuses: {row['reason']}", remedy, name)
    elif row["state"] == "off":
        yield note(CHECK, str(row["reason"]), subject=name)
    elif row["state"] == "incompatible":
        yield _unlike(row, ours)
    elif row["state"] in ("quarantined", "backoff"):
        yield bad(CHECK, f"{row['state']}: {row['reason']}", f"look at the log of zdistccd on {name}; restart it", name)
    elif trial is not None and not trial.ok:
        remedy = trial.remedy or f"look at the log of zdistccd on {name}"
        yield bad(CHECK, f"a trial job fails there: {trial.sentence}", remedy, name)
    else:
        yield _well(row, reaches, trial)
    yield from _further(row, reaches, version)


def _well(row: Mapping[str, Any], reaches: Sequence[Reach], trial: Trial | None) -> Finding:
    parts = [", ".join(str(reach) for reach in reaches if reach.knock is Knock.OPEN) or str(row["address"])]
    parts.append(f"{row['running']} of {row['slots']} slots busy")
    if trial is not None:
        parts.append(f"a trial job came back right in {trial.seconds * 1000:.0f} ms")
    if row["state"] == "draining":
        return note(CHECK, "; ".join(["draining: it takes no new jobs", *parts]), subject=row["name"])
    if row.get("limited"):
        return note(CHECK, "; ".join([f"limited: {row['limited']}", *parts]), subject=row["name"])
    return good(CHECK, "; ".join(parts), row["name"])


def _unreached(row: Mapping[str, Any], reaches: Sequence[Reach]) -> Finding:
    name, port = row["name"], row["port"]
    if row.get("reach") == "ssh":
        said, _, remedy = (row["reason"] or "no answer yet").partition("; ")
        return bad(
            CHECK, f"not reached through ssh: {said}", remedy or "try by hand: ssh HOST zdistccd --version", name
        )
    knocks = {reach.knock for reach in reaches}
    where = ", ".join(map(str, reaches)) or "no address is known"
    reason = row["reason"] or ""
    if Knock.OPEN in knocks:
        if "--allow" in reason or "--deny" in reason:
            said, _, remedy = reason.partition("; ")
            return bad(CHECK, f"it refuses this machine: {said}", f"on {name}: {remedy}", name)
        return bad(CHECK, f"connected, but not served: {reason}", f"look at the log of zdistccd on {name}", name)
    if Knock.SILENT in knocks:
        return bad(
            CHECK,
            f"nothing comes back from TCP port {port} ({where}): a firewall drops it, or the machine sleeps",
            f"on {name}, as root: {Firewall().opens(f'tcp {port}')}",
            name,
        )
    if Knock.REFUSED in knocks:
        return bad(
            CHECK,
            f"nobody listens on TCP port {port} ({where}): zdistccd was stopped, or a firewall rejects it",
            f"on {name}: zdistccd status",
            name,
        )
    return bad(CHECK, f"no way leads there ({where})", "check cable, Wi-Fi and routes of both machines", name)


def _unlike(row: Mapping[str, Any], ours: Mapping[str, Any] | None) -> Finding:
    name, reason = row["name"], row["reason"] or "no compiler of it fits"
    if ours is None:
        return bad(CHECK, reason, "install a C compiler on this machine", name)
    return bad(CHECK, f"it {reason}", packages.remedy(ours, row["compilers"], name), name)


def _further(row: Mapping[str, Any], reaches: Sequence[Reach], version: str) -> Iterator[Finding]:
    name = row["name"]
    ways = set(row["ways"])
    if row["address"] and row.get("reach") != "ssh" and not ways & {"announced", "listed"}:
        yield bad(
            CHECK,
            f"its announcements do not arrive here (it is known because it was {', '.join(sorted(ways))})",
            f"let multicast ({MULTICAST}) through on {name} and between: {Firewall().opens(MULTICAST)}; on an access "
            "point switch off client isolation",
            name,
        )
    open_ones = [reach for reach in reaches if reach.knock is Knock.OPEN]
    closed = [reach for reach in reaches if reach.knock is not Knock.OPEN]
    if open_ones and closed:
        yield note(CHECK, f"not by all of its addresses: {', '.join(map(str, closed))}", subject=name)
    if row["version"] and row["version"] != version and row.get("protocol") != "distcc":
        yield note(
            CHECK, f"runs zdistcc {row['version']}, this machine {version}", "install the same version on both", name
        )
    skew = row.get("clock_skew_s")
    if skew is not None and abs(skew) > MOST_SKEW_S:
        ahead = "ahead of" if skew > 0 else "behind"
        yield note(
            CHECK,
            f"its clock is {abs(skew):.0f} s {ahead} this machine's: jobs do not mind, logs are hard to compare",
            f"on {name}: timedatectl set-ntp true",
            name,
        )

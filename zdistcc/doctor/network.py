"""The network, as far as this machine can try it: interfaces, multicast heard back, workers nobody announced."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from zdistcc.discovery import interfaces as nics
from zdistcc.discovery.echo import is_heard
from zdistcc.discovery.interfaces import Interface
from zdistcc.discovery.mdns import NoMulticast
from zdistcc.doctor.ask import Denies, Seen, ask_worker, knock
from zdistcc.doctor.finding import Finding, bad, good, note
from zdistcc.doctor.workers import MULTICAST, Firewall, Knock
from zdistcc.errors import InfraError

LARGEST_SWEEP: Final = 256
"""Addresses of a network that are knocked at, one by one; of a larger one only known neighbours are."""
SWEEP_AT_ONCE: Final = 64
SWEEP_TIMEOUT_S: Final = 0.5


def firewall() -> Firewall:
    """Return what this machine's firewall is set with."""
    return Firewall(tool=next((tool for tool in ("ufw", "firewall-cmd", "nft") if shutil.which(tool)), ""))


def interfaces(chosen: Sequence[Interface]) -> Iterator[Finding]:
    """Yield which interfaces are used, and which are not, and why."""
    names = {interface.name for interface in chosen}
    for interface in chosen:
        yield good("interface", f"used: {', '.join(interface.addresses)}", interface.name)
    if all(map(nics.is_loopback, chosen)):
        yield bad("interface", "only loopback is there: no other machine can be found", "connect to a network")
    for interface in nics.all_interfaces():
        if interface.name not in names and not nics.is_loopback(interface):
            owner = nics.why_left_out(interface.name) or "others were chosen"
            yield note(
                "interface",
                f"left out ({owner}): {', '.join(interface.addresses)}",
                f"ZDISTCC_INTERFACE={interface.name} uses it" if owner != "loopback" else "",
                interface.name,
            )


async def multicast(interface: Interface) -> Finding:
    """Return whether what is announced on ``interface`` is heard there, by another socket of this machine."""
    subject = interface.name
    remedy = f"let multicast ({MULTICAST}) in: {firewall().opens(MULTICAST)}"
    try:
        heard = await is_heard(interface)
    except NoMulticast as error:
        return bad("multicast", f"mDNS cannot be used: {error}", "is another program alone on UDP port 5353?", subject)
    except OSError as error:
        return bad("multicast", f"sending failed: {error.strerror}", remedy, subject)
    if heard:
        return good("multicast", "an announcement was sent and heard", subject)
    return bad(
        "multicast", "an announcement was sent, but not heard: this machine's firewall drops it", remedy, subject
    )


def around(interface: Interface) -> list[str]:
    """Return the IPv4 addresses next to this machine: all of a small network, the known neighbours in a large one."""
    found: list[str] = []
    for network, own in nics.networks(interface):
        if network.num_addresses <= LARGEST_SWEEP and network.is_private:
            found += [str(address) for address in network.hosts() if str(address) != own]
    return found or neighbours(interface.name)


def neighbours(interface: str, table: str | None = None) -> list[str]:
    """Return the addresses on ``interface`` that this machine has spoken to lately."""
    if table is None:
        try:
            with open("/proc/net/arp", encoding="ascii", errors="replace") as file:
                table = file.read()
        except OSError:
            return []
    rows = [line.split() for line in table.splitlines()[1:]]
    return [row[0] for row in rows if len(row) == 6 and row[5] == interface and row[3] != "00:00:00:00:00:00"]


async def sweep(addresses: Iterable[str], port: int) -> list[str]:
    """Return those of ``addresses`` that accept a connection on ``port``."""
    turn = asyncio.Semaphore(SWEEP_AT_ONCE)

    async def one(address: str) -> str | None:
        async with turn:
            reach = await knock(address, port, SWEEP_TIMEOUT_S)
            return address if reach.knock is Knock.OPEN else None

    found = await asyncio.gather(*(one(address) for address in addresses))
    return [address for address in found if address is not None]


async def unannounced(addresses: Iterable[str], port: int, known: frozenset[str]) -> list[Finding]:
    """Return the workers at ``addresses`` whose id is not ``known``: they run, and are not heard of."""
    findings = []
    for address in await sweep(addresses, port):
        try:
            seen = await asyncio.to_thread(ask_worker, port, address)
        except Denies as error:
            findings.append(bad("worker", f"it refuses this machine: {error}", "see the remedy that it names", address))
            continue
        except InfraError:
            continue  # something else uses the port there
        if seen.id not in known:
            findings.append(_not_heard(seen, address))
    return findings


def _not_heard(seen: Seen, address: str) -> Finding:
    return bad(
        "worker",
        f"zdistccd runs at {address}, but its announcements do not arrive here",
        f"let multicast ({MULTICAST}) through on {seen.name} and between: {Firewall().opens(MULTICAST)}; until then: "
        f"export ZDISTCC_PEERS={address}",
        seen.name,
    )

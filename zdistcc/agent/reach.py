"""How workers are reached: over TCP, or through ssh, one ssh for each, kept for all jobs.

A worker that was named as ``user@host`` is reached through ssh.  With the setting ``reach = ssh`` so are all others: no
connection of the agent's own leaves this machine then.  These are known by an address and by the name that they say
they have; ssh is told to connect to the address and to expect the key, and to use the settings, that the user has for
that name, so that who merely claims a name is found out.

Must not know: what is said on a connection.
"""

from __future__ import annotations

import asyncio
import shlex
import socket
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zdistcc.config import Config
from zdistcc.discovery import hostspec
from zdistcc.errors import InfraError
from zdistcc.net.drive import Link
from zdistcc.net.race import Address, connect, preference
from zdistcc.net.ssh import AT_ONCE, Found, Ssh, SshDenied, SshHost, Tunnel, known_as

GREETING_TIMEOUT_S: Final = 2.0
TUNNEL_GREETING_S: Final = 60.0
"""A worker that ssh has to begin looks for its compilers first."""


class StockOnly(InfraError):
    """There is a distccd, and no zdistccd."""


class NativeOnly(InfraError):
    """There is a zdistccd, and no distccd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A connection that was made: to ``address``, or through ``tunnel``; ``place`` is how that is shown."""

    place: str
    greeting_s: float
    address: Address | None = None
    tunnel: Tunnel | None = None

    def why(self, cause: InfraError) -> InfraError:
        """Return why it was lost: what ssh said, if that was the cause."""
        words = self.tunnel.words() if self.tunnel is not None else ""
        return InfraError(words.splitlines()[-1]) if words else cause

    def close(self) -> None:
        """End what the connection needed beside its socket."""
        if self.tunnel is not None:
            self.tunnel.close()


def ssh_of(config: Config, env: Mapping[str, str], runtime: Path) -> Ssh:
    """Return how ssh is run: as configured, else as distcc is told."""
    try:
        inherited = tuple(shlex.split(env.get("DISTCC_SSH", "")))
    except ValueError:
        inherited = ()
    return Ssh(program=config.ssh or inherited or ("ssh",), env=env, sockets=runtime)


def ssh_host(spec: hostspec.HostSpec) -> SshHost:
    """Return where a specification of the form ``user@host`` leads."""
    return SshHost(host=spec.host, user=spec.user, command=spec.command)


class Reach:
    """Opens connections."""

    def __init__(self, ssh: Ssh, *, only_ssh: bool = False, user: str = "") -> None:
        self.ssh = ssh
        self._only_ssh = only_ssh
        self._user = user
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._shared: dict[SshHost, asyncio.Lock] = {}

    async def open(
        self, link: Link, name: str, addresses: Collection[Address], named: SshHost | None, patience_s: float
    ) -> Reached:
        """Connect ``link`` to a worker: through ssh if it was ``named`` so, else at one of ``addresses``.

        Raises the :class:`InfraError` that says why that failed.
        """
        if named is None and not self._only_ssh:
            _, address = await connect(lambda: link, tuple(addresses), patience_s)
            return Reached(place=str(address), greeting_s=GREETING_TIMEOUT_S, address=address)
        if named is not None:
            return await self._tunnel(link, named, None)
        trouble: InfraError = InfraError("no address")
        for address in sorted(addresses, key=preference):
            alias = "" if known_as(name) in ("", address.host) else name
            host = SshHost(host=address.host, user=self._user, alias=alias)
            try:
                return await self._tunnel(link, host, address)
            except SshDenied:
                raise  # the same machine would say the same at its next address
            except InfraError as error:
                trouble = error
        raise trouble

    async def _tunnel(self, link: Link, host: SshHost, address: Address | None) -> Reached:
        async with self._turns:
            tunnel = await self.ssh.open(host)
        if tunnel.found is Found.STOCK:
            tunnel.close()
            raise StockOnly(f"{host} has distccd and no zdistccd")
        try:
            await asyncio.get_running_loop().create_connection(lambda: link, sock=tunnel.take())
        except BaseException:
            tunnel.close()
            raise
        if tunnel.early:
            link.data_received(tunnel.early)
        return Reached(place=f"ssh {host}", greeting_s=TUNNEL_GREETING_S, address=address, tunnel=tunnel)

    async def open_stock(self, host: SshHost) -> Tunnel:
        """Return a tunnel to a stock distccd, for one job: its protocol is all that stands on ``take()``.

        The caller closes both.  All tunnels to one host share an ssh connection, which the first one makes.
        """
        async with self._turns, self._shared.setdefault(host, asyncio.Lock()):
            tunnel = await self.ssh.open(host, stock=True, shared=True)
        if tunnel.found is not Found.STOCK:
            tunnel.close()
            raise NativeOnly(f"{host} has zdistccd and no distccd")
        return tunnel

    @asynccontextmanager
    async def stock_socket(self, host: SshHost) -> AsyncIterator[socket.socket]:
        """Lend a socket on which the distccd of ``host`` is heard, for one job; raises as :meth:`open_stock`."""
        tunnel = await self.open_stock(host)
        try:
            yield tunnel.take()
        finally:
            tunnel.close()

    async def close(self) -> None:
        """End the ssh connections that were shared."""
        await asyncio.gather(*(asyncio.to_thread(self.ssh.end_shared, host) for host in self._shared))

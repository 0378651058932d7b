"""Reaches a machine through ssh: one child process whose standard input and output are our end of a socket pair.

The user's own ssh does all that is hard: keys, host keys, jump hosts, ``~/.ssh/config``.  It asks nobody anything
(``BatchMode``), forwards nothing, and shares no connection with the user's sessions: to end a tunnel must not end
these.  What it says on standard error is kept and becomes the reason that is shown.

What runs on the other machine begins with a line of its own, ``MARK`` and a word of :class:`Found`; what a login
shell prints before it (``~/.bashrc`` and the like) is passed over.  Behind it stands the protocol.

Must not know: which protocol, what a worker is.  Rejected: a port forwarded by ssh (any user of this machine could
connect to it, and the worker would have to listen on TCP); an SSH library (another set of keys and settings).
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import re
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zdistcc.errors import InfraError

MARK: Final = b"zdistcc-stdio "
CONNECT_TIMEOUT_S: Final = 10
"""What ssh is given for the connection and the exchange of keys, in whole seconds."""
OPEN_TIMEOUT_S: Final = 25.0
"""And then a login shell and a Python start, on a machine that may be busy."""
ENDING_S: Final = 2.0
"""How long ssh may take to say why it failed."""
PERSIST_S: Final = 60
"""How long a shared connection waits for the next job."""
MAX_NOISE_BYTES: Final = 64 << 10
MAX_WORDS_BYTES: Final = 4096
AT_ONCE: Final = 8
"""Tunnels that are opened at a time: each costs a key exchange here."""
_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_.-]{1,253}")
_HINTS: Final = (
    ("Permission denied", "add your key there: ssh-copy-id {name}"),
    ("IDENTIFICATION HAS CHANGED", "its key is not the known one: find out why before you remove the old key"),
    ("Host key verification failed", "connect once by hand, to see and accept its key: ssh {name}"),
    ("Too many authentication failures", "name the key to use in ~/.ssh/config"),
)


class Found(enum.Enum):
    """Which program answers at the other end."""

    NATIVE = "native"
    STOCK = "stock"
    NONE = "none"


class SshFailed(InfraError):
    """No tunnel: the text is what ssh said."""


class SshDenied(SshFailed):
    """The other machine does not let us in, or is not the one it should be: to try often would look like an attack."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SshHost:
    """Where to: ``alias`` is the name by which the user's ssh knows ``host``, if ``host`` is but an address of it."""

    host: str
    user: str = ""
    command: str = ""
    alias: str = ""

    def __str__(self) -> str:
        name = self.alias or self.host
        return f"{self.user}@{name}" if self.user else name

    @property
    def runs_stock(self) -> bool:
        """Whether ``command`` is a stock distccd; without a command the other machine chooses."""
        return bool(self.command) and "zdistccd" not in self.command.rpartition("/")[2]


def known_as(name: str) -> str:
    """Return ``name`` if it can be the name of a host, else nothing: it may come from the network."""
    return name if _NAME.fullmatch(name) else ""


def remote_line(host: SshHost, *, stock: bool = False) -> str:
    """Return what the login shell of ``host`` is to run; ``stock`` prefers distccd where there is a choice."""
    inetd = "--inetd --enable-tcp-insecure"
    said = {found: f"echo {MARK.decode()}{found.value}" for found in Found}
    if host.command:
        return f"{said[Found.STOCK]} && exec {host.command} {inetd}" if host.runs_stock else f"{host.command} --stdio"
    choices = [
        "if command -v zdistccd >/dev/null 2>&1; then exec zdistccd --stdio; fi",
        f"if command -v distccd >/dev/null 2>&1; then {said[Found.STOCK]}; exec distccd {inetd}; fi",
    ]
    # The PATH of a shell that nobody types into lacks what a login would add.
    places = 'PATH="$PATH:$HOME/.local/bin:/usr/local/bin:/opt/zdistcc/bin"'
    return f"exec sh -c '{'; '.join([places, *(choices[::-1] if stock else choices), said[Found.NONE]])}'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ssh:
    """How ssh is run: the words of the program, its environment, and where shared connections have their sockets."""

    program: tuple[str, ...] = ("ssh",)
    env: Mapping[str, str]
    sockets: Path

    def command(self, host: SshHost, line: str, *, shared: bool) -> list[str]:
        """Return the command line; another program than OpenSSH's gets no options but ``-l``, as from distcc."""
        options: list[str] = []
        if os.path.basename(self.program[0]) == "ssh":
            settings = [
                "BatchMode=yes",
                f"ConnectTimeout={CONNECT_TIMEOUT_S}",
                "ClearAllForwardings=yes",
                "ForwardAgent=no",
                "ForwardX11=no",
                "PermitLocalCommand=no",
                "LogLevel=ERROR",
                *self._sharing(shared),
            ]
            if host.alias:
                settings += [f"HostName={host.host.replace('%', '%%')}", f"HostKeyAlias={host.alias}"]
            options = ["-T", *(word for setting in settings for word in ("-o", setting))]
        user = ["-l", host.user] if host.user else []
        return [*self.program, *options, *user, host.alias or host.host, line]

    def _sharing(self, shared: bool) -> list[str]:
        if not shared:
            return ["ControlMaster=no", "ControlPath=none"]
        path = str(self.sockets).replace("%", "%%")
        return ["ControlMaster=auto", f"ControlPath={path}/ssh-%C", f"ControlPersist={PERSIST_S}"]

    async def open(self, host: SshHost, *, stock: bool = False, shared: bool = False) -> Tunnel:
        """Return a tunnel whose other end has said what it is; :class:`SshFailed` says why there is none.

        ``shared``: over one ssh connection with other tunnels of the same kind to the same host.
        """
        if host.host.startswith("-") or any(character.isspace() for character in host.host):
            raise SshFailed(f"{host.host!r} is no name of a host")
        tunnel = Tunnel(host, self.command(host, remote_line(host, stock=stock), shared=shared), self.env)
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await tunnel.find()
        except TimeoutError:
            tunnel.close()
            raise SshFailed(f"{host}: no answer through ssh within {OPEN_TIMEOUT_S:g} s") from None
        except BaseException:
            tunnel.close()
            raise
        return tunnel

    def end_shared(self, host: SshHost) -> None:
        """End the connection that tunnels to ``host`` share, if there is one."""
        command = self.command(host, "", shared=True)[:-1]
        at = len(self.program)
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                [*command[:at], "-O", "exit", *command[at:]],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=ENDING_S,
                env=self.env,
            )


class Tunnel:
    """One ssh; what came behind the line is ``early``."""

    def __init__(self, host: SshHost, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.host = host
        self.found = Found.NONE
        self.early = b""
        self._taken = False
        self._words = b""
        self._loop = asyncio.get_running_loop()
        self._sock, theirs = socket.socketpair()
        self._stderr, their_stderr = os.pipe()
        os.set_blocking(self._stderr, False)
        self._sock.setblocking(False)
        try:
            self._child: subprocess.Popen[bytes] = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=their_stderr,
                start_new_session=True,
                env=env,
            )
        except OSError as error:
            self._sock.close()
            os.close(self._stderr)
            raise SshFailed(f"cannot run {command[0]}: {error.strerror}") from error
        finally:
            theirs.close()
            os.close(their_stderr)
        self._loop.add_reader(self._stderr, self._listen)

    @property
    def pid(self) -> int:
        """The process id of ssh."""
        return self._child.pid

    def take(self) -> socket.socket:
        """Return our end of the tunnel, which is now the caller's to close."""
        self._taken = True
        return self._sock

    async def find(self) -> None:
        """Read up to the end of the line that says what answers."""
        seen = b""
        while True:
            at = seen.find(MARK)
            line, newline, rest = seen[at:].partition(b"\n") if at >= 0 else (b"", b"", b"")
            if newline:
                break
            if len(seen) > MAX_NOISE_BYTES:
                raise SshFailed(f"{self.host}: something else than a worker talks there")
            try:
                data = await self._loop.sock_recv(self._sock, 1 << 16)
            except OSError:
                data = b""
            if not data:
                raise await self._failure()
            seen += data
        word = line[len(MARK) :].strip().decode("ascii", "replace")
        self.found = next((found for found in Found if found.value == word), Found.NONE)
        self.early = rest
        if self.found is Found.NONE:
            raise SshFailed(
                f"{self.host}: neither zdistccd nor distccd is on the PATH of commands that ssh runs there; "
                "install one, or name it: user@host:/path/to/zdistccd"
            )

    async def _failure(self) -> SshFailed:
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._child.wait, ENDING_S)
        words = self.words()
        for sign, hint in _HINTS:
            if sign in words:
                return SshDenied(f"{self._said(words, sign)}; {hint.format(name=self.host)}")
        return SshFailed(words.splitlines()[-1] if words else f"{self.host}: ssh ended without a word")

    def _said(self, words: str, sign: str) -> str:
        line = next(line for line in reversed(words.splitlines()) if sign in line)
        return line.strip("@ ").rstrip(".")

    def words(self) -> str:
        """Return what ssh, or the program at the other end, said on standard error."""
        self._listen()
        text = self._words.decode("utf-8", "replace")
        clean = "".join(character if character.isprintable() or character == "\n" else "" for character in text)
        return clean.strip()

    def _listen(self) -> None:
        while self._stderr >= 0:
            try:
                data = os.read(self._stderr, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                self._deafen()
                return
            self._words = (self._words + data)[-MAX_WORDS_BYTES:]

    def _deafen(self) -> None:
        if self._stderr >= 0:
            self._loop.remove_reader(self._stderr)
            os.close(self._stderr)
            self._stderr = -1

    def close(self) -> None:
        """End ssh, and with it what runs at the other end."""
        self._listen()
        self._deafen()
        if not self._taken:
            self._sock.close()
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()

"""A real sshd on a machine of the virtual LAN, with keys and settings of its own; and a client's ssh that knows it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence

from tests.e2e.farm import BIN, IMPOLITE, Farm
from tests.lan.machine import Process
from tests.lan.waiting import wait_until

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
SESSION = "Accepted publickey"

_SERVER = """
Port 22
HostKey {key}
AuthorizedKeysFile {authorized}
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile none
LogLevel VERBOSE
MaxStartups 100
SetEnv {environment}
"""
_CLIENT = """
Host *
    IdentityFile {key}
    IdentitiesOnly yes
    UserKnownHostsFile {known}
    GlobalKnownHostsFile /dev/null
    User root
"""


def missing() -> str | None:
    """Why there is no sshd here, if there isn't."""
    if SSHD is None or shutil.which("ssh") is None:
        return "there is no OpenSSH here (apt-get install openssh-server openssh-client)"
    return None


class Sshds:
    """Keys and settings in `directory`; `start` runs a machine's sshd."""

    def __init__(self, farm: Farm, names: Sequence[str]) -> None:
        self.farm = farm
        self.directory = farm.directory / "ssh"
        self.directory.mkdir(mode=0o700)
        self.running: dict[str, Process] = {}
        for name in ("client", "guest", "stranger", *names):
            self._make_key(name)
        client, guest = ((self.directory / f"{key}.pub").read_text() for key in ("client", "guest"))
        (self.directory / "authorized").write_text(f'{client}restrict,command="zdistccd --stdio" {guest}')
        self._known = self.directory / "known"
        self.know(*names)
        for name in names:
            self._configure(name)

    def _make_key(self, name: str) -> None:
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.directory / name], check=True
        )

    def know(self, *names: str) -> None:
        """Have the client know the keys of these machines, by name and address, and no others."""
        lines = []
        for name in names:
            key = (self.directory / f"{name}.pub").read_text().rpartition(" ")[0]
            lines.append(f"{name},{self.farm.lan[name].ipv4} {key}\n")
        self._known.write_text("".join(lines))

    def program(self, key: str = "client") -> str:
        """What ZDISTCC_SSH is to be: ssh with the client's settings and this key."""
        path = self.directory / f"config-{key}"
        path.write_text(_CLIENT.format(key=self.directory / key, known=self._known))
        return shlex.join(["ssh", "-F", str(path)])

    def _configure(self, name: str) -> None:
        machine = self.farm.lan[name]
        environment = {
            "HOME": machine.home,
            "XDG_RUNTIME_DIR": "/run/user/test",
            "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "ZDISTCC_SLOTS": "2",
            **IMPOLITE,
        }
        text = _SERVER.format(
            key=self.directory / name,
            authorized=self.directory / "authorized",
            environment=" ".join(f'"{variable}={value}"' for variable, value in environment.items()),
        )
        (self.directory / f"{name}.conf").write_text(text)

    def start(self, *names: str) -> None:
        for name in names:
            machine = self.farm.lan[name]
            machine.run(["mkdir", "-p", "/run/sshd"], check=True)
            assert SSHD is not None
            self.running[name] = machine.spawn([SSHD, "-D", "-e", "-f", self.directory / f"{name}.conf"])
        for name in names:
            wait_until(lambda name=name: "listening" in self.running[name].stderr, 10, f"sshd on {name}")

    def sessions(self, name: str) -> int:
        """How many times somebody was let in since sshd was started there."""
        return self.running[name].stderr.count(SESSION)

    def processes(self, name: str) -> list[int]:
        """The process ids, as seen on the machine, of sshd and its sessions."""
        commands = self.farm.lan[name].processes()
        return [pid for pid, words in commands.items() if words and "sshd" in words[0].partition(" ")[0]]

    def kill(self, name: str) -> None:
        """Kill sshd and all sessions at once, as a crash would."""
        machine = self.farm.lan[name]
        machine.run(["kill", "-KILL", *map(str, self.processes(name))], check=True)
        wait_until(lambda: not self.processes(name), 10, f"the end of sshd on {name}")
        self.running.pop(name).wait()

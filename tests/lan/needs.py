"""Whether this machine can build virtual LANs, and the commands that enter namespaces.

Decided by trying, not by looking at versions and settings: a container may forbid any one step.  An
ordinary user gets a user namespace.  Root does without, because only then several user ids exist
inside, and daemons that give up root (avahi-daemon, distccd) run as they do on a real host.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys

_SEARCH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
_PROGRAMS = {"ip": "iproute2", "tc": "iproute2", "nsenter": "util-linux", "unshare": "util-linux"}
_TRIAL = (
    "ip link add br0 type bridge && ip link add p0 type veth peer name p1 && ip link set p0 master br0"
    " && mount -t tmpfs none /mnt && unshare --pid --fork --mount-proc true"
)
TRIAL_TIMEOUT_S = 20


def program(name: str) -> str:
    """The path of a system administration program, which may be outside an ordinary user's PATH."""
    path = shutil.which(name, path=_SEARCH)
    if path is None:
        raise FileNotFoundError(f"{name} (package {_PROGRAMS.get(name, name)}) is not installed")
    return path


def unshare(*flags: str, user: bool) -> list[str]:
    """The start of a command line that makes namespaces, in a new user namespace if `user`."""
    return [program("unshare"), *(["--user", "--map-root-user"] if user else []), *flags]


def nsenter(pid: int, *flags: str, user: bool) -> list[str]:
    """The start of a command line that enters namespaces of process `pid`."""
    return [
        program("nsenter"),
        f"--target={pid}",
        *(["--user", "--preserve-credentials"] if user else []),
        *flags,
    ]


@functools.cache
def impair_unavailable_reason() -> str | None:
    """Why delay and loss can't be had although LANs can; some systems give taps to root only."""
    if os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return None
    return "/dev/net/tun may not be opened"


@functools.cache
def lan_unavailable_reason(user: bool | None = None) -> str | None:
    """Why no virtual LAN can be made here, in words for a skip; None if one can."""
    if sys.platform != "linux":
        return "virtual LANs are made of Linux namespaces"
    for name, package in _PROGRAMS.items():
        if shutil.which(name, path=_SEARCH) is None:
            return f"{name} is not installed (package {package})"
    if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        return "the kernel has no /proc/PID/task/TID/children"
    wants_user = os.geteuid() != 0 if user is None else user
    trial = subprocess.run(
        [*unshare("--net", "--mount", "--uts", "--ipc", user=wants_user), "sh", "-c", _TRIAL],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TRIAL_TIMEOUT_S,
        env={"PATH": _SEARCH},
    )
    if trial.returncode != 0:
        return f"the kernel does not let us make namespaces: {trial.stderr.decode(errors='replace').strip()}"
    return None

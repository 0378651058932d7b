"""What tells a service manager to run ``zdistccd``: a systemd unit, or a launchd property list, as text.

Must not know: where such files go, how they are loaded (service.py).  Rejected: a packaged unit file with a fixed
path: the program is where pip has put it, which is different in every environment.
"""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from typing import Final

LABEL: Final = "org.zdistcc.zdistccd"
UNIT: Final = "zdistccd.service"

_UNIT: Final = """\
[Unit]
Description=zdistcc worker: compiles for the local network
Documentation=man:zdistccd(8)
{after}
[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
Restart=on-failure
RestartSec=5
# The first SIGTERM lets running jobs end; who does not end within the time is stopped.
KillMode=mixed
TimeoutStopSec=60
# A compiler that is killed for want of memory is that job's trouble alone.
OOMPolicy=continue
OOMScoreAdjust=500
MemoryHigh=75%
MemoryMax=85%
TasksMax=4096
LimitNOFILE=65536
CPUWeight=20
IOWeight=20
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
{confined}
[Install]
WantedBy={target}
"""
_SYSTEM_AFTER: Final = "After=network-online.target\nWants=network-online.target\n"
_SYSTEM_CONFINED: Final = """\
DynamicUser=yes
CacheDirectory=zdistcc
CacheDirectoryMode=0700
Environment=ZDISTCC_CACHE_DIR=%C/zdistcc
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictNamespaces=yes
CapabilityBoundingSet=
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""
_HOMES: Final = ("/home/", "/root/", "/run/user/")


def systemd_unit(command: Sequence[str], *, system: bool) -> str:
    """Return the unit that runs ``command`` for the whole machine, or for one user while that is logged in."""
    home = "read-only" if command[0].startswith(_HOMES) else "yes"
    return _UNIT.format(
        after=_SYSTEM_AFTER if system else "",
        command=" ".join(map(_systemd_word, command)),
        confined=_SYSTEM_CONFINED.format(home=home) if system else "",
        target="multi-user.target" if system else "default.target",
    )


def _systemd_word(word: str) -> str:
    """Quote for ExecStart=: systemd expands %, $ and backslashes, and splits at white space."""
    safe = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{safe}"' if not word or any(character in word for character in " \t'\";") else safe


def launchd_plist(command: Sequence[str], log: str) -> str:
    """Return the property list that has launchd keep ``command`` running."""
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": list(command),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ProcessType": "Background",
            "LowPriorityIO": True,
            "ExitTimeOut": 60,
            "SoftResourceLimits": {"NumberOfFiles": 8192},
            "StandardErrorPath": log,
        },
        sort_keys=False,
    ).decode()

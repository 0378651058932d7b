"""The stock way to zeroconf on one machine of a virtual LAN: a message bus and avahi-daemon, nothing of the real ones."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.lan.machine import Machine, Process
from tests.lan.needs import program
from tests.lan.waiting import wait_until

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
MISSING = [name for name in ("avahi-daemon", "dbus-daemon") if shutil.which(name, path=_PATH) is None]
_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/><allow receive_sender="*" eavesdrop="true"/>
  </policy>
</busconfig>
"""
_AVAHI = """[server]
host-name={name}
use-ipv4=yes
use-ipv6=yes
allow-interfaces=eth0
[publish]
publish-workstation=no
"""
ENVIRONMENT = {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/run/bus"}


def start(machine: Machine) -> Process:
    """Start both; `ENVIRONMENT` tells programs on that machine where they are."""
    bus, avahi = Path(machine.tmp, "bus.conf"), Path(machine.tmp, "avahi.conf")
    bus.write_text(_BUS)
    avahi.write_text(_AVAHI.format(name=machine.name))
    machine.spawn([program("dbus-daemon"), "--config-file=/tmp/bus.conf", "--nofork", "--nopidfile"])
    run = machine.tmp.parent / "run"
    wait_until(lambda: (run / "bus").exists(), 20, "the message bus is there")
    machine.run(["mkdir", "-p", "/run/avahi-daemon"], check=True)
    words = ["--no-drop-root", "--no-chroot", "--no-rlimits", "-f", "/tmp/avahi.conf"]
    daemon = machine.spawn([shutil.which("avahi-daemon", path=_PATH) or "avahi-daemon", *words], env=ENVIRONMENT)
    wait_until(lambda: "Server startup complete" in daemon.stderr or daemon.poll() is not None, 30, "avahi serves")
    assert daemon.poll() is None, daemon.stderr
    return daemon

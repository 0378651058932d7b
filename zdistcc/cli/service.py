"""``zdistccd install``, ``uninstall`` and ``status``: the worker as a service of systemd or launchd."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from zdistcc import config
from zdistcc.cli import units
from zdistcc.errors import InfraError, UserError

SYSTEM_UNITS: Final = Path("/etc/systemd/system")
COMMAND_TIMEOUT_S: Final = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One way to run a service: its file, and the commands that load, unload and show it."""

    manager: str
    system: bool
    file: Path
    load: tuple[tuple[str, ...], ...]
    unload: tuple[tuple[str, ...], ...]
    show: tuple[str, ...]

    def content(self, command: list[str]) -> str:
        """Return what the file is to hold."""
        if self.manager == "systemd":
            return units.systemd_unit(command, system=self.system)
        logs = Path("/Library/Logs") if self.system else Path.home() / "Library/Logs"
        return units.launchd_plist(command, str(logs / "zdistccd.log"))


def systemd_place(system: bool) -> Place:
    """Return how systemd runs services of the machine, or of this user."""
    ctl = ("systemctl",) if system else ("systemctl", "--user")
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Place(
        manager="systemd",
        system=system,
        file=(SYSTEM_UNITS if system else home / "systemd/user") / units.UNIT,
        load=((*ctl, "daemon-reload"), (*ctl, "enable", units.UNIT), (*ctl, "restart", units.UNIT)),
        unload=((*ctl, "disable", "--now", units.UNIT),),
        show=(*ctl, "is-active", units.UNIT),
    )


def launchd_place(system: bool) -> Place:
    """Return how launchd runs daemons of the machine, or agents of this user."""
    domain = "system" if system else f"gui/{os.getuid()}"
    home = Path("/Library/LaunchDaemons") if system else Path.home() / "Library/LaunchAgents"
    file = home / f"{units.LABEL}.plist"
    return Place(
        manager="launchd",
        system=system,
        file=file,
        load=(("launchctl", "bootstrap", domain, str(file)),),
        unload=(("launchctl", "bootout", f"{domain}/{units.LABEL}"),),
        show=("launchctl", "print", f"{domain}/{units.LABEL}"),
    )


def place(user: bool, system: bool) -> Place:
    """Return where the service goes: what was asked for, else the machine's for root and the user's for others."""
    if user and system:
        raise UserError("--user and --system exclude each other: choose one")
    for_all = system or (not user and os.geteuid() == 0)
    if system and os.geteuid() != 0:
        raise UserError("--system needs root: use sudo, or install for yourself with --user")
    if platform.system() == "Darwin":
        return launchd_place(for_all)
    if shutil.which("systemctl") is None or not Path("/run/systemd/system").is_dir():
        raise UserError(
            "no service manager is known here (neither systemd nor launchd runs): start zdistccd from what starts your "
            "services; zdistccd install --print shows a systemd unit to adapt"
        )
    return systemd_place(for_all)


def program() -> str:
    """Return the absolute path of ``zdistccd``; links are kept, for pip may replace what they lead to."""
    named = sys.argv[0] if "/" in sys.argv[0] else shutil.which(sys.argv[0]) or ""
    path = os.path.abspath(named) if named else ""
    if not path or not os.access(path, os.X_OK):
        raise UserError(f"it is not clear where zdistccd is ({sys.argv[0]}): call it by its full path")
    return path


def _run(command: tuple[str, ...]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{' '.join(command)} failed: {error}; try it by hand, then again") from error
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}"
        raise UserError(f"{' '.join(command)} failed: {said}; correct that, then try again")


def _mind_who_may_read(path: str, system: bool) -> None:
    """A service of the machine runs as a user of its own, who must be able to reach the program."""
    if not system or platform.system() == "Darwin":
        return
    for part in (Path(path).resolve(), *Path(path).resolve().parents):
        wanted = 0o005 if part.is_file() else 0o001
        if part.stat().st_mode & wanted != wanted:
            raise UserError(
                f"the service runs as a user of its own, who may not enter {part}: install zdistcc where all can read "
                "it, as in /opt/zdistcc, or use --user"
            )


_User = Annotated[bool, typer.Option("--user", help="For yourself, while you are logged in.")]
_System = Annotated[bool, typer.Option("--system", help="For the machine, from its start on (default for root).")]


def install(
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[-- OPTION…]", help="Options that zdistccd is to be started with.")
    ] = None,
    user: _User = False,
    system: _System = False,
    only_print: Annotated[bool, typer.Option("--print", help="Show the file and do nothing.")] = False,
) -> None:
    """Have zdistccd started by systemd or launchd, now and from now on."""
    command = [program(), *(options or ())]
    if only_print:
        if platform.system() == "Darwin":
            typer.echo(launchd_place(system).content(command), nl=False)
        else:
            typer.echo(units.systemd_unit(command, system=system or (not user and os.geteuid() == 0)), nl=False)
        return
    where = place(user, system)
    _mind_who_may_read(command[0], where.system)
    try:
        where.file.parent.mkdir(parents=True, exist_ok=True)
        where.file.write_text(where.content(command))
    except OSError as error:
        raise UserError(
            f"{where.file} cannot be written: {error.strerror}; choose --user or --system, or see --print"
        ) from error
    if where.manager == "launchd":
        subprocess.run(where.unload[0], capture_output=True)  # an older one; there may be none
    for step in where.load:
        _run(step)
    typer.echo(f"zdistccd runs and will be started by {where.manager} ({where.file}).")
    if where.manager == "systemd" and not where.system:
        typer.echo("It stops when you log out, unless: loginctl enable-linger")


def uninstall(user: _User = False, system: _System = False) -> None:
    """Stop zdistccd and have it started no more; its store stays."""
    where = place(user, system)
    if not where.file.exists():
        raise UserError(f"{where.file} is not there: nothing was installed that way; try --user or --system")
    try:
        for step in where.unload:
            _run(step)
    finally:
        where.file.unlink(missing_ok=True)
    if where.manager == "systemd":
        _run(where.load[0])
    typer.echo(f"zdistccd is stopped and {where.file} is gone.")


def status(
    port: Annotated[
        int | None, typer.Option(metavar="N", help="Where it serves. Default: as configured, 3633.")
    ] = None,
) -> None:
    """Say whether zdistccd is a service here, and what the worker that runs on this machine does."""
    from zdistcc.doctor.ask import ask_worker

    for where in _places():
        if where.file.exists():
            shown = subprocess.run(where.show, capture_output=True, text=True)
            state = shown.stdout.strip().partition("\n")[0] if where.manager == "systemd" else ""
            state = state or ("loaded" if shown.returncode == 0 else "not loaded")
            typer.echo(f"service: {state} ({where.file})")
            break
    else:
        typer.echo("service: not installed (zdistccd install)")
    number = port or config.load(os.environ).port or 3633
    try:
        seen = ask_worker(number)
    except InfraError as error:
        typer.echo(f"worker: none answers on port {number} ({error})")
        raise typer.Exit(1) from None
    typer.echo(
        f"worker: {seen.name} (zdistccd {seen.version}) on port {number}: {seen.running} of {seen.slots} slots busy, "
        f"{seen.queued} jobs waiting{', draining' if seen.draining else ''}"
    )
    typer.echo(f"compilers: {', '.join(seen.compilers) or 'none found: install gcc or clang'}")


def _places() -> tuple[Place, ...]:
    kind = launchd_place if platform.system() == "Darwin" else systemd_place
    return kind(False), kind(True)

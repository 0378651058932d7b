"""``zdistccd``: the worker's command line."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from zdistcc import __version__, config
from zdistcc.cli import service
from zdistcc.errors import ExitCode, UserError

if TYPE_CHECKING:
    from zdistcc.worker.main import Daemon


class Command(TyperCommand):
    """A command with examples in its help."""

    def get_help(self, ctx: Any) -> str:
        """Return the help text."""
        from zdistcc.cli.help import WORKER_EXAMPLES, with_examples

        return with_examples(super().get_help(ctx), WORKER_EXAMPLES.get(self.name or "", ()))


class Group(TyperGroup):
    """All of it, with examples in the help."""

    def get_help(self, ctx: Any) -> str:
        """Return the help text."""
        from zdistcc.cli.help import WORKER_EXAMPLES, with_examples

        return with_examples(super().get_help(ctx), WORKER_EXAMPLES[""])


def _show_version(wanted: bool) -> None:
    if wanted:
        from zdistcc.cli.version import describe

        typer.echo(describe("zdistccd"))
        raise typer.Exit


_Name = Annotated[str | None, typer.Option(metavar="NAME", help="Name to be shown under. Default: the host name.")]
_Deny = Annotated[
    list[str] | None, typer.Option(metavar="NETWORK", help="Network (CIDR) not to serve; may be repeated.")
]
_Stdio = Annotated[bool, typer.Option("--stdio", help="Serve one client on standard input and output, as for ssh.")]
_Log = Annotated[str | None, typer.Option(metavar="LEVEL", help="debug, info, warning or error. Default: info.")]
_Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show versions and leave.")
]


def command(
    context: typer.Context,
    port: Annotated[
        int | None, typer.Option(metavar="N", help="TCP port; 0 takes any. Default: 3633, any if that is taken.")
    ] = None,
    distcc_port: Annotated[
        int | None,
        typer.Option(metavar="N", help="Second TCP port, for clients of distcc; 0 serves none. Default: 3632 if free."),
    ] = None,
    slots: Annotated[
        int | None, typer.Option(metavar="N", help="Jobs to run at once. Default: the machine's cores.")
    ] = None,
    name: _Name = None,
    interface: Annotated[
        list[str] | None,
        typer.Option(metavar="INTERFACE", help="Network interface (name or address) to use; may be repeated."),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NETWORK", help="Network (CIDR) to serve beside private and link-local ones; may be repeated."
        ),
    ] = None,
    deny: _Deny = None,
    store: Annotated[str | None, typer.Option(metavar="DIRECTORY", help="Directory for the worker's files.")] = None,
    store_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="How much to keep of clients' files. Default: 10G.")
    ] = None,
    nice: Annotated[
        int | None, typer.Option(metavar="N", help="How much compilers give way to others, 0 to 19. Default: 10.")
    ] = None,
    polite: Annotated[
        bool | None,
        typer.Option("--polite/--no-polite", help="Offer fewer slots while others need the machine. Default: polite."),
    ] = None,
    log: _Log = None,
    discovery: Annotated[
        bool | None, typer.Option("--discovery/--no-discovery", help="Announce this worker by mDNS.")
    ] = None,
    stdio: _Stdio = False,
    version: _Version = False,
) -> None:
    """Offer this machine's compilers to the local network, until SIGTERM or ctrl-C.

    Clients find it by themselves.  SIGTERM lets running jobs end; a second one stops them.
    """
    if context.invoked_subcommand is not None:
        return
    flags = {
        **_texts(port=port, distcc_port=distcc_port, slots=slots, nice=nice),
        "name": name,
        "interface": tuple(interface or ()),
        "allow": tuple(allow or ()),
        "deny": tuple(deny or ()),
        "store": store,
        "store_size": store_size,
        "polite": polite,
        "log": log,
        "discovery": discovery,
    }
    _serve(config.load(os.environ, flags), stdio)


def _serve(settings: config.Config, stdio: bool) -> None:
    if stdio:
        from zdistcc.worker.stdio import serve

        serve(settings, os.environ)
    else:
        from zdistcc.worker.main import run

        run(settings, os.environ, _say_ready)


def _say_ready(daemon: Daemon) -> None:
    offered = ", ".join(sorted({f"{offer.id} ({offer.id.target})" for offer in daemon.worker.offers()}))
    typer.echo(
        f"zdistccd {__version__}: {daemon.worker.settings.name} serves {daemon.worker.settings.slots} jobs at once "
        f"on port {daemon.port}: {offered or 'no compiler found'}",
        err=True,
    )


def _texts(**numbers: int | None) -> dict[str, str | None]:
    return {name: None if number is None else str(number) for name, number in numbers.items()}


def build() -> typer.Typer:
    """Return the command line."""
    app = typer.Typer(
        cls=Group,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback(cls=Group, invoke_without_command=True)(command)
    for function in (service.install, service.uninstall, service.status):
        app.command(cls=Command)(function)
    return app


def main() -> None:
    """Entry point of ``zdistccd``."""
    try:
        build()(prog_name="zdistccd")
    except UserError as error:
        typer.echo(f"zdistccd: {error}", err=True)
        sys.exit(ExitCode.GENERAL)


if __name__ == "__main__":
    main()

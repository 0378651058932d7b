"""The commands table and the entry point of ``zdistcc COMMAND``.

A command is a row: its name and the module that has a function ``command`` (or the one named after the colon) with
typer's annotations.  Only the module that is asked for is imported, so that ``zdistcc stop`` does not pay for what
``demo`` needs.  The launcher knows the same words (launcher.c, ``CLI_COMMANDS``); a test compares them.
"""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from zdistcc.errors import UserError

COMMANDS: Final = {
    "status": "zdistcc.cli.status",
    "hosts": "zdistcc.cli.hosts",
    "stats": "zdistcc.cli.stats",
    "report": "zdistcc.cli.report",
    "trace": "zdistcc.cli.trace",
    "explain": "zdistcc.cli.explain",
    "stop": "zdistcc.cli.stop",
    "log": "zdistcc.cli.log",
    "demo": "zdistcc.cli.demo",
    "doctor": "zdistcc.cli.doctor",
    "masquerade": "zdistcc.cli.masquerade",
    "make": "zdistcc.cli.run:make",
    "ninja": "zdistcc.cli.run:ninja",
    "cmake": "zdistcc.cli.run:cmake",
    "run": "zdistcc.cli.run:run",
    "env": "zdistcc.cli.env",
}
_HELP: Final = """A distributed C/C++ compiler for the local network that needs no configuration.

More: zdistcc COMMAND --help, man zdistcc
"""
_VERBATIM: Final = {"ignore_unknown_options": True, "allow_interspersed_args": False}
_CONTEXTS: Final = {"explain": _VERBATIM, "run": {"allow_interspersed_args": False}}
"""These take another program's command line: its options are not ours."""
UNTOUCHED: Final = ("make", "ninja", "cmake")
"""All their words are those of the tools."""


class Command(TyperCommand):
    """A command with examples in its help."""

    def get_help(self, ctx: Any) -> str:
        """Return the help text."""
        from zdistcc.cli.help import EXAMPLES, with_examples

        return with_examples(super().get_help(ctx), EXAMPLES.get(self.name or "", ()))


class Untouched(TyperCommand):
    """A command that reads none of its words: not even ``--help`` and ``--`` are ours."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Hand over all words as they are."""
        ctx.params["arguments"] = args
        return []

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Leave completion to the shell, which knows files."""
        return []


class Group(TyperGroup):
    """All commands: with examples in the help, and with compilers, of which completion knows nothing."""

    def get_help(self, ctx: Any) -> str:
        """Return the help text."""
        from zdistcc.cli.help import EXAMPLES, with_examples

        return with_examples(super().get_help(ctx), EXAMPLES[""])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is meant; while words are completed, any other word is a compiler."""
        if ctx.resilient_parsing and args[0] not in self.commands:
            return args[0], Untouched(args[0], add_help_option=False), args[1:]
        return super().resolve_command(ctx, args)


def _show_version(wanted: bool) -> None:
    if wanted:
        from zdistcc.cli.version import describe

        typer.echo(describe("zdistcc"))
        raise typer.Exit


def _show_parallelism(wanted: bool) -> None:
    if wanted:
        from zdistcc.cli import parallel

        parallel.show()
        raise typer.Exit


def _show_hosts(wanted: bool) -> None:
    if wanted:
        from zdistcc.cli import hosts

        hosts.show_names()
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show versions, for bug reports, and leave."
        ),
    ] = False,
    parallelism: Annotated[
        bool, typer.Option("-j", callback=_show_parallelism, is_eager=True, help="Print the number for make -j.")
    ] = False,
    show_hosts: Annotated[
        bool,
        typer.Option(
            "--show-hosts",
            callback=_show_hosts,
            is_eager=True,
            help="Print the hosts that can compile, as distcc does.",
        ),
    ] = False,
) -> None:
    """Replaced by ``_HELP``."""


def build(only: str | None = None) -> typer.Typer:
    """Return the interface, with all commands or just one."""
    app = typer.Typer(
        cls=Group,
        no_args_is_help=True,
        help=_HELP,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback(cls=Group, help=_HELP)(_root)
    for name, module in COMMANDS.items():
        if only is None or only == name:
            place, _, attribute = module.partition(":")
            function = getattr(importlib.import_module(place), attribute or "command")
            sentence = (function.__doc__ or "").strip().partition("\n")[0].removesuffix(".")
            kind = Untouched if name in UNTOUCHED else Command
            app.command(name, cls=kind, short_help=sentence, context_settings=_CONTEXTS.get(name))(function)
    return app


def main() -> None:
    """Entry point of ``zdistcc-cli``, which the launcher runs for everything that is no compile."""
    word = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        build(word if word in COMMANDS else None)(prog_name="zdistcc")
    except UserError as error:
        typer.echo(f"zdistcc: {error}", err=True)
        sys.exit(error.code)


if __name__ == "__main__":
    main()

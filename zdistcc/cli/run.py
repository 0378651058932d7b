"""``zdistcc make``, ``ninja``, ``cmake`` and ``run``: a build in surroundings in which its compiles come to us.

The tool's words are passed on as they are, but for a ``-j`` that becomes the bound of our jobserver (``tools``).  Where
we cannot help, the tool runs all the same: without an agent, with as many jobs as this machine has cores.

Must not know: how tokens move (``supervise``), how a tool is told (``tools``).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Mapping
from typing import Annotated, NoReturn

import typer

from zdistcc import config, paths
from zdistcc.cli import parallelism, tools
from zdistcc.cli.ask import ask
from zdistcc.cli.masquerade import found_launcher, kept_links
from zdistcc.cli.parallel import SETTLE_S
from zdistcc.cli.supervise import Supply, end_like, supervise
from zdistcc.cli.surroundings import with_launcher, with_links
from zdistcc.cli.tools import Told
from zdistcc.config import Config
from zdistcc.errors import UserError
from zdistcc.jobserver import words
from zdistcc.jobserver.fifo import Form, TokenPipe
from zdistcc.jobserver.tokens import Account
from zdistcc.ui.summary import summary
from zdistcc.wire.control import BUILD_VARIABLE

_FORMS = {Told.FIFO: Form.FIFO, Told.DESCRIPTORS: Form.DESCRIPTORS}

Arguments = Annotated[list[str] | None, typer.Argument(metavar="[ARGUMENT]...", help="Passed on as they are.")]


def make(arguments: Arguments = None) -> None:
    """Run make with compiles on the LAN, and a -j that follows it."""
    run_tool(["make", *(arguments or ())])


def ninja(arguments: Arguments = None) -> None:
    """Run ninja with compiles on the LAN, and a -j that follows it."""
    run_tool(["ninja", *(arguments or ())])


def cmake(arguments: Arguments = None) -> None:
    """Run cmake: configure builds that use zdistcc, or --build them."""
    run_tool(["cmake", *(arguments or ())])


def run(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="A command, with its own arguments.")],
) -> None:
    """Run any command with compiles on the LAN: zdistcc run -- COMMAND.

    What it starts finds the compilers through zdistcc, and a jobserver that follows the LAN.
    """
    run_tool(command)


def run_tool(argv: list[str]) -> NoReturn:
    """Run a command in our surroundings and end as it ends."""
    settings = config.load(os.environ)
    if settings.disable:
        _run_instead(argv)
    env = dict(os.environ)
    build = env.get(BUILD_VARIABLE)
    outermost = build is None
    env[BUILD_VARIABLE] = build = build or secrets.token_hex(8)
    plan = tools.plan(argv, env)
    launcher = found_launcher()
    env |= with_launcher(env, launcher)
    if plan.links:
        links = kept_links(paths.cache_dir(env, settings.cache_dir), env, launcher)
        env |= with_links(env, links, launcher)
    useful = _first_look(settings, settle=plan.told in (Told.WORD, Told.VARIABLE))
    begun = time.monotonic()
    returncode = _run(plan, env, useful)
    if outermost and settings.summary and returncode >= 0:
        _sum_up(build, time.monotonic() - begun, settings.local_slots or config.cores())
    end_like(returncode)


def _run_instead(argv: list[str]) -> NoReturn:
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        raise UserError(f"{argv[0]} cannot be run: {error.strerror}; install it, or write its path") from error


def _first_look(settings: Config, *, settle: bool) -> int | None:
    """Start the agent and return how many jobs it calls useful; None if it says nothing.

    ``settle``: wait until it has listened, because it will not be asked again.
    """
    question = {**parallelism.QUESTION, "settle": SETTLE_S if settle else 0.0, "peers": settings.peers}
    try:
        return parallelism.useful_jobs(ask(question) or {})
    except UserError as error:
        typer.echo(f"zdistcc: {error}; until then the build runs on this machine alone", err=True)
        return None


def _run(plan: tools.Plan, env: Mapping[str, str], useful: int | None) -> int:
    number = useful or config.cores()
    match plan.told:
        case Told.NOTHING:
            return supervise(plan.argv, env)
        case Told.WORD:
            return supervise([plan.argv[0], f"-j{number}", *plan.argv[1:]], env)
        case Told.VARIABLE:
            return supervise(plan.argv, {**env, tools.LEVEL: str(number)})
        case Told.FIFO | Told.DESCRIPTORS:
            account = Account(plan.bound)
            poll = parallelism.Poll(useful, time.monotonic())
            with TokenPipe(_FORMS[plan.told]) as pipe, contextlib.closing(poll):
                flags = words.with_jobserver(plan.makeflags, account.aim(number), pipe.auth)
                inner = {name: value for name, value in env.items() if name != tools.LEVEL}
                return supervise(plan.argv, {**inner, "MAKEFLAGS": flags}, Supply(pipe, account, poll).step)


def _sum_up(build: str, elapsed_s: float, cores: int) -> None:
    """Say in a line what became of the build's compiles; nothing if there were none."""
    try:
        answer = ask({"ask": "build", "build": build}, start=False)
    except UserError:
        return  # the build is done, whatever became of the agent
    line = summary(answer or {}, elapsed_s, cores)
    if line:
        typer.echo(f"zdistcc: {line}", err=True)

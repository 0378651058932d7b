"""``zdistcc explain``: what would happen to a compile command, and why."""

from __future__ import annotations

import base64
import json
import os
import shlex
from typing import Annotated, Any

import typer

from zdistcc import config
from zdistcc.cli.ask import ask
from zdistcc.cli.hosts import SETTLE_S
from zdistcc.errors import UserError
from zdistcc.toolchain.lookup import find_real


def command(
    words: Annotated[
        list[str], typer.Argument(metavar="COMMAND", help="A compiler and its arguments, as you would run it.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object (man 1 zdistcc).")] = False,
) -> None:
    """Say what would happen to a compile command, and why.

    Shows the compiler, what would run here and there, which workers fit, and what the others lack.
    """
    config.load(os.environ)  # a compile ignores mistakes in its variables; here they are told
    env = {os.fsencode(key): os.fsencode(value) for key, value in os.environ.items()}
    name = os.fsencode(words[0])
    compiler = os.path.abspath(name) if b"/" in name else find_real(name, env)
    if compiler is None or not os.access(compiler, os.X_OK):
        raise UserError(f"{words[0]}: no such compiler on PATH; install it, or write its path")
    launch = {
        "cwd": _text(os.fsencode(os.getcwd())),
        "compiler": _text(compiler),
        "argv": [_text(os.fsencode(word)) for word in words],
        "env": dict(os.environ),
    }
    answer = ask({"ask": "explain", "launch": launch, "settle": SETTLE_S})
    assert answer is not None
    typer.echo(json.dumps(answer, indent=2) if as_json else describe(answer))


def _text(data: bytes) -> str:
    """Bytes travel as base64 in the agent's JSON."""
    return base64.b64encode(data).decode()


def describe(answer: dict[str, Any]) -> str:
    """Return the answer in sentences."""
    if not answer["distributable"]:
        detail = f" ({answer['detail']})" if answer["detail"] else ""
        return f"Runs on this machine: {answer['text']}{detail}.  [{answer['reason']}]"
    compiler = answer["compiler"]
    fitting = [row for row in answer["workers"] if row["fits"]]
    if answer["mode"] == "headers":
        shipped = f"with its headers ({answer['files']} files)"
    else:
        shipped = f"as preprocessed text: {answer['why_not_headers']}"
    lines = [
        f"Can be compiled by another machine, shipped {shipped}.",
        f"  compiler    {compiler['family']} {compiler['version']} for {compiler['target']}, "
        f"build {compiler['build_id'][:8]} ({compiler['path']})",
        f"  match       {answer['match']}",
        f"  language    {answer['language']}",
        f"  output      {answer['output']}",
    ]
    if answer["mode"] == "preprocessed":
        lines += [
            f"  here        {shlex.join(answer['preprocess'])}",
            f"  there       {shlex.join(answer['remote_args']) or '(no options)'}",
        ]
    lines += [
        f"  {'fits    ' if row['fits'] else 'does not'}    {row['name']}{': ' + row['reason'] if row['reason'] else ''}"
        for row in answer["workers"]
    ]
    if not answer["workers"]:
        lines.append("  No worker is known.  Start zdistccd on another machine of this network.")
    elif not fitting:
        lines.append("  No worker fits: it would run on this machine.")
    return "\n".join(lines)

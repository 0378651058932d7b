"""What ``--help`` shows beside the options: examples, and colours on a terminal.

``EXAMPLES`` is a table by command, the empty word for ``zdistcc`` itself; ``WORKER_EXAMPLES`` that of ``zdistccd``.  A
test has every example parsed by the command that it calls.  ``make``, ``ninja`` and ``cmake`` hand ``--help`` to their
tools, so their examples stand with ``zdistcc``.

Imported only when help is shown.  Rejected: typer's rich help.  It imports rich for every wrong usage, breaks command
lines that are examples, and draws boxes that nobody can copy from.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import Final

import typer

Examples = Mapping[str, tuple[tuple[str, str], ...]]

EXAMPLES: Final[Examples] = {
    "": (
        ("zdistcc make", "build with as many jobs as the network is good for"),
        ("zdistcc cmake -S . -B build && zdistcc cmake --build build", "the same with CMake"),
        ('make -j$(zdistcc -j) CC="zdistcc gcc" CXX="zdistcc g++"', "each tool told by hand"),
        ("zdistcc gcc -O2 -c x.c", "one compile"),
        ("zdistcc status", "who is there, and what runs where"),
        ("zdistcc doctor", "what is wrong, and what to do"),
        ("zdistccd", "offer this machine"),
    ),
    "status": (
        ("zdistcc status", "follow hosts, jobs and events; q leaves"),
        ("zdistcc status --once", "print the picture once"),
        ("zdistcc status --json | jq '.hosts[].name'", "for programs"),
    ),
    "hosts": (
        ("zdistcc hosts", "list the workers"),
        ("ZDISTCC_PEERS=desk,192.168.1.7:3634 zdistcc hosts", "also workers that multicast does not reach"),
    ),
    "stats": (
        ("zdistcc stats", "where jobs ran, and why some stayed here"),
        ("zdistcc stats --json | jq .reasons", "the reasons alone"),
    ),
    "report": (
        ("zdistcc report", "the last build"),
        ("zdistcc report --build 2 --html build.html", "the one before it, as a page with a picture"),
        ("zdistcc report --list", "which builds are on record"),
    ),
    "trace": (
        ("zdistcc trace build.json", "the last build, for ui.perfetto.dev"),
        ("zdistcc trace --all builds.json", "all that is on record"),
    ),
    "explain": (
        ("zdistcc explain g++ -O2 -g -c x.cc", "how this command would be shipped, and to whom"),
        ("zdistcc explain --json gcc -c x.c", "the same for programs"),
    ),
    "stop": (("zdistcc stop", "for instance after a change of zdistcc.conf"),),
    "log": (
        ("zdistcc log", "follow the agent's log; control-C leaves"),
        ("zdistcc log -n 200 --no-follow", "its last 200 lines"),
        ("zdistcc stop; ZDISTCC_LOG=debug zdistcc hosts; zdistcc log", "with an agent that says more"),
    ),
    "demo": (
        ("zdistcc demo", "see it work on this machine"),
        ("zdistcc demo --jobs 4 --keep", "fewer jobs at once; keep what was built"),
    ),
    "doctor": (
        ("zdistcc doctor", "look at this machine, its network and all workers"),
        ("zdistcc doctor --no-scan", "without knocking at addresses of the network"),
    ),
    "masquerade": (
        ('eval "$(zdistcc masquerade)"', "from now on gcc, cc, g++ … mean zdistcc in this shell"),
        ("zdistcc masquerade /opt/zdistcc/links", "links in a directory of your choice"),
    ),
    "run": (
        ("zdistcc run -- ./build.sh", "whatever compiles in it"),
        ("zdistcc run -- make -C src -j24", "with 24 jobs at most"),
        ("zdistcc run -- bash -c './configure && make'", "several commands"),
    ),
    "env": (
        ('eval "$(zdistcc env)"', "bash and zsh"),
        ("zdistcc env --shell fish | source", "fish"),
        ('eval "$(zdistcc env --undo)"', "take it back"),
    ),
}

WORKER_EXAMPLES: Final[Examples] = {
    "": (
        ("zdistccd", "offer all cores, until control-C"),
        ("zdistccd --slots 2 --nice 19", "two jobs at once, behind everything else"),
        ("zdistccd --deny 192.168.1.0/24 --interface eth0", "who is not served, and where it listens"),
    ),
    "install": (
        ("zdistccd install --user", "for yourself"),
        ("sudo zdistccd install --system -- --slots 4", "for the machine, with options"),
        ("zdistccd install --print", "show the file only"),
    ),
    "uninstall": (("zdistccd uninstall --user", "take back install --user"),),
    "status": (
        ("zdistccd status", "the service, and the worker on this machine"),
        ("zdistccd status --port 4000", "one that serves another port"),
    ),
}

_HEADING: Final = re.compile(r"^([A-Z][a-z]+):(?=$| )", re.MULTILINE)
_TERM: Final = re.compile(r"^  (-\S.*?|[a-z]+)(?=  |$)", re.MULTILINE)
_EXAMPLE: Final = re.compile(r"^  (?:zdistccd?|[A-Z_]+=\S+ zdistcc|eval|make|sudo) .*$|^  zdistccd?$", re.MULTILINE)


def with_examples(text: str, rows: tuple[tuple[str, str], ...]) -> str:
    """Return a help text with examples below it, coloured if standard output shows colours."""
    listed = "".join(f"  {line}\n      {said}\n" for line, said in rows)
    whole = f"{text.rstrip()}\n\nExamples:\n{listed}".rstrip() if rows else text
    return coloured(whole) if shows_colours(os.environ, sys.stdout.isatty()) else whole


def shows_colours(env: Mapping[str, str], terminal: bool) -> bool:
    """Return whether colours are welcome: https://no-color.org, and terminals that have none."""
    return terminal and not env.get("NO_COLOR") and env.get("TERM", "dumb") != "dumb"


def coloured(text: str) -> str:
    """Return a help text with headings, options, commands and examples set apart."""
    before, heading, examples = text.partition("\nExamples:\n")
    before = _TERM.sub(lambda found: f"  {typer.style(found[1], fg=typer.colors.CYAN)}", before)
    examples = _EXAMPLE.sub(lambda found: typer.style(found[0], fg=typer.colors.GREEN), examples)
    return _HEADING.sub(lambda found: f"{typer.style(found[1], bold=True)}:", before + heading + examples)

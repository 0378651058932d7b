"""The variables that distcc's programs read, and what each means here.

Those with an obvious meaning are honoured where the key of our own is not set by its own variable; all others are
ignored, for the reason that stands there.  ``man 5 zdistcc.conf`` lists the same.

Must not know: where the values come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable: the key of ours that it sets (to ``value`` if that is given and the variable is not 0), or none."""

    name: str
    why: str
    key: str = ""
    value: str = ""


VARIABLES: Final = (
    Variable(name="DISTCC_FALLBACK", key="fallback", why="The same."),
    Variable(name="DISTCC_HOSTS", key="hosts", why="Used if use_distcc_hosts is 1, in addition to hosts."),
    Variable(name="DISTCC_IO_TIMEOUT", key="distcc_timeout", why="The same."),
    Variable(name="DISTCC_VERBOSE", key="log", value="debug", why="1 is log = debug, for an agent that starts."),
    Variable(name="DISTCC_BACKOFF_PERIOD", why="Pauses grow from half a second to a minute and end with a success."),
    Variable(name="DISTCC_CMDLIST", why="A worker runs the compilers that it has found."),
    Variable(name="DISTCC_CMDLIST_NUMWORDS", why="As DISTCC_CMDLIST."),
    Variable(name="DISTCC_DIR", why="There is no state to be kept; the host list is in hosts."),
    Variable(name="DISTCC_ENABLE_DISCREPANCY_EMAIL", why="Nothing is mailed."),
    Variable(name="DISTCC_LOG", why="The agent's log stands beside its socket."),
    Variable(name="DISTCC_MAX_DISCREPANCY", why="Hosts are tried before they are trusted."),
    Variable(name="DISTCC_PAUSE_TIME_MSEC", why="A job that waits for a slot is told, and does not poll."),
    Variable(name="DISTCC_POTENTIAL_HOSTS", why="Includes are found without a server of their own."),
    Variable(name="DISTCC_PRINCIPAL", why="GSSAPI is not supported."),
    Variable(name="DISTCC_SAVE_TEMPS", why="There are no temporary files; zdistcc explain shows both commands."),
    Variable(name="DISTCC_SKIP_LOCAL_RETRY", why="An error is shown as the local compiler prints it; see fallback."),
    Variable(name="DISTCC_SSH", key="ssh", why="The same."),
    Variable(name="DISTCC_TCP_CORK", why="Each request is handed over whole."),
    Variable(name="DISTCC_TCP_DEFER_ACCEPT", why="A worker keeps its connections."),
    Variable(name="DISTCCD_PATH", why="A worker looks for compilers in its PATH."),
)

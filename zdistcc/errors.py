"""Outcomes that are not success: the exception tree, the reasons and the exit codes.

An expected "no" is a value that carries a :class:`Reason`; the same reason is the counter in
``zdistcc stats``, the word in the log, the text in ``explain`` and the assertion in a test.
An exception is either a :class:`UserError` (its text tells the user what to do) or an
:class:`InfraError` (anything for which "compile locally" is the right answer).  Everything else
is a bug.

Must not know: sockets, files, the clock, any third-party package.
"""

from __future__ import annotations

import enum


class ZdistccError(Exception):
    """Root of what this package raises on purpose."""


class UserError(ZdistccError):
    """The user has to change something; the message says what happened, why, and what to do."""


class InfraError(ZdistccError):
    """The farm let us down; the job is compiled locally (or elsewhere)."""


class ProtocolError(InfraError):
    """A peer, or we ourselves, broke the protocol; the connection is dead."""


class LocalProtocolError(ProtocolError):
    """We tried to do something the protocol forbids: a bug of ours."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something the protocol forbids."""


class Reason(enum.Enum):
    """Why a job did not run remotely, or not in the preferred mode.

    ``word`` is the counter's name in ``stats --json`` and the log; ``text`` is the sentence shown.
    """

    def __init__(self, word: str, text: str) -> None:
        self.word = word
        self.text = text

    # --- what the command line says -------------------------------------------------------------
    NOT_A_COMPILE = ("not-a-compile", "the command does not compile a source file to an object")
    # --- what the farm says ---------------------------------------------------------------------
    NO_WORKER = ("no-worker", "no worker is known on the network")
    NO_COMPATIBLE_WORKER = ("no-compatible-worker", "no worker has a compatible compiler")
    # --- what the worker's store says -----------------------------------------------------------
    STORE_FULL = ("store-full", "the worker's store has no room for the files of this job")
    STORE_FAILED = ("store-failed", "the worker's store could not be read or written")
    BLOB_MISMATCH = ("blob-mismatch", "a file arrived at the worker with other content than announced")
    TREE_REFUSED = ("tree-refused", "a path of this job cannot be mirrored on the worker")
    TREE_CONFLICT = ("tree-conflict", "a path of this job contradicts what its epoch said before")
    TREE_LOST = ("tree-lost", "the job's files on the worker were changed or deleted by somebody else")

    def __str__(self) -> str:
        return self.word


class ExitCode(enum.IntEnum):
    """Exit codes of the client, those of distcc for the same causes (100-120)."""

    GENERAL = 100
    BAD_ARGUMENTS = 101
    BIND_FAILED = 102
    CONNECT_FAILED = 103
    COMPILER_CRASHED = 104
    OUT_OF_MEMORY = 105
    BAD_HOST_SPEC = 106
    IO_ERROR = 107
    TRUNCATED = 108
    PROTOCOL_ERROR = 109
    COMPILER_MISSING = 110
    RECURSION = 111
    SETUID = 112
    ACCESS_DENIED = 113
    BUSY = 114
    NO_SUCH_FILE = 115
    NO_HOSTS = 116
    GONE = 117
    TIMEOUT = 118
    GSSAPI = 119
    LOCAL_CPP = 120

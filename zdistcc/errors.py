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
    # --- what the job reads ---------------------------------------------------------------------
    COMPUTED_INCLUDE = (
        "computed-include",
        "an #include names its file by a macro only the compiler can expand",
    )
    COMPUTED_PROBE = (
        "computed-probe",
        "a __has_include names its file by a macro only the compiler can expand",
    )
    SCANNER_MISS = ("scanner-miss", "a worker lacked a file that the include scanner had not found")
    ABSOLUTE_INCLUDE = ("absolute-include", "a file is included by an absolute path")
    DATE_OR_TIME = ("date-or-time", "the source uses __DATE__ or __TIME__")
    FILE_TIMESTAMP = ("file-timestamp", "the source uses __TIMESTAMP__, the time its file was changed")
    PRAGMA_READS_FILE = ("pragma-reads-file", "a #pragma makes the compiler look at another file")
    MODULE_UNIT = ("module-unit", "the source imports or exports a C++ module")
    ASSEMBLER_READS_FILE = ("assembler-reads-file", "the assembler reads a file whose name is not plain")
    PRECOMPILED_HEADER = ("precompiled-header", "a precompiled header stands in for the text of a header")
    STALE_PRECOMPILED_HEADER = (
        "stale-precompiled-header",
        "a precompiled header is not newer than the headers it was made from",
    )
    FRAMEWORK_SEARCH = ("framework-search", "headers are searched in framework directories")
    HEADER_MAP = ("header-map", "headers are found through a header map, module map or overlay")
    SEARCH_PATH_UNKNOWN = ("search-path-unknown", "the compiler did not tell where it searches headers")
    DEPENDENCIES_UNKNOWN = ("dependencies-unknown", "the compiler did not tell which files it reads")
    SOURCE_MISSING = ("source-missing", "the source file does not exist")
    SOURCE_UNREADABLE = ("source-unreadable", "a source file or its directory cannot be read")
    SOURCE_NOT_REGULAR = ("source-not-regular", "a source is a device, a pipe or a socket")
    SOURCE_TOO_LARGE = ("source-too-large", "a source file is too large to be shipped")
    SOURCES_CHANGING = ("sources-changing", "source files kept changing while they were read")
    # --- what the farm says ---------------------------------------------------------------------
    NO_WORKER = ("no-worker", "no worker is known on the network")
    NO_COMPATIBLE_WORKER = ("no-compatible-worker", "no worker has a compatible compiler")

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

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
    """The user has to change something; the message says what happened, why, and what to do.

    ``code`` is what a command ends with.
    """

    code = 100


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
    # --- what the compiler says -----------------------------------------------------------------
    COMPILER_MISSING = ("compiler-missing", "the compiler is not there or cannot be run")
    COMPILER_UNIDENTIFIED = ("compiler-unidentified", "the compiler does not say which one it is")
    COMPILER_BROKEN = ("compiler-broken", "the compiler cannot compile an empty file")
    COMPILER_WRAPPED = ("compiler-wrapped", "a wrapper changes the options on their way to the compiler")
    NATIVE_UNKNOWN = ("native-unknown", "what -march=native means here cannot be told to another machine")
    LINK = ("link", "the command links")
    PREPROCESS_ONLY = ("preprocess-only", "the command only preprocesses or lists dependencies")
    QUERY = ("query", "the command asks the compiler about itself or shows what it runs")
    LINKER_WORDS = ("linker-words", "the compiler remarks on options for the linker that it has no use for")
    NO_INPUT = ("no-input", "the command names no source file")
    SEVERAL_INPUTS = ("several-inputs", "the command names several inputs")
    STDIN_INPUT = ("stdin-input", "the source is read from standard input")
    STDOUT_OUTPUT = ("stdout-output", "the output goes to standard output")
    SPECIAL_OUTPUT = ("special-output", "the output is not one plain file")
    CONFIGURE_PROBE = ("configure-probe", "a configure check tries the local compiler")
    MISSING_VALUE = ("missing-value", "an option lacks its value")
    UNKNOWN_OPTION = ("unknown-option", "an option is not known to be safe elsewhere")
    UNKNOWN_FILE = ("unknown-file", "an unknown option names a file")
    RESPONSE_FILE = ("response-file", "a response file is missing, too big or ambiguous")
    UNSUPPORTED_COMPILER = ("unsupported-compiler", "options of this compiler family are not known")
    UNSUPPORTED_LANGUAGE = ("unsupported-language", "the language of the source is not shipped")
    ASSEMBLER_INPUT = ("assembler-input", "the source is plain assembler")
    PRECOMPILED_HEADER = ("precompiled-header", "the command makes, names or uses a precompiled header")
    MODULES = ("modules", "the command uses C++ or Clang modules")
    COMPILER_PROGRAMS = ("compiler-programs", "the command changes the programs the compiler is made of")
    EXTRA_INPUT = ("extra-input", "the compiler reads a further file")
    SIDE_OUTPUT = ("side-output", "the compiler writes a further file")
    SPLIT_DWARF = ("split-dwarf", "debug information goes to a .dwo file")
    COVERAGE = ("coverage", "coverage notes and the paths of the counters belong to this machine")
    STACK_USAGE = ("stack-usage", "stack usage goes to a .su file")
    PROFILE = ("profile", "profile files belong to this machine")
    DUMP = ("dump", "the compiler dumps its internals or statistics")
    DIAGNOSTICS_FORMAT = ("diagnostics-format", "diagnostics are written for another program")
    DEPENDENCY_FORM = ("dependency-form", "dependencies are asked for in an unusual form")
    PREPROCESSOR_OPTION = ("preprocessor-option", "a preprocessor option changes the text that is shipped")
    ASSEMBLER_OPTION = ("assembler-option", "an assembler option may read or write files")
    BACKEND_OPTION = ("backend-option", "an internal option of the compiler is not known to be safe")
    RECORDED_COMMAND_LINE = ("recorded-command-line", "the object records the whole command line")
    SEVERAL_ARCHITECTURES = ("several-architectures", "the command compiles for several architectures")
    OFFLOAD = ("offload", "part of the source is compiled for another device")
    ENVIRONMENT = ("environment", "an environment variable changes the compile")
    # --- what the machine or the text says ------------------------------------------------------
    UNNAMED_TEXT = ("unnamed-text", "preprocessed source does not say what file it is from")
    INCLUDES_BINARY = ("includes-binary", "assembler in the source includes a file")
    SOURCE_COLUMNS = ("source-columns", "the object records source positions, some of which preprocessed text has lost")
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
    WORKERS_FAILED = ("workers-failed", "the workers that could do it failed or left")
    WORKERS_QUARANTINED = ("workers-quarantined", "the workers that could do it have returned wrong results")
    QUICKER_HERE = ("quicker-here", "all workers are full or much slower, and this machine is done with it sooner")
    STRAGGLER = ("straggler", "it took far too long on a worker, and this machine had a slot to spare")
    WORKERS_BUSY = ("workers-busy", "all workers stayed busy for a minute and this machine was free")
    PREPROCESSING_FAILED = (
        "preprocessing-failed",
        "the local preprocessor found an error, which the local compile shows",
    )
    REMOTE_ERROR = ("remote-error", "the remote compiler found an error, which the local compile shows")
    REMOTE_WARNING = (
        "remote-warning",
        "a warning about preprocessed text may not be what the local compiler says of the source",
    )
    OUTPUT_NOT_WRITTEN = ("output-not-written", "the object could not be written; the local compile says why")
    ABANDONED = ("abandoned", "the compile command ended before its job did")
    INTERNAL = ("internal", "something unexpected happened in zdistcc; its log says what")
    WORKER_REFUSED = ("worker-refused", "a worker refused the job for good")
    MODE_PREPROCESSED = ("mode-preprocessed", "the setting mode says that headers are not to be shipped")
    OWN_HEADERS_DIFFER = ("own-headers-differ", "the worker's compiler came with other headers than the client's")
    TREE_LEAKED = ("tree-leaked", "the object would have named the directory in which a worker compiled it")
    CANARY = ("canary", "a trial compile on that worker did not give the bytes of a local one")
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

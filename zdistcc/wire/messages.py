"""Messages: what agent and worker say to each other, as MessagePack structures.

Each is one row: who may say it, whether it belongs to a stream (a job) or to the connection (stream 0),
and what it means.  A new field has a default, so that older peers can still be understood; a
message that a peer does not know is a protocol error, so new messages need a feature word in
the greeting (``Hello.features``, ``Greeting.features``).

Must not know: sockets, the order in which messages may come (connection.py), what is done about them.
Rejected: JSON (bytes need escaping; four times slower), protobuf (a code generator for nineteen messages).
"""

from __future__ import annotations

import enum
from typing import Annotated, Final

import msgspec

from zdistcc.errors import LocalProtocolError, RemoteProtocolError

MAX_SENTENCE: Final = 1024
Text = Annotated[str, msgspec.Meta(max_length=MAX_SENTENCE)]
ShortText = Annotated[str, msgspec.Meta(max_length=256)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Path = Annotated[bytes, msgspec.Meta(min_length=1, max_length=4096)]
Word = Annotated[bytes, msgspec.Meta(max_length=131072)]
Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class _Struct(msgspec.Struct, frozen=True, kw_only=True, array_like=False, omit_defaults=True):
    """Common options: named fields, so that they can be added and left out."""


class Body(_Struct, frozen=True, kw_only=True):
    """Announces a body: ``raw`` and ``packed`` sizes in bytes and the codec's number."""

    raw: Count
    packed: Count
    codec: Count = 0


class CompilerInfo(_Struct, frozen=True, kw_only=True):
    """One compiler a worker offers; ``build_id`` is hexadecimal, ``targets`` more triples or architectures."""

    family: ShortText
    version: ShortText
    target: ShortText
    build_id: ShortText
    languages: Annotated[tuple[ShortText, ...], msgspec.Meta(max_length=32)] = ()
    targets: Annotated[tuple[ShortText, ...], msgspec.Meta(max_length=256)] = ()


class PeerInfo(_Struct, frozen=True, kw_only=True):
    """A worker that another worker sees; ``addresses`` are numeric, with scope where they need one."""

    id: ShortText
    name: ShortText
    addresses: Annotated[tuple[ShortText, ...], msgspec.Meta(max_length=32)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Hello(_Struct, frozen=True, kw_only=True, tag="hello"):
    """Agent to worker, first: who is calling."""

    version: ShortText
    name: ShortText
    agent: ShortText
    features: Annotated[tuple[ShortText, ...], msgspec.Meta(max_length=64)] = ()


class Greeting(_Struct, frozen=True, kw_only=True, tag="greeting"):
    """Worker to agent, first: who answers and what it offers (everything that the TXT record had no room for).

    ``started`` is another word each time the worker's program is started.
    """

    version: ShortText
    id: ShortText
    name: ShortText
    slots: Count
    compilers: Annotated[tuple[CompilerInfo, ...], msgspec.Meta(max_length=256)]
    queue: Count = 0
    machine: ShortText = ""
    features: Annotated[tuple[ShortText, ...], msgspec.Meta(max_length=64)] = ()
    clock: Annotated[float, msgspec.Meta(ge=0, lt=1e12)] = 0.0
    started: ShortText = ""


class Denied(_Struct, frozen=True, kw_only=True, tag="denied"):
    """Worker to agent, instead of the greeting: this agent is not served, and what would help."""

    sentence: Text
    remedy: Text = ""


class Compilers(_Struct, frozen=True, kw_only=True, tag="compilers"):
    """Worker to agent: the list in the greeting has changed (a compiler was installed or removed)."""

    compilers: Annotated[tuple[CompilerInfo, ...], msgspec.Meta(max_length=256)]


class Load(_Struct, frozen=True, kw_only=True, tag="load"):
    """Worker to agent, on change: how busy it is.

    ``slots`` is what it offers now, ``configured`` what it would if it had the machine for itself, ``limited`` why
    that is more, in words.  ``others_load``: hundredths of a core in use by others; memory in bytes; ``efficiency``:
    percent of a processor that a job has got on its slot lately.  What is left out is as it was.
    """

    slots: Count
    running: Count
    queued: Count
    draining: bool = False
    configured: Count | None = None
    limited: ShortText | None = None
    others_load: Count | None = None
    memory_free: Count | None = None
    memory_total: Count | None = None
    efficiency: Count | None = None


class Peers(_Struct, frozen=True, kw_only=True, tag="peers"):
    """Worker to agent: other workers it sees, for clients that multicast does not reach."""

    peers: Annotated[tuple[PeerInfo, ...], msgspec.Meta(max_length=1024)]


class Ping(_Struct, frozen=True, kw_only=True, tag="ping"):
    """Either way: are you there?"""

    token: Count


class Pong(_Struct, frozen=True, kw_only=True, tag="pong"):
    """The answer to a ping, with its token."""

    token: Count


class Goodbye(_Struct, frozen=True, kw_only=True, tag="goodbye"):
    """Either way: no new jobs after this; running ones end as usual."""

    why: Text = ""


class Blob(_Struct, frozen=True, kw_only=True):
    """Content by name: the SHA-256 of the raw bytes, and the body that carries them."""

    digest: Digest
    body: Body


class Stage(enum.Enum):
    """What a job makes."""

    OBJECT = "object"
    ASSEMBLY = "assembly"


class Job(_Struct, frozen=True, kw_only=True, tag="job"):
    """Agent to worker, opens a stream: compile the preprocessed text ``source``.

    With ``eager`` the text follows at once in slot 0; without, the worker asks for it by ``Need`` once it has
    admitted the job, so that a refusal costs no upload.  ``compiler`` is a build id from the worker's list, never
    a path; ``args`` are rebuilt words without input, output and language; ``name`` is the base name of the source
    file; ``cwd`` the client's directory, for what the compiler records; of ``env`` only variables that the worker's
    own list has are used; ``label`` is what a person is shown.
    """

    compiler: ShortText
    target: ShortText
    language: ShortText
    stage: Stage
    args: Annotated[tuple[Word, ...], msgspec.Meta(max_length=16384)]
    name: Annotated[bytes, msgspec.Meta(min_length=1, max_length=255)]
    cwd: Path
    source: Blob
    eager: bool = True
    env: Annotated[tuple[tuple[ShortText, Word], ...], msgspec.Meta(max_length=64)] = ()
    label: Text = ""


class FileEntry(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """A file of the client: real absolute path, content, and its time if ``#pragma once`` may look at it (else 0)."""

    path: Path
    digest: Digest
    size: Count
    mtime_s: int = 0


class LinkEntry(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A symbolic link of the client; both ends are real absolute paths."""

    path: Path
    target: Path


class DirectoryEntry(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A directory of the client that has to exist even if nothing is in it."""

    path: Path


class FileSet(msgspec.Struct, frozen=True, array_like=True):
    """What one job reads: numbers of entries, in the order in which they were declared on this connection."""

    number: Count
    members: Annotated[tuple[Count, ...], msgspec.Meta(max_length=200_000)]


class Files(_Struct, frozen=True, kw_only=True, tag="files"):
    """Agent to worker: more entries, numbered on from those before (from 0), and sets of them that jobs will name."""

    entries: Annotated[tuple[FileEntry | LinkEntry | DirectoryEntry, ...], msgspec.Meta(max_length=65536)] = ()
    sets: Annotated[tuple[FileSet, ...], msgspec.Meta(max_length=1024)] = ()


class PathArg(msgspec.Struct, frozen=True, array_like=True):
    """A word of a command line with a path in it, which the worker places in the client's tree."""

    before: Word
    path: Word
    after: Word = b""


class TreeJob(_Struct, frozen=True, kw_only=True, tag="tree-job"):
    """Agent to worker, opens a stream: compile ``source`` as it stands in the client's tree.

    ``epoch`` names the tree (a new one is begun when a path changes its content or disappears), ``files`` the set of
    entries that the job reads; content that the worker lacks is asked for by ``Need``.  ``cwd`` is absolute;
    ``source`` as the client's command has it.  ``search``: directories that the client's compiler searches by itself
    and the worker's would not, each with the option that adds it.  ``paths``: environment variables that hold
    lists of directories.  ``dependencies``: whether ``args`` ask for a dependency file.  ``sides``: further files that
    the compiler writes, by kind (``dwo``, ``gcno``, ``su``); with them it is given ``output`` as the client's command
    has it, because their names follow from it and are recorded.  Other fields as in ``Job``.
    """

    compiler: ShortText
    target: ShortText
    language: ShortText
    stage: Stage
    args: Annotated[tuple[Word | PathArg, ...], msgspec.Meta(max_length=16384)]
    source: Path
    cwd: Path
    epoch: Count
    files: Count
    search: Annotated[tuple[tuple[ShortText, Path], ...], msgspec.Meta(max_length=64)] = ()
    dependencies: bool = False
    output: Word = b""
    sides: Annotated[tuple[tuple[ShortText, Path], ...], msgspec.Meta(max_length=8)] = ()
    env: Annotated[tuple[tuple[ShortText, Word], ...], msgspec.Meta(max_length=64)] = ()
    paths: Annotated[tuple[tuple[ShortText, Word], ...], msgspec.Meta(max_length=8)] = ()
    label: Text = ""


class Started(_Struct, frozen=True, kw_only=True, tag="started"):
    """Worker to agent: the job left the queue and its compiler runs."""


class Need(_Struct, frozen=True, kw_only=True, tag="need"):
    """Worker to agent: this content is missing here; the job waits for it."""

    digests: Annotated[tuple[Digest, ...], msgspec.Meta(min_length=1, max_length=65536)]


class Supply(_Struct, frozen=True, kw_only=True, tag="supply"):
    """Agent to worker: content that was asked for, slot by position."""

    blobs: Annotated[tuple[Blob, ...], msgspec.Meta(min_length=1, max_length=65536)]


class Output(_Struct, frozen=True, kw_only=True):
    """One file a job made; ``kind`` says which (``object`` …); its bytes are the body in the slot of its position.

    ``digest``: the SHA-256 of the raw bytes, taken where they were made (empty: not taken).  TCP's own checksum misses
    one damaged segment in some 10,000, and an object that is wrong in a byte may still link.  It costs 0.1 ms for
    200 kB where the processor has instructions for it; CRC-32 is a third of that and lets through what a
    broken machine makes of whole blocks.
    """

    kind: ShortText
    body: Body
    digest: Annotated[bytes, msgspec.Meta(max_length=32)] = b""


class Result(_Struct, frozen=True, kw_only=True, tag="result"):
    """Worker to agent, ends a stream: the compiler ended with ``status`` (a raw wait status).

    Bodies: the outputs, slot by position.  ``cpu_ms`` and ``wall_ms`` are the compiler's, ``queue_ms`` the
    time before it.
    """

    status: Count
    stdout: Annotated[bytes, msgspec.Meta(max_length=1 << 20)] = b""
    stderr: Annotated[bytes, msgspec.Meta(max_length=1 << 20)] = b""
    outputs: Annotated[tuple[Output, ...], msgspec.Meta(max_length=16)] = ()
    cpu_ms: Count = 0
    wall_ms: Count = 0
    queue_ms: Count = 0


class RefusalCode(enum.Enum):
    """Why a worker does not do a job; the client's next step depends on it.

    ``memory`` is only said to agents that have the feature word ``memory``: an unknown code ends a connection.
    """

    BUSY = "busy"
    DRAINING = "draining"
    NO_COMPILER = "no-compiler"
    ARGUMENTS = "arguments"
    TOO_LARGE = "too-large"
    STORE_FULL = "store-full"
    TREE = "tree"
    FOREIGN = "foreign"
    INEXACT = "inexact"
    LIMIT = "limit"
    MEMORY = "memory"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


class Refuse(_Struct, frozen=True, kw_only=True, tag="refuse"):
    """Worker to agent, ends a stream: why not, and what would help."""

    code: RefusalCode
    sentence: Text
    remedy: Text = ""


class Cancel(_Struct, frozen=True, kw_only=True, tag="cancel"):
    """Agent to worker: nobody waits for this job any more.

    Answered with ``Refuse(cancelled)`` or a late result.
    """


Message = (
    Hello
    | Greeting
    | Denied
    | Compilers
    | Load
    | Peers
    | Ping
    | Pong
    | Goodbye
    | Job
    | Files
    | TreeJob
    | Started
    | Need
    | Supply
    | Result
    | Refuse
    | Cancel
)
MESSAGES: Final[tuple[type[msgspec.Struct], ...]] = Message.__args__  # the union's members, in order

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """Return the payload of a message frame; :class:`LocalProtocolError` when no peer would take it.

    It is read back for that (some microseconds): constructors check no limits, and a field that is too long would
    cost the whole connection, with every job on it.
    """
    try:
        payload = _encoder.encode(message)
        _decoder.decode(payload)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise LocalProtocolError(f"cannot say {type(message).__name__}: {sentence(str(error))}") from error
    return payload


def decode(payload: bytes) -> Message:
    """Return the message in ``payload``; :class:`RemoteProtocolError` when it is none."""
    try:
        message: Message = _decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"not a message: {sentence(str(error))}") from error
    return message


def sentence(text: str) -> str:
    """Return ``text`` as a field for people holds it: on one line, nothing that acts on a terminal, not too long."""
    return "".join(character if character.isprintable() else "?" for character in text)[:MAX_SENTENCE]


def tag_of(message: Message | type[msgspec.Struct]) -> str:
    """Return the word that names a message on the wire."""
    tag = message.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def bodies_of(message: Message) -> tuple[Body, ...]:
    """Return the bodies that ``message`` announces, in slot order."""
    match message:
        case Job():
            return (message.source.body,) if message.eager else ()
        case Supply():
            return tuple(blob.body for blob in message.blobs)
        case Result():
            return tuple(output.body for output in message.outputs)
        case _:
            return ()

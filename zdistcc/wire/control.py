"""What the launcher and the agent say to each other over the agent's unix socket, both roles.

Grammar (integers are big-endian; a connection carries one request and its replies)::

    launch  = "ZDL1" u32:body_length u32:flags u32:umask u32:pid u32:argc u32:envc u32:0  body
    body    = cwd NUL compiler NUL (argument NUL){argc} (NAME=VALUE NUL){envc}
    admin   = "ZDA1" u32:body_length  body
    reply   = "ZDR1" u8:kind pad{3} u32:status u32:stdout_length u32:stderr_length  stdout stderr

``cwd`` and ``compiler`` (the real compiler, found past ourselves) are absolute; ``argument`` 0 is what
the compiler shall see as its name.  The launcher's descriptors 0, 1 and 2 travel by ``SCM_RIGHTS`` with
the first byte (``/dev/null`` stands in for a closed one); they are the business of whoever owns the
socket, not of this module.

A reply to ``launch`` is any number of WAIT, then exactly one of the others:

========== == ====================================================================================
WAIT       0  the agent is alive; sent every ``HEARTBEAT_S``.  After ``SILENCE_S`` without a byte the
              launcher takes the agent for dead and runs the compiler
RUN        1  run the compiler yourself and keep this socket open across ``exec``: it is the local slot
DONE       2  ``status`` is a raw wait status; print stdout and stderr, then exit, or die, like it
FAIL       3  print stderr (a message) and exit with ``status``
========== == ====================================================================================

Anything else from the agent, or an end of the stream before the last reply, makes the launcher run the
compiler.  The launcher's side is also written in C (``launcher/launcher.c``) and in bare Python
(``launcher/fallback.py``); ``tests/launcher`` holds both against this module.

Must not know: sockets, descriptors, the clock, what the compiler's arguments mean.  On the hot path, so
``struct`` and one ``split``: JSON costs twenty times as much for an environment, and a library would cost
more to import than a thousand requests cost to decode.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from zdistcc.errors import LocalProtocolError, RemoteProtocolError

# Above what Linux lets one exec carry (6 MiB whatever the stack's limit); more is run locally.
BODY_MAX_BYTES = 8 * 1024 * 1024
ADMIN_MAX_BYTES = 1024 * 1024
# A compiler's messages; the bound only keeps a broken peer from making us allocate without end.
OUTPUT_MAX_BYTES = 256 * 1024 * 1024
HEARTBEAT_S = 5
SILENCE_S = 30
BUILD_VARIABLE = "_ZDISTCC_BUILD"
"""In a launcher's environment: the build that its job is counted with, a word that the build's root chose."""

LAUNCH_MAGIC = b"ZDL1"
ADMIN_MAGIC = b"ZDA1"
REPLY_MAGIC = b"ZDR1"
_LAUNCH = struct.Struct(">4s7I")
_ADMIN = struct.Struct(">4sI")
_REPLY = struct.Struct(">4sB3x3I")


class LaunchFlag(enum.IntFlag):
    """What the launcher knows of a call beside its arguments; bits unknown to us are kept."""

    STDERR_IS_TERMINAL = 1
    IMPLICIT_COMPILER = 2
    MASQUERADE = 4
    PYTHON_LAUNCHER = 8


class ReplyKind(enum.IntEnum):
    """The four answers of the agent, see the grammar."""

    WAIT = 0
    RUN = 1
    DONE = 2
    FAIL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """One call of the compiler, as the launcher met it."""

    cwd: bytes
    compiler: bytes
    argv: tuple[bytes, ...]
    env: dict[bytes, bytes]
    flags: LaunchFlag
    umask: int
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminRequest:
    """A question of the command line interface; its body is read by the control server."""

    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of the agent; ``status`` is a wait status for DONE, an exit code for FAIL."""

    kind: ReplyKind
    status: int = 0
    stdout: bytes = b""
    stderr: bytes = b""


# --- requests -----------------------------------------------------------------------------------------


class RequestReader:
    """Puts one request together from the pieces in which a socket delivers it.

    ``receive_data`` returns the request once it is whole and ``None`` until then; it raises
    :class:`RemoteProtocolError` for anything the grammar forbids, bytes after the request among it, and
    is of no use afterwards.
    """

    __slots__ = ("_buffer", "_done", "_needed")

    def __init__(self) -> None:
        self._buffer = b""
        self._needed = _ADMIN.size
        self._done = False

    def receive_data(self, data: bytes) -> LaunchRequest | AdminRequest | None:
        """Take ``data``; return the request if that completed it."""
        if self._done:
            raise RemoteProtocolError("the launcher sent more than its request")
        buffer = self._buffer = self._buffer + data if self._buffer else data
        if len(buffer) >= 4 and buffer[:4] not in _DECODERS:
            self._done = True
            raise RemoteProtocolError("not a request of zdistcc")
        if len(buffer) >= _ADMIN.size and self._needed == _ADMIN.size:
            self._needed = self._length_of(buffer)
        if len(buffer) < self._needed or self._needed == _ADMIN.size:
            return None
        self._done = True
        self._buffer = b""
        if len(buffer) > self._needed:
            raise RemoteProtocolError("the launcher sent more than its request")
        return _DECODERS[buffer[:4]](buffer)

    def _length_of(self, buffer: bytes) -> int:
        """The length of the whole request; both kinds have their body's length in the same place."""
        magic, body_length = _ADMIN.unpack_from(buffer)
        header, limit = (_LAUNCH.size, BODY_MAX_BYTES) if magic == LAUNCH_MAGIC else (_ADMIN.size, ADMIN_MAX_BYTES)
        if not 0 < body_length <= limit:
            self._done = True
            raise RemoteProtocolError(f"a request of {body_length} bytes is not within 1 to {limit}")
        return int(header + body_length)


def _decode_launch(buffer: bytes) -> LaunchRequest:
    _, _, flags, umask, pid, argc, envc, reserved = _LAUNCH.unpack_from(buffer)
    strings = buffer[_LAUNCH.size :].split(b"\0")
    if reserved or argc == 0 or umask > 0o777:
        raise RemoteProtocolError("a launch request with an impossible header")
    if len(strings) != argc + envc + 3 or strings[-1]:
        raise RemoteProtocolError("a launch request whose strings are not those announced")
    cwd, compiler = strings[0], strings[1]
    if cwd[:1] != b"/" or compiler[:1] != b"/":
        raise RemoteProtocolError("a launch request with a relative path")
    env: dict[bytes, bytes] = {}
    # Backwards, because of a name that is there twice getenv() sees the first.
    for entry in strings[-2 : argc + 1 : -1]:
        name, equals, value = entry.partition(b"=")
        if name and equals:
            env[name] = value
    return LaunchRequest(
        cwd=cwd,
        compiler=compiler,
        argv=tuple(strings[2 : argc + 2]),
        env=env,
        flags=LaunchFlag(flags),
        umask=umask,
        pid=pid,
    )


def _decode_admin(buffer: bytes) -> AdminRequest:
    return AdminRequest(body=buffer[_ADMIN.size :])


_DECODERS: dict[bytes, Callable[[bytes], LaunchRequest | AdminRequest]] = {
    LAUNCH_MAGIC: _decode_launch,
    ADMIN_MAGIC: _decode_admin,
}


def encode_request(
    *,
    cwd: bytes,
    compiler: bytes,
    argv: Sequence[bytes],
    env: Mapping[bytes, bytes],
    flags: int = 0,
    umask: int = 0o022,
    pid: int = 0,
) -> bytes:
    """The bytes of a launch request; :class:`LocalProtocolError` if they can't be sent."""
    strings = [cwd, compiler, *argv, *(name + b"=" + value for name, value in env.items())]
    body = b"\0".join(strings) + b"\0"
    if body.count(b"\0") != len(strings):
        raise LocalProtocolError("a NUL in a path, an argument or the environment")
    if len(body) > BODY_MAX_BYTES:
        raise LocalProtocolError("the command line and environment are too long")
    return _LAUNCH.pack(LAUNCH_MAGIC, len(body), flags, umask, pid, len(argv), len(env), 0) + body


def encode_admin(body: bytes) -> bytes:
    """The bytes of an admin request; :class:`LocalProtocolError` if the body is empty or too long."""
    if not 0 < len(body) <= ADMIN_MAX_BYTES:
        raise LocalProtocolError(f"an admin request of {len(body)} bytes")
    return _ADMIN.pack(ADMIN_MAGIC, len(body)) + body


# --- replies ------------------------------------------------------------------------------------------


class ReplyReader:
    """Puts replies together; ``receive_data`` returns those that became whole.

    Raises :class:`RemoteProtocolError` for anything the grammar forbids, bytes after the last reply among
    it, and is of no use afterwards.
    """

    __slots__ = ("_buffer", "_done")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._done = False

    def receive_data(self, data: bytes) -> list[Reply]:
        """Take ``data``; return the replies which that completed, in order."""
        self._buffer += data
        replies: list[Reply] = []
        while not self._done and len(self._buffer) >= _REPLY.size:
            magic, kind, status, out, err = _REPLY.unpack_from(self._buffer)
            _check_reply(magic, kind, status, out, err)
            end = _REPLY.size + out + err
            if len(self._buffer) < end:
                return replies
            body = bytes(self._buffer[_REPLY.size : end])
            del self._buffer[:end]
            replies.append(Reply(kind=ReplyKind(kind), status=status, stdout=body[:out], stderr=body[out:]))
            self._done = kind != ReplyKind.WAIT
        if self._done and self._buffer:
            raise RemoteProtocolError("the agent sent more than its reply")
        return replies


def _check_reply(magic: bytes, kind: int, status: int, out: int, err: int) -> None:
    if magic != REPLY_MAGIC or kind > ReplyKind.FAIL:
        raise RemoteProtocolError("not a reply of an agent")
    if out > OUTPUT_MAX_BYTES or err > OUTPUT_MAX_BYTES:
        raise RemoteProtocolError("a reply with more output than is bearable")
    if kind in (ReplyKind.WAIT, ReplyKind.RUN) and (status or out or err):
        raise RemoteProtocolError("a reply that has nothing to carry carries something")
    if kind == ReplyKind.DONE and status > 0xFFFF:
        raise RemoteProtocolError("a wait status that no process can have")
    if kind == ReplyKind.FAIL and (out or not 0 < status < 256):
        raise RemoteProtocolError("a failure without an exit code, or with output")


def encode_wait() -> bytes:
    """The agent's heartbeat."""
    return _REPLY.pack(REPLY_MAGIC, ReplyKind.WAIT, 0, 0, 0)


def encode_run() -> bytes:
    """The launcher shall run the compiler; the socket is its slot."""
    return _REPLY.pack(REPLY_MAGIC, ReplyKind.RUN, 0, 0, 0)


def encode_done(status: int, out: bytes, err: bytes) -> bytes:
    """The job is done: its raw wait status and what it printed."""
    if len(out) > OUTPUT_MAX_BYTES or len(err) > OUTPUT_MAX_BYTES:
        raise LocalProtocolError("more output than a reply can carry")
    if not 0 <= status <= 0xFFFF:
        raise LocalProtocolError(f"{status} is not a wait status")
    return _REPLY.pack(REPLY_MAGIC, ReplyKind.DONE, status, len(out), len(err)) + out + err


def encode_fail(code: int, message: bytes) -> bytes:
    """The launcher shall print ``message`` and exit with ``code`` (1 to 255)."""
    if not 0 < code < 256 or len(message) > OUTPUT_MAX_BYTES:
        raise LocalProtocolError(f"exit code {code} can't tell a failure")
    return _REPLY.pack(REPLY_MAGIC, ReplyKind.FAIL, code, 0, len(message)) + message

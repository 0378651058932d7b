"""Requests and responses of stock distcc's protocol, for tests and for the fuzzer."""

from __future__ import annotations

from pathlib import Path

from zdistcc.errors import ProtocolError
from zdistcc.wire.distcc import DistccClient, DistccServer
from zdistcc.wire.distcc_events import Event, File, FileReceived, Link, OutputReceived, SourceReceived, Version

ARGS = (b"gcc", b"-O2", b"", b"-c", b"x.c", b"-o", b"x.o")
SOURCE = b'# 1 "x.c"\n' + b"int f(int x) { return x + 1; }\n" * 20
NAMES = (
    File(path=b"/src/x.c", data=b'#include "inc/a.h"\n'),
    File(path=b"/src/real/a.h", data=b"#define A 1\n" * 9),
    Link(path=b"/src/inc", target=b"real"),
    Link(path=b"/far/away", target=b"../src/real"),
    Link(path=b"/absolute", target=b"/src"),
    Link(path=b"/usr/include", target=b"../" * 20 + b"usr/include"),
    File(path=b"/src/empty", data=b""),
)
GOLDEN = Path(__file__).parent.parent / "golden" / "distcc"
TRANSCRIPTS = sorted(path.stem for path in GOLDEN.glob("*.request"))


def asked(version: Version, *, source: bytes = SOURCE) -> DistccClient:
    """Return a client that has asked for a compile."""
    client = DistccClient()
    if version is Version.PUMP:
        client.request(version, ARGS, cwd=b"/src", names=NAMES)
    else:
        client.request(version, ARGS, source=source)
    return client


def request(version: Version, *, source: bytes = SOURCE) -> bytes:
    """Return the bytes of a request."""
    return drained(asked(version, source=source))


def response(version: Version, status: int = 0, *, object: bytes = b"\x7fELF" + bytes(range(256)) * 3) -> bytes:
    """Return the bytes of a response."""
    server = DistccServer()
    server.receive_data(request(version))
    server.events()
    server.respond(
        status=status,
        stderr=b"x.c:1: warning: no\n",
        stdout=b"",
        object=b"" if status else object,
        dependencies=b"x.o: x.c\n" if version is Version.PUMP and not status else None,
    )
    return drained(server)


def drained(core: DistccClient | DistccServer) -> bytes:
    """Return everything that `core` has to say."""
    said = b""
    while piece := core.data_to_send(1 << 20):
        said += piece
    return said


def hear(core: DistccClient | DistccServer, wire: bytes, size: int = 0) -> list[Event]:
    """Feed `wire` in pieces of `size` (0: at once) and return the events, those before an error included."""
    heard: list[Event] = []
    size = size or max(1, len(wire))
    try:
        for place in range(0, len(wire), size):
            core.receive_data(wire[place : place + size])
            heard += core.events()
    except ProtocolError:
        heard += core.events()
        raise
    return heard


def body(events: list[Event]) -> bytes:
    """Return the source, the files or the outputs in `events`, joined."""
    return b"".join(e.data for e in events if isinstance(e, SourceReceived | FileReceived | OutputReceived))

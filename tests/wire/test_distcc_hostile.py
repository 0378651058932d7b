"""Peers that say what no distcc program says: refused, early, and within bounds of memory and time."""

from __future__ import annotations

import resource
import time
import tracemalloc

import pytest

from tests.wire.distcc_samples import ARGS, SOURCE, asked, drained, hear, response
from zdistcc.errors import RemoteProtocolError
from zdistcc.wire import lzo
from zdistcc.wire.distcc import DistccClient, DistccServer
from zdistcc.wire.distcc_events import (
    LinkReceived,
    Version,
)
from zdistcc.wire.distcc_tokens import Limits


def token(name: bytes, value: int | bytes) -> bytes:
    """Spell a token by hand."""
    if isinstance(value, int):
        return name + b"%08x" % value
    return name + b"%08x" % len(value) + value


def head(version: int, args: tuple[bytes, ...] = (b"gcc", b"-c")) -> bytes:
    cwd = token(b"CDIR", b"/src") if version == 3 else b""
    return token(b"DIST", version) + cwd + token(b"ARGC", len(args)) + b"".join(token(b"ARGV", arg) for arg in args)


def pump(*names: tuple[bytes, bytes, bytes]) -> bytes:
    """A version 3 request with ``(path, FILE or LINK, payload)``."""
    wire = head(3) + token(b"NFIL", len(names))
    for path, kind, payload in names:
        wire += token(b"NAME", path) + token(kind, payload)
    return wire


def bomb(size: int) -> bytes:
    """Return a small stream that unpacks to at least ``size`` bytes: one literal, copied over and over."""
    return b"\x12x\x20" + bytes(size // 255) + b"\x01\0\0\x11\0\0"


MALFORMED = {
    "version 0": token(b"DIST", 0),
    "version 4": token(b"DIST", 4),
    "version 4294967295": token(b"DIST", 0xFFFFFFFF),
    "upper-case digits": token(b"DIST", 1) + b"ARGC0000000A",
    "a sign": b"DIST+0000001",
    "spaces": b"DIST       1",
    "underscores": b"DIST0000_001",
    "a prefix": b"DIST0x000001",
    "no digits": b"DISTgggggggg",
    "lower-case name": b"dist00000001",
    "another protocol": b"GET / HTTP/1.1\r\n\r\n",
    "our own protocol": b"ZDCC\0\1\r\n",
    "no arguments": token(b"DIST", 1) + token(b"ARGC", 0),
    "too many arguments": token(b"DIST", 1) + token(b"ARGC", Limits().arguments + 1),
    "64 KiB argument": token(b"DIST", 1) + token(b"ARGC", 2) + token(b"ARGV", b"gcc") + b"ARGV00010000",
    "endless argument": token(b"DIST", 1) + token(b"ARGC", 2) + b"ARGVffffffff",
    "long arguments": head(1, (b"x" * 65535,) * 33),
    "zero byte in an argument": head(1, (b"gcc", b"-c\0")),
    "tokens out of order": token(b"DIST", 1) + token(b"DOTI", b""),
    "a token of responses": token(b"DIST", 1) + token(b"DONE", 1),
    "a token of version 3": head(1) + token(b"NFIL", 0),
    "a token of version 1": head(3) + token(b"DOTI", b""),
    "endless source": head(1) + b"DOTIffffffff",
    "endless packed source": head(2) + b"DOTIffffffff",
    "damaged source": head(2) + token(b"DOTI", b"\xff" * 40),
    "source cut short": head(2) + token(b"DOTI", lzo.pack(SOURCE)[:-5]),
    "source with junk": head(2) + token(b"DOTI", lzo.pack(SOURCE) + b"x"),
    "relative directory": token(b"DIST", 3) + token(b"CDIR", b"src"),
    "no directory": token(b"DIST", 3) + token(b"CDIR", b""),
    "directory that climbs": token(b"DIST", 3) + token(b"CDIR", b"/src/../etc"),
    "long directory": token(b"DIST", 3) + token(b"CDIR", b"/" + b"x" * 4095),
    "too many files": head(3) + token(b"NFIL", Limits().files + 1),
    "relative name": pump((b"x.c", b"FILE", b"")),
    "name that climbs": pump((b"/src/../../etc/passwd", b"FILE", b"")),
    "name that ends climbing": pump((b"/src/..", b"FILE", b"")),
    "name of the root": pump((b"/", b"FILE", b"")),
    "empty name": pump((b"", b"FILE", b"")),
    "name with a dot": pump((b"/src/./x", b"FILE", b"")),
    "name with an empty part": pump((b"/src//x", b"FILE", b"")),
    "name of a directory": pump((b"/src/x/", b"FILE", b"")),
    "zero byte in a name": pump((b"/src/x\0y", b"FILE", b"")),
    "name twice": pump((b"/x", b"FILE", b""), (b"/x", b"FILE", b"")),
    "file and directory": pump((b"/x/y", b"FILE", b""), (b"/x", b"FILE", b"")),
    "file under a file": pump((b"/x", b"FILE", b""), (b"/x/y", b"FILE", b"")),
    "file under a link": pump((b"/x", b"LINK", b"y"), (b"/x/z/y", b"FILE", b"")),
    "link over a directory": pump((b"/x/y", b"FILE", b""), (b"/x", b"LINK", b"y")),
    "neither file nor link": pump((b"/x", b"DOTI", b"")),
    "link to nothing": pump((b"/x", b"LINK", b"")),
    "zero byte in a link": pump((b"/x", b"LINK", b"a\0b")),
    "long link": pump((b"/x", b"LINK", b"a" * 4096)),
    "link out": pump((b"/x", b"LINK", b"../etc")),
    "link far out": pump((b"/a/b/x", b"LINK", b"../../../etc/passwd")),
    "link to the server's other directory": pump((b"/usr/include", b"LINK", b"../" * 9 + b"etc")),
    "link to the server's root": pump((b"/a", b"LINK", b"../..")),
    "link that climbs later": pump((b"/a/b/c/x", b"LINK", b"d/../e")),
    "absolute link that climbs": pump((b"/x", b"LINK", b"/a/../../etc")),
    "damaged file": pump((b"/x", b"FILE", b"\xff" * 40)),
}


@pytest.mark.parametrize("wire", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_requests(wire: bytes) -> None:
    for size in (0, 1):
        server = DistccServer()
        with pytest.raises(RemoteProtocolError) as caught:
            hear(server, wire, size if len(wire) < 100_000 else 4096)
        assert server.dead and str(caught.value).isprintable() and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (b"/a/b/c", b"../d"),
        (b"/a/b/c", b"../../d"),
        (b"/a/b/c", b".."),
        (b"/a/b/c", b"../.."),
        (b"/a", b"b/c"),
        (b"/a", b"."),
        (b"/a", b"/"),
        (b"/a", b"/b//c"),
    ],
)
def test_links_within_the_tree(path: bytes, target: bytes) -> None:
    assert LinkReceived(path=path, target=target) in hear(DistccServer(), pump((path, b"LINK", target)))


DONE = token(b"DONE", 1)
BAD_ANSWERS = {
    "another token": token(b"DIST", 1),
    "another version": token(b"DONE", 3),
    "status too high": DONE + token(b"STAT", 0x10000),
    "endless messages": DONE + token(b"STAT", 0) + b"SERRffffffff",
    "out of order": DONE + token(b"STAT", 0) + token(b"SOUT", b""),
    "endless object": DONE + token(b"STAT", 0) + token(b"SERR", b"") + token(b"SOUT", b"") + b"DOTOffffffff",
    "dependencies in version 1": response(Version.PLAIN) + token(b"DOTD", b""),
    "bad digits": b"DONE0000000A",
}


@pytest.mark.parametrize("wire", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_malformed_responses(wire: bytes) -> None:
    for size in (0, 1):
        client = asked(Version.PLAIN)
        drained(client)
        with pytest.raises(RemoteProtocolError):
            hear(client, wire, size)
        assert client.dead


class TestBounds:
    def test_bombs_are_refused_without_being_unpacked(self) -> None:
        thirty = bomb(30 << 20)
        cases = [
            (head(2) + token(b"DOTI", bomb(300 << 20)), Limits(), 16),
            (head(2) + token(b"DOTI", bomb(4000 << 20)), Limits(), 48),
            (pump((b"/a", b"FILE", thirty), (b"/b", b"FILE", thirty)), Limits(total_bytes=40 << 20), 90),
            (pump(*((b"/%d" % n, b"FILE", bomb(999)) for n in range(99))), Limits(total_bytes=50_000), 16),
        ]
        for wire, limits, most_mib in cases:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            begun = time.process_time()
            server = DistccServer(limits=limits)
            with pytest.raises(RemoteProtocolError, match="more than"):
                for place in range(0, len(wire), 65536):
                    server.receive_data(wire[place : place + 65536])
                    server.events()
            assert time.process_time() - begun < 5
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < most_mib << 10

    def test_a_bomb_in_a_response(self) -> None:
        client = DistccClient(limits=Limits(total_bytes=1 << 20))
        client.request(Version.LZO, ARGS, source=b"")
        drained(client)
        wire = token(b"DONE", 2) + token(b"STAT", 0) + token(b"SERR", lzo.pack(bytes(2 << 20)))
        with pytest.raises(RemoteProtocolError, match="more than"):
            client.receive_data(wire)

    def test_what_is_only_announced_costs_nothing(self) -> None:
        wires = [
            head(1) + token(b"DOTI", Limits().total_bytes),
            head(2) + token(b"DOTI", Limits().total_bytes),
            token(b"DIST", 1) + token(b"ARGC", Limits().arguments),
            head(3) + token(b"NFIL", Limits().files),
        ]
        tracemalloc.start()
        try:
            for wire in wires:
                server = DistccServer()
                server.receive_data(wire)
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()

    def test_deep_and_long_names(self) -> None:
        wire = head(3) + token(b"NFIL", 65536)
        server = DistccServer()
        server.receive_data(wire)
        tracemalloc.start()
        try:
            with pytest.raises(RemoteProtocolError, match="more than"):
                for number in range(65536):
                    path = b"/%x" % number + b"/a" * 2000
                    server.receive_data(token(b"NAME", path) + token(b"FILE", b""))
                    server.events()
            assert tracemalloc.get_traced_memory()[1] < 160 << 20
        finally:
            tracemalloc.stop()

    def test_long_names(self) -> None:
        server = DistccServer()
        server.receive_data(head(3) + token(b"NFIL", 65536))
        with pytest.raises(RemoteProtocolError, match="names of more than"):
            for number in range(65536):
                server.receive_data(token(b"NAME", b"/%x" % number + b"a" * 4000) + token(b"FILE", b""))
                server.events()

    def test_a_dropped_body_is_not_kept(self) -> None:
        server = DistccServer()
        server.receive_data(head(2) + token(b"DOTI", 100 << 20))
        server.respond(status=1)
        drained(server)
        piece = bytes(1 << 20)
        tracemalloc.start()
        try:
            for _ in range(100):
                server.receive_data(piece)
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()
        assert server.complete

"""The cores for stock distcc's protocol: against each other, and against peers that lie."""

from __future__ import annotations

import os
import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.distcc_samples import ARGS, NAMES, SOURCE, asked, body, drained, hear, request, response
from zdistcc.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from zdistcc.wire import lzo
from zdistcc.wire.distcc import DistccClient, DistccServer, versions_here
from zdistcc.wire.distcc_events import (
    AnswerComplete,
    Answered,
    Closed,
    File,
    FileReceived,
    JobAnnounced,
    JobComplete,
    Link,
    LinkReceived,
    OutputReceived,
    Part,
    SourceReceived,
    SystemDirectoryNamed,
    Version,
)
from zdistcc.wire.distcc_tokens import PIECE_BYTES, Limits

BOTH_TEXT = (Version.PLAIN, Version.LZO)


class TestTogether:
    @pytest.mark.parametrize("size", [0, 1, 7, 1000])
    @pytest.mark.parametrize("version", BOTH_TEXT)
    def test_text(self, version: Version, size: int) -> None:
        client, server = asked(version), DistccServer()
        heard = hear(server, drained(client), size)
        assert heard == [
            JobAnnounced(version=version, args=ARGS),
            SourceReceived(data=SOURCE, last=True),
            JobComplete(),
        ]
        server.respond(status=0, stderr=b"warning\n", stdout=b"out", object=b"\x7fELF")
        assert hear(client, drained(server), size) == [
            Answered(status=0, stderr=b"warning\n", stdout=b"out"),
            OutputReceived(part=Part.OBJECT, data=b"\x7fELF", last=True),
            AnswerComplete(),
        ]
        for core in (client, server):
            assert core.complete and not core.wants_to_send and not core.unsent_bytes
            core.receive_eof()
            assert core.events() == [Closed(clean=True, heard=True)]

    @pytest.mark.parametrize("size", [0, 1, 7, 1000])
    def test_pump(self, size: int) -> None:
        client, server = asked(Version.PUMP), DistccServer()
        assert hear(server, drained(client), size) == [
            JobAnnounced(version=Version.PUMP, args=ARGS, cwd=b"/src", names=len(NAMES)),
            FileReceived(path=b"/src/x.c", data=b'#include "inc/a.h"\n'),
            FileReceived(path=b"/src/real/a.h", data=b"#define A 1\n" * 9),
            LinkReceived(path=b"/src/inc", target=b"real"),
            LinkReceived(path=b"/far/away", target=b"../src/real"),
            LinkReceived(path=b"/absolute", target=b"/src"),
            SystemDirectoryNamed(path=b"/usr/include"),
            FileReceived(path=b"/src/empty", data=b""),
            JobComplete(),
        ]
        server.respond(status=0, object=b"o", dependencies=b"x.o: x.c\n")
        assert hear(client, drained(server), size) == [
            Answered(status=0, stderr=b"", stdout=b""),
            OutputReceived(part=Part.OBJECT, data=b"o", last=True),
            OutputReceived(part=Part.DEPENDENCIES, data=b"x.o: x.c\n", last=True),
            AnswerComplete(),
        ]

    @pytest.mark.parametrize("version", Version)
    def test_failures_have_no_outputs(self, version: Version) -> None:
        client, server = asked(version), DistccServer()
        hear(server, drained(client))
        server.respond(status=1 << 8, stderr=b"error\n")
        assert hear(client, drained(server)) == [
            Answered(status=256, stderr=b"error\n", stdout=b""),
            OutputReceived(part=Part.OBJECT, data=b"", last=True),
            AnswerComplete(),
        ]

    @pytest.mark.parametrize("version", BOTH_TEXT)
    @pytest.mark.parametrize("length", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 300_000])
    def test_sizes_and_pieces(self, version: Version, length: int) -> None:
        source = os.urandom(length)
        client, server = asked(version, source=source), DistccServer()
        heard = hear(server, drained(client), 4099)
        assert body(heard) == source
        pieces = [event for event in heard if isinstance(event, SourceReceived)]
        assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert version is Version.LZO or all(len(piece.data) <= PIECE_BYTES for piece in pieces)
        server.respond(status=0, object=source)
        assert body(hear(client, drained(server), 4099)) == source

    def test_files_may_be_packed_already(self) -> None:
        data = b"#define LONG_AND_DULL\n" * 99
        wires = []
        for entry in (File(path=b"/a", data=data), File(path=b"/a", data=lzo.pack(data), packed=True)):
            client = DistccClient()
            client.request(Version.PUMP, ARGS, cwd=b"/", names=[entry])
            wires.append(drained(client))
        assert wires[0] == wires[1]

    def test_what_is_sent_at_once_is_limited(self) -> None:
        client = asked(Version.PLAIN, source=b"x" * 1000)
        whole, sizes, said = client.unsent_bytes, [], b""
        while client.wants_to_send:
            piece = client.data_to_send(64)
            said += piece
            sizes.append(len(piece))
            assert client.unsent_bytes == whole - len(said)
        assert said == request(Version.PLAIN, source=b"x" * 1000) and set(sizes[:-1]) == {64}
        assert client.data_to_send() == b""


class TestOrder:
    @pytest.mark.parametrize("version", Version)
    def test_a_failure_may_come_early_and_the_rest_is_dropped(self, version: Version) -> None:
        wire = request(version, source=os.urandom(500_000))
        server = DistccServer()
        sent = 400 if version is Version.PUMP else 200_000
        server.receive_data(wire[:sent])
        server.events()
        with pytest.raises(LocalProtocolError, match="before the job was complete"):
            server.respond(status=0, dependencies=b"" if version is Version.PUMP else None)
        server.respond(status=110 << 8, stderr=b"no such compiler\n")
        assert hear(server, wire[sent:], 1000) == [JobComplete()]
        client = asked(version)
        drained(client)
        assert hear(client, drained(server))[0] == Answered(status=110 << 8, stderr=b"no such compiler\n", stdout=b"")

    def test_one_response_and_only_to_a_job(self) -> None:
        server = DistccServer()
        with pytest.raises(LocalProtocolError, match="before a job"):
            server.respond(status=1)
        hear(server, request(Version.PLAIN))
        server.respond(status=1)
        with pytest.raises(LocalProtocolError, match="again"):
            server.respond(status=1)

    @pytest.mark.parametrize(
        ("version", "answer"),
        [
            (Version.PLAIN, {"status": -1}),
            (Version.PLAIN, {"status": 0x10000}),
            (Version.PLAIN, {"status": 256, "object": b"o"}),
            (Version.PLAIN, {"status": 0, "dependencies": b""}),
            (Version.LZO, {"status": 0, "dependencies": b""}),
            (Version.PUMP, {"status": 0}),
            (Version.PUMP, {"status": 256, "dependencies": b""}),
        ],
    )
    def test_responses_that_must_not_be(self, version: Version, answer: dict[str, int | bytes]) -> None:
        server = DistccServer()
        hear(server, request(version))
        with pytest.raises(LocalProtocolError):
            server.respond(**answer)  # type: ignore[arg-type]
        assert not server.wants_to_send and not server.dead

    def test_one_request(self) -> None:
        client = asked(Version.PLAIN)
        with pytest.raises(LocalProtocolError, match="one job"):
            client.request(Version.PLAIN, ARGS, source=b"")

    @pytest.mark.parametrize("core", [DistccServer, DistccClient])
    def test_nothing_is_heard_after_the_end(self, core: type[DistccServer] | type[DistccClient]) -> None:
        wire = request(Version.PLAIN) if core is DistccServer else response(Version.PLAIN)
        for cut in (0, len(wire)):
            ours = DistccServer() if core is DistccServer else asked(Version.PLAIN)
            drained(ours)
            with pytest.raises(RemoteProtocolError, match="goes on"):
                ours.receive_data(wire[:cut])
                ours.receive_data(wire[cut:] + b"x")
            assert ours.dead

    def test_a_response_nobody_asked_for_or_of_another_version(self) -> None:
        with pytest.raises(RemoteProtocolError, match="response"):
            hear(DistccClient(), response(Version.PLAIN))
        client = asked(Version.LZO)
        drained(client)
        with pytest.raises(RemoteProtocolError, match="version 1 to 2"):
            hear(client, response(Version.PLAIN))

    def test_a_success_before_the_source_was_sent(self) -> None:
        client = asked(Version.PLAIN)
        client.data_to_send(100)
        with pytest.raises(RemoteProtocolError, match="before the whole request"):
            hear(client, response(Version.PLAIN))
        client = asked(Version.PLAIN)
        client.data_to_send(100)
        hear(client, response(Version.PLAIN, 256))

    def test_a_dead_core_says_and_hears_nothing(self) -> None:
        server = DistccServer()
        with pytest.raises(RemoteProtocolError):
            server.receive_data(b"GET /")
        client = asked(Version.PLAIN)
        client.receive_eof()
        for core in (server, client):
            assert core.dead and not core.wants_to_send and core.data_to_send() == b""
            with pytest.raises(LocalProtocolError, match="dead"):
                core.receive_data(b"x")
            with pytest.raises(LocalProtocolError, match="dead"):
                core.receive_eof()
        with pytest.raises(LocalProtocolError, match="dead"):
            server.respond(status=1)
        with pytest.raises(LocalProtocolError, match="dead"):
            client.request(Version.PLAIN, ARGS, source=b"")


class TestCutShort:
    @pytest.mark.parametrize("version", Version)
    def test_requests_at_every_byte(self, version: Version) -> None:
        wire = request(version)
        for end in range(len(wire)):
            server = DistccServer()
            heard = hear(server, wire[:end])
            assert JobComplete() not in heard
            server.receive_eof()
            assert server.events() == [Closed(clean=end == 0, heard=end > 0)] and server.dead

    @pytest.mark.parametrize("status", [0, 256])
    @pytest.mark.parametrize("version", Version)
    def test_responses_at_every_byte(self, version: Version, status: int) -> None:
        wire = response(version, status)
        for end in range(len(wire)):
            client = asked(version)
            drained(client)
            assert AnswerComplete() not in hear(client, wire[:end])
            client.receive_eof()
            assert client.events() == [Closed(clean=False, heard=end > 0)]


class TestRequestsThatMustNotBe:
    @pytest.mark.parametrize(
        "words",
        [
            {"args": ()},
            {"args": (b"x" * 65536,)},
            {"args": (b"a\0b",)},
            {"args": (b"x" * 65535,) * 33},
            {"source": None},
            {"cwd": b"/src"},
            {"names": NAMES},
        ],
        ids=lambda words: next(iter(words)),
    )
    def test_text(self, words: dict[str, object]) -> None:
        client = DistccClient()
        with pytest.raises(LocalProtocolError):
            client.request(Version.PLAIN, **{"args": ARGS, "source": b"", **words})  # type: ignore[arg-type]
        assert not client.wants_to_send

    @pytest.mark.parametrize(
        "words",
        [
            {"cwd": b""},
            {"cwd": b"src"},
            {"source": b""},
            {"names": [File(path=b"x", data=b"")]},
            {"names": [File(path=b"/a/../x", data=b"")]},
            {"names": [File(path=b"/x", data=b"")] * 2},
            {"names": [Link(path=b"/x", target=b"..")]},
            {"names": [Link(path=b"/x", target=b"a\0")]},
            {"names": [File(path=b"/%d" % number, data=b"") for number in range(65537)]},
        ],
        ids=lambda words: next(iter(words)),
    )
    def test_pump(self, words: dict[str, object]) -> None:
        client = DistccClient()
        with pytest.raises(LocalProtocolError):
            client.request(Version.PUMP, ARGS, **{"cwd": b"/src", **words})  # type: ignore[arg-type]
        assert not client.wants_to_send


class TestWithoutLzo:
    @pytest.fixture(autouse=True)
    def _without(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wire = request(Version.LZO)
        monkeypatch.setitem(sys.modules, "lzallright", None)

    def test_version_1_is_left(self) -> None:
        assert versions_here() == {Version.PLAIN}
        assert hear(DistccServer(), request(Version.PLAIN))[-1] == JobComplete()
        with pytest.raises(RemoteProtocolError, match="speaks version 2 .*, this side 1$"):
            hear(DistccServer(), self.wire)
        with pytest.raises(LocalProtocolError, match="lzallright is not installed"):
            asked(Version.LZO)

    def test_bodies_say_what_is_missing(self) -> None:
        assert not lzo.available()
        with pytest.raises(LocalProtocolError, match="lzallright"):
            lzo.pack(b"x")
        with pytest.raises(RemoteProtocolError, match="lzallright"):
            hear(DistccServer(versions=frozenset(Version)), self.wire)


def outcome(wire: bytes, cuts: list[int], role: str) -> tuple[list[object], str]:
    """What a core makes of `wire`, cut at `cuts`."""
    core: DistccServer | DistccClient = DistccServer(limits=Limits(total_bytes=1 << 20))
    if role == "client":
        core = asked(Version.LZO)
        drained(core)
    heard: list[object] = []
    try:
        for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
            core.receive_data(wire[begin:end])
            heard += core.events()
        core.receive_eof()
    except ProtocolError as error:
        return heard + core.events(), str(error)
    return heard + core.events(), ""


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_how_bytes_are_cut_does_not_matter_even_in_mutations(data: st.DataObject) -> None:
    role = data.draw(st.sampled_from(["server", "client"]))
    wires = [response(Version.LZO)] if role == "client" else [request(version) for version in Version]
    wire = bytearray(data.draw(st.sampled_from(wires)))
    for _ in range(data.draw(st.integers(0, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    assert outcome(bytes(wire), cuts, role) == outcome(bytes(wire), [], role)


def test_large_sources_cut_at_random() -> None:
    wire = request(Version.PLAIN, source=random.Random(1).randbytes(1 << 20))
    rng = random.Random(2)
    cuts = sorted(rng.randrange(len(wire)) for _ in range(300))
    assert outcome(wire, cuts, "server") == outcome(wire, [], "server")

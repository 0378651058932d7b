"""What the stock programs said (tests/golden/distcc), heard and said again by our cores in both roles."""

from __future__ import annotations

import pytest

from tests.wire.distcc_samples import ARGS, GOLDEN, SOURCE, TRANSCRIPTS, body, drained, hear
from zdistcc.errors import RemoteProtocolError
from zdistcc.wire.distcc import DistccClient, DistccServer
from zdistcc.wire.distcc_events import (
    AnswerComplete,
    Answered,
    Closed,
    Event,
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

FAR_UP = b"../" * 22
SAID = {
    "plain-c": b"x86_64-linux-gnu-gcc -O2 -c sum.c -o sum.o",
    "plain-options": b"x86_64-linux-gnu-gcc -Wall -O2 -std=gnu11 -c warn.c -o out.o",
    "plain-error": b"x86_64-linux-gnu-gcc -c wrong.c -o wrong.o",
    "lzo-c": b"x86_64-linux-gnu-gcc -O2 -c sum.c -o sum.o",
    "lzo-c++": b"x86_64-linux-gnu-g++ -O1 -c box.cc -o box.o",
    "lzo-warning": b"x86_64-linux-gnu-gcc -Wall -c warn.c -o warn.o",
    "lzo-error": b"x86_64-linux-gnu-gcc -c wrong.c -o wrong.o",
    "pump-c": b"x86_64-linux-gnu-gcc -O2 -MD -c sum.c -o sum.o -MT sum.o",
    "pump-c++": b"x86_64-linux-gnu-g++ -I/tmp/demo/inc -c box.cc -o box.o",
    "pump-warning": b"x86_64-linux-gnu-gcc -Wall -c warn.c -o warn.o",
    "pump-error": b"x86_64-linux-gnu-gcc -c wrong.c -o wrong.o",
    "own-links": b"gcc -I/tmp/demo/absolute -c sum.c -o sum.o",
}


def read(name: str) -> tuple[bytes, bytes]:
    return (GOLDEN / f"{name}.request").read_bytes(), (GOLDEN / f"{name}.response").read_bytes()


def said_again(heard: list[Event]) -> DistccClient:
    """Return a client that asks what a server heard."""
    announced = heard[0]
    assert isinstance(announced, JobAnnounced)
    client = DistccClient()
    if announced.version is not Version.PUMP:
        client.request(announced.version, announced.args, source=body(heard))
        return client
    names: list[File | Link] = []
    for event in heard:
        match event:
            case FileReceived(path=path, data=data):
                names.append(File(path=path, data=data))
            case LinkReceived(path=path, target=target):
                names.append(Link(path=path, target=target))
            case SystemDirectoryNamed(path=path):
                names.append(Link(path=path, target=FAR_UP + path[1:]))
    client.request(announced.version, announced.args, cwd=announced.cwd, names=names)
    return client


def answered_again(server: DistccServer, heard: list[Event]) -> None:
    """Have `server` answer what a client heard."""
    answer = heard[0]
    assert isinstance(answer, Answered)
    outputs = dict.fromkeys(Part, b"")
    for event in heard:
        if isinstance(event, OutputReceived):
            outputs[event.part] += event.data
    told = any(isinstance(event, OutputReceived) and event.part is Part.DEPENDENCIES for event in heard)
    server.respond(
        status=answer.status,
        stderr=answer.stderr,
        stdout=answer.stdout,
        object=outputs[Part.OBJECT],
        dependencies=outputs[Part.DEPENDENCIES] if told else None,
    )


def test_every_transcript_is_looked_at() -> None:
    assert sorted(SAID) == TRANSCRIPTS


@pytest.mark.parametrize("size", [0, 1, 13])
@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_both_roles_hear_and_say_it_again(name: str, size: int) -> None:
    request, response = read(name)
    server = DistccServer()
    heard = hear(server, request, size)
    announced = heard[0]
    assert isinstance(announced, JobAnnounced)
    assert announced.version == {"plain": 1, "lzo": 2, "pump": 3, "own": 3}[name.partition("-")[0]]
    assert b" ".join(announced.args) == SAID[name]
    assert announced.cwd == (b"/tmp/demo" if announced.version is Version.PUMP else b"")
    assert heard[-1] == JobComplete()

    client = said_again(heard)
    request_again = drained(client)
    if announced.version is Version.PLAIN:
        assert request_again == request
    assert hear(DistccServer(), request_again) == heard

    answer = hear(client, response, size)
    assert answer[-1] == AnswerComplete()
    answered_again(server, answer)
    response_again = drained(server)
    if announced.version is Version.PLAIN:
        assert response_again == response
    again = said_again(heard)
    drained(again)
    assert hear(again, response_again) == answer


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_what_is_in_it(name: str) -> None:
    request, response = read(name)
    heard = hear(DistccServer(), request)
    client = said_again(heard)
    drained(client)
    answer = hear(client, response)
    result = answer[0]
    assert isinstance(result, Answered) and result.stdout == b""
    failed = name.endswith("error")
    assert result.status == (256 if failed else 0)
    assert (b"error:" in result.stderr) is failed
    assert (b"warning:" in result.stderr) is (name in ("plain-options", "lzo-warning", "pump-warning"))
    outputs = [event for event in answer if isinstance(event, OutputReceived)]
    assert outputs[0].part is Part.OBJECT and outputs[0].data[:4] == (b"" if failed else b"\x7fELF")
    pump = name.startswith(("pump", "own"))
    assert [output.part for output in outputs[1:]] == ([Part.DEPENDENCIES] if pump and not failed else [])
    assert all(b".o:" in output.data for output in outputs[1:])
    if not pump:
        assert any(isinstance(event, SourceReceived) and event.last for event in heard)
    if name.startswith("pump"):
        # The stock client leaves the compiler's own directories to the server, and sends an empty file into each
        # directory that has to be there.
        named = [event.path for event in heard if isinstance(event, SystemDirectoryNamed)]
        assert b"/usr/include" in named and b"/usr/local/include" in named
        empty = [event.path for event in heard if isinstance(event, FileReceived) and not event.data]
        assert any(path.startswith(b"/tmp/demo/") for path in empty)


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_cut_at_every_byte(name: str) -> None:
    request, response = read(name)
    heard = hear(DistccServer(), request)
    for end in range(len(request)):
        server = DistccServer()
        assert JobComplete() not in hear(server, request[:end])
        server.receive_eof()
        assert server.events() == [Closed(clean=end == 0, heard=end > 0)]
    wire = drained(said_again(heard))
    for end in range(len(response)):
        client = DistccClient()
        announced = heard[0]
        assert isinstance(announced, JobAnnounced) and wire
        if announced.version is Version.PUMP:
            client.request(announced.version, ARGS, cwd=b"/")
        else:
            client.request(announced.version, ARGS, source=SOURCE)
        drained(client)
        assert AnswerComplete() not in hear(client, response[:end])
        client.receive_eof()
        assert client.events() == [Closed(clean=False, heard=end > 0)]


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_with_junk_behind_it(name: str) -> None:
    request, response = read(name)
    for junk in (b"x", request):
        with pytest.raises(RemoteProtocolError, match="goes on"):
            hear(DistccServer(), request + junk)
        client = said_again(hear(DistccServer(), request))
        drained(client)
        with pytest.raises(RemoteProtocolError, match="goes on"):
            hear(client, response + junk)

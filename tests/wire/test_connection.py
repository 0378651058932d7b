"""Two protocol cores back to back, and one against a peer that lies."""

from __future__ import annotations

import hashlib
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zdistcc.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from zdistcc.wire import codecs, frames, messages
from zdistcc.wire.connection import RULES, ChunkReceived, Closed, Connection, Event, Role, Said, Scope
from zdistcc.wire.frames import FrameKind

HELLO = messages.Hello(version="1", name="client", agent="a1")
GREETING = messages.Greeting(version="1", id="w1", name="worker", slots=2, compilers=())


def job_of(text: bytes, *, eager: bool = True) -> tuple[messages.Job, list[bytes]]:
    codec, packed = codecs.pack(text)
    blob = messages.Blob(
        digest=hashlib.sha256(text).digest(),
        body=messages.Body(raw=len(text), packed=len(packed), codec=codec),
    )
    job = messages.Job(
        compiler="b",
        target="x86_64-linux-gnu",
        language="c",
        stage=messages.Stage.OBJECT,
        args=(b"-O2",),
        name=b"x.c",
        cwd=b"/p",
        source=blob,
        eager=eager,
    )
    return job, [packed] if eager else []


class Pair:
    """An agent's and a worker's connection with a wire between them that cuts where it likes."""

    def __init__(self, seed: int = 0, greet: bool = True) -> None:
        self.agent = Connection(Role.AGENT)
        self.worker = Connection(Role.WORKER)
        self.rng = random.Random(seed)
        self.heard: dict[Role, list[Event]] = {Role.AGENT: [], Role.WORKER: []}
        if greet:
            self.agent.send(HELLO)
            self.worker.send(GREETING)
            self.exchange()
            self.heard = {Role.AGENT: [], Role.WORKER: []}

    def exchange(self, limit: int = 100_000) -> None:
        while self.agent.wants_to_send or self.worker.wants_to_send:
            for source, target in ((self.agent, self.worker), (self.worker, self.agent)):
                data = source.data_to_send(limit)
                while data:
                    size = self.rng.choice((1, 7, 1000, len(data)))
                    target.receive_data(data[:size])
                    data = data[size:]
                self.heard[target.role] += target.events()

    def said(self, role: Role) -> list[messages.Message]:
        return [event.message for event in self.heard[role] if isinstance(event, Said)]

    def body(self, role: Role, stream: int, slot: int = 0) -> bytes:
        return b"".join(
            e.data for e in self.heard[role] if isinstance(e, ChunkReceived) and (e.stream, e.slot) == (stream, slot)
        )


def result_of(*outputs: bytes) -> tuple[messages.Result, list[bytes]]:
    packed = [codecs.pack(data) for data in outputs]
    announced = tuple(
        messages.Output(kind="object", body=messages.Body(raw=len(data), packed=len(wire), codec=codec))
        for data, (codec, wire) in zip(outputs, packed, strict=True)
    )
    return messages.Result(status=0, outputs=announced), [wire for _, wire in packed]


@pytest.mark.parametrize("seed", range(8))
def test_a_job_goes_and_its_result_comes_back(seed: int) -> None:
    pair = Pair(seed)
    text = os.urandom(300_000)
    job, bodies = job_of(text)
    stream = pair.agent.open_stream()
    pair.agent.send(job, stream, bodies)
    pair.exchange()
    assert pair.said(Role.WORKER) == [job]
    assert codecs.unpack(job.source.body.codec, pair.body(Role.WORKER, stream), len(text)) == text
    result, outputs = result_of(b"o" * 200_000, b"", b"dwo")
    pair.worker.send(messages.Started(), stream)
    pair.worker.send(result, stream, outputs)
    pair.exchange()
    assert pair.said(Role.AGENT) == [messages.Started(), result]
    assert codecs.unpack(1, pair.body(Role.AGENT, stream, 0), 200_000) == b"o" * 200_000
    assert pair.body(Role.AGENT, stream, 2) == b"dwo"
    assert pair.agent.open_streams == pair.worker.open_streams == 0


def test_content_asked_for_is_supplied() -> None:
    pair = Pair()
    text = os.urandom(100_000)
    job, _ = job_of(text, eager=False)
    stream = pair.agent.open_stream()
    pair.agent.send(job, stream)
    pair.exchange()
    pair.worker.send(messages.Need(digests=(job.source.digest,)), stream)
    pair.exchange()
    assert pair.said(Role.AGENT) == [messages.Need(digests=(job.source.digest,))]
    codec, packed = codecs.pack(text)
    pair.agent.send(messages.Supply(blobs=(job.source,)), stream, [packed])
    pair.exchange()
    assert codecs.unpack(codec, pair.body(Role.WORKER, stream), len(text)) == text


def test_a_refusal_stops_the_upload_and_forgets_the_stream() -> None:
    pair = Pair()
    job, bodies = job_of(os.urandom(5_000_000))
    stream = pair.agent.open_stream()
    pair.agent.send(job, stream, bodies)
    pair.worker.receive_data(pair.agent.data_to_send(300_000))
    pair.worker.events()
    refusal = messages.Refuse(code=messages.RefusalCode.BUSY, sentence="no")
    pair.worker.send(refusal, stream)
    pair.exchange()
    assert pair.said(Role.AGENT) == [refusal]
    assert len(pair.body(Role.WORKER, stream)) < 400_000
    assert pair.agent.open_streams == pair.worker.open_streams == 0


def test_a_cancel_crosses_the_result() -> None:
    pair = Pair()
    job, bodies = job_of(b"x")
    stream = pair.agent.open_stream()
    pair.agent.send(job, stream, bodies)
    pair.exchange()
    result, outputs = result_of(os.urandom(1_000_000))
    pair.worker.send(result, stream, outputs)
    pair.agent.receive_data(pair.worker.data_to_send(200_000))
    pair.agent.send(messages.Cancel(), stream)
    pair.agent.events()
    pair.exchange()
    assert pair.heard[Role.AGENT] == []
    assert pair.agent.open_streams == pair.worker.open_streams == 0
    again = pair.agent.open_stream()
    pair.agent.send(job, again, bodies)
    pair.exchange()
    assert pair.said(Role.WORKER)[-1] == job


def test_cancel_before_the_end_silences_the_stream() -> None:
    pair = Pair()
    job, bodies = job_of(os.urandom(1_000_000))
    stream = pair.agent.open_stream()
    pair.agent.send(job, stream, bodies)
    pair.worker.receive_data(pair.agent.data_to_send(100_000))
    pair.agent.send(messages.Cancel(), stream)
    pair.exchange()
    assert messages.Cancel() in pair.said(Role.WORKER)
    pair.worker.send(messages.Refuse(code=messages.RefusalCode.CANCELLED, sentence="cancelled"), stream)
    pair.exchange()
    assert pair.said(Role.AGENT) == []
    assert pair.agent.open_streams == pair.worker.open_streams == 0


def test_large_bodies_do_not_delay_messages() -> None:
    pair = Pair()
    job, bodies = job_of(os.urandom(3_000_000))
    pair.agent.send(job, pair.agent.open_stream(), bodies)
    pair.agent.data_to_send(100_000)
    small, small_body = job_of(b"y")
    pair.agent.send(small, pair.agent.open_stream(), small_body)
    sent = pair.agent.data_to_send(2 * frames.MAX_CHUNK_BYTES + 2000)
    assert sent.find(b"x.c") >= 0
    assert sent.endswith(b"y") or b"y" in sent[-frames.MAX_CHUNK_BYTES * 2 :]


def test_eof_between_and_within_jobs() -> None:
    pair = Pair()
    pair.agent.receive_eof()
    assert pair.agent.events() == [Closed(clean=True)]
    pair = Pair()
    job, bodies = job_of(b"x")
    pair.agent.send(job, pair.agent.open_stream(), bodies)
    pair.agent.receive_eof()
    assert pair.agent.events() == [Closed(clean=False)]
    with pytest.raises(LocalProtocolError):
        pair.agent.receive_data(b"x")


SAMPLES: list[messages.Message] = [
    HELLO,
    GREETING,
    messages.Denied(sentence="no", remedy="ask"),
    messages.Compilers(compilers=()),
    messages.Load(slots=1, running=0, queued=0),
    messages.Peers(peers=(messages.PeerInfo(id="i", name="n", addresses=("10.0.0.1",), port=1),)),
    messages.Ping(token=1),
    messages.Pong(token=1),
    messages.Goodbye(why="bye"),
    job_of(b"int x;")[0],
    messages.Files(
        entries=(
            messages.FileEntry(path=b"/a", digest=b"\1" * 32, size=3),
            messages.LinkEntry(path=b"/l", target=b"/a"),
            messages.DirectoryEntry(path=b"/d"),
        ),
        sets=(messages.FileSet(number=0, members=(0, 1, 2)),),
    ),
    messages.TreeJob(
        compiler="b",
        target="t",
        language="c",
        stage=messages.Stage.OBJECT,
        args=(b"-O2", messages.PathArg(before=b"-I", path=b"/i")),
        source=b"x.c",
        cwd=b"/p",
        epoch=1,
        files=0,
    ),
    messages.Started(),
    messages.Need(digests=(b"\0" * 32,)),
    messages.Supply(blobs=(messages.Blob(digest=b"\0" * 32, body=messages.Body(raw=0, packed=0)),)),
    messages.Result(status=256, stderr=b"no"),
    messages.Refuse(code=messages.RefusalCode.BUSY, sentence="no"),
    messages.Cancel(),
]


def test_every_message_has_a_rule_and_a_sample() -> None:
    assert set(RULES) == set(messages.MESSAGES) == {type(sample) for sample in SAMPLES}


@pytest.mark.parametrize("message", SAMPLES, ids=messages.tag_of)
@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
def test_what_a_side_may_not_say_is_refused_at_both_ends(role: Role, message: messages.Message) -> None:
    rule = RULES[type(message)]
    pair = Pair()
    sender, receiver = (pair.agent, pair.worker) if role is Role.AGENT else (pair.worker, pair.agent)
    wrong = role not in rule.senders or rule.scope is not Scope.CONNECTION
    stream = 0 if rule.scope not in (Scope.FIRST, Scope.CONNECTION) else 9
    if not wrong:
        sender.send(message)
        receiver.receive_data(sender.data_to_send())
        assert receiver.events() == [Said(stream=0, message=message)]
    with pytest.raises(LocalProtocolError):
        sender.send(message, stream)
    payload = messages.encode(message)
    data = frames.encode_header(FrameKind.MESSAGE, stream, 0, len(payload)) + payload
    with pytest.raises(RemoteProtocolError):
        receiver.receive_data(data)
    with pytest.raises(LocalProtocolError):
        receiver.send(messages.Ping(token=2))


def transcript() -> bytes:
    """What an agent says in a small session."""
    agent = Connection(Role.AGENT)
    agent.send(HELLO)
    job, bodies = job_of(b"int main(void) { return 0; }\n" * 40)
    agent.send(job, agent.open_stream(), bodies)
    agent.send(messages.Ping(token=7))
    return agent.data_to_send()


def test_whole_byte_by_byte_and_truncated() -> None:
    data = transcript()
    whole = Connection(Role.WORKER)
    whole.receive_data(data)
    expected = whole.events()
    slow = Connection(Role.WORKER)
    heard: list[Event] = []
    for index in range(len(data)):
        slow.receive_data(data[index : index + 1])
        heard += slow.events()
    assert heard == expected
    for end in range(len(data)):
        cut = Connection(Role.WORKER)
        cut.receive_data(data[:end])
        cut.receive_eof()
        assert isinstance(cut.events()[-1], Closed)


def test_trailing_garbage_and_oversize() -> None:
    for junk in (b"\xff" * 12, b"GET / HTTP/1.1\r\n\r\n", frames.encode_preface() * 2):
        worker = Connection(Role.WORKER)
        with pytest.raises(RemoteProtocolError):
            worker.receive_data(transcript() + junk)
    for kind, size in ((1, frames.MAX_MESSAGE_BYTES + 1), (2, frames.MAX_CHUNK_BYTES + 1)):
        worker = Connection(Role.WORKER)
        worker.receive_data(frames.encode_preface())
        with pytest.raises(RemoteProtocolError, match="exceeds"):
            worker.receive_data(size.to_bytes(4, "big") + bytes([kind, 0, 0, 0, 0, 0, 0, 0]))


def test_another_version_says_what_to_do() -> None:
    with pytest.raises(RemoteProtocolError, match="update the older"):
        Connection(Role.WORKER).receive_data(frames.encode_preface(frames.PROTOCOL_VERSION + 1))
    with pytest.raises(RemoteProtocolError, match="does not speak"):
        Connection(Role.WORKER).receive_data(b"DIST00000001")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutations_raise_only_protocol_errors(data: st.DataObject) -> None:
    stream = bytearray(transcript())
    for _ in range(data.draw(st.integers(1, 5))):
        where = data.draw(st.integers(0, len(stream) - 1))
        stream[where] = data.draw(st.integers(0, 255))
    worker = Connection(Role.WORKER)
    try:
        worker.receive_data(bytes(stream))
    except ProtocolError:
        return
    worker.receive_eof()


class TestCodecs:
    @given(st.binary(max_size=5000))
    def test_round_trip(self, data: bytes) -> None:
        codec, packed = codecs.pack(data)
        assert codecs.unpack(codec, packed, len(data)) == data

    def test_lies_about_sizes(self) -> None:
        _, bomb = codecs.pack(b"\0" * 50_000_000)
        for codec, packed, size in ((1, bomb, 1000), (1, bomb[:-3], 50_000_000), (0, b"abc", 2), (9, b"", 0)):
            with pytest.raises(RemoteProtocolError):
                codecs.unpack(codec, packed, size)
        with pytest.raises(RemoteProtocolError, match="exceeds"):
            codecs.unpack(0, b"", codecs.MAX_BODY_BYTES + 1)

    def test_the_table_has_no_dead_rows(self) -> None:
        used = {codecs.pack(b"")[0], codecs.pack(b"a" * 1000)[0]}
        assert used == set(codecs.CODECS)

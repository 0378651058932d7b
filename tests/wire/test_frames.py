"""Frames and messages: whole, byte by byte, cut short, too long, garbage; for every message there is."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.samples import SAMPLES
from zdistcc.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from zdistcc.wire import frames, messages
from zdistcc.wire.frames import MAX_CHUNK_BYTES, MAX_MESSAGE_BYTES, Frame, FrameKind, FrameReader
from zdistcc.wire.messages import MESSAGES, Message

IDS = [messages.tag_of(message) for message in SAMPLES]


def framed(message: Message, stream: int = 0) -> bytes:
    payload = messages.encode(message)
    return frames.encode_header(FrameKind.MESSAGE, stream, 0, len(payload)) + payload


def greeted() -> FrameReader:
    reader = FrameReader()
    assert reader.receive_data(frames.encode_preface()) == []
    return reader


def test_every_message_has_a_sample() -> None:
    assert [type(message) for message in SAMPLES] == list(MESSAGES)


@pytest.mark.parametrize("message", SAMPLES, ids=IDS)
def test_whole(message: Message) -> None:
    (frame,) = greeted().receive_data(framed(message, 3))
    assert (frame.kind, frame.stream, frame.slot) == (FrameKind.MESSAGE, 3, 0)
    assert messages.decode(frame.payload) == message


@pytest.mark.parametrize("message", SAMPLES, ids=IDS)
def test_byte_by_byte(message: Message) -> None:
    reader, found = FrameReader(), []
    wire = frames.encode_preface() + framed(message)
    for place in range(len(wire)):
        assert reader.empty is (place == frames.PREFACE_SIZE)
        found += reader.receive_data(wire[place : place + 1])
        assert len(found) == (place == len(wire) - 1)
    assert [messages.decode(frame.payload) for frame in found] == [message]
    assert reader.empty


@pytest.mark.parametrize("message", SAMPLES, ids=IDS)
def test_cut_short(message: Message) -> None:
    payload = messages.encode(message)
    for length in range(len(payload)):
        with pytest.raises(RemoteProtocolError):
            messages.decode(payload[:length])
        reader = greeted()
        assert reader.receive_data(framed(message)[: frames.HEADER_SIZE + length]) == []
        assert not reader.empty


@pytest.mark.parametrize("message", SAMPLES, ids=IDS)
def test_with_trailing_junk(message: Message) -> None:
    with pytest.raises(RemoteProtocolError):
        messages.decode(messages.encode(message) + b"\0")
    reader = greeted()
    with pytest.raises(RemoteProtocolError):
        reader.receive_data(framed(message) + b"\xff" * frames.HEADER_SIZE)


@pytest.mark.parametrize("message", SAMPLES, ids=IDS)
def test_two_in_one_piece(message: Message) -> None:
    found = greeted().receive_data(framed(message, 1) + framed(message, 2))
    assert [frame.stream for frame in found] == [1, 2]


@pytest.mark.parametrize(
    ("kind", "limit"), [(FrameKind.MESSAGE, MAX_MESSAGE_BYTES), (FrameKind.CHUNK, MAX_CHUNK_BYTES)]
)
def test_the_limit_is_checked_before_the_payload_comes(kind: FrameKind, limit: int) -> None:
    header = frames.encode_header(kind, 1, 0, limit)
    assert greeted().receive_data(header) == []
    too_long = (limit + 1).to_bytes(4, "big") + header[4:]
    with pytest.raises(RemoteProtocolError, match="exceeds"):
        greeted().receive_data(too_long)
    with pytest.raises(LocalProtocolError, match="exceeds"):
        frames.encode_header(kind, 1, 0, limit + 1)


@pytest.mark.parametrize(("stream", "slot"), [(-1, 0), (2**32, 0), (0, -1), (0, 65536)])
def test_numbers_out_of_range_are_our_error(stream: int, slot: int) -> None:
    with pytest.raises(LocalProtocolError):
        frames.encode_header(FrameKind.CHUNK, stream, slot, 1)


@pytest.mark.parametrize(
    "start", [b"DIST00000001", b"GET / HTTP/1.1\r\n", b"\0", b"ZDCX", b"ZDCC\0\1\n\n", b"ZDCC\0\2\r\n", b"ZDCC\0\0\r\n"]
)
def test_other_prefaces(start: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        FrameReader().receive_data(start)
    reader = FrameReader()
    with pytest.raises(RemoteProtocolError):
        for place in range(len(start)):
            reader.receive_data(start[place : place + 1])


@pytest.mark.parametrize(("place", "value"), [(4, 0), (4, 3), (4, 255), (5, 1)])
def test_altered_headers(place: int, value: int) -> None:
    wire = bytearray(framed(SAMPLES[0]))
    wire[place] = value
    with pytest.raises(RemoteProtocolError):
        greeted().receive_data(bytes(wire))


@given(st.binary(max_size=300))
def test_garbage_is_no_message(payload: bytes) -> None:
    try:
        message = messages.decode(payload)
    except RemoteProtocolError:
        return
    assert isinstance(message, MESSAGES)


@given(st.binary(max_size=300), st.booleans())
def test_garbage_is_no_frame(data: bytes, after_preface: bool) -> None:
    reader = greeted() if after_preface else FrameReader()
    try:
        found = reader.receive_data(data)
    except ProtocolError:
        return
    assert all(isinstance(frame, Frame) for frame in found)


def test_deep_nesting_is_garbage() -> None:
    with pytest.raises(RemoteProtocolError):
        messages.decode(b"\x82\xa4type\xa4ping\xa1x" + b"\x91" * 100_000 + b"\0")


@pytest.mark.parametrize(
    "message",
    [
        messages.Refuse(code=messages.RefusalCode.INTERNAL, sentence="x" * 1025),
        messages.Refuse(code=messages.RefusalCode.INTERNAL, sentence="\udcff"),
        messages.Load(slots=-1, running=0, queued=0),
        messages.Need(digests=(b"short",)),
        messages.Goodbye(why=5),  # type: ignore[arg-type]
    ],
    ids=["too long", "not text", "negative", "short digest", "another type"],
)
def test_what_the_peer_would_reject_is_our_error_at_once(message: Message) -> None:
    with pytest.raises(LocalProtocolError):
        messages.encode(message)


def test_errors_about_what_a_peer_sent_cannot_act_on_a_terminal() -> None:
    evil = b"\x81\xa4type\xa8\x1b[2Jevil"
    with pytest.raises(RemoteProtocolError) as caught:
        messages.decode(evil)
    assert str(caught.value).isprintable()


def test_a_sentence_always_fits() -> None:
    for text in ("fine", "x" * 5000, "a\x1b[2Jb\udcff\n"):
        sentence = messages.sentence(text)
        assert sentence.isprintable() and messages.encode(messages.Denied(sentence=sentence))


class OldLoad(msgspec.Struct, frozen=True, kw_only=True, tag="load", omit_defaults=True):
    """The message as it was before it grew."""

    slots: int
    running: int
    queued: int
    draining: bool = False


def test_a_message_that_grew_is_understood_by_those_before_and_theirs_by_us() -> None:
    new = next(sample for sample in SAMPLES if isinstance(sample, messages.Load))
    old = msgspec.msgpack.decode(messages.encode(new), type=OldLoad)
    assert old == OldLoad(slots=new.slots, running=new.running, queued=new.queued, draining=new.draining)
    assert messages.decode(msgspec.msgpack.encode(old)) == messages.Load(
        slots=new.slots, running=new.running, queued=new.queued, draining=new.draining
    )

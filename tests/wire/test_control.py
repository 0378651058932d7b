"""The launcher's protocol: whole, in pieces, cut short, too long, garbage, and there and back."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdistcc.errors import LocalProtocolError, RemoteProtocolError
from zdistcc.wire import control
from zdistcc.wire.control import (
    AdminRequest,
    LaunchFlag,
    LaunchRequest,
    Reply,
    ReplyKind,
    ReplyReader,
    RequestReader,
)

CALL = {
    "cwd": b"/home/me/project",
    "compiler": b"/usr/bin/gcc",
    "argv": (b"gcc", b"-c", b"", b"a b\n.c", b"-DX=\xff\xfe"),
    "env": {b"PATH": b"/bin", b"EMPTY": b"", b"EQUALS": b"a=b=c"},
    "umask": 0o027,
    "pid": 4711,
}
REQUEST = control.encode_request(**CALL, flags=5)


def expected() -> LaunchRequest:
    return LaunchRequest(**CALL, flags=LaunchFlag.STDERR_IS_TERMINAL | LaunchFlag.MASQUERADE)


def header(**changes: int) -> bytes:
    fields = {"length": 16, "flags": 0, "umask": 0, "pid": 1, "argc": 1, "envc": 0, "reserved": 0, **changes}
    return struct.pack(">4s7I", b"ZDL1", *fields.values())


def test_whole_request() -> None:
    assert RequestReader().receive_data(REQUEST) == expected()


def test_byte_by_byte() -> None:
    reader = RequestReader()
    for position in range(len(REQUEST) - 1):
        assert reader.receive_data(REQUEST[position : position + 1]) is None
    assert reader.receive_data(REQUEST[-1:]) == expected()


def test_every_cut_in_two() -> None:
    for cut in range(1, len(REQUEST)):
        reader = RequestReader()
        assert reader.receive_data(REQUEST[:cut]) is None
        assert reader.receive_data(REQUEST[cut:]) == expected()


@pytest.mark.parametrize("cut", [0, 1, len(REQUEST) - 1])
def test_trailing_bytes(cut: int) -> None:
    reader = RequestReader()
    reader.receive_data(REQUEST[:cut])
    with pytest.raises(RemoteProtocolError):
        reader.receive_data(REQUEST[cut:] + b"x")


def test_bytes_after_the_request() -> None:
    reader = RequestReader()
    reader.receive_data(REQUEST)
    with pytest.raises(RemoteProtocolError):
        reader.receive_data(b"x")


def test_a_dead_reader_stays_dead() -> None:
    reader = RequestReader()
    for data in (b"GET / HTTP/1.1\r\n", REQUEST):
        with pytest.raises(RemoteProtocolError):
            reader.receive_data(data)


@pytest.mark.parametrize(
    "data",
    [
        b"ZDL2" + REQUEST[4:],
        header(length=0),
        header(length=control.BODY_MAX_BYTES + 1),
        header(length=2**32 - 1),
        header(length=13) + b"/\0/bin/cc\0cc\0x",
        header(length=13, argc=0, envc=1) + b"/\0/bin/cc\0cc\0",
        header(length=13, argc=2) + b"/\0/bin/cc\0cc\0",
        header(length=13, argc=2**32 - 1, envc=2) + b"/\0/bin/cc\0cc\0",
        header(length=13, reserved=1) + b"/\0/bin/cc\0cc\0",
        header(length=13, umask=0o1000) + b"/\0/bin/cc\0cc\0",
        header(length=13) + b".\0/bin/cc\0cc\0",
        header(length=13) + b"/\0xbin/cc\0cc\0",
        header(length=1) + b"\0",
        b"ZDA1" + struct.pack(">I", 0),
        b"ZDA1" + struct.pack(">I", control.ADMIN_MAX_BYTES + 1),
    ],
)
def test_forbidden_requests(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        RequestReader().receive_data(data)


def test_an_oversize_request_is_refused_by_its_header() -> None:
    with pytest.raises(RemoteProtocolError):
        RequestReader().receive_data(header(length=control.BODY_MAX_BYTES + 1)[:8])


def test_the_smallest_request() -> None:
    request = RequestReader().receive_data(header(length=13) + b"/\0/bin/cc\0cc\0")
    assert isinstance(request, LaunchRequest)
    assert (request.cwd, request.compiler, request.argv, request.env) == (b"/", b"/bin/cc", (b"cc",), {})


def test_environment_as_getenv_sees_it() -> None:
    body = b"/\0/bin/cc\0cc\0TWICE=first\0no equals\0=nameless\0TWICE=second\0"
    request = RequestReader().receive_data(header(length=len(body), envc=4) + body)
    assert isinstance(request, LaunchRequest)
    assert request.env == {b"TWICE": b"first"}


def test_unknown_flags_are_kept() -> None:
    request = RequestReader().receive_data(control.encode_request(**CALL, flags=1 << 20 | 8))
    assert isinstance(request, LaunchRequest)
    assert request.flags & LaunchFlag.PYTHON_LAUNCHER
    assert request.flags == 1 << 20 | 8


def test_admin_request() -> None:
    data = control.encode_admin(b"{}")
    reader = RequestReader()
    assert [reader.receive_data(data[i : i + 1]) for i in range(len(data))][-1] == AdminRequest(body=b"{}")


@pytest.mark.parametrize("change", [{"cwd": b"/a\0b"}, {"argv": (b"x" * control.BODY_MAX_BYTES,)}])
def test_requests_that_can_not_be_sent(change: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError):
        control.encode_request(**{**CALL, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [b"", b"x" * (control.ADMIN_MAX_BYTES + 1)])
def test_admin_requests_that_can_not_be_sent(body: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        control.encode_admin(body)


text = st.binary(max_size=40).map(lambda value: value.replace(b"\0", b""))
path = text.map(lambda value: b"/" + value)
names = text.map(lambda value: value.replace(b"=", b"")).filter(bool)


@given(path, path, st.lists(text, min_size=1), st.dictionaries(names, text), st.integers(0, 0o777), st.data())
def test_requests_there_and_back(
    cwd: bytes, compiler: bytes, argv: list[bytes], env: dict[bytes, bytes], umask: int, data: st.DataObject
) -> None:
    sent = control.encode_request(cwd=cwd, compiler=compiler, argv=argv, env=env, umask=umask, pid=7)
    cut = data.draw(st.integers(1, len(sent) - 1))
    reader = RequestReader()
    assert reader.receive_data(sent[:cut]) is None
    assert reader.receive_data(sent[cut:]) == LaunchRequest(
        cwd=cwd, compiler=compiler, argv=tuple(argv), env=env, flags=LaunchFlag(0), umask=umask, pid=7
    )


@given(st.binary(max_size=120), st.sampled_from([b"", b"ZDL1", b"ZDA1", REQUEST[:32], REQUEST[:50]]))
def test_garbage_requests_raise_nothing_else(junk: bytes, start: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        RequestReader().receive_data(start + junk)


# --- replies ------------------------------------------------------------------------------------------

DONE = Reply(kind=ReplyKind.DONE, status=0x0B, stdout=b"out", stderr=b"error\n")
TALK = control.encode_wait() * 2 + control.encode_done(0x0B, b"out", b"error\n")
WAIT = Reply(kind=ReplyKind.WAIT)


def test_replies_whole_and_byte_by_byte() -> None:
    assert ReplyReader().receive_data(TALK) == [WAIT, WAIT, DONE]
    reader = ReplyReader()
    pieces = [reader.receive_data(TALK[i : i + 1]) for i in range(len(TALK))]
    assert [reply for piece in pieces for reply in piece] == [WAIT, WAIT, DONE]
    assert pieces[-1] == [DONE]


def test_run_and_fail() -> None:
    assert ReplyReader().receive_data(control.encode_run()) == [Reply(kind=ReplyKind.RUN)]
    failure = Reply(kind=ReplyKind.FAIL, status=103, stderr=b"no\n")
    assert ReplyReader().receive_data(control.encode_fail(103, b"no\n")) == [failure]


@pytest.mark.parametrize(
    "data",
    [
        TALK + b"x",
        control.encode_run() + control.encode_wait(),
        b"HTTP/1.1 400 Bad Request\r\n",
        struct.pack(">4sB3x3I", b"ZDR1", 4, 0, 0, 0),
        struct.pack(">4sB3x3I", b"ZDR1", 0, 0, 1, 0),
        struct.pack(">4sB3x3I", b"ZDR1", 1, 1, 0, 0),
        struct.pack(">4sB3x3I", b"ZDR1", 2, 0, control.OUTPUT_MAX_BYTES + 1, 0),
        struct.pack(">4sB3x3I", b"ZDR1", 2, 0x10000, 0, 0),
        struct.pack(">4sB3x3I", b"ZDR1", 3, 0, 0, 0),
        struct.pack(">4sB3x3I", b"ZDR1", 3, 256, 0, 0),
        struct.pack(">4sB3x3I", b"ZDR1", 3, 1, 1, 0),
    ],
)
def test_forbidden_replies(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        ReplyReader().receive_data(data)


@pytest.mark.parametrize("code", [-1, 0, 256])
def test_failures_need_an_exit_code(code: int) -> None:
    with pytest.raises(LocalProtocolError):
        control.encode_fail(code, b"")


@pytest.mark.parametrize("status", [-1, 0x10000])
def test_done_needs_a_wait_status(status: int) -> None:
    with pytest.raises(LocalProtocolError):
        control.encode_done(status, b"", b"")


@given(st.binary(max_size=80), st.sampled_from([b"", b"ZDR1", control.encode_wait(), TALK[:-3]]))
def test_garbage_replies_raise_nothing_else(junk: bytes, start: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        ReplyReader().receive_data(start + junk)

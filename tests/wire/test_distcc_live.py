"""Against the stock programs: our client and their daemon, their client and our server, real compilers behind both."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.golden import stock
from tests.wire.distcc_samples import body
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
    SystemDirectoryNamed,
    Version,
)

pytestmark = pytest.mark.skipif(
    bool(stock.MISSING), reason=f"needs {', '.join(stock.MISSING)} (Debian: distcc, distcc-pump, gcc)"
)

TEXT = {
    "t.c": "#include <stdio.h>\n#include <stdlib.h>\n"
    'int main(int n, char **w) { printf("%d %s\\n", n, getenv(w[0])); return 0; }\n',
    "t.cc": '#include <map>\n#include <string>\nint f(const std::map<std::string, int> &m) { return m.at("x"); }\n',
}
COMPILER = {"t.c": "gcc", "t.cc": "g++"}


def run(words: list[str], cwd: Path) -> bytes:
    return subprocess.run(words, cwd=cwd, check=True, stdout=subprocess.PIPE).stdout


def talk(core: DistccClient, connection: socket.socket) -> list[Event]:
    """Say what `core` has to say, hear what it is told, to the end."""
    while core.wants_to_send:
        connection.sendall(core.data_to_send())
    heard: list[Event] = []
    while not core.dead:
        try:
            data = connection.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if data:
            core.receive_data(data)
        else:
            core.receive_eof()
        heard += core.events()
    return heard


def outputs(heard: list[Event]) -> dict[Part, bytes]:
    found: dict[Part, bytes] = {}
    for event in heard:
        if isinstance(event, OutputReceived):
            found[event.part] = found.get(event.part, b"") + event.data
    return found


def ask(version: Version, words: list[str], **more: object) -> list[Event]:
    client = DistccClient()
    client.request(version, [word.encode() for word in words], **more)  # type: ignore[arg-type]
    with stock.daemon() as connection:
        return talk(client, connection)


@pytest.mark.parametrize("name", TEXT)
@pytest.mark.parametrize("version", [Version.PLAIN, Version.LZO])
def test_our_client_and_the_stock_daemon(version: Version, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(TEXT[name])
    text = run([COMPILER[name], "-O2", "-E", name], tmp_path)
    words = [COMPILER[name], "-O2", "-c", name, "-o", "t.o"]
    heard = ask(version, words, source=text)
    assert heard[0] == Answered(status=0, stderr=b"", stdout=b"")
    assert heard[-2:] == [AnswerComplete(), Closed(clean=True, heard=True)]
    (tmp_path / ("t.i" if name == "t.c" else "t.ii")).write_bytes(text)
    run([COMPILER[name], "-O2", "-c", "t.i" if name == "t.c" else "t.ii", "-o", "t.o"], tmp_path)
    assert outputs(heard) == {Part.OBJECT: (tmp_path / "t.o").read_bytes()}


def test_our_client_and_the_stock_daemon_in_version_3(tmp_path: Path) -> None:
    main = b'#include "inc/a.h"\n#include <stddef.h>\nsize_t f(size_t x) { return x + A + B; }\n'
    names = [
        File(path=b"/src/t.c", data=main),
        File(path=b"/src/real/a.h", data=b'#include "b.h"\n#define A 1\n'),
        File(path=b"/src/real/b.h", data=b"#define B 2\n"),
        Link(path=b"/src/inc", target=b"real"),
        File(path=b"/src/empty.h", data=b""),
    ]
    heard = ask(Version.PUMP, "gcc -O2 -c t.c -o t.o".split(), cwd=b"/src", names=names)
    assert heard[0] == Answered(status=0, stderr=b"", stdout=b"")
    for entry in names[:3]:
        assert isinstance(entry, File)
        place = tmp_path / entry.path.decode().lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(entry.data)
    (tmp_path / "src/inc").symlink_to("real")
    run("gcc -O2 -c t.c -o t.o".split(), tmp_path / "src")
    found = outputs(heard)
    assert found[Part.OBJECT] == (tmp_path / "src/t.o").read_bytes()
    assert found[Part.DEPENDENCIES].startswith(b"t.o: t.c") and b"inc/a.h" in found[Part.DEPENDENCIES]


@pytest.mark.parametrize("version", Version)
def test_an_error_of_the_remote_compiler(version: Version) -> None:
    more: dict[str, object] = {"source": b"#error no\n"}
    if version is Version.PUMP:
        more = {"cwd": b"/src", "names": [File(path=b"/src/t.c", data=b"#error no\n")]}
    heard = ask(version, "gcc -c t.c -o t.o".split(), **more)
    assert isinstance(heard[0], Answered) and heard[0].status == 256 and b"#error no" in heard[0].stderr
    assert outputs(heard) == {Part.OBJECT: b""}


@pytest.mark.parametrize("compiler", ["unlisted", "/tmp/gcc", "gcc -fplugin=x.so"])
@pytest.mark.parametrize("version", Version)
def test_a_refusal_of_the_stock_daemon(version: Version, compiler: str) -> None:
    more: dict[str, object] = {"source": b"int x;\n"}
    if version is Version.PUMP:
        more = {"cwd": b"/src", "names": [File(path=b"/src/t.c", data=b"int x;\n")]}
    assert ask(version, f"{compiler} -c t.c -o t.o".split(), **more) == [Closed(clean=False, heard=False)]


class Server:
    """Answers one connection with what the local compiler makes of the job."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self.heard: list[Event] = []

    def serve(self, connection: socket.socket) -> None:
        core = DistccServer()
        while not core.complete:
            data = connection.recv(1 << 16)
            assert data, "the client left"
            core.receive_data(data)
            self.heard += core.events()
        announced = self.heard[0]
        assert isinstance(announced, JobAnnounced) and self.heard[-1] == JobComplete()
        ended, dependencies = self.compile(announced)
        made = (self.where / "out.o").read_bytes() if not ended.returncode else b""
        core.respond(
            status=ended.returncode << 8,
            stderr=ended.stderr,
            stdout=ended.stdout,
            object=made,
            dependencies=dependencies,
        )
        while core.wants_to_send:
            connection.sendall(core.data_to_send())

    def compile(self, announced: JobAnnounced) -> tuple[subprocess.CompletedProcess[bytes], bytes | None]:
        """Run the job; return how it ended, and the dependencies that the protocol's version has room for."""
        words = [word.decode() for word in announced.args]
        source = self.where / ("in.ii" if words[words.index("-c") + 1].endswith("cc") else "in.i")
        source.write_bytes(body(self.heard))
        words[words.index("-c") + 1] = str(source)
        words[words.index("-o") + 1] = str(self.where / "out.o")
        return subprocess.run(words, capture_output=True, cwd=self.where, check=False), None


@pytest.mark.parametrize("name", TEXT)
@pytest.mark.parametrize(("version", "options"), [(Version.PLAIN, ""), (Version.LZO, ",lzo")])
def test_the_stock_client_and_our_server(version: Version, options: str, name: str, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for place in (theirs, ours):
        place.mkdir()
        (theirs / name).write_text(TEXT[name])
    server = Server(ours)
    words = [COMPILER[name], "-O2", "-c", name, "-o", "t.o"]
    with stock.client(options, words, theirs) as connection:
        server.serve(connection)
    assert isinstance(server.heard[0], JobAnnounced) and server.heard[0].version is version
    sent = (theirs / "t.o").read_bytes()
    assert sent == (ours / "out.o").read_bytes()
    run(words, theirs)
    assert (theirs / "t.o").read_bytes() == sent


class PumpServer(Server):
    """The same for version 3, in a tree below `where` (only for a client that can be trusted, as here)."""

    def compile(self, announced: JobAnnounced) -> tuple[subprocess.CompletedProcess[bytes], bytes]:
        for event in self.heard:
            match event:
                case FileReceived(path=path, data=data):
                    self.place(path).write_bytes(data)
                case LinkReceived(path=path, target=target):
                    self.place(path).symlink_to(os.fsdecode(target))
                case SystemDirectoryNamed(path=path):
                    self.place(path).symlink_to(os.fsdecode(path))
        words = [os.fsdecode(word) for word in announced.args]
        words[words.index("-o") + 1] = str(self.where / "out.o")
        words += ["-MMD", "-MF", str(self.where / "out.d")]
        cwd = self.where / os.fsdecode(announced.cwd[1:])
        ended = subprocess.run(words, capture_output=True, cwd=cwd, check=False)
        return ended, (self.where / "out.d").read_bytes()

    def place(self, path: bytes) -> Path:
        """Return where `path` is in the tree, in a directory that exists."""
        place = self.where / os.fsdecode(path[1:])
        place.parent.mkdir(parents=True, exist_ok=True)
        return place


def test_the_stock_client_and_our_server_in_version_3(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for place in (theirs / "inc", ours):
        place.mkdir(parents=True)
    (theirs / "inc/a.h").write_text("#define A 1\n")
    (theirs / "t.c").write_text('#include "inc/a.h"\n#include <stdio.h>\nint f(void) { return puts("x") + A; }\n')
    server = PumpServer(ours)
    words = "gcc -O2 -MD -MF t.d -c t.c -o t.o".split()
    with (
        stock.include_server(theirs) as address,
        stock.client(",cpp,lzo", words, theirs, INCLUDE_SERVER_PORT=address) as connection,
    ):
        server.serve(connection)
    announced = server.heard[0]
    assert isinstance(announced, JobAnnounced) and announced.version is Version.PUMP
    assert announced.cwd == os.fsencode(theirs.resolve())
    sent, told = (theirs / "t.o").read_bytes(), (theirs / "t.d").read_bytes()
    assert b"inc/a.h" in told
    run(words, theirs)
    assert (theirs / "t.o").read_bytes() == sent


@pytest.mark.parametrize("options", ["", ",lzo"])
def test_the_stock_client_shows_what_our_server_says(options: str, tmp_path: Path) -> None:
    """With no local retry: an early refusal with a sentence, while the client still sends."""
    (tmp_path / "t.c").write_text("int x;\n" * 100_000)
    said: list[bytes] = []
    with stock.client(options, "gcc -c t.c -o t.o".split(), tmp_path, said=said) as connection:
        core = DistccServer()
        answered = False
        while not core.complete:
            core.receive_data(connection.recv(1000))
            if not answered and core.events():
                core.respond(status=1 << 8, stderr=b"there is no such compiler here\n")
                answered = True
        while core.wants_to_send:
            connection.sendall(core.data_to_send())
    assert b"there is no such compiler here" in b"".join(said)
    assert not (tmp_path / "t.o").exists()


def test_both_ends_ours_over_a_socket_with_a_large_source(tmp_path: Path) -> None:
    """A server that answers early does not hang a client that reads only afterwards."""
    source = bytes(8 << 20)
    one, other = socket.socketpair()
    client, server = DistccClient(), DistccServer()
    client.request(Version.PLAIN, [b"gcc", b"-c"], source=source)
    heard: list[Event] = []
    with one, other:
        thread = threading.Thread(target=lambda: heard.extend(talk(client, one)))
        thread.start()
        while not core_done(server, other):
            pass
        other.shutdown(socket.SHUT_WR)
        thread.join(stock.PATIENCE_S)
    assert heard[0] == Answered(status=256, stderr=b"no\n", stdout=b"")
    assert heard[-1] == Closed(clean=True, heard=True)


def core_done(server: DistccServer, connection: socket.socket) -> bool:
    """Take the next bytes; refuse as soon as the job is announced; return whether the client has said everything."""
    server.receive_data(connection.recv(1 << 16))
    if any(isinstance(event, JobAnnounced) for event in server.events()):
        server.respond(status=256, stderr=b"no\n")
        connection.sendall(server.data_to_send())
    return server.complete

"""Records what stock distcc 3.4, client and daemon, say to each other, into `tests/golden/distcc`.

By hand, on Debian 12 with the packages distcc, distcc-pump, gcc and g++: ``python -m tests.golden.capture``.  It compiles
in /tmp/demo, which must not be there yet, so that no path of the machine gets into a transcript.  Each is two files:
NAME.request, what the client said, and NAME.response.  Version 3 needs the stock include server, see `repair`.  What
the stock client never says (links within the tree) our own client says, and the stock daemon answers.
"""

from __future__ import annotations

import getpass
import shutil
import socket
from pathlib import Path

from tests.golden import stock
from zdistcc.wire.distcc import DistccClient, DistccServer
from zdistcc.wire.distcc_events import File, JobAnnounced, Link, Version

WHERE = Path(__file__).parent / "distcc"
DEMO = Path("/tmp/demo")
SOURCES = {
    "sum.c": '#include "inc/unit.h"\nint sum(int a, int b) { return a + b + UNIT; }\n',
    "warn.c": "static int unused;\nint zero(void) { return 0; }\n",
    "wrong.c": '#include "inc/unit.h"\nint wrong(void) { return UNIT + missing; }\n',
    "box.cc": "#include <cstddef>\ntemplate <class T> struct Box { T held; };\n"
    "std::size_t size(Box<int> b) { return b.held; }\n",
    "inc/unit.h": "#define UNIT 1\n",
}
CASES = {
    "plain-c": ("", "gcc -O2 -c sum.c -o sum.o"),
    "plain-options": ("", "gcc -DX=1 -Iinc -MD -MF t.d -Wall -O2 -std=gnu11 -c warn.c -o out.o"),
    "plain-error": ("", "gcc -c wrong.c -o wrong.o"),
    "lzo-c": (",lzo", "gcc -O2 -c sum.c -o sum.o"),
    "lzo-c++": (",lzo", "g++ -O1 -c box.cc -o box.o"),
    "lzo-warning": (",lzo", "gcc -Wall -c warn.c -o warn.o"),
    "lzo-error": (",lzo", "gcc -c wrong.c -o wrong.o"),
    "pump-c": (",cpp,lzo", "gcc -O2 -MD -c sum.c -o sum.o"),
    "pump-c++": (",cpp,lzo", "g++ -I/tmp/demo/inc -c box.cc -o box.o"),
    "pump-warning": (",cpp,lzo", "gcc -Wall -c warn.c -o warn.o"),
    "pump-error": (",cpp,lzo", "gcc -c wrong.c -o wrong.o"),
}


def own_request() -> bytes:
    """A version 3 request with a link within the tree and a file of no bytes."""
    client = DistccClient()
    names = [
        File(path=b"/tmp/demo/sum.c", data=SOURCES["sum.c"].encode()),
        File(path=b"/tmp/demo/real/unit.h", data=SOURCES["inc/unit.h"].encode()),
        Link(path=b"/tmp/demo/inc", target=b"real"),
        Link(path=b"/tmp/demo/absolute", target=b"/tmp/demo/real"),
        File(path=b"/tmp/demo/empty.h", data=b""),
    ]
    words = [b"gcc", b"-I/tmp/demo/absolute", b"-c", b"sum.c", b"-o", b"sum.o"]
    client.request(Version.PUMP, words, cwd=b"/tmp/demo", names=names)
    return client.data_to_send(1 << 20)


def replay(server: DistccServer, client: DistccClient) -> None:
    """Have `client` ask something in the version in which `server` was asked."""
    announced = server.events()[0]
    assert isinstance(announced, JobAnnounced)
    if announced.version is Version.PUMP:
        client.request(announced.version, announced.args, cwd=announced.cwd)
    else:
        client.request(announced.version, announced.args, source=b"")
    client.data_to_send(1 << 20)


def keep(name: str, request: bytes, response: bytes) -> None:
    """Write one transcript down, if it names nothing of this machine."""
    for word in (socket.gethostname(), getpass.getuser(), str(Path.home()), str(Path.cwd())):
        assert word.encode() not in request + response, f"{name} names {word}"
    server, client = DistccServer(), DistccClient()
    server.receive_data(request)
    assert server.complete, f"{name}: the request is not whole"
    assert response, f"{name}: the daemon refused"
    replay(server, client)
    client.receive_data(response)
    assert client.complete, f"{name}: the response is not whole"
    (WHERE / f"{name}.request").write_bytes(request)
    (WHERE / f"{name}.response").write_bytes(response)
    print(f"{name}: {len(request)} bytes, {len(response)} back")


def main() -> None:
    DEMO.mkdir()
    WHERE.mkdir(exist_ok=True)
    try:
        for path, text in SOURCES.items():
            (DEMO / path).parent.mkdir(exist_ok=True)
            (DEMO / path).write_text(text)
        with stock.include_server(DEMO) as address:
            for name, (options, words) in CASES.items():
                more = {"INCLUDE_SERVER_PORT": address} if "cpp" in options else {}
                with stock.client(options, words.split(), DEMO, **more) as one, stock.daemon() as other:
                    keep(name, *stock.relay(one, other))
        with stock.daemon() as other:
            request = own_request()
            other.sendall(request)
            response = b""
            while data := other.recv(1 << 16):
                response += data
            keep("own-links", request, response)
    finally:
        shutil.rmtree(DEMO)


if __name__ == "__main__":
    main()

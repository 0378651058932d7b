"""One value of every message, for tests that go through all of them."""

from __future__ import annotations

from zdistcc.wire import messages as m
from zdistcc.wire.messages import Message

COMPILER = m.CompilerInfo(
    family="gcc", version="12.2.0", target="x86_64-linux-gnu", build_id="a" * 32, languages=("c", "c++"), targets=("x",)
)
BLOB = m.Blob(digest=b"d" * 32, body=m.Body(raw=5, packed=5))
SAMPLES: tuple[Message, ...] = (
    m.Hello(version="1", name="client", agent="a", features=("x",)),
    m.Greeting(version="1", id="0123456789abcdef", name="w", slots=4, compilers=(COMPILER,), queue=8, machine="Linux"),
    m.Denied(sentence="no", remedy="ask"),
    m.Compilers(compilers=(COMPILER,)),
    m.Load(
        slots=0,
        running=1,
        queued=0,
        draining=True,
        configured=4,
        limited="on battery",
        others_load=150,
        memory_free=1 << 30,
        memory_total=1 << 34,
        efficiency=97,
    ),
    m.Peers(peers=(m.PeerInfo(id="0123456789abcdef", name="p", addresses=("192.0.2.1", "fe80::1%2"), port=3633),)),
    m.Ping(token=7),
    m.Pong(token=7),
    m.Goodbye(why="bye"),
    m.Job(
        compiler="a" * 32,
        target="x86_64-linux-gnu",
        language="cpp-output",
        stage=m.Stage.OBJECT,
        args=(b"-O2", b"-g"),
        name=b"x.c",
        cwd=b"/p",
        source=BLOB,
        env=(("LANG", b"C"),),
        label="x.c",
    ),
    m.Files(
        entries=(
            m.FileEntry(path=b"/p/x.c", digest=b"d" * 32, size=3, mtime_s=7),
            m.LinkEntry(path=b"/l", target=b"/p"),
            m.DirectoryEntry(path=b"/e"),
        ),
        sets=(m.FileSet(number=0, members=(0, 1, 2)),),
    ),
    m.TreeJob(
        compiler="a" * 32,
        target="x86_64-linux-gnu",
        language="c",
        stage=m.Stage.OBJECT,
        args=(b"-O2", m.PathArg(before=b"-I", path=b"/i")),
        source=b"x.c",
        cwd=b"/p",
        epoch=1,
        files=0,
        search=(("-isystem", b"/usr/include/c++/12"),),
        dependencies=True,
        output=b"x.o",
        sides=(("dwo", b"x.dwo"),),
        env=(("LANG", b"C"),),
        paths=(("CPATH", b"/q"),),
        label="x.c",
    ),
    m.Started(),
    m.Need(digests=(b"d" * 32,)),
    m.Supply(blobs=(BLOB,)),
    m.Result(status=0, stderr=b"w", outputs=(m.Output(kind="object", body=m.Body(raw=3, packed=3)),), cpu_ms=1),
    m.Refuse(code=m.RefusalCode.BUSY, sentence="later", remedy="wait"),
    m.Cancel(),
)

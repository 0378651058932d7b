"""What the launcher tells the agent, and does with each of its answers."""

from __future__ import annotations

import os
import pty
import signal
import socket
import struct
import subprocess
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.launcher.lab import DEADLINE_S, Lab, Session
from zdistcc.wire import control
from zdistcc.wire.control import LaunchFlag


@pytest.mark.parametrize("code", [0, 1, 4, 255])
def test_exit_status(lab: Lab, code: int) -> None:
    with lab.agent(control.encode_done(code << 8, b"out\n", b"x.c:1: error\n")):
        done = lab.run("fakecc", "-c", "x.c")
    assert (done.returncode, done.stdout, done.stderr) == (code, b"out\n", b"x.c:1: error\n")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGABRT])
def test_death_by_signal(lab: Lab, number: int) -> None:
    with lab.agent(control.encode_done(number | 0x80, b"", b"dying\n")):
        done = lab.run("fakecc", "-c", "x.c", cwd=lab.root)
    assert (done.returncode, done.stderr) == (-number, b"dying\n")
    assert not list(lab.root.glob("core*"))


def test_much_output(lab: Lab) -> None:
    out, err = os.urandom(3 << 20), os.urandom(2 << 20)
    with lab.agent(control.encode_done(0, out, err)):
        done = lab.run("fakecc")
    assert (done.returncode, done.stdout == out, done.stderr == err) == (0, True, True)


def test_output_to_a_slow_nonblocking_pipe(lab: Lab) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with (
        lab.agent(control.encode_done(0, b"x" * 500_000, b"")),
        lab.popen("fakecc", stdout=writer) as process,
    ):
        os.close(writer)
        with open(reader, "rb") as pipe:
            assert len(pipe.read()) == 500_000
        assert process.wait(DEADLINE_S) == 0


def test_full_output(lab: Lab) -> None:
    with lab.agent(control.encode_done(0, b"text", b"")), open("/dev/full", "wb") as full:
        done = lab.run("fakecc", stdout=full)
    assert done.returncode == 107
    assert b"No space left" in done.stderr


def test_heartbeats_then_done(lab: Lab) -> None:
    with lab.agent(control.encode_wait() * 3 + control.encode_done(0, b"late", b"")):
        assert lab.run("fakecc").stdout == b"late"


@pytest.mark.parametrize("answered", [True, False])
def test_our_own_messages_go_where_ccache_does_not_keep_them(lab: Lab, answered: bool) -> None:
    """The agent's word that nobody did the job, and the launcher's that there is no agent."""
    ours, theirs = os.pipe()
    env = {"UNCACHED_ERR_FD": str(theirs), "ZDISTCC_FALLBACK": "0"}
    try:
        with lab.agent(control.encode_fail(103, b"zdistcc: nobody will\n")) if answered else nullcontext():
            done = lab.run("fakecc", "-c", "x.c", env=env, pass_fds=(theirs,))
        assert (done.returncode, done.stdout, done.stderr) == (103, b"", b"")
        assert os.read(ours, 4096).startswith(b"zdistcc: nobody will\n" if answered else b"zdistcc: the agent")
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("number", ["9", "-1", "0", "x", "", "99999999999999999999"])
def test_a_descriptor_for_messages_that_is_none(lab: Lab, number: str) -> None:
    with lab.agent(control.encode_fail(103, b"zdistcc: nobody will\n")):
        done = lab.run("fakecc", "-c", "x.c", env={"UNCACHED_ERR_FD": number})
    assert (done.returncode, done.stderr) == (103, b"zdistcc: nobody will\n")


@pytest.mark.parametrize("descriptor", ["3", "4"])
def test_the_compilers_messages_stay_on_standard_error(lab: Lab, descriptor: str) -> None:
    with lab.agent(control.encode_done(1 << 8, b"", b"x.c:1: error\n")):
        done = lab.run("fakecc", "-c", "x.c", env={"UNCACHED_ERR_FD": descriptor})
    assert (done.returncode, done.stderr) == (1, b"x.c:1: error\n")


def test_failure(lab: Lab) -> None:
    with lab.agent(control.encode_fail(103, b"zdistcc: nobody will\n")):
        done = lab.run("fakecc", "-c", "x.c")
    assert (done.returncode, done.stdout, done.stderr) == (103, b"", b"zdistcc: nobody will\n")


def test_run_holds_the_slot_until_the_compiler_ends(lab: Lab) -> None:
    started, ended = lab.root / "started", lab.root / "ended"
    os.mkfifo(started)
    os.mkfifo(ended)
    lab.compiler("slowcc", f"echo on > {started}; read line < {ended}; exit 7")
    held, released = threading.Event(), threading.Event()

    def answer(session: Session) -> None:
        session.link.sendall(control.encode_run())
        assert started.read_text() == "on\n"
        if not session.ended(now=True):
            held.set()
        ended.write_text("go\n")
        if session.ended():
            released.set()

    with lab.agent(answer):
        assert lab.run("slowcc", "-c", "x.c").returncode == 7
    assert held.is_set()
    assert released.is_set()


BAD_ANSWERS = {
    "nothing": b"",
    "short": b"ZDR1\2",
    "garbage": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "unknown kind": struct.pack(">4sB3x3I", b"ZDR1", 9, 0, 0, 0),
    "cut": control.encode_done(0, b"must not be printed", b"")[:-1],
    "cut after a heartbeat": control.encode_wait(),
    "too long": struct.pack(">4sB3x3I", b"ZDR1", 2, 0, 2**32 - 1, 2**32 - 1),
    "no exit code": struct.pack(">4sB3x3I", b"ZDR1", 3, 0, 0, 0),
    "stopped": struct.pack(">4sB3x3I", b"ZDR1", 2, 0x137F, 0, 0),
    "no status": struct.pack(">4sB3x3I", b"ZDR1", 2, 0x10000, 0, 0),
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=list(BAD_ANSWERS))
def test_a_broken_agent_is_as_none(lab: Lab, answer: bytes) -> None:
    with lab.agent(answer):
        done = lab.run("fakecc", "-E", "x.c")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"ran\n-E\nx.c\n", b"")


def test_a_silent_agent_is_as_none(impatient_lab: Lab) -> None:
    def answer(session: Session) -> None:
        assert session.ended()

    with impatient_lab.agent(answer):
        assert impatient_lab.run("fakecc").stdout == b"ran\n"


def test_an_agent_that_does_not_read(impatient_lab: Lab) -> None:
    """Its socket takes connections, as that of a stopped process does."""
    output = impatient_lab.root / "output"
    impatient_lab.runtime.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as server, output.open("wb") as file:
        server.bind(str(impatient_lab.socket))
        server.listen(1)
        assert impatient_lab.run("fakecc", stdout=file, stderr=file).returncode == 0
    assert output.read_bytes() == b"ran\n"


def test_what_the_agent_is_told(lab: Lab) -> None:
    odd = [b"", b"two\nlines", b"\xff\xfe not UTF-8", b"'quoted' \"$HOME\""]
    with (
        lab.agent(control.encode_done(0, b"", b"")) as agent,
        lab.popen("fakecc", *odd, cwd=lab.root, umask=0o027, env={"ODD": "a=b"}) as process,
    ):
        process.communicate(timeout=DEADLINE_S)
    (told,) = agent.requests
    assert told.cwd == os.fsencode(lab.root)
    assert told.compiler == os.fsencode(lab.compilers / "fakecc")
    assert told.argv == (b"fakecc", *odd)
    assert told.umask == 0o027
    assert told.pid == process.pid
    expected = {os.fsencode(name): os.fsencode(value) for name, value in {**lab.env, "ODD": "a=b"}.items()}
    assert {name: value for name, value in told.env.items() if name != b"PWD"} == expected
    assert told.flags == (LaunchFlag(0) if lab.kind == "native" else LaunchFlag.PYTHON_LAUNCHER)


def test_a_terminal_is_noticed(lab: Lab) -> None:
    control_end, terminal = pty.openpty()
    try:
        with lab.agent(control.encode_done(0, b"", b"")) as agent:
            assert lab.run("fakecc", stderr=terminal).returncode == 0
    finally:
        os.close(control_end)
        os.close(terminal)
    assert agent.requests[0].flags & LaunchFlag.STDERR_IS_TERMINAL


def test_standard_descriptors_travel(lab: Lab) -> None:
    def answer(session: Session) -> None:
        text = os.read(session.fds[0], 100)
        os.write(session.fds[1], b"out " + text)
        os.write(session.fds[2], b"err " + text)
        session.link.sendall(control.encode_done(0, b"", b""))

    reader, writer = os.pipe()
    os.write(writer, b"typed")
    os.close(writer)
    with lab.agent(answer):
        done = lab.run("fakecc", stdin=reader)
    os.close(reader)
    assert (done.stdout, done.stderr) == (b"out typed", b"err typed")


def test_closed_descriptors(lab: Lab) -> None:
    seen: list[str] = []

    def answer(session: Session) -> None:
        seen.extend(os.readlink(f"/proc/self/fd/{fd}") for fd in session.fds[:2])
        session.link.sendall(control.encode_done(3 << 8, b"lost", b""))

    with lab.agent(answer):
        done = lab.call("/bin/sh", "-c", f"exec {lab.program} fakecc <&- >&-")
    assert seen == ["/dev/null", "/dev/null"]
    assert done.returncode == 3


def test_ctrl_c_closes_the_socket(lab: Lab) -> None:
    waiting, gone = threading.Event(), threading.Event()

    def answer(session: Session) -> None:
        session.link.sendall(control.encode_wait())
        waiting.set()
        if session.ended():
            gone.set()

    with lab.agent(answer):
        with lab.popen("fakecc", "-c", "x.c") as process:
            assert waiting.wait(DEADLINE_S)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=DEADLINE_S)
        assert gone.wait(DEADLINE_S)
    assert (process.returncode, out, err) == (-signal.SIGINT, b"", b"")


def test_a_call_too_long_for_the_agent(impatient_lab: Lab) -> None:
    lab = impatient_lab
    lab.compiler("countcc", 'echo "$#"')
    with lab.agent(control.encode_done(0, b"remote\n", b"")) as agent:
        assert lab.run("countcc", "x" * 60_000).stdout == b"remote\n"
        assert lab.run("countcc", "x" * 66_000).stdout == b"1\n"
    assert len(agent.requests) == 1


def test_a_long_call(lab: Lab) -> None:
    words = ["x" * 100_000] * 15
    with lab.agent(control.encode_done(0, b"", b"")) as agent:
        assert lab.run("fakecc", *words).returncode == 0
    assert agent.requests[0].argv == (b"fakecc", *(word.encode() for word in words))


def test_a_deleted_directory(lab: Lab) -> None:
    doomed = lab.root / "doomed"
    doomed.mkdir()
    script = f"cd {doomed} && rmdir {doomed} && exec {lab.program} fakecc"
    with lab.agent(control.encode_fail(1, b"")) as agent:
        done = lab.call("/bin/sh", "-c", script)
    assert (done.stdout, agent.requests) == (b"ran\n", [])


def test_the_compiler_inherits_what_we_did(lab: Lab) -> None:
    """Descriptors, umask, signals, directory, environment: as without us, but for slot and guard."""
    facts = (
        "import os; "
        "status=[l for l in open('/proc/self/status') if l.startswith(('Umask','SigBlk','SigIgn'))]; "
        "fds=sorted((int(f), os.readlink('/proc/self/fd/'+f)) for f in os.listdir('/proc/self/fd')"
        " if os.path.exists('/proc/self/fd/'+f)); "
        "env={k:v for k,v in os.environ.items() if k not in ('_ZDISTCC_SAFEGUARD','PWD','LC_CTYPE','_')}; "
        "fds=[f for f in fds if not f[1].startswith('/')]; "
        "print(status, os.getcwd(), sorted(env.items()), [f for f in fds if not f[1].startswith('socket')])"
    )
    (lab.compilers / "facts.py").write_text(facts)
    reader, writer = os.pipe()
    blocked = {signal.SIGUSR1, signal.SIGTERM}
    ignored = signal.SIGUSR2

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        signal.signal(ignored, signal.SIG_IGN)
        os.umask(0o013)

    def observe(*command: str) -> bytes:
        with subprocess.Popen(
            command,
            env=lab.env,
            cwd=lab.root,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.STDOUT,
            pass_fds=(reader,),
            preexec_fn=prepare,
        ) as process:
            assert process.wait(DEADLINE_S) == 0
        return os.read(reader, 1 << 16)

    python = str(lab.bin / "python3")
    plain = [python, "-I", "-S", str(lab.compilers / "facts.py")]
    with lab.agent(control.encode_run()):
        through_us = observe(str(lab.program), *plain)
    bare = observe(*plain)
    os.close(reader)
    os.close(writer)
    assert through_us == bare


def test_an_ignored_sigpipe_stays_ignored(programs: dict[str, Path]) -> None:
    """Of the compiled one only: Python has changed it before we can look."""
    script = f'trap "" PIPE; exec {programs["native"]} grep SigIgn /proc/self/status'
    env = {"PATH": "/bin:/usr/bin", "_ZDISTCC_SAFEGUARD": "1"}
    line = subprocess.run(["/bin/sh", "-c", script], env=env, capture_output=True, check=True).stdout
    assert int(line.split()[1], 16) & 1 << signal.SIGPIPE - 1

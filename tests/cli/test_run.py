"""A tool under `zdistcc` is as if it had been called directly: words, input, ends, signals, the terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.lab import LAUNCHER, MAKE, FakeAgent, Lab, fake_agent, lab_in, members, missing
from tests.lan.waiting import wait_until

REASON = missing(MAKE)
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

SHOW = "#!/bin/sh\nprintf '<%s>' \"$@\"\n"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with lab_in(tmp_path) as lab:
        yield lab


@pytest.fixture
def agent(lab: Lab) -> Iterator[FakeAgent]:
    with fake_agent(lab) as agent:
        yield agent


def fake(lab: Lab, name: str, text: str = SHOW) -> None:
    path = lab.directory / "bin" / name
    path.write_text(text)
    path.chmod(0o755)


# --- words -----------------------------------------------------------------------------------------

WORDS = ["--help", "-h", "--version", "--", "-x", "", "a b", "$HOME", "--json", "--", "--install-completion"]


@pytest.mark.parametrize("tool", ["make", "ninja", "cmake"])
def test_words_are_passed_on(tool: str, lab: Lab, agent: FakeAgent) -> None:
    """The version of these is not known, so they are told a number in front of all words; cmake is told nothing."""
    fake(lab, tool)
    told = "" if tool == "cmake" else "<-j2>"
    assert lab.run(tool, *WORDS).stdout == told + "".join(f"<{word}>" for word in WORDS)


@pytest.mark.parametrize("between", [["--"], []])
def test_words_of_run_are_the_commands(between: list[str], lab: Lab, agent: FakeAgent) -> None:
    fake(lab, "show")
    assert lab.run("run", *between, "show", *WORDS).stdout == "".join(f"<{word}>" for word in WORDS)


def test_the_environment(lab: Lab, agent: FakeAgent) -> None:
    said = lab.run("run", "env", env={"MAKEFLAGS": "k"}).stdout
    found = dict(line.split("=", 1) for line in said.splitlines())
    assert found["PATH"].endswith(":" + lab.env["PATH"]) and "/ca che/compilers/" in found["PATH"]
    assert found["MAKEFLAGS"].startswith("-k -j2 --jobserver-auth=")
    assert found["CMAKE_C_COMPILER_LAUNCHER"] == str(LAUNCHER)
    assert found["CCACHE_PATH"] == lab.env["PATH"]
    assert len(found["_ZDISTCC_BUILD"]) == 16
    again = lab.run("run", "env", env={"_ZDISTCC_BUILD": "outer"}).stdout
    assert "_ZDISTCC_BUILD=outer\n" in again


def test_a_descriptor_of_the_users_gets_through(lab: Lab, agent: FakeAgent) -> None:
    script = f"exec 7<<<hello; {LAUNCHER} run sh -c 'cat <&7'"
    ended = subprocess.run(["bash", "-c", script], env=lab.env, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "hello\n"


# --- input, ends -----------------------------------------------------------------------------------


def test_standard_input_is_the_tools(lab: Lab, agent: FakeAgent) -> None:
    assert lab.run("make", "-f", "-", text="all: ; @echo made $(X)\n").stdout == "made\n"
    assert lab.run("run", "cat", text="words\n").stdout == "words\n"


@pytest.mark.parametrize("status", [0, 1, 2, 37, 127, 255])
def test_exit_status(status: int, lab: Lab, agent: FakeAgent) -> None:
    ended = lab.run("run", "sh", "-c", f"exit {status}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGINT, signal.SIGPIPE])
def test_a_tool_that_a_signal_ends(number: int, lab: Lab, agent: FakeAgent) -> None:
    assert lab.run("run", "sh", "-c", f"kill -{int(number)} $$").returncode == -number
    script = f'"{LAUNCHER}" run sh -c "kill -{int(number)} \\$\\$"; echo $?'
    ended = subprocess.run(
        ["sh", "-c", script], env=lab.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=True
    )
    assert ended.stdout == b"%d\n" % (128 + number)


def test_what_make_says_of_a_failure(lab: Lab, agent: FakeAgent) -> None:
    (lab.work / "Makefile").write_text("all: ; @false\n")
    ended = lab.run("make")
    assert (ended.returncode, ended.stderr) == (2, "make: *** [Makefile:1: all] Error 1\n")


def test_a_tool_that_is_not_there(lab: Lab, agent: FakeAgent) -> None:
    ended = lab.run("run", "nothing-like-it")
    assert (ended.returncode, ended.stderr) == (
        100,
        "zdistcc: nothing-like-it cannot be run: No such file or directory; install it, or write its path\n",
    )


# --- signals ---------------------------------------------------------------------------------------


def test_sigterm_to_us_alone_ends_all(lab: Lab, agent: FakeAgent) -> None:
    lab.makefile(4)
    with lab.build([LAUNCHER, "make"]) as build:
        lab.running_becomes(2)
        build.process.terminate()
        assert build.wait() == -signal.SIGTERM
        wait_until(lambda: members(build.process.pid) == [], 10, "nobody is left")


@pytest.mark.parametrize("name", ["INT", "QUIT", "TERM", "HUP"])
def test_signals_to_us_alone_are_passed_on(name: str, lab: Lab, agent: FakeAgent) -> None:
    """What a tool makes of them is its own affair: make waits for its jobs after an interrupt."""
    script = f"trap 'echo caught; exit 7' {name}; echo ready; while :; do sleep 0.02; done"
    with lab.build([LAUNCHER, "run", "sh", "-c", script]) as build:
        wait_until(lambda: build.stdout == "ready\n", 20, "the tool is ready")
        build.process.send_signal(signal.Signals[f"SIG{name}"])
        assert (build.wait(), build.stdout) == (7, "ready\ncaught\n")


def test_what_was_ignored_stays_ignored(lab: Lab, agent: FakeAgent) -> None:
    script = f"trap '' INT; exec {LAUNCHER} run sh -c 'kill -INT $PPID; kill -INT $$; echo alive'"
    ended = subprocess.run(["sh", "-c", script], env=lab.env, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "alive\n")


class Terminal:
    """An interactive shell in a terminal of its own."""

    def __init__(self, lab: Lab) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(lab.work)
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"], {**lab.env, "PS1": "", "TERM": "dumb"})
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def expect(self, text: str) -> None:
        def there() -> bool:
            while select.select([self.fd], [], [], 0)[0]:
                self.seen += os.read(self.fd, 4096).decode(errors="replace")
            return text in self.seen

        wait_until(there, 30, f"{text!r} on the terminal")
        self.seen = self.seen.partition(text)[2]

    def close(self) -> None:
        for pid in members(self.pid):
            os.kill(pid, signal.SIGKILL)
        os.close(self.fd)
        os.waitpid(self.pid, 0)


@pytest.fixture
def terminal(lab: Lab) -> Iterator[Terminal]:
    terminal = Terminal(lab)
    yield terminal
    terminal.close()


def test_control_c_goes_to_the_tool_and_leaves_nobody(lab: Lab, agent: FakeAgent, terminal: Terminal) -> None:
    lab.makefile(4)
    terminal.type("zdistcc make\n")
    lab.running_becomes(2)
    terminal.type("\x03")
    terminal.expect("Interrupt")
    wait_until(lambda: members(terminal.pid) == [terminal.pid], 10, "only the shell is left")
    terminal.type("echo status $?\n")
    terminal.expect("status 130\r\n")


def test_a_tool_that_survives_control_c_is_waited_for(lab: Lab, agent: FakeAgent, terminal: Terminal) -> None:
    """It comes once: not from the terminal and again from us."""
    script = "times=0; trap 'times=$((times+1)); echo caught' INT\necho ready\n"
    script += "while ! test -e go; do sleep 0.02; done\necho caught $times times\nexit 5\n"
    (lab.work / "tool").write_text(script)
    terminal.type("stty -echo; zdistcc run sh tool; echo status $?\n")
    terminal.expect("\r\nready\r\n")
    terminal.type("\x03")
    terminal.expect("caught\r\n")
    (lab.work / "go").touch()
    terminal.expect("caught 1 times\r\nstatus 5\r\n")


def test_control_z_stops_and_fg_goes_on(lab: Lab, agent: FakeAgent, terminal: Terminal) -> None:
    lab.makefile(2)
    terminal.type("zdistcc make\n")
    lab.running_becomes(2)
    terminal.type("\x1a")
    terminal.expect("Stopped")
    terminal.type("fg; echo status $?\n")
    lab.end_all(2)
    terminal.expect("status 0\r\n")


# --- the line at the end, and doing without --------------------------------------------------------

COUNTED = {"workers": {"desk": {"jobs": 3, "cpu_s": 0.5}}, "reasons": {"link": 1}, "failed": 0}


def test_a_line_at_the_end(lab: Lab, agent: FakeAgent) -> None:
    agent.build = COUNTED
    ended = lab.run("run", "sh", "-c", "echo out; exit 3")
    assert (ended.returncode, ended.stdout) == (3, "out\n")
    assert ended.stderr.startswith("zdistcc: 4 jobs in ") and ended.stderr.count("\n") == 1
    assert ended.stderr.endswith(": 3 on desk, 1 here (link); no time saved\n")
    assert lab.run("run", "true", env={"ZDISTCC_SUMMARY": "0"}).stderr == ""
    assert lab.run("run", LAUNCHER, "run", "true").stderr.count("jobs in") == 1, "the outermost says it"


def test_nothing_compiled_is_nothing_said(lab: Lab, agent: FakeAgent) -> None:
    agent.build = {"workers": {}, "reasons": {"link": 2, "query": 1}, "failed": 0}
    assert lab.run("run", "true").stderr == ""


def test_an_agent_that_cannot_be_had_is_done_without(lab: Lab) -> None:
    Path(lab.env["ZDISTCC_RUNTIME_DIR"]).chmod(0o755)
    (lab.work / "Makefile").write_text("all: ; @echo made\n")
    ended = lab.run("make")
    assert (ended.returncode, ended.stdout) == (0, "made\n")
    assert "is open to others" in ended.stderr and "runs on this machine alone" in ended.stderr
    Path(lab.env["ZDISTCC_RUNTIME_DIR"]).chmod(0o700)


def test_disabled_is_not_there(lab: Lab) -> None:
    fake(lab, "make", '#!/bin/sh\nprintf \'%s %s\' "$MAKEFLAGS" "$PATH"\nprintf \'<%s>\' "$@"\n')
    ended = lab.run("make", "-j3", env={"ZDISTCC_DISABLE": "1"})
    assert (ended.stdout, ended.stderr) == (f" {lab.env['PATH']}<-j3>", "")
    assert lab.run("run", "nothing-like-it", env={"ZDISTCC_DISABLE": "1"}).returncode == 100


def test_a_supervisor_that_is_killed_does_not_end_the_build(lab: Lab, agent: FakeAgent) -> None:
    agent.useful = 3
    lab.makefile(6)
    with lab.build([LAUNCHER, "make"]) as build:
        lab.running_becomes(3)
        build.process.kill()
        build.wait()
        lab.end_all(6)
        wait_until(lambda: members(build.process.pid) == [], 20, "make is done")
        assert lab.running() == 0 and build.stderr == ""


def test_its_start_does_not_take_long(lab: Lab, agent: FakeAgent) -> None:
    """Nothing heavy is imported that is not needed: asyncio, rich and the worker are not."""
    code = "import sys; import zdistcc.cli.run; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not {"asyncio", "rich", "msgspec", "zeroconf"} & set(ended.stdout.split())

"""How the launcher starts the agent: once, with nothing inherited, in a directory that is ours alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.launcher.lab import DEADLINE_S, Lab, until
from zdistcc import paths
from zdistcc.wire import control


def test_twenty_launchers_start_one_agent(lab: Lab) -> None:
    lab.startable_agent()
    racers = [lab.popen("fakecc", str(number)) for number in range(20)]
    for number, racer in enumerate(racers):
        with racer:
            out, err = racer.communicate(timeout=DEADLINE_S)
        assert (racer.returncode, out, err) == (0, f"ran\n{number}\n".encode(), b"")
    assert len(lab.starts()) == 1


def test_the_agent_inherits_nothing(lab: Lab) -> None:
    """No descriptor (a build tool waits for its pipe to close), signal mask, jobserver, directory."""
    lab.startable_agent()
    reader, writer = os.pipe()

    with lab.popen("fakecc", pass_fds=(writer,), env={"MAKEFLAGS": "-j4"}, cwd=lab.root) as process:
        os.close(writer)
        out, _ = process.communicate(timeout=DEADLINE_S)
    assert out == b"ran\n"
    assert os.read(reader, 1) == b"", "the agent holds the build tool's pipe"
    os.close(reader)
    (line,) = lab.starts()
    _, arguments_are_right, facts = line.split(" ", 2)
    assert arguments_are_right == "True"
    # Python itself ignores SIGPIPE and SIGXFSZ.
    assert facts == "[0, 1, 2, 3] / True False ['0000000000000000', '0000000001001000']"
    log = paths.log_path(lab.env)
    assert log.stat().st_mode & 0o777 == 0o600
    assert lab.runtime.stat().st_mode & 0o777 == 0o700


def test_ignored_and_blocked_signals_are_reset_for_the_agent(lab: Lab) -> None:
    lab.startable_agent()
    script = f'trap "" INT TERM HUP CHLD; exec {lab.program} fakecc'
    assert lab.call("/bin/sh", "-c", script).stdout == b"ran\n"
    assert lab.starts()[0].endswith("['0000000000000000', '0000000001001000']")


def test_closed_standard_descriptors(lab: Lab) -> None:
    lab.startable_agent()
    done = lab.call("/bin/sh", "-c", f"exec {lab.program} fakecc <&- 2>&-")
    assert done.stdout == b"ran\n"
    assert " True [0, 1, 2, 3] / True " in lab.starts()[0]


def test_a_socket_left_behind(lab: Lab) -> None:
    lab.startable_agent()
    with lab.agent(control.encode_run()):
        assert lab.run("fakecc").returncode == 0
    assert lab.socket.exists()
    assert lab.run("fakecc").stdout == b"ran\n"
    assert len(lab.starts()) == 1


def test_a_broken_agent_is_not_started_again_at_once(lab: Lab) -> None:
    lab.startable_agent()
    (lab.root / "broken").touch()
    for _ in range(3):
        assert lab.run("fakecc").stdout == b"ran\n"
    assert len(lab.starts()) == 1
    assert b"broken" in paths.log_path(lab.env).read_bytes()
    # The note grows old.
    lock = paths.lock_path(lab.env)
    assert lock.stat().st_size > 0
    os.utime(lock, (0, 0))
    (lab.root / "broken").unlink()
    assert lab.run("fakecc").stdout == b"ran\n"
    assert len(lab.starts()) == 2
    assert lock.stat().st_size == 0


def test_no_agent_program(lab: Lab) -> None:
    done = lab.run("fakecc")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"ran\n", b"")
    assert b"zdistcc-agent: No such file or directory" in paths.log_path(lab.env).read_bytes()


def test_the_log_does_not_grow_for_ever(lab: Lab) -> None:
    lab.runtime.mkdir(mode=0o700)
    log = paths.log_path(lab.env)
    log.write_bytes(b"x" * (1 << 20))
    lab.run("fakecc")
    assert log.stat().st_size > 1 << 20
    paths.lock_path(lab.env).unlink()
    lab.run("fakecc")
    assert log.stat().st_size < 1000


def test_a_launcher_killed_while_the_agent_starts(lab: Lab) -> None:
    """Its successor waits for that agent and does not start another."""
    lab.startable_agent()
    gate = lab.root / "gate"
    os.mkfifo(gate)
    with lab.popen("fakecc") as first:
        until(lab.starts, "the agent's start")
        first.kill()
        first.communicate(timeout=DEADLINE_S)
    with lab.popen("fakecc", "second") as second:
        # It is past the first look once it has the lock file open.
        lock = str(paths.lock_path(lab.env))
        until(lambda: lock in open_files(second.pid), "the second launcher at the lock")
        gate.write_text("open\n")
        gate.unlink()
        out, _ = second.communicate(timeout=DEADLINE_S)
    assert out == b"ran\nsecond\n"
    assert len(lab.starts()) == 1


def open_files(pid: int) -> list[str]:
    try:
        return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return []


# --- the runtime directory ----------------------------------------------------------------------------


def spoil(runtime: Path, how: str) -> None:
    if how == "open to others":
        runtime.mkdir()
        runtime.chmod(0o755)
    elif how == "a link":
        (runtime.parent / "real").mkdir(mode=0o700)
        runtime.symlink_to("real")
    elif how == "a file":
        runtime.write_text("")
    elif how == "without a parent":
        runtime.parent.rmdir()


@pytest.mark.parametrize("how", ["open to others", "a link", "a file", "without a parent"])
def test_a_runtime_directory_that_will_not_do(lab: Lab, how: str) -> None:
    lab.startable_agent()
    runtime = lab.root / "parent" / "run"
    runtime.parent.mkdir()
    spoil(runtime, how)
    before = sorted(lab.root.rglob("*"))
    done = lab.run("fakecc", env={"ZDISTCC_RUNTIME_DIR": str(runtime)})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"ran\n", b"")
    assert sorted(lab.root.rglob("*")) == before


def test_a_foreign_runtime_directory(lab: Lab) -> None:
    """Somebody else's directory with the right mode; for all but root any of root's will do."""
    lab.startable_agent()
    runtime = Path("/root")
    if os.getuid() == 0:
        runtime = lab.root / "foreign"
        runtime.mkdir(mode=0o700)
        os.chown(runtime, 12345, 12345)
    done = lab.run("fakecc", env={"ZDISTCC_RUNTIME_DIR": str(runtime)})
    assert (done.stdout, lab.starts()) == (b"ran\n", [])


LONG = "/tmp/" + "x" * 75


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"ZDISTCC_RUNTIME_DIR": "/some/where"},
        {"ZDISTCC_RUNTIME_DIR": "relative", "XDG_RUNTIME_DIR": "{root}"},
        {"XDG_RUNTIME_DIR": "{root}"},
        {"XDG_RUNTIME_DIR": "{root}/bin/zdistcc"},
        {"XDG_RUNTIME_DIR": "/proc/1/nowhere"},
        {"XDG_RUNTIME_DIR": "relative"},
        {"ZDISTCC_RUNTIME_DIR": "/", "XDG_RUNTIME_DIR": "{root}"},
        {"ZDISTCC_RUNTIME_DIR": LONG[:79]},
        {"ZDISTCC_RUNTIME_DIR": LONG[:80]},
        {"ZDISTCC_RUNTIME_DIR": LONG * 60},
    ],
)
def test_both_sides_name_the_same_socket(lab: Lab, env: dict[str, str]) -> None:
    env = {name: value.format(root=lab.root) for name, value in env.items()}
    told = subprocess.run(
        [lab.program, "--zdistcc-socket-path"],
        env={"PATH": "/usr/bin:/bin", **env},
        capture_output=True,
        check=True,
        cwd=lab.root,
    )
    assert Path(told.stdout.decode().strip("\n").replace("//", "/")) == paths.socket_path(env)
    fits = len(env.get("ZDISTCC_RUNTIME_DIR", "")) < 80
    assert (paths.runtime_dir(env) == Path(env.get("ZDISTCC_RUNTIME_DIR", ""))) == (
        fits and env.get("ZDISTCC_RUNTIME_DIR", "").startswith("/")
    )


def test_cache_dir() -> None:
    home = {"HOME": "/home/me"}
    assert paths.cache_dir(home) == Path("/home/me/.cache/zdistcc")
    assert paths.cache_dir({**home, "XDG_CACHE_HOME": "/x"}) == Path("/x/zdistcc")
    assert paths.cache_dir({**home, "XDG_CACHE_HOME": "x"}) == Path("/home/me/.cache/zdistcc")
    assert paths.cache_dir({**home, "ZDISTCC_CACHE_DIR": "/y", "XDG_CACHE_HOME": "/x"}) == Path("/y")

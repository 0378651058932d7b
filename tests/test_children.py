"""Child processes: how they end, what they may use, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from zdistcc import children
from zdistcc.children import Ended, Limits, SpawnError

ENV = {b"PATH": os.fsencode(os.environ.get("PATH", os.defpath)), b"LC_ALL": b"C"}
SH = shutil.which("sh") or "/bin/sh"
DEADLINE_S = 20.0


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run `work` in a loop of its own, with a deadline."""
    return asyncio.run(asyncio.wait_for(work, DEADLINE_S))


def sh(script: str, cwd: Path, **options: Any) -> Ended:
    ended: Ended = run(children.run([SH, "-c", script], env=ENV, cwd=str(cwd), **options))
    return ended


def python(script: str, cwd: Path, **options: Any) -> Ended:
    ended: Ended = run(children.run([sys.executable, "-I", "-S", "-c", script], env=ENV, cwd=str(cwd), **options))
    return ended


def descriptors() -> set[str]:
    return {entry for entry in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{entry}")}


def is_running(pid: int) -> bool:
    """Whether the process exists and has not ended; a zombie has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def wait_until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


async def until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.005)


# --- how it ends -----------------------------------------------------------------------------------


def test_success_and_what_was_printed(tmp_path: Path) -> None:
    ended = sh("echo out; echo err >&2", tmp_path)
    assert (ended.ok, ended.status, ended.stdout, ended.stderr) == (True, 0, b"out\n", b"err\n")
    assert not ended.timed_out


def test_an_exit_status_is_raw(tmp_path: Path) -> None:
    ended = sh("exit 3", tmp_path)
    assert not ended.ok and os.waitstatus_to_exitcode(ended.status) == 3


def test_a_death_by_signal_is_raw(tmp_path: Path) -> None:
    ended = sh("kill -SEGV $$", tmp_path)
    assert os.WIFSIGNALED(ended.status) and os.WTERMSIG(ended.status) == signal.SIGSEGV


def test_output_of_megabytes_arrives_whole(tmp_path: Path) -> None:
    ended = python("import sys; sys.stdout.write('0123456789abcde\\n' * 200_000)", tmp_path)
    assert ended.stdout == b"0123456789abcde\n" * 200_000


def test_messages_are_cut_at_the_protocols_limit(tmp_path: Path) -> None:
    ended = python("import sys; sys.stderr.write('x' * 3_000_000)", tmp_path)
    assert len(ended.stderr) == children.MAX_TEXT_BYTES and ended.ok


def test_the_caller_may_cut_standard_output(tmp_path: Path) -> None:
    assert sh("echo 0123456789", tmp_path, stdout_limit=4).stdout == b"0123"


def test_what_it_used_is_known(tmp_path: Path) -> None:
    ended = python("import time\nwhile time.process_time() < 0.2: pass", tmp_path)
    assert 0.15 < ended.cpu_s < DEADLINE_S and ended.wall_s >= 0.2


# --- what it gets ----------------------------------------------------------------------------------


def test_directory_environment_and_umask_are_the_callers(tmp_path: Path) -> None:
    ended = sh("pwd; umask; env | grep -c .; touch made", tmp_path, umask=0o027)
    assert ended.stdout.decode().split()[:2] == [str(tmp_path), "0027"]
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o640
    assert b"HOME" not in sh("env", tmp_path).stdout


def test_standard_input_is_empty(tmp_path: Path) -> None:
    assert sh("cat; echo done", tmp_path).stdout == b"done\n"


def test_it_inherits_no_descriptor_but_stdio(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb"):
        ended = python("import os; print(sorted(os.listdir('/proc/self/fd')))", tmp_path)
    # The fourth is the listing's own.
    assert ended.stdout.decode().strip() == "['0', '1', '2', '3']"


def test_it_leads_a_process_group_of_its_own(tmp_path: Path) -> None:
    own, parent = python("import os; print(os.getpgrp() == os.getpid(), os.getppid())", tmp_path).stdout.split()
    assert (own, int(parent)) == (b"True", os.getpid())


# --- limits ----------------------------------------------------------------------------------------


def test_time(tmp_path: Path) -> None:
    ended = sh("sleep 1000 & echo $!; wait", tmp_path, limits=Limits(seconds=0.2))
    assert ended.timed_out and os.WTERMSIG(ended.status) == signal.SIGKILL
    assert ended.wall_s < DEADLINE_S
    wait_until(lambda: not is_running(int(ended.stdout)), "its own children are gone too")


# Limits are set right after the start: these children wait until they have theirs.


def test_memory(tmp_path: Path) -> None:
    allocate = "x = bytearray(1 << 30); print(len(x))"
    limited = "import resource as r\nwhile r.getrlimit(r.RLIMIT_AS)[0] != 512 << 20: pass\n" + allocate
    assert python(allocate, tmp_path).ok
    ended = python(limited, tmp_path, limits=Limits(memory=512 << 20, seconds=DEADLINE_S))
    assert not ended.ok and b"MemoryError" in ended.stderr


def test_size_of_what_it_writes(tmp_path: Path) -> None:
    # dd keeps the default disposition of SIGXFSZ; Python does not.
    script = 'while [ "$(ulimit -f)" = unlimited ]; do :; done; exec dd if=/dev/zero of=big bs=65536 count=64'
    ended = sh(script, tmp_path, limits=Limits(output=1 << 20, seconds=DEADLINE_S))
    assert os.WIFSIGNALED(ended.status) and os.WTERMSIG(ended.status) == signal.SIGXFSZ
    assert (tmp_path / "big").stat().st_size <= 1 << 20


def test_it_leaves_no_core(tmp_path: Path) -> None:
    script = "import resource as r\nwhile r.getrlimit(r.RLIMIT_CORE)[0]: pass"
    assert python(script, tmp_path, limits=Limits(seconds=DEADLINE_S)).ok


def test_it_gives_way(tmp_path: Path) -> None:
    expected = 19 if os.getpriority(os.PRIO_PROCESS, 0) > 12 else 12
    script = f"import os\nwhile os.getpriority(os.PRIO_PROCESS, 0) != {expected}: pass"
    assert python(script, tmp_path, limits=Limits(nice=expected, seconds=DEADLINE_S)).ok


def test_limits_above_our_own_are_ours(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert sh("true", tmp_path, limits=Limits(output=1 << 62)).ok
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == (soft, hard)


# --- cancelling and failing ------------------------------------------------------------------------


def test_cancelling_kills_the_whole_group(tmp_path: Path) -> None:
    async def work() -> list[int]:
        script = "sleep 1000 & echo $! > child.tmp; echo $$ >> child.tmp; mv child.tmp child; wait"
        task = asyncio.ensure_future(children.run([SH, "-c", script], env=ENV, cwd=str(tmp_path)))
        await until((tmp_path / "child").exists, "it has started")
        pids = [int(word) for word in (tmp_path / "child").read_text().split()]
        assert all(map(is_running, pids))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return pids

    pids = run(work())
    assert not Path(f"/proc/{pids[1]}").exists(), "it was reaped before cancelling returned"
    wait_until(lambda: not any(map(is_running, pids)), "nothing of the group runs")


@pytest.mark.parametrize(
    ("program", "why"), [("missing", "No such file or directory"), (".", "Permission denied"), ("text", "Exec format")]
)
def test_what_cannot_be_started_says_why(program: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"\x7fELF no program\n")
    (tmp_path / "text").chmod(0o755)
    path = os.path.join(tmp_path, program)
    with pytest.raises(SpawnError, match=f"^cannot run .*: {why}"):
        run(children.run([path], env=ENV, cwd=str(tmp_path)))


def test_a_directory_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(SpawnError, match="No such file"):
        run(children.run([SH, "-c", "true"], env=ENV, cwd=str(tmp_path / "gone")))


def test_nothing_stays_open(tmp_path: Path) -> None:
    async def everything() -> tuple[set[str], set[str]]:
        await children.run([SH, "-c", "true"], env=ENV, cwd=str(tmp_path))
        before = descriptors()
        for script, limits in (("echo x", Limits()), ("exit 1", Limits()), ("sleep 9", Limits(seconds=0.05))):
            await children.run([SH, "-c", script], env=ENV, cwd=str(tmp_path), limits=limits)
        with pytest.raises(SpawnError):
            await children.run([str(tmp_path / "missing")], env=ENV, cwd=str(tmp_path))
        task = asyncio.ensure_future(children.run([SH, "-c", "sleep 1000"], env=ENV, cwd=str(tmp_path)))
        await until(lambda: descriptors() != before, "it has started")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return before, descriptors()

    before, after = run(everything())
    assert after == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_many_at_once_each_get_their_own(tmp_path: Path) -> None:
    async def work() -> list[Ended]:
        return await asyncio.gather(
            *(children.run([SH, "-c", f"echo {n}; exit {n}"], env=ENV, cwd=str(tmp_path)) for n in range(40))
        )

    for number, ended in enumerate(run(work())):
        assert (ended.stdout, os.waitstatus_to_exitcode(ended.status)) == (b"%d\n" % number, number)

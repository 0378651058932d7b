"""`zdistcc make` and its like beside an agent of the test's own, and jobs that run until they are told to end."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.lan.waiting import wait_until
from zdistcc import paths
from zdistcc.wire.control import AdminRequest, RequestReader, encode_done

BIN = Path(sys.executable).parent
LAUNCHER = BIN / "zdistcc"
OLD_NINJA = Path("/usr/bin/ninja")
NEW_NINJA = BIN / "ninja"
MAKE = Path("/usr/bin/make")
TIMEOUT_S = 60

# A job says that it runs, and runs until it may end.
JOB = "touch running.{0}; while ! test -e end.{0}; do sleep 0.02; done; rm running.{0}"


def missing(*programs: Path) -> str | None:
    """Why the programs that are needed are not there, if they aren't."""
    absent = [str(program) for program in (LAUNCHER, *programs) if not program.exists()]
    return f"not installed: {', '.join(absent)}" if absent else None


class FakeAgent:
    """Answers questions over the agent's socket; `useful` may be changed at any time."""

    def __init__(self, path: Path) -> None:
        self.useful: object = 2
        self.settled = False
        self.asked: list[str] = []
        self.build: dict[str, Any] = {"workers": {}, "reasons": {}, "failed": 0}
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(64)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._server.accept()
            except OSError:
                return
            with link:
                self._answer(link)

    def _answer(self, link: socket.socket) -> None:
        link.settimeout(TIMEOUT_S)
        reader = RequestReader()
        while data := link.recv(1 << 16):
            request = reader.receive_data(data)
            if isinstance(request, AdminRequest):
                question = json.loads(request.body)
                self.asked.append(question["ask"])
                self.settled |= question.get("settle", 0.0) > 0
                answers = {
                    "parallelism": {"useful": self.useful, "remote": 0, "local": 2, "workers": 0},
                    "build": self.build,
                }
                body = json.dumps(answers.get(question["ask"], {"error": "what?"})).encode()
                try:
                    link.sendall(encode_done(0, body, b""))
                except OSError:
                    pass
                return

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


class Lab:
    """A directory in which builds run, and their environment."""

    def __init__(self, directory: Path, runtime: Path) -> None:
        self.directory = directory
        self.env = {
            "PATH": f"{directory / 'bin'}:{BIN}:/usr/bin:/bin",
            "HOME": str(directory),
            "LC_ALL": "C.UTF-8",
            "ZDISTCC_RUNTIME_DIR": str(runtime),
            "ZDISTCC_CACHE_DIR": str(directory / "ca che"),
            "ZDISTCC_DISCOVERY": "0",
        }
        (directory / "bin").mkdir()
        self.work = directory / "my work"
        self.work.mkdir()

    def program(self, name: str, target: Path) -> None:
        """Have `name` on PATH stand for `target`."""
        (self.directory / "bin" / name).symlink_to(target)

    def makefile(self, jobs: int, text: str = "") -> None:
        names = [f"j{number}" for number in range(jobs)]
        rules = "".join(f"{name}: ; @{JOB.format(name)}\n" for name in names)
        (self.work / "Makefile").write_text(f"{text}all: {' '.join(names)}\n{rules}")

    def ninja_file(self, jobs: int) -> None:
        lines = ["rule job", f"  command = {JOB.format('$out')}"]
        lines += [f"build j{number}: job" for number in range(jobs)]
        (self.work / "build.ninja").write_text("\n".join(lines) + "\n")

    def running(self) -> int:
        return len(list(self.work.rglob("running.*")))

    def running_becomes(self, number: int, timeout_s: float = 20) -> None:
        wait_until(lambda: self.running() == number, timeout_s, f"{number} jobs run, not {self.running()}")

    def end_jobs(self, number: int | None = None) -> None:
        """Let so many of those that run end, and wait until they have."""
        ended = sorted(self.work.rglob("running.*"))[:number]
        for path in ended:
            path.with_name(path.name.replace("running.", "end.")).touch()
        wait_until(lambda: not any(path.exists() for path in ended), 20, "the jobs end")

    def end_all(self, jobs: int) -> None:
        for number in range(jobs):
            for directory in (self.work, *(path for path in self.work.iterdir() if path.is_dir())):
                (directory / f"end.j{number}").touch()

    def run(
        self, *words: str | Path, env: Mapping[str, str] | None = None, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `zdistcc WORDS` to its end."""
        return subprocess.run(
            [LAUNCHER, *words],
            cwd=self.work,
            env={**self.env, **(env or {})},
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    @contextmanager
    def build(self, words: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Iterator[Build]:
        """Run a command while the body runs; killed with all its children if it is still there then."""
        with Build(words, self.work, {**self.env, **(env or {})}, self.directory) as build:
            yield build


class Build:
    """A command that runs, in a session of its own."""

    def __init__(self, words: Sequence[str | Path], work: Path, env: Mapping[str, str], logs: Path) -> None:
        self._err, self._out = logs / "build.err", logs / "build.out"
        with self._err.open("wb") as err, self._out.open("wb") as out:
            self.process = subprocess.Popen(
                words, cwd=work, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    def wait(self) -> int:
        return self.process.wait(TIMEOUT_S)

    def __enter__(self) -> Build:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in members(self.process.pid):
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        self.process.wait(TIMEOUT_S)


def members(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


@contextmanager
def lab_in(directory: Path) -> Iterator[Lab]:
    """A lab; no agent of its builds outlives it."""
    runtime = Path(tempfile.mkdtemp(prefix="zd-", dir="/tmp"))  # a socket's address is short
    lab = Lab(directory, runtime)
    try:
        yield lab
    finally:
        lab.run("stop")
        shutil.rmtree(runtime, ignore_errors=True)


@contextmanager
def fake_agent(lab: Lab) -> Iterator[FakeAgent]:
    agent = FakeAgent(paths.socket_path(lab.env))
    try:
        yield agent
    finally:
        agent.close()
        paths.socket_path(lab.env).unlink()

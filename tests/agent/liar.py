"""A worker on loopback that compiles for real, in the client's own files, and can be told to lie about the result."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.agent.fakes import FakeVisit, FakeWorker, greeting
from zdistcc.toolchain.probe import Probed, probe
from zdistcc.wire.messages import Body, CompilerInfo, Message, Output, PathArg, Result, TreeJob

BIN = Path(sys.executable).parent
LAUNCHER = BIN / "zdistcc"
GCC = shutil.which("gcc") or ""


def own_compiler() -> CompilerInfo:
    """What an honest worker on this machine offers."""
    found = probe(os.fsencode(GCC), dict(os.environb))
    assert isinstance(found, Probed), found
    return CompilerInfo(
        family=found.id.family.value,
        version=found.id.version,
        target=found.id.target,
        build_id=found.id.build_id,
        languages=("c", "c++"),
    )


@asynccontextmanager
async def liar(name: str, compiler: CompilerInfo, **changes: Any) -> AsyncIterator[Liar]:
    worker = Liar(name, compiler, **changes)
    await worker.open()
    try:
        yield worker
    finally:
        await worker.close()


def true_result(job: TreeJob) -> tuple[Result, list[bytes]]:
    """Compile ``job`` here and return the whole answer."""
    words = [word.before + word.path + word.after if isinstance(word, PathArg) else word for word in job.args]
    with tempfile.TemporaryDirectory() as directory:
        made = os.path.join(os.fsencode(directory), b"out.o")
        command = [os.fsencode(GCC), *words, b"-c", job.source, b"-o", made]
        done = subprocess.run(command, cwd=job.cwd, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        data = Path(os.fsdecode(made)).read_bytes()
    output = Output(kind="object", body=Body(raw=len(data), packed=len(data)), digest=hashlib.sha256(data).digest())
    return Result(status=0, outputs=(output,)), [data]


Lie = Callable[[Result, list[bytes]], tuple[Result, list[bytes]]]


def is_trial(job: TreeJob) -> bool:
    return job.source.startswith(b"canary.")


class Liar(FakeWorker):
    """Answers with ``lie`` of the truth: in trials too if ``in_trials``; ``hold`` keeps answers until it is set."""

    def __init__(self, name: str, compiler: CompilerInfo, **changes: Any) -> None:
        first = greeting(name * 16, name=name, compilers=(compiler,), features=("headers",), started="1", **changes)
        super().__init__(first, self._hear)
        self.lie: Lie | None = None
        self.in_trials = False
        self.trials = 0
        self.jobs = 0
        self.hold: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def _hear(self, visit: FakeVisit, stream: int, message: Message) -> None:
        if isinstance(message, TreeJob):
            task = asyncio.ensure_future(self._do(visit, stream, message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _do(self, visit: FakeVisit, stream: int, job: TreeJob) -> None:
        trial = is_trial(job)
        self.trials += trial
        self.jobs += not trial
        result, bodies = true_result(job)
        if self.lie is not None and (self.in_trials or not trial):
            result, bodies = self.lie(result, bodies)
        if self.hold is not None and not trial:
            await self.hold.wait()
        if not visit.lost:
            visit.link.send(result, stream, bodies)


# --- lies -------------------------------------------------------------------------------------------


def flip_a_bit(result: Result, bodies: list[bytes]) -> tuple[Result, list[bytes]]:
    """What a bad cable or memory does: all sizes are right."""
    middle = len(bodies[0]) // 2
    return result, [bodies[0][:middle] + bytes((bodies[0][middle] ^ 1,)) + bodies[0][middle + 1 :]]


def _with_output(result: Result, **changes: Any) -> Result:
    output = result.outputs[0]
    fields: dict[str, Any] = {"kind": output.kind, "body": output.body, "digest": output.digest, **changes}
    return Result(status=0, outputs=(Output(**fields),))


def cut_short(result: Result, bodies: list[bytes]) -> tuple[Result, list[bytes]]:
    half = bodies[0][: len(bodies[0]) // 2]
    return _with_output(result, body=Body(raw=len(half), packed=len(half))), [half]


def not_packed_as_said(result: Result, bodies: list[bytes]) -> tuple[Result, list[bytes]]:
    return _with_output(result, body=Body(raw=len(bodies[0]), packed=len(bodies[0]), codec=1)), bodies


def another_kind(result: Result, bodies: list[bytes]) -> tuple[Result, list[bytes]]:
    return _with_output(result, kind="dwo"), bodies


def nothing(result: Result, bodies: list[bytes]) -> tuple[Result, list[bytes]]:
    return Result(status=0), []


def no_wait_status(result: Result, bodies: list[bytes]) -> tuple[Result, list[bytes]]:
    return Result(status=1 << 20), []


def another_object(result: Result, bodies: list[bytes]) -> tuple[Result, list[bytes]]:
    """Consistent in itself: only a comparison shows it."""
    data = bodies[0] + b"\0"
    body = Body(raw=len(data), packed=len(data))
    return _with_output(result, body=body, digest=hashlib.sha256(data).digest()), [data]


# --- the client -------------------------------------------------------------------------------------


class Client:
    """The installed launcher and agent, told of workers on loopback."""

    def __init__(self, directory: Path, *workers: FakeWorker, **settings: str) -> None:
        self.directory = directory
        self.env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(directory),
            "ZDISTCC_RUNTIME_DIR": str(directory / "run"),
            "ZDISTCC_CACHE_DIR": str(directory / "cache"),
            "ZDISTCC_DISCOVERY": "0",
            "ZDISTCC_PEERS": ",".join(f"127.0.0.1:{worker.port}" for worker in workers),
            **settings,
        }

    async def run(self, *words: str, check: bool = True) -> tuple[int, str, str]:
        child = await asyncio.create_subprocess_exec(
            str(LAUNCHER), *words, cwd=self.directory, env=self.env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(child.communicate(), 60)
        assert not check or child.returncode == 0, err
        return child.returncode or 0, out.decode(), err.decode()

    async def compile(self, name: str) -> None:
        """Compile ``name``.c through the agent; the object has to be the local compiler's."""
        source = self.directory / f"{name}.c"
        source.write_text(f'const char *{name}(int x) {{ return x ? "{name}" : __FILE__; }}\n')
        await self.run("gcc", "-O2", "-c", source.name)
        subprocess.run([GCC, "-O2", "-c", source.name, "-o", f"{name}.true"], cwd=self.directory, check=True)
        assert (self.directory / f"{name}.o").read_bytes() == (self.directory / f"{name}.true").read_bytes(), name

    async def ask(self, *words: str) -> Any:
        _, out, _ = await self.run(*words, "--json")
        return json.loads(out)

    async def hosts(self) -> dict[str, dict[str, Any]]:
        return {host["name"]: host for host in (await self.ask("hosts"))["hosts"]}


@asynccontextmanager
async def client(directory: Path, *workers: FakeWorker, **settings: str) -> AsyncIterator[Client]:
    made = Client(directory, *workers, **settings)
    try:
        yield made
    finally:
        await made.run("stop", check=False)


def other_build(compiler: CompilerInfo) -> CompilerInfo:
    """The same version as ``compiler``, built by somebody else."""
    return CompilerInfo(
        family=compiler.family,
        version=compiler.version,
        target=compiler.target,
        build_id="f" * len(compiler.build_id),
        languages=compiler.languages,
    )

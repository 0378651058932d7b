"""The worker's directory: whose it is, and what a start may remove there."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.aio import run
from tests.worker.bench import QUICK, compiler, job_for, shop
from zdistcc.config import Config
from zdistcc.store.failures import StoreInUse
from zdistcc.wire.messages import Result
from zdistcc.worker.main import Daemon, worker_id


def daemon(directory: Path) -> Daemon:
    return Daemon(Config(store=str(directory / "store"), cache_dir=str(directory / "cache")), {"PATH": "/usr/bin"})


def test_a_start_removes_what_killed_jobs_left_and_nothing_else(tmp_path: Path) -> None:
    left = tmp_path / "store/jobs/job-x1"
    mine = tmp_path / "store/jobs/letter.txt"
    left.mkdir(parents=True)
    (left / "out.o").write_bytes(b"half")
    mine.write_text("dear")

    async def main() -> None:
        daemon(tmp_path)._blobs.close()

    run(main())
    assert not left.exists() and mine.read_text() == "dear"


def test_a_start_ends_compilers_of_a_worker_that_was_killed(tmp_path: Path) -> None:
    scratch = tmp_path / "store/jobs/job-x1"
    scratch.mkdir(parents=True)
    waits = ["sleep", "1000"]
    left = subprocess.Popen(waits, env={"PATH": "/usr/bin:/bin", "TMPDIR": str(scratch)})
    other = subprocess.Popen(waits, env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)})

    async def main() -> None:
        daemon(tmp_path)._blobs.close()

    try:
        run(main())
        assert left.wait(10) == -signal.SIGKILL and other.poll() is None
    finally:
        for process in (left, other):
            process.kill()
            process.wait(10)


def test_a_second_worker_leaves_the_jobs_of_the_first_alone(tmp_path: Path) -> None:
    async def main() -> None:
        first = daemon(tmp_path)
        running = first.worker.settings.workspace / "job-x1"
        running.mkdir(parents=True)
        with pytest.raises(StoreInUse, match="another zdistccd uses the store"):
            daemon(tmp_path)
        assert running.exists()
        first._blobs.close()

    run(main())


def test_a_worker_s_id_stays_with_its_store(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    identity = worker_id(tmp_path / "one")
    assert worker_id(tmp_path / "one") == identity != worker_id(tmp_path / "other")
    (tmp_path / "one" / "id").write_text("nonsense")
    assert worker_id(tmp_path / "one") != identity


def test_jobs_go_on_when_somebody_deletes_their_directory(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path / "jobs") as place:
            client = await place.client()
            end = await client.do(*job_for(QUICK, compiler("/usr/bin/gcc")))
            assert isinstance(end, Result)
            (tmp_path / "jobs").rmdir()
            again = await client.do(*job_for(QUICK, compiler("/usr/bin/gcc")))
            assert isinstance(again, Result) and again.status == 0

    run(main())

"""The worker's directory: made, kept, held by one process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

OPEN = """
import sys
from zdistcc.config import Config
from zdistcc.errors import UserError
from zdistcc.worker.main import open_store, worker_id
try:
    directory = open_store(Config(store=sys.argv[1]), {})
    print(worker_id(directory), flush=True)
except UserError as error:
    print(error, flush=True)
sys.stdin.read()
"""


def begin(store: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OPEN, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_one_worker_holds_a_store_and_its_id_stays(tmp_path: Path) -> None:
    store = tmp_path / "new" / "store"
    with begin(store) as first:
        identity = said(first)
        (store / "jobs" / "job-1").mkdir()
        with begin(store) as second:
            assert "another zdistccd uses the store" in said(second) and (store / "jobs" / "job-1").exists()
            second.communicate("")
        with begin(tmp_path / "other") as third:
            assert said(third) != identity
            third.communicate("")
        first.communicate("")
    with begin(store) as again:
        assert said(again) == identity and not (store / "jobs" / "job-1").exists()
        again.communicate("")

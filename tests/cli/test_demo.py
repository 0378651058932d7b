"""`zdistcc demo`, the main command of README, beside a worker of this machine that has taken distcc's port."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
TIMEOUT_S = 300

pytestmark = pytest.mark.skipif(
    not (BIN / "zdistcc").exists(), reason="zdistcc is not installed beside this Python (pip install -e .)"
)


def test_all_objects_come_from_the_workers_and_are_identical(tmp_path: Path) -> None:
    with socket.socket() as taken:
        try:
            taken.bind(("0.0.0.0", 3632))
            taken.listen()
        except OSError:
            pass  # somebody else has it: just as well
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
        ended = subprocess.run(
            [BIN / "zdistcc", "demo"], env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"^40 of 40 objects were compiled by the workers, 40 are identical", ended.stdout, re.MULTILINE)
    assert list(tmp_path.glob("zdistcc-demo*")) == [], "the demo clears up"

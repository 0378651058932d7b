"""Both launchers, built once as the wheel's build hook builds them; each test runs against both."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launcher.lab import Lab
from zdistcc.launcher.build import compile_launcher, write_python_launcher

SOURCES = Path(__file__).parents[2] / "zdistcc" / "launcher"


def build(kind: str, program: Path, sources: Path = SOURCES) -> Path:
    if kind == "native":
        assert compile_launcher(sources / "launcher.c", program, "1.2.3") is None
    else:
        write_python_launcher(sources / "fallback.py", program, "1.2.3")
    program.chmod(0o755)
    return program


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: build(kind, tmp_path_factory.mktemp(kind) / "zdistcc") for kind in ("native", "python")}


@pytest.fixture(params=["native", "python"])
def lab(request: pytest.FixtureRequest, programs: dict[str, Path]) -> Iterator[Lab]:
    # Not tmp_path: the path of a socket has to be short.
    with tempfile.TemporaryDirectory(prefix="zl-") as root:
        made = Lab(Path(root), request.param, programs[request.param])
        yield made
        made.stop_agents()


# What the impatient launchers have instead of 30 s and 8 MiB.
LIMITS = {
    "launcher.c": {
        "SILENCE_MS 30000": "SILENCE_MS 300",
        "BODY_MAX_BYTES (8u * 1024 * 1024)": "BODY_MAX_BYTES 65536u",
    },
    "fallback.py": {
        "SILENCE_MS = 30000": "SILENCE_MS = 300",
        "BODY_MAX_BYTES = 8 * 1024 * 1024": "BODY_MAX_BYTES = 65536",
    },
}


@pytest.fixture
def impatient_lab(lab: Lab, tmp_path: Path) -> Lab:
    """Takes an agent for dead after 300 ms, and a request for too long at 64 KiB."""
    for name, changes in LIMITS.items():
        text = (SOURCES / name).read_text()
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)
    lab.program.unlink()
    build(lab.kind, lab.program, tmp_path)
    return lab

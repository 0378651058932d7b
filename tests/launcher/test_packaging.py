"""What the build hook packs: wheels, standard and editable, with and without a compiler, and the sdist.

Hatchling itself builds them, offline; installing is then a matter of unpacking.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import zdistcc
from zdistcc.launcher import build, which

ROOT = Path(__file__).parents[2]
EDITABLE = "import sys; from hatchling.build import build_editable; build_editable(sys.argv[1])"


def hatch(source: Path, *command: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=source,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def install(directory: Path) -> tuple[Path, str]:
    """Unpack the only wheel in ``directory`` as an installer does; its scripts, and its tag."""
    (wheel,) = directory.glob("*.whl")
    scripts = directory / "bin"
    scripts.mkdir()
    (scripts / "python3").symlink_to(sys.executable)
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if "/scripts/" in member.filename:
                target = scripts / Path(member.filename).name
                target.write_bytes(archive.read(member))
                target.chmod(member.external_attr >> 16 & 0o777)
    return scripts, wheel.stem.split("-", 2)[2]


@pytest.mark.parametrize(
    ("command", "env", "kind"),
    [
        (["-m", "hatchling", "build", "-t", "wheel", "-d"], {}, "native"),
        (["-m", "hatchling", "build", "-t", "wheel", "-d"], {"CFLAGS": "-O1 -g", "LDFLAGS": "-s"}, "native"),
        (["-m", "hatchling", "build", "-t", "wheel", "-d"], {"CC": "/bin/false"}, "python"),
        (["-m", "hatchling", "build", "-t", "wheel", "-d"], {"CC": "/bin/true"}, "python"),
        (["-c", EDITABLE], {}, "native"),
        (["-c", EDITABLE], {"CC": "no-such-compiler"}, "python"),
    ],
)
def test_wheels(tmp_path: Path, command: list[str], env: dict[str, str], kind: str) -> None:
    said = hatch(ROOT, *command, str(tmp_path), **env)
    assert ("could not be compiled" in said) == (kind == "python")
    scripts, tag = install(tmp_path)
    assert which.launcher_kind(str(scripts / "zdistcc")) == kind
    link = tmp_path / "zdistcc"
    link.symlink_to("bin/zdistcc")
    answer = subprocess.run([link, "--zdistcc-launcher"], stdout=subprocess.PIPE, check=True).stdout
    assert answer == f"{kind} {zdistcc.__version__}\n".encode()
    if kind == "native" and "-c" not in command:
        assert tag == f"py3-none-{build.platform_tag()}"


def test_sdist(tmp_path: Path) -> None:
    hatch(ROOT, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path))
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    hatch(source, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    scripts, _ = install(tmp_path)
    assert which.launcher_kind(str(scripts / "zdistcc")) == "native"


def test_manual_pages_are_installed(tmp_path: Path) -> None:
    """All there are, where ``man`` looks."""
    hatch(ROOT, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name.split("/data/")[1] for name in archive.namelist() if "/data/" in name}
    pages = {page.name for page in (ROOT / "man").glob("*.[1-9]")}
    assert packed == {f"share/man/man{page[-1]}/{page}" for page in pages}


def test_a_page_in_a_source_tree_is_packed(tmp_path: Path) -> None:
    hatch(ROOT, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path))
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    (source / "man").mkdir(exist_ok=True)
    (source / "man/extra.7").write_text(".TH extra 7\n")
    hatch(source, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path), CC="/bin/false")
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert any(name.endswith(".data/data/share/man/man7/extra.7") for name in archive.namelist())


@pytest.mark.parametrize("text", ["exit 1", "echo native", "echo python", ""])
def test_kinds_of_launcher(tmp_path: Path, text: str) -> None:
    program = tmp_path / "zdistcc"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    kind = text.removeprefix("echo ") if text.startswith("echo") else "missing"
    assert which.launcher_kind(str(program)) == kind
    assert which.launcher_kind(str(tmp_path / "nothing")) == "missing"


def test_warning_free_with_every_compiler(tmp_path: Path) -> None:
    """As strict as our own reading of it; packagers' compilers warn for less."""
    source = ROOT / "zdistcc/launcher/launcher.c"
    for compiler in ("gcc", "clang"):
        command = [
            compiler,
            "-O2",
            "-Wall",
            "-Wextra",
            "-Wshadow",
            "-Wpedantic",
            "-Werror",
            "-D_FORTIFY_SOURCE=2",
        ]
        done = subprocess.run(
            [*command, "-std=gnu11", "-o", str(tmp_path / compiler), str(source)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")

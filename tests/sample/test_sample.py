"""The sample project: complete, clean under both compilers, and its program finds itself correct."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from zdistcc.sample import Language, Unit, copy_to, units

COMPILERS = {
    "gcc": {Language.C: "gcc", Language.CXX: "g++"},
    "clang": {Language.C: "clang", Language.CXX: "clang++"},
}
OUR_CHECKS = re.compile(r"^TOOLBOX_CHECK\((\w+)\)$", re.MULTILINE)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sample") / "copy"
    copy_to(directory)
    return directory


def run(argv: list[str | bytes], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=directory, capture_output=True, text=True)


def test_a_mix_of_both_languages() -> None:
    languages = [unit.language for unit in units()]
    assert languages.count(Language.C) == 24
    assert languages.count(Language.CXX) == 16
    assert len({unit.source for unit in units()}) == 40


def test_copy_is_whole_and_can_be_repeated(project: Path) -> None:
    stale = project / "num" / "primes.c"
    original = stale.read_bytes()
    stale.write_bytes(b"changed\n")
    copy_to(project)
    assert stale.read_bytes() == original
    for unit in units():
        assert (project / unit.source.decode()).is_file()
    assert (project / "hash" / "crc32_table.inc").is_file()


def test_units_are_of_a_size_that_can_be_read(project: Path) -> None:
    for unit in units():
        lines = (project / unit.source.decode()).read_text().count("\n")
        assert 30 <= lines <= 250, unit


def test_the_makefile_compiles_the_units_as_we_say(project: Path) -> None:
    """One truth in two places: the commands `make` would run are those of `units`."""
    commands = run(["make", "--dry-run", "CC=cc", "CXX=c++", "BUILD=never"], project).stdout.splitlines()
    compiles = [line.split() for line in commands if " -c " in line]
    said = {
        (unit.source.decode(), "cc" if unit.language is Language.C else "c++"): sorted(
            flag.decode() for flag in unit.flags
        )
        for unit in units()
    }
    made = {(words[words.index("-c") + 1], words[0]): sorted(words[1 : words.index("-MMD")]) for words in compiles}
    assert made == said


@pytest.mark.parametrize("family", COMPILERS)
def test_no_warnings(family: str, project: Path) -> None:
    """gcc warns in later passes too, but these are seen when the project is built below."""
    missing = [program for program in COMPILERS[family].values() if shutil.which(program) is None]
    assert not missing, f"install {missing}"

    def complaints(unit: Unit) -> str:
        compiler = COMPILERS[family][unit.language]
        return run([compiler, *unit.flags, "-Werror", "-fsyntax-only", unit.source], project).stderr

    with ThreadPoolExecutor(2) as pool:
        assert "".join(pool.map(complaints, units())) == ""


def test_builds_and_checks_itself(project: Path) -> None:
    made = run(["make", "-j2", "CC=gcc", "CXX=g++"], project)
    assert (made.returncode, made.stderr) == (0, "")
    program = project / "build" / "toolbox"
    table = run([str(program)], project)
    assert (table.returncode, table.stderr) == (0, "")
    assert table.stdout.endswith(" 0 failed\n")
    counts = json.loads(run([str(program), "--json"], project).stdout)
    modules = OUR_CHECKS.findall((project / "include/toolbox/checks.def").read_text())
    assert sorted(counts) == sorted(modules)
    assert all(count["passed"] > 0 and count["failed"] == 0 for count in counts.values())
    assert "is up to date" in run(["make", "CC=gcc", "CXX=g++"], project).stdout


def test_a_wrong_object_is_noticed(project: Path, tmp_path: Path) -> None:
    """The self-check is worth something: break one line, and the program says so and fails."""
    broken = tmp_path / "broken"
    shutil.copytree(project, broken)
    source = broken / "pack" / "base64.c"
    text = source.read_text()
    assert "group >> 12 & 63" in text
    source.write_text(text.replace("group >> 12 & 63", "group >> 11 & 63"))
    assert run(["make", "-j2", "CC=gcc", "CXX=g++", "OPT=-O0"], broken).returncode == 0
    done = run([str(broken / "build" / "toolbox")], broken)
    assert done.returncode == 1
    assert "pack/base64.c:" in done.stderr
    assert not done.stdout.endswith(" 0 failed\n")

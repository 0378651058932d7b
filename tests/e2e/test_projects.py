"""Projects of other people: Debian's sources of Lua (C) and LevelDB (C++), found below $ZDISTCC_TEST_SOURCES."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.builds import counted, differing, empty, made, stray
from tests.e2e.farm import LAUNCHER, Farm, unavailable

VARIABLE = "ZDISTCC_TEST_SOURCES"
LUA, LEVELDB = "lua5.4-*", "leveldb-*"
REMOTE_SHARE = 0.95
MULTIARCH = '#define DEB_HOST_MULTIARCH "x86_64-linux-gnu"\n#define LUA_MULTIARCH "x86_64-linux-gnu"\n'


def missing_sources() -> str | None:
    directory = os.environ.get(VARIABLE)
    if not directory:
        return f"{VARIABLE} does not name a directory with Debian's sources of lua5.4 and leveldb"
    absent = [pattern for pattern in (LUA, LEVELDB) if not trees(directory, pattern)]
    return f"{VARIABLE}={directory} holds no {' and no '.join(absent)}" if absent else None


def trees(directory: str, pattern: str) -> list[Path]:
    return sorted(path for path in Path(directory).glob(pattern) if path.is_dir())


REASON = unavailable() or missing_sources()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("farm"), workers=3) as farm:
        farm.wait_for_workers()
        yield farm


def copy(farm: Farm, pattern: str) -> Path:
    target = farm.directory / pattern.rstrip("-*")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(trees(os.environ[VARIABLE], pattern)[-1], target, symlinks=True)
    return target


@pytest.fixture(scope="module")
def lua(farm: Farm) -> Path:
    source = copy(farm, LUA) / "src"
    (source / "lua5.4-deb-multiarch.h").write_text(MULTIARCH)
    return source


def compile_lua(farm: Farm, source: Path, flags: str, before: str = "", **env: str) -> dict[str, bytes]:
    """A plain loop, eight at once."""
    for path in (*source.glob("*.o"), *source.glob("*.d")):
        path.unlink()
    script = f"ls *.c | sed 's/[.]c$//' | xargs -P8 -I% {before}gcc {flags} -MMD -c %.c -o %.o"
    farm.run(["sh", "-c", script], source, env=env)
    return made(source, ".o", ".d")


@pytest.mark.parametrize("flags", ["-O2 -Wall -DLUA_USE_LINUX", "-O3 -fPIC -DLUA_COMPAT_5_3"])
def test_lua(farm: Farm, lua: Path, flags: str) -> None:
    theirs = compile_lua(farm, lua, flags)
    with counted(farm) as jobs:
        ours = compile_lua(farm, lua, flags, before=f"{LAUNCHER} ")
    assert len(ours) == 2 * len(list(lua.glob("*.c"))) > 60
    assert differing(ours, theirs) == []
    assert jobs.remote >= REMOTE_SHARE * (jobs.remote + jobs.local), jobs
    assert sum(jobs.reasons.values()) == jobs.local
    assert stray(lua) == []


def test_lua_with_debug_information(farm: Farm, lua: Path) -> None:
    """With headers the same bytes; as text all of it here, or, when equal code and data are enough, mostly there."""
    flags = "-O2 -g -DLUA_USE_LINUX"
    theirs = compile_lua(farm, lua, flags)
    stripped = strip(farm, lua)
    with counted(farm) as jobs:
        ours = compile_lua(farm, lua, flags, before=f"{LAUNCHER} ")
    assert differing(ours, theirs) == []
    assert (jobs.remote, jobs.reasons) == (len(stripped), {})
    text = {"ZDISTCC_MODE": "preprocessed"}
    with counted(farm) as jobs:
        ours = compile_lua(farm, lua, flags, before=f"{LAUNCHER} ", **text)
    assert differing(ours, theirs) == []
    assert (jobs.remote, jobs.reasons) == (0, {"source-columns": len(stripped)})
    with counted(farm) as jobs:
        compile_lua(farm, lua, flags, before=f"{LAUNCHER} ", ZDISTCC_FIDELITY="code", **text)
    assert differing(strip(farm, lua), stripped) == []
    assert jobs.remote >= REMOTE_SHARE * len(stripped)


def strip(farm: Farm, directory: Path) -> dict[str, bytes]:
    farm.run(["sh", "-c", "strip --strip-debug *.o"], directory)
    return made(directory)


def build_leveldb(farm: Farm, source: Path, *words: str) -> dict[str, bytes]:
    build = empty(source / "build")
    off = [f"-DLEVELDB_{part}=OFF" for part in ("BUILD_TESTS", "BUILD_BENCHMARKS", "INSTALL")]
    farm.run(["cmake", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", *off, *words, ".."], build)
    farm.run(["ninja", "-j8", "-d", "keepdepfile", "leveldb"], build, timeout_s=240)
    return made(build / "CMakeFiles" / "leveldb.dir", ".o", ".o.d")


def test_leveldb(farm: Farm) -> None:
    source = copy(farm, LEVELDB)
    theirs = build_leveldb(farm, source)
    with counted(farm) as jobs:
        ours = build_leveldb(farm, source, f"-DCMAKE_CXX_COMPILER_LAUNCHER={shlex.quote(str(LAUNCHER))}")
    assert len(ours) > 70
    assert differing(ours, theirs) == []
    assert jobs.remote >= len(ours) // 2
    assert not jobs.reasons.keys() - {"link", "configure-probe", "not-a-compile", "preprocess-only"}, jobs
    assert stray(source) == []

"""Compiler caches around us: each way to put them there, and a second build that nobody hears of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.builds import Counted, counted, differing, empty, made
from tests.e2e.farm import LAUNCHER, Farm, unavailable
from tests.lan.waiting import wait_until
from zdistcc.sample import copy_to

REASON = unavailable()
pytestmark = [
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
    pytest.mark.skipif(shutil.which("ccache") is None, reason="there is no ccache here (apt-get install ccache)"),
]

SOURCES = ("base/arena.c", "text/glob.c", "ray/image.cc")
CMAKE = """
cmake_minimum_required(VERSION 3.16)
project(few C CXX)
add_library(few STATIC base/arena.c text/glob.c ray/image.cc)
target_include_directories(few PRIVATE include)
"""
CCACHE_MODES = {
    "direct": {},
    "preprocessor": {"CCACHE_NODIRECT": "1"},
    "depend": {"CCACHE_DEPEND": "1"},
    "prefix-cpp": {"CCACHE_NODIRECT": "1", "CCACHE_PREFIX_CPP": "zdistcc"},
    "depend-prefix-cpp": {"CCACHE_DEPEND": "1", "CCACHE_PREFIX_CPP": "zdistcc"},
}
FLAGS = ("-O2", "-g", "-MD", "-Iinclude", "-Wall")


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    env = {"ZDISTCC_POLICY": "least-loaded"}  # what is quicker here stays here with the other
    with Farm(tmp_path_factory.mktemp("farm"), workers=1, env=env) as farm:
        farm.wait_for_workers()
        yield farm


@pytest.fixture(scope="module")
def project(farm: Farm) -> Path:
    directory = farm.directory / "project"
    copy_to(directory)
    return directory


def build(farm: Farm, project: Path, before: tuple[str | Path, ...], env: dict[str, str]) -> dict[str, bytes]:
    """Compile the sources, each by a command of its own; return the objects and dependency files."""
    out = empty(project / "out")
    for source in SOURCES:
        compiler = "g++" if source.endswith("cc") else "gcc"
        command = [*before, compiler]
        output = out / Path(source).with_suffix(".o").name
        farm.run([*command, *FLAGS, "-c", source, "-o", output], project, env=env)
    return made(out, ".o", ".d")


def twice(farm: Farm, project: Path, before: tuple[str | Path, ...], env: dict[str, str]) -> tuple[Counted, Counted]:
    """Build plainly, then twice through the cache, comparing all that is made; return what the agent counted."""
    plain = build(farm, project, (), {})
    with counted(farm) as first:
        assert differing(build(farm, project, before, env), plain) == []
    with counted(farm) as second:
        assert differing(build(farm, project, before, env), plain) == []
    return first, second


@pytest.mark.parametrize("mode", CCACHE_MODES)
def test_a_second_build_is_the_caches(farm: Farm, project: Path, mode: str) -> None:
    env = {"CCACHE_DIR": str(farm.directory / mode), "CCACHE_PREFIX": "zdistcc", **CCACHE_MODES[mode]}
    first, second = twice(farm, project, ("ccache",), env)
    assert first.remote == len(SOURCES)
    assert second.remote == 0
    preprocessed = len(SOURCES) if mode == "prefix-cpp" else 0
    reasons = {"preprocess-only": preprocessed} if preprocessed else {}
    assert (first.reasons, second.reasons) == (reasons, reasons)
    hits = farm.run(["ccache", "--print-stats"], project, env=env).stdout
    counts = dict(line.split("\t") for line in hits.splitlines())
    hit = int(counts["direct_cache_hit"]) + int(counts["preprocessed_cache_hit"])
    assert (int(counts["cache_miss"]), hit) == (len(SOURCES), len(SOURCES))
    assert (int(counts["preprocessed_cache_hit"]) > 0) == ("CCACHE_NODIRECT" in env)


def test_our_messages_are_not_kept(farm: Farm, project: Path) -> None:
    """What we say of ourselves reaches the user by UNCACHED_ERR_FD; the cache keeps what the compiler says alone."""
    source = project / "warns.c"
    source.write_text("int f(void) { int unused; return 0; }\n")
    cache = {"CCACHE_DIR": str(farm.directory / "messages"), "CCACHE_PREFIX": "zdistcc"}
    blocked = farm.directory / "blocked"
    blocked.mkdir()
    blocked.chmod(0o755)
    words = ["gcc", "-Wall", "-c", "warns.c", "-o", "out/warns.o"]
    (project / "out").mkdir(exist_ok=True)
    plain = farm.run(words, project).stderr
    assert "unused" in plain
    # No agent, and no permission to compile here: a message of ours, an exit code of ours, and nothing to keep.
    env = {**cache, "ZDISTCC_RUNTIME_DIR": str(blocked), "ZDISTCC_FALLBACK": "0"}
    failed = farm.run(["ccache", *words], project, env=env, check=False)
    assert failed.returncode == 103
    assert "zdistcc: the runtime directory is not ours alone" in failed.stderr
    with counted(farm) as jobs:
        for _ in range(2):
            assert farm.run(["ccache", *words], project, env=cache).stderr == plain
    assert jobs.remote == 1


def cmake(farm: Farm, project: Path, launcher: str, env: dict[str, str]) -> tuple[dict[str, bytes], int]:
    (project / "CMakeLists.txt").write_text(CMAKE)
    directory = empty(project / "cmake")
    words = [f"-DCMAKE_{language}_COMPILER_LAUNCHER={launcher}" for language in ("C", "CXX") if launcher]
    farm.run(["cmake", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo", *words, ".."], directory, env=env)
    with counted(farm) as jobs:
        farm.run(["ninja", "-j4", "-d", "keepdepfile"], directory, env=env)
    return made(directory / "CMakeFiles/few.dir", ".o", ".o.d"), jobs.remote


@pytest.mark.parametrize(
    ("launcher", "prefix", "again"),
    [("ccache", "zdistcc", 0), ("ccache;zdistcc", "", len(SOURCES))],
    ids=["with a prefix", "in a row"],
)
def test_as_a_launcher_of_cmake(farm: Farm, project: Path, launcher: str, prefix: str, again: int) -> None:
    """In a row, ccache takes us for a compiler with two sources, and keeps nothing; all is as good, and remote."""
    env = {"CCACHE_DIR": str(farm.directory / f"cmake-{bool(prefix)}"), "CCACHE_PREFIX": prefix}
    plain, _ = cmake(farm, project, "", {})
    first, remote = cmake(farm, project, launcher, env)
    second, remote_again = cmake(farm, project, launcher, env)
    assert differing(first, plain) == [] and differing(second, plain) == []
    assert (remote, remote_again) == (len(SOURCES), again)


def test_masquerading_in_front_of_the_masquerade(farm: Farm, project: Path) -> None:
    """PATH has ccache's links, then ours, then the compilers."""
    ours, theirs = farm.directory / "ours", farm.directory / "theirs"
    farm.run([LAUNCHER, "masquerade", ours], project)
    theirs.mkdir()
    for name in ("gcc", "g++"):
        (theirs / name).symlink_to(shutil.which("ccache") or "")
    env = {
        "CCACHE_DIR": str(farm.directory / "masquerade-cache"),
        "PATH": f"{theirs}:{ours}:{farm.environment()['PATH']}",
    }
    first, second = twice(farm, project, ("env", f"PATH={env['PATH']}"), env)
    assert (first.remote, second.remote) == (len(SOURCES), 0)


@pytest.mark.skipif(shutil.which("sccache") is None, reason="there is no sccache here (apt-get install sccache)")
def test_sccache_around_the_masquerade(farm: Farm, project: Path) -> None:
    ours = farm.directory / "for-sccache"
    farm.run([LAUNCHER, "masquerade", ours], project)
    path = f"{ours}:{farm.environment()['PATH']}"
    server = {"PATH": path, "SCCACHE_DIR": str(farm.directory / "sccache"), "SCCACHE_IDLE_TIMEOUT": "0"}
    serving = farm.spawn(["sccache"], project, env={**server, "SCCACHE_START_SERVER": "1", "SCCACHE_NO_DAEMON": "1"})
    port = f":{4226:04X}"
    wait_until(lambda: port in farm.client.run(["cat", "/proc/net/tcp"]).stdout, 20, "sccache serves")
    try:
        first, second = twice(farm, project, ("sccache",), server)
        assert (first.remote, second.remote) == (len(SOURCES), 0)
    finally:
        serving.terminate()
        serving.wait(20)

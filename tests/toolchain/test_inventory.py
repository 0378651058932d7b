"""Finding every compiler of a machine."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from tests.toolchain.fakes import environment, script
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.inventory import find_compilers, fingerprint, refresh, usual_places
from zdistcc.toolchain.lookup import search_path
from zdistcc.toolchain.probecache import ProbeCache

ENV = environment("/usr/lib/ccache", "/usr/lib/distcc", "/usr/bin", "/bin")
FIRST_SEARCH_LIMIT_S = 20.0  # 0.17 s measured on two idle cores


def test_one_entry_for_each_compiler_of_this_machine() -> None:
    begun = time.perf_counter()
    found = find_compilers(search_path(ENV), ENV, ProbeCache())
    assert time.perf_counter() - begun < FIRST_SEARCH_LIMIT_S
    ids = [compiler.id for compiler in found.compilers]
    assert len(ids) == len(set(ids))
    drivers = {compiler.driver for compiler in found.compilers}
    assert {b"/usr/bin/gcc", b"/usr/bin/clang", b"/usr/bin/aarch64-linux-gnu-gcc"} <= drivers
    assert not any(driver.startswith((b"/usr/lib/ccache", b"/usr/lib/distcc")) for driver in drivers)
    (c99,) = (failure for failure in found.left_out if failure.path == b"/usr/bin/c99")
    assert re.fullmatch(r"/usr/bin/c99 is gcc [\d.]+ with -std=c99 added by a script", str(c99))


def test_wrappers_lead_to_the_compilers_in_the_usual_places() -> None:
    """A worker started with ccache's directory alone on its PATH still has compilers."""
    env = environment("/usr/lib/ccache")
    found = find_compilers(search_path(env), env, ProbeCache(), [b"/usr/bin"])
    assert {compiler.id.family for compiler in found.compilers} == {Family.GCC, Family.CLANG}
    assert all(compiler.driver.startswith(b"/usr/bin/") for compiler in found.compilers)


def test_a_broken_one_is_left_out_with_its_reason(tmp_path: Path) -> None:
    script(tmp_path / "gcc-9", "exit 1")
    (tmp_path / "gcc-10").symlink_to("/usr/bin/ccache")
    (tmp_path / "gcc").symlink_to("/usr/bin/gcc")
    (tmp_path / "g++").symlink_to("/usr/bin/g++")
    script(tmp_path / "clang-format", "exit 1")
    found = find_compilers([os.fsencode(tmp_path), b"/nowhere"], ENV, ProbeCache(), [])
    assert {(failure.path.rpartition(b"/")[2], failure.sentence) for failure in found.left_out} == {
        (b"gcc-9", "does not say which compiler it is"),
        (b"gcc-10", "is ccache, and no compiler of that name is on the PATH"),
        (b"gcc", "has no assembler"),
        (b"g++", "has no assembler"),
    }
    (tmp_path / "as").symlink_to("/usr/bin/as")
    found = find_compilers([os.fsencode(tmp_path)], ENV, ProbeCache(), [])
    assert [compiler.driver for compiler in found.compilers] == [os.fsencode(tmp_path / "gcc")]


def test_the_usual_places_exist() -> None:
    places = usual_places()
    assert b"/usr/bin" in places
    assert os.path.dirname(os.path.realpath(b"/usr/bin/clang")) in places
    assert all(os.path.isdir(place) for place in places)


def test_the_fingerprint_tells_comings_goings_and_replacements(tmp_path: Path) -> None:
    places = [os.fsencode(tmp_path), b"/nowhere"]
    script(tmp_path / "gcc", "exit 1")
    seen = [fingerprint(places)]
    assert fingerprint(places) == seen[0]
    script(tmp_path / "gcc-13", "exit 1")
    seen.append(fingerprint(places))
    script(tmp_path / "gcc", "exit 0 # replaced in place")
    seen.append(fingerprint(places))
    (tmp_path / "gcc").unlink()
    seen.append(fingerprint(places))
    assert len(set(seen)) == len(seen)


def test_a_compiler_installed_while_running_is_found(tmp_path: Path) -> None:
    cache = ProbeCache()
    path = [os.fsencode(tmp_path), b"/usr/bin"]
    first = refresh(None, path, ENV, cache)
    assert refresh(first, path, ENV, cache) is first
    before = {compiler.id for compiler in first.inventory.compilers}
    script(
        tmp_path / "gcc-99",
        'case "$*" in *-dumpspecs*) echo "*other: specs";; *) exec /usr/bin/gcc "$@";; esac',
    )
    second = refresh(first, path, ENV, cache)
    (new,) = {compiler for compiler in second.inventory.compilers if compiler.id not in before}
    assert new.driver == os.fsencode(tmp_path / "gcc-99")
    (tmp_path / "gcc-99").unlink()
    assert {compiler.id for compiler in refresh(second, path, ENV, cache).inventory.compilers} == before

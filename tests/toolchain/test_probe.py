"""Probing, with the compilers of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.toolchain import recorded
from tests.toolchain.fakes import environment, script, speaker
from zdistcc.errors import Reason
from zdistcc.toolchain import probe as probing
from zdistcc.toolchain.identity import Family, Language, Match, matches
from zdistcc.toolchain.lookup import default_compiler
from zdistcc.toolchain.native import NativeExpansion
from zdistcc.toolchain.probe import Probed, ProbeFailure, native_expansion, predefined_macros, probe

ENV = environment()

VECTORISED = r"""
float dot(const float *a, const float *b, int n) {
    float s = 0; for (int i = 0; i < n; i++) s += a[i] * b[i]; return s;
}
void add(double *restrict a, const double *restrict b, int n) {
    for (int i = 0; i < n; i++) a[i] += b[i] * 2 + 1;
}
int ones(const unsigned long *p, int n) {
    int c = 0; for (int i = 0; i < n; i++) c += __builtin_popcountl(p[i]); return c;
}
struct big { char c[300]; }; void copy(struct big *a, struct big *b) { *a = *b; }
"""
CXX = r"""
#include <string>
#include <vector>
std::vector<std::string> twice(const std::string &s) { try { return {s, s}; } catch (...) { return {}; } }
"""


def probed(path: bytes | str, env: dict[bytes, bytes] = ENV) -> Probed:
    found = probe(os.fsencode(path), env)
    assert isinstance(found, Probed), str(found)
    return found


def failure(path: bytes, env: dict[bytes, bytes] = ENV) -> ProbeFailure:
    found = probe(path, env)
    assert isinstance(found, ProbeFailure), found
    return found


def compiled(driver: bytes, words: Sequence[bytes | str], source: Path) -> bytes:
    target = source.with_suffix(".o")
    subprocess.run([driver, *words, "-c", source.name, "-o", target], check=True, cwd=source.parent)
    data = target.read_bytes()
    target.unlink()
    return data


# --- identity -----------------------------------------------------------------------------------------------


def test_all_names_of_one_gcc_are_one_id() -> None:
    names = [b"gcc", b"g++", b"cc", b"c++", b"gcc-12", b"x86_64-linux-gnu-gcc-12", b"c99", b"/usr/bin/gcc"]
    ids = {probed(name).id for name in names}
    assert len(ids) == 1
    (one,) = ids
    assert (one.family, one.target) == (Family.GCC, "x86_64-linux-gnu")
    assert one.version == subprocess.check_output(["gcc", "-dumpfullversion"], text=True).strip()


def test_all_names_of_one_clang_are_one_id(tmp_path: Path) -> None:
    assert probed("clang").id == probed("clang++").id == probed(os.path.realpath("/usr/bin/clang")).id
    prefixed = tmp_path / "aarch64-linux-gnu-clang"
    prefixed.symlink_to("/usr/bin/clang")
    found = probed(str(prefixed))
    assert found.id.target == "aarch64-unknown-linux-gnu"
    assert found.id.build_id == probed("clang").id.build_id
    assert matches(found.id, probed("clang").offer, Match.EXACT) is None


def test_a_cross_compiler_is_another() -> None:
    cross, native = probed("aarch64-linux-gnu-gcc"), probed("gcc")
    assert cross.id.target == "aarch64-linux-gnu"
    assert cross.id == probed("aarch64-linux-gnu-g++").id
    assert cross.id.build_id != native.id.build_id
    assert Language.OBJC not in cross.offer.languages
    assert native.offer.languages >= {Language.C, Language.CXX, Language.OBJC, Language.ASSEMBLER}


def test_the_callers_locale_and_variables_do_not_matter() -> None:
    odd = environment(
        LANG="de_DE.UTF-8",
        LC_ALL="de_DE.UTF-8",
        LANGUAGE="de",
        GCC_COLORS="error=1",
        CCC_OVERRIDE_OPTIONS="+-v",
        CPATH="include",
        C_INCLUDE_PATH="include",
    )
    assert probed("gcc", odd).id == probed("gcc").id
    assert probed("clang", odd).id == probed("clang").id


def test_a_compiler_that_was_configured_otherwise_is_another_build(tmp_path: Path) -> None:
    """Fake: the real gcc, whose built-in specs some distribution has patched."""
    patched = script(
        tmp_path / "gcc",
        'case "$*" in *-dumpspecs*) echo "*distro_defaults: -fhardened";; *) exec /usr/bin/gcc "$@";; esac',
    )
    assert probed(patched).id.version == probed("gcc").id.version
    assert probed(patched).id.build_id != probed("gcc").id.build_id


@pytest.mark.parametrize("known", recorded.INTEL[:2] + recorded.SUN, ids=lambda known: known.label)
def test_vendors_this_machine_has_not(known: recorded.Recorded, tmp_path: Path) -> None:
    flag = "-V" if known.family is Family.SUN else "-v"
    path = speaker(tmp_path / "compiler", {flag: known.text, "-dumpmachine": "x86_64-linux-gnu\n"})
    found = probed(path)
    assert (found.id.family, found.id.version) == (known.family, known.version)
    assert found.id.target == (known.target or "x86_64-linux-gnu")
    assert found.offer.languages


def test_gcc_on_a_mac_is_clang(tmp_path: Path) -> None:
    apple = next(known for known in recorded.CLANG if known.label == "gcc on a Mac")
    text = apple.text + ' "/Library/Developer/usr/bin/clang" "-cc1" "-triple" "x86_64-apple-macosx12.0.0" "-o" "-"\n'
    (tmp_path / "text").write_text(text)
    fake = script(
        tmp_path / "gcc",
        f'case "$*" in *-print-targets*) printf "  Registered Targets:\\n    x86-64 - 64-bit X86\\n";;'
        f" *) cat {tmp_path}/text >&2;; esac",
    )
    found = probed(fake)
    assert (found.id.family, found.id.version) == (Family.CLANG, "14.0.0-apple")
    assert found.offer.architectures == {"x86-64"}


# --- wrappers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "through", "driver"),
    [
        (b"/usr/lib/ccache/gcc", b"ccache", b"/usr/bin/gcc"),
        (b"/usr/lib/ccache/clang++", b"ccache", b"/usr/bin/clang++"),
        (b"/usr/lib/distcc/g++", b"distcc", b"/usr/bin/g++"),
        (b"/usr/lib/icecc/bin/cc", b"icecc", b"/usr/bin/cc"),
    ],
)
def test_wrappers_are_seen_through(path: bytes, through: bytes, driver: bytes) -> None:
    found = probed(path, environment("/usr/lib/ccache", "/usr/lib/distcc", "/usr/lib/icecc/bin", "/usr/bin"))
    assert (found.through, found.driver) == (through, driver)
    assert found.id == probed(driver).id


def test_a_bare_name_is_looked_up_past_wrappers(tmp_path: Path) -> None:
    ours = tmp_path / "masquerade"
    ours.mkdir()
    script(tmp_path / "zdistcc", "exit 7")
    for name in ("gcc", "cc"):
        (ours / name).symlink_to(tmp_path / "zdistcc")
    env = environment(ours, "/usr/lib/ccache", "/usr/bin")
    assert probed("gcc", env).driver == b"/usr/bin/gcc"
    assert default_compiler(env) == b"/usr/bin/cc"
    assert default_compiler(environment(ours)) is None


def test_wrappers_alone_are_no_compilers(tmp_path: Path) -> None:
    alone = environment("/usr/lib/ccache")
    assert failure(b"/usr/lib/ccache/gcc", alone).sentence == ("is ccache, and no compiler of that name is on the PATH")
    assert failure(b"/usr/bin/ccache").reason is Reason.COMPILER_MISSING
    assert failure(b"gcc", environment(tmp_path)).sentence == "is not on the PATH"


@pytest.mark.parametrize(("name", "implied"), [(b"c99", (b"-std=c99",)), (b"c89", (b"-std=c90",))])
def test_words_a_script_adds_are_told(name: bytes, implied: tuple[bytes, ...]) -> None:
    assert probed(name).implied == implied


@pytest.mark.parametrize("family", ["gcc", "clang"])
def test_a_script_that_adds_nothing_is_the_compiler(family: str, tmp_path: Path) -> None:
    found = probed(script(tmp_path / family, f'exec /usr/bin/{family} "$@"'))
    assert found.implied == ()
    assert found.id == probed(family).id


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("gcc", 'exec /usr/bin/gcc "$@" -fno-common'),
        ("clang", 'exec /usr/bin/clang -fno-common -O2 "$@"'),
        ("gcc", 'exec ./gcc "$@"'),
    ],
)
def test_a_script_that_changes_more_is_no_compiler(name: str, body: str, tmp_path: Path) -> None:
    assert failure(script(tmp_path / name, body)).reason in (
        Reason.COMPILER_WRAPPED,
        Reason.COMPILER_UNIDENTIFIED,
    )


def test_a_script_before_a_compiler_that_tells_nothing(tmp_path: Path) -> None:
    path = script(tmp_path / "icc", "echo 'icc version 2021.8.0 (gcc version 11.3.0 compatibility)' >&2")
    assert failure(path).reason is Reason.COMPILER_WRAPPED


# --- what can go wrong --------------------------------------------------------------------------------------


def test_what_is_no_compiler(tmp_path: Path) -> None:
    (tmp_path / "gcc").write_text("not executable")
    assert failure(os.fsencode(tmp_path / "gcc")).reason is Reason.COMPILER_MISSING
    assert failure(os.fsencode(tmp_path)).reason is Reason.COMPILER_MISSING
    (tmp_path / "cc").symlink_to(tmp_path / "gone")
    assert failure(os.fsencode(tmp_path / "cc")).reason is Reason.COMPILER_MISSING
    (tmp_path / "clang").write_bytes(b"\x7fELF")
    (tmp_path / "clang").chmod(0o755)
    assert "cannot be run" in failure(os.fsencode(tmp_path / "clang")).sentence
    assert failure(b"/bin/ls").reason is Reason.COMPILER_UNIDENTIFIED


def test_a_driver_without_its_compiler_is_broken(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(
        recorded.GCC[0].text + "gcc: fatal error: cannot execute 'cc1': execvp: No such file\n"
    )
    found = failure(script(tmp_path / "gcc", f"cat {tmp_path}/text >&2; exit 1"))
    assert found.reason is Reason.COMPILER_BROKEN
    assert "cannot execute 'cc1'" in found.sentence


def test_a_hanging_compiler_is_given_up_with_all_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PROBE_TIMEOUT_S", 0.3)
    path = script(tmp_path / "gcc", f"sleep 1000 & echo $! > {tmp_path}/child; wait")
    begun = time.monotonic()
    assert "did not answer" in failure(path).sentence
    assert time.monotonic() - begun < 5
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while _runs(child) and time.monotonic() < deadline:
        os.sched_yield()
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # A zombie that nobody reaps in a container is dead enough.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_compiler_that_closes_its_output_and_stays_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "PROBE_TIMEOUT_S", 0.3)
    path = script(tmp_path / "gcc", "exec sleep 1000 >/dev/null 2>&1")
    assert "did not end" in failure(path).sentence


def test_endless_output_is_cut_off(tmp_path: Path) -> None:
    assert failure(script(tmp_path / "gcc", "exec yes")).sentence == "prints without end"


def test_children_know_they_are_ours(tmp_path: Path) -> None:
    path = script(tmp_path / "gcc", f"env > {tmp_path}/env; exit 1")
    failure(path)
    said = (tmp_path / "env").read_text().splitlines()
    assert "_ZDISTCC_SAFEGUARD=1" in said and "LC_ALL=C" in said


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"d\xff")
    odd.mkdir()
    path = script(odd / "gcc", "printf 'gcc version \\377\\n' >&2")
    assert failure(path).reason is Reason.COMPILER_UNIDENTIFIED
    assert str(failure(path)).isprintable() or "\udcff" in str(failure(path))


# --- one driver for all languages ---------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [["-O2"], ["-O2", "-g"], ["-O3", "-g3"]], ids=" ".join)
@pytest.mark.parametrize(
    ("driver", "cxx_driver"),
    [("gcc", "g++"), ("clang", "clang++"), ("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++")],
)
def test_the_c_driver_compiles_cxx_as_the_cxx_driver_does(
    driver: str, cxx_driver: str, flags: list[str], tmp_path: Path
) -> None:
    source = tmp_path / "a.cc"
    source.write_text(CXX)
    expected = compiled(cxx_driver.encode(), flags, source)
    assert compiled(driver.encode(), [*flags, "-x", "c++"], source) == expected
    if driver == "clang":
        assert compiled(driver.encode(), [*flags, "--driver-mode=g++"], source) == expected


# --- native and macros --------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", ["-O2", "-O3 -funroll-loops -ffast-math"])
@pytest.mark.parametrize(
    "machine",
    [
        "-march=native",
        "-mtune=native",
        "-march=native -mtune=generic",
        "-mno-avx -march=native",
        "-march=native -mno-avx",
        "-march=native -mno-avx -mtune=generic",
    ],
)
@pytest.mark.parametrize("driver", ["gcc", "clang"])
def test_expanded_native_gives_the_same_object(driver: str, machine: str, flags: str, tmp_path: Path) -> None:
    source = tmp_path / "v.c"
    source.write_text(VECTORISED)
    compiler = probed(driver)
    expansion = native_expansion(compiler, machine.encode().split(), ENV)
    assert isinstance(expansion, NativeExpansion), str(expansion)
    assert b"native" not in b" ".join(expansion.words)
    for debug in ["", *(["-g"] if expansion.recorded_alike else [])]:
        given = [*flags.split(), *debug.split()]
        expected = compiled(compiler.driver, [*machine.split(), *given], source)
        assert compiled(compiler.driver, [*expansion.words, *given], source) == expected


def test_says_when_debug_information_would_record_the_expansion(tmp_path: Path) -> None:
    source = tmp_path / "v.c"
    source.write_text(VECTORISED)
    for machine in (b"-march=native", b"-march=native -mtune=generic"):
        expansion = native_expansion(probed("gcc"), machine.split(), ENV)
        assert isinstance(expansion, NativeExpansion)
        same = compiled(b"gcc", ["-g", *machine.split()], source) == compiled(b"gcc", ["-g", *expansion.words], source)
        assert same is expansion.recorded_alike


def test_native_that_cannot_be_told(tmp_path: Path) -> None:
    found = native_expansion(probed("aarch64-linux-gnu-gcc"), [b"-march=native"], ENV)
    assert isinstance(found, ProbeFailure) and found.reason is Reason.NATIVE_UNKNOWN
    sun = probed(speaker(tmp_path / "suncc", {"-V": recorded.SUN[0].text}))
    told = native_expansion(sun, [b"-march=native"], ENV)
    assert isinstance(told, ProbeFailure) and told.reason is Reason.NATIVE_UNKNOWN


def test_predefined_macros_tell_compilers_and_options_apart() -> None:
    digests = [
        predefined_macros(b"/usr/bin/gcc", [], Language.C, ENV),
        predefined_macros(b"/usr/bin/gcc", [], Language.CXX, ENV),
        predefined_macros(b"/usr/bin/gcc", [b"-O2"], Language.C, ENV),
        predefined_macros(b"/usr/bin/clang", [], Language.C, ENV),
    ]
    assert len(set(digests)) == 4
    assert digests[1] == predefined_macros(b"/usr/bin/g++", [], Language.CXX, ENV)
    assert isinstance(predefined_macros(b"/usr/bin/gcc", [b"-mno-such"], Language.C, ENV), ProbeFailure)
    assert isinstance(predefined_macros(b"/nowhere/gcc", [], Language.C, ENV), ProbeFailure)


def test_a_compiler_killed_by_a_signal_is_broken(tmp_path: Path) -> None:
    text = recorded.GCC[0].text.replace("COLLECT_GCC=gcc\n", "")
    (tmp_path / "text").write_text(text)
    path = script(tmp_path / "gcc", f"cat {tmp_path}/text >&2; kill -{signal.SIGSEGV.value} $$")
    assert failure(path).reason is Reason.COMPILER_BROKEN

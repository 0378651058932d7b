"""What the doctor sees of this machine: places, file systems, the order of wrappers on PATH."""

from __future__ import annotations

from pathlib import Path

import pytest

from zdistcc.doctor import machine
from zdistcc.doctor.finding import Verdict
from zdistcc.doctor.network import neighbours

MOUNTS = """/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
tmpfs /home/me/with\\040space tmpfs rw 0 0
tmpfs /run tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/etc/x", "ext4"), ("/home/me/.cache", "nfs4"), ("/homely", "ext4"), ("/home/me/with space/x", "tmpfs")],
)
def test_the_file_system_is_that_of_the_longest_mount_point(path: str, kind: str) -> None:
    assert machine.file_system(Path(path), MOUNTS) == kind


def test_a_runtime_directory_has_to_be_local_and_private(tmp_path: Path) -> None:
    env = {"ZDISTCC_RUNTIME_DIR": str(tmp_path / "run")}
    assert machine.runtime_directory(env, "").verdict is Verdict.GOOD
    (tmp_path / "run").mkdir(mode=0o755)
    (tmp_path / "run").chmod(0o755)
    shown = machine.runtime_directory(env, "")
    assert shown.verdict is Verdict.BAD and f"chmod 700 {tmp_path}/run" in shown.remedy
    (tmp_path / "run").chmod(0o700)
    assert machine.runtime_directory(env, "").verdict is Verdict.GOOD
    shared = machine.runtime_directory(env, f"server:/x {tmp_path} nfs rw 0 0\n")
    assert shared.verdict is Verdict.BAD and "nfs" in shared.text


def wrapper(directory: Path, name: str, program: str) -> Path:
    """A directory with a link `gcc` to a program of that name."""
    (directory / "bin").mkdir(parents=True, exist_ok=True)
    target = directory / "bin" / program
    target.write_text("#!/bin/sh\n")
    target.chmod(0o755)
    (directory / name).mkdir()
    (directory / name / "gcc").symlink_to(target)
    return directory / name


def test_the_order_of_wrappers_on_path(tmp_path: Path) -> None:
    ours = wrapper(tmp_path / "a", "ours", "zdistcc")
    cache = wrapper(tmp_path / "b", "cache", "ccache")
    rival = wrapper(tmp_path / "c", "rival", "distcc")
    real = wrapper(tmp_path / "d", "real", "x86_64-linux-gnu-gcc-12")

    def said(*directories: Path, **env: str) -> list[tuple[Verdict, str]]:
        path = ":".join(map(str, directories))
        return [(each.verdict, each.text) for each in machine.path_order({"PATH": path, **env})]

    assert said(cache, ours, real) == [(Verdict.GOOD, f"ccache, then zdistcc, then the compilers of {real}")]
    assert said(real, rival)[0][1].startswith(f"compilers of {real} (zdistcc is used by name")
    assert said(rival, ours, real)[0] == (
        Verdict.BAD,
        f"distcc's links ({rival}) come before zdistcc's: distcc gets the compiles",
    )
    assert said(ours, cache, real)[0][0] is Verdict.NOTE
    assert said(real, CCACHE_PREFIX="/usr/bin/distcc")[0] == (
        Verdict.NOTE,
        "ccache compiles with CCACHE_PREFIX=/usr/bin/distcc",
    )
    assert said(tmp_path)[0] == (Verdict.BAD, "no C compiler is on PATH")


def test_mistakes_in_variables_are_found() -> None:
    assert machine.settings({"ZDISTCC_SLOTS": "many"}).verdict is Verdict.BAD
    assert machine.settings({"ZDISTCC_DISABLE": "1"}).verdict is Verdict.NOTE
    assert machine.settings({}).verdict is Verdict.GOOD


def test_neighbours_are_those_that_answered_on_the_interface() -> None:
    table = """IP address       HW type     Flags       HW address            Mask     Device
192.0.2.1        0x1         0x2         02:00:00:00:00:01     *        eth0
192.0.2.7        0x1         0x0         00:00:00:00:00:00     *        eth0
198.51.100.1     0x1         0x2         02:00:00:00:00:02     *        wlan0
"""
    assert neighbours("eth0", table) == ["192.0.2.1"]

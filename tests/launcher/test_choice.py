"""Which program a call means: a compiler past ourselves, the command line interface, or none."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.launcher.conftest import SOURCES
from tests.launcher.lab import Lab
from zdistcc.launcher import fallback
from zdistcc.wire import control
from zdistcc.wire.control import LaunchFlag

DISABLED = {"ZDISTCC_DISABLE": "1"}


def names_itself(lab: Lab, name: str, directory: str) -> Path:
    """A compiler that prints where it is."""
    return lab.compiler(name, f"echo {directory} $0", lab.root / directory)


def masquerade(lab: Lab, name: str, directory: str = "masquerade") -> Path:
    link = lab.root / directory / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(lab.program)
    return link


def path(lab: Lab, *directories: str) -> dict[str, str]:
    return {"PATH": ":".join(str(lab.root / directory) for directory in directories) + ":/usr/bin:/bin"}


def only(lab: Lab, *directories: str) -> dict[str, str]:
    return {"PATH": ":".join(str(lab.root / directory) for directory in directories)}


# --- compilers ----------------------------------------------------------------------------------------


def test_explicit_name_and_path(lab: Lab) -> None:
    real = lab.compilers / "fakecc"
    with lab.agent(control.encode_done(0, b"", b"")) as agent:
        lab.run("fakecc", "-c")
        lab.run(str(real), "-c")
        lab.run("compilers/fakecc", cwd=lab.root)
    assert [(told.argv[0], told.compiler) for told in agent.requests] == [
        (b"fakecc", os.fsencode(real)),
        (os.fsencode(real), os.fsencode(real)),
        (b"compilers/fakecc", os.fsencode(real)),
    ]


def test_a_compiler_is_not_given_a_name_that_leads_to_a_launcher(lab: Lab) -> None:
    """GCC looks for cc1 beside what its name leads to on PATH."""
    real = lab.compilers / "fakecc"
    link = masquerade(lab, "fakecc")
    with lab.agent(control.encode_done(0, b"", b"")) as agent:
        lab.run("fakecc", "-c", env=path(lab, "masquerade", "compilers"))
        lab.run(str(link), "-c")
        lab.run("fakecc", "-c", env=path(lab, "compilers", "masquerade"))
    assert [(told.argv[0], told.compiler) for told in agent.requests] == [
        (os.fsencode(real), os.fsencode(real)),
        (os.fsencode(real), os.fsencode(real)),
        (b"fakecc", os.fsencode(real)),
    ]


def test_relative_path_entries(lab: Lab) -> None:
    with lab.agent(control.encode_done(0, b"", b"")) as agent:
        lab.run("fakecc", cwd=lab.root, env={"PATH": "nowhere::compilers"})
        lab.run("fakecc", cwd=lab.compilers, env={"PATH": "/nowhere:"})
    assert [Path(os.fsdecode(told.compiler)).resolve() for told in agent.requests] == [lab.compilers / "fakecc"] * 2
    assert all(told.compiler.startswith(b"/") for told in agent.requests)


@pytest.mark.parametrize("first", ["-c", "-v", "x.c", "dir/x.cpp", "x.o", "libx.a", "x.S"])
def test_implicit_compiler(lab: Lab, first: str) -> None:
    lab.compiler("cc", "echo cc")
    with lab.agent(control.encode_done(0, b"", b"")) as agent:
        lab.run(first, "-Wall")
    (told,) = agent.requests
    assert told.argv == (b"cc", first.encode(), b"-Wall")
    assert told.compiler == os.fsencode(lab.compilers / "cc")
    assert told.flags & LaunchFlag.IMPLICIT_COMPILER


def test_masquerade_tells_the_agent(lab: Lab) -> None:
    real = names_itself(lab, "gcc", "real")
    link = masquerade(lab, "gcc")
    with lab.agent(control.encode_done(0, b"", b"")) as agent:
        lab.call(link, "--help", "stats", env=path(lab, "masquerade", "real"))
    (told,) = agent.requests
    assert told.argv == (os.fsencode(real), b"--help", b"stats")
    assert told.compiler == os.fsencode(real)
    assert told.flags & LaunchFlag.MASQUERADE


@pytest.mark.parametrize(
    "order",
    [
        ("masquerade", "real"),
        ("real", "masquerade"),
        ("masquerade", "masquerade2", "real"),
        ("before", "masquerade", "real"),
        ("masquerade", "masquerade", "real"),
        ("nowhere", "masquerade", "file", "noexec", "directory", "real"),
    ],
)
def test_masquerade_orders(lab: Lab, order: tuple[str, ...]) -> None:
    """What is behind us on PATH is the compiler; before us has had its turn unless nothing else is."""
    names_itself(lab, "gcc", "real")
    names_itself(lab, "gcc", "before")
    names_itself(lab, "gcc", "noexec").chmod(0o644)
    (lab.root / "directory/gcc").mkdir(parents=True)
    (lab.root / "file").write_text("")
    link = masquerade(lab, "gcc")
    masquerade(lab, "gcc", "masquerade2")
    done = lab.call("/bin/sh", "-c", f"exec {link}", env={**DISABLED, **only(lab, *order)})
    assert done.stdout == f"real {lab.root}/real/gcc\n".encode()


def test_masquerade_found_on_path(lab: Lab) -> None:
    names_itself(lab, "gcc", "real")
    masquerade(lab, "gcc")
    done = lab.call("/bin/sh", "-c", "exec gcc", env={**DISABLED, **path(lab, "masquerade", "real")})
    assert done.stdout == f"real {lab.root}/real/gcc\n".encode()


def test_hard_links_and_other_installations_are_us(lab: Lab) -> None:
    names_itself(lab, "gcc", "real")
    (lab.root / "hard").mkdir()
    os.link(lab.program, lab.root / "hard/gcc")
    (lab.root / "other").mkdir()
    shutil.copy(lab.program, lab.root / "other/zdistcc")
    (lab.root / "other/gcc").symlink_to("zdistcc")
    done = lab.run("gcc", env={**DISABLED, **path(lab, "hard", "other", "real")})
    assert done.stdout == f"real {lab.root}/real/gcc\n".encode()


@pytest.mark.parametrize("order", [("ccache", "masquerade"), ("masquerade", "ccache")])
def test_with_ccache_before_and_behind(lab: Lab, order: tuple[str, ...], tmp_path: Path) -> None:
    """The real ccache, and the real compiler behind both; once through each, no loop."""
    (lab.root / "ccache").mkdir()
    (lab.root / "ccache/gcc").symlink_to(shutil.which("ccache") or "ccache is not installed")
    masquerade(lab, "gcc")
    (tmp_path / "x.c").write_text("int x;\n")
    env = {**path(lab, *order), "CCACHE_DIR": str(tmp_path / "cache"), "ZDISTCC_FALLBACK": "1"}
    command = f"cd {tmp_path} && exec gcc -c x.c -o x.o"
    with lab.agent(control.encode_run()) as agent:
        done = lab.call("/bin/sh", "-c", command, env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "x.o").read_bytes()[:4] == b"\x7fELF"
    assert len(agent.requests) >= 1
    behind_us = b"/usr/bin/gcc" if order[0] == "ccache" else os.fsencode(lab.root / "ccache/gcc")
    assert {told.compiler for told in agent.requests} == {behind_us}


# --- no agent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "asked"),
    [
        ({"ZDISTCC_DISABLE": "1"}, False),
        ({"ZDISTCC_DISABLE": "yes"}, False),
        ({"ZDISTCC_DISABLE": "0"}, True),
        ({"ZDISTCC_DISABLE": ""}, True),
        ({"_ZDISTCC_SAFEGUARD": "1"}, False),
        ({"_DISTCC_SAFEGUARD": "1"}, False),
    ],
)
def test_straight_to_the_compiler(lab: Lab, env: dict[str, str], asked: bool) -> None:
    with lab.agent(control.encode_done(0, b"remote\n", b"")) as agent:
        done = lab.run("fakecc", "-c", env=env)
    assert done.stdout == (b"remote\n" if asked else b"ran\n-c\n")
    assert len(agent.requests) == asked


def test_the_guard(lab: Lab) -> None:
    real = lab.compiler("guardcc", 'echo "$_ZDISTCC_SAFEGUARD"')
    assert lab.run("guardcc").stdout == f"1:{real}\n".encode()
    assert lab.run("guardcc", env={"_ZDISTCC_SAFEGUARD": "1"}).stdout == f"2:{real}\n".encode()
    assert lab.run("guardcc", env={"_ZDISTCC_SAFEGUARD": "x"}).stdout == f"1:{real}\n".encode()


def test_wrappers_that_call_us_for_ever(lab: Lab) -> None:
    lab.compiler("loopcc", f"exec {lab.program} loopcc")
    done = lab.run("loopcc")
    assert done.returncode == 111
    assert b"would call itself" in done.stderr


@pytest.mark.parametrize("command", [["zdistcc", "gcc"], ["./zdistcc", "gcc"]])
def test_naming_ourselves(lab: Lab, command: list[str]) -> None:
    done = lab.run(*command, cwd=lab.bin, env={"PATH": f"{lab.bin}:/usr/bin:/bin"})
    assert done.returncode == 111
    assert b"would call itself" in done.stderr


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no-such-cc", b"no such compiler on PATH (and not a command of zdistcc; see zdistcc --help)"),
        ("./no-such-cc", b"no such compiler on PATH"),
        ("", b"no such compiler on PATH"),
        ("/tmp", b"is a directory"),
        ("/etc/passwd", b"Permission denied"),
        ("/etc/passwd/gcc", b"no such compiler"),
    ],
)
def test_no_compiler(lab: Lab, name: str, says: bytes) -> None:
    with lab.agent(control.encode_done(0, b"", b"")) as agent:
        done = lab.run(name, "-c", "x.c")
    assert (done.returncode, done.stdout, agent.requests) == (110, b"", [])
    assert done.stderr.startswith(b"zdistcc: " + name.encode() + b": ")
    assert says in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_masquerade_without_a_compiler(lab: Lab) -> None:
    done = lab.call(masquerade(lab, "nocc"), env=path(lab, "masquerade"))
    assert (done.returncode, done.stdout) == (110, b"")


def test_a_compiler_that_can_not_start(lab: Lab) -> None:
    bad = lab.compiler("badcc", "")
    bad.write_text("#!/no/such/interpreter\n")
    done = lab.run("badcc")
    assert done.returncode == 110
    assert done.stderr == f"zdistcc: {bad}: No such file or directory\n".encode()


def test_a_script_without_interpreter(lab: Lab) -> None:
    lab.compiler("plaincc", "").write_text('echo plain "$@"\n')
    assert lab.run("plaincc", "a b", "c").stdout == b"plain a b c\n"


@pytest.mark.parametrize(("arguments", "code"), [(["-c", "x.c"], 103), (["-S", "x.c"], 103), (["x.o", "-o", "x"], 0)])
def test_fallback_forbidden(lab: Lab, arguments: list[str], code: int) -> None:
    done = lab.run("fakecc", *arguments, env={"ZDISTCC_FALLBACK": "0"})
    assert done.returncode == code
    assert (b"ZDISTCC_FALLBACK=0" in done.stderr) == (code == 103)
    assert (done.stdout == b"") == (code == 103)


@pytest.mark.parametrize(("ours", "code"), [({}, 103), ({"ZDISTCC_FALLBACK": ""}, 103), ({"ZDISTCC_FALLBACK": "1"}, 0)])
def test_fallback_forbidden_by_distccs_variable(lab: Lab, ours: dict[str, str], code: int) -> None:
    assert lab.run("fakecc", "-c", "x.c", env={"DISTCC_FALLBACK": "0", **ours}).returncode == code


def test_run_is_not_a_fallback(lab: Lab) -> None:
    with lab.agent(control.encode_run()):
        assert lab.run("fakecc", "-c", env={"ZDISTCC_FALLBACK": "0"}).stdout == b"ran\n-c\n"


# --- the command line interface -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["-h"], ["--version"], ["hosts", "--json"], ["explain", "gcc", "-c", "a b"]]
)
def test_commands_go_to_the_cli(lab: Lab, arguments: list[str]) -> None:
    lab.compiler("zdistcc-cli", 'echo "$0" "$#" "$@"; kill -TERM $$', lab.bin)
    done = lab.run(*arguments)
    words = [str(lab.bin / "zdistcc-cli"), str(len(arguments)), *arguments]
    assert done.stdout == (" ".join(words) + "\n").encode()
    assert done.returncode == -signal.SIGTERM


@pytest.mark.parametrize("arguments", [[], ["-c", "x.c"], ["fakecc", "-c", "x.c"]], ids=str)
def test_a_shell_that_completes_asks_the_cli(lab: Lab, arguments: list[str]) -> None:
    lab.compiler("zdistcc-cli", 'echo "cli $#"', lab.bin)
    assert lab.run(*arguments, env={"_ZDISTCC_COMPLETE": "complete_bash"}).stdout == f"cli {len(arguments)}\n".encode()


def test_commands_through_a_link(lab: Lab) -> None:
    lab.compiler("zdistcc-cli", 'echo "$@"', lab.bin)
    (lab.root / "zdistcc").symlink_to(lab.program)
    assert lab.call(lab.root / "zdistcc", "stats").stdout == b"stats\n"


def test_a_link_called_distcc_is_no_masquerade(lab: Lab) -> None:
    lab.compiler("zdistcc-cli", 'echo "$@"', lab.bin)
    lab.compiler("cc", "echo cc")
    link = lab.root / "distcc"
    link.symlink_to(lab.program)
    for option in ("--version", "--show-hosts", "-j"):
        assert lab.call(link, option).stdout == option.encode() + b"\n"
    with lab.agent(control.encode_done(0, b"", b"")) as agent:
        lab.call(link, "fakecc", "-c", "x.c")
        lab.call(link, "-c", "x.c")
    assert [told.argv for told in agent.requests] == [(b"fakecc", b"-c", b"x.c"), (b"cc", b"-c", b"x.c")]
    assert [bool(told.flags & LaunchFlag.MASQUERADE) for told in agent.requests] == [False, False]


def test_the_cli_by_python(lab: Lab) -> None:
    lab.compiler("python3", 'echo "$@"')
    assert lab.run("stats", "--json").stdout == b"-m zdistcc.cli.app stats --json\n"


def test_no_cli_at_all(lab: Lab) -> None:
    done = lab.run("stats", env={"PATH": "/nowhere"})
    assert done.returncode == 100
    assert b"is zdistcc installed completely?" in done.stderr


def c_words(name: str) -> tuple[bytes, ...]:
    text = (SOURCES / "launcher.c").read_text()
    array = re.search(rf"{name}\[\] = \{{(.*?)NULL\}}", text, re.DOTALL)
    assert array
    return tuple(word.encode() for word in re.findall(r'"([^"]*)"', array[1]))


def test_tables_agree() -> None:
    assert c_words("cli_commands") == fallback.CLI_COMMANDS
    assert c_words("cli_options") == fallback.CLI_OPTIONS
    assert c_words("own_names") == fallback.OWN_NAMES
    assert c_words("source_suffixes") == tuple(fallback.SOURCE_SUFFIXES)
    if importlib.util.find_spec("zdistcc.cli.app"):
        from zdistcc.cli.app import COMMANDS

        assert {word.decode() for word in fallback.CLI_COMMANDS} == set(COMMANDS)


def test_limits_agree() -> None:
    text = (SOURCES / "launcher.c").read_text()
    pairs = re.findall(r"^#define ([A-Z_]+_(?:MS|S|BYTES|MAX)) ([^/\n]+)", text, re.MULTILINE)
    values = {name: eval(re.sub(r"(\d)u\b", r"\1", value)) for name, value in pairs if name != "PATH_MAX"}
    assert {"SILENCE_MS", "BODY_MAX_BYTES", "OUTPUT_MAX_BYTES", "RECURSION_MAX"} <= set(values)
    assert {name: getattr(fallback, name) for name in values} == values
    assert values["BODY_MAX_BYTES"] == control.BODY_MAX_BYTES
    assert values["OUTPUT_MAX_BYTES"] == control.OUTPUT_MAX_BYTES
    assert values["SILENCE_MS"] == control.SILENCE_S * 1000
    assert control.HEARTBEAT_S * 3 < control.SILENCE_S


def test_which(lab: Lab) -> None:
    assert lab.run("--zdistcc-launcher").stdout == f"{lab.kind} 1.2.3\n".encode()

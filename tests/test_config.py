"""Configuration: which place wins, what each value may be, and what a mistake is answered with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from zdistcc import config, paths
from zdistcc.config import KEYS, Config, Fidelity, Scope
from zdistcc.errors import UserError

GOOD: dict[str, tuple[str, Any]] = {
    "disable": ("1", True),
    "fallback": ("0", False),
    "fidelity": ("code", Fidelity.CODE),
    "mode": ("preprocessed", "preprocessed"),
    "compatibility": ("same-major", "same-major"),
    "peers": ("desk, attic:3700,[fe80::1]:1", ("desk", "attic:3700", "[fe80::1]:1")),
    "hosts": ("desk/4,lzo attic", "desk/4,lzo attic"),
    "use_distcc_hosts": ("1", True),
    "distcc_timeout": ("30", 30.0),
    "discovery": ("no", False),
    "interface": ("eth0,192.168.1.5", ("eth0", "192.168.1.5")),
    "local_slots": ("3", 3),
    "idle_exit": ("1.5", 1.5),
    "policy": ("list-order", "list-order"),
    "summary": ("0", False),
    "log": ("DEBUG", "debug"),
    "runtime_dir": ("/run/x", "/run/x"),
    "cache_dir": ("/var/x", "/var/x"),
    "port": ("0", 0),
    "distcc_port": ("0", 0),
    "slots": ("12", 12),
    "name": ("desk", "desk"),
    "allow": ("203.0.113.0/24", ("203.0.113.0/24",)),
    "deny": ("203.0.113.0/24", ("203.0.113.0/24",)),
    "store": ("/srv/x", "/srv/x"),
    "store_size": ("512M", 512 << 20),
    "nice": ("0", 0),
    "polite": ("0", False),
    "on_battery": ("1", True),
    "job_seconds": ("30", 30.0),
    "job_memory": ("2G", 2 << 30),
    "job_output": ("64MiB", 64 << 20),
    "reach": ("ssh", "ssh"),
    "ssh": ("ssh -F '/my keys'", ("ssh", "-F", "/my keys")),
    "ssh_user": ("root", "root"),
}
"""For every key a text that is not its default, and what it means."""

BAD = {
    "disable": ("maybe", "use 1 or 0"),
    "fallback": ("2", "use 1 or 0"),
    "fidelity": ("most", "use one of: auto, exact, code"),
    "use_distcc_hosts": ("maybe", "use 1 or 0"),
    "distcc_timeout": ("0", "use a number from 1"),
    "mode": ("text", "use one of: headers, preprocessed"),
    "compatibility": ("same", "use one of: exact, same-version, same-major"),
    "reach": ("pigeon", "use one of: tcp, ssh"),
    "ssh": ("ssh '", "write a command as for a shell"),
    "discovery": ("mdns", "use 1 or 0"),
    "local_slots": ("0", "use a whole number from 1 to 4096"),
    "idle_exit": ("0", "use a number from 1"),
    "policy": ("random", "use one of: least-completion, least-loaded, list-order"),
    "summary": ("long", "use 1 or 0"),
    "log": ("loud", "use one of: debug, info, warning, error"),
    "port": ("65536", "use a whole number from 0 to 65535"),
    "distcc_port": ("-1", "use a whole number from 0 to 65535"),
    "slots": ("1.5", "use a whole number from 1 to 4096"),
    "store_size": ("all", "use a number of bytes, as 512M or 10G"),
    "nice": ("-1", "use a whole number from 0 to 19"),
    "polite": ("rude", "use 1 or 0"),
    "on_battery": ("full", "use 1 or 0"),
    "job_seconds": ("nan", "use a number from 1"),
    "job_memory": ("much", "use a number of bytes, as 512M or 10G"),
    "job_output": ("-1", "use a number of bytes, as 512M or 10G"),
}
ANY_TEXT_WILL_DO = {
    "hosts",
    "peers",
    "interface",
    "runtime_dir",
    "cache_dir",
    "name",
    "allow",
    "deny",
    "store",
    "ssh_user",
}
"""Whether these mean anything is seen when they are used."""
NAMES = [key.name for key in KEYS]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the user's file; the machine's own file is out of sight."""
    monkeypatch.setattr(config, "SYSTEM_FILE", tmp_path / "etc/zdistcc.conf")
    (tmp_path / "zdistcc").mkdir()
    (tmp_path / "etc").mkdir()
    return tmp_path


def env_of(home: Path, **variables: str) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(home), **variables}


def write(home: Path, text: str) -> Path:
    path = home / "zdistcc/zdistcc.conf"
    path.write_text(text)
    return path


def test_the_tables_of_this_file_are_complete() -> None:
    assert set(GOOD) == set(NAMES) == set(BAD) | ANY_TEXT_WILL_DO


# --- places ----------------------------------------------------------------------------------------


def test_nothing_has_to_be_set(home: Path) -> None:
    assert config.load(env_of(home)) == Config()


def test_flags_beat_the_environment_that_beats_the_files_that_beat_the_defaults(home: Path) -> None:
    (home / "etc/zdistcc.conf").write_text("slots = 2\nport = 2\nnice = 2\nname = 'two'\n")
    write(home, "slots = 3\nport = 3\nnice = 3\n")
    env = env_of(home, ZDISTCC_SLOTS="4", ZDISTCC_PORT="4")
    found = config.load(env, {"slots": "5", "port": None, "nice": None})
    assert (found.slots, found.port, found.nice, found.name, found.log) == (5, 4, 3, "two", "info")


def test_the_users_file_is_in_the_home_directory_without_xdg() -> None:
    assert config.config_files({"HOME": "/home/u"})[0] == Path("/home/u/.config/zdistcc/zdistcc.conf")
    assert config.config_files({"HOME": "/home/u", "XDG_CONFIG_HOME": "/c"})[0] == Path("/c/zdistcc/zdistcc.conf")
    assert config.config_files({})[1] == Path("/etc/zdistcc/zdistcc.conf")


def test_empty_variables_and_flags_count_as_not_set(home: Path) -> None:
    env = env_of(home, ZDISTCC_SLOTS="", ZDISTCC_FALLBACK="")
    assert config.load(env, {"allow": (), "interface": [], "name": None}) == Config()


def test_flags_may_be_parsed_already(home: Path) -> None:
    found = config.load(env_of(home), {"discovery": False, "interface": ("eth0",)})
    assert (found.discovery, found.interface) == (False, ("eth0",))


# --- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_key_can_be_set_by_its_variable(name: str, home: Path) -> None:
    text, value = GOOD[name]
    found = config.load(env_of(home, **{f"ZDISTCC_{name.upper()}": text}))
    assert getattr(found, name) == value != getattr(Config(), name)


@pytest.mark.parametrize("name", NAMES)
def test_every_key_can_be_set_by_a_file(name: str, home: Path) -> None:
    text, value = GOOD[name]
    write(home, f'{name} = "{text}"\n')
    assert getattr(config.load(env_of(home)), name) == value


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("fallback = false", False),
        ("disable = true", True),
        ("slots = 7", 7),
        ("idle_exit = 2.5", 2.5),
        ("job_memory = 1073741824", 1 << 30),
        ("job_memory = 0", 0),
        ('peers = ["desk", "attic:3700"]', ("desk", "attic:3700")),
        ("peers = []", ()),
        ('peers = "desk"', ("desk",)),
        ('fidelity = "code"', Fidelity.CODE),
    ],
)
def test_files_have_types(line: str, value: object, home: Path) -> None:
    write(home, line + "\n")
    assert getattr(config.load(env_of(home)), line.partition(" ")[0]) == value


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("1k", 1024), ("1.5K", 1536), ("8G", 8 << 30), ("2 MiB", 2 << 20), ("1tb", 1 << 40)],
)
def test_sizes(text: str, size: int, home: Path) -> None:
    assert config.load(env_of(home, ZDISTCC_JOB_OUTPUT=text)).job_output == size


@pytest.mark.parametrize("text", ["-1", "inf", "nan", "G", "1X", "1e30", "0x10", ""])
def test_what_is_no_size(text: str, home: Path) -> None:
    write(home, f'job_memory = "{text}"\n')
    with pytest.raises(UserError, match="use a number of bytes, as 512M or 10G"):
        config.load(env_of(home))


@pytest.mark.parametrize("text", ["1", "yes", "TRUE", "on"])
def test_words_for_yes(text: str, home: Path) -> None:
    assert config.load(env_of(home, ZDISTCC_DISABLE=text)).disable is True


@pytest.mark.parametrize("text", ["0", "no", "False", "off", " "])
def test_words_for_no(text: str, home: Path) -> None:
    assert config.load(env_of(home, ZDISTCC_FALLBACK=text)).fallback is False


# --- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_variable_is_named_with_its_remedy(name: str, home: Path) -> None:
    text, remedy = BAD[name]
    with pytest.raises(UserError) as caught:
        config.load(env_of(home, **{f"ZDISTCC_{name.upper()}": text}))
    assert f"ZDISTCC_{name.upper()}" in str(caught.value) and text in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_line_is_named_with_its_file_and_remedy(name: str, home: Path) -> None:
    text, remedy = BAD[name]
    path = write(home, f'{name} = "{text}"\n')
    with pytest.raises(UserError) as caught:
        config.load(env_of(home))
    assert str(path) in str(caught.value) and name in str(caught.value) and remedy in str(caught.value)


def test_a_bad_flag_is_named_with_its_remedy(home: Path) -> None:
    with pytest.raises(UserError, match=r"^--port 70000 cannot be used; use a whole number from 0 to 65535$"):
        config.load(env_of(home), {"port": "70000"})


@pytest.mark.parametrize("value", ["{ a = 1 }", "[1, 2]", "1979-05-27", "[[1]]"])
def test_a_value_of_a_wrong_type_is_named_with_its_remedy(value: str, home: Path) -> None:
    path = write(home, f"peers = {value}\n")
    with pytest.raises(UserError, match="peers must be a text, a number, true or false, or a list of texts") as caught:
        config.load(env_of(home))
    assert str(path) in str(caught.value)


def test_an_unknown_key_is_named_with_its_remedy(home: Path) -> None:
    path = write(home, "workers = 'desk'\n")
    with pytest.raises(UserError, match=r"no such key: workers; man 5 zdistcc\.conf lists them") as caught:
        config.load(env_of(home))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"slots = \n", b"slots 3\n", b"\xff\xfe", b"slots = 1\nslots = 2\n"])
def test_a_file_that_is_no_toml_is_named_with_its_remedy(content: bytes, home: Path) -> None:
    path = write(home, "")
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be read: .*; correct it or remove it") as caught:
        config.load(env_of(home))
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_read_is_a_mistake(home: Path) -> None:
    (home / "zdistcc/zdistcc.conf").mkdir()
    with pytest.raises(UserError, match="Is a directory"):
        config.load(env_of(home))


# --- per job ---------------------------------------------------------------------------------------


def test_a_compile_commands_own_variables_win() -> None:
    base = Config(fidelity=Fidelity.EXACT, peers=("desk",))
    env = {b"ZDISTCC_FIDELITY": b"code", b"ZDISTCC_FALLBACK": b"0", b"PATH": b"/bin"}
    assert config.for_job(base, env) == Config(fidelity=Fidelity.CODE, fallback=False, peers=("desk",))


def test_a_compile_command_cannot_change_what_is_not_its_own() -> None:
    env = {key.variable.encode(): GOOD[key.name][0].encode() for key in KEYS if key.scope is not Scope.JOB}
    assert config.for_job(Config(), env) == Config()


def test_a_compile_commands_mistakes_are_ignored_one_by_one() -> None:
    env = {b"ZDISTCC_FIDELITY": b"most", b"ZDISTCC_COMPATIBILITY": b"\xff", b"ZDISTCC_FALLBACK": b"0"}
    assert config.for_job(Config(), env) == Config(fallback=False)


def test_without_variables_a_compile_has_the_agents_configuration() -> None:
    base = Config(peers=("desk",))
    assert config.for_job(base, {b"ZDISTCC_PEERS": b""}) is base


# --- distcc's variables ----------------------------------------------------------------------------


def test_a_variable_of_distccs_counts_where_ours_is_not_set(home: Path) -> None:
    env = {"DISTCC_FALLBACK": "0", "DISTCC_IO_TIMEOUT": "20", "DISTCC_VERBOSE": "1"}
    assert config.load(env_of(home, **env)) == Config(fallback=False, distcc_timeout=20.0, log="debug")
    ours = {"ZDISTCC_FALLBACK": "1", "ZDISTCC_DISTCC_TIMEOUT": "30", "ZDISTCC_LOG": "info"}
    assert config.load(env_of(home, **env, **ours)) == Config(distcc_timeout=30.0)
    assert config.load(env_of(home, DISTCC_VERBOSE="0")) == Config()
    assert config.for_job(Config(), {b"DISTCC_FALLBACK": b"0"}) == Config(fallback=False)
    assert config.for_job(Config(), {b"DISTCC_FALLBACK": b"0", b"ZDISTCC_FALLBACK": b"1"}) == Config()


def test_distccs_hosts_are_used_when_that_is_wanted(home: Path) -> None:
    env = {"DISTCC_HOSTS": "desk/4"}
    assert config.load(env_of(home, **env)).hosts == ""
    settings = config.load(env_of(home, ZDISTCC_USE_DISTCC_HOSTS="1", ZDISTCC_HOSTS="attic", **env))
    assert settings.hosts == "attic\ndesk/4"
    assert config.for_job(settings, {b"DISTCC_HOSTS": b"desk/4"}) is settings
    job = {b"DISTCC_HOSTS": b"cellar", b"ZDISTCC_USE_DISTCC_HOSTS": b"1"}
    assert config.for_job(Config(), job).hosts == "cellar"


def test_every_variable_of_distccs_sets_a_key_or_says_why_not() -> None:
    names = [row.name for row in config.DISTCC_VARIABLES]
    assert len(set(names)) == len(names)
    assert {row.key for row in config.DISTCC_VARIABLES} <= {*NAMES, ""}
    assert all(row.why.endswith(".") for row in config.DISTCC_VARIABLES)


# --- caches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "configured", "expected"),
    [
        ({"HOME": "/h"}, None, "/h/.cache/zdistcc"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/c"}, None, "/c/zdistcc"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "relative"}, None, "/h/.cache/zdistcc"),
        ({"HOME": "/h", "ZDISTCC_CACHE_DIR": "/z"}, None, "/z"),
        ({"HOME": "/h", "ZDISTCC_CACHE_DIR": "relative"}, None, "/h/.cache/zdistcc"),
        ({"HOME": "/h"}, "/conf", "/conf"),
        ({"HOME": "/h"}, "relative", "/h/.cache/zdistcc"),
        ({}, None, os.path.expanduser("~/.cache/zdistcc")),
    ],
)
def test_where_caches_are(env: dict[str, str], configured: str | None, expected: str) -> None:
    assert paths.cache_dir(env, configured) == Path(expected)

"""The tables that the programs are made of: complete, and without rows that nothing uses."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

import zdistcc
from zdistcc import config
from zdistcc.agent import job
from zdistcc.agent.stats import Stats
from zdistcc.cli import stats
from zdistcc.cli.app import COMMANDS
from zdistcc.errors import ExitCode, Reason
from zdistcc.launcher import fallback
from zdistcc.schedule.policies import POLICIES
from zdistcc.toolchain.identity import Match
from zdistcc.wire import codecs, connection, control, messages
from zdistcc.wire.messages import RefusalCode

ROOT = Path(zdistcc.__file__).parent
SOURCE = {path: path.read_text() for path in ROOT.rglob("*.py") if "project" not in path.relative_to(ROOT).parts}
LAUNCHER_C = (ROOT / "launcher/launcher.c").read_text()


def users(expression: str, *but: str) -> list[Path]:
    """The modules whose source has `expression`, other than those named."""
    return [path for path, text in SOURCE.items() if path.name not in but and re.search(expression, text)]


# --- reasons and exit codes ----------------------------------------------------------------------


def test_every_reason_is_given_by_something() -> None:
    dead = [reason.name for reason in Reason if not users(rf"\bReason\.{reason.name}\b", "errors.py")]
    assert not dead, f"nothing gives these reasons: {dead}"


def test_reasons_are_words_and_sentences() -> None:
    for reason in Reason:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", reason.word), reason
        assert reason.name == reason.word.upper().replace("-", "_"), "one name, one concept"
        assert reason.text and reason.text[0].islower() and not reason.text.endswith("."), reason
    assert len({reason.word for reason in Reason}) == len(Reason) == len({reason.text for reason in Reason})


def test_exit_codes_are_those_of_distcc() -> None:
    assert [int(code) for code in ExitCode] == list(range(100, 121))


def test_the_launchers_exit_as_the_enumeration_says() -> None:
    expected = {
        "EXIT_GENERAL": ExitCode.GENERAL,
        "EXIT_CONNECT": ExitCode.CONNECT_FAILED,
        "EXIT_IO": ExitCode.IO_ERROR,
        "EXIT_NO_COMPILER": ExitCode.COMPILER_MISSING,
        "EXIT_RECURSION": ExitCode.RECURSION,
    }
    written = {name: int(code) for name, code in re.findall(r"\b(EXIT_[A-Z_]+) = (\d+)", LAUNCHER_C)}
    assert written == expected
    assert {name: getattr(fallback, name) for name in expected} == expected


def test_what_may_not_fall_back_has_an_exit_code() -> None:
    """Reasons that the scheduler or a failure gives; those that the command line gives run locally all the same."""
    assert set(job._EXIT_CODES) == {
        Reason.NO_WORKER,
        Reason.NO_COMPATIBLE_WORKER,
        Reason.WORKERS_FAILED,
        Reason.WORKERS_QUARANTINED,
        Reason.WORKERS_BUSY,
        Reason.WORKER_REFUSED,
        Reason.OUTPUT_NOT_WRITTEN,
        Reason.INTERNAL,
    }


# --- commands --------------------------------------------------------------------------------------


def words_in_c(table: str) -> list[str]:
    found = re.search(rf"\b{table}\[\] = \{{(.*?)NULL\}}", LAUNCHER_C, re.DOTALL)
    assert found is not None
    return re.findall(r'"([^"]*)"', found[1])


def test_the_launchers_know_the_commands() -> None:
    assert words_in_c("cli_commands") == list(COMMANDS)
    assert [word.decode() for word in fallback.CLI_COMMANDS] == list(COMMANDS)


def test_both_launchers_know_the_same_options_and_suffixes() -> None:
    assert words_in_c("cli_options") == [word.decode() for word in fallback.CLI_OPTIONS]
    assert words_in_c("source_suffixes") == [word.decode() for word in fallback.SOURCE_SUFFIXES]


def test_a_command_is_no_compiler() -> None:
    """`zdistcc WORD` must mean one thing."""
    from zdistcc.toolchain import families

    assert not [name for name in COMMANDS if families.looks_like_compiler(name.encode()) is not None]


def test_launchers_and_control_agree_on_limits_and_numbers() -> None:
    assert fallback.BODY_MAX_BYTES == control.BODY_MAX_BYTES
    assert fallback.OUTPUT_MAX_BYTES == control.OUTPUT_MAX_BYTES
    assert fallback.SILENCE_MS == control.SILENCE_S * 1000 > 3 * control.HEARTBEAT_S * 1000
    replies = (fallback.REPLY_WAIT, fallback.REPLY_RUN, fallback.REPLY_DONE, fallback.REPLY_FAIL)
    assert replies == tuple(control.ReplyKind)
    flags = (fallback.FLAG_TERMINAL, fallback.FLAG_IMPLICIT, fallback.FLAG_MASQUERADE, fallback.FLAG_PYTHON)
    assert flags == tuple(control.LaunchFlag)


def test_stats_without_an_agent_are_those_of_one_that_has_done_nothing() -> None:
    assert Stats().as_json(0, 0) == stats._NOTHING


# --- configuration ---------------------------------------------------------------------------------


def test_every_key_has_a_field_with_its_default() -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(config.Config)}
    defaults["fidelity"] = config.Fidelity.AUTO.value
    assert {key.name: key.default for key in config.KEYS} == defaults
    assert (
        config.load({"HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"}) == config.Config()
        or Path("/etc/zdistcc/zdistcc.conf").exists()
    )


def test_every_key_is_read_by_something() -> None:
    launcher = {key.name for key in config.KEYS if f'"{key.variable}"' in LAUNCHER_C}
    assert {key.name for key in config.KEYS if key.scope is config.Scope.LAUNCHER} <= launcher
    for key in config.KEYS:
        if key.name not in launcher:
            expression = rf"\b(config|settings)\.{key.name}\b"
            assert users(expression, "config.py"), f"nothing reads {key.name}"


def test_every_key_has_help_of_one_line() -> None:
    for key in config.KEYS:
        assert key.help.endswith(".") and "\n" not in key.help, key.name


def test_choices_are_the_tables_they_choose_from() -> None:
    by_name = {key.name: key for key in config.KEYS}
    for name in POLICIES:
        assert by_name["policy"].parse(name) == name
    for level in Match:
        assert by_name["compatibility"].parse(level.value) == level.value
    for fidelity in config.Fidelity:
        assert by_name["fidelity"].parse(fidelity.value) == fidelity.value
    for key, count in (("policy", len(POLICIES)), ("compatibility", len(Match)), ("fidelity", len(config.Fidelity))):
        with pytest.raises(ValueError, match="use one of: ") as caught:
            by_name[key].parse("none of them")
        assert str(caught.value).count(",") == count - 1


# --- the wire --------------------------------------------------------------------------------------


def test_every_message_has_a_rule_and_every_rule_a_message() -> None:
    assert set(connection.RULES) == set(messages.MESSAGES)
    tags = [messages.tag_of(message) for message in messages.MESSAGES]
    assert len(set(tags)) == len(tags)


def test_every_message_is_said_by_something() -> None:
    for message in messages.MESSAGES:
        assert users(rf"\b{message.__name__}\(", "messages.py"), f"nobody says {message.__name__}"


def test_every_refusal_is_blamed_on_somebody() -> None:
    assert set(job._BLAME) == set(RefusalCode)


def test_every_codec_unpacks_what_it_packs() -> None:
    text = b"int main(void) { return 0; }\n" * 100
    assert {number: row.number for number, row in codecs.CODECS.items()} == {n: n for n in codecs.CODECS}
    for row in codecs.CODECS.values():
        assert row.unpack(row.pack(text), len(text)) == text


def test_every_policy_says_what_it_does() -> None:
    for name, row in POLICIES.items():
        assert name == row.name and row.help

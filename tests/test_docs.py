"""The documents say what the programs do: each command, option, exit code, key, reason and message is described, and
what README tells a reader to type exists."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import typer.main

import zdistcc
from zdistcc.cli import daemon
from zdistcc.cli.app import COMMANDS, UNTOUCHED, build
from zdistcc.config import KEYS
from zdistcc.discovery import advert, distcc_advert
from zdistcc.distcc_variables import VARIABLES as DISTCC_VARIABLES
from zdistcc.errors import ExitCode, Reason
from zdistcc.schedule.policies import POLICIES
from zdistcc.wire import codecs, connection, frames, messages
from zdistcc.wire.control import ReplyKind

PACKAGE = Path(zdistcc.__file__).parent
REPO = PACKAGE.parent
README = (REPO / "README.md").read_text()
PAGES = sorted((REPO / "man").glob("*.[1-9]"))
MANDOC = shutil.which("mandoc")


def page(name: str) -> str:
    """A page's source with escapes and macros that only set type removed."""
    text = (REPO / "man" / name).read_text()
    return text.replace(r"\-", "-").replace(r"\&", "")


def items(text: str) -> Iterator[list[str]]:
    """The words of each item of a list, without macros."""
    for line in text.splitlines():
        if line.startswith(".It "):
            yield [word for word in line.split()[1:] if not re.fullmatch("Cm|Ev|Va|Ar|Op|Oo|Oc|No|Pa|Dv|,", word)]


def section(text: str, heading: str) -> str:
    found = re.search(rf"^\.Sh {re.escape(heading)}\n(.*?)(?=^\.Sh |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"there is no section {heading}"
    return found[1]


def subsection(text: str, heading: str) -> str:
    found = re.search(rf"^\.Ss {re.escape(heading)}\n(.*?)(?=^\.S[sh] |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"there is no subsection {heading}"
    return found[1]


def options_of(command: object) -> set[str]:
    """The options of a click command, long forms and short."""
    return {word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)}  # type: ignore[attr-defined]


def commands() -> dict[str, set[str]]:
    """Each command with its options."""
    group = typer.main.get_command(build())
    return {name: options_of(command) for name, command in group.commands.items()}  # type: ignore[attr-defined]


def daemon_commands() -> dict[str, set[str]]:
    """Each command of zdistccd with its options."""
    group = typer.main.get_command(daemon.build())
    return {name: options_of(command) for name, command in group.commands.items()}  # type: ignore[attr-defined]


def daemon_options() -> set[str]:
    return options_of(typer.main.get_command(daemon.build()))


def dashed(option: str) -> str:
    """How mdoc writes an option."""
    return f"Fl Fl {option[2:]}" if option.startswith("--") else f"Fl {option[1:]}"


# --- zdistcc(1), zdistccd(8) -----------------------------------------------------------------------


def test_every_command_and_option_is_described() -> None:
    text = page("zdistcc.1")
    described = section(text, "COMMANDS")
    for name, options in commands().items():
        assert re.search(rf"^\.It Cm {name}\b", described, re.MULTILINE), f"{name} is not described"
        for option in options:
            if option.startswith("-"):
                assert dashed(option) in text, f"{name} {option} is not described"
    group = typer.main.get_command(build())
    for option in options_of(group):
        assert dashed(option) in section(text, "OPTIONS"), f"{option} is not described"


def test_no_command_is_described_that_does_not_exist() -> None:
    names = re.findall(r"^\.It Cm ([a-z]+)", section(page("zdistcc.1"), "COMMANDS"), re.MULTILINE)
    assert sorted(names) == sorted(COMMANDS)


def test_every_option_of_the_daemon_is_described_and_no_other() -> None:
    text = page("zdistccd.8")
    known = daemon_options().union(*daemon_commands().values())
    options = {option for option in known if option.startswith("-")} | {"--help"}
    written = set(re.findall(r"Fl Fl ([a-z][a-z-]*)", text))
    assert written == {option.removeprefix("--") for option in options}


def test_every_command_of_the_daemon_is_described_and_no_other() -> None:
    names = re.findall(r"^\.It Cm ([a-z]+)", subsection(page("zdistccd.8"), "As a service"), re.MULTILINE)
    assert sorted(names) == sorted(daemon_commands())


def test_every_exit_code_is_described() -> None:
    described = section(page("zdistcc.1"), "EXIT STATUS")
    for code in ExitCode:
        assert f".It {code.value}\n.Pq Dv {code.name}\n" in described, f"{code.value} {code.name} is not described"


def test_every_reason_is_described_in_its_words_and_no_other() -> None:
    described = section(page("zdistcc.1"), "REASONS")
    # Filled lines are broken anywhere.
    rows = re.findall(r"^\.It Cm (\S+)\n((?:(?!\.).*\n)+)", described, re.MULTILINE)
    found = {word: " ".join(text.split()) for word, text in rows}
    assert found == {reason.word: f"{reason.text[0].upper()}{reason.text[1:]}." for reason in Reason}


def test_the_contracts_of_json_are_described() -> None:
    from zdistcc.agent.stats import Stats

    described = section(page("zdistcc.1"), "JSON")
    for key in Stats().as_json(0, 0):
        assert f'"{key}"' in subsection(described, "stats")
    report = subsection(described, "report")
    contract = (PACKAGE / "cli/report.py").read_text().partition("def _as_json(")[2]
    for key in (*re.findall(r'"(\w+)":', contract), "in_tail_s"):
        assert re.search(rf'"{key}"|\b{key}\b', report), f"report --json has {key}"
    hosts = subsection(described, "hosts")
    source = (PACKAGE / "agent/admin.py").read_text()
    written = re.search(r"def describe_host.*?\n    return \{(.*?)\n    \}", source, re.DOTALL)
    assert written is not None
    for key in re.findall(r'^        "(\w+)":', written[1], re.MULTILINE):
        assert f'"{key}"' in hosts, f"hosts --json has {key}"
    states = re.search(r"def _state.*?\n\n\n", source, re.DOTALL)
    assert states is not None
    for state in re.findall(r'"([a-z]+)"', states[0]):
        assert re.search(rf"\b{state}\b", hosts), f"state {state} is not described"
    status = subsection(described, "status")
    sources = [(PACKAGE / f"agent/{name}.py").read_text().split('"""', 2)[2] for name in ("snapshot", "tally")]
    for key in re.findall(r'"([a-z_]+)":', "".join(sources)):
        shared = key in ("name", "id", "target", "usable", "state", "reason", "address", "leases")
        assert shared or re.search(rf"\b{key}\b", status), f"status --json has {key}"
    explain = subsection(described, "explain")
    answer = source[source.index("async def explain(") :]
    for key in re.findall(r'^ {8,12}"(\w+)":', answer, re.MULTILINE):
        if key not in ("family", "version", "target", "build_id", "path"):
            assert re.search(rf"\b{key}\b", explain), f"explain --json has {key}"


def test_what_status_shows_is_described() -> None:
    from zdistcc.ui import controls, hostlist, view

    text = section(page("zdistcc.1"), "STATUS")
    for word in hostlist._COLUMNS:
        assert re.search(rf"^\.It .*\b{word}\b", text, re.MULTILINE), f"the column {word} is not described"
    for word in (*hostlist.STATES, *view._KINDS):
        assert word == "here" or re.search(rf"^\.Cm .*\b{word}\b", text, re.MULTILINE), f"{word} is not described"
    flat = " ".join(text.split())
    assert f"the next of: {', '.join(controls.SORTS)}." in flat
    assert any(f"the next of: {', '.join(controls.SORTS)}" in line for _, line in view._HELP)
    for keys, _ in view._HELP:
        assert re.search(rf"^\.It .*{re.escape(keys.split(',')[0])}", text.replace("arrows", "up"), re.MULTILINE), keys


# --- zdistcc.conf(5) -------------------------------------------------------------------------------


def test_every_key_is_described_and_no_other() -> None:
    text = page("zdistcc.conf.5")
    described = section(text, "KEYS")
    assert [words[0] for words in items(described)] == [key.name for key in KEYS]
    flat = " ".join(line for line in described.split())
    for key in KEYS:
        assert f".Ev {key.variable} ." in flat, f"{key.variable} is not described"
        first = key.help.partition(".")[0].partition(",")[0]
        assert first in flat, f"{key.name} is described otherwise"
        if key.default not in (None, (), "") and "Default:" not in key.help:
            default = {True: "1", False: "0"}.get(key.default, str(key.default))
            if isinstance(key.default, float):
                default = f"{key.default:g}"
            if key.name in ("store_size", "job_memory", "job_output"):
                default = f"{key.default >> 30}G"
            entry = flat.partition(f".It Cm {key.name} ")[2].partition(".It Cm ")[0]
            assert f"Default: {default}." in entry, f"the default of {key.name} is {default}"
    for name in POLICIES:
        assert name in described


def test_every_variable_of_distccs_is_described_as_honoured_or_ignored() -> None:
    described = section(page("zdistcc.conf.5"), "VARIABLES OF DISTCC")
    assert [words[0] for words in items(described)] == [row.name for row in DISTCC_VARIABLES]
    for row in DISTCC_VARIABLES:
        entry = described.partition(f".It Ev {row.name}\n")[2].partition(".It ")[0]
        assert row.why in " ".join(entry.split()), row.name
        words = [f".Cm {word}" for word in (row.key, row.value) if word] if row.key else ["Ignored."]
        assert entry.startswith("Honoured:" if row.key else "Ignored."), row.name
        assert all(word in entry for word in words), row.name


def test_what_readme_says_of_keys_is_so() -> None:
    by_variable = {key.variable: key for key in KEYS}
    rows = re.findall(r"^\| `(ZDISTCC_\w+)` \| (\S*) ?\|", README, re.MULTILINE)
    assert rows
    for variable, default in rows:
        key = by_variable[variable]
        if default and default != "cores":
            assert key.parse(default) == key.default, variable
    for variable in re.findall(r"\bZDISTCC_[A-Z_]*[A-Z]\b", README):
        assert variable in by_variable, variable


# --- zdistcc-protocol(7) ---------------------------------------------------------------------------


def test_every_message_is_described_with_its_fields_sender_and_place() -> None:
    described = section(page("zdistcc-protocol.7"), "MESSAGES")
    headings = re.findall(r"^\.Ss (\S+)$", described, re.MULTILINE)
    assert headings == [*map(messages.tag_of, messages.MESSAGES), "Refusals"]
    places = {
        connection.Scope.FIRST: "first",
        connection.Scope.CONNECTION: "connection",
        connection.Scope.OPENS: "opens a stream",
        connection.Scope.WITHIN: "within a stream",
        connection.Scope.ENDS: "ends its sender's side of a stream",
    }
    for message in messages.MESSAGES:
        rule = connection.RULES[message]
        text = subsection(described, messages.tag_of(message))
        agent, worker = connection.Role.AGENT in rule.senders, connection.Role.WORKER in rule.senders
        who = "Both ways" if agent and worker else "Agent to worker" if agent else "Worker to agent"
        assert text.startswith(f".Em {who}; {places[rule.scope]} .\n"), messages.tag_of(message)
        fields = [words[0] for words in items(text)]
        assert fields == list(message.__struct_fields__), messages.tag_of(message)


def test_every_structure_within_messages_is_described() -> None:
    described = section(page("zdistcc-protocol.7"), "STRUCTURES")
    tops = {message.__name__ for message in messages.MESSAGES}
    structures = {
        name: value
        for name, value in vars(messages).items()
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and name not in {*tops, "_Struct"}
    }
    assert set(re.findall(r"^\.Ss (\S+)$", described, re.MULTILINE)) == set(structures)
    for name, structure in structures.items():
        text = subsection(described, name)
        assert [words[0] for words in items(text)] == list(structure.__struct_fields__), name
        config = structure.__struct_config__
        assert text.startswith("An array") is config.array_like, name
        if config.array_like and config.tag is not None:
            assert f"An array, with {config.tag} before its fields.\n" in text, name


def test_refusals_codecs_replies_and_limits_are_described() -> None:
    text = page("zdistcc-protocol.7")
    codes = [words[0] for words in items(subsection(text, "Refusals"))]
    assert codes == [code.value for code in messages.RefusalCode]
    for row in codecs.CODECS.values():
        assert f".It {row.number}\n.Cm {row.name}\n" in text
    for kind in ReplyKind:
        assert f".It Cm {kind.name} No ({kind.value})\n" in text
    for limit in (
        *(frames.MAX_MESSAGE_BYTES, frames.MAX_CHUNK_BYTES, connection.MAX_STREAMS, codecs.MAX_BODY_BYTES),
        advert.MAX_TXT_BYTES,
    ):
        assert re.search(rf"\b{limit}\b", text), f"the limit {limit} is not described"
    assert f"between agent and worker is\n{frames.PROTOCOL_VERSION}." in text or (
        f"between agent and worker is {frames.PROTOCOL_VERSION}." in text
    )


def test_every_question_to_the_agent_is_described() -> None:
    questions = re.findall(r'^            case "(\w+)":$', (PACKAGE / "agent/agent.py").read_text(), re.MULTILINE)
    found = re.search(r"^\.Ql ask\n\.Pq Cm (.*) ,$", page("zdistcc-protocol.7"), re.MULTILINE)
    assert questions and found is not None
    assert set(found[1].split(" , ")) == set(questions)


def test_every_key_of_an_announcement_is_described() -> None:
    compiler = advert.AdCompiler(family="gcc", version="12", target="t", build="b" * 8)
    ad = advert.WorkerAd(
        id="a" * 16, name="n", version="1", protocol=1, slots=1, compilers=(compiler, compiler), hidden=1, port=1
    )
    described = [word for words in items(section(page("zdistcc-protocol.7"), "ANNOUNCEMENTS")) for word in words]
    assert set(advert.to_txt(ad)) <= set(described)
    spelled = distcc_advert.Spelled(machine="m", version="1")
    stock = distcc_advert.DistccAd(id="a", name="n", cpus=1, slots=1, gnuhost="g", compilers=(spelled,), port=1)
    assert set(distcc_advert.to_txt(stock, spelled)) <= set(described)


# --- the pages as such -----------------------------------------------------------------------------


def test_there_is_a_page_for_each_program_file_and_protocol() -> None:
    names = {path.name for path in PAGES}
    assert names == {"zdistcc.1", "zdistccd.8", "zdistcc.conf.5", "zdistcc-protocol.7", "zdistcc-recipes.7"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_refer_to_each_other_by_their_right_names(path: Path) -> None:
    own = {tuple(page.name.rsplit(".", 1)) for page in PAGES}
    for name, number in re.findall(r"^\.Xr (zdistcc\S*) (\d)", path.read_text(), re.MULTILINE):
        assert (name, number) in own, f"{name}({number})"


@pytest.mark.skipif(MANDOC is None, reason="mandoc is not installed")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_are_well_formed(path: Path) -> None:
    assert MANDOC is not None
    ended = subprocess.run([MANDOC, "-T", "lint", "-W", "warning", path], capture_output=True, text=True, check=False)
    assert ended.stdout + ended.stderr == "" and ended.returncode == 0


# --- README ----------------------------------------------------------------------------------------


def shell_lines() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def recipe_lines() -> list[str]:
    """The shell lines of zdistcc-recipes(7), in displays and in text."""
    text = (REPO / "man/zdistcc-recipes.7").read_text().replace(r"\(dq", '"').replace(r"\&", "").replace("\\e\n", "")
    blocks = re.findall(r"^\.Bd .*\n(.*?)^\.Ed", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"^(?:\.Ql|\.Pq Ql) (.*?) ?[.,;]?$", text, re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()] + inline


def calls_of_ours() -> list[list[str]]:
    """Every call of zdistcc and zdistccd in the shell lines of README and the recipes and in inline code, as words."""
    inline = [code for code in re.findall(r"`([^`\n]+)`", README) if re.match(r"(\w+=\S+ )*zdistccd? ", code)]
    found = []
    for line in [*shell_lines(), *inline, *recipe_lines()]:
        for part in re.split(r"&&|\$\(|\)", line):
            words = shlex.split(part, comments=True)
            for index, word in enumerate(words):
                before = words[:index]
                if os.path.basename(word) in ("zdistcc", "zdistccd") and all("=" in other for other in before):
                    found.append([os.path.basename(word), *words[index + 1 :]])
    return found


def test_readme_has_its_two_commands_and_one_line_of_packages() -> None:
    lines = shell_lines()
    venvs = [line for line in lines if line.startswith("python3 -m venv .venv ")]
    assert len(venvs) == 2
    assert venvs[0].endswith("zdistcc demo") and venvs[1].endswith("pytest")
    for line in venvs:
        ended = subprocess.run(["sh", "-n", "-c", line], capture_output=True, check=False)
        assert ended.returncode == 0, ended.stderr
    assert len([line for line in lines if line.startswith("sudo apt-get install ")]) == 1


def test_the_commands_and_options_in_readme_exist() -> None:
    calls = calls_of_ours()
    assert len(calls) > 8
    known = commands()
    for program, *words in calls:
        if program == "zdistccd":
            own = daemon_commands()[words[0]] if words and words[0][0] != "-" else daemon_options()
            assert {word for word in words if word.startswith("-")} <= {*own, "--"}
        elif words and words[0] in known:
            # What follows is another program's command line.
            own = words[1:2] if words[0] in ("explain", "run") else [] if words[0] in UNTOUCHED else words[1:]
            assert {word for word in own if word.startswith("--")} <= {*known[words[0]], "--"}, words
        elif words:
            assert words[0] in ("gcc", "g++", "--help", "-j", "--version", "--install-completion"), (
                f"README calls zdistcc {words}"
            )


def test_the_messages_under_troubleshooting_are_printed_by_something() -> None:
    text = README.partition("## When something is wrong")[2].partition("\n## ")[0]
    quoted = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert len(quoted) > 8
    sources = [path.read_text() for path in PACKAGE.rglob("*.[pc]*") if path.suffix in (".py", ".c")]
    for message in quoted:
        assert any(message in source for source in sources), f"nothing prints {message!r}"


def test_links_within_the_repository_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            headings = {re.sub(r"[^\w -]", "", line).strip().lower() for line in re.findall(r"^#+ (.*)$", README, re.M)}
            assert target[1:].replace("-", " ") in headings, target
        elif "://" not in target:
            assert (REPO / target).exists(), target


# --- .ci/run ---------------------------------------------------------------------------------------


def test_the_checks_run_what_readme_says() -> None:
    script = (REPO / ".ci/run").read_text()
    assert os.access(REPO / ".ci/run", os.X_OK)
    # The lines are looked up, not repeated: each expression finds exactly one.
    expressions = re.findall(r"readme_line '([^']+)'", script)
    assert len(expressions) == 2
    for expression in expressions:
        found = re.findall(expression, README, re.MULTILINE)
        assert len(found) == 1, expression
    for tool in ("ruff check", "ruff format --check", "mypy --strict"):
        assert tool in script
    ended = subprocess.run(["bash", "-n", REPO / ".ci/run"], capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr


# --- the changelog ---------------------------------------------------------------------------------


def test_the_changelog_keeps_its_form() -> None:
    text = (REPO / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## \[([^\]]+)\]", text, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert all(re.fullmatch(r"Unreleased|\d+\.\d+\.\d+", heading) for heading in headings)

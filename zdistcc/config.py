"""Configuration: one frozen value, built once in a composition root and passed on as an argument.

Order: command line flags > environment (``ZDISTCC_<KEY>``) > file > defaults.  Files are TOML with one
flat table of keys: ``$XDG_CONFIG_HOME/zdistcc/zdistcc.conf`` (usually ``~/.config``), then
``/etc/zdistcc/zdistcc.conf``.  The table ``KEYS`` is the only list of keys: the environment variables,
the file's keys, ``man 5 zdistcc.conf`` and the tests are read off it.  Nothing here has to be set for
zdistcc to work.

More than 500 lines, because the table is: a row a key.

Must not know: the network, compilers.  Rejected: a key per program (a user knows one tool); INI
(no lists; sections nobody needs).
"""

from __future__ import annotations

import dataclasses
import enum
import os
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from zdistcc.distcc_variables import VARIABLES as DISTCC_VARIABLES
from zdistcc.errors import UserError


class Scope(enum.Enum):
    """Who reads a key, and when."""

    LAUNCHER = "launcher"  # by the native launcher, environment only
    JOB = "job"  # per compile: the environment of each compile command wins
    AGENT = "agent"  # when the agent starts
    COMMAND = "command"  # by the command that it is for
    WORKER = "worker"  # when zdistccd starts
    BOTH = "agent and worker"


class Fidelity(enum.Enum):
    """What must be equal for a job to be sent away; ``AUTO`` means the first, or the second among stock hosts only."""

    AUTO = "auto"
    EXACT = "exact"
    CODE = "code"


def _text(raw: str) -> str:
    return raw


def _flag(raw: str) -> bool:
    word = raw.strip().lower()
    if word in ("", "0", "no", "false", "off"):
        return False
    if word in ("1", "yes", "true", "on"):
        return True
    raise ValueError("use 1 or 0")


def _words(raw: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in raw.split(",") if word.strip())


def _command(raw: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(raw))
    except ValueError as error:
        raise ValueError(f"write a command as for a shell: {error}") from None
    if not words:
        raise ValueError("name a program")
    return words


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(raw: str) -> float:
        number = float(raw)
        if not low <= number <= high:
            raise ValueError(f"use a number from {low:g} to {high:g}")
        return number

    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        try:
            number = int(raw)
        except ValueError:
            raise ValueError(f"use a whole number from {low} to {high}") from None
        if not low <= number <= high:
            raise ValueError(f"use a whole number from {low} to {high}")
        return number

    return parse


def _size(raw: str) -> int:
    units = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
    text = raw.strip().lower().removesuffix("ib").removesuffix("b")
    number, unit = (text[:-1], text[-1]) if text and text[-1] in units else (text, "")
    try:
        size = int(float(number) * units[unit])
    except (ValueError, OverflowError):
        size = -1
    if not 0 <= size < 1 << 60:
        raise ValueError("use a number of bytes, as 512M or 10G")
    return size


def _choice(*words: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        word = raw.strip().lower()
        if word not in words:
            raise ValueError(f"use one of: {', '.join(words)}")
        return word

    return parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key: its name, who reads it, how text becomes its value, its default and its help."""

    name: str
    scope: Scope
    parse: Callable[[str], Any]
    default: Any
    help: str

    @property
    def variable(self) -> str:
        """The environment variable of this key."""
        return "ZDISTCC_" + self.name.upper()


KEYS: Final = (
    Key(
        name="disable",
        scope=Scope.LAUNCHER,
        parse=_flag,
        default=False,
        help="Run every compiler directly, as if zdistcc were not there.",
    ),
    Key(
        name="fallback",
        scope=Scope.JOB,
        parse=_flag,
        default=True,
        help="Compile locally what cannot be compiled remotely; 0 fails such a job with one of distcc's exit codes.",
    ),
    Key(
        name="fidelity",
        scope=Scope.JOB,
        parse=_choice("auto", "exact", "code"),
        default="auto",
        help="exact: objects are byte for byte those of a local compile, or the job stays local. code: code and data "
        "are identical, debug information may differ. auto: exact, but code on a network that has stock distccd hosts "
        "and has had no zdistcc worker.",
    ),
    Key(
        name="mode",
        scope=Scope.JOB,
        parse=_choice("headers", "preprocessed"),
        default="headers",
        help="headers: ship sources with their headers, and preprocessed text where that cannot be done. "
        "preprocessed: always preprocess here.",
    ),
    Key(
        name="compatibility",
        scope=Scope.JOB,
        parse=_choice("exact", "same-version", "same-major"),
        default="same-version",
        help="How alike a worker's compiler must be: the same build, the same family, version and target, or the same "
        "major version.",
    ),
    Key(
        name="peers",
        scope=Scope.JOB,
        parse=_words,
        default=(),
        help="More workers, as host[:port],…, for networks where multicast does not pass. They tell of the workers "
        "that they see. user@host[:command] is reached through ssh.",
    ),
    Key(
        name="reach",
        scope=Scope.AGENT,
        parse=_choice("tcp", "ssh"),
        default="tcp",
        help="How workers are reached that were discovered or named without a user: directly, or only through ssh.",
    ),
    Key(
        name="ssh",
        scope=Scope.AGENT,
        parse=_command,
        default=None,
        help="The program that reaches workers named user@host, with options as in a shell. Default: DISTCC_SSH, else "
        "ssh.",
    ),
    Key(
        name="ssh_user",
        scope=Scope.AGENT,
        parse=_text,
        default="",
        help="With reach = ssh: the user's name on the workers. Default: what ssh's configuration says.",
    ),
    Key(
        name="hosts",
        scope=Scope.JOB,
        parse=_text,
        default="",
        help="More hosts, as distcc's DISTCC_HOSTS lists them: zdistcc workers or stock distccd.",
    ),
    Key(
        name="use_distcc_hosts",
        scope=Scope.JOB,
        parse=_flag,
        default=False,
        help="Use the hosts in DISTCC_HOSTS, too.",
    ),
    Key(
        name="distcc_timeout",
        scope=Scope.AGENT,
        parse=_number(1, 1e5),
        default=300.0,
        help="Seconds after which a stock distccd that has not answered is given up, at the latest.",
    ),
    Key(
        name="discovery",
        scope=Scope.BOTH,
        parse=_flag,
        default=True,
        help="Browse and advertise by mDNS/DNS-SD.",
    ),
    Key(
        name="interface",
        scope=Scope.BOTH,
        parse=_words,
        default=(),
        help="Network interfaces (names or addresses) to use. Default: all but loopback, containers', virtual "
        "machines' and VPNs'; loopback if there is no other.",
    ),
    Key(
        name="local_slots",
        scope=Scope.AGENT,
        parse=_whole(1, 4096),
        default=None,
        help="How many compilers, preprocessors and links run at once on this machine. Default: its cores.",
    ),
    Key(
        name="idle_exit",
        scope=Scope.AGENT,
        parse=_number(1, 1e9),
        default=300.0,
        help="Seconds without a job after which the agent leaves.",
    ),
    Key(
        name="policy",
        scope=Scope.AGENT,
        parse=_choice("least-completion", "least-loaded", "list-order"),
        default="least-completion",
        help="How the agent ranks workers that can do a job. least-completion goes by measured speeds, may run jobs "
        "on this machine when all workers are full or much slower, and starts stragglers a second time.",
    ),
    Key(
        name="summary",
        scope=Scope.COMMAND,
        parse=_flag,
        default=True,
        help="Whether make, ninja, cmake and run end with a line about where the jobs ran.",
    ),
    Key(
        name="log",
        scope=Scope.BOTH,
        parse=_choice("debug", "info", "warning", "error"),
        default="info",
        help="How much is logged: debug, info, warning or error.",
    ),
    Key(
        name="runtime_dir",
        scope=Scope.LAUNCHER,
        parse=_text,
        default=None,
        help="Directory of the agent's socket and log. Default: $XDG_RUNTIME_DIR/zdistcc or /tmp/zdistcc-UID.",
    ),
    Key(
        name="cache_dir",
        scope=Scope.BOTH,
        parse=_text,
        default=None,
        help="Directory of caches, safe to delete at any time. Default: $XDG_CACHE_HOME/zdistcc.",
    ),
    Key(
        name="port",
        scope=Scope.WORKER,
        parse=_whole(0, 65535),
        default=3633,
        help="TCP port of the worker; 0 takes any. If the default is taken, any.",
    ),
    Key(
        name="distcc_port",
        scope=Scope.WORKER,
        parse=_whole(0, 65535),
        default=3632,
        help="Second TCP port of the worker, where clients of stock distcc look for it; the default is done without if "
        "it is taken. 0: no clients of distcc are served at all.",
    ),
    Key(
        name="slots",
        scope=Scope.WORKER,
        parse=_whole(1, 4096),
        default=None,
        help="How many jobs the worker runs at once. Default: its cores.",
    ),
    Key(
        name="name",
        scope=Scope.WORKER,
        parse=_text,
        default=None,
        help="Name under which the worker is shown. Default: its host name.",
    ),
    Key(
        name="allow",
        scope=Scope.WORKER,
        parse=_words,
        default=(),
        help="More networks, in CIDR notation, that may use the worker. Private and link-local addresses always may.",
    ),
    Key(
        name="deny",
        scope=Scope.WORKER,
        parse=_words,
        default=(),
        help="Networks, in CIDR notation, that may not use the worker, whatever else holds.",
    ),
    Key(
        name="store",
        scope=Scope.WORKER,
        parse=_text,
        default=None,
        help="Directory for the worker's files. Default: zdistccd in the cache directory.",
    ),
    Key(
        name="store_size",
        scope=Scope.WORKER,
        parse=_size,
        default=10 << 30,
        help="How much the worker keeps of its clients' files, as 10G; the least recently used go first.",
    ),
    Key(
        name="nice",
        scope=Scope.WORKER,
        parse=_whole(0, 19),
        default=10,
        help="How much the worker's compilers give way to everything else on the machine.",
    ),
    Key(
        name="polite",
        scope=Scope.WORKER,
        parse=_flag,
        default=True,
        help="Offer fewer slots while others use the machine or memory is short, and none on battery. 0 offers all, "
        "always.",
    ),
    Key(
        name="on_battery",
        scope=Scope.WORKER,
        parse=_flag,
        default=False,
        help="Offer slots on battery, too.",
    ),
    Key(
        name="job_seconds",
        scope=Scope.WORKER,
        parse=_number(1, 1e6),
        default=600.0,
        help="Seconds of wall clock after which a compiler is killed.",
    ),
    Key(
        name="job_memory",
        scope=Scope.WORKER,
        parse=_size,
        default=8 << 30,
        help="Address space a compiler may use, as 8G; 0 for no limit.",
    ),
    Key(
        name="job_output",
        scope=Scope.WORKER,
        parse=_size,
        default=1 << 30,
        help="Largest file a compiler may write, as 1G.",
    ),
)
SYSTEM_FILE: Final = Path("/etc/zdistcc/zdistcc.conf")
_BY_NAME: Final = {key.name: key for key in KEYS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every key's value; see ``KEYS`` for what they mean."""

    disable: bool = False
    fallback: bool = True
    fidelity: Fidelity = Fidelity.AUTO
    mode: str = "headers"
    compatibility: str = "same-version"
    peers: tuple[str, ...] = ()
    reach: str = "tcp"
    ssh: tuple[str, ...] | None = None
    ssh_user: str = ""
    hosts: str = ""
    use_distcc_hosts: bool = False
    distcc_timeout: float = 300.0
    discovery: bool = True
    interface: tuple[str, ...] = ()
    local_slots: int | None = None
    idle_exit: float = 300.0
    policy: str = "least-completion"
    summary: bool = True
    log: str = "info"
    runtime_dir: str | None = None
    cache_dir: str | None = None
    port: int = 3633
    distcc_port: int = 3632
    slots: int | None = None
    name: str | None = None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    store: str | None = None
    store_size: int = 10 << 30
    nice: int = 10
    polite: bool = True
    on_battery: bool = False
    job_seconds: float = 600.0
    job_memory: int = 8 << 30
    job_output: int = 1 << 30


def _parse(key: Key, raw: str, where: str) -> Any:
    try:
        value = key.parse(raw)
    except ValueError as error:
        what = f"{where} {raw}" if where.startswith("--") else f"{where}: {key.name} = {raw!r}"
        raise UserError(f"{what} cannot be used; {error}") from None
    return Fidelity(value) if key.name == "fidelity" else value


def _as_text(value: object, where: str, name: str) -> str:
    match value:
        case bool():
            return "1" if value else "0"
        case str() | int() | float():
            return str(value)
        case list() if all(isinstance(item, str) for item in value):
            return ",".join(value)
        case _:
            raise UserError(f"{where}: {name} must be a text, a number, true or false, or a list of texts")


def config_files(env: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where configuration is looked for, the strongest first."""
    home = env.get("XDG_CONFIG_HOME") or os.path.join(env.get("HOME", "/"), ".config")
    return Path(home, "zdistcc", "zdistcc.conf"), SYSTEM_FILE


def read_file(path: Path) -> dict[str, Any]:
    """Return the keys that ``path`` sets; :class:`UserError` names the place of a mistake."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}; correct it or remove it") from error
    values = {}
    for name, value in table.items():
        if name not in _BY_NAME:
            raise UserError(f"{path}: no such key: {name}; man 5 zdistcc.conf lists them")
        values[name] = _parse(_BY_NAME[name], _as_text(value, str(path), name), str(path))
    return values


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load(env: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Config:
    """Return the configuration; ``flags`` hold parsed command line values, ``None`` for those not given."""
    values: dict[str, Any] = {}
    for path in reversed(config_files(env)):
        values |= read_file(path)
    for row in DISTCC_VARIABLES:
        raw = env.get(row.name)
        if row.key and row.key != "hosts" and raw and not (row.value and raw == "0"):
            values[row.key] = _parse(_BY_NAME[row.key], row.value or raw, f"environment variable {row.name}")
    for key in KEYS:
        raw = env.get(key.variable)
        if raw is not None and raw != "":
            values[key.name] = _parse(key, raw, f"environment variable {key.variable}")
    for name, value in (flags or {}).items():
        if value is not None and value != () and value != []:
            values[name] = _parse(_BY_NAME[name], value, f"--{name}") if isinstance(value, str) else value
    return _with_distcc_hosts(Config(**values), env.get("DISTCC_HOSTS", ""))


def _with_distcc_hosts(settings: Config, listed: str) -> Config:
    if not settings.use_distcc_hosts or not listed or listed in settings.hosts:
        return settings
    return dataclasses.replace(settings, hosts=f"{settings.hosts}\n{listed}".strip())


def for_job(base: Config, env: Mapping[bytes, bytes]) -> Config:
    """Return ``base`` with the job-scoped keys that one compile command's environment sets; bad ones are ignored.

    A typing mistake in a variable must not fail a build: ``zdistcc explain`` and the agent's start report it.
    """
    changes: dict[str, Any] = {}
    for key, variable in _JOB_VARIABLES:
        raw = env.get(variable)
        if raw:
            try:
                changes[key.name] = _parse(key, raw.decode("utf-8", "replace"), "")
            except UserError:
                continue
    settings = dataclasses.replace(base, **changes) if changes else base
    return _with_distcc_hosts(settings, env.get(b"DISTCC_HOSTS", b"").decode("utf-8", "replace"))


_JOB_VARIABLES: Final = (
    (_BY_NAME["fallback"], b"DISTCC_FALLBACK"),
    *((key, key.variable.encode()) for key in KEYS if key.scope is Scope.JOB),
)
"""In this order: our own variables come last, and win."""

"""Host specifications: the list of hosts that distcc reads from ``DISTCC_HOSTS``, understood in full.  Pure.

Grammar (a list is words between white space; ``#`` begins a comment that ends with its line)::

    word    = "+zeroconf" | "--randomize" | "--localslots=" N | "--localslots_cpp=" N | host
    host    = local | tcp | ssh
    local   = "localhost" ["/" LIMIT] options
    tcp     = HOST [":" PORT] ["/" LIMIT] options
    ssh     = [USER] "@" HOST ["/" LIMIT] [":" COMMAND] options
    HOST    = name | IPv4 address | "[" IPv6 address "]"
    options = { "," ("lzo" | "cpp" | "auth" | "down") }

What is wrong is told with its place, for a list is often long and made by a script.  Must not know: what is behind a
host, whether it is there.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Never

from zdistcc.errors import ExitCode, UserError

DEFAULT_PORT: Final = 3632
DEFAULT_LIMIT: Final = 4
DEFAULT_LOCAL_LIMIT: Final = 2
MAX_LIMIT: Final = 1024
MAX_LIST: Final = 64 << 10
"""Characters; more is no list that somebody wrote."""

_WORD: Final = re.compile(r"\S+")
_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_.-]{1,253}")
_USER: Final = re.compile(r"(?!-)[A-Za-z0-9_.\\+-]{1,64}")
_V6: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})(%[A-Za-z0-9_.-]{1,32})?\]")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_COMMAND: Final = re.compile(r"[^\s,]+")
_OPTION: Final = re.compile(r"[A-Za-z0-9]*")


class Way(enum.Enum):
    """How a host is reached."""

    LOCAL = "local"
    TCP = "tcp"
    SSH = "ssh"


class Option(enum.Enum):
    """What stands behind a comma; ``lzo`` asks for protocol 2, ``cpp`` for 3, ``down`` switches the host off."""

    LZO = "lzo"
    CPP = "cpp"
    AUTH = "auth"
    DOWN = "down"


class BadHostList(UserError):
    """A host list that does not follow the grammar; ``position`` counts characters from 0."""

    code = ExitCode.BAD_HOST_SPEC

    def __init__(self, text: str, position: int, why: str) -> None:
        line_begin = text.rfind("\n", 0, position) + 1
        line = text[line_begin:].partition("\n")[0]
        begin = max(0, position - line_begin - 50)
        shown = line[begin : begin + 70]
        place = position - line_begin - begin
        visible = "".join(character if character.isprintable() else "?" for character in shown)
        super().__init__(f"host list, character {position + 1}: {why}\n  {visible}\n  {' ' * place}^")
        self.position = position
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """One host; ``limit`` is the most jobs it is given at once, ``limited`` whether the list says so."""

    way: Way
    host: str
    limit: int
    port: int = 0
    user: str = ""
    command: str = ""
    options: frozenset[Option] = frozenset()
    limited: bool = field(default=False, compare=False)

    @property
    def name(self) -> str:
        """Return how the host is called in messages."""
        match self.way:
            case Way.SSH:
                return f"{self.user}@{self.host}"
            case Way.TCP:
                return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
            case Way.LOCAL:
                return "localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostList:
    """A whole list, in its order."""

    hosts: tuple[HostSpec, ...] = ()
    zeroconf: bool = False
    randomize: bool = False
    local_slots: int | None = None
    local_slots_cpp: int | None = None


def parse(text: str) -> HostList:
    """Return what ``text`` lists; :class:`BadHostList` names the first thing that is wrong, and where."""
    if len(text) > MAX_LIST:
        raise BadHostList(text, MAX_LIST, f"the list is longer than {MAX_LIST} characters")
    hosts: list[HostSpec] = []
    zeroconf = randomize = False
    slots: dict[str, int] = {}
    for position, word in _words(text):
        if word == "+zeroconf":
            zeroconf = True
        elif word == "--randomize":
            randomize = True
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            if name not in ("--localslots", "--localslots_cpp") or not equals:
                raise BadHostList(text, position, "use --localslots=N, --localslots_cpp=N or --randomize")
            slots[name] = _limit(text, position + len(name) + 1, value)
        elif word.startswith("+"):
            raise BadHostList(text, position, "use +zeroconf; nothing else begins with a plus")
        else:
            hosts.append(_Reader(text, position, word).host())
    return HostList(
        hosts=tuple(hosts),
        zeroconf=zeroconf,
        randomize=randomize,
        local_slots=slots.get("--localslots"),
        local_slots_cpp=slots.get("--localslots_cpp"),
    )


def _words(text: str) -> Iterator[tuple[int, str]]:
    begin = 0
    for line in text.splitlines(keepends=True):
        for found in _WORD.finditer(line.partition("#")[0]):
            yield begin + found.start(), found[0]
        begin += len(line)


def _limit(text: str, position: int, word: str) -> int:
    if not _NUMBER.fullmatch(word) or not 1 <= int(word) <= MAX_LIMIT:
        raise BadHostList(text, position, f"use a whole number from 1 to {MAX_LIMIT}")
    return int(word)


class _Reader:
    """Reads one host from left to right."""

    def __init__(self, text: str, begin: int, word: str) -> None:
        self._text = text
        self._begin = begin
        self._word = word
        self._at = 0

    def host(self) -> HostSpec:
        """Return the host that the whole word is."""
        user = ""
        ssh = "@" in re.split(r"[:/,\[]", self._word, maxsplit=1)[0]
        if ssh:
            user = self._user()
        host = self._hostname()
        port = DEFAULT_PORT if ssh or not self._skip(":") else self._port()
        local = host == "localhost" and not ssh and port == DEFAULT_PORT
        limit = DEFAULT_LOCAL_LIMIT if local else DEFAULT_LIMIT
        limited = self._skip("/")
        if limited:
            limit = self._number(1, MAX_LIMIT, "a whole number of jobs")
        command = self._take(_COMMAND, "a command behind the colon") if ssh and self._skip(":") else ""
        options = frozenset(self._options())
        if self._at < len(self._word):
            self._fail(f"{self._word[self._at]!r} is not expected here")
        if local:
            return HostSpec(way=Way.LOCAL, host=host, limit=limit, options=options, limited=limited)
        if ssh:
            return HostSpec(
                way=Way.SSH, host=host, limit=limit, user=user, command=command, options=options, limited=limited
            )
        return HostSpec(way=Way.TCP, host=host, limit=limit, port=port, options=options, limited=limited)

    def _user(self) -> str:
        found = _USER.match(self._word)
        user = found[0] if found else ""
        if self._word[len(user)] != "@":
            self._at = len(user)
            self._fail("a user's name holds letters, digits and _.+-\\, and does not begin with a dash")
        self._at = len(user) + 1
        return user

    def _hostname(self) -> str:
        if self._word[self._at : self._at + 1] == "[":
            found = _V6.match(self._word, self._at)
            if found is None:
                self._fail("an IPv6 address is written [2001:db8::1]")
            try:
                ipaddress.IPv6Address(found[1])
            except ValueError:
                self._at += 1
                self._fail("this is no IPv6 address")
            self._at = found.end()
            return found[1] + (found[2] or "")
        host = self._take(_NAME, "the name or address of a host")
        if self._word[self._at : self._at + 2] == "::" or re.fullmatch(r":[0-9A-Fa-f:]*:[0-9A-Fa-f:]*", self._rest()):
            self._fail("a port, or for an IPv6 address brackets: [2001:db8::1]")
        return host

    def _port(self) -> int:
        return self._number(1, 65535, "a port")

    def _options(self) -> Iterator[Option]:
        while self._skip(","):
            begin = self._at
            found = _OPTION.match(self._word, self._at)
            word = found[0] if found else ""
            try:
                yield Option(word)
            except ValueError:
                self._at = begin
                self._fail("no such option: use lzo, cpp, auth or down")
            self._at += len(word)

    def _number(self, low: int, high: int, what: str) -> int:
        begin = self._at
        number = int(self._take(_NUMBER, f"{what} from {low} to {high}"))
        if not low <= number <= high:
            self._at = begin
            self._fail(f"{what} from {low} to {high} is expected here")
        return number

    def _rest(self) -> str:
        return self._word[self._at :]

    def _skip(self, character: str) -> bool:
        found = self._word[self._at : self._at + 1] == character
        self._at += found
        return found

    def _take(self, pattern: re.Pattern[str], what: str) -> str:
        found = pattern.match(self._word, self._at)
        if found is None:
            self._fail(f"{what} is expected here")
        self._at = found.end()
        return found[0]

    def _fail(self, why: str) -> Never:
        raise BadHostList(self._text, self._begin + self._at, why)

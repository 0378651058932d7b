"""The plan of one job: what its command line means, which compiler it runs, what a worker has to have.

Everything is decided before anybody is asked: the answer is a :class:`Plan` or the :class:`Reason` why the job stays
here.  ``zdistcc explain`` shows exactly this.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from zdistcc.agent.outputs import is_plain_target
from zdistcc.config import Config, Fidelity
from zdistcc.errors import Reason
from zdistcc.schedule.events import Need
from zdistcc.toolchain import families, rebuild
from zdistcc.toolchain.environment import CODE_VARIABLES
from zdistcc.toolchain.identity import Family, Match
from zdistcc.toolchain.invocation import NOTHING, Invocation, Stage, scan
from zdistcc.toolchain.languages import Driver, Language
from zdistcc.toolchain.options import Side, Undistributable
from zdistcc.toolchain.probe import Probed, ProbeFailure
from zdistcc.toolchain.probecache import ProbeCache
from zdistcc.wire.control import LaunchFlag, LaunchRequest

_OF_ONE_PROCESS: Final = (b"/dev/stdin", b"/dev/fd/", b"/proc/")
"""Places that hold something else for each process that looks: the launcher's standard input is not the agent's."""
MAX_RESPONSE_FILE_BYTES: Final = 4 << 20
SIDES: Final[Mapping[Family, frozenset[Side]]] = {
    Family.GCC: frozenset({Side.DWO, Side.SU}),
    Family.CLANG: frozenset({Side.DWO, Side.SU, Side.GCNO}),
    Family.INTEL: NOTHING,
    Family.SUN: NOTHING,
    Family.UNKNOWN: NOTHING,
}
"""Further outputs that come back.  GCC's coverage notes do not: with the object they name the directory it ran in."""
_SIDE_REASONS: Final = {
    Side.DWO: Reason.SPLIT_DWARF,
    Side.GCNO: Reason.COVERAGE,
    Side.SU: Reason.STACK_USAGE,
}
_COLOUR: Final = {Family.GCC: b"-fdiagnostics-color=always", Family.CLANG: b"-fcolor-diagnostics"}
_NO_QUOTES: Final = {Family.GCC: b"-fno-diagnostics-show-caret", Family.CLANG: b"-fno-caret-diagnostics"}
"""The worker has no source lines to quote under a warning, and would quote lines of the text."""
_LANGUAGES: Final = {
    Language.C_TEXT: "c",
    Language.CXX_TEXT: "c++",
    Language.OBJC_TEXT: "objective-c",
    Language.OBJCXX_TEXT: "objective-c++",
    Language.ASSEMBLER_TEXT: "assembler",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """The job runs on this machine; ``detail`` names the word or file that the reason is about."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A job that may go.

    ``colour`` are words added because the launcher's stderr is a terminal; ``text_fits`` says whether compiling
    preprocessed text keeps what ``fidelity`` promises.
    """

    invocation: Invocation
    compiler: Probed
    need: Need
    output: bytes
    machine: tuple[bytes, ...]
    colour: tuple[bytes, ...]
    text_fits: bool

    def preprocess_command(self) -> list[bytes]:
        """Return the command that makes the text here, on its standard output."""
        return [self.compiler.driver, *self.colour, *rebuild.preprocess_args(self.invocation, output=None)]

    def remote_args(self) -> list[bytes]:
        """Return the words under which the text is compiled elsewhere."""
        words = [*self.colour, *rebuild.remote_args(self.invocation, native=self.machine)]
        no_quotes = _NO_QUOTES.get(self.invocation.family)
        return [*words, no_quotes] if no_quotes is not None else words


class Planner:
    """Makes plans; owns the cache of what compilers said of themselves."""

    def __init__(self, probes: ProbeCache) -> None:
        self._probes = probes

    async def plan(self, request: LaunchRequest, config: Config) -> Plan | Stay:
        """Return the plan for ``request``, or why it stays here."""
        compiler = await self._identify(request)
        if isinstance(compiler, ProbeFailure):
            return Stay(reason=compiler.reason, detail=str(compiler))
        invocation = scan(
            [*compiler.implied, *request.argv[1:]],
            family=compiler.id.family,
            driver=driver_kind(request),
            env=request.env,
            read_file=lambda name: read_response_file(request.cwd, name),
            allow_side_outputs=SIDES[compiler.id.family] if config.mode == "headers" else NOTHING,
        )
        if isinstance(invocation, Undistributable):
            return Stay(reason=invocation.reason, detail=invocation.detail.decode("utf-8", "replace"))
        if any(place in word for word in request.argv[1:] if word[:2] != b"-D" for place in _OF_ONE_PROCESS):
            return Stay(reason=Reason.STDIN_INPUT)
        if invocation.language.preprocessed and invocation.depfile is not None:
            return Stay(reason=Reason.DEPENDENCY_FORM, detail="of a preprocessed source")
        output = os.path.join(request.cwd, invocation.output)
        in_place = invocation.stage is Stage.ASSEMBLY
        if not is_plain_target(output, like_new=request.umask if in_place else None):
            return Stay(reason=Reason.SPECIAL_OUTPUT, detail=invocation.output.decode("utf-8", "replace"))
        machine = await self._machine_words(invocation, compiler, request)
        if isinstance(machine, ProbeFailure):
            return Stay(reason=machine.reason, detail=str(machine))
        return Plan(
            invocation=invocation,
            compiler=compiler,
            need=self._need(invocation, compiler, config),
            output=output,
            machine=machine,
            colour=colour_words(invocation, request),
            text_fits=text_fits(invocation, config.fidelity),
        )

    @staticmethod
    def _need(invocation: Invocation, compiler: Probed, config: Config) -> Need:
        return Need(
            compiler=compiler.id,
            level=Match(config.compatibility),
            language=_LANGUAGES[invocation.language.text],
            plain=plain_text_fits(invocation, config.fidelity),
        )

    async def _identify(self, request: LaunchRequest) -> Probed | ProbeFailure:
        known = self._probes.known(request.compiler, request.env)
        if known is None:
            known = await asyncio.to_thread(self._probes.probe, request.compiler, request.env)
            await asyncio.to_thread(self._probes.save)
        return known

    async def _machine_words(
        self, invocation: Invocation, compiler: Probed, request: LaunchRequest
    ) -> tuple[bytes, ...] | ProbeFailure:
        if not invocation.native:
            return ()
        expansion = await asyncio.to_thread(self._probes.expansion, compiler, invocation.native, request.env)
        if isinstance(expansion, ProbeFailure):
            return expansion
        if invocation.records_options and not expansion.recorded_alike:
            return ProbeFailure(
                path=compiler.path, reason=Reason.NATIVE_UNKNOWN, sentence="would record its options in another order"
            )
        return expansion.words


def output_directory(plan: Plan) -> bytes:
    """Return the real directory of a job's output."""
    return os.path.realpath(os.path.dirname(plan.output))


def not_as_text(plan: Plan) -> Reason:
    """Return why preprocessed text will not do for ``plan``."""
    for each in plan.invocation.side_outputs:
        return _SIDE_REASONS[each.side]
    return Reason.SOURCE_COLUMNS


def text_fits(invocation: Invocation, fidelity: Fidelity) -> bool:
    """Return whether compiling preprocessed text gives what ``fidelity`` asks for."""
    if invocation.text_exact:
        return True
    if fidelity is not Fidelity.CODE or invocation.side_outputs or not invocation.debug:
        return False
    return not any(arg.words[0].startswith(b"-fsanitize") for arg in invocation.args)


def plain_text_fits(invocation: Invocation, fidelity: Fidelity) -> bool:
    """Return whether a server will do that is sent text and options, but neither variables nor a directory.

    With debug information Clang would record the server's directory, which its text does not name.
    """
    if invocation.stage is not Stage.OBJECT or any(name in CODE_VARIABLES for name, _ in invocation.env):
        return False
    if invocation.family is Family.CLANG and invocation.debug:
        return False
    return text_fits(invocation, fidelity)


def driver_kind(request: LaunchRequest) -> Driver:
    """Return whether the command is called like a C++ driver (``g++ x.c`` compiles C++)."""
    name = os.path.basename(request.compiler)
    return Driver.CXX if families.driver_of(name) == "c++" else Driver.C


def colour_words(invocation: Invocation, request: LaunchRequest) -> tuple[bytes, ...]:
    """Return the option that asks for colour when the compiler would have chosen it for this terminal."""
    if invocation.colour_decided or not request.flags & LaunchFlag.STDERR_IS_TERMINAL:
        return ()
    if request.env.get(b"TERM", b"dumb") == b"dumb" or request.env.get(b"NO_COLOR"):
        return ()
    if invocation.family is Family.GCC and request.env.get(b"GCC_COLORS") == b"":
        return ()
    word = _COLOUR.get(invocation.family)
    return (word,) if word is not None else ()


def read_response_file(cwd: bytes, name: bytes) -> bytes | None:
    """Return the content of ``@name``, or ``None`` when there is none to be read."""
    path = os.path.join(cwd, name)
    if path.startswith(_OF_ONE_PROCESS):
        return None
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None  # a pipe must not hold everybody up
        with open(path, "rb") as file:
            data = file.read(MAX_RESPONSE_FILE_BYTES + 1)
    except (OSError, ValueError):
        return None
    return data if len(data) <= MAX_RESPONSE_FILE_BYTES else None

"""What one compiler command means: an `Invocation`, or why it runs on this machine.

`scan` is the only reader of a user's command line.  It collects what the option rows say in one
pass; nothing here knows an option by name beyond the few that have an effect of their own.

Must not know: the disk (response files come through a reader), the process's environment (it comes
in as a mapping), how a command is rebuilt (`rebuild`), what a worker accepts (`vetting`).

Rejected: stopping at the first option that keeps a job local.  A link would then be counted under
whatever linker option came first instead of as a link.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from zdistcc.errors import Reason
from zdistcc.toolchain import dependencies, environment, responses
from zdistcc.toolchain.dependencies import DepRequest
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.languages import Driver, Language, language_named, language_of
from zdistcc.toolchain.options import (
    MACHINE_MARKS,
    Arg,
    Effect,
    Mark,
    Side,
    Undistributable,
    is_native,
    split,
    table_of,
)

NOTHING: frozenset[Side] = frozenset()


class Stage(enum.Enum):
    """Where the compile ends; the value is the option that says so."""

    OBJECT = b"-c"
    ASSEMBLY = b"-S"


@dataclass(frozen=True, slots=True)
class SideOutput:
    """A file written beside the output, under the name the driver derives."""

    side: Side
    path: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A compile of one source file that may run elsewhere.

    Paths are as in the command: relative ones belong to the directory it was started in.
    """

    family: Family
    args: tuple[Arg, ...]
    """All of the command, response files expanded, in order; the input is the one without row."""
    source: bytes
    language: Language
    stage: Stage
    output: bytes
    output_given: bool
    depfile: DepRequest | None
    debug: bool
    """Whether the object holds debug information."""
    text_exact: bool
    """Whether preprocessed text compiles to the very bytes that the source does.

    Not with debug information: it has columns, and even without them (-gno-column-info) GCC's line table
    tells locations on one line apart, which text does where a system header's macro was expanded; Clang's
    names the worker's directory.  Nor with GCC's intermediate code and sanitizers, which record columns too,
    with side outputs, or with Objective-C by Clang, which writes the name of its input into the object.
    `rebuild.text_reason` judges the text itself.
    """
    records_options: bool
    """Whether the object tells the options for code generation, their order included."""
    native: tuple[bytes, ...]
    """All words about the machine, if ``-march=native`` or its like is among them, for the caller to
    find words that replace them; otherwise none.  All, as their order counts (`-mno-…`)."""
    side_outputs: tuple[SideOutput, ...]
    colour_decided: bool
    """Whether the command itself says if diagnostics are coloured."""
    include_args: tuple[tuple[bytes, bytes], ...]
    """Options that shape the header search, in order: name without value, value."""
    forced_includes: tuple[tuple[bytes, bytes], ...]
    """``-include`` and ``-imacros``, in order: name, value."""
    macros: tuple[tuple[Mark, bytes], ...]
    """Definitions and undefinitions, in order: `Mark.DEFINE` or `Mark.UNDEFINE`, text."""
    env: tuple[tuple[bytes, bytes], ...]
    """Variables that have to be set where the text is compiled."""


# Names that configure scripts and build systems give to what they only try.
_PROBE_NAME = re.compile(
    rb"conftest[0-9]*\.[^/]*|_configtest\.[^/]*|CMakeC(?:XX)?CompilerId\.[^/]*|CMake(?:C|CXX|OBJC|OBJCXX)"
    rb"CompilerABI\.[^/]*|sanitycheck(?:c|cpp|objc|objcpp)\.[^/]*"
)
_PROBE_DIRECTORY = re.compile(rb"(?:^|/)(?:CMakeTmp|CMakeScratch|TryCompile-[^/]*|cmTC_[^/]*\.dir|meson-private)/")


def scan(
    argv: Sequence[bytes],
    *,
    family: Family,
    driver: Driver,
    env: Mapping[bytes, bytes],
    read_file: responses.ReadFile,
    allow_side_outputs: AbstractSet[Side] = NOTHING,
    allow_probes: bool = False,
) -> Invocation | Undistributable:
    """Read a command (without its first word).  Raises nothing of its own.

    ``allow_probes``: do not keep a compile here because its names are those of a configure probe.
    """
    table = table_of(family)
    if table is None:
        return Undistributable(Reason.UNSUPPORTED_COMPILER, str(family).encode())
    words = responses.expand(argv, read_file)
    if isinstance(words, Undistributable):
        return words
    args, trouble = split(words, table)
    seen = _Seen(args, family, driver)
    refusal = seen.not_a_compile() or trouble or seen.input_refusal() or seen.refusal(allow_side_outputs, allow_probes)
    if refusal is not None:
        return refusal
    variable = environment.harmful(env, family)
    if variable is not None:
        return Undistributable(Reason.ENVIRONMENT, variable)
    return seen.invocation(env)


class _Seen:
    """One pass over the arguments, and the judgements that need all of them."""

    def __init__(self, args: list[Arg], family: Family, driver: Driver) -> None:
        self.args = args
        self.family = family
        self.wanted: DepRequest | Undistributable | None = None
        self.inputs: list[tuple[bytes, Language | Reason | None]] = []
        self.effects: dict[Effect, list[Arg]] = {}
        self.marks: dict[Mark, list[Arg]] = {}
        named: bytes | None = None
        for arg in args:
            row = arg.row
            if row is None:
                language = language_named(named) if named else language_of(arg.value, family, driver)
                self.inputs.append((arg.value, language))
                continue
            effect = row.effect
            if effect is Effect.LANGUAGE:
                named = None if arg.value == b"none" else arg.value
            elif effect is not Effect.BOTH and effect is not Effect.PREPROCESS:
                self.effects.setdefault(effect, []).append(arg)
            if row.mark is not None:
                self.marks.setdefault(row.mark, []).append(arg)

    def words(self, effect: Effect) -> list[bytes]:
        return [arg.words[0] for arg in self.effects.get(effect, ())]

    def not_a_compile(self) -> Undistributable | None:
        """The command does something other than compiling one file."""
        for effect, reason in (
            (Effect.QUERY, Reason.QUERY),
            (Effect.PREPROCESS_ONLY, Reason.PREPROCESS_ONLY),
        ):
            if effect in self.effects:
                return Undistributable(reason, self.words(effect)[0])
        if not self.inputs:
            return Undistributable(Reason.NO_INPUT, b"")
        if Effect.STAGE not in self.effects and Reason.NOT_A_COMPILE not in {
            arg.row.reason for arg in self.effects.get(Effect.LOCAL, ()) if arg.row
        }:
            return Undistributable(Reason.LINK, self.inputs[0][0])
        return None

    def input_refusal(self) -> Undistributable | None:
        if len(self.inputs) > 1:
            return Undistributable(Reason.SEVERAL_INPUTS, self.inputs[1][0])
        source, language = self.inputs[0]
        if source == b"-":
            return Undistributable(Reason.STDIN_INPUT, source)
        if language is None:
            return Undistributable(Reason.NO_INPUT, source)
        if isinstance(language, Reason):
            return Undistributable(language, source)
        if language.text is Language.ASSEMBLER_TEXT and self.stage() is Stage.ASSEMBLY:
            return Undistributable(Reason.NOT_A_COMPILE, source)
        return None

    def refusal(self, allowed: AbstractSet[Side], probes: bool) -> Undistributable | None:
        source = self.inputs[0][0]
        outputs = self.effects.get(Effect.OUTPUT, [])
        if len(outputs) > 1:
            return Undistributable(Reason.SPECIAL_OUTPUT, outputs[1].value)
        output = self.output()
        if output == b"-":
            return Undistributable(Reason.STDOUT_OUTPUT, output)
        if not _plain(output) or output == source:
            return Undistributable(Reason.SPECIAL_OUTPUT, output)
        for path in () if probes else (source, output):
            if _PROBE_NAME.fullmatch(path[path.rfind(b"/") + 1 :]) or _PROBE_DIRECTORY.search(path):
                return Undistributable(Reason.CONFIGURE_PROBE, path)
        for arg in self.effects.get(Effect.SIDE, ()):
            if arg.row and arg.row.reason and arg.row.side not in allowed:
                return Undistributable(arg.row.reason, arg.words[0])
        architectures = {arg.value for arg in self.marks.get(Mark.ARCHITECTURE, ())}
        if len(architectures) > 1:
            return Undistributable(Reason.SEVERAL_ARCHITECTURES, b"-arch")
        wanted = self.wanted = self.dependencies()
        if isinstance(wanted, Undistributable):
            return wanted
        if wanted is not None and (self.language().preprocessed or wanted.path in (output, source)):
            return Undistributable(Reason.DEPENDENCY_FORM, wanted.path)
        return None

    def stage(self) -> Stage:
        return Stage.ASSEMBLY if b"-S" in self.words(Effect.STAGE) else Stage.OBJECT

    def language(self) -> Language:
        language = self.inputs[0][1]
        assert isinstance(language, Language), "input_refusal let it pass"
        return language

    def output(self) -> bytes:
        given = self.effects.get(Effect.OUTPUT)
        if given:
            return given[0].value
        return dependencies.stem(self.inputs[0][0]) + (b".s" if self.stage() is Stage.ASSEMBLY else b".o")

    def dependencies(self) -> DepRequest | Undistributable | None:
        return dependencies.request(
            self.effects.get(Effect.DEPEND, ()),
            self.marks.get(Mark.PASSTHROUGH, ()),
            family=self.family,
            source=self.inputs[0][0],
            output=self.output() if Effect.OUTPUT in self.effects else None,
        )

    def invocation(self, env: Mapping[bytes, bytes]) -> Invocation:
        assert not isinstance(self.wanted, Undistributable), "refusal let it pass"
        debug = _debug(self.marks.get(Mark.DEBUG, ()))
        recorded = Mark.COLUMNS in self.marks or Effect.SIDE in self.effects
        return Invocation(
            family=self.family,
            args=tuple(self.args),
            source=self.inputs[0][0],
            language=self.language(),
            stage=self.stage(),
            output=self.output(),
            output_given=Effect.OUTPUT in self.effects,
            depfile=self.wanted,
            debug=debug,
            text_exact=not recorded
            and not debug
            and not (self.family is Family.CLANG and self.language().text in _OBJECTIVE),
            records_options=self.family is Family.GCC and (debug or self.lto()),
            native=self.native(),
            side_outputs=self.side_outputs(debug),
            colour_decided=Mark.COLOUR in self.marks,
            include_args=self.named_values(Mark.SEARCH),
            forced_includes=self.named_values(Mark.FORCED),
            macros=self.macros(),
            env=environment.to_send(env, self.family),
        )

    def named_values(self, mark: Mark) -> tuple[tuple[bytes, bytes], ...]:
        return tuple((arg.row.name, arg.value) for arg in self.marks.get(mark, ()) if arg.row)

    def lto(self) -> bool:
        return any(arg.row is not None and arg.row.name == b"-flto" for arg in self.marks.get(Mark.COLUMNS, ()))

    def native(self) -> tuple[bytes, ...]:
        machine = [arg for arg in self.args if arg.row is not None and arg.row.mark in MACHINE_MARKS]
        if not any(is_native(arg) for arg in machine):
            return ()
        return tuple(word for arg in machine for word in arg.words)

    def macros(self) -> tuple[tuple[Mark, bytes], ...]:
        found: list[tuple[Mark, bytes]] = []
        late: list[tuple[Mark, bytes]] = []
        define, undefine, passed_on = Mark.DEFINE, Mark.UNDEFINE, Mark.PASSTHROUGH
        for arg in self.args:
            mark = arg.row.mark if arg.row is not None else None
            if mark is define or mark is undefine:
                found.append((mark, arg.value))
            elif mark is passed_on:
                late.extend(
                    (define if word[:2] == b"-D" else undefine, word[2:])
                    for word in dependencies.passthrough([arg])
                    if word[:2] in (b"-D", b"-U")
                )
        return tuple(found + late)

    def side_outputs(self, debug: bool) -> tuple[SideOutput, ...]:
        words = set(self.words(Effect.SIDE))
        found: list[SideOutput] = []
        for side, wanted in (
            (Side.DWO, b"-gsplit-dwarf" in words and debug and self.stage() is Stage.OBJECT),
            (Side.GCNO, not words.isdisjoint({b"--coverage", b"-coverage", b"-ftest-coverage"})),
            (Side.SU, b"-fstack-usage" in words),
        ):
            if wanted:
                found.append(SideOutput(side, dependencies.beside(self.output(), b"." + side.value.encode())))
        return tuple(found)


def _plain(output: bytes) -> bool:
    base = output[output.rfind(b"/") + 1 :]
    return not (base[:1] in (b"", b".", b"-") or base[-1:] == b"." or output[:5] == b"/dev/")


_OBJECTIVE = (Language.OBJC_TEXT, Language.OBJCXX_TEXT)
_DEBUG_OFF = re.compile(rb"(?:gdb|stabs\+?|xcoff\+?|vms|codeview)?0+")
# Shapes of debug information that ask for none themselves (others, like Clang's -gdwarf64, do).
_DEBUG_SHAPE = re.compile(
    rb"(?:no-)?(?:column-info|strict-dwarf|record-gcc-switches|as-loc-support|as-locview-support"
    rb"|statement-frontiers|variable-location-views(?:=incompat5)?|inline-points|describe-dies"
    rb"|internal-reset-location-views|(?:gnu-)?pubnames|simple-template-names)|no-split-dwarf|z(?:=.*)?"
)


def _debug(args: Sequence[Arg]) -> bool:
    """Whether there is debug information."""
    debug = False
    for arg in args:
        value = arg.words[0][2:]
        if _DEBUG_OFF.fullmatch(value):
            debug = False
        elif not _DEBUG_SHAPE.fullmatch(value):
            debug = True
    return debug

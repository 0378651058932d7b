"""Asking a compiler what it is: the only part of ``toolchain`` that starts processes.

One compilation of an empty file with ``-v`` tells most (and proves that it works); a few cheap questions tell
the rest.  Measured: gcc 12 about 9 ms for the first and 1 ms for each other, clang 14 some 20 ms each.

What goes into the build id, besides the compiler's own words (``identity``):

* gcc: the built-in specs (``-dumpspecs``, the same for gcc and g++), as a distribution's defaults such as PIE
  and hardening stand only there; the contents of specs files it reads; the first line of its assembler's
  ``--version``.
* clang: what the driver passes to ``-cc1`` for one fixed target, without paths (``-###``): defaults such as
  PIE and frame pointers that its version text does not show; the architectures it knows; the contents of its
  configuration files.  Its assembler is built in.

A *wrapper* is seen through in two ways.  ccache, distcc, icecc, sccache and ourselves are known by the name
of the program a path resolves to; then the next compiler of that name on the PATH is meant.  Anything else
that stands before a compiler (``c99``, hardening scripts) shows itself, because gcc says what it was called
(``COLLECT_GCC``) and clang where it lives; the words it adds are :attr:`Probed.implied` and have to be put
before the job's own, or, if they can't be told, it is a failure.

Rejected: hashing the compiler's binaries.  One clang is 150 MB of shared libraries, and the same compiler
from two distributions never has the same bytes.

Must not know: jobs, workers, who asks.  All functions block: call them in a thread.
"""

from __future__ import annotations

import hashlib
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zdistcc.errors import Reason
from zdistcc.toolchain import families, lookup
from zdistcc.toolchain.identity import (
    CompilerId,
    Family,
    Language,
    Offer,
    SelfDescription,
    build_digest,
    llvm_architecture,
    parse_llvm_targets,
    parse_self_description,
)
from zdistcc.toolchain.lookup import Environment
from zdistcc.toolchain.native import (
    NATIVE_WORDS,
    NativeExpansion,
    by_kind,
    clang_machine,
    clang_words,
    compiler_command,
    gcc_machine_words,
    words_without_paths,
)

PROBE_TIMEOUT_S = 10.0
OUTPUT_LIMIT_BYTES = 1 << 20  # `-dM` prints 13 kB and clang's targets 3 kB; more is not a compiler speaking

# Compile an empty file to nowhere, telling how.
_EMPTY_FILE = (b"-S", b"-o", b"-", b"-x", b"c", b"/dev/null")
# Any target will do, as long as it is the same everywhere: the defaults of a build show in it.
_REFERENCE_TARGET = b"--target=x86_64-unknown-linux-gnu"
# They would change what a compiler prints, or make it write files.
_WITHHELD = frozenset(
    b"LANG LANGUAGE DEPENDENCIES_OUTPUT SUNPRO_DEPENDENCIES GCC_EXEC_PREFIX COMPILER_PATH SOURCE_DATE_EPOCH"
    b" CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH OBJC_INCLUDE_PATH OBJCPLUS_INCLUDE_PATH".split()
)
_WITHHELD_PREFIXES = (b"LC_", b"CC_PRINT_", b"CCC_", b"CC_LOG_")
_GCC_LANGUAGES = (
    (b"cc1plus", Language.CXX),
    (b"cc1obj", Language.OBJC),
    (b"cc1objplus", Language.OBJCXX),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A compiler that works.

    ``path`` is what was asked for, ``driver`` the program to run, usable for each of the offer's languages
    with ``-x LANGUAGE``: the objects are those of the C++ driver, clang's too.  ``through`` names the wrapper
    that was seen through, ``implied`` the words a script puts before the caller's.  What is known stays true
    as long as the ``witnesses`` (files and directories) are as they were.
    """

    path: bytes
    driver: bytes
    offer: Offer
    through: bytes = b""
    implied: tuple[bytes, ...] = ()
    witnesses: tuple[bytes, ...] = ()

    @property
    def id(self) -> CompilerId:
        """The id of the compiler."""
        return self.offer.id


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFailure:
    """Why ``path`` can't be used; ``sentence`` has it as its subject."""

    path: bytes
    reason: Reason
    sentence: str
    witnesses: tuple[bytes, ...] = ()

    def __str__(self) -> str:
        return f"{os.fsdecode(self.path)} {self.sentence}"


class _Failed(Exception):
    """Ends a probe from within; becomes a ProbeFailure at its one caller."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What a child printed, and its exit status (negative: the signal)."""

    status: int
    out: str
    err: str


def probe(path: bytes, env: Environment) -> Probed | ProbeFailure:
    """Which compiler ``path`` (or, without a slash, that name on the PATH) is.  Takes 20 to 100 ms."""
    witnesses: tuple[bytes, ...] = (path,) if b"/" in path else ()
    try:
        driver, through, searched = _see_through(path, env)
        witnesses = tuple(dict.fromkeys((*witnesses, *searched, driver, os.path.realpath(driver))))
        description = _describe(driver, env)
        implied = _implied_words(driver, description, env)
        completed = _COMPLETE[description.family](driver, description, env)
    except _Failed as failed:
        # Whatever would cure it may turn up anywhere on the PATH.
        witnesses = (*witnesses, *lookup.search_path(env))
        return ProbeFailure(path=path, reason=failed.reason, sentence=failed.sentence, witnesses=witnesses)
    return Probed(
        path=path,
        driver=driver,
        through=through,
        implied=implied,
        offer=completed.offer,
        witnesses=tuple(dict.fromkeys((*witnesses, *completed.witnesses))),
    )


# --- finding the driver ---------------------------------------------------------------------------------


def _see_through(path: bytes, env: Environment) -> tuple[bytes, bytes, tuple[bytes, ...]]:
    """(driver, wrapper's name or empty, directories whose contents decided)."""
    name = os.path.basename(path)
    if b"/" in path:
        if not lookup.is_program(path):
            raise _Failed(Reason.COMPILER_MISSING, "is not an executable file")
        real = os.path.realpath(path)
        if not families.is_wrapper(real):
            return os.path.abspath(path), b"", ()
        wrapper = os.path.basename(real)
    else:
        wrapper = b""
    if name in families.WRAPPERS:
        raise _Failed(Reason.COMPILER_MISSING, "is a compiler wrapper, not a compiler")
    found = lookup.find_real(name, env)
    if found is None:
        where = f"is {os.fsdecode(wrapper)}, and no compiler of that name is" if wrapper else "is not"
        raise _Failed(Reason.COMPILER_MISSING, f"{where} on the PATH")
    return found, wrapper, lookup.searched_for(found, env)


# --- asking it ------------------------------------------------------------------------------------------


def _describe(driver: bytes, env: Environment) -> SelfDescription:
    said = _ask(driver, (b"-v", *_EMPTY_FILE), env)
    description = parse_self_description(said.err)
    if description is not None:
        if said.status != 0:
            complaint = said.err.strip().splitlines()[-1][:200]
            raise _Failed(Reason.COMPILER_BROKEN, f"cannot compile an empty file: {complaint}")
        return description
    # Only Sun's knows -V, and says so on stderr with a failure for want of input.
    description = parse_self_description(_ask(driver, (b"-V",), env).err)
    if description is None or description.family is not Family.SUN:
        raise _Failed(Reason.COMPILER_UNIDENTIFIED, "does not say which compiler it is")
    return description


def _implied_words(driver: bytes, description: SelfDescription, env: Environment) -> tuple[bytes, ...]:
    """The words that whatever stands between ``driver`` and the compiler adds in front."""
    match description.family:
        case Family.GCC:
            called_as = os.fsencode(description.called_as)
            if called_as in (driver, b""):
                return ()
            inner = called_as if b"/" in called_as else lookup.find_real(called_as, env)
            if inner is None:
                raise _Failed(Reason.COMPILER_WRAPPED, "is a wrapper of a compiler that is not on the PATH")
            return _added_before(_collected_options(driver, env), _collected_options(inner, env))
        case Family.CLANG if not description.version.endswith("-apple"):
            outer = _compiler_command(driver, (), env)
            if os.path.realpath(os.fsencode(outer[0])) == os.path.realpath(driver):
                return ()
            plain = _compiler_command(os.fsencode(outer[0]), (), env)
            if list(map(_resolved, outer)) != list(map(_resolved, plain)):
                raise _Failed(Reason.COMPILER_WRAPPED, "is a wrapper that gives clang options of its own")
            return ()
        case Family.CLANG:
            return ()  # Apple's are shims that only pick the toolchain
        case _:
            with open(driver, "rb") as file:
                if file.read(2) == b"#!":
                    raise _Failed(
                        Reason.COMPILER_WRAPPED,
                        f"is a script, and {description.family} does not say what it adds",
                    )
            return ()


def _resolved(word: str) -> str:
    """A path the way it is without the detours by which a driver found it."""
    return os.path.realpath(word) if word.startswith("/") else word


def _collected_options(driver: bytes, env: Environment) -> list[str]:
    """gcc's own list of the options it was given, its configured defaults last."""
    said = _ask(driver, (b"-###", b"-E", b"-x", b"c", b"/dev/null"), env)
    for line in said.err.splitlines():
        if line.startswith("COLLECT_GCC_OPTIONS="):
            return shlex.split(line.partition("=")[2])
    raise _Failed(Reason.COMPILER_WRAPPED, "is a wrapper that hides the options it adds")


def _added_before(outer: Sequence[str], inner: Sequence[str]) -> tuple[bytes, ...]:
    """What ``outer`` has before the ``-E`` that both were given; behind it only defaults may be missing."""
    ours, theirs = outer.index("-E"), inner.index("-E")
    if theirs != 0 or Counter(outer[ours:]) - Counter(inner):
        raise _Failed(Reason.COMPILER_WRAPPED, "is a wrapper that appends options to those it is given")
    return tuple(map(os.fsencode, outer[:ours]))


def _compiler_command(driver: bytes, words: Sequence[bytes], env: Environment) -> list[str]:
    """The command of the compiler proper that ``driver`` would run for an empty C file with ``words``."""
    said = _ask(driver, (*words, b"-###", *_EMPTY_FILE), env)
    command = compiler_command(said.err)
    if said.status != 0 or command is None:
        raise _Failed(Reason.COMPILER_BROKEN, "does not show the commands it runs")
    return command


# --- the rest of each family ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Completed:
    offer: Offer
    witnesses: tuple[bytes, ...]


def _complete_gcc(driver: bytes, description: SelfDescription, env: Environment) -> _Completed:
    languages: set[str] = {Language.C}
    programs = [_program(driver, b"cc1", env)]
    for program, language in _GCC_LANGUAGES:
        if (path := _program(driver, program, env)) is not None:
            languages.add(language)
            programs.append(path)
    assembler = _program(driver, b"as", env)
    searched: tuple[bytes, ...] = ()
    if assembler is None:
        assembler = lookup.find_real(b"as", env)
        if assembler is None:
            raise _Failed(Reason.COMPILER_BROKEN, "has no assembler")
        searched = lookup.searched_for(assembler, env)
    languages.add(Language.ASSEMBLER)
    statements = (
        *description.statements,
        _ask(driver, (b"-dumpspecs",), env).out,
        _ask(assembler, (b"--version",), env).out.partition("\n")[0],
    )
    present = [path for path in programs if path is not None]
    return _completed(description, statements, languages, (*present, assembler, *searched))


def _program(driver: bytes, name: bytes, env: Environment) -> bytes | None:
    """Where gcc has a subprogram of its own; None if it would look on the PATH, or finds nothing."""
    path = os.fsencode(_ask(driver, (b"-print-prog-name=" + name,), env).out.strip())
    return os.path.realpath(path) if path.startswith(b"/") and lookup.is_program(path) else None


def _complete_clang(driver: bytes, description: SelfDescription, env: Environment) -> _Completed:
    architectures = parse_llvm_targets(_ask(driver, (b"-print-targets",), env).out)
    own = llvm_architecture(description.target)
    statements = [*description.statements, *sorted(architectures)]
    if "x86-64" in architectures:
        statements += words_without_paths(_compiler_command(driver, (_REFERENCE_TARGET,), env))
    completed = _completed(description, statements, description.languages, ())
    known = architectures | ({own} if own else set())
    return replace(completed, offer=replace(completed.offer, architectures=frozenset(known)))


def _complete_intel(driver: bytes, description: SelfDescription, env: Environment) -> _Completed:
    target = description.target or _ask(driver, (b"-dumpmachine",), env).out.strip()
    if not target:
        raise _Failed(Reason.COMPILER_UNIDENTIFIED, "does not say for which machine it compiles")
    return _completed(replace(description, target=target), (*description.statements, target), description.languages, ())


def _complete_sun(driver: bytes, description: SelfDescription, env: Environment) -> _Completed:
    return _completed(description, description.statements, description.languages, ())


def _completed(
    description: SelfDescription,
    statements: Sequence[str],
    languages: frozenset[str] | set[str],
    seen: Sequence[bytes],
) -> _Completed:
    consulted = tuple(map(os.fsencode, description.consulted))
    contents = [_content_digest(path) for path in consulted]
    compiler = CompilerId(
        family=description.family,
        version=description.version,
        target=description.target,
        build_id=build_digest((*statements, *contents)),
    )
    return _Completed(offer=Offer(id=compiler, languages=frozenset(languages)), witnesses=(*seen, *consulted))


def _content_digest(path: bytes) -> str:
    try:
        return hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
    except OSError:
        return ""


_COMPLETE = {
    Family.GCC: _complete_gcc,
    Family.CLANG: _complete_clang,
    Family.INTEL: _complete_intel,
    Family.SUN: _complete_sun,
}


# --- questions about one compiler ---------------------------------------------------------------------------


def native_expansion(compiler: Probed, words: Sequence[bytes], env: Environment) -> NativeExpansion | ProbeFailure:
    """What to write instead of ``words``: *all* of a job's words that begin with ``-m``, and its target.

    Each answer has been proved by asking the driver again.  See ``native`` for what it can't give.
    """
    try:
        command = _compiler_command(compiler.driver, words, env)
        match compiler.id.family:
            case Family.GCC:
                return _expand_gcc(compiler.driver, gcc_machine_words(command), env)
            case Family.CLANG:
                machine = clang_machine(command)
                x86 = llvm_architecture(command[command.index("-triple") + 1]) in ("x86", "x86-64")
                expanded = clang_words(words, machine, x86=x86)
                if clang_machine(_compiler_command(compiler.driver, expanded, env)) != machine:
                    raise _Failed(Reason.NATIVE_UNKNOWN, "has no options for all features of this processor")
                return NativeExpansion(words=expanded, recorded_alike=True)
            case family:
                raise _Failed(Reason.NATIVE_UNKNOWN, f"is {family}, whose driver does not tell")
    except _Failed as failed:
        return ProbeFailure(path=compiler.path, reason=Reason.NATIVE_UNKNOWN, sentence=failed.sentence)


def _expand_gcc(driver: bytes, machine: Sequence[str], env: Environment) -> NativeExpansion:
    expanded = tuple(map(os.fsencode, machine))
    if not NATIVE_WORDS.isdisjoint(expanded):
        raise _Failed(Reason.NATIVE_UNKNOWN, "does not recognise this processor")
    again = gcc_machine_words(_compiler_command(driver, expanded, env))
    if by_kind(again) != by_kind(machine):
        raise _Failed(Reason.NATIVE_UNKNOWN, "does not take its own words for this processor")
    return NativeExpansion(words=expanded, recorded_alike=again == tuple(machine))


def predefined_macros(driver: bytes, words: Sequence[bytes], language: str, env: Environment) -> str | ProbeFailure:
    """A digest of all macros defined before the first line of a file of that language (64 hex digits).

    Includes what ``stdc-predef.h`` defines, so it differs where the C library does.
    """
    try:
        said = _ask(driver, (*words, b"-dM", b"-E", b"-x", language.encode(), b"/dev/null"), env)
    except _Failed as failed:
        return ProbeFailure(path=driver, reason=failed.reason, sentence=failed.sentence)
    if said.status != 0:
        return ProbeFailure(path=driver, reason=Reason.COMPILER_BROKEN, sentence=f"cannot preprocess {language}")
    return hashlib.sha256("\n".join(sorted(said.out.splitlines())).encode()).hexdigest()


# --- running it ---------------------------------------------------------------------------------------------


def child_environment(env: Environment) -> dict[bytes, bytes]:
    """The caller's environment, in the C locale, with what would distort the answer withheld."""
    kept = {k: v for k, v in env.items() if k not in _WITHHELD and not k.startswith(_WITHHELD_PREFIXES)}
    # Whatever script calls one of us again gets the plain compiler and no cache in between.
    return kept | {
        b"LC_ALL": b"C",
        b"_ZDISTCC_SAFEGUARD": b"1",
        b"_DISTCC_SAFEGUARD": b"1",
        b"CCACHE_DISABLE": b"1",
    }


def _ask(driver: bytes, words: Sequence[bytes], env: Environment) -> _Said:
    """Runs it without a shell, in its own process group; both bounds end in killing the group."""
    try:
        child = subprocess.Popen(
            [driver, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=child_environment(env),
            start_new_session=True,
        )
    except OSError as error:
        raise _Failed(Reason.COMPILER_MISSING, f"cannot be run: {error.strerror}") from error
    with child:
        try:
            out, err = _collect(child, time.monotonic() + PROBE_TIMEOUT_S)
        except BaseException:
            _kill_group(child)
            raise
    return _Said(status=child.returncode, out=out, err=err)


def _collect(child: subprocess.Popen[bytes], deadline: float) -> tuple[str, str]:
    assert child.stdout is not None and child.stderr is not None
    chunks: dict[int, list[bytes]] = {child.stdout.fileno(): [], child.stderr.fileno(): []}
    room = OUTPUT_LIMIT_BYTES
    with selectors.DefaultSelector() as selector:
        for descriptor in chunks:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise _Failed(Reason.COMPILER_BROKEN, f"did not answer within {PROBE_TIMEOUT_S:.0f} seconds")
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fd)
                chunks[key.fd].append(data)
                room -= len(data)
            if room < 0:
                raise _Failed(Reason.COMPILER_BROKEN, "prints without end")
    try:
        child.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as late:
        raise _Failed(Reason.COMPILER_BROKEN, f"did not end within {PROBE_TIMEOUT_S:.0f} seconds") from late
    out, err = (b"".join(parts).decode("utf-8", "surrogateescape") for parts in chunks.values())
    return out, err


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        child.kill()

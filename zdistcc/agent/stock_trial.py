"""The trial of a stock host: one small source, preprocessed here, compiled there and here, has to give the same bytes.

A stock daemon does not say which compilers it has (at most, which major version its default one is of), so it is asked
to show what it makes, once for each compiler and language that is wanted.  Tried are the names under which distcc's
programs know a compiler, until one of them passes: the triple's, the plain one, those with a version.

Without debug information its object has to be that of a local compile from the source; with it (GCC) that of a local
compile of the same text, which tells full versions apart.

Must not know: hosts, when to try, how jobs are scheduled.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zdistcc import children
from zdistcc.agent.canary import TRIALS
from zdistcc.agent.stock import StockRemote, mark_of
from zdistcc.errors import InfraError
from zdistcc.net.distcc import NoAnswer
from zdistcc.toolchain.identity import CompilerId, Family, major_version
from zdistcc.wire import messages

PATIENCE_S: Final = 10.0
_SUFFIX: Final = {"c": b".i", "c++": b".ii"}
_TEXT: Final = {"c": b"cpp-output", "c++": b"c++-cpp-output"}
_STEMS: Final = {
    Family.GCC: {"c": "gcc", "c++": "g++"},
    Family.CLANG: {"c": "clang", "c++": "clang++"},
}
LANGUAGES: Final = frozenset(_SUFFIX)
FAMILIES: Final = frozenset(_STEMS)
_CODE: Final = (b"-O2",)
_DEBUG: Final = (b"-O2", b"-g")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A compiler of this machine and a language that it reads."""

    driver: bytes
    compiler: CompilerId
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """How a host calls the wanted compiler, and the mark that it leaves in objects."""

    words: tuple[bytes, ...]
    mark: bytes


class Failed(InfraError):
    """The host answers, and its compilers are not the wanted one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reference:
    """What is sent, and what has to come back."""

    flags: tuple[bytes, ...]
    text: bytes
    made: bytes


def names(wanted: Wanted) -> Iterator[tuple[bytes, ...]]:
    """Yield the words by which a daemon may know the compiler, the likeliest first."""
    compiler = wanted.compiler
    stem = _STEMS[compiler.family][wanted.language]
    major = major_version(compiler.family, compiler.version)
    if compiler.family is Family.CLANG:
        for name in (stem, f"{stem}-{major}"):
            yield name.encode(), f"--target={compiler.target}".encode()
        return
    for name in (f"{compiler.target}-{stem}", stem, f"{compiler.target}-{stem}-{major}", f"{stem}-{major}"):
        yield (name.encode(),)


def suffix_of(language: str) -> bytes:
    """Return the ending by which a compiler takes a file for preprocessed text of ``language``."""
    return _SUFFIX[language]


def _content(path: Path) -> bytes:
    """A small file, read without a thread."""
    return path.read_bytes()


class StockTrials:
    """What is compiled here for comparison, once for each compiler and language."""

    def __init__(self, directory: Path, env: Mapping[bytes, bytes]) -> None:
        self._directory = directory
        self._env = {key: value for key, value in env.items() if key in (b"PATH", b"HOME")}
        self._references: dict[Wanted, asyncio.Task[tuple[_Reference, ...]]] = {}

    async def close(self) -> None:
        """Compile nothing more."""
        tasks = list(self._references.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def attempt(self, remote: StockRemote, wanted: Wanted) -> Passed:
        """Return how ``remote`` is to be asked for the wanted compiler.

        Raises :class:`Failed` (it has another one), ``NoAnswer`` (it refuses all names), or what broke the connection.
        """
        task = self._references.get(wanted)
        if task is None:
            task = self._references[wanted] = asyncio.ensure_future(self._compile_here(wanted))
        references = await asyncio.shield(task)
        if not references:
            raise Failed("the trial could not be compiled here")
        trouble: InfraError | None = None
        for words in names(wanted):
            try:
                await self._compare(remote, wanted, words, references)
            except (Failed, NoAnswer) as error:
                if trouble is None or isinstance(error, Failed):
                    trouble = error
                continue
            return Passed(words=words, mark=mark_of(references[0].made))
        assert trouble is not None, "every family has names"
        raise trouble

    async def _compare(
        self, remote: StockRemote, wanted: Wanted, words: tuple[bytes, ...], references: tuple[_Reference, ...]
    ) -> None:
        for reference in references:
            suffix = _SUFFIX[wanted.language]
            reply = await remote.compile((*words, *reference.flags), reference.text, suffix, patience_s=PATIENCE_S)
            name = words[0].decode()
            if reply.status:
                said = reply.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
                raise Failed(messages.sentence(f"its {name} fails on a trial: {said or f'status {reply.status}'}"))
            if reply.object != reference.made:
                there, here = mark_of(reply.object), mark_of(reference.made)
                theirs = f" ({messages.sentence(there.decode('ascii', 'replace'))})" if there not in (b"", here) else ""
                raise Failed(f"its {name}{theirs} makes another object of a trial than {wanted.compiler} here")

    async def _compile_here(self, wanted: Wanted) -> tuple[_Reference, ...]:
        """Return what to send and to expect; nothing when this machine cannot make it."""
        name, source = TRIALS[wanted.language]
        source_language = wanted.language.encode()
        unique = f"stock-{os.getpid()}-{wanted.compiler.build_id[:8]}"
        output, text_file = (
            self._directory / f"{unique}{suffix}" for suffix in (".o", os.fsdecode(_SUFFIX[wanted.language]))
        )
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            (self._directory / os.fsdecode(name)).write_bytes(source)
            try:
                made = await self._make(wanted, output, *_CODE, b"-x", source_language, b"-c", name)
                references = [_Reference(flags=_CODE, text=await self._text(wanted, _CODE, name), made=made)]
                if wanted.compiler.family is Family.GCC:
                    text = await self._text(wanted, _DEBUG, name)
                    text_file.write_bytes(text)
                    made = await self._make(
                        wanted, output, *_DEBUG, b"-x", _TEXT[wanted.language], b"-c", os.fsencode(text_file)
                    )
                    references.append(_Reference(flags=_DEBUG, text=text, made=made))
            finally:
                output.unlink(missing_ok=True)
                text_file.unlink(missing_ok=True)
        except (OSError, InfraError):
            return ()
        return tuple(references)

    async def _make(self, wanted: Wanted, output: Path, *words: bytes) -> bytes:
        await self._run(wanted, *words, b"-o", os.fsencode(output))
        return _content(output)

    async def _text(self, wanted: Wanted, flags: tuple[bytes, ...], name: bytes) -> bytes:
        return await self._run(wanted, *flags, b"-x", wanted.language.encode(), b"-E", name)

    async def _run(self, wanted: Wanted, *words: bytes) -> bytes:
        ended = await children.run([wanted.driver, *words], env=self._env, cwd=os.fsencode(self._directory))
        if not ended.ok:
            raise Failed("the trial could not be compiled here")
        return ended.stdout

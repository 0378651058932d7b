"""The dependency file a compile writes: where, and with which targets.

GCC and Clang agree where the driver's own options ask for it: the file is ``-MF`` or the output
with ``.d``, the target is what ``-MT``/``-MQ`` say or the output (quoted for make) or, without
``-o``, the source's base name with ``.o`` (even for ``-S``).  They differ in the kernel's form,
``-Wp,-MD,FILE``: Clang's driver takes it for ``-MD -MF FILE``, GCC's hands it on unread, so that the
target is not the output but the source's base name with ``.o``.

Must not know: the disk, how commands are rebuilt.

Rejected: accepting the two ways in one command.  Which target then wins differs between releases;
no build system does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zdistcc.errors import Reason
from zdistcc.toolchain.identity import Family
from zdistcc.toolchain.options import Arg, Undistributable


@dataclass(frozen=True, slots=True)
class Target:
    """A target of the rule; ``quoted`` if the compiler escapes it for make."""

    name: bytes
    quoted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DepRequest:
    """The dependency file that is asked for.

    ``path_implied`` and ``targets_implied`` tell that the driver derives them from ``-o``, so a
    command without that ``-o`` has to say them.
    """

    path: bytes
    targets: tuple[Target, ...]
    system_headers: bool
    phony: bool
    path_implied: bool
    targets_implied: bool


def stem(path: bytes) -> bytes:
    """The base name without its last suffix."""
    base = path[path.rfind(b"/") + 1 :]
    dot = base.rfind(b".")
    return base[:dot] if dot > 0 else base


def beside(path: bytes, suffix: bytes) -> bytes:
    """The path with its last suffix replaced."""
    return path[: path.rfind(b"/") + 1] + stem(path) + suffix


def passthrough(args: Sequence[Arg]) -> list[bytes]:
    """The words inside all ``-Wp,…`` and ``-Xpreprocessor``, in order."""
    found: list[bytes] = []
    for arg in args:
        found.extend(arg.value.split(b",") if arg.words[0][:4] == b"-Wp," else (arg.value,))
    return found


def request(
    depend: Sequence[Arg], passed: Sequence[Arg], *, family: Family, source: bytes, output: bytes | None
) -> DepRequest | Undistributable | None:
    """What the options in ``depend`` and ``passed`` (``-Wp,`` and the like) ask for."""
    inner = [word for word in passthrough(passed) if word[:2] not in (b"-D", b"-U")]
    if inner and (inner[0][:2] == b"-M" or depend):
        if depend:
            return Undistributable(Reason.DEPENDENCY_FORM, passed[0].words[0])
        return _passed_on(passed, family, source, output)
    if not depend:
        return None
    wanted = [arg.words[0] for arg in depend if arg.words[0] in (b"-MD", b"-MMD")]
    files = [arg.value for arg in depend if arg.row and arg.row.name == b"-MF"]
    if not wanted:
        return Undistributable(Reason.DEPENDENCY_FORM, depend[0].words[0])
    targets = tuple(
        Target(arg.value, arg.row.name == b"-MQ") for arg in depend if arg.row and arg.row.name in (b"-MT", b"-MQ")
    )
    # GCC's driver passes -MMD after -MD whatever their order; Clang's heeds the last
    user_only = b"-MMD" in wanted if family is Family.GCC else wanted[-1] == b"-MMD"
    return _checked(
        DepRequest(
            path=files[-1] if files else beside(output, b".d") if output else stem(source) + b".d",
            targets=targets or (Target(output or stem(source) + b".o", True),),
            system_headers=not user_only,
            phony=any(arg.words[0] == b"-MP" for arg in depend),
            path_implied=not files,
            targets_implied=not targets,
        )
    )


def _passed_on(
    passed: Sequence[Arg], family: Family, source: bytes, output: bytes | None
) -> DepRequest | Undistributable:
    path: bytes | None = None
    user_only = phony = False
    targets: list[Target] = []
    for arg in passed:
        words = passthrough([arg])
        position = 0
        if family is Family.CLANG and any(word[:2] == b"-M" for word in words):
            known = len(words) == 2 and words[0] in (b"-MD", b"-MMD") and path is None
            if not known:
                return Undistributable(Reason.DEPENDENCY_FORM, arg.words[0])
        while position < len(words):
            word = words[position]
            position += 1
            if word == b"-MP":
                phony = True
            elif word[:2] == b"-M":
                value = words[position]
                position += 1
                if word in (b"-MT", b"-MQ"):
                    targets.append(Target(value, word == b"-MQ"))
                elif word == b"-MF" or path is not None:
                    return Undistributable(Reason.DEPENDENCY_FORM, arg.words[0])
                else:
                    path, user_only = value, word == b"-MMD"
    if path is None:
        return Undistributable(Reason.DEPENDENCY_FORM, passed[0].words[0])
    if len({target.quoted for target in targets}) > 1:
        # their order would be lost if a driver were told of them
        return Undistributable(Reason.DEPENDENCY_FORM, passed[0].words[0])
    derived = output if output and family is Family.CLANG else stem(source) + b".o"
    return _checked(
        DepRequest(
            path=path,
            targets=tuple(targets) or (Target(derived, True),),
            system_headers=not user_only,
            phony=phony,
            path_implied=False,
            targets_implied=family is Family.CLANG,
        )
    )


def _checked(wanted: DepRequest) -> DepRequest | Undistributable:
    if wanted.path in (b"", b"-") or wanted.path[:5] == b"/dev/":
        return Undistributable(Reason.DEPENDENCY_FORM, wanted.path)
    return wanted

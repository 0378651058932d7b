"""What ``-march=native`` and its like stand for, read from what a driver says it would run.

``COMPILER WORD -### -E -x c /dev/null`` prints the command of the compiler proper.  GCC passes the
machine as ``-m…`` and ``--param`` words that its driver takes as well.  Clang passes ``-target-cpu``
and one ``-target-feature`` for each; on x86 they have the names of ``-m`` options, which its driver
puts before the user's own as it does for ``native``.

Must not know: processes (the text comes in), the machine.

Rejected: ``-Xclang -target-feature`` (exact as well, but it would come after the user's ``-mno-…``);
sending ``-march=CPU`` alone: a CPU that the compiler does not know by name is "x86-64" with a list
of features, and a virtual machine hides features of a CPU that it does.
"""

from __future__ import annotations

import itertools
import re

from zdistcc.toolchain.identity import Family

_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"|((?:[^\s"\\]|\\.)+)')
_TUNING = (b"-mtune=", b"--param")
# x86-64 has them by definition, and no option
_IMPLIED_FEATURES = frozenset({b"+64bit", b"+cmov", b"+cx8"})
_FEATURE = re.compile(rb"[+-][a-z0-9][a-z0-9._-]*")


def expand_native(text: bytes, *, family: Family, word: bytes) -> tuple[bytes, ...] | None:
    """The words that ``word`` (``-march=native``…) stands for; None if the text does not tell."""
    command = next((words for line in text.splitlines() if _is_compiler(words := _words(line))), None)
    if command is None:
        return None
    if family is Family.CLANG:
        return _of_clang(command, word)
    return _of_gcc(command, word) if family is Family.GCC else None


def _words(line: bytes) -> list[bytes]:
    return [re.sub(rb"\\(.)", rb"\1", quoted or bare) for quoted, bare in _WORD.findall(line)]


def _is_compiler(words: list[bytes]) -> bool:
    return len(words) > 1 and (words[0].rsplit(b"/", 1)[-1] == b"cc1" or words[1] == b"-cc1")


def _of_gcc(command: list[bytes], word: bytes) -> tuple[bytes, ...] | None:
    found: list[bytes] = []
    position = 0
    while position < len(command):
        each = command[position]
        position += 1
        if each == b"--param" and position < len(command):
            found.append(b"--param=" + command[position])
            position += 1
        elif each.startswith(b"--param=") or (each[:2] == b"-m" and len(each) > 2):
            found.append(each)
    name = word[: word.index(b"=") + 1]
    kept: dict[bytes, bytes] = {}
    for each in found:
        if word == b"-mtune=native" and not each.startswith(_TUNING):
            continue
        # what comes later is the driver's default for what the user did not say
        kept.setdefault(each.partition(b"=")[0] if each[:2] == b"-m" else each, each)
    words = tuple(kept.values())
    if not any(each.startswith(name) and each != word for each in words):
        return None
    return words


def _of_clang(command: list[bytes], word: bytes) -> tuple[bytes, ...] | None:
    pairs = list(itertools.pairwise(command))
    cpu = [value for name, value in pairs if name == b"-target-cpu"]
    tune = [value for name, value in pairs if name == b"-tune-cpu"]
    triple = [value for name, value in pairs if name == b"-triple"]
    if word == b"-mtune=native":
        return (b"-mtune=" + tune[-1],) if tune else None
    if word != b"-march=native" or not cpu or not triple or not triple[-1].startswith(b"x86_64"):
        return None
    words = [b"-march=" + cpu[-1]]
    for name, feature in pairs:
        if name != b"-target-feature" or feature in _IMPLIED_FEATURES:
            continue
        if not _FEATURE.fullmatch(feature):
            return None
        words.append((b"-m" if feature[:1] == b"+" else b"-mno-") + feature[1:])
    return tuple(words)

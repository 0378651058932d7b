"""The build hook: compiles launcher.c into the wheel's script ``zdistcc``, or puts fallback.py there.

Hatchling loads this file by its path (``[tool.hatch.build.targets.wheel.hooks.custom]``), for standard and
editable wheels alike, so it imports nothing of the package.  A compiler is ``$CC`` if that is set, else the
first of ``cc``, ``gcc`` and ``clang`` that produces a program which runs; CFLAGS and LDFLAGS are honoured.
Without one the wheel is pure Python and the build says so, but doesn't fail: a machine without a compiler
can still be useful, for instance with one that comes later.  Rejected: an extension module as the carrier
(it would tie the wheel to one Python), compiling at the first call (surprising, and needs a writable
place).
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

_COMPILERS = ("cc", "gcc", "clang")
# From the best to what any compiler since C11 should take.  Without the dynamic linker a call is a quarter
# faster (0.65 ms for 0.86), and LD_PRELOAD libraries (fakeroot) can't lie to us about who owns the socket.
_FLAGS: tuple[tuple[str, ...], ...] = (("-std=gnu11", "-O2", "-static"), ("-std=gnu11", "-O2"), ())
_COMPILE_TIMEOUT_S = 120

# sh and Python both: for Python the shell's lines are one string.  The interpreter is the one beside the
# script, found without a process of its own unless we were called through a symlink.
_POLYGLOT = """\
#!/bin/sh
''':'
here=$0
[ -h "$here" ] && here=$(PATH=$PATH:/usr/bin:/bin readlink -f "$here")
python=${here%/*}/python3
[ -x "$python" ] || python=python3
exec "$python" -I -S "$0" "$@"
'''
"""


def read_version(root: Path) -> str:
    """The version, from the text of the package: importing it could import another installed one."""
    text = (root / "zdistcc" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise ValueError("zdistcc/__init__.py has no __version__")
    return found[1]


def compile_launcher(source: Path, program: Path, version: str) -> str | None:
    """Compile ``source`` to ``program``; ``None`` on success, else what went wrong."""
    chosen = os.environ.get("CC")
    compilers = [shlex.split(chosen)] if chosen else [[name] for name in _COMPILERS]
    extra = shlex.split(os.environ.get("CFLAGS", ""))
    last = shlex.split(os.environ.get("LDFLAGS", ""))
    define = f'-DZDISTCC_VERSION="{version}"'
    problem = "no C compiler was found"
    for compiler in compilers:
        for flags in _FLAGS:
            command = [*compiler, *flags, *extra, define, "-o", str(program), str(source), *last]
            failure = _run(command) or _run([str(program), "--zdistcc-launcher"], f"native {version}\n")
            if failure is None:
                return None
            problem = failure
    return problem


def _run(command: list[str], expected: str | None = None) -> str | None:
    """What went wrong when running ``command``, or ``None``."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=_COMPILE_TIMEOUT_S,
            check=False,
            env={**os.environ, "ZDISTCC_DISABLE": "1"},  # CC may be an older zdistcc
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[:3]
        return f"{shlex.join(command)} exited with {done.returncode}: {' / '.join(said)}"
    if expected is not None and done.stdout.decode(errors="replace") != expected:
        return f"{command[0]} does not work"
    return None


def write_python_launcher(fallback: Path, program: Path, version: str) -> None:
    """Put the text of fallback.py, made a program, at ``program``."""
    text = fallback.read_text(encoding="utf-8")
    versioned = re.sub(r'^VERSION = ".*?".*$', f'VERSION = "{version}"', text, count=1, flags=re.MULTILINE)
    program.write_text(_POLYGLOT + versioned, encoding="utf-8")


def platform_tag() -> str:
    """This machine's tag: plain ``linux_*``, because what we link against is not manylinux's business."""
    tags = list(platform_tags())
    return next((tag for tag in reversed(tags) if tag.startswith("linux_")), tags[0])


class LauncherBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the launcher and the manual pages to a wheel."""

    _directory: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a wheel is packed; ``version`` is ``standard`` or ``editable``."""
        root = Path(self.root)
        self._directory = tempfile.TemporaryDirectory(prefix="zdistcc-build-")
        program = Path(self._directory.name) / "zdistcc"
        release = read_version(root)
        problem = compile_launcher(root / "zdistcc/launcher/launcher.c", program, release)
        if problem is None:
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform_tag()}"
        else:
            self.app.display_warning(f"the launcher could not be compiled ({problem}): the slower one is used")
            write_python_launcher(root / "zdistcc/launcher/fallback.py", program, release)
        program.chmod(0o755)
        build_data["shared_scripts"][str(program)] = "zdistcc"
        for page in sorted(root.glob("man/*.[1-9]")):
            build_data["shared_data"][str(page)] = f"share/man/man{page.suffix[1:]}/{page.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called when the wheel is there."""
        if self._directory is not None:
            self._directory.cleanup()

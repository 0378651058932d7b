"""Which launcher this installation has, for ``zdistcc --version``: the compiled one or the Python one.

Asks the program itself, which answers ``native VERSION`` or ``python VERSION``: what is installed counts,
not what the build meant to install.  Must not be imported on the hot path (it starts a process).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig

_ANSWER_TIMEOUT_S = 10


def launcher_path() -> str | None:
    """The ``zdistcc`` that belongs to this Python: beside the running script, or where scripts go."""
    for directory in (os.path.dirname(os.path.abspath(sys.argv[0])), sysconfig.get_path("scripts")):
        candidate = os.path.join(directory, "zdistcc")
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return shutil.which("zdistcc")


def launcher_kind(path: str | None = None) -> str:
    """``native``, ``python``, or ``missing`` if there is none or it doesn't answer."""
    program = path or launcher_path()
    if program is None:
        return "missing"
    try:
        answer = subprocess.run(
            [program, "--zdistcc-launcher"], stdout=subprocess.PIPE, timeout=_ANSWER_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "missing"
    kind = answer.stdout.decode("ascii", "replace").partition(" ")[0].strip()
    return kind if kind in ("native", "python") else "missing"

"""Small stand-ins for compilers this machine has not: programs that print what they are given."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

# A binary, because probes rightly distrust scripts in front of Intel's and Sun's compilers.
_SPEAKER = r"""
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
    char path[4096];
    int c;
    snprintf(path, sizeof path, "%s.said/%s", argv[0], argc > 1 ? argv[1] : "");
    FILE *said = fopen(path, "r");
    if (!said)
        return 1;
    FILE *to = argc > 1 && !strcmp(argv[1], "-dumpmachine") ? stdout : stderr;
    while ((c = getc(said)) != EOF)
        putc(c, to);
    return 0;
}
"""


def speaker(path: Path, said: Mapping[str, str]) -> bytes:
    """A program that answers its first argument with the text listed for it."""
    subprocess.run(["cc", "-x", "c", "-o", path, "-"], input=_SPEAKER.encode(), check=True)
    answers = path.with_name(path.name + ".said")
    answers.mkdir()
    for argument, text in said.items():
        (answers / argument).write_text(text)
    return os.fsencode(path)


def script(path: Path, body: str) -> bytes:
    """An executable shell script."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return os.fsencode(path)


def environment(*directories: Path | str, **more: str) -> dict[bytes, bytes]:
    """This process' environment with another PATH, and what is named."""
    path = ":".join(str(directory) for directory in directories) or "/usr/bin:/bin"
    return {
        **os.environb,
        b"PATH": path.encode(),
        **{os.fsencode(k): os.fsencode(v) for k, v in more.items()},
    }

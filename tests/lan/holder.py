"""The first process of a virtual host: prepares its namespaces, then keeps them alive.

Started by ``unshare`` with a bare interpreter.  Reads one JSON line (`{"hostname": str | null,
"mounts": [[kind, source, target], ...]}`), answers one line with its process id as seen from outside,
then waits for the end of its standard input and leaves.  Because it is process 1 of its process
namespace, its end is the end of every process of the host, daemons included, however the test ended.

Must not know: networks, tests.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
from types import FrameType

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC = 2, 4, 8, 4096, 16384
FLAGS = {"bind": MS_BIND | MS_REC, "proc": MS_NOSUID | MS_NODEV | MS_NOEXEC, "tmpfs": MS_NOSUID | MS_NODEV}


def mount(kind: str, source: str, target: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    named = None if kind == "bind" else kind.encode()
    if libc.mount(source.encode(), target.encode(), named, ctypes.c_ulong(FLAGS[kind]), None) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"mount {kind} {source}: {os.strerror(code)}", target)


def reap(_signal: int, _frame: FrameType | None) -> None:
    """Wait for every ended orphan, as process 1 must; their CPU time is then counted as ours."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass


def main() -> None:
    spec = json.loads(sys.stdin.readline())
    outer_pid = os.readlink("/proc/self")
    for kind, source, target in spec["mounts"]:
        mount(kind, source, target)
    if spec["hostname"] is not None:
        socket.sethostname(spec["hostname"])
    signal.signal(signal.SIGCHLD, reap)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(outer_pid, flush=True)
    while os.read(0, 4096):
        pass


if __name__ == "__main__":
    main()

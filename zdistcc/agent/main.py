"""Composition root of the agent.

Started by a launcher with the path of its socket: it listens before it imports anything heavy, so that the first
compile of a session waits for as little as possible.  It leaves after ``idle_exit`` seconds without anybody
connected, on SIGTERM, or when asked (``zdistcc stop``).
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys


def listen(path: str) -> socket.socket:
    """Return the listening socket at ``path``, in place of whatever was left there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(1024)
    return listener


def main() -> None:
    """Entry point of ``zdistcc-agent --socket PATH [--ready-fd N]``."""
    words = sys.argv[1:]
    options = dict(zip(words[::2], words[1::2], strict=False))
    path = options.get("--socket")
    if path is None:
        sys.exit("zdistcc-agent is started by zdistcc; there is nothing to run by hand")
    os.umask(0o077)
    listener = listen(path)
    if "--ready-fd" in options:
        os.close(int(options["--ready-fd"]))
    from zdistcc.agent.agent import run

    run(listener, path)


if __name__ == "__main__":
    main()

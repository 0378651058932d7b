"""``zdistccd --stdio``: one client on standard input and output, as ssh brings it.

The client is led to the worker of this machine, so that all clients, of the network and through ssh, share its slots::

    1. the private door of the user's worker (``worker.postern``)
    2. the port on which a zdistccd of this machine listens, if the system or this user runs it
    3. a worker that is begun here, without a port and without mDNS: the next ``--stdio`` finds it by 1.  It stays a
       while when its last client has gone, because a tunnel that broke is soon built again.

Before anything else, one line tells the client that this is a zdistccd (``net.ssh``).  What comes from it is kept until
the worker's first answer: a worker that is leaving, or a stranger on the port, costs another attempt and no more.

Must not know: the protocol, but for its first four bytes.  Rejected: to serve in this process (the worker would end
with the first client's tunnel, and the others' jobs with it); to trust any program on the port (on a machine
with many users, each could be it).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from zdistcc import paths
from zdistcc.config import Config
from zdistcc.errors import UserError
from zdistcc.net.ssh import MARK, Found
from zdistcc.wire import frames
from zdistcc.worker import postern

PIECE_BYTES: Final = 256 << 10
MAX_OPENING_BYTES: Final = 1 << 20
"""What a client says before it has heard a word."""
ATTEMPTS: Final = 4
OWN_PATIENCE_S: Final = 60.0
"""A worker that begins asks each compiler what it is before it answers."""
PORT_PATIENCE_S: Final = 5.0
BEGIN_S: Final = 20.0
LOOK_S: Final = 0.05
MAX_LOG_BYTES: Final = 1 << 20
_TRUSTED: Final = (range(1000), range(61184, 65520))
"""User ids of the system and its services, and those that systemd gives to services for the time they run."""
_LISTENS: Final = "0A"


class Gone(Exception):
    """The client has gone."""


def serve(config: Config, env: Mapping[str, str]) -> None:
    """Serve the client on standard input and output to its end; :class:`UserError` when there is no worker."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.write(1, MARK + Found.NATIVE.value.encode() + b"\n")
    if not postern.is_private(paths.runtime_dir(env)):
        raise UserError(f"{paths.runtime_dir(env)} is open to others: it must belong to you alone (chmod 700)")
    opening = bytearray()
    with contextlib.suppress(Gone):
        for _ in range(ATTEMPTS):
            for find, patience_s in ((_own, OWN_PATIENCE_S), (_port, PORT_PATIENCE_S), (_begin, OWN_PATIENCE_S)):
                worker = find(config, env)
                if worker is None:
                    continue
                answer = _introduce(opening, worker, patience_s)
                if answer:
                    _pump(worker, answer)
                    return
                worker.close()
        raise UserError(f"no worker could be begun on this machine: {_last_words(env)}; start zdistccd there and see")


def _own(config: Config, env: Mapping[str, str]) -> socket.socket | None:
    return _connect_door(env)


def _connect_door(env: Mapping[str, str]) -> socket.socket | None:
    worker = socket.socket(socket.AF_UNIX)
    try:
        worker.connect(os.fspath(paths.stdio_path(env, "sock")))
    except OSError:
        worker.close()
        return None
    return worker


def _port(config: Config, env: Mapping[str, str]) -> socket.socket | None:
    if config.port not in listening_ports((os.getuid(),)):
        return None
    for host in ("127.0.0.1", "::1"):
        with contextlib.suppress(OSError):
            return socket.create_connection((host, config.port), PORT_PATIENCE_S)
    return None


def listening_ports(users: tuple[int, ...], proc: Path = Path("/proc/net")) -> set[int]:
    """Return the TCP ports on which the system, or one of ``users``, listens; none where the system does not tell."""
    ports: set[int] = set()
    strange: set[int] = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (proc / name).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTENS:
                    user = int(words[7])
                    trusted = user in users or any(user in numbers for numbers in _TRUSTED)
                    (ports if trusted else strange).add(int(words[1].rpartition(":")[2], 16))
    return ports - strange


def _begin(config: Config, env: Mapping[str, str]) -> socket.socket | None:
    """Begin a worker in the background, unless another --stdio is about to; return a connection to it."""
    end = time.monotonic() + BEGIN_S
    while (handle := postern.lock(env)) is None:
        worker = _connect_door(env)  # somebody was faster
        if worker is not None:
            return worker
        if time.monotonic() > end:
            return None
        time.sleep(LOOK_S)
    own = postern.open_door(env, handle)
    if os.fork() == 0:
        _become_worker(config, env, own)
    own.listener.close()
    os.close(own.lock)  # the worker has it
    return _connect_door(env)


def _become_worker(config: Config, env: Mapping[str, str], own: postern.Door) -> None:
    """Run the worker; never returns."""
    status = 1
    try:
        os.setsid()
        os.chdir("/")
        log = os.open(paths.stdio_path(env, "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        if os.fstat(log).st_size > MAX_LOG_BYTES:
            os.ftruncate(log, 0)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number, handle in enumerate((nothing, nothing, log)):
            os.dup2(handle, number)
        os.closerange(3, min(own.listener.fileno(), own.lock))
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        os.pwrite(own.lock, b"%d\n" % os.getpid(), 0)
        from zdistcc.worker.main import run

        run(config, env, own=own)
        status = 0
    except UserError as error:
        print(f"zdistccd: {error}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _last_words(env: Mapping[str, str]) -> str:
    with contextlib.suppress(OSError, IndexError):
        return paths.stdio_path(env, "log").read_text(errors="replace").splitlines()[-1]
    return "it said nothing"


# --- the client's bytes -----------------------------------------------------------------------------


def _introduce(opening: bytearray, worker: socket.socket, patience_s: float) -> bytes:
    """Tell ``worker`` what the client has said, and more as it comes; return its first answer, nothing if it has none.

    A native client that gets another answer than a native one has met a stranger: that is no answer.
    """
    end = time.monotonic() + patience_s
    answer = b""
    try:
        worker.sendall(opening)
        while len(answer) < len(frames.MAGIC):
            left = end - time.monotonic()
            heard = [0] if len(opening) < MAX_OPENING_BYTES else []
            ready = select.select([*heard, worker.fileno()], [], [], max(0.0, left))
            if not ready[0]:
                return b""
            if 0 in ready[0]:
                data = os.read(0, PIECE_BYTES)
                if not data:
                    raise Gone
                opening += data
                worker.sendall(data)
            if worker.fileno() in ready[0]:
                data = worker.recv(PIECE_BYTES)
                if not data:
                    return b""
                answer += data
    except OSError:
        return b""
    native = opening.startswith(frames.MAGIC)
    return b"" if native and not answer.startswith(frames.MAGIC) else answer


def _pump(worker: socket.socket, answer: bytes) -> None:
    """Carry bytes both ways until either side has ended."""
    worker.settimeout(None)

    def to_worker() -> None:
        with contextlib.suppress(OSError):
            while data := os.read(0, PIECE_BYTES):
                worker.sendall(data)
        with contextlib.suppress(OSError):
            worker.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=to_worker, daemon=True).start()
    with contextlib.suppress(OSError):
        while answer:
            _write(answer)
            answer = worker.recv(PIECE_BYTES)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]

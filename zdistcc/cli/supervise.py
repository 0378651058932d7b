"""Runs a build tool to its end, as if it had been called directly, and keeps the number of its jobs fitting meanwhile.

The tool is in our process group: the terminal's keys reach it as they reach us, it may read the terminal, and a shell
stops and continues both.  A signal that comes to us alone is passed on.  We end as the tool ended, by the same signal
if it was one.

Rejected: exec (nobody would be left to keep the tokens), a thread to ask the agent (a selector waits for all of it).
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Final, NoReturn

from zdistcc.cli.parallelism import Poll
from zdistcc.errors import UserError
from zdistcc.jobserver.fifo import TokenPipe
from zdistcc.jobserver.tokens import Account

KEYBOARD: Final = (signal.SIGINT, signal.SIGQUIT)
PASSED_ON: Final = (*KEYBOARD, signal.SIGTERM, signal.SIGHUP)


class Supply:
    """The tokens of one build: what the agent calls useful goes into the pipe, and what is too much comes out."""

    def __init__(self, pipe: TokenPipe, account: Account, poll: Poll) -> None:
        self._pipe = pipe
        self._account = account
        self._poll = poll
        self._watched: set[int] = set()

    def step(self, selector: selectors.BaseSelector) -> float:
        """Do what is due; have ``selector`` wait for what comes; return when to come again at the latest."""
        self._account.moved(-self._pipe.returned())
        self._balance()
        now = time.monotonic()
        if self._poll.link is not None:
            self._poll.receive(now)
            self._watch(selector)  # a link that was closed, before the next gets its number
        wait_s = self._poll.tick(now)
        self._account.aim(self._poll.jobs)
        self._balance()
        self._watch(selector)
        return wait_s

    def _watch(self, selector: selectors.BaseSelector) -> None:
        wanted = {self._poll.link.fileno()} if self._poll.link is not None else set()
        if self._account.due < 0 or self._pipe.returns:
            wanted.add(self._pipe.fileno())  # be there when a job ends: the tool wants its token as well
        for descriptor in self._watched - wanted:
            selector.unregister(descriptor)
        for descriptor in wanted - self._watched:
            selector.register(descriptor, selectors.EVENT_READ)
        self._watched = wanted

    def _balance(self) -> None:
        account = self._account
        if account.due > 0:
            account.moved(self._pipe.put(account.due))
        elif account.due < 0:
            account.moved(-self._pipe.take(-account.due))


def supervise(
    argv: Sequence[str], env: Mapping[str, str], supply: Callable[[selectors.BaseSelector], float] | None = None
) -> int:
    """Run ``argv`` and return how it ended, as :attr:`subprocess.Popen.returncode` says it.

    ``supply`` is called whenever something that it waits for has come, and says in how many seconds it wants to be
    called again.  :class:`UserError` if the program can't be started.
    """
    with _awake() as woken, selectors.DefaultSelector() as selector, _signals_passed_on() as relay:
        try:
            # Descriptors of ours are closed at exec by themselves; those that the user passes are to get through.
            child = subprocess.Popen(argv, env=env, close_fds=False)
        except OSError as error:
            raise UserError(f"{argv[0]} cannot be run: {error.strerror}; install it, or write its path") from error
        relay.attach(child)
        selector.register(woken, selectors.EVENT_READ)
        while child.poll() is None:
            selector.select(None if supply is None else supply(selector))
            with contextlib.suppress(BlockingIOError):
                woken.recv(4096)
        return child.returncode


@contextlib.contextmanager
def _awake() -> Iterator[socket.socket]:
    """A socket that becomes readable when a signal comes, the end of the child among them."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(before)


class _Relay:
    """Passes signals on to the child; those that come before it is known wait for it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if number in KEYBOARD and _at_the_keyboard():
            return
        if self._child is None:
            self._early.append(number)
        else:
            self._child.send_signal(number)

    def attach(self, child: subprocess.Popen[bytes]) -> None:
        """``child`` is the one."""
        self._child = child
        while self._early:
            child.send_signal(self._early.pop(0))


@contextlib.contextmanager
def _signals_passed_on() -> Iterator[_Relay]:
    """Signals to us go to the child that is attached; those that we were started to ignore are ignored."""
    relay = _Relay()
    before = {number: signal.getsignal(number) for number in (*PASSED_ON, signal.SIGCHLD)}
    try:
        for number in PASSED_ON:
            if before[number] != signal.SIG_IGN:
                signal.signal(number, relay)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        yield relay
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _at_the_keyboard() -> bool:
    """Whether the terminal's keys come to our process group, and so to the tool without us."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def end_like(returncode: int) -> NoReturn:
    """End as a child with ``returncode`` did."""
    sys.stdout.flush()
    sys.stderr.flush()
    if returncode >= 0:
        sys.exit(returncode)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the tool has left its own
    number = signal.Signals(-returncode)
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    sys.exit(128 - returncode)

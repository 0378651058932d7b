"""The launcher for machines without a C compiler at installation: launcher.c's contract in bare Python.

Self-contained, because it runs as ``python3 -I -S`` (a third of a normal start): the build hook puts this
text, behind a line of ``sh``, into the script ``zdistcc``.  For the same reason it imports the C modules
``_socket`` and ``_signal`` and not their wrappers, which would double its start, and does without ``array``,
which imports ``collections``.  See launcher.c for what it does and why; functions have the same names in the
same order.  Over 500 lines because it can't be split.

What differs from the compiled one: a compiler that it execs has the default disposition of SIGPIPE and
SIGXFSZ even if they were ignored (Python changes them before we can look), and the shell line may add
``PWD`` to an environment without it.

Must not know: any module of zdistcc or of the standard library that isn't needed on every call.
"""
# ruff: noqa: SIM105 (contextlib would cost a millisecond of every call)

import _signal  # type: ignore[import-not-found]
import _socket
import errno
import fcntl
import os
import select
import stat
import struct
import sys
import time

VERSION = "unknown"  # replaced by the build hook

BODY_MAX_BYTES = 8 * 1024 * 1024
OUTPUT_MAX_BYTES = 256 * 1024 * 1024
SILENCE_MS = 30000
AGENT_START_MS = 10000
AGENT_SEND_MS = 10000
START_RETRY_S = 15
LOCK_POLL_MS = 10
LOG_MAX_BYTES = 1024 * 1024
RECURSION_MAX = 10
SUN_PATH_BYTES = 108 if sys.platform.startswith("linux") else 104

GUARD = b"_ZDISTCC_SAFEGUARD"
COMPLETING = b"_ZDISTCC_COMPLETE"  # a shell asks what the word at the cursor may be

EXIT_GENERAL, EXIT_CONNECT, EXIT_IO, EXIT_NO_COMPILER, EXIT_RECURSION = 100, 103, 107, 110, 111
FLAG_TERMINAL, FLAG_IMPLICIT, FLAG_MASQUERADE, FLAG_PYTHON = 1, 2, 4, 8
REPLY_WAIT, REPLY_RUN, REPLY_DONE, REPLY_FAIL = 0, 1, 2, 3

CLI_COMMANDS = tuple(
    b"status hosts stats report trace explain stop log demo doctor masquerade make ninja cmake run env".split()
)
CLI_OPTIONS = (
    b"--help",
    b"-h",
    b"-j",
    b"--show-hosts",
    b"--version",
    b"--install-completion",
    b"--show-completion",
)
OWN_NAMES = (b"zdistcc", b"distcc")
SOURCE_SUFFIXES = (b".c .cc .cpp .cxx .C .m .mm .i .ii .S .s .o .a .so").split()

MYSELF = os.fsencode(os.path.realpath(sys.argv[0]))
ENVIRON = dict(os.environb)
PASSED_OVER: "list[bytes]" = []  # launchers that the compiler's name leads to first


class Silence(Exception):
    """The agent did not answer, or not as the grammar says; the text is for ``ZDISTCC_FALLBACK=0``."""


def find_messages() -> int:
    text = ENVIRON.get(b"UNCACHED_ERR_FD", b"")
    number = int(text) if text.isdigit() and len(text) < 6 else 2
    try:
        os.fstat(number)
    except OSError:
        return 2
    return max(number, 2)


MESSAGES = find_messages()


def die(code: int, message: bytes) -> None:
    try:
        os.write(MESSAGES, b"zdistcc: " + message + b"\n")
    finally:
        os._exit(code)


def reason(error: OSError) -> bytes:
    return os.strerror(error.errno or errno.EIO).encode()


def above_stdio(fd: int) -> int:
    if fd > 2:
        return fd
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return moved


# --- who we are, and which compiler is meant ----------------------------------------------------------


def is_a_launcher(path: bytes) -> bool:
    return os.path.samefile(path, MYSELF) or os.path.basename(os.path.realpath(path)) == b"zdistcc"


def path_behind(path: "list[bytes]", directory: bytes) -> "list[bytes] | None":
    for index, entry in enumerate(path):
        try:
            if os.path.samefile(entry or b".", directory):
                return path[index + 1 :]
        except OSError:
            continue
    return None


def search(name: bytes, path: "list[bytes]") -> bytes:
    for entry in path:
        candidate = (entry or b".") + b"/" + name
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            if not is_a_launcher(candidate):
                return candidate
            PASSED_OVER.append(candidate)
    return b""


def search_past_myself(name: bytes, flags: int) -> bytes:
    path = ENVIRON.get(b"PATH", b"/usr/local/bin:/usr/bin:/bin").split(b":")
    if flags & FLAG_MASQUERADE:
        passed = ENVIRON.get(GUARD, b"").partition(b":")[2]
        behind = []
        if os.path.basename(passed) == name:
            behind.append(os.path.dirname(passed))
        behind.append(os.path.dirname(os.fsencode(sys.argv[0])))
        for directory in behind:
            found = search(name, path_behind(path, directory) or [])
            if found:
                return found
    return search(name, path)


def find_compiler(name: bytes, flags: int) -> bytes:
    found = b""
    base = os.path.basename(name)
    if b"/" in name:
        try:
            mode = os.stat(name).st_mode
            if stat.S_ISDIR(mode):
                die(EXIT_NO_COMPILER, name + b": is a directory, not a compiler")
            if not os.access(name, os.X_OK):
                die(EXIT_NO_COMPILER, name + b": " + os.strerror(errno.EACCES).encode())
            if is_a_launcher(name):
                PASSED_OVER.append(name)
                found = search_past_myself(base, flags)
            else:
                found = name
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                die(EXIT_NO_COMPILER, name + b": " + reason(error))
    elif name:
        found = search_past_myself(name, flags)
    if not found and base == b"zdistcc":
        die(EXIT_RECURSION, name + b": zdistcc would call itself")
    if not found:
        advice = b": no such compiler on PATH (and not a command of zdistcc; see zdistcc --help)"
        die(EXIT_NO_COMPILER, name + advice)
    if not found.startswith(b"/"):
        try:
            found = os.getcwdb() + b"/" + found
        except OSError:
            return found
    return found


def looks_like_source(word: bytes) -> bool:
    base = os.path.basename(word)
    dot = base.rfind(b".")
    return dot >= 0 and base[dot:] in SOURCE_SUFFIXES


def understand(argv: "list[bytes]") -> "tuple[list[bytes], int] | None":
    base = os.path.basename(argv[0])
    if base not in OWN_NAMES:
        return [base, *argv[1:]], FLAG_MASQUERADE
    if len(argv) < 2 or COMPLETING in ENVIRON or argv[1] in CLI_COMMANDS or argv[1] in CLI_OPTIONS:
        return None
    if argv[1].startswith(b"-") or looks_like_source(argv[1]):
        return [b"cc", *argv[1:]], FLAG_IMPLICIT
    return argv[1:], 0


def forbids_fallback() -> bool:
    return (ENVIRON.get(b"ZDISTCC_FALLBACK") or ENVIRON.get(b"DISTCC_FALLBACK")) == b"0"


# --- other programs in our place ----------------------------------------------------------------------


def restore_signals() -> None:
    """What Python changed at its start, before another program runs in our place."""
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def forget_coerced_locale() -> None:
    """Python puts LC_CTYPE into the environment of the C locale; compilers would quote differently."""
    try:
        fd = os.open("/proc/self/environ", os.O_RDONLY)
    except OSError:
        return
    before = b"\0"
    while chunk := os.read(fd, 1 << 20):
        before += chunk
    os.close(fd)
    if b"\0LC_CTYPE=" not in before:
        ENVIRON.pop(b"LC_CTYPE", None)


def run_cli(argv: "list[bytes]") -> None:
    program = os.path.dirname(MYSELF) + b"/zdistcc-cli"
    restore_signals()
    try:
        os.execve(program, [program, *argv[1:]], ENVIRON)
    except OSError:
        pass
    try:
        os.execvpe(b"python3", [b"python3", b"-m", b"zdistcc.cli.app", *argv[1:]], ENVIRON)
    except OSError:
        die(
            EXIT_GENERAL,
            b"neither " + program + b" nor python3 could be started: is zdistcc installed completely?",
        )


def run_compiler(path: bytes, argv: "list[bytes]") -> None:
    digits = ENVIRON.get(GUARD, b"0").partition(b":")[0]
    depth = int(digits) if digits.isdigit() else 0
    if depth >= RECURSION_MAX or (os.path.exists(path) and os.path.samefile(path, MYSELF)):
        die(EXIT_RECURSION, path + b": zdistcc would call itself")
    environment = {**ENVIRON, GUARD: b"%d:%s" % (depth + 1, path)}
    restore_signals()
    try:
        os.execve(path, argv, environment)
    except OSError as error:
        if error.errno == errno.ENOEXEC:
            os.execve(b"/bin/sh", [b"sh", path, *argv[1:]], environment)
        die(EXIT_NO_COMPILER, path + b": " + reason(error))


# --- where the agent is -------------------------------------------------------------------------------


def agent_key() -> str:
    try:
        space = os.readlink(b"/proc/self/ns/mnt")
    except OSError:
        space = b""
    value = 0xCBF29CE484222325
    for byte in b"\0".join(
        (b"zdistcc/1", os.fsencode(os.uname().nodename), space, b"%d" % os.getuid()),
    ):
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def find_places() -> "tuple[bytes, bytes]":
    """The runtime directory, and in it the agent's files without their suffix."""
    own, session = ENVIRON.get(b"ZDISTCC_RUNTIME_DIR", b""), ENVIRON.get(b"XDG_RUNTIME_DIR", b"")
    name = b"/agent-" + agent_key().encode()
    directory = b""
    if own.startswith(b"/"):
        directory = own
    elif session.startswith(b"/") and os.path.isdir(session) and os.stat(session).st_uid == os.getuid():
        directory = session + b"/zdistcc"
    if not directory or len(directory + name + b".sock") >= SUN_PATH_BYTES:
        directory = b"/tmp/zdistcc-%d" % os.getuid()
    return directory, directory + name


def is_private(directory: bytes) -> bool:
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    found = os.lstat(directory)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


# --- starting it --------------------------------------------------------------------------------------


def become_agent(place: bytes, ready: int) -> None:
    global MESSAGES
    MESSAGES = 2
    program = os.path.dirname(MYSELF) + b"/zdistcc-agent"
    nothing = fcntl.fcntl(os.open("/dev/null", os.O_RDWR), fcntl.F_DUPFD, 10)
    how = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    log = fcntl.fcntl(os.open(place + b".log", how, 0o600), fcntl.F_DUPFD, 10)
    if os.fstat(log).st_size > LOG_MAX_BYTES:
        os.ftruncate(log, 0)
    ready = fcntl.fcntl(ready, fcntl.F_DUPFD, 10)
    for source, target in ((nothing, 0), (nothing, 1), (log, 2), (ready, 3)):
        os.dup2(source, target)
    os.closerange(4, highest_descriptor() + 1)
    for number in _signal.valid_signals():
        if number not in (_signal.SIGKILL, _signal.SIGSTOP):
            _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    environment = {k: v for k, v in ENVIRON.items() if k not in (b"MAKEFLAGS", b"MAKELEVEL", b"MFLAGS")}
    os.chdir("/")
    try:
        os.execve(program, [program, b"--socket", place + b".sock", b"--ready-fd", b"3"], environment)
    except OSError as error:
        die(127, program + b": " + reason(error))


def highest_descriptor() -> int:
    try:
        return max(map(int, os.listdir("/dev/fd")))
    except (OSError, ValueError):
        return 65535


def await_agent(place: bytes, lock: int) -> None:
    os.setsid()
    ends = os.pipe()
    if os.fork() == 0:
        become_agent(place, ends[1])
    read_end = fcntl.fcntl(ends[0], fcntl.F_DUPFD, 10)
    lock = fcntl.fcntl(lock, fcntl.F_DUPFD, 10)
    os.dup2(read_end, 0)
    os.dup2(lock, 1)
    os.closerange(2, highest_descriptor() + 1)
    waited = select.poll()
    waited.register(0, select.POLLIN)
    end = time.monotonic() + AGENT_START_MS / 1000
    while (left := end - time.monotonic()) > 0:
        if waited.poll(left * 1000) and not os.read(0, 1):
            break


def in_a_child(work: "object", *arguments: object) -> int:
    """Fork; the child calls ``work`` and ends, whatever happens in it."""
    child = os.fork()
    if child == 0:
        try:
            work(*arguments)  # type: ignore[operator]
        finally:
            os._exit(0)
    return child


def started_in_vain(lock: int) -> bool:
    found = os.fstat(lock)
    return found.st_size > 0 and abs(time.time() - found.st_mtime) < START_RETRY_S


def connect_agent(place: bytes) -> "_socket.socket | None":
    """A connection, or None if nobody listens; OSError for anything else."""
    raw = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, above_stdio(raw.detach()))
    for option, limit in ((_socket.SO_SNDTIMEO, AGENT_SEND_MS), (_socket.SO_RCVTIMEO, SILENCE_MS)):
        link.setsockopt(_socket.SOL_SOCKET, option, struct.pack("@ll", limit // 1000, limit % 1000 * 1000))
    try:
        link.connect(place + b".sock")
    except (FileNotFoundError, ConnectionRefusedError):
        link.close()
        return None
    return link


def start_agent(place: bytes, lock: int) -> "_socket.socket | None":
    link = connect_agent(place)
    if link or started_in_vain(lock):
        return link
    child = in_a_child(await_agent, place, lock)
    try:
        os.waitpid(child, 0)
    except ChildProcessError:
        pass
    link = connect_agent(place)
    os.ftruncate(lock, 0)
    if not link:
        os.pwrite(lock, b"failed\n", 0)
    return link


def reach_agent(place: bytes) -> "_socket.socket | None":
    link = connect_agent(place)
    if link:
        return link
    lock = above_stdio(os.open(place + b".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    end = time.monotonic() + AGENT_START_MS / 1000
    while not link and time.monotonic() < end and not started_in_vain(lock):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_POLL_MS / 1000)
            link = connect_agent(place)
        else:
            link = start_agent(place, lock)
            break
    os.close(lock)
    return link


# --- talking to it ------------------------------------------------------------------------------------


def write_request(path: bytes, argv: "list[bytes]", flags: int) -> bytes:
    try:
        directory = os.getcwdb()
    except OSError as error:
        raise Silence("the call can't be described to the agent") from error
    strings = [directory, path, *argv, *(k + b"=" + v for k, v in ENVIRON.items())]
    body = b"\0".join(strings) + b"\0"
    if len(body) > BODY_MAX_BYTES:
        raise Silence("the call can't be described to the agent")
    mask = os.umask(0)
    os.umask(mask)
    flags |= FLAG_PYTHON | (FLAG_TERMINAL if os.isatty(2) else 0)
    words = (len(body), flags, mask, os.getpid(), len(argv), len(ENVIRON), 0)
    return struct.pack(">4s7I", b"ZDL1", *words) + body


def send_request(link: "_socket.socket", request: bytes) -> None:
    passed = [0, 1, 2]
    nothing = -1
    for fd in range(3):
        try:
            fcntl.fcntl(fd, fcntl.F_GETFD)
        except OSError:
            if nothing < 0:
                nothing = above_stdio(os.open("/dev/null", os.O_RDWR))
            passed[fd] = nothing
    sent = link.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("@3i", *passed))])
    if nothing >= 0:
        os.close(nothing)
    if sent < len(request):
        link.sendall(request[sent:])


def receive(link: "_socket.socket", length: int) -> bytes:
    got = bytearray()
    while len(got) < length:
        chunk = link.recv(min(length - len(got), 1 << 20))
        if not chunk:
            raise Silence("the agent failed")
        got += chunk
    return bytes(got)


def show(fd: int, text: bytes) -> "OSError | None":
    view = memoryview(text)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            ready = select.poll()
            ready.register(fd, select.POLLOUT)
            ready.poll()
        except OSError as error:
            return error
    return None


def end_like(status: int) -> None:
    if os.WIFEXITED(status):
        os._exit(os.WEXITSTATUS(status))
    import resource

    number = os.WTERMSIG(status)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number not in (_signal.SIGKILL, _signal.SIGSTOP):
        _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (number,))
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def obey(link: "_socket.socket") -> None:
    """Do what the agent says; returns if that is to run the compiler."""
    kind = REPLY_WAIT
    while kind == REPLY_WAIT:
        magic, kind, status, out, err = struct.unpack(">4sB3x3I", receive(link, 20))
        if magic != b"ZDR1":
            raise Silence("the agent failed")
    if kind == REPLY_RUN:
        os.set_inheritable(link.detach(), True)
        return
    if kind == REPLY_DONE:
        known = status <= 0xFFFF and (os.WIFEXITED(status) or os.WIFSIGNALED(status))
    else:
        known = kind == REPLY_FAIL and 0 < status < 256 and out == 0
    if not known or out > OUTPUT_MAX_BYTES or err > OUTPUT_MAX_BYTES:
        raise Silence("the agent failed")
    text = receive(link, out + err)
    restore_signals()
    failed = show(1, text[:out])
    show(MESSAGES if kind == REPLY_FAIL else 2, text[out:])
    if kind == REPLY_FAIL:
        os._exit(status)
    if failed and status == 0:
        die(EXIT_IO, b"standard output: " + reason(failed))
    end_like(status)


def ask_agent(path: bytes, argv: "list[bytes]", flags: int) -> None:
    """Returns if the compiler shall be run here; Silence or OSError if that is a failure of ours."""
    request = write_request(path, argv, flags)
    directory, place = find_places()
    try:
        if not is_private(directory):
            raise Silence("the runtime directory is not ours alone")
    except OSError as error:
        raise Silence("the runtime directory is not ours alone") from error
    try:
        link = reach_agent(place)
    except OSError:
        link = None
    if not link:
        raise Silence("the agent can't be reached or started")
    try:
        send_request(link, request)
        obey(link)
    except OSError as error:
        link.close()
        raise Silence("the agent failed") from error


def main() -> None:
    argv = [os.fsencode(word) for word in sys.argv]
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    if len(argv) > 1 and os.path.basename(argv[0]) in OWN_NAMES:
        if argv[1] == b"--zdistcc-launcher":
            os.write(1, f"python {VERSION}\n".encode())
            return
        if argv[1] == b"--zdistcc-socket-path":
            os.write(1, find_places()[1] + b".sock\n")
            return
    forget_coerced_locale()
    understood = understand(argv)
    if understood is None:
        run_cli(argv)
        return
    command, flags = understood
    path = find_compiler(command[0], flags)
    # GCC looks for its own programs beside what its name leads to on PATH: that must not be us.
    if flags & FLAG_MASQUERADE or PASSED_OVER:
        command[0] = path
    if (
        ENVIRON.get(b"ZDISTCC_DISABLE", b"0") in (b"", b"0")
        and GUARD not in ENVIRON
        and b"_DISTCC_SAFEGUARD" not in ENVIRON
        and os.getuid() == os.geteuid()
    ):
        try:
            ask_agent(path, command, flags)
        except Exception as why:  # whatever it is, the user's compiler runs
            if forbids_fallback() and (b"-c" in command or b"-S" in command):
                forbidden = f"{why}, and ZDISTCC_FALLBACK=0 forbids to compile here"
                die(EXIT_CONNECT, forbidden.encode())
    run_compiler(path, command)


if __name__ == "__main__":
    main()

"""What was seen of the disk, and when that may be believed again: files, directories, markers.

A signature (change time, modification time, size, inode, device) proves a file unchanged only if no
later write can leave the same signature, that is once the file system's clock has ticked on.  So
a state is *settled* only if it was read at least one tick after its signature was first seen, or if its
times are long past; until then its ``check`` carries no signature and it is read again for every job
(git calls the problem "racily clean").  Both rules hold whatever a file server's clock says, the
second one as long as the clocks differ by less than :data:`LONG_PAST_NS`.

A directory is watched for the names that were ever asked of it: a new object file beside the
sources changes the directory's time, but no answer.  ``version`` moves only if an answer does.

Must not know: directives' meaning, search order, compilers.
Rejected: inotify as the only witness (its queue overflows, NFS has none); trusting the modification time
alone (tar, git and touch set it); directory times without names (every in-tree build changes them).
Known limits: on NFS, a write by *another* host is noticed when the attribute cache expires; where names are
matched without regard to case, a file that appears in another case than asked for is not.
"""

from __future__ import annotations

import hashlib
import os
import stat as modes
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from zdistcc.errors import Reason
from zdistcc.sources.model import Clock, Now, Refused
from zdistcc.sources.scanner import Directives, scan

Signature = tuple[int, ...]  # (ctime_ns, mtime_ns, size, inode, device), ABSENT, or (errno,)
Check = tuple[bytes, Signature | None]  # None: not settled, so no signature is good enough

ABSENT: Final[Signature] = ()
SIGNATURE_LENGTH: Final = 5  # of what exists
LONG_PAST_NS: Final = 600 * 10**9  # more than clocks of one LAN differ, less than the age of system headers
FINE_TICK_NS: Final = 50 * 10**6  # kernels stamp files at 100 to 1000 Hz; five times the slowest
COARSE_TICK_NS: Final = 2_500 * 10**6  # FAT keeps two seconds, ext3 and many servers one
MAX_FILE_BYTES: Final = 256 << 20
MAX_CONTENTS: Final = 60_000
READ_ATTEMPTS: Final = 4
_PRECOMPILED: Final = (b".gch", b".pch")


def system_clock() -> Now:
    return Now(time.time_ns(), time.monotonic_ns())


def signature_of(status: os.stat_result) -> Signature:
    return (status.st_ctime_ns, status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev)


def present_signature(path: bytes) -> Signature:
    try:
        return signature_of(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    except OSError as error:  # a loop of links, no permission: compilers stop there instead of searching on
        return (error.errno or 0,)


def tick_ns(signature: Signature) -> int:
    """How far apart two changes have to be for the later one to leave another change time."""
    return FINE_TICK_NS if signature[0] % 1_000_000 else COARSE_TICK_NS


def is_settled(signature: Signature, first_seen_ns: int, read_at: Now) -> bool:
    """True if a read begun at ``read_at`` is the last that can go with this signature."""
    if len(signature) < SIGNATURE_LENGTH:
        return False
    if read_at.wall_ns - max(signature[0], signature[1]) > LONG_PAST_NS:
        return True
    return read_at.steady_ns - first_seen_ns >= tick_ns(signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One state of one file.  ``directives`` is None if it was only needed as bytes."""

    digest: bytes
    size: int
    directives: Directives | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class File:
    """One path that named a regular file.  Replaced, never changed, when the path is read again."""

    path: bytes
    signature: Signature
    content: Content
    first_seen_ns: int
    read_at_ns: int
    check: Check


class Directory:
    """One path that was searched; it may be missing, or not be a directory at all."""

    __slots__ = (
        "_first_seen_ns",
        "_read_at_ns",
        "_signature",
        "all_asked",
        "asked",
        "check",
        "identity",
        "names",
        "path",
        "precompiled",
        "version",
    )

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.names: frozenset[bytes] = frozenset()
        self.precompiled: frozenset[bytes] = frozenset()
        self.asked: set[bytes] = set()
        self.all_asked = False
        self.identity: tuple[int, ...] | None = None  # (inode, device); one number if it is no directory
        self.version = 0
        self.check: Check = (path, None)
        self._signature: Signature | None = None
        self._first_seen_ns = 0
        self._read_at_ns = -1

    @property
    def exists(self) -> bool:
        return self.identity is not None and len(self.identity) == 2

    def renew(self, clock: Clock, since_ns: int) -> bool:
        """Look again unless that was done since ``since_ns``; True if an answer given before has changed."""
        if self._read_at_ns >= since_ns:
            return False
        for _ in range(READ_ATTEMPTS):
            now = clock()
            signature = present_signature(self.path)
            if signature != self._signature:
                self._signature, self._first_seen_ns = signature, now.steady_ns
            elif self.check[1] is not None or signature is ABSENT:
                break
            names, is_directory = _listing(self.path)
            if present_signature(self.path) == signature:
                return self._learn(names, is_directory, now)
        else:
            raise Refused(Reason.SOURCES_CHANGING, self.path)
        self._read_at_ns = now.steady_ns
        return False

    def _learn(self, names: frozenset[bytes], is_directory: bool, now: Now) -> bool:
        signature = self._signature
        assert signature is not None
        # A number that is no answer's part but differs between a missing path and one that is no directory.
        identity = signature[3:] if is_directory else (0,) if len(signature) > 1 else signature
        known = signature is ABSENT or is_settled(signature, self._first_seen_ns, now)
        self.check = (self.path, signature if known else None)
        precompiled = frozenset(name for name in names if name.endswith(_PRECOMPILED))
        changed = self.identity is not None and (
            identity != self.identity
            or precompiled != self.precompiled
            or not self.asked.isdisjoint(names ^ self.names)
            or (self.all_asked and names != self.names)
        )
        self.names, self.identity, self.precompiled = names, identity, precompiled
        self._read_at_ns = now.steady_ns
        self.version += changed
        return changed


class Marker:
    """A path whose signature is all that matters: a precompiled header."""

    __slots__ = ("check", "path", "signature")

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.signature = present_signature(path)
        self.check: Check = (path, self.signature)


Subject = File | Directory | Marker


class World:
    """All files and directories seen, by path; contents also by signature, whatever the path."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self.clock = clock
        self.files: dict[bytes, File] = {}
        self.directories: dict[bytes, Directory] = {}
        self.contents: OrderedDict[Signature, Content] = OrderedDict()
        self.consulted: set[Directory] = set()  # since the owner last cleared it: what a refusal depends on
        self.shape = 0  # grows when any answer of any directory changes: what was resolved before is void
        self.files_read = 0
        self.bytes_read = 0

    def file(self, path: bytes, *, as_text: bool = True) -> File | None:
        """The file at a path, as last read; None if there is none or it is a directory.

        Raises Refused if it can't be read or is no regular file.
        """
        known = self.files.get(path)
        if known is not None and (known.content.directives is not None or not as_text):
            return known
        return self.read_again(path, since_ns=self.clock().steady_ns, as_text=as_text)

    def read_again(self, path: bytes, *, since_ns: int, as_text: bool = True) -> File | None:
        """As :meth:`file`, but as it is now, or was at ``since_ns`` or later."""
        now = self.clock()
        known = self.files.get(path)
        signature = present_signature(path)
        if known is not None and known.signature == signature:
            complete = known.content.directives is not None or not as_text
            if complete and (known.check[1] is not None or known.read_at_ns >= since_ns):
                return known
        content = self.contents.get(signature)
        if content is not None and (content.directives is not None or not as_text):
            self.contents.move_to_end(signature)
            file = _file(path, signature, content, now, now, settled=True)
        else:
            read = self._read(path, as_text)
            if read is None:
                self.files.pop(path, None)
                return None
            signature, content, now = read
            same = known is not None and known.signature == signature
            first = known.first_seen_ns if known is not None and same else now.steady_ns
            settled = is_settled(signature, first, now)
            if settled:
                self._remember(signature, content)
            if known is not None and known.content.directives == content.directives:
                content = Content(digest=content.digest, size=content.size, directives=known.content.directives)
            file = _file(path, signature, content, now, Now(0, first), settled=settled)
        self.files[path] = file
        return file

    def directory(self, path: bytes) -> Directory:
        found = self.directories.get(path)
        if found is None:
            found = self.directories[path] = Directory(path)
            found.renew(self.clock, 0)
        return found

    def consult(self, path: bytes, name: bytes) -> tuple[bool, Directory]:
        """Is there a ``name`` in directory ``path``, and the directory to watch for that answer to change."""
        directory = self.directory(path)
        if directory.exists:
            directory.asked.add(name)
            self.consulted.add(directory)
            return name in directory.names, directory
        witness = self._witness(directory)
        self.consulted.add(witness)
        return False, witness

    def _witness(self, missing: Directory) -> Directory:
        """The directory that changes when ``missing`` appears: the nearest one above it that exists."""
        above, _, last = missing.path.rpartition(b"/")
        if not last:
            return missing
        if last == b"..":
            parent = self.directory(above or b"/")
            return missing if parent.exists else self._witness(parent)
        present, watched = self.consult(above or b"/", last)
        return missing if present else watched

    def renew_directory(self, directory: Directory, since_ns: int) -> None:
        try:
            changed = directory.renew(self.clock, since_ns)
        except Refused:  # whether that matters is for the next walk to say, with a new Directory
            directory.version += 1
            self.directories.pop(directory.path, None)
            changed = True
        if changed:
            self.shape += 1
            # A missing directory is watched through another one, so its own state is not renewed.
            self.directories = {path: known for path, known in self.directories.items() if known.exists}

    def forget(self) -> None:
        """Drop what is known by path; contents stay, so that looking again costs stats, not reads."""
        self.files.clear()
        self.directories.clear()
        self.shape += 1

    def _remember(self, signature: Signature, content: Content) -> None:
        self.contents[signature] = content
        while len(self.contents) > MAX_CONTENTS:
            self.contents.popitem(last=False)

    def _read(self, path: bytes, as_text: bool) -> tuple[Signature, Content, Now] | None:
        for _ in range(READ_ATTEMPTS):
            now = self.clock()
            read = read_stable(path)
            if read is None:
                return None
            signature, data = read
            if signature is not ABSENT:
                self.files_read += 1
                self.bytes_read += len(data)
                directives = scan(data) if as_text else None
                digest = hashlib.sha256(data).digest()
                return signature, Content(digest=digest, size=len(data), directives=directives), now
        raise Refused(Reason.SOURCES_CHANGING, path)


def read_stable(path: bytes) -> tuple[Signature, bytes] | None:
    """The bytes of a regular file and its signature before and after reading, ABSENT if these differ.

    None if there is no such file, or it is a directory.  Raises Refused.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Refused(Reason.SOURCE_UNREADABLE, path, path) from error
    try:
        status = os.fstat(descriptor)
        if modes.S_ISDIR(status.st_mode):
            return None
        if not modes.S_ISREG(status.st_mode):
            raise Refused(Reason.SOURCE_NOT_REGULAR, path, path)
        if status.st_size > MAX_FILE_BYTES:
            raise Refused(Reason.SOURCE_TOO_LARGE, path, path)
        data = os.read(descriptor, status.st_size + 1)
        while len(data) < status.st_size and (more := os.read(descriptor, status.st_size + 1 - len(data))):
            data += more
        after = os.fstat(descriptor)
    except OSError as error:
        raise Refused(Reason.SOURCE_UNREADABLE, path, path) from error
    finally:
        os.close(descriptor)
    stable = signature_of(after) == signature_of(status) and len(data) == status.st_size
    return (signature_of(status) if stable else ABSENT), data


def _file(path: bytes, signature: Signature, content: Content, read_at: Now, first_seen: Now, *, settled: bool) -> File:
    return File(
        path=path,
        signature=signature,
        content=content,
        first_seen_ns=first_seen.steady_ns,
        read_at_ns=read_at.steady_ns,
        check=(path, signature if settled else None),
    )


def _listing(path: bytes) -> tuple[frozenset[bytes], bool]:
    try:
        return frozenset(os.listdir(path)), True
    except (FileNotFoundError, NotADirectoryError):
        return frozenset(), False
    except OSError as error:
        if not os.path.isdir(path):
            return frozenset(), False
        raise Refused(Reason.SOURCE_UNREADABLE, path, path) from error

"""Where in a tree a client's path leads: the tree's directories, files and links, in memory.

A tree mirrors absolute paths of a client below a root.  All that is in it was put there by us, so the map
in memory says what every path component is, and a path is *resolved* here, link by link, to its
**physical** path (no link, no ``.``, no ``..`` in it; ``b""`` is the root).  Only physical paths are ever
joined to the root and given to the kernel.  Walking with directory descriptors and O_NOFOLLOW was rejected:
several system calls a component, to learn what we already know.

Why no link in a tree leads out of it: a link is planted with a target rewritten to be relative to its own
physical directory, as some ``..`` (no more than the directory is deep) followed by names only.  Physical
directories never turn into anything else, so the ``..`` mean what they meant; names lead down, or through
further links of which the same holds.  A target with ``name/..`` inside is resolved first, and refused if
``name`` isn't known yet, because a link planted later at ``name`` could make ``..`` mean something else.

Must not know: the disk, blobs, the root.
"""

from __future__ import annotations

from zdistcc.store.failures import TreeConflict, TreeRefused

NAME_MAX_BYTES = 255  # Linux: NAME_MAX
LINK_HOPS_MAX = 40  # Linux: MAXSYMLINKS


def split(path: bytes) -> list[bytes]:
    """Components of a path, without ``.`` and empty ones.  Raises TreeRefused for what no tree can hold."""
    if b"\0" in path:
        raise TreeRefused("a path with a NUL byte")
    parts = [part for part in path.split(b"/") if part and part != b"."]
    if any(len(part) > NAME_MAX_BYTES for part in parts):
        raise TreeRefused("a path with a component of more than 255 bytes")
    return parts


def parent(physical: bytes) -> bytes:
    return physical[: physical.rindex(b"/")]


class Mirror:
    """The map of one tree.  ``resolve`` answers; ``add_*`` record what was done on disk."""

    def __init__(self, path_max: int) -> None:
        self._path_max = path_max
        self.directories: set[bytes] = {b""}
        self.links: dict[bytes, bytes] = {}  # physical path of the link → relative target
        self.files: set[bytes] = set()
        self._parents: dict[bytes, bytes] = {}  # directory as a client spells it → physical, once it exists

    def add_directory(self, physical: bytes) -> None:
        self.directories.add(physical)

    def add_file(self, physical: bytes) -> None:
        self.files.add(physical)

    def add_link(self, physical: bytes, target: bytes) -> None:
        self.links[physical] = target

    def resolve_file(self, path: bytes) -> tuple[bytes, list[bytes]]:
        """Physical path of a file, and the directories to make for it, outermost first.

        A link at the end is followed, as ``open`` does.  Raises TreeRefused, TreeConflict.
        """
        head, _, name = path.rpartition(b"/")
        directory = self._parents.get(head)
        needed: list[bytes] = []
        if name in (b"", b".", b".."):
            raise TreeRefused("a file with the name of a directory")
        if directory is None:
            directory, needed = self._walk_directory(self._absolute(path)[:-1])
            if not needed:
                self._parents[head] = directory
        physical = directory + b"/" + name
        if physical in self.files:
            return physical, needed
        if physical in self.links:
            physical, needed = self._walk(b"", self._absolute(path))
            if physical and parent(physical) not in self.directories and parent(physical) not in needed:
                needed.append(parent(physical))
        if len(name) > NAME_MAX_BYTES or b"\0" in name:
            raise TreeRefused("a file name that is not allowed")
        self._bound(physical)
        if physical in self.directories or physical in needed:
            raise TreeConflict("a file where the tree has a directory")
        return physical, needed

    def resolve_directory(self, path: bytes) -> tuple[bytes, list[bytes]]:
        """Physical path of a directory, and those to make, itself included.  Raises as ``resolve_file``."""
        return self._walk_directory(self._absolute(path))

    def resolve_link(self, path: bytes, target: bytes) -> tuple[bytes, bytes, list[bytes]]:
        """Physical path of a link, its rewritten target, and the directories to make for it."""
        parts = self._absolute(path)
        if not parts or parts[-1] == b"..":
            raise TreeRefused("a link without a name")
        directory, needed = self._walk_directory(parts[:-1])
        physical = directory + b"/" + parts[-1]
        self._bound(physical)
        if physical in self.directories or physical in needed or physical in self.files:
            raise TreeConflict("a link where the tree has a file or directory")
        return physical, self._confine(directory, target), needed

    def _absolute(self, path: bytes) -> list[bytes]:
        if not path.startswith(b"/"):
            raise TreeRefused("a path that is not absolute")
        if len(path) > self._path_max:
            raise TreeRefused("a path that is too long for this worker")
        return split(path)

    def _bound(self, physical: bytes) -> None:
        if len(physical) > self._path_max:
            raise TreeRefused("a path that is too long for this worker")

    def _walk_directory(self, parts: list[bytes]) -> tuple[bytes, list[bytes]]:
        """Resolve a directory; it is among those to make if it doesn't exist."""
        at, needed = self._walk(b"", parts)
        if at not in self.directories and at not in needed:
            if at in self.files:
                raise TreeConflict("a directory where the tree has a file")
            needed.append(at)
        return at, needed

    def _walk(self, start: bytes, parts: list[bytes]) -> tuple[bytes, list[bytes]]:
        """Resolve all components; those passed through and unknown are directories to make."""
        at, needed = start, list[bytes]()
        pending = parts[::-1]
        hops = 0
        while pending:
            part = pending.pop()
            if at not in self.directories and at not in needed:
                if at in self.files:
                    raise TreeConflict("a directory where the tree has a file")
                needed.append(at)
            if part == b"..":
                if not at:
                    raise TreeRefused("a path that leads above the root")
                at = parent(at)
                continue
            at = at + b"/" + part
            if (target := self.links.get(at)) is not None:
                hops += 1
                if hops > LINK_HOPS_MAX:
                    raise TreeRefused("too many links in a path")
                at = parent(at)
                pending.extend(split(target)[::-1])
            else:
                self._bound(at)
        return at, needed

    def _confine(self, directory: bytes, target: bytes) -> bytes:
        """The target as seen from ``directory``: ``..`` first, then names."""
        if not target or len(target) > self._path_max:
            raise TreeRefused("a link with an empty or too long target")
        at = b"" if target.startswith(b"/") else directory
        parts = split(target)
        depth = at.count(b"/")
        ups = 0
        while ups < len(parts) and parts[ups] == b"..":
            ups += 1
        if ups > depth:
            raise TreeRefused("a link that leads above the root")
        for _ in range(ups):
            at = parent(at)
        names = parts[ups:]
        if b".." in names:
            last = len(names) - names[::-1].index(b"..")
            at, needed = self._walk(at, names[:last])
            if needed:
                raise TreeRefused("a link whose target goes back out of a directory that is not known yet")
            names = names[last:]
        wanted = [part for part in at.split(b"/") if part]
        here = [part for part in directory.split(b"/") if part]
        common = 0
        while common < min(len(wanted), len(here)) and wanted[common] == here[common]:
            common += 1
        relative = b"/".join([b".."] * (len(here) - common) + wanted[common:] + names) or b"."
        self._bound(relative)
        return relative

"""Words that hold a path, so that a worker can place them in a tree that mirrors the client's files.

Both sides mark words by the option table: the client when it rebuilds a command for sources that
are shipped as they are (`rebuild.headers_args`), the worker when it checks that every path it will
hand to a compiler is marked (`vetting.vet_headers`).

Must not know: the disk, what a tree is made of.

Rejected: putting the tree's root before each absolute path on the client, by a placeholder in the
text of the word: a worker would have to search words for it, and a user's own text could hold it.
"""

from __future__ import annotations

from dataclasses import dataclass

from zdistcc.toolchain.options import Arg, Mark


@dataclass(frozen=True, slots=True)
class PathWord:
    """A word that holds a path: ``before + path + after``, to be placed in a tree elsewhere."""

    before: bytes
    path: bytes
    after: bytes = b""

    @property
    def word(self) -> bytes:
        """The word as the user wrote it."""
        return self.before + self.path + self.after

    def placed(self, *, root: bytes, cwd: bytes) -> bytes | None:
        """The word for a tree that mirrors the file system under ``root``; None if it leads out.

        Absolute paths get the root in front.  Relative ones stay, as the compiler runs in the
        mirrored ``cwd`` (absolute, as on the client); too many ``..`` would lead out of the tree.
        """
        depth = 0 if self.path[:1] == b"/" else sum(part not in (b"", b".") for part in cwd.split(b"/"))
        for part in self.path.split(b"/"):
            depth += -1 if part == b".." else part not in (b"", b".")
            if depth < 0:
                return None
        return self.before + (root if self.path[:1] == b"/" else b"") + self.path + self.after


def marked(arg: Arg) -> list[bytes | PathWord]:
    """The words of an option with the path among them marked."""
    words: list[bytes | PathWord] = list(arg.words)
    if arg.row is None:
        return words
    name = arg.words[-1][: len(arg.words[-1]) - len(arg.value)]
    if arg.row.mark is Mark.PATH_MAP:
        # OLD=NEW: OLD is compared with names as the compiler sees them, NEW is text
        old, equals, new = arg.value.partition(b"=")
        if equals:
            words[-1] = PathWord(name, old, equals + new)
    elif arg.row.value_is_path:
        words[-1] = PathWord(name, arg.value)
    return words

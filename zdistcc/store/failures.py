"""What the store raises.  Everything but the two user errors means "compile elsewhere, or locally".

Each :class:`StoreError` carries the :class:`~zdistcc.errors.Reason` that the worker puts into its
structured refusal, so that the client counts and explains the same word.

Must not know: who asked, the protocol, files.
"""

from __future__ import annotations

from typing import ClassVar

from zdistcc.errors import InfraError, Reason, UserError


class StoreInUse(UserError):
    """Another zdistccd uses this store directory; give this one a directory of its own (--store DIR)."""


class StoreUnusable(UserError):
    """The store directory cannot be used as it is; the message says why and what to do."""


class StoreError(InfraError):
    """The worker's store could not do what a job needs."""

    reason: ClassVar[Reason] = Reason.STORE_FAILED


class StoreFull(StoreError):
    """No room, after everything that no running job needs was evicted."""

    reason = Reason.STORE_FULL


class BlobMismatch(StoreError):
    """The bytes that arrived are not those that the digest and size promised; nothing was kept."""

    reason = Reason.BLOB_MISMATCH


class TreeRefused(StoreError):
    """A path or symlink target that is not allowed in a tree; it would be refused again."""

    reason = Reason.TREE_REFUSED


class TreeConflict(StoreError):
    """The entry contradicts what this epoch already says; the client has to start a new epoch."""

    reason = Reason.TREE_CONFLICT


class TreeLost(StoreError):
    """The tree on disk was damaged or deleted by somebody else; acquire it again and it is rebuilt."""

    reason = Reason.TREE_LOST

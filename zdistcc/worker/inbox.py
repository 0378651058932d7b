"""What one job still waits for: content asked of the client, put together from chunks, verified by its digest.

Must not know: connections, the store, what the content is for.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence

from zdistcc.errors import RemoteProtocolError
from zdistcc.wire import codecs
from zdistcc.wire.messages import Blob


class Inbox:
    """One at a time: a set of digests is expected, announced in one message, received slot by slot."""

    def __init__(self) -> None:
        self._wanted: set[bytes] = set()
        self._blobs: Sequence[Blob] = ()
        self._parts: list[list[bytes]] = []
        self._missing = 0
        self._arrived: dict[bytes, bytes] = {}
        self._done: asyncio.Future[dict[bytes, bytes]] | None = None

    def expect(self, digests: Iterable[bytes]) -> asyncio.Future[dict[bytes, bytes]]:
        """Return the future content by digest; it fails with :class:`RemoteProtocolError` when something else comes."""
        assert self._done is None or self._done.done(), "two expectations at once"
        self._wanted = set(digests)
        self._arrived = {}
        self._done = asyncio.get_running_loop().create_future()
        return self._done

    @property
    def coming(self) -> asyncio.Future[dict[bytes, bytes]]:
        """What :meth:`expect` returned last."""
        assert self._done is not None, "nothing is expected"
        return self._done

    def announce(self, blobs: Sequence[Blob]) -> None:
        """The client says which content follows."""
        if self._done is None or {blob.digest for blob in blobs} != self._wanted or len(blobs) != len(self._wanted):
            self._fail(RemoteProtocolError("content that was not asked for"))
            return
        self._blobs = blobs
        self._parts = [[] for _ in blobs]
        self._missing = len(blobs)
        for slot, blob in enumerate(blobs):
            if not blob.body.packed:
                self._complete(slot)

    def chunk(self, slot: int, data: bytes, last: bool) -> None:
        """A piece of the content in ``slot`` came."""
        if self._done is None or self._done.done() or slot >= len(self._parts):
            return
        self._parts[slot].append(data)
        if last:
            self._complete(slot)

    def _complete(self, slot: int) -> None:
        blob = self._blobs[slot]
        packed = b"".join(self._parts[slot])
        self._parts[slot] = []
        try:
            raw = codecs.unpack(blob.body.codec, packed, blob.body.raw)
        except RemoteProtocolError as error:
            self._fail(error)
            return
        if hashlib.sha256(raw).digest() != blob.digest:
            self._fail(RemoteProtocolError("content does not have the digest that was announced"))
            return
        self._arrived[blob.digest] = raw
        self._missing -= 1
        if not self._missing and self._done is not None and not self._done.done():
            self._done.set_result(self._arrived)
            self._arrived = {}

    def _fail(self, error: RemoteProtocolError) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

"""Shipping: a planned job as the message that asks a worker for it, in both modes.

Must not know: which worker is asked, and what becomes of the answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from zdistcc.agent.headers import Bundle, Shelf
from zdistcc.agent.plan import Plan, output_directory
from zdistcc.agent.race import Order
from zdistcc.agent.remote import Answer, Remote, nothing
from zdistcc.toolchain import rebuild
from zdistcc.toolchain.invocation import Stage
from zdistcc.toolchain.pathwords import PathWord
from zdistcc.wire import codecs, messages
from zdistcc.wire.control import LaunchRequest

EAGER_BYTES: Final = 32 << 10
"""Texts that pack to less than this go along with the job; larger ones wait until the worker has admitted it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A preprocessed source: what travels, and what the preprocessor said."""

    blob: messages.Blob
    packed: bytes
    stderr: bytes

    def plain(self) -> bytes:
        """Return it as the preprocessor wrote it."""
        body = self.blob.body
        return codecs.unpack(body.codec, self.packed, body.raw)


async def send_text(
    request: LaunchRequest, remote: Remote, grant: Order, plan: Plan, text: Text, on_started: Callable[[], None]
) -> Answer:
    """Have a job done from its preprocessed text; raises as :meth:`Remote.compile_text`."""
    invocation = plan.invocation
    message = messages.Job(
        compiler=grant.offer.id.build_id,
        target=plan.need.compiler.target,
        language=rebuild.explicit_language(invocation).decode(),
        stage=_stage(plan),
        args=tuple(plan.remote_args()),
        name=os.path.basename(invocation.source)[:255],
        cwd=request.cwd[:4096],
        source=text.blob,
        eager=len(text.packed) <= EAGER_BYTES,
        env=_environment(plan),
        label=_label(plan),
    )
    return await remote.compile_text(message, text.packed, on_started)


async def send_tree(
    shelf: Shelf,
    remote: Remote,
    grant: Order,
    plan: Plan,
    bundle: Bundle,
    on_started: Callable[[], None] = nothing,
) -> Answer:
    """Have a job done from its sources; raises as :meth:`Remote.compile_tree`."""
    invocation = plan.invocation
    closure = bundle.closure
    sides = tuple((each.side.value, each.path) for each in invocation.side_outputs)
    message = messages.TreeJob(
        compiler=grant.offer.id.build_id,
        target=plan.need.compiler.target,
        language=invocation.language.value.decode(),
        stage=_stage(plan),
        args=tuple(
            messages.PathArg(before=word.before, path=word.path, after=word.after)
            if isinstance(word, PathWord)
            else word
            for word in bundle.args
        ),
        source=invocation.source,
        cwd=bundle.cwd,
        epoch=bundle.epoch,
        files=await remote.declare(closure, output_directory(plan) if sides else b""),
        search=bundle.search,
        dependencies=invocation.depfile is not None,
        output=invocation.output if sides else b"",
        sides=sides,
        env=_environment(plan) + bundle.env,
        paths=tuple((name.decode("ascii", "replace"), value) for name, value in bundle.paths),
        label=_label(plan),
    )
    return await remote.compile_tree(message, lambda digests: shelf.supply(closure, digests), on_started)


def _stage(plan: Plan) -> messages.Stage:
    return messages.Stage.OBJECT if plan.invocation.stage is Stage.OBJECT else messages.Stage.ASSEMBLY


def _environment(plan: Plan) -> tuple[tuple[str, bytes], ...]:
    return tuple((name.decode("ascii", "replace"), value) for name, value in plan.invocation.env)


def _label(plan: Plan) -> str:
    return os.path.basename(plan.invocation.source)[:100].decode("utf-8", "replace")

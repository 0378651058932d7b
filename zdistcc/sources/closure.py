"""The graph of what includes what under one search context, and the walk over it.

A node is a file as spelled, with its directives resolved; it stays valid until the directives change or
some directory's answers do (``world.shape``).  A walk from the roots gives everything reachable.

Computed includes (``#include NAME``): every object-like definition of ``NAME`` in any file reached so far,
or on the command line, counts as a candidate, and the walk goes on from it until nothing is added.  A
name that nobody defines belongs to a branch not taken.  What is more than that (calls, pasting, a
macro name within ``<...>``) is left to the compiler.

Must not know: requests' history, the wire, how the search path was found out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from zdistcc.errors import Reason
from zdistcc.sources.model import Caution, Refused, SearchContext
from zdistcc.sources.resolver import Found, Resolver
from zdistcc.sources.scanner import (
    Directives,
    Form,
    Hazard,
    Include,
    Kind,
    find_definitions,
    find_uses,
    identifiers,
    is_identifier,
)
from zdistcc.sources.world import Directory, World, read_stable

MAX_DEFINITIONS: Final = 50_000
_CAUTIONS: Final = ((Hazard.DATE_OR_TIME, Reason.DATE_OR_TIME),)
_REFUSALS: Final = (
    (Hazard.TIMESTAMP, Reason.FILE_TIMESTAMP),
    (Hazard.PRAGMA_FILE, Reason.PRAGMA_READS_FILE),
    (Hazard.ASSEMBLER_FILE, Reason.ASSEMBLER_READS_FILE),
)
# Defined by compilers themselves, so possibly expanded within <...> although no file defines them.
_COMPILER_MACROS: Final = frozenset((b"linux", b"unix", b"i386", b"arm", b"mips", b"sparc", b"sun", b"vax"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One file's directives, resolved.  ``data``: files whose own directives don't count."""

    directives: Directives
    children: tuple[bytes, ...]
    data: tuple[bytes, ...]
    watched: frozenset[Directory]
    computed: tuple[Include, ...]
    assembled: tuple[Include, ...]  # opened by the assembler, which searches from the working directory
    cautions: tuple[Caution, ...]
    precompiled: tuple[tuple[bytes, bytes], ...]  # (header, what was made from it)


@dataclass(slots=True, kw_only=True)
class Reached:
    """What a walk has found: paths as spelled, in the order met."""

    texts: dict[bytes, Node] = field(default_factory=dict)
    data: dict[bytes, None] = field(default_factory=dict)
    watched: set[Directory] = field(default_factory=set)


class Unexpandable(Exception):
    """A macro names a file in a way only the compiler can tell; never leaves this package."""

    def __init__(self, reason: Reason, detail: bytes) -> None:
        super().__init__(reason.word, detail)
        self.reason = reason
        self.detail = detail


class Stale(Exception):
    """A file is not as it was scanned: look again, then walk again; never leaves this package."""

    def __init__(self, path: bytes) -> None:
        super().__init__(path)
        self.path = path


class Graph:
    """All nodes met under one search context."""

    def __init__(self, context: SearchContext, world: World) -> None:
        self._context = context
        self._world = world
        self._shape = world.shape
        self._resolver = Resolver(context, world)
        self._nodes: dict[bytes, Node] = {}
        self._watched: dict[frozenset[Directory], frozenset[Directory]] = {}

    @property
    def chain(self) -> tuple[bytes, ...]:
        return self._context.quote + self._context.angle

    def find(self, include: Include, beside: bytes) -> Found:
        self._forget_if_void()
        return self._resolver.find(include, beside)

    def walk(self, roots: Iterable[bytes], reached: Reached) -> None:
        """Add everything that is reachable from the roots.  Raises Refused."""
        self._forget_if_void()
        files, nodes = self._world.files, self._nodes
        texts = reached.texts
        united: set[int] = set()  # most nodes share one of a few sets of directories
        stack = list(roots)[::-1]
        while stack:
            path = stack.pop()
            if path in texts:
                continue
            node = nodes.get(path)
            file = files.get(path)
            if node is None or file is None or node.directives is not file.content.directives:
                node = self._node(path)
                if node is None:
                    reached.watched.add(self._world.directory(path))  # gone since it was listed
                    continue
                nodes[path] = node
            texts[path] = node
            if id(node.watched) not in united:
                united.add(id(node.watched))
                reached.watched |= node.watched
            if node.data:
                reached.data.update(dict.fromkeys(node.data))
            stack.extend(child for child in reversed(node.children) if child not in texts)

    def _forget_if_void(self) -> None:
        if self._shape != self._world.shape:
            self._shape = self._world.shape
            self._resolver = Resolver(self._context, self._world)
            self._nodes.clear()
            self._watched.clear()

    def _node(self, path: bytes) -> Node | None:
        file = self._world.file(path)
        if file is None:
            return None
        directives = file.content.directives
        assert directives is not None
        for hazard, reason in _REFUSALS:
            if directives.hazards & hazard:
                raise Refused(reason, path, path)
        cautions = [Caution(reason, path) for hazard, reason in _CAUTIONS if directives.hazards & hazard]
        beside = path.rpartition(b"/")[0] or b"/"
        children: dict[bytes, None] = {}
        data: dict[bytes, None] = {}
        watched: set[Directory] = set()
        precompiled: list[tuple[bytes, bytes]] = []
        for include in directives.includes:
            if include.form is Form.MACRO or include.kind is Kind.ASSEMBLER:
                continue
            try:
                found = self._resolver.find(include, beside)
            except Refused as refusal:
                refusal.paths.add(path)
                self._world.consulted |= watched
                raise
            watched |= found.watched
            as_text = include.kind in (Kind.INCLUDE, Kind.NEXT)
            (children if as_text else data).update(dict.fromkeys(found.paths))
            if as_text:
                # Only GCC looks for one at any #include, and only under this name.
                precompiled += [(found.paths[0], made) for made in found.precompiled if made.endswith(b".gch")]
            if include.name.startswith(b"/"):
                cautions.append(Caution(Reason.ABSOLUTE_INCLUDE, path))
        return Node(
            directives=directives,
            children=tuple(children),
            data=tuple(data),
            watched=self._watched.setdefault(frozenset(watched), frozenset(watched)),
            computed=tuple(each for each in directives.includes if each.form is Form.MACRO),
            assembled=tuple(each for each in directives.includes if each.kind is Kind.ASSEMBLER),
            cautions=tuple(dict.fromkeys(cautions)),
            precompiled=tuple(precompiled),
        )


class Expander:
    """Follows computed includes and wrapped probes until nothing new is reached."""

    def __init__(self, graph: Graph, world: World) -> None:
        self._graph = graph
        self._world = world
        self._definitions: dict[tuple[bytes, bytes], tuple[bytes, ...]] = {}
        self._uses: dict[tuple[bytes, bytes], tuple[tuple[Include, ...], tuple[bytes, ...]]] = {}

    def expand(self, reached: Reached, defines: tuple[bytes, ...], cwd: bytes, *, taught: bool) -> None:
        """Raises Unexpandable if the compiler has to be asked (not if it was: ``taught``), Refused if
        even that would not help, Stale."""
        size = -1
        while size != len(reached.texts):
            size = len(reached.texts)
            for path, node in list(reached.texts.items()):
                for include in node.assembled:
                    if include.name.startswith(b"/"):
                        raise Refused(Reason.ABSOLUTE_INCLUDE, path)
                    self._open(include, cwd, reached)
                for include in node.computed:
                    try:
                        self._follow(include, path, reached, defines)
                    except Unexpandable:
                        if not taught:
                            raise
            self._unwrap(reached, defines)

    def _open(self, include: Include, beside: bytes, reached: Reached) -> None:
        found = self._graph.find(include, beside)
        reached.watched |= found.watched
        if include.kind in (Kind.INCLUDE, Kind.NEXT):
            self._graph.walk(found.paths, reached)
        else:
            reached.data.update(dict.fromkeys(found.paths))

    def _follow(self, include: Include, path: bytes, reached: Reached, defines: tuple[bytes, ...]) -> None:
        try:
            named = self._candidates(include.name, reached, defines, set())
        except Unexpandable as error:
            if include.kind in (Kind.PROBE, Kind.PROBE_NEXT):  # -M does not list what is only probed
                raise Refused(Reason.COMPUTED_PROBE, path + b": " + include.name) from error
            raise
        for form, name in named:
            if name.startswith(b"/"):
                raise Refused(Reason.ABSOLUTE_INCLUDE, path)
            self._open(Include(include.kind, form, name), path.rpartition(b"/")[0] or b"/", reached)

    def _candidates(
        self, tokens: bytes, reached: Reached, defines: tuple[bytes, ...], seen: set[bytes]
    ) -> list[tuple[Form, bytes]]:
        if tokens.startswith(b'"') and tokens.endswith(b'"') and tokens.count(b'"') == 2:
            return [(Form.QUOTE, tokens[1:-1])]
        if tokens.startswith(b"<") and tokens.endswith(b">") and tokens.count(b">") == 1:
            for word in identifiers(tokens):
                if word in _COMPILER_MACROS or self._bodies(word, reached, defines):
                    raise Unexpandable(Reason.COMPUTED_INCLUDE, tokens)
            return [(Form.ANGLE, tokens[1:-1].strip())]
        if not is_identifier(tokens) or tokens.startswith(b"__"):
            raise Unexpandable(Reason.COMPUTED_INCLUDE, tokens)
        if tokens in seen:
            return []
        seen.add(tokens)
        bodies = self._bodies(tokens, reached, defines)
        # A body that is empty, a number or in brackets is no header's name: an error, or a branch not taken.
        useful = [body for body in bodies if body and body[0] not in b"0123456789(-+.'"]
        return [pair for body in useful for pair in self._candidates(body, reached, defines, seen)]

    def _bodies(self, name: bytes, reached: Reached, defines: tuple[bytes, ...]) -> tuple[bytes, ...]:
        bodies: dict[bytes, None] = {}
        for define in defines:
            macro, given, body = define.removeprefix(b"-D").strip().partition(b"=")
            if macro == name:
                bodies[body.strip() if given else b"1"] = None
        for path in reached.texts:
            bodies.update(dict.fromkeys(self._definitions_in(path, name)))
        return tuple(bodies)

    def _definitions_in(self, path: bytes, name: bytes) -> tuple[bytes, ...]:
        key = (self._world.files[path].content.digest, name)
        known = self._definitions.get(key)
        if known is None:
            if len(self._definitions) >= MAX_DEFINITIONS:
                self._definitions.clear()
            known = self._definitions[key] = find_definitions(self._text(path), name)
        return known

    def _unwrap(self, reached: Reached, defines: tuple[bytes, ...]) -> None:
        """Macros that stand for ``__has_include``: what is given to them is probed for, too."""
        wrappers = {name: None for node in reached.texts.values() for name in node.directives.wrappers}
        for define in defines:
            if b"__has_" in define:
                wrappers[define.removeprefix(b"-D").strip().partition(b"=")[0].partition(b"(")[0]] = None
        queue = list(wrappers)
        while queue:
            wrapper = queue.pop()
            for path in list(reached.texts):
                probes, more = self._uses_in(path, wrapper)
                queue += [name for name in more if name not in wrappers]
                wrappers.update(dict.fromkeys(more))
                for probe in probes:
                    if probe.form is Form.MACRO:
                        self._follow(probe, path, reached, defines)
                        continue
                    self._open(probe, path.rpartition(b"/")[0] or b"/", reached)

    def _uses_in(self, path: bytes, wrapper: bytes) -> tuple[tuple[Include, ...], tuple[bytes, ...]]:
        key = (self._world.files[path].content.digest, wrapper)
        known = self._uses.get(key)
        if known is None:
            if len(self._uses) >= MAX_DEFINITIONS:
                self._uses.clear()
            known = self._uses[key] = find_uses(self._text(path), wrapper)
        return known

    def _text(self, path: bytes) -> bytes:
        read = read_stable(path)
        if read is None or read[0] != self._world.files[path].signature:
            raise Stale(path)
        return read[1]

"""After any changes, at any pace, an index that saw them gives the closure that a new index gives."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.sources.trees import Project
from zdistcc.sources.index import SourceIndex
from zdistcc.sources.model import Closure, Unclosable

NAMES = st.sampled_from(["a.h", "b.h", "sub/a.h", "sub/b.h", "sub"])
PLACES = st.sampled_from([".", "one", "two", "three/deep", "now"])
SPELLINGS = ['"a.h"', "<a.h>", '"b.h"', "<b.h>", '"sub/a.h"', "<sub/b.h>", '"../b.h"', '"sub/../a.h"']
LINES = st.one_of(
    st.sampled_from(SPELLINGS).map("#include {}".format),
    st.sampled_from(SPELLINGS).map("#define H {}".format),
    st.sampled_from(SPELLINGS).map("#if __has_include({})".format),
    st.just("#include H"),
    st.just("#include_next <a.h>"),
    st.just("__TIMESTAMP__"),
)
TEXTS = st.lists(LINES, max_size=3).map("\n".join)


class Changes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        (self.root / "main.c").write_text('#include "a.h"\n#include <b.h>\n')
        self.project = Project(self.root, quote=("three/deep",), angle=("one", "now", "two"))

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule(place=PLACES, name=NAMES, text=TEXTS)
    def write(self, place: str, name: str, text: str) -> None:
        self._try(lambda: self._write(self.root / place / name, text))

    @rule(text=TEXTS)
    def edit_source(self, text: str) -> None:
        self._write(self.root / "main.c", text)

    @rule(place=PLACES, name=NAMES)
    def touch_back(self, place: str, name: str) -> None:
        """As long as before, and of the same modification time."""
        path = self.root / place / name
        if path.is_file():
            times = path.stat()
            path.write_bytes(path.read_bytes()[::-1])
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    @rule(place=PLACES, name=NAMES)
    def remove(self, place: str, name: str) -> None:
        path = self.root / place / name
        self._try(lambda: shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink())

    @rule(place=PLACES)
    def remove_place(self, place: str) -> None:
        path = self.root / place
        if place != ".":
            self._try(lambda: path.unlink() if path.is_symlink() else shutil.rmtree(path))

    @rule(place=PLACES, name=NAMES, to=PLACES, to_name=NAMES)
    def move(self, place: str, name: str, to: str, to_name: str) -> None:
        self._try(lambda: os.rename(self.root / place / name, self.root / to / to_name))

    @rule(place=PLACES, to=PLACES)
    def move_place(self, place: str, to: str) -> None:
        self._try(lambda: os.rename(self.root / place, self.root / to))

    @rule(aim=PLACES)
    def switch(self, aim: str) -> None:
        (self.root / "next").symlink_to(aim)
        self._try(lambda: os.rename(self.root / "next", self.root / "now"))
        (self.root / "next").unlink(missing_ok=True)

    @rule(place=PLACES, name=NAMES, to=PLACES, to_name=NAMES, hard=st.booleans())
    def link(self, place: str, name: str, to: str, to_name: str, hard: bool) -> None:
        make = os.link if hard else os.symlink
        self._try(lambda: make(self.root / place / name, self.root / to / to_name))

    @invariant()
    def as_a_new_index_says(self) -> None:
        fresh = Project(self.root, quote=self.project.quote, angle=self.project.angle)
        fresh.index = SourceIndex()
        expected, actual = fresh.answer(), self.project.answer()
        if isinstance(expected, Closure):
            assert isinstance(actual, Closure), actual
            assert (actual.files, set(actual.links), actual.directories, actual.cautions) == (
                expected.files,
                set(expected.links),
                expected.directories,
                expected.cautions,
            )
        elif isinstance(expected, Unclosable):
            assert actual == expected
        else:
            assert type(actual) is type(expected)

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @staticmethod
    def _try(change: object) -> None:
        """Not every change is possible in every tree."""
        assert callable(change)
        try:
            change()
        except OSError:
            return


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)

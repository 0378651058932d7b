"""Headers mode gives what a local compile gives: objects, dependency files, messages, byte for byte."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import run_case
from tests.e2e.cases import FLAGS, SPELLINGS, Case
from tests.e2e.exact import Comparison
from tests.e2e.farm import Farm, missing
from tests.lan.needs import lan_unavailable_reason

WHY_NOT = missing() or lan_unavailable_reason()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


@pytest.fixture(scope="module")
def comparison() -> Iterator[Comparison]:
    with tempfile.TemporaryDirectory(prefix="zdistcc-exact-") as name, Farm(Path(name), workers=1) as farm:
        farm.wait_for_workers()
        yield Comparison(farm)


def each() -> Iterator[object]:
    for case in (*FLAGS, *SPELLINGS):
        for compiler in run_case.expand(case):
            yield pytest.param(case, compiler, id=f"{case.name}-{compiler}")


@pytest.mark.parametrize(("case", "compiler"), list(each()))
def test_a_compile_there_is_a_compile_here(comparison: Comparison, case: Case, compiler: str) -> None:
    top = run_case.place(comparison.farm.directory / "project", case)
    words, cwd, env = run_case.command(case, compiler, top)
    got = comparison.same(words, cwd, top, env)
    wanted = run_case.expected(case, compiler)
    assert wanted is None or got.way == wanted

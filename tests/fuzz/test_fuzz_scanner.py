"""A short run of the scanner's fuzzer."""

from __future__ import annotations

from tests.fuzz.fuzz_scanner import check


def test_the_scanner_names_what_compilers_include() -> None:
    assert check(seed=7, count=60) is None

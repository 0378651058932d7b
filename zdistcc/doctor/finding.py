"""What a check has found: one line, and when something is wrong, what to do."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.Enum):
    """How bad it is; only ``BAD`` makes the doctor's exit code 1."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``check`` names the check, ``subject`` what was looked at; ``remedy`` is empty when nothing is to be done."""

    check: str
    verdict: Verdict
    text: str
    subject: str = ""
    remedy: str = ""


def good(check: str, text: str, subject: str = "") -> Finding:
    """Return a finding that all is well."""
    return Finding(check=check, verdict=Verdict.GOOD, text=text, subject=subject)


def note(check: str, text: str, remedy: str = "", subject: str = "") -> Finding:
    """Return a finding of something that costs, or may surprise."""
    return Finding(check=check, verdict=Verdict.NOTE, text=text, remedy=remedy, subject=subject)


def bad(check: str, text: str, remedy: str, subject: str = "") -> Finding:
    """Return a finding of something that keeps machines from helping."""
    return Finding(check=check, verdict=Verdict.BAD, text=text, remedy=remedy, subject=subject)

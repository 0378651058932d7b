"""The journal: records by phase, one end each, bounded, and harmless to a terminal."""

from __future__ import annotations

import pytest

from zdistcc.agent import journal
from zdistcc.agent.journal import Journal, subject
from zdistcc.schedule.events import JobId
from zdistcc.wire.control import LaunchFlag, LaunchRequest


class Clock:
    """A clock that shows what it is set to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def request(*words: bytes) -> LaunchRequest:
    return LaunchRequest(
        cwd=b"/home/me/x", compiler=b"/usr/bin/gcc", argv=words, env={}, flags=LaunchFlag(0), umask=0o022, pid=7
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([b"gcc", b"-c", b"a.c", b"-o", b"a.o"], b"a.c"),
        ([b"gcc", b"-o", b"prog", b"a.o", b"b.o"], b"prog"),
        ([b"gcc", b"-o", b"prog", b"main.c", b"b.o"], b"main.c"),
        ([b"gcc", b"--version"], b"gcc"),
        ([b"gcc", b"-o"], b"gcc"),
    ],
)
def test_the_subject_of_a_command_is_its_source_or_what_it_makes(words: list[bytes], expected: bytes) -> None:
    assert subject(tuple(words)) == expected


def test_a_job_is_under_way_from_its_begin_to_its_first_end() -> None:
    clock = Clock()
    kept = Journal(clock)
    record = kept.begin(JobId(1), request(b"gcc", b"-c", b"a.c"))
    assert (record.file, record.directory, record.begun, record.fate) == ("a.c", "/home/me/x", 100.0, "")
    clock.now = 101.0
    kept.runs_here(JobId(1))
    clock.now = 103.0
    kept.end(JobId(1), "local")
    kept.end(JobId(1), "abandoned")
    kept.end(None, "local")
    kept.runs_here(JobId(1))
    assert not kept.under_way
    assert [(each.fate, each.running, each.ended) for each in kept.jobs()] == [("local", 101.0, 103.0)]


def test_only_the_newest_are_kept_and_asked_for_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "KEPT_JOBS", 3)
    kept = Journal(Clock())
    for number in range(1, 6):
        kept.begin(JobId(number), request(b"gcc", b"-c", b"%d.c" % number))
        kept.end(JobId(number), "remote")
    assert kept.finished == 5
    assert [each.job for each in kept.jobs()] == [3, 4, 5]
    assert [each.job for each in kept.jobs(after=1)] == [3, 4, 5]
    assert [each.job for each in kept.jobs(after=4)] == [5]
    assert [each.job for each in kept.jobs(after=5)] == []


def test_notes_are_numbered_and_cannot_act_on_a_terminal() -> None:
    kept = Journal(Clock())
    kept.note("joined", "desk", "192.0.2.1:3633")
    kept.note("lost", "desk", "\x1b[2Jsilence")
    assert [(note.number, note.kind) for note in kept.notes()] == [(1, "joined"), (2, "lost")]
    assert [note.text for note in kept.notes(after=1)] == ["?[2Jsilence"]
    assert kept.begin(JobId(1), request(b"gcc", b"-c", b"\x1b\xff.c")).file == "??.c"

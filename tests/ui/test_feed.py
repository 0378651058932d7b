"""What is kept of snapshots: rates by the second, events once each, and a new agent from its beginning."""

from __future__ import annotations

from tests.ui import pictures
from zdistcc.ui.cells import ASCII, UNICODE, bar, clean, fit, fit_path, size, span, spark, trip
from zdistcc.ui.feed import Feed, Rates


def test_rates_are_growth_by_the_second() -> None:
    rates = Rates()
    for time, count in ((10.1, 5), (10.9, 7), (11.5, 10), (14.0, 16)):
        rates.take(time, count)
    assert rates.values == [2, 3, 0, 0]
    assert rates.recent == 1.0


def test_a_count_that_begins_anew_is_no_growth() -> None:
    rates = Rates()
    rates.take(10.0, 500)
    rates.take(11.0, 3)
    rates.take(12.0, 4)
    assert sum(rates.values) <= 1


def test_a_long_pause_costs_no_memory() -> None:
    rates = Rates()
    rates.take(10.0, 1)
    rates.take(1e9, 2)
    rates.take(10.0, 3)
    assert len(rates.values) == 240


def test_events_come_once_and_those_alike_are_counted() -> None:
    feed = Feed()
    assert feed.after == {}
    feed.take(pictures.ready())
    assert feed.after == {"revision": 7, "finished": 0, "notes": 3}
    more = [pictures.note(number, 1, "failed", "desk", f"cause {number}") for number in (4, 5, 6)]
    feed.take(pictures.picture(notes=more))
    assert [(note["kind"], note["text"], number) for note, number in feed.log][3:] == [("failed", "cause 6", 3)]


def test_another_agent_begins_from_the_beginning() -> None:
    feed = Feed()
    feed.take(pictures.ready())
    feed.take(
        pictures.picture(
            agent={"version": "1", "pid": 2, "uptime_s": 0.1}, notes=[pictures.note(1, 0, "joined", "a", "")]
        )
    )
    assert [note["worker"] for note, _ in feed.log] == ["a"]


def test_words_fit_their_cells() -> None:
    assert fit("desk", 6) == "desk  " and fit("workstation", 6) == "works…" and fit("漢字漢字", 6) == "漢字… "
    assert fit_path("src/a/b/parser.cc", 10) == "…parser.cc" and fit_path("a.c", 10) == "a.c"
    assert clean("a\u202eb\x1bc\u0301") == "a?b?c" and clean("é漢", False) == "??"


def test_bars_show_what_is_there() -> None:
    def drawn(*words: int) -> str:
        return "".join(text for text, _ in bar(*words, UNICODE))

    assert drawn(4, 1, 2, 6) == "█▒▒·  "
    assert drawn(64, 1, 1, 8) == "█▒······", "one of many is seen"
    assert drawn(4, 9, 9, 4) == "████"
    assert drawn(0, 0, 0, 4) == "    "


def test_sparks_and_numbers() -> None:
    assert spark([0, 1, 4, 8], 6, UNICODE) == "   ▁▄█" and spark([], 3, UNICODE) == "   "
    assert spark([1, 1], 2, ASCII) == "@@"
    assert [span(value) for value in (0.9, 59, 61, 3661)] == ["0s", "59s", "1:01", "1:01:01"]
    assert [size(value) for value in (0, 999, 1500, 123_456, 2.5e9, 3e13)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "123 kB",
        "2.5 GB",
        "30.0 TB",
    ]
    assert [trip(value, UNICODE) for value in (None, 0.31, 31)] == ["–", "0.3ms", "31ms"]  # noqa: RUF001

"""`status` as it is drawn: kept screenshots, any size, and names that would like to write to the terminal."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from rich.cells import cell_len

from tests.ui import pictures
from tests.ui.renew import PICTURE, SCREENS, SIZES, STATES, picture, screen, text_of
from zdistcc.ui.controls import SORTS, Controls
from zdistcc.ui.feed import Feed
from zdistcc.ui.view import Frame, draw

HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07",
    "a\rb\nc\td\x08e\x9bf",
    "\u202egnp.exe\u2066\u200b\ufeff",
    "[red]x[/red][link=https://evil.example]y[/link]",
    "e" + "\u0301" * 30,
    "漢字" * 100,
    "👩\u200d👩\u200d👧" * 20,
    "x" * 5000,
    "\udcff\ud800",
    "",
)


def text(shown: dict[str, Any], width: int = 80, height: int = 24, **chosen: Any) -> str:
    controls = Controls(**chosen)
    return text_of(draw(pictures.feed_of(shown), controls, Frame(width=width, height=height)))


@pytest.mark.parametrize(("state", "size"), list(itertools.product(STATES, SIZES)))
def test_screenshots_are_as_kept(state: str, size: str) -> None:
    """`python -m tests.ui.renew` makes them anew."""
    assert text_of(screen(state, *SIZES[size])) == (SCREENS / f"{state}-{size}.txt").read_text()


def test_no_screenshot_is_kept_of_what_is_gone() -> None:
    assert {path.stem for path in SCREENS.iterdir()} == {f"{state}-{size}" for state in STATES for size in SIZES}


def test_the_picture_of_readme_is_up_to_date() -> None:
    assert PICTURE.read_text() == picture()


# --- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("unicode", [True, False])
def test_every_size_is_filled_and_no_more(state: str, unicode: bool) -> None:
    for width, height in itertools.product(
        (1, 39, 40, 59, 60, 75, 76, 80, 109, 110, 169, 170, 240, 400), (1, 9, 10, 15, 24, 80)
    ):
        lines = screen(state, width, height, unicode=unicode).lines
        assert len(lines) == height
        for line in lines:
            shown = "".join(piece.text for piece in line)
            assert cell_len(shown) == width
            assert unicode or shown.isascii()


@pytest.mark.parametrize("number", [1, 5, 12, 100, 512])
def test_any_number_of_hosts(number: int) -> None:
    hosts = [pictures.host(f"host{index:03}", index, 8) for index in range(1, number + 1)]
    for width, height in SIZES.values():
        shown = text(pictures.picture(hosts=hosts), width, height)
        assert "host001" in shown
        last = text(pictures.picture(hosts=hosts), width, height, selected=f"{number:016x}")
        assert f"host{number:03}" in last
        assert ("arrows show the others" in last) == (
            f"host{(number + 1) // 2:03}" not in last or "host001" not in last
        )


def test_every_fact_of_a_build_is_readable_at_80_by_24() -> None:
    shown = text(pictures.building())
    for fact in (
        *("for gcc 12.2.0", "3 of 3 hosts usable", "this machine", "raytrace 1s"),
        *(
            "desk",
            "192.168.1.12:3633",
            "ready",
            "█████▒▒·",
            "7/8",
            "1.0\N{MULTIPLICATION SIGN}",
            "0.4ms",
            "133",
            "✓ gcc 12.2.0",
            "0.1.0",
        ),
        *(
            "utf8.c 1s",
            "hashmap.c 1s",
            "main.cc 2s",
            "2:trace.cc 0s",
            "busy",
            "0.6\N{MULTIPLICATION SIGN}",
            "1.4\N{MULTIPLICATION SIGN}",
        ),
        *("13 there", "1 here", "6 waiting", "349 done in 38s", "headers 327", "preprocessed 5", "local 17: link 11"),
        *(
            "jobs/s",
            "bytes/s",
            "MB",
            "parallelism 17.2",
            "speed-up 3.4\N{MULTIPLICATION SIGN}",
            "second starts 2 (1 won)",
            "joined",
        ),
    ):
        assert fact in shown, fact


def test_states_say_why_and_how_long() -> None:
    shown = text(pictures.trouble())
    for fact in (
        *("lost 7s", "the other side closed the connection", "backoff 12s", "✗ gcc 11.4.0", "incompatible", "draining"),
        *("has gcc 11.4.0, the job needs 12.2.0", "unreachable", "refused", "2 times, last: src/json/value.cc"),
    ):
        assert fact in shown, fact
    older = text_of(draw(pictures.feed_of(pictures.trouble()), Controls(), Frame(width=80, height=24, age_s=5)))
    assert "lost 12s" in older and "backoff 7s" in older and "parser.cc 11s" in older and "done in 1:06" in older


def test_the_states_of_other_versions_are_shown_as_they_are() -> None:
    hosts = [
        pictures.host("odd", 1, 2, state="asleep"),
        pictures.host("ill", 2, 2, state="quarantined", reason="wrong bytes"),
    ]
    shown = text(pictures.picture(hosts=hosts))
    assert "asleep" in shown and "quarantined" in shown and "wrong bytes" in shown
    known = pictures.host("rich", 3, 2, others_load=1.5, memory_free=2_000_000, limited="battery")
    assert "0+1.5" in text(pictures.picture(hosts=[known]))
    full = text(pictures.picture(hosts=[known]), selected=f"{3:016x}", expanded=True)
    assert "load by others 1.5" in full and "2.0 MB of memory free" in full and "battery" in full


# --- controls --------------------------------------------------------------------------------------


def test_a_fresh_agent_listens_before_it_says_that_nobody_is_there() -> None:
    fresh = pictures.picture(agent={"version": "0.1.0", "pid": 1, "uptime_s": 0.4})
    assert "Listening" in text(fresh) and "No worker found" not in text(fresh)
    assert "No worker found" in text(pictures.empty()) and "ZDISTCC_PEERS=host zdistcc status" in text(pictures.empty())


def test_a_filter_that_finds_nobody_says_so() -> None:
    shown = text(pictures.ready(), filter="zz\x1b[2J", typing=True)
    assert "No host is like zz?[2J" in shown and "filter: zz?[2J" in shown


def test_one_host_in_full_says_which_compilers_fit_and_why_not() -> None:
    shown = text(pictures.building(), 100, selected=f"{13:016x}", expanded=True)
    assert "✓ gcc 12.2.0 (x86_64-linux-gnu) · fits, if a trial compile agrees" in shown
    assert "✗ clang 14.0.6 (x86_64-linux-gnu) · another family than gcc" in shown
    assert "fits: the same build" in text(pictures.building(), 100, selected=f"{12:016x}", expanded=True)
    shown = text(pictures.trouble(), 100, selected=f"{14:016x}", expanded=True)
    assert "✗ gcc 11.4.0 (x86_64-linux-gnu) · another version than 12.2.0" in shown
    assert "has gcc 11.4.0, the job needs 12.2.0" in shown


def test_what_is_held_says_so() -> None:
    assert " paused " in text(pictures.ready(), paused=True)


def test_before_the_first_answer_and_after_the_last() -> None:
    feed = Feed()
    frame = Frame(width=80, height=24)
    assert "asking the agent" in text_of(draw(feed, Controls(), frame))
    feed.take(pictures.ready())
    feed.lost("no agent is running")
    shown = text_of(draw(feed, Controls(), frame))
    assert "no agent is running" in shown and "laptop" in shown


# --- what others say -------------------------------------------------------------------------------


def harmless(shown: str, width: int) -> None:
    for line in shown.splitlines():
        assert line.isprintable(), repr(line)
        assert cell_len(line) == width + 1


@pytest.mark.parametrize("evil", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_that_others_say_acts_on_the_terminal(evil: str) -> None:
    host = pictures.host(
        evil, 1, 4, id=evil, address=evil, addresses=[evil], state=evil, reason=evil, version=evil, ways=[evil],
        compilers=[dict.fromkeys(pictures.GCC, evil)], match={**dict.fromkeys(pictures.GCC, evil), "exact": False},
        jobs=[pictures.job(1, 1.0, file=evil, directory=evil, phase=evil)],
    )  # fmt: skip
    shown = pictures.building()
    shown |= {
        "hosts": [host, {**host, "jobs": [], "match": None}],
        "compiler": dict.fromkeys(pictures.GCC, evil),
        "notes": [pictures.note(1, 1, evil, evil, evil)],
        "build": {**shown["build"], "reasons": {evil: 3}},
        "local": {**shown["local"], "files": [pictures.job(1, 1.0, file=evil)]},
    }
    for width, height in ((80, 24), (60, 15), (240, 80)):
        for chosen in ({}, {"selected": evil or evil, "expanded": True}, {"filter": evil, "typing": True}):
            harmless(text(shown, width, height, **chosen), width)
    feed = pictures.feed_of(shown)
    feed.lost(evil)
    harmless(text_of(draw(feed, Controls(), Frame(width=80, height=24))), 80)


def test_markup_is_shown_as_it_is() -> None:
    assert "[red]x[/red]" in text(pictures.picture(hosts=[pictures.host("[red]x[/red]", 1, 2)]))


@pytest.mark.parametrize("sort", SORTS)
def test_the_order_is_named(sort: str) -> None:
    assert f"sort: {sort}" in text(pictures.ready(), sort=sort)

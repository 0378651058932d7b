"""What ``status`` shows: title, hosts, the build, events, keys; made of a snapshot and of what the user chose.  Pure.

:func:`draw` returns a :class:`Screen`, lines that are exactly as wide as the terminal.  Who shows it compares them with
the lines before and writes those that differ.

Must not know: terminals, the clock (the age of the snapshot and the time zone are arguments).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rich.console import Console, ConsoleOptions
from rich.segment import Segment

from zdistcc.errors import Reason
from zdistcc.ui import hostlist
from zdistcc.ui.cells import (
    ASCII,
    BAD,
    BOLD,
    COOL,
    DIM,
    GOOD,
    MARK,
    PALE,
    PLAIN,
    TITLE,
    UNICODE,
    WARM,
    Glyphs,
    Line,
    Row,
    clean,
    fit,
    size,
    span,
    spark,
)
from zdistcc.ui.controls import Controls, Host, key_of, listed
from zdistcc.ui.feed import Feed, Picture, Rates
from zdistcc.ui.hostlist import Look

LEAST_WIDTH: Final = 40
LEAST_HEIGHT: Final = 10
WORDY_WIDTH: Final = 120
"""From here on reasons are sentences; below, the words that the manual explains."""
LISTENING_S: Final = 2.0
"""A fresh agent is given this long to hear of workers before their absence is a fact."""
_TEXTS: Final = {reason.word: reason.text for reason in Reason}
_KINDS: Final = {
    "joined": GOOD, "left": DIM, "lost": BAD, "unreachable": BAD, "refused": PALE, "failed": BAD, "quarantined": BAD,
    "fidelity": WARM,
}  # fmt: skip
_HELP: Final = (
    ("q", "leave; also Ctrl-C"),
    ("s", "sort the hosts by the next of: name, state, load, slots, speed, round trip, jobs done"),
    ("/", "show only hosts whose name, address, state or compilers contain what you type; Esc ends it"),
    ("up, down, PgUp, PgDn, Home, End", "select a host"),
    ("e, Enter", "show one host in full: its compilers, and why each fits or not; again: all hosts"),
    ("p", "hold the picture still; again: go on"),
    ("?", "this help"),
)
_LEGEND: Final = (
    "SLOTS: {ours} jobs of yours, {others} of others, {free} free. SPEED: of a slot, compared with the machine whose"
    " results came first.",
    "TRIP: round trip. DONE: jobs done for you. OTHERS: jobs of other clients.",
    "A job in grey is on its way there; 2: marks a second start. man zdistcc explains all.",
)
_NOBODY: Final = (
    "No worker found.",
    "Start zdistccd on another machine of this network.",
    "If one runs already and multicast does not reach it, name it:",
    "  ZDISTCC_PEERS=host zdistcc status",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Lines of one width; a rich renderable."""

    lines: tuple[Line, ...]
    width: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Print the lines."""
        for line in self.lines:
            yield from line
            yield Segment.line()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where a screen is shown: its size (``height`` 0: as high as it takes), characters, age of the snapshot, zone."""

    width: int
    height: int = 0
    unicode: bool = True
    age_s: float = 0.0
    zone_s: int = 0

    @property
    def glyphs(self) -> Glyphs:
        """The characters to draw with."""
        return UNICODE if self.unicode else ASCII

    def row(self) -> Row:
        """Return a line to be filled."""
        return Row(self.width, self.glyphs)

    def clock(self, time: float) -> str:
        """Return a time of day."""
        return f"{datetime.fromtimestamp(time, UTC) + timedelta(seconds=self.zone_s):%H:%M:%S}"


def draw(feed: Feed, controls: Controls, frame: Frame) -> Screen:
    """Return what is to be seen."""
    picture = feed.picture
    if frame.height and (frame.width < LEAST_WIDTH or frame.height < LEAST_HEIGHT):
        lines = [frame.row().add("too small").line()]
    elif picture is None:
        lines = [frame.row().add("zdistcc status", TITLE).skip(2).said(feed.trouble or "asking the agent").line()]
    else:
        lines = _full(feed, picture, controls, frame)
    if frame.height:
        empty = frame.row().line()
        lines = [*lines[: frame.height], *(empty for _ in range(frame.height - len(lines)))]
    return Screen(lines=tuple(lines), width=frame.width)


def _full(feed: Feed, picture: Picture, controls: Controls, frame: Frame) -> list[Line]:
    if controls.help:
        return _with_keys([_title(feed, picture, controls, frame), *_help(frame)], controls, frame)
    build = _build(feed, picture, frame)
    if 0 < frame.height < 20:
        build = build[:3]
    events = 10 if not frame.height else 5 if frame.height >= 40 else 3 if frame.height >= 20 else 2
    # Title, two rules and keys.
    room = frame.height - len(build) - events - 4 if frame.height else 0
    top = _middle(picture, controls, frame, room)
    if frame.height:
        events += max(0, room - len(top))
    lines = [_title(feed, picture, controls, frame), *top, _rule("build", frame), *build]
    log = _events(feed, frame, events)
    if log or frame.height:
        lines += [_rule("events", frame), *log]
    return _with_keys(lines, controls, frame) if frame.height else lines


def _with_keys(lines: list[Line], controls: Controls, frame: Frame) -> list[Line]:
    lines += [frame.row().line()] * (frame.height - 1 - len(lines))
    return [*lines[: frame.height - 1], _keys(controls, frame)]


# --- title, rules, keys ----------------------------------------------------------------------------


def _title(feed: Feed, picture: Picture, controls: Controls, frame: Frame) -> Line:
    hosts = picture["hosts"]
    usable = sum(1 for host in hosts if host.get("usable"))
    right = f"{usable} of {len(hosts)} hosts usable  {frame.clock(picture['time'] + frame.age_s)}"
    row = frame.row().add("zdistcc status", TITLE)
    if feed.trouble:
        return row.skip(2).said(feed.trouble, BAD).line()
    mine = picture.get("compiler")
    if controls.paused:
        row.skip(2).add(" paused ", MARK)
    elif frame.width >= 76:
        row.skip(2).said(f"for {mine['family']} {mine['version']}" if mine else "no C compiler here", DIM)
        if mine and frame.width >= 100:
            row.said(f" ({mine['target']})", DIM)
    return row.to(frame.width - len(right)).add(right).line()


def _rule(word: str, frame: Frame) -> Line:
    rule = frame.glyphs.rule
    row = frame.row().add(rule * 2, DIM).add(f" {word} ", BOLD)
    return row.add(rule * row.room, DIM).line()


def _keys(controls: Controls, frame: Frame) -> Line:
    row = frame.row()
    if controls.typing:
        return (
            row.add("filter: ", BOLD)
            .said(controls.filter)
            .add("_", MARK)
            .add("   Enter keeps it, Esc ends it", DIM)
            .line()
        )
    words = [
        ("q", "leave"),
        ("s", f"sort: {controls.sort}"),
        ("/", f"filter: {controls.filter}" if controls.filter else "filter"),
        ("e", "all hosts" if controls.expanded else "one host"),
        ("p", "go on" if controls.paused else "hold"),
        ("?", "help"),
    ]
    for number, (key, word) in enumerate(words):
        row.skip(2 if number else 0).add(key, MARK).skip(1).said(word)
    return row.line()


# --- hosts -----------------------------------------------------------------------------------------


def _middle(picture: Picture, controls: Controls, frame: Frame, room: int) -> list[Line]:
    """Return the hosts, or one of them in full."""
    look = Look(
        glyphs=frame.glyphs,
        unicode=frame.unicode,
        compiler=picture.get("compiler"),
        age_s=frame.age_s,
        building=bool((picture.get("build") or {}).get("running")),
    )
    hosts = listed(picture["hosts"], controls)
    chosen = next((host for host in hosts if key_of(host) == controls.selected), None)
    if controls.expanded and chosen is not None:
        return hostlist.details(chosen, frame.width, room, look)
    nobody = _nobody(picture, controls, frame) if not hosts else []
    shown = [_this_machine(picture), *hosts]
    space = room - len(nobody) if room else 0
    rows, first, last = hostlist.table(shown, frame.width, space, controls.selected, look)
    if last - first < len(shown):
        note = f"hosts {max(1, first)}-{last - 1} of {len(hosts)}; arrows show the others"
        rows.append(frame.row().add(note, DIM).line())
    return [*rows, *nobody]


def _nobody(picture: Picture, controls: Controls, frame: Frame) -> list[Line]:
    empty = frame.row().line()
    if controls.filter:
        return [empty, frame.row().add("  No host is like ").said(controls.filter).line()]
    if picture.get("agent", {}).get("uptime_s", LISTENING_S) < LISTENING_S:
        return [empty, frame.row().add("  Listening for workers").add(frame.glyphs.more).line()]
    return [
        empty,
        *(frame.row().add(f"  {text}", WARM if not number else PLAIN).line() for number, text in enumerate(_NOBODY)),
    ]


def _this_machine(picture: Picture) -> Host:
    """Return this machine as a row among the hosts."""
    local, mine = picture["local"], picture.get("compiler")
    return {
        "name": "this machine",
        "id": "",
        "addresses": ["agent"],
        "usable": True,
        "state": "here",
        "slots": local["slots"],
        "running": local["running"],
        "leases": local["running"],
        "jobs": local["files"],
        "jobs_done": picture["jobs"]["done"]["local"],
        "compilers": [mine] if mine else [],
        "match": mine,
        "version": picture.get("agent", {}).get("version", ""),
    }


def _help(frame: Frame) -> list[Line]:
    glyphs = frame.glyphs
    lines = [frame.row().add("Keys", BOLD).line()]
    for keys, text in _HELP:
        words = _wrapped(text, frame.width - 14)
        head = frame.row().add(f"  {keys if len(keys) <= 11 else 'arrows':<12}", COOL)
        lines += [head.add(words[0]).line(), *(frame.row().skip(14).add(word).line() for word in words[1:])]
    for text in _LEGEND:
        shown = text.format(ours=glyphs.ours, others=glyphs.others, free=glyphs.free)
        lines += [frame.row().add(word, DIM).line() for word in _wrapped(shown, frame.width)]
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


# --- the build -------------------------------------------------------------------------------------


def _build(feed: Feed, picture: Picture, frame: Frame) -> list[Line]:
    jobs, build = picture["jobs"], picture.get("build")
    room = f"{picture.get('parallelism') or 0:g}"
    speeds = frame.row()
    for word, rates, text in (
        ("jobs/s", feed.jobs, f"{feed.jobs.recent:.1f}"),
        ("bytes/s", feed.bytes, size(feed.bytes.recent)),
    ):
        _rate(speeds, word, rates, text, frame)
    ahead = frame.row().add("parallelism ", DIM).add(room, BOLD)
    if build is None:
        hint = frame.row().add("No build yet.  Try:  ", DIM).add("zdistcc make")
        return [hint.line(), ahead.line()]
    dot = frame.glyphs.dot
    done = build["done"]
    now = frame.row().add(str(jobs["remote"]), GOOD).add(" there").add(dot, DIM)
    now.add(str(jobs["local"]), WARM).add(" here").add(dot, DIM).add(str(jobs["waiting"]), COOL).add(" waiting")
    now.add(dot, DIM).add(str(sum(done.values())), BOLD).add(" done in ")
    now.add(span(build["elapsed_s"] + (frame.age_s if build["running"] else 0)))
    for word in ("failed", "abandoned"):
        if done.get(word):
            now.add(dot, DIM).add(f"{done[word]} {word}", BAD)
    if not build["running"]:
        now.add("  (the last build)", DIM)
    if build.get("speed_up"):
        ahead.add(dot, DIM).add("speed-up ", DIM).add(f"{build['speed_up']:.1f}{frame.glyphs.times}", BOLD)
    second = picture.get("second_starts", {})
    if second.get("started"):
        ahead.add(dot, DIM).add("second starts ", DIM).add(f"{second['started']} ({second['won']} won)")
    return [now.line(), _modes(build, frame), speeds.line(), ahead.line()]


def _modes(build: Mapping[str, Any], frame: Frame) -> Line:
    dot, modes = frame.glyphs.dot, build["modes"]
    row = frame.row().add(f"headers {modes['headers']}").add(dot, DIM).add(f"preprocessed {modes['preprocessed']}")
    row.add(dot, DIM).add(f"local {modes['local']}")
    for number, (word, count) in enumerate(build["reasons"].items()):
        text = f"{_TEXTS.get(word, word) if frame.width >= WORDY_WIDTH else word} {count}"
        if row.room < len(text) + 2 and number:
            row.add(f", {frame.glyphs.more}", DIM)
            break
        row.add(", " if number else ": ", DIM).said(text, DIM)
    return row.line()


def _rate(row: Row, word: str, rates: Rates, text: str, frame: Frame) -> None:
    share = frame.width // 2
    picture = max(4, share - len(word) - 13)
    row.add(f"{word} ", DIM).add(spark(rates.values, picture, frame.glyphs), COOL).add(f" {fit(text, 9)}").skip(2)


# --- events ----------------------------------------------------------------------------------------


def _events(feed: Feed, frame: Frame, room: int) -> list[Line]:
    lines = []
    for note, number in list(feed.log)[-room:] if room > 0 else ():
        row = frame.row().add(frame.clock(note["time"]), DIM).skip(1)
        row.add(
            fit(clean(str(note["kind"]), frame.unicode), 11, frame.glyphs.more), _KINDS.get(note["kind"], PLAIN)
        ).skip(1)
        row.said(fit(clean(note["worker"], frame.unicode), min(14, frame.width // 5), frame.glyphs.more), BOLD).skip(1)
        row.said(f"{number} times, last: " if number > 1 else "", DIM).said(note["text"])
        lines.append(row.line())
    return lines

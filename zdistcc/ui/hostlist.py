"""The hosts of ``status``: a table with one line or some for each, or one host in full.  Pure.

A column is a row of ``_COLUMNS``; which are shown depends on the width.  Where there is room, each host has further
lines that take what found no column, and the files of its jobs.  While a build runs, how many depends on slots, not
on what they do at the moment: rows that jump cannot be read.

Must not know: the other panes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.cells import cell_len

from zdistcc.ui.cells import (
    BAD,
    BOLD,
    COOL,
    DIM,
    GOOD,
    MARK,
    PALE,
    PLAIN,
    WARM,
    Glyphs,
    Line,
    Row,
    bar,
    clean,
    fit,
    fit_path,
    fit_right,
    size,
    span,
    trip,
)
from zdistcc.ui.controls import Host, key_of

STATES: Final = {
    "here": BOLD, "ready": GOOD, "busy": WARM, "draining": WARM, "resting": COOL, "connecting": COOL, "backoff": PALE,
    "incompatible": BAD, "quarantined": BAD, "unreachable": BAD, "refusing": BAD, "off": DIM, "lost": BAD, "left": DIM,
}  # fmt: skip
JOB_CELLS: Final = 18
"""A running job: the end of its file's name, and its age."""
GAP: Final = 1
MOST_JOB_LINES: Final = 4
LEAST_WIDTH_FOR_ALL: Final = 170
"""From here on one line has room for everything."""
UNLIMITED: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How to draw: characters, this machine's compiler, how old the snapshot is (ages in it grow by that), and
    whether jobs come (each slot has a place then)."""

    glyphs: Glyphs
    unicode: bool
    compiler: Mapping[str, Any] | None
    age_s: float = 0.0
    building: bool = False

    def clean(self, word: object) -> str:
        """Return what somebody else said, harmless."""
        return clean(str(word), self.unicode)


# --- columns ---------------------------------------------------------------------------------------

Paint = Callable[[Row, Host, int, Look], None]


def _name(row: Row, host: Host, width: int, look: Look) -> None:
    row.add(fit(look.clean(host.get("name")), width, look.glyphs.more), BOLD)


def _address(row: Row, host: Host, width: int, look: Look) -> None:
    where = host.get("address") or next(iter(host.get("addresses", ())), "")
    row.add(fit(look.clean(where), width, look.glyphs.more))


def _state(row: Row, host: Host, width: int, look: Look) -> None:
    word = look.clean(host.get("state"))
    style = STATES.get(word, PLAIN)
    until, gone = host.get("until_s"), host.get("gone_s")
    if until is not None:
        word += f" {span(max(0.0, until - look.age_s))}"
    elif gone is not None:
        word += f" {span(gone + look.age_s)}"
    row.add(fit(word, width, look.glyphs.more), style)


def _slots(row: Row, host: Host, width: int, look: Look) -> None:
    slots, others = host.get("slots") or 0, host.get("others") or 0
    ours = host.get("leases") or 0
    count = f"{max(host.get('running') or 0, ours)}/{slots}"
    picture = max(0, width - 1 - max(5, len(count)))
    for text, style in bar(slots, ours, others, picture, look.glyphs):
        row.add(text, style)
    row.add(fit_right(count, width - picture))


def _speed(row: Row, host: Host, width: int, look: Look) -> None:
    speed = host.get("speed")
    row.add(fit_right(f"{speed:.1f}{look.glyphs.times}" if speed else look.glyphs.dash, width))


def _trip(row: Row, host: Host, width: int, look: Look) -> None:
    row.add(fit_right(trip(host.get("round_trip_ms"), look.glyphs), width))


def _done(row: Row, host: Host, width: int, look: Look) -> None:
    row.add(fit_right(str(host.get("jobs_done") or 0), width))


def _others(row: Row, host: Host, width: int, look: Look) -> None:
    others, load = host.get("others") or 0, host.get("others_load")
    word = f"{others}" if load is None else f"{others}+{load:.1f}"
    row.add(fit_right(word, width), WARM if others else PLAIN)


def _compilers(row: Row, host: Host, width: int, look: Look) -> None:
    end = row.room - width
    match = host.get("match")
    others = [f"{each['family']} {each['version']}" for each in host["compilers"] if not _same(each, match)]
    if match:
        row.add(f"{look.glyphs.fits} ", GOOD).said(f"{match['family']} {match['version']}", GOOD)
    elif host["compilers"] and host.get("address"):
        row.add(f"{look.glyphs.misfits} ", BAD)
    said = dict.fromkeys(word for word in others if not match or word != f"{match['family']} {match['version']}")
    for number, word in enumerate(said):
        if row.room - end < 4:
            break
        row.add(", " if match or number else "", DIM)
        word = look.clean(word)
        row.add(fit(word, min(row.room - end, cell_len(word)), look.glyphs.more), DIM)
    row.skip(row.room - end)


def _version(row: Row, host: Host, width: int, look: Look) -> None:
    row.add(fit(look.clean(host.get("version") or ""), width, look.glyphs.more), DIM)


def _jobs(row: Row, host: Host, width: int, look: Look) -> None:
    """The cause where there is no work, else the first jobs."""
    _job_line(row, host, 0, width, look, last=True)


_COLUMNS: Final[Mapping[str, tuple[bool, Paint]]] = {
    "HOST": (False, _name),
    "ADDRESS": (False, _address),
    "STATE": (False, _state),
    "SLOTS": (False, _slots),
    "SPEED": (True, _speed),
    "TRIP": (True, _trip),
    "DONE": (True, _done),
    "OTHERS": (True, _others),
    "COMPILERS": (False, _compilers),
    "VERSION": (False, _version),
    "JOBS": (False, _jobs),
}
"""Heading -> whether it stands at the right, and what paints a cell."""
_REST: Final = 0
_FLAT: Final = (
    (LEAST_WIDTH_FOR_ALL, {"HOST": 18, "ADDRESS": 21, "STATE": 13, "SLOTS": 24, "SPEED": 6, "TRIP": 7, "DONE": 6,
           "OTHERS": 7, "COMPILERS": 28, "VERSION": 7, "JOBS": _REST}),
    (110, {"HOST": 14, "STATE": 13, "SLOTS": 18, "SPEED": 6, "TRIP": 7, "DONE": 6, "OTHERS": 6, "COMPILERS": 14,
           "JOBS": _REST}),
    (76, {"HOST": 12, "STATE": 12, "SLOTS": 14, "SPEED": 5, "DONE": 5, "JOBS": _REST}),
    (0, {"HOST": 12, "STATE": 12, "SLOTS": 10, "DONE": 4, "JOBS": _REST}),
)  # fmt: skip
_DEEP: Final = (
    (110, {"HOST": 16, "STATE": 13, "SLOTS": 24, "SPEED": 6, "TRIP": 7, "DONE": 6, "OTHERS": 7, "COMPILERS": _REST}),
    (76, {"HOST": 13, "STATE": 12, "SLOTS": 14, "SPEED": 5, "TRIP": 6, "DONE": 4, "OTHERS": 6, "COMPILERS": _REST}),
    (0, {"HOST": 12, "STATE": 12, "SLOTS": 10, "TRIP": 6, "DONE": 4, "COMPILERS": _REST}),
)  # fmt: skip


def _columns(width: int, deep: bool) -> list[tuple[str, int]]:
    table = next(columns for least, columns in (_DEEP if deep else _FLAT) if width >= least)
    taken = sum(table.values()) + GAP * (len(table) - 1)
    return [(heading, cells or max(0, width - taken)) for heading, cells in table.items()]


# --- the table -------------------------------------------------------------------------------------


def lines_of(jobs: int, width: int) -> int:
    """Return how many lines a host needs to show so many jobs."""
    in_one = max(1, (width - _aside(width)) // JOB_CELLS)
    return 1 + min(MOST_JOB_LINES, max(1, -(-jobs // in_one)))


def _aside(width: int) -> int:
    """Return where jobs begin in the further lines of a host: address and version stand before them."""
    return 26 if width >= 76 else 19


def _heights(hosts: Sequence[Host], width: int, room: int, building: bool) -> list[int]:
    """Return how many lines each of ``hosts`` has in ``room`` lines: all of them just one, or each two or more."""
    if width >= LEAST_WIDTH_FOR_ALL or 2 * len(hosts) > room:
        return [1] * len(hosts)
    wanted = []
    for host in hosts:
        places = (host.get("slots") or 0) if building and host.get("usable") else 0
        wanted.append(lines_of(max(len(host.get("jobs", ())), places), width))
    for most in range(1 + MOST_JOB_LINES, 2, -1):
        heights = [min(most, each) for each in wanted]
        if sum(heights) <= room:
            return heights
    return [2] * len(hosts)


def table(
    hosts: Sequence[Host], width: int, room: int, selected: str | None, look: Look
) -> tuple[list[Line], int, int]:
    """Return the heading and the hosts in at most ``room`` lines (0: as many as it takes); and which are shown.

    One line is left free when these are not all.
    """
    heights = _heights(hosts, width, room - 1 if room else UNLIMITED, look.building and room > 0)
    deep = bool(heights) and heights[0] > 1
    columns = _columns(width, deep)
    heading = Row(width, look.glyphs)
    for number, (word, cells) in enumerate(columns):
        right, _ = _COLUMNS[word]
        heading.skip(GAP if number else 0).add((fit_right if right else fit)(word, cells, look.glyphs.more), DIM)
    first, last = 0, len(hosts)
    if room and not deep and len(hosts) > room - 1:
        shown = max(0, room - 2)
        keys = [key_of(host) for host in hosts]
        there = keys.index(selected) if selected in keys else 0
        first = max(0, min(there - shown // 2, len(hosts) - shown))
        last = first + shown
    lines = [heading.line()]
    for host, height in zip(hosts[first:last], heights[first:last], strict=True):
        style = MARK if selected is not None and key_of(host) == selected else None
        row = Row(width, look.glyphs)
        for number, (word, cells) in enumerate(columns):
            _COLUMNS[word][1](row.skip(GAP if number else 0), host, cells, look)
        lines.append(row.line(style))
        lines += _further(host, width, height - 1, look)
    return lines, first, last


def _further(host: Host, width: int, number: int, look: Look) -> Iterable[Line]:
    aside = _aside(width)
    for index in range(number):
        row = Row(width, look.glyphs)
        if index == 0:
            row.skip(2)
            address = host.get("address") or next(iter(host.get("addresses", ())), "")
            row.add(fit(look.clean(address), 17 if width >= 76 else aside - 3, look.glyphs.more), DIM)
            if width >= 76:
                row.skip(1)
                _version(row, host, aside - 21, look)
        row.to(aside)
        _job_line(row, host, index, row.room, look, last=index == number - 1)
        yield row.line()


def _job_line(row: Row, host: Host, index: int, width: int, look: Look, *, last: bool) -> None:
    jobs = host.get("jobs", ())
    if not jobs:
        why = host.get("reason") or host.get("limited")
        if index == 0 and why:
            style = STATES.get(host.get("state", ""), PLAIN) if host.get("reason") else DIM
            row.add(fit(look.clean(why), width, look.glyphs.more), style)
        return
    in_one = max(1, width // JOB_CELLS)
    shown = jobs[index * in_one : (index + 1) * in_one]
    left = len(jobs) - (index + 1) * in_one
    cells = min(JOB_CELLS, width)
    if last and left > 0 and in_one > 1:
        shown = shown[:-1]
        left += 1
    elif last and left > 0:
        cells -= 4
    for job in shown:
        _job(row, job, cells, look)
    if last and left > 0:
        row.add(f"+{left}", DIM)


def _job(row: Row, job: Mapping[str, Any], cells: int, look: Look) -> None:
    age = span(float(job.get("seconds") or 0) + look.age_s)
    name = look.clean(job.get("file")).rpartition("/")[2]
    mark = "2:" if job.get("second") else ""
    word = fit_path(name, max(1, cells - len(age) - len(mark) - 2), look.glyphs.more)
    before = row.room
    row.add(mark, PALE).add(word, DIM if job.get("phase") == "send" else PLAIN).add(f" {age}", COOL)
    row.skip(cells - (before - row.room))


# --- one host --------------------------------------------------------------------------------------


def _same(one: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    keys = ("family", "version", "target", "build_id")
    return other is not None and all(one.get(key) == other.get(key) for key in keys)


def verdict(offer: Mapping[str, Any], host: Host, mine: Mapping[str, Any] | None) -> tuple[bool, str]:
    """Return whether a compiler of ``host`` serves this machine's default compiler, and why (not)."""
    if mine is None:
        return False, "this machine has no C compiler to compare with"
    if _same(offer, mine):
        return True, "fits: the same build"
    if _same(offer, host.get("match")):
        return True, "fits, if a trial compile agrees"
    for key, word in (("family", "another family"), ("version", "another version"), ("target", "another target")):
        if offer.get(key) != mine.get(key):
            return False, f"{word} than {mine[key]}"
    return False, "the same version, of another build"


def details(host: Host, width: int, room: int, look: Look) -> list[Line]:
    """Return everything that is known of one host in at most ``room`` lines (0: as many as it takes)."""
    dot = look.glyphs.dot
    head = Row(width, look.glyphs)
    _name(head, host, min(24, width // 3), look)
    head.skip(1)
    _state(head, host, 18, look)
    why = "usable" if host.get("usable") else host.get("reason") or "not usable"
    head.said(why, GOOD if host.get("usable") else BAD)
    others = [word for word in host.get("addresses", ()) if word not in str(host.get("address"))]
    moved = host.get("bytes", {})
    facts = {
        "address": dot.join(filter(None, [host.get("address") or "not connected", *others])),
        "known by": f"{', '.join(host.get('ways', ()))}{dot}id {host.get('id') or 'unknown'}",
        "runs": f"zdistcc {host.get('version') or '?'}{dot}protocol {host.get('protocol') or '?'}",
        "slots": f"{host.get('slots')}{dot}{host.get('leases')} ours{dot}{host.get('others') or 0} of others",
        "beside": dot.join(_beside(host)),
        "so far": f"{host.get('jobs_done') or 0} jobs done{dot}speed {host.get('speed') or 'not measured'}{dot}"
        f"round trip {trip(host.get('round_trip_ms'), look.glyphs)}",
        "bytes": f"{size(moved.get('sent', 0))} sent{dot}{size(moved.get('received', 0))} received",
    }
    lines = [head.line()]
    lines += [Row(width, look.glyphs).add(f"  {key:<9} ", DIM).said(text).line() for key, text in facts.items() if text]
    for offer in sorted(host["compilers"], key=lambda each: not _same(each, host.get("match"))):
        fits, why = verdict(offer, host, look.compiler)
        row = Row(width, look.glyphs).add(
            f"  {look.glyphs.fits if fits else look.glyphs.misfits} ", GOOD if fits else BAD
        )
        row.said(f"{offer['family']} {offer['version']} ({offer['target']})").add(dot, DIM).said(why, DIM)
        lines.append(row.line())
    for job in host.get("jobs", ()):
        row = Row(width, look.glyphs).add(f"  {span(job['seconds'] + look.age_s):>6} ", COOL)
        row.add(fit(look.clean(job.get("phase", "")), 8), DIM).said(job["file"], PLAIN).add(" in ", DIM).said(
            job["directory"], DIM
        )
        lines.append(row.line())
    if room and len(lines) > room:
        lines = [*lines[: room - 1], Row(width, look.glyphs).add(f"  {len(lines) - room + 1} lines more", DIM).line()]
    return lines


def _beside(host: Host) -> Iterable[str]:
    """Yield what only some workers tell."""
    if host.get("others_load") is not None:
        yield f"load by others {host['others_load']:.1f}"
    if host.get("memory_free") is not None:
        yield f"{size(host['memory_free'])} of memory free"
    if host.get("limited"):
        yield str(host["limited"])

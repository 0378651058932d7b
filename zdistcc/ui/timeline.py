"""The picture of a build, as SVG: a lane a slot, a bar a job, the tail marked, the load above.

Self-contained: no script, no font or image from elsewhere; colours follow ``prefers-color-scheme``, and no attribute is
a style, so that a page may forbid those.  However many jobs there are, at most some :data:`MAX_BARS` bars are drawn:
jobs too close to be told apart are one bar that says how many it is.  Pure; must not know: the page around it.

Rejected: a canvas drawn by a script (nothing to see without it, nothing to hover without more of it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import Final

from zdistcc.ui.builds import Build, Job, Report, Stretch, clean, lanes, load, places

MAX_BARS: Final = 4000
MAX_LANES: Final = 240
_WIDTH: Final = 1200
_LEFT: Final = 168
_RIGHT: Final = 14
_PLOT: Final = _WIDTH - _LEFT - _RIGHT
_TOP: Final = 24
_LOAD: Final = 54
_GAP: Final = 9
_CHARACTER: Final = 6.1
"""Width of a character of the bars' labels, about."""
_KINDS: Final = {
    "headers": "with headers",
    "preprocessed": "preprocessed",
    "local": "here",
    "second": "second start",
    "failed": "failed, abandoned, or repeated here",
}

STYLE: Final = """
.timeline{--ink:#1d2329;--dim:#667079;--line:#d9dee3;--page:#fff;--lane:#f1f4f6;--headers:#2b7bd0;
--preprocessed:#8059c8;--local:#d98a1f;--second:#7d8b96;--failed:#cf3d4f;--tail:#cf3d4f;--load:#2b9a78;--on:#fff}
@media(prefers-color-scheme:dark){.timeline{--ink:#e4e9ee;--dim:#98a4af;--line:#343c44;--page:#15191d;--lane:#1f252b;
--headers:#4a97ea;--preprocessed:#a483ea;--local:#e5a545;--second:#7f8d99;--failed:#ee6677;--tail:#ee6677;
--load:#4bc09a;--on:#0d1114}}
.timeline text{font:11px ui-sans-serif,system-ui,"Segoe UI",Roboto,Helvetica,Arial,sans-serif;fill:var(--dim)}
.timeline .name{fill:var(--ink);font-weight:600;font-size:12px}
.timeline .page{fill:var(--page)}.timeline .lane{fill:var(--lane)}
.timeline .grid{stroke:var(--line);stroke-width:1}.timeline .load{fill:var(--load);fill-opacity:.3;stroke:var(--load)}
.timeline .in{fill:var(--on);font-size:10px;pointer-events:none}
.timeline .headers{fill:var(--headers)}.timeline .preprocessed{fill:var(--preprocessed)}
.timeline .local{fill:var(--local)}.timeline .failed{fill:var(--failed)}
.timeline .second{fill:var(--second);fill-opacity:.55;stroke:var(--second);stroke-dasharray:3 2}
.timeline .w{fill-opacity:.35}
.timeline .tail{fill:var(--tail);fill-opacity:.1}.timeline .edge{stroke:var(--tail);stroke-dasharray:4 3}
.timeline .said{fill:var(--tail);font-weight:600}.timeline .last{stroke:var(--tail);stroke-width:2}
.timeline .hot{stroke:var(--ink);stroke-width:2}
"""


def seconds(value: float) -> str:
    """Return a length of time as people read it."""
    if value < 0.995:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s" if value < 9.995 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"


def short(text: str, room: int) -> str:
    """Return the first of ``text``, in at most ``room`` characters."""
    return text if len(text) <= room else f"{text[: room - 1]}…" if room > 1 else ""


def facts(job: Job, build: Build) -> list[str]:
    """Return what there is to say of a job, a line each."""
    where = job.place if job.fate != "remote" else f"{job.worker}, {_KINDS.get(job.mode, job.mode)}"
    lines = [job.file, f"in {job.directory}", f"{job.fate or 'under way'}: {where}"]
    if job.reason:
        lines.append(f"why: {job.why}" + (f" ({job.detail})" if job.detail else ""))
    lines.append(f"from {seconds(job.begun - build.begin)} to {seconds(job.ended - build.begin)} of the build")
    named = (("planned", job.planned), ("granted", job.granted), ("sent", job.sent), ("started", job.started),
             ("answered", job.answered), ("ran here", job.running), ("ended", job.ended))  # fmt: skip
    lines.append(" · ".join(f"{word} +{seconds(at - job.begun)}" for word, at in named if at))
    if job.cpu or job.wall:
        lines.append(f"compiler there: {seconds(job.wall)}, CPU {seconds(job.cpu)}")
    if job.shipped or job.received:
        lines.append(f"{job.shipped:,} bytes sent, {job.received:,} received")
    if job.second:
        lines.append(f"started again on {job.second_worker} +{seconds(job.second - job.begun)}")
    return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    """One job, or several that cannot be told apart; ``x`` to ``end`` are pixels of the plot."""

    x: float
    working: float
    end: float
    kind: str
    stretch: Stretch
    jobs: int = 1


def _bars(row: Sequence[Stretch], x: Callable[[float], float], step: float) -> Iterator[_Bar]:
    """Yield what is drawn of one lane: neighbours of a kind within ``step`` pixels become one bar."""
    held: _Bar | None = None
    for stretch in row:
        begin, end = x(stretch.begin), x(stretch.end)
        bar = _Bar(x=begin, working=min(x(stretch.working), end), end=end, kind=stretch.kind, stretch=stretch)
        if held is not None and held.kind == bar.kind and end - held.x < step:
            held = _Bar(x=held.x, working=held.x, end=end, kind=bar.kind, stretch=held.stretch, jobs=held.jobs + 1)
            continue
        if held is not None:
            yield held
        held = bar
    if held is not None:
        yield held


class _Picture:
    """The parts of one picture while they are drawn."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.build = report.build
        self._scale = _PLOT / (self.build.seconds or 1.0)
        self._rows = {name: (row, lanes(row)) for name, row in places(self.build).items()}
        self._lanes = sum(max(given) + 1 for _, given in self._rows.values())
        self._height = 17 if self._lanes <= 24 else 13 if self._lanes <= 60 else 8 if self._lanes <= 120 else 5
        self._step = max(1.0, min(self._lanes, MAX_LANES) * _PLOT / (MAX_BARS * 0.8))
        tail = report.tail
        self._critical = {job.number for job, spent in tail.jobs if spent > tail.seconds / 2}
        self._critical |= {tail.last.number} if tail.last is not None else set()
        self.parts: list[str] = []

    def x(self, at: float) -> float:
        return _LEFT + (at - self.build.begin) * self._scale

    def draw(self, style: bool) -> str:
        y = _TOP + _LOAD + _GAP
        undrawn = 0
        room = MAX_LANES
        for name, (row, given) in self._rows.items():
            drawn = min(max(given) + 1, room)
            undrawn += max(given) + 1 - drawn
            room -= drawn
            if drawn:
                y = self._place(name, row, given, drawn, y)
        bottom = y - _GAP
        front, self.parts = self.parts, []
        self._axis(bottom)
        self._load()
        back, self.parts = self.parts, front
        self._mark_tail(bottom)
        if undrawn:
            self._text(_LEFT, bottom + 32, f"{undrawn} more lanes are not drawn")
        self._legend(bottom + (50 if undrawn else 34))
        height = bottom + (62 if undrawn else 46)
        label = escape(f"Timeline of {len(self.build.jobs)} jobs in {seconds(self.build.seconds)}")
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" class="timeline" viewBox="0 0 {_WIDTH} {height}" '
                f'width="{_WIDTH}" height="{height}" role="img" aria-label="{label}">',
                *([f"<style>{STYLE}</style>"] if style else []),
                f'<rect class="page" width="{_WIDTH}" height="{height}"/>',
                *back,
                *self.parts,
                "</svg>",
            ]
        )

    def _text(self, x: float, y: float, text: str, kind: str = "", anchor: str = "") -> None:
        more = f' class="{kind}"' if kind else ""
        more += f' text-anchor="{anchor}"' if anchor else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(clean(text))}</text>')

    def _place(self, name: str, row: Sequence[Stretch], given: Sequence[int], drawn: int, y: int) -> int:
        """Draw what was done in one place; return where the next one begins."""
        pitch = self._height + 1
        jobs = len({stretch.job.number for stretch in row if stretch.kind != "second"})
        room = max(1, drawn * pitch)
        spent = f"{jobs} job{'s' * (jobs != 1)}, {drawn} at once"
        self.parts.append(f"<g><title>{escape(clean(name))}: {spent}</title>")
        self._text(_LEFT - 10, y + 12, short(clean(name), 18), "name", "end")
        self.parts.append("</g>")
        if room >= 30:
            self._text(_LEFT - 10, y + 26, spent, anchor="end")
        by_lane: list[list[Stretch]] = [[] for _ in range(drawn)]
        for stretch, lane in zip(row, given, strict=True):
            if lane < drawn:
                by_lane[lane].append(stretch)
        for lane, content in enumerate(by_lane):
            top = y + lane * pitch
            self.parts.append(f'<rect class="lane" x="{_LEFT}" y="{top}" width="{_PLOT}" height="{self._height}"/>')
            for bar in _bars(content, self.x, self._step):
                self._bar(bar, top)
        return y + max(room, 18) + _GAP

    def _bar(self, bar: _Bar, top: int) -> None:
        job = bar.stretch.job
        width = max(bar.end - bar.x, 0.8)
        waits = bar.working - bar.x
        kind = bar.kind + (" last" if job.number in self._critical and bar.kind != "second" and bar.jobs == 1 else "")
        lines = facts(job, self.build)
        if bar.jobs > 1:
            until = seconds((bar.end - _LEFT) / self._scale)
            lines = [f"{bar.jobs} jobs until {until} of the build, the first of them:", *lines]
        title = escape("\n".join(map(clean, lines)))
        height = self._height
        self.parts.append(f'<g data-job="{job.number}"><title>{title}</title>')
        if waits >= 1 and bar.kind != "second":
            self.parts.append(
                f'<rect class="w {kind}" x="{bar.x:.1f}" y="{top}" width="{waits:.1f}" height="{height}"/>'
            )
            self.parts.append(
                f'<rect class="{kind}" x="{bar.working:.1f}" y="{top}" '
                f'width="{max(width - waits, 0.8):.1f}" height="{height}"/>'
            )
        else:
            # A hair less than its length: neighbours stay apart.
            shown = width - 0.6 if width > 2.5 else width
            self.parts.append(f'<rect class="{kind}" x="{bar.x:.1f}" y="{top}" width="{shown:.1f}" height="{height}"/>')
        room = floor((min(width, bar.end - bar.working) - 6) / _CHARACTER)
        if height >= 13 and room >= 4 and bar.jobs == 1:
            self._text(bar.working + 4, top + height - 4.5, short(job.file.rpartition("/")[2], room), "in")
        self.parts.append("</g>")

    def _axis(self, bottom: int) -> None:
        length = self.build.seconds
        rough = max(length / 9, 1e-6)
        power = 10.0 ** floor(log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        if rough > 20:
            step = next(
                (wide for wide in (30, 60, 120, 300, 600, 1200, 1800) if wide >= rough), ceil(rough / 3600) * 3600
            )
        for number in range(floor(length / step) + 1):
            x = self.x(self.build.begin + number * step)
            self.parts.append(f'<line class="grid" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom + 4}"/>')
            self._text(x, bottom + 16, seconds(number * step) if number else "0", anchor="middle")

    def _load(self) -> None:
        """Draw how many jobs were worked on, the most of each pixel."""
        peak = max(1, self.report.peak)
        base = _TOP + _LOAD
        columns = [0] * (_PLOT + 1)
        column, running = 0, 0
        for at, count in load(self.build):
            here = min(_PLOT, max(0, round(self.x(at)) - _LEFT))
            for passed in range(column, here):
                columns[passed] = max(columns[passed], running)
            columns[here] = max(columns[here], count, running if here > column else 0)
            column, running = here, count
        path, before = [f"M{_LEFT} {base}"], 0
        for column, count in enumerate(columns):
            if count != before:
                path.append(f"H{_LEFT + column}V{base - count * _LOAD / peak:.1f}")
                before = count
        path.append(f"H{_LEFT + _PLOT}V{base}Z")
        self.parts.append(f'<path class="load" d="{"".join(path)}"/>')
        self._text(_LEFT - 10, _TOP + 12, "jobs at work", "name", "end")
        self._text(_LEFT - 10, _TOP + 26, f"{self.report.peak} at most", anchor="end")

    def _mark_tail(self, bottom: int) -> None:
        tail = self.report.tail
        width = tail.seconds * self._scale
        if width < 1:
            return
        x = self.x(tail.begin)
        self.parts.append(
            f'<rect class="tail" pointer-events="none" x="{x:.1f}" y="{_TOP - 6}" width="{width:.1f}" '
            f'height="{bottom - _TOP + 10}"/>'
        )
        self.parts.append(
            f'<line class="edge" x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{bottom + 4}" pointer-events="none"/>'
        )
        most = tail.jobs[0][0].file.rpartition("/")[2] if tail.jobs else ""
        words = f"tail {seconds(tail.seconds)}, most of it {short(most, 40)}"
        # To the left of the band's right edge, wherever the band begins.
        self._text(_LEFT + _PLOT, _TOP - 10, words, "said", "end")

    def _legend(self, y: int) -> None:
        shown = {stretch.kind for row, _ in self._rows.values() for stretch in row}
        x = float(_LEFT)
        for kind, words in _KINDS.items():
            if kind in shown:
                self.parts.append(f'<rect class="{kind}" x="{x:.1f}" y="{y - 9}" width="14" height="10"/>')
                self._text(x + 19, y, words)
                x += 19 + len(words) * _CHARACTER + 22
        self.parts.append(f'<rect class="w headers" x="{x:.1f}" y="{y - 9}" width="14" height="10"/>')
        self._text(x + 19, y, "prepared, sent, waiting there")


def timeline(report: Report, *, style: bool = True) -> str:
    """Return the picture of a build; without ``style`` it needs :data:`STYLE` from the page it is in."""
    return _Picture(report).draw(style)

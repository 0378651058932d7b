"""The report of a build as one HTML file: the picture, what it comes to, and the tables.

It needs nothing from anywhere: a policy in its head forbids all but its own style and script, whose digests it names,
so that a name from the network which slipped through every escape could still not act.  All is there without the
script, which only makes hovering quicker and shows where in the picture a row is.  The file is well-formed XML, too.
Pure; must not know: where it will lie, who opens it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from zdistcc.ui.builds import HERE, Job, PlaceTotal, Report, Why, clean
from zdistcc.ui.timeline import STYLE as PICTURE_STYLE
from zdistcc.ui.timeline import seconds, timeline

MAX_TAIL_ROWS: Final = 10
_STYLE: Final = (
    PICTURE_STYLE
    + """
:root{color-scheme:light dark;--ink:#1d2329;--dim:#667079;--line:#d9dee3;--page:#fff;--card:#f5f7f9;--bar:#2b7bd0;
--hot:#cf3d4f}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9ee;--dim:#98a4af;--line:#343c44;--page:#15191d;--card:#1f252b;
--bar:#4a97ea;--hot:#ee6677}}
*{box-sizing:border-box}
body{margin:0 auto;padding:24px 28px 40px;max-width:1320px;background:var(--page);color:var(--ink);
font:14px/1.45 ui-sans-serif,system-ui,"Segoe UI",Roboto,Helvetica,Arial,sans-serif}
h1{font-size:22px;margin:0;overflow-wrap:anywhere}h2{font-size:15px;margin:30px 0 8px}
p{margin:4px 0;color:var(--dim)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:18px 0;padding:0}
.tiles li{list-style:none;background:var(--card);border-radius:8px;padding:10px 14px}
.tiles b{display:block;font-size:21px;font-weight:650;line-height:1.25}.tiles .hot{color:var(--hot)}
.tiles span{color:var(--dim);font-size:12.5px}
.picture{overflow-x:auto}.picture svg{display:block;width:100%;min-width:760px;height:auto}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{text-align:left;color:var(--dim);font-weight:500;font-size:12.5px;border-bottom:1px solid var(--line)}
th,td{padding:4px 14px 4px 0;vertical-align:top}td{border-bottom:1px solid var(--line)}
.n{text-align:right;white-space:nowrap}.f{overflow-wrap:anywhere;min-width:110px}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(460px,100%),1fr));gap:0 44px}
.two>*{min-width:0}.d{color:var(--dim)}
.s{white-space:nowrap}.s .all{fill:var(--line)}.s .part{fill:var(--bar)}
tr[data-job]:hover td{background:var(--card)}
#tip{position:fixed;z-index:2;max-width:520px;padding:8px 12px;border-radius:8px;background:var(--ink);
color:var(--page);font-size:12.5px;line-height:1.4;white-space:pre-line;overflow-wrap:anywhere;pointer-events:none}
#tip[hidden]{display:none}
dl{color:var(--dim);font-size:12.5px;margin:8px 0}dt{color:var(--ink);font-weight:600;float:left;margin-right:6px}
dd{margin:0 0 4px}
"""
)
# No ampersand and no less-than sign, so that it is the same text to a parser of HTML and to one of XML.
_SCRIPT: Final = """
"use strict";
const tip = document.getElementById("tip"), words = new Map(), bars = new Map();
for (const bar of document.querySelectorAll("svg g[data-job]")) {
  const title = bar.querySelector("title");
  words.set(bar, title.textContent);
  title.remove();
  const job = bar.dataset.job;
  if (!bars.has(job)) bars.set(job, []);
  bars.get(job).push(bar);
}
function mark(job, on) {
  for (const bar of bars.get(job) || [])
    for (const part of bar.querySelectorAll("rect")) part.classList.toggle("hot", on);
}
for (const [bar, text] of words) {
  bar.addEventListener("mouseenter", () => {
    tip.textContent = text;
    tip.hidden = false;
    mark(bar.dataset.job, true);
  });
  bar.addEventListener("mouseleave", () => { tip.hidden = true; mark(bar.dataset.job, false); });
  bar.addEventListener("mousemove", (event) => {
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + "px";
    const below = event.clientY + 18;
    tip.style.top = (below + box.height > innerHeight ? event.clientY - box.height - 10 : below) + "px";
  });
}
for (const row of document.querySelectorAll("tr[data-job]")) {
  row.addEventListener("mouseenter", () => mark(row.dataset.job, true));
  row.addEventListener("mouseleave", () => mark(row.dataset.job, false));
}
document.documentElement.dataset.script = "ran";
"""


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _e(text: object) -> str:
    return escape(clean(str(text)))


def _table(headings: Sequence[str], rows: Iterable[str]) -> str:
    cells = "".join(
        f'<th class="n">{heading[1:]}</th>' if heading.startswith(">") else f"<th>{heading}</th>"
        for heading in headings
    )
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )


def _tiles(report: Report) -> str:
    build = report.build
    done = report.fates.get("remote", 0)
    saved = report.alone - build.seconds
    tiles = [
        (seconds(build.seconds), "from the first job to the end of the last", ""),
        (f"{len(build.jobs):,}", f"jobs, {done * 100 // len(build.jobs)} % of them done by workers", ""),
        (f"{report.parallelism:.1f}", f"compilers at work on average, {report.peak} at most", ""),
        (seconds(report.tail.seconds), f"tail: {report.tail.seconds * 100 / (build.seconds or 1):.0f} % of it", "hot"),
        (
            f"~{seconds(abs(saved))}",
            f"{'saved' if saved >= 0 else 'lost'}: alone about {seconds(report.alone)} "
            f"on {report.slots} core{'s' * (report.slots != 1)}",
            "",
        ),
    ]
    items = "".join(
        f"<li><b{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{_e(figure)}</b><span>{_e(words)}</span></li>"
        for figure, words, kind in tiles
    )
    return f'<ul class="tiles">{items}</ul>'


def _place_row(total: PlaceTotal) -> str:
    return (
        f'<tr><td class="f">{_e(total.name)}</td><td class="n">{total.jobs:,}</td>'
        f'<td class="n">{_e(seconds(total.seconds))}</td>'
        f'<td class="s"><svg width="84" height="9" aria-hidden="true"><rect class="all" width="84" height="9"/>'
        f'<rect class="part" width="{84 * total.share:.1f}" height="9"/></svg> {total.share:.0%}</td>'
        f'<td class="n">{total.lanes}</td><td class="n">{total.shipped:,}</td>'
        f'<td class="n">{total.received:,}</td></tr>'
    )


def _why_row(why: Why) -> str:
    more = ", …" if why.jobs > len(why.files) else ""
    return (
        f'<tr><td>{_e(why.text)} <span class="d">({_e(why.word)})</span></td><td class="n">{why.jobs:,}</td>'
        f'<td class="n">{_e(seconds(why.seconds))}</td><td class="f d">{_e(", ".join(why.files))}{more}</td></tr>'
    )


def _slow_row(job: Job) -> str:
    return (
        f'<tr data-job="{job.number}"><td class="f">{_e(job.file)}</td><td class="f">{_e(job.place)}</td>'
        f'<td class="n">{_e(seconds(job.seconds))}</td><td class="n">{_e(seconds(job.ended - job.begun))}</td>'
        f"<td>{_e(job.how)}</td></tr>"
    )


def _tail_row(job: Job, spent: float, report: Report) -> str:
    ends = ' <span class="d">(ends it)</span>' if job is report.tail.last else ""
    return (
        f'<tr data-job="{job.number}"><td class="f">{_e(job.file)}{ends}</td><td class="f">{_e(job.place)}</td>'
        f'<td class="n">{_e(seconds(spent))}</td><td class="n">{_e(seconds(job.seconds))}</td></tr>'
    )


def _meaning(report: Report) -> str:
    return f"""<dl>
<dt>Tail</dt><dd>The end of the build in which no more than half as many jobs were at work as at its best: what one
waits for while most of the machines are idle.  Outlined: what took most of it, and what ended it.</dd>
<dt>Compilers at work on average</dt><dd>The seconds of all compilers, as workers measured them and as they ran here,
for each second of the build.</dd>
<dt>Saved</dt><dd>An estimate: the CPU seconds of the workers and the seconds of what ran here, on {report.slots}
cores like those of the workers, and not less than the longest job.  Work that this machine did to prepare jobs, and
what it would have been slowed down by, is not in it.</dd>
<dt>A bar</dt><dd>holds a slot: pale while the job is prepared, sent or waits on the worker, full while its compiler
runs.  What waited for a slot is in no lane.</dd>
</dl>"""


def page(report: Report, *, begun: str, version: str) -> str:
    """Return the page; ``begun`` is when the build began, in words."""
    build, tail = report.build, report.tail
    modes = ", ".join(f"{count:,} {mode}" for mode, count in report.modes.items())
    fates = ", ".join(f"{count:,} {fate}" for fate, count in report.fates.items())
    policy = f"default-src 'none'; style-src {_digest(_STYLE)}; script-src {_digest(_SCRIPT)}; base-uri 'none'"
    parts = [
        f"<h1>{_e(build.directory)}</h1>",
        f"<p>Build of {_e(begun)}{', still under way' if build.under_way else ''}: {_e(fates)}"
        f"{f' (shipped: {_e(modes)})' if modes else ''}"
        f"{f'; {report.second_starts} started a second time' if report.second_starts else ''}</p>",
        _tiles(report),
        f'<div class="picture">{timeline(report, style=False)}</div>',
        '<div class="two"><section><h2>Who did it</h2>',
        _table(["", ">jobs", ">compiling", "share", ">at once", ">bytes sent", ">received"],
               map(_place_row, report.places)),
        "</section><section><h2>What the end waited for</h2>",
        _table(["file", "on", ">in the tail", ">compiling"],
               (_tail_row(job, spent, report) for job, spent in tail.jobs[:MAX_TAIL_ROWS]))
        if tail.jobs else "<p>Nothing: as many jobs were at work at the end as before.</p>",
        f"<p>and {len(tail.jobs) - MAX_TAIL_ROWS} more</p>" if len(tail.jobs) > MAX_TAIL_ROWS else "",
        "</section></div>",
        f"<h2>Why jobs ran on {HERE}</h2>",
        _table(["reason", ">jobs", ">seconds", "such as"], map(_why_row, report.reasons))
        if report.reasons else "<p>None did.</p>",
        "<h2>Slowest files</h2>",
        _table(["file", "on", ">compiling", ">in all", "how"], map(_slow_row, report.slowest)),
        "<h2>What the figures mean</h2>",
        _meaning(report),
        f"<p>zdistcc {_e(version)}</p>",
    ]  # fmt: skip
    body = "\n".join(part for part in parts if part)
    return f"""<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" lang="en">
<head>
<meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" content="{policy}"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>zdistcc: {_e(build.directory)}</title>
<style>{_STYLE}</style>
</head>
<body>
{body}
<div id="tip" hidden="hidden"></div>
<script>{_SCRIPT}</script>
</body>
</html>
"""

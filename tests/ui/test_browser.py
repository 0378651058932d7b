"""The report in a real browser, without any network: its own style and script are let through, nothing else is."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import zlib
from collections import Counter
from pathlib import Path

import pytest

from tests.lan.needs import lan_unavailable_reason, unshare
from tests.ui.made import EVIL, build_of, job, local, record
from zdistcc.ui.builds import HERE, Job, report, split
from zdistcc.ui.page import page
from zdistcc.ui.timeline import timeline

CHROMIUM = shutil.which("chromium")
REASON = "chromium is not installed" if CHROMIUM is None else lan_unavailable_reason()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

LIGHT = {"page": 0xFFFFFF, "headers": 0x2B7BD0, "preprocessed": 0x8059C8, "local": 0xD98A1F}
DARK = {"page": 0x15191D, "headers": 0x4A97EA, "preprocessed": 0xA483EA, "local": 0xE5A545}


def chromium(directory: Path, file: Path, *words: str) -> str:
    """Open a file in a network namespace of its own, which has not even a loopback; return what is printed."""
    assert CHROMIUM is not None
    alone = unshare("--net", user=os.getuid() != 0)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1300,760"]
    ended = subprocess.run(
        [*alone, CHROMIUM, *options, f"--user-data-dir={directory / 'profile'}", *words, file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(directory)},
    )
    return ended.stdout


def html(directory: Path, jobs: list[Job]) -> Path:
    file = directory / "report.html"
    file.write_text(page(report(split(jobs)[0], 4), begun="today", version="1"), encoding="utf-8")
    return file


def colours(png: bytes) -> Counter[int]:
    """Count the colours of an image of 8 bits a channel, not interlaced."""
    at, packed = 8, b""
    width = height = channels = 0
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        body = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack_from(">IIBB", body)
            assert depth == 8
            channels = {2: 3, 6: 4}[colour]
        elif kind == b"IDAT":
            packed += body
        at += length + 12
    raw, stride = zlib.decompress(packed), width * channels
    before, found = bytearray(stride), Counter[int]()
    for row in range(height):
        start = row * (stride + 1)
        line = unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), before, channels)
        found.update(zip(line[::channels], line[1::channels], line[2::channels], strict=True))  # type: ignore[arg-type]
        before = line
    return Counter({(r << 16) + (g << 8) + b: count for (r, g, b), count in found.items()})  # type: ignore[misc]


def unfiltered(kind: int, line: bytearray, above: bytearray, step: int) -> bytearray:
    for at in range(len(line)):
        left = line[at - step] if at >= step else 0
        corner = above[at - step] if at >= step else 0
        match kind:
            case 1:
                line[at] = line[at] + left & 255
            case 2:
                line[at] = line[at] + above[at] & 255
            case 3:
                line[at] = line[at] + (left + above[at]) // 2 & 255
            case 4:
                guess = left + above[at] - corner
                nearest = min((abs(guess - left), 0), (abs(guess - above[at]), 1), (abs(guess - corner), 2))[1]
                line[at] = line[at] + (left, above[at], corner)[nearest] & 255
    return line


def test_the_report_of_200_jobs_in_chromium(tmp_path: Path) -> None:
    file = html(tmp_path, build_of(200))
    dom = chromium(tmp_path, file, "--dump-dom")
    assert re.search(r'<html[^>]* data-script="ran"', dom), "its policy lets its own script run"
    assert dom.count('class="lane"') == sum(total.lanes for total in report(split(build_of(200))[0], 4).places)
    for word in ("What the end waited for", "src/part2/unit198.cc", f"Why jobs ran on {HERE}", "the command links"):
        assert word in dom
    assert "<title>src/" not in dom, "the script took the titles over"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_looks_as_meant(tmp_path: Path, dark: bool) -> None:
    jobs = build_of(200)
    files = [html(tmp_path, jobs)]
    if dark:  # the picture alone, once
        files.append(tmp_path / "picture.svg")
        files[1].write_text(timeline(report(split(jobs)[0], 4)), encoding="utf-8")
    for file in files:
        shot = tmp_path / "shot.png"
        chromium(tmp_path, file, f"--screenshot={shot}", f"--blink-settings=preferredColorScheme={0 if dark else 1}")
        seen = colours(shot.read_bytes())
        for name, colour in (DARK if dark else LIGHT).items():
            assert seen[colour] > 1500, f"{file.name} has {seen[colour]} pixels of {name}"


def test_names_do_nothing_in_a_browser(tmp_path: Path) -> None:
    act = "<img src=x onerror=document.title='acted'><script>document.title='acted'</script>"
    jobs = [job(record(1, file=act, worker=act)), job(local(2, file=EVIL, directory=act, reason=act))]
    dom = chromium(tmp_path, html(tmp_path, jobs), "--dump-dom")
    assert 'data-script="ran"' in dom
    assert "<title>acted" not in dom and "<img" not in dom and dom.count("<script") == 1


HOVER = """<script>
const row = document.querySelector("tr[data-job='198']"), bar = document.querySelector("g[data-job='198']");
bar.dispatchEvent(new MouseEvent("mouseenter"));
bar.dispatchEvent(new MouseEvent("mousemove", {clientX: innerWidth - 5, clientY: innerHeight - 5}));
const box = tip.getBoundingClientRect();
const said = [tip.textContent.split("\\n")[0], tip.hidden, box.right <= innerWidth, box.bottom <= innerHeight];
said.push(bar.querySelectorAll(".hot").length > 0);
bar.dispatchEvent(new MouseEvent("mouseleave"));
said.push(tip.hidden, bar.querySelectorAll(".hot").length);
row.dispatchEvent(new MouseEvent("mouseenter"));
said.push(bar.querySelectorAll(".hot").length > 0);
document.title = said.join(" ");
</script></body>"""


def test_hovering_shows_a_job_and_where_it_is(tmp_path: Path) -> None:
    """With the policy taken out, so that the test may have a script of its own."""
    file = html(tmp_path, build_of(200))
    text = re.sub(r"<meta http-equiv=[^>]*>", "", file.read_text()).replace("</body>", HOVER)
    file.write_text(text)
    assert "<title>src/part2/unit198.cc false true true true true 0 true</title>" in chromium(
        tmp_path, file, "--dump-dom"
    )

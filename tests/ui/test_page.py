"""The picture and the page: well-formed, self-contained, bounded, and deaf to names."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from tests.ui.made import EVIL, build_of, job, local, record
from zdistcc.ui.builds import HERE, Job, Report, report, split
from zdistcc.ui.page import page
from zdistcc.ui.timeline import MAX_BARS, MAX_LANES, seconds, short, timeline

SVG = "{http://www.w3.org/2000/svg}"
XHTML = "{http://www.w3.org/1999/xhtml}"


def reported(jobs: list[Job]) -> Report:
    return report(split(jobs)[0], 4)


def drawn(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)


def paged(said: Report) -> ElementTree.Element:
    text = page(said, begun="today", version="1")
    assert text.startswith("<!DOCTYPE html>\n")
    return ElementTree.fromstring(text.partition("\n")[2])


class Strict(HTMLParser):
    """Sees a page as a browser does, and that every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen.append(tag)
        self.attributes += attrs

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(text: str) -> Strict:
    strict = Strict()
    strict.feed(text)
    strict.close()
    assert strict.open == []
    return strict


# --- the picture -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 40, 200])
def test_every_job_has_a_bar_and_every_slot_a_lane(count: int) -> None:
    jobs = build_of(count)
    said = reported(jobs)
    picture = drawn(timeline(said))
    bars = picture.findall(f"{SVG}g[@data-job]")
    shown = sum(int(found[1]) if (found := re.match(r"(\d+) jobs until", title_of(bar))) else 1 for bar in bars)
    assert shown == count + said.second_starts
    assert len(picture.findall(f"{SVG}rect[@class='lane']")) == sum(total.lanes for total in said.places)
    names = {text.text for text in picture.iter(f"{SVG}text") if text.get("class") == "name"}
    assert {total.name for total in said.places} <= names


def title_of(bar: ElementTree.Element) -> str:
    return bar.findtext(f"{SVG}title") or ""


def test_the_tail_is_marked_and_what_it_waited_for_outlined() -> None:
    picture = drawn(timeline(reported(build_of(200))))
    (band,) = picture.findall(f"{SVG}rect[@class='tail']")
    assert float(band.get("x", "0")) + float(band.get("width", "0")) == pytest.approx(1186, abs=1)
    said = " ".join(text.text or "" for text in picture.findall(f"{SVG}text[@class='said']"))
    assert said.startswith("tail ") and said.endswith("unit198.cc")
    outlined = [rect for rect in picture.iter(f"{SVG}rect") if "last" in (rect.get("class") or "").split()]
    titles = [title_of(bar) for bar in picture.findall(f"{SVG}g[@data-job]") if any(rect in outlined for rect in bar)]
    assert len(titles) == 2 and "unit198.cc" in titles[0] and titles[1].startswith("program")


def test_all_bars_are_within_the_picture() -> None:
    picture = drawn(timeline(reported(build_of(200))))
    width, height = (float(picture.get(name, "0")) for name in ("width", "height"))
    for rect in picture.iter(f"{SVG}rect"):
        x, y, w, h = (float(rect.get(name, "0")) for name in ("x", "y", "width", "height"))
        assert x >= 0 and y >= 0 and w >= 0 and x + w <= width + 1 and y + h <= height


@pytest.mark.parametrize("workers", [5, 100])
def test_the_largest_journal_is_a_picture_of_bearable_size(workers: int) -> None:
    jobs = build_of(20_000, workers=workers)
    begun = time.process_time()
    text = page(reported(jobs), begun="today", version="1")
    assert time.process_time() - begun < 15
    picture = drawn(timeline(reported(jobs)))
    assert len(picture.findall(f"{SVG}g[@data-job]")) <= 2 * MAX_BARS
    assert len(picture.findall(f"{SVG}rect[@class='lane']")) <= MAX_LANES
    assert len(text) < 6_000_000
    more = "more lanes are not drawn" in text
    assert more is (workers == 100)


def test_jobs_of_no_time_and_of_no_place() -> None:
    instant = [job(local(1, running=100.0, ended=100.0))]
    nowhere = [job(local(1, running=0.0, ended=100.0, fate="abandoned", reason="abandoned"))]
    for jobs in (instant, nowhere):
        drawn(timeline(reported(jobs)))
        paged(reported(jobs))


def test_lengths_of_time() -> None:
    values = (0.0, 0.0123, 0.999, 9.99, 9.999, 59.9, 60.0, 3599.7, 7260.0)
    assert [seconds(value) for value in values] == [
        "0 ms", "12 ms", "1.0 s", "10.0 s", "10 s", "60 s", "1:00 min", "1:00 h", "2:01 h",
    ]  # fmt: skip
    assert (short("unit1.cc", 8), short("unit10.cc", 8), short("abc", 1)) == ("unit1.cc", "unit10.…", "")


# --- the page --------------------------------------------------------------------------------------


def rows_under(body: ElementTree.Element, heading: str) -> list[list[str]]:
    """The cells of the table that follows a heading."""
    following = False
    for element in body.iter():
        if element.tag == f"{XHTML}h2":
            following = element.text == heading
        elif following and element.tag == f"{XHTML}tbody":
            return [["".join(cell.itertext()) for cell in row] for row in element]
    return []


def test_the_page_of_200_jobs() -> None:
    said = reported(build_of(200))
    body = paged(said)
    assert [row[0] for row in rows_under(body, "Who did it")] == [total.name for total in said.places]
    assert len(rows_under(body, "Slowest files")) == 20
    assert rows_under(body, "What the end waited for")[0][0] == "src/part2/unit198.cc"
    why = rows_under(body, f"Why jobs ran on {HERE}")
    assert {row[0].partition(" (")[0] for row in why} == {why.text for why in said.reasons}
    assert len(list(body.iter(f"{SVG}svg"))) == 1


def test_the_page_stands_alone() -> None:
    text = page(reported(build_of(200)), begun="today", version="1")
    for address in re.findall(r"\w+://[^\s\"'<]+", text):
        assert address in ("http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg"), address
    strict = parsed(text)
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(strict.seen)
    assert not [name for name, _ in strict.attributes if name in ("src", "href", "style") or name.startswith("on")]
    assert "url(" not in text and "@import" not in text


def test_the_policy_allows_its_own_style_and_script_only() -> None:
    text = page(reported(build_of(2)), begun="today", version="1")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"


def test_names_cannot_become_markup() -> None:
    second = {"second": 102.0, "second_worker": EVIL}
    evil = dict.fromkeys(("file", "directory", "worker", "mode", "detail", "reason"), EVIL)
    jobs = [job(record(1, **evil, **second)), job(local(2, file=EVIL, directory=EVIL, reason=EVIL, detail=EVIL))]
    said = reported(jobs)
    text = page(said, begun=EVIL, version=EVIL)
    harmless = parsed(
        page(reported([job(record(1, second=102.0, second_worker="x")), job(local(2))]), begun="", version="")
    )
    assert parsed(text).seen.count("script") == harmless.seen.count("script") == 1
    assert "<script>alert" not in text
    ElementTree.fromstring(text.partition("\n")[2])
    picture = timeline(said)
    drawn(picture)
    assert "<script" not in picture


def test_a_build_without_local_jobs_or_tail_says_so() -> None:
    text = page(reported([job(record(1))]), begun="today", version="1")
    assert "None did." in text and "Nothing: as many jobs were at work" in text

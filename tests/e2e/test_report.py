"""Where the time of a real build went: asked of the agent that did it, and of one that comes after it has left."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.e2e.farm import LAUNCHER, Farm, unavailable
from zdistcc.sample import copy_to, units

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
UNITS = len(units())


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """Two workers; the sample project built by one session, a file compiled twice by another."""
    with Farm(tmp_path_factory.mktemp("farm"), workers=2, env={"ZDISTCC_POLICY": "least-loaded"}) as farm:
        farm.wait_for_workers()
        copy_to(farm.directory / "project")
        single = "setsid -w sh -c 'zdistcc gcc -O2 -Iinclude -c base/arena.c -o one.o'"
        build = "setsid -w make -j8 CC='zdistcc gcc' CXX='zdistcc g++'"
        farm.run(["sh", "-ec", f"{single}; {build}; {single}; {single}"], farm.directory / "project")
        yield farm


def cli(farm: Farm, *words: str | Path, check: bool = True) -> Any:
    return farm.run([LAUNCHER, *words], farm.directory, check=check)


def number_of_the_build(farm: Farm) -> int:
    sizes = [build["jobs"] for build in farm.ask("report")["builds"]]
    assert sizes == [1, 1, UNITS + 1, 1], "each session is a build of its own"
    return sizes.index(UNITS + 1) + 1


def reported(farm: Farm) -> dict[str, Any]:
    report: dict[str, Any] = farm.ask("report", "--build", str(number_of_the_build(farm)))["report"]
    return report


def test_the_figures_are_those_of_stats(farm: Farm) -> None:
    report, stats = reported(farm), farm.stats()
    assert report["jobs"] == {"remote": UNITS, "local": 1}
    assert report["modes"] == {"headers": UNITS}
    assert {word: why["jobs"] for word, why in report["reasons"].items()} == {"link": 1}
    places = {place["name"]: place for place in report["places"]}
    assert set(places) == {"w1", "w2", "this machine"}
    assert sum(place["jobs"] for place in places.values()) == UNITS + 1
    assert places["w1"]["jobs"] + places["w2"]["jobs"] == stats["workers"]["w1"] + stats["workers"]["w2"] - 3
    assert sum(place["share"] for place in places.values()) == pytest.approx(1, abs=0.01)
    assert all(
        place["bytes"]["received"] > 0 and place["bytes"]["sent"] > 0
        for name, place in places.items()
        if name != "this machine"
    )
    assert 0 < report["tail"]["seconds"] < report["seconds"]
    assert report["tail"]["jobs"] and len(report["slowest"]) == 20
    assert 1 < report["parallelism"] <= report["peak"]
    assert Path(report["directory"]) == farm.directory / "project"


def test_on_the_terminal(farm: Farm) -> None:
    number = str(number_of_the_build(farm))
    said = cli(farm, "report", "--build", number).stdout
    for word in (
        f"{UNITS} remote, 1 local",
        "tail",
        "WHERE",
        "w1",
        "w2",
        "SLOWEST FILES",
        "the command links",
        "saved",
    ):
        assert word in said or (word == "saved" and "lost" in said)
    listed = cli(farm, "report", "--list").stdout.splitlines()
    assert len(listed) == 5 and str(farm.directory / "project") in listed[3]


def test_a_page_and_a_picture(farm: Farm) -> None:
    number = str(number_of_the_build(farm))
    page, picture = farm.directory / "report.html", farm.directory / "report.svg"
    assert cli(farm, "report", "--build", number, "--html", page, "--svg", picture).stdout == ""
    text = page.read_text()
    body = ElementTree.fromstring(text.partition("\n")[2])
    assert "the command links" in text and "What the end waited for" in text
    for root in (body, ElementTree.parse(picture).getroot()):
        bars = [
            element.get("data-job") for element in root.iter("{http://www.w3.org/2000/svg}g") if element.get("data-job")
        ]
        merged = sum(int(count) - 1 for count in re.findall(r"(\d+) jobs until", picture.read_text()))
        assert len(set(bars)) + merged == UNITS + 1


def test_a_trace(farm: Farm) -> None:
    file = farm.directory / "trace.json"
    cli(farm, "trace", file, "--build", str(number_of_the_build(farm)))
    events = json.loads(file.read_text())["traceEvents"]
    processes = {event["args"]["name"]: event["pid"] for event in events if event["name"] == "process_name"}
    assert set(processes) == {"waiting for a slot", "w1", "w2", "this machine"}
    phases = Counter(event["name"] for event in events if event.get("cat") == "phase")
    assert phases["compile"] == phases["send"] == UNITS and phases["run"] == 1
    for event in events:
        if event.get("cat") == "headers":
            assert event["args"]["cpu_ms"] <= event["dur"] / 1000 + 50, "the worker's clock and ours agree on lengths"
    cli(farm, "trace", file, "--all")
    everything = [event for event in json.loads(file.read_text())["traceEvents"] if event.get("cat") == "headers"]
    assert len(everything) == UNITS + 3


def test_mistakes_are_told(farm: Farm) -> None:
    for words, said in (
        (["report", "--build", "99"], "there is no build 99, only"),
        (
            ["trace", "/nowhere/trace.json"],
            "/nowhere/trace.json cannot be written: No such file or directory; name another file",
        ),
        (["report", "--html", "/"], "/ cannot be written: Is a directory; name another file"),
    ):
        ended = cli(farm, *words, check=False)
        assert ended.returncode == 100 and said in ended.stderr


def test_when_the_agent_has_left_and_part_of_the_history_is_broken(farm: Farm) -> None:
    """The last test: it ends the agent."""
    before = reported(farm)
    cli(farm, "stop")
    assert farm.ask_agent("version") is None
    assert reported(farm) == before
    (file,) = farm.client.run(["sh", "-c", "ls ~/.cache/zdistcc/history/*.jsonl"]).stdout.split()
    farm.client.run(["sh", "-c", f"echo '{{broken' >> {file}"])
    ended = cli(farm, "report", "--list")
    assert "unreadable parts of the history, left out: 1" in ended.stderr and len(ended.stdout.splitlines()) == 5
    cli(farm, "stop")
    farm.client.run(["rm", "-r", str(Path(file).parent)])
    assert farm.ask("report") == {"builds": [], "report": None}
    ended = cli(farm, "report", check=False)
    assert ended.returncode == 100 and "no build is on record" in ended.stderr

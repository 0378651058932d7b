"""How many jobs a real make, ninja or cmake runs under `zdistcc`, while an agent changes its mind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.lab import LAUNCHER, MAKE, NEW_NINJA, OLD_NINJA, FakeAgent, Lab, fake_agent, lab_in, missing
from tests.lan.waiting import wait_until

REASON = missing(MAKE, OLD_NINJA, NEW_NINJA, Path("/usr/bin/cmake"))
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

SOON_S = 2.0
"""How soon a newcomer has to show."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with lab_in(tmp_path) as lab:
        yield lab


@pytest.fixture
def agent(lab: Lab) -> Iterator[FakeAgent]:
    with fake_agent(lab) as agent:
        yield agent


def asked(agent: FakeAgent) -> None:
    """Wait until what the agent says now has been heard."""
    heard = len(agent.asked) + 2
    wait_until(lambda: len(agent.asked) >= heard, 10, "the agent is asked twice more")


def follows(lab: Lab, agent: FakeAgent, words: list[str | Path], bound: int = 99) -> str:
    """Raise and lower what is useful while `words` builds 24 jobs; return what it wrote on standard error."""
    agent.useful = 2
    with lab.build(words) as build:
        lab.running_becomes(2)
        agent.useful = 7
        lab.running_becomes(min(7, bound), SOON_S)
        agent.useful = 3
        asked(agent)
        # Jobs that run are not ended, but what they leave is not handed on.
        while lab.running() > 3:
            before = lab.running()
            lab.end_jobs(1)
            wait_until(lambda before=before: lab.running() == before - 1, 5, "no job takes the place of the ended one")  # type: ignore[misc]
        lab.end_jobs(1)
        lab.running_becomes(3, SOON_S)
        agent.useful = 5
        lab.running_becomes(min(5, bound), SOON_S)
        lab.end_all(24)
        assert build.wait() == 0
        return build.stderr


def test_make_with_two_descriptors(lab: Lab, agent: FakeAgent) -> None:
    lab.makefile(24)
    assert follows(lab, agent, [LAUNCHER, "make"]) == ""


def follows_slowly(lab: Lab, agent: FakeAgent, words: list[str | Path], bound: int = 99) -> str:
    """The same with ninja, for 200 jobs: it looks for new tokens when a job ends, and for its own before we do."""
    agent.useful = 2
    with lab.build(words) as build:
        lab.running_becomes(2)
        agent.useful = 7
        asked(agent)
        lab.end_jobs(1)
        lab.running_becomes(min(7, bound), SOON_S)
        agent.useful = 3
        asked(agent)
        while lab.running() > 3:
            lab.end_jobs(1)
        agent.useful = 5
        asked(agent)
        lab.end_jobs(1)
        lab.running_becomes(min(5, bound), SOON_S)
        lab.end_all(200)
        assert build.wait() == 0
        return build.stderr


def test_ninja_with_a_fifo(lab: Lab, agent: FakeAgent) -> None:
    lab.ninja_file(200)
    lab.program("ninja", NEW_NINJA)
    assert follows_slowly(lab, agent, [LAUNCHER, "ninja"]) == ""


def test_what_the_user_says_is_the_bound_of_ninja_as_well(lab: Lab, agent: FakeAgent) -> None:
    lab.ninja_file(200)
    lab.program("ninja", NEW_NINJA)
    assert follows_slowly(lab, agent, [LAUNCHER, "ninja", "-vj4"], bound=4) == ""


@pytest.mark.parametrize("words", [["make", "-j4"], ["make", "-kj", "4"], ["run", "--", "make", "--jobs=4"]])
def test_what_the_user_says_is_the_bound(lab: Lab, agent: FakeAgent, words: list[str]) -> None:
    lab.makefile(24)
    assert follows(lab, agent, [LAUNCHER, *words], bound=4) == ""


def test_the_bound_may_stand_in_makeflags(lab: Lab, agent: FakeAgent) -> None:
    agent.useful = 9
    lab.makefile(9, "X = no\n$(info $(X) $(MAKEFLAGS))\n")
    with lab.build([LAUNCHER, "make"], {"MAKEFLAGS": "k -j3 -- X=yes"}) as build:
        lab.running_becomes(3)
        lab.end_all(9)
        assert (build.wait(), build.stderr) == (0, "")
        assert build.stdout.startswith("yes k")


def test_a_make_without_jobs_to_share_is_not_held_up(lab: Lab, agent: FakeAgent) -> None:
    agent.useful = 1
    lab.makefile(3)
    with lab.build([LAUNCHER, "make"]) as build:
        for _ in range(3):
            lab.running_becomes(1)
            lab.end_jobs()
        assert (build.wait(), build.stderr) == (0, "")


def test_makes_within_a_make_share(lab: Lab, agent: FakeAgent) -> None:
    for name in ("one", "two", "three"):
        (lab.work / name).mkdir()
        lab.makefile(4)
        (lab.work / "Makefile").rename(lab.work / name / "Makefile")
    (lab.work / "Makefile").write_text("all: one two three\n.PHONY: one two three\none two three: ; @$(MAKE) -sC $@\n")
    agent.useful = 2
    with lab.build([LAUNCHER, "make"]) as build:
        lab.running_becomes(2)
        agent.useful = 6
        lab.running_becomes(6, SOON_S)
        lab.end_all(4)
        assert (build.wait(), build.stderr) == (0, "")


def test_an_outer_jobserver_is_taken_part_in(lab: Lab, agent: FakeAgent) -> None:
    agent.useful = 9
    lab.makefile(6)
    (lab.work / "outer").write_text(f"all: ; +@{LAUNCHER} make -s\n")
    with lab.build(["make", "-j3", "-f", "outer"]) as build:
        lab.running_becomes(3)
        settled = len(agent.asked)
        lab.end_jobs(3)
        lab.running_becomes(3)
        assert len(agent.asked) == settled, "nobody supplies tokens of our own"
        lab.end_all(6)
        assert (build.wait(), build.stderr) == (0, "")


def test_an_old_ninja_is_told_a_number(lab: Lab, agent: FakeAgent) -> None:
    agent.useful = 5
    lab.ninja_file(8)
    lab.program("ninja", OLD_NINJA)
    with lab.build([LAUNCHER, "ninja"]) as build:
        lab.running_becomes(5)
        assert agent.settled, "the LAN was listened to before"
        lab.end_all(8)
        assert build.wait() == 0
    for path in lab.work.glob("end.*"):
        path.unlink()
    with lab.build([LAUNCHER, "ninja", "-j", "3"]) as build:
        lab.running_becomes(3)
        lab.end_all(8)
        assert build.wait() == 0


def test_run_hands_the_jobserver_to_a_make_below(lab: Lab, agent: FakeAgent) -> None:
    lab.makefile(24)
    assert follows(lab, agent, [LAUNCHER, "run", "sh", "-c", "echo go; make"]) == ""


@pytest.mark.parametrize("generator", ["Unix Makefiles", "Ninja"])
@pytest.mark.parametrize("words", [[], ["-j4"], ["--", "-j4"]])
def test_cmake_builds(lab: Lab, agent: FakeAgent, generator: str, words: list[str]) -> None:
    lab.program("ninja", NEW_NINJA)
    cmake(lab, generator, 200 if generator == "Ninja" else 24)
    bound = 4 if words else 99
    follow = follows_slowly if generator == "Ninja" else follows
    assert follow(lab, agent, [LAUNCHER, "cmake", "--build", "out", *words], bound=bound) == ""


def test_cmake_with_an_old_ninja(lab: Lab, agent: FakeAgent) -> None:
    lab.program("ninja", OLD_NINJA)
    cmake(lab, "Ninja")
    agent.useful = 5
    with lab.build([LAUNCHER, "cmake", "--build", "out"]) as build:
        lab.running_becomes(5)
        lab.end_all(24)
        assert build.wait() == 0


def cmake(lab: Lab, generator: str, jobs: int = 24) -> None:
    """Configure a project of jobs that needs no compiler."""
    text = "cmake_minimum_required(VERSION 3.16)\nproject(jobs LANGUAGES NONE)\nadd_custom_target(all_jobs ALL)\n"
    (lab.work / "job.sh").write_text(JOB_SCRIPT)
    for number in range(jobs):
        text += f"add_custom_target(j{number} COMMAND sh ${{CMAKE_SOURCE_DIR}}/job.sh j{number} WORKING_DIRECTORY ${{CMAKE_SOURCE_DIR}})\nadd_dependencies(all_jobs j{number})\n"
    (lab.work / "CMakeLists.txt").write_text(text)
    ended = lab.run("cmake", "-G", generator, "-S", ".", "-B", "out")
    assert ended.returncode == 0, ended.stderr


JOB_SCRIPT = 'touch "running.$1"; while ! test -e "end.$1"; do sleep 0.02; done; rm "running.$1"\n'


def test_an_agent_that_says_nothing_more_leaves_this_machine(lab: Lab) -> None:
    """Its last answer holds for a while: a new agent may be on its way."""
    lab.makefile(24)
    with fake_agent(lab) as agent:
        agent.useful = 6
        with lab.build(["taskset", "-c", "0", LAUNCHER, "make"]) as build:
            lab.running_becomes(6)
            agent.useful = "plenty"
            asked(agent)
            lab.end_jobs(1)
            lab.running_becomes(6, SOON_S)
            silence = len(agent.asked) + 12  # two questions a second
            wait_until(lambda: len(agent.asked) >= silence, 20, "patience is over")
            lab.end_jobs(5)
            lab.end_jobs(1)
            lab.running_becomes(1, SOON_S)
            lab.end_all(24)
            assert build.wait() == 0

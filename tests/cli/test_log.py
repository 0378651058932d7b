"""`zdistcc log` with a real agent's log, and with what becomes of log files."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.lab import Lab, lab_in, missing
from tests.lan.waiting import wait_until
from zdistcc import paths
from zdistcc.cli.log import shown

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with lab_in(tmp_path) as lab:
        yield lab


def test_without_a_log_it_says_how_to_get_one(lab: Lab) -> None:
    ended = lab.run("log")
    assert ended.returncode == 100
    assert "no agent was started here yet; zdistcc hosts or the next compile starts one" in ended.stderr


def test_one_agents_log_and_the_next_ones(lab: Lab) -> None:
    """It follows from one agent to the next; control-C ends it well."""
    assert lab.run("stats").returncode == 0  # starts none
    assert not paths.log_path(lab.env).exists()
    assert lab.run("hosts").returncode == 0
    place = paths.log_path(lab.env)
    assert place.exists()
    with place.open("a") as log:
        log.write("one\ntwo\nthree\n")
    assert lab.run("log", "-n", "2", "--no-follow").stdout == "two\nthree\n"
    assert lab.run("log", "-n", "0", "--no-follow").stdout == ""
    with lab.build(["zdistcc", "log", "--lines", "1"]) as following:
        wait_until(lambda: following.stdout == "three\n", 20, "what is there is shown")
        assert lab.run("stop").returncode == 0
        assert lab.run("hosts", env={"ZDISTCC_LOG": "debug"}).returncode == 0
        with place.open("a") as log:
            log.write("four\n")
        wait_until(lambda: following.stdout.endswith("four\n"), 20, "the next agent's log is followed")
        following.process.send_signal(signal.SIGINT)
        assert following.wait() == 0
        assert following.stderr == ""


def test_a_log_that_is_emptied_replaced_or_taken_away(lab: Lab) -> None:
    place = paths.log_path(lab.env)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    place.write_text("old old old\n")
    with lab.build(["zdistcc", "log"]) as following:
        wait_until(lambda: following.stdout == "old old old\n", 20, "what is there is shown")
        place.write_text("emptied\n")
        wait_until(lambda: following.stdout.endswith("old\nemptied\n"), 20, "what follows an end")
        fresh = place.with_suffix(".new")
        fresh.write_text("replaced by more than there was\n")
        fresh.replace(place)
        wait_until(lambda: following.stdout.endswith("emptied\nreplaced by more than there was\n"), 20, "a new file")
        place.unlink()
        place.write_text("again\n")
        wait_until(lambda: following.stdout.endswith("was\nagain\n"), 20, "a file that was away")


def test_who_reads_no_more_ends_it(lab: Lab) -> None:
    place = paths.log_path(lab.env)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    place.write_text("x\n" * 10)
    with lab.build(["bash", "-o", "pipefail", "-c", "zdistcc log -n 5 | head -n 1; echo $?"]) as following:

        def more() -> bool:
            with place.open("a") as log:
                log.write("y\n")
            return following.process.poll() is not None

        wait_until(lambda: following.stdout == "x\n", 20, "the reader has left")
        wait_until(more, 20, "it ends")
        assert following.stdout == "x\n0\n" and following.stderr == ""


def test_a_log_does_not_write_to_the_terminal() -> None:
    assert shown("é\t1\x1b]0;title\x07\n") == "é\t1�]0;title�\n"

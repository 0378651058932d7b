"""Whole hosts that die, hang and are throttled."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.lan.lan import Host, Lan
from tests.lan.machine import Process
from tests.lan.needs import lan_unavailable_reason
from tests.lan.trouble import Limit, freeze, kill_all, limits_unavailable_reason, set_quota, thaw
from tests.lan.waiting import wait_until

REASON = lan_unavailable_reason()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
TICKING = ["sh", "-c", "while :; do echo x; sleep 0.01; done"]


@pytest.fixture
def lan() -> Iterator[Lan]:
    with Lan([Host("one"), Host("two")]) as lan:
        yield lan


def ticks_on(process: Process) -> bool:
    before = len(process.stdout)
    try:
        wait_until(lambda: len(process.stdout) > before, 0.5, "a tick")
    except AssertionError:
        return False
    return True


def test_a_host_is_frozen_and_thawed_and_no_other(lan: Lan) -> None:
    here, there = (lan[name].spawn(TICKING) for name in ("one", "two"))
    for process in (here, there):
        process.wait_for_output("x", 10)
    freeze(lan["one"])
    assert not ticks_on(here) and ticks_on(there)
    thaw(lan["one"], [here])
    wait_until(lambda: ticks_on(here), 10, "it goes on")


def test_all_of_a_host_is_killed_and_no_other(lan: Lan) -> None:
    here, there = (lan[name].spawn(TICKING) for name in ("one", "two"))
    lan["one"].run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & exit 0"])
    for process in (here, there):
        process.wait_for_output("x", 10)
    kill_all(lan["one"])
    assert here.wait(10) == -signal.SIGKILL
    wait_until(lambda: lan["one"].processes() == {}, 10, "nothing runs there")
    assert ticks_on(there)
    assert lan["one"].run(["true"]).returncode == 0


def test_a_group_is_signalled(lan: Lan) -> None:
    process = lan["one"].spawn(["sh", "-c", "sleep 1000; exit 0"])
    wait_until(lambda: len(lan["one"].processes()) == 2, 10, "both run")
    process.signal_group(signal.SIGKILL)
    process.wait(10)
    wait_until(lambda: lan["one"].processes() == {}, 10, "both have ended")


def test_a_host_is_limited(lan: Lan) -> None:
    """Or it is said why not: not every system has these groups."""
    reason = limits_unavailable_reason("cpu")
    if reason is not None:
        assert "control group" in reason
        return
    busy = lan["one"].spawn(["sh", "-c", "while :; do :; done"])
    assert busy.pid is not None
    with Limit(lan["one"], "cpu") as limit:
        limit.take()
        set_quota(limit, 0.05)
        text = limit._group / "cpu.stat"
        wait_until(lambda: "nr_throttled 0" not in text.read_text(), 10, "it is held back")
        assert limit.get("cpu.cfs_quota_us") == 5000
    busy.kill()
    busy.wait(10)
    assert not limit._group.exists()

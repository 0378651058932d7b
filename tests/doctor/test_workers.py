"""What is read off all that is known of a worker, and what is said to be done about it."""

from __future__ import annotations

from typing import Any

import pytest

from zdistcc.doctor.finding import Verdict
from zdistcc.doctor.packages import package, remedy
from zdistcc.doctor.workers import Firewall, Knock, Reach, Trial, examine

GCC = {"family": "gcc", "version": "12.2.0", "target": "x86_64-linux-gnu", "build_id": "a"}
OPEN = Reach(address="192.0.2.2", knock=Knock.OPEN, ms=0.4)
SILENT = Reach(address="192.0.2.2", knock=Knock.SILENT)
REFUSED = Reach(address="192.0.2.2", knock=Knock.REFUSED)
LOST_WAY = Reach(address="fe80::1%eth0", knock=Knock.NO_WAY)


def row(**changes: Any) -> dict[str, Any]:
    usual = {
        "name": "desk", "id": "1", "state": "ready", "reason": None, "port": 3633, "address": "192.0.2.2:3633",
        "ways": ["announced"], "version": "1.0", "compilers": [GCC], "running": 1, "slots": 4, "clock_skew_s": 0.1,
    }  # fmt: skip
    return {**usual, **changes}


def found(of: dict[str, Any], reaches: list[Reach], trial: Trial | None = None) -> list[tuple[Verdict, str, str]]:
    findings = list(examine(of, reaches, trial, ours=GCC, version="1.0"))
    assert all(finding.subject == "desk" and finding.check == "worker" for finding in findings)
    assert all(finding.remedy for finding in findings if finding.verdict is Verdict.BAD)
    return [(finding.verdict, finding.text, finding.remedy) for finding in findings]


def test_a_worker_that_is_well_gets_one_line() -> None:
    text = "192.0.2.2 0.4 ms; 1 of 4 slots busy; a trial job came back right in 25 ms"
    assert found(row(), [OPEN], Trial(ok=True, seconds=0.025)) == [(Verdict.GOOD, text, "")]


def test_a_worker_behind_ssh_need_not_be_heard() -> None:
    ways = {"reach": "ssh", "ways": ["peer"], "address": "ssh desk"}
    assert found(row(**ways), []) == [(Verdict.GOOD, "ssh desk; 1 of 4 slots busy", "")]


@pytest.mark.parametrize(
    ("changes", "reaches", "text", "remedy"),
    [
        ({"state": "unreachable"}, [SILENT], "a firewall drops it", "ufw allow 3633/tcp"),
        ({"state": "unreachable"}, [REFUSED], "nobody listens on TCP port 3633", "zdistccd status"),
        ({"state": "unreachable"}, [LOST_WAY], "no way leads there", "check cable"),
        ({"state": "unreachable"}, [], "no address is known", "check cable"),
        (
            {"state": "unreachable", "reason": "x is not on this worker's network; start zdistccd with --allow x"},
            [OPEN],
            "it refuses this machine: x is not on this worker's network",
            "on desk: start zdistccd with --allow x",
        ),
        ({"state": "unreachable", "reason": "speaks protocol 9"}, [OPEN], "speaks protocol 9", "the log"),
        ({"state": "quarantined", "reason": "it lied"}, [OPEN], "quarantined: it lied", "the log"),
        (
            {"state": "incompatible", "reason": "has gcc 11", "compilers": []},
            [OPEN],
            "it has gcc 11",
            "on desk: apt-get install gcc-12 g++-12",
        ),
        (
            {"state": "unreachable", "reach": "ssh", "reason": "Permission denied; add your key there"},
            [],
            "not reached through ssh: Permission denied",
            "add your key there",
        ),
        ({"state": "unreachable", "reach": "ssh", "reason": "timeout"}, [], "ssh: timeout", "try by hand: ssh"),
        ({"ways": ["told"]}, [OPEN], "its announcements do not arrive here", "udp"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(
    changes: dict[str, Any], reaches: list[Reach], text: str, remedy: str
) -> None:
    wrong = [each for each in found(row(address=None if changes.get("state") == "unreachable" else "x", **changes), reaches)
             if each[0] is Verdict.BAD]  # fmt: skip
    assert len(wrong) == 1
    assert text in wrong[0][1] and remedy in wrong[0][2]


def test_a_failed_trial_names_the_cause_that_the_worker_gave() -> None:
    trial = Trial(ok=False, sentence="internal: the worker's disk is full", remedy="")
    assert found(row(), [OPEN], trial)[0] == (
        Verdict.BAD,
        "a trial job fails there: internal: the worker's disk is full",
        "look at the log of zdistccd on desk",
    )


def test_matters_beside_the_main_one() -> None:
    old = row(version="0.9", clock_skew_s=-3600.0)
    verdicts = found(old, [OPEN, LOST_WAY])
    assert [verdict for verdict, _, _ in verdicts] == [Verdict.GOOD, *[Verdict.NOTE] * 3]
    texts = " / ".join(text for _, text, _ in verdicts)
    assert "not by all of its addresses: fe80::1%eth0 no way" in texts
    assert "runs zdistcc 0.9, this machine 1.0" in texts
    assert "its clock is 3600 s behind this machine's" in texts


@pytest.mark.parametrize(
    ("wanted", "machine", "name"),
    [
        (("gcc", "12.2.0", "x86_64-linux-gnu"), "x86_64-linux-gnu", "gcc-12 g++-12"),
        (
            ("gcc", "12.2.0", "aarch64-linux-gnu"),
            "x86_64-linux-gnu",
            "gcc-12-aarch64-linux-gnu g++-12-aarch64-linux-gnu",
        ),
        (("gcc", "13.1", "x86_64-linux-gnu"), "aarch64-linux-gnu", "gcc-13-x86-64-linux-gnu g++-13-x86-64-linux-gnu"),
        (("clang", "14.0.6", "x86_64-pc-linux-gnu"), "x86_64-linux-gnu", "clang-14"),
        (("sun", "5.15", "x86_64"), "x86_64-linux-gnu", None),
    ],
)
def test_packages_are_named_as_debian_names_them(wanted: tuple[str, str, str], machine: str, name: str | None) -> None:
    assert package(*wanted, machine) == name


def test_the_remedy_for_a_compiler_says_on_which_machine() -> None:
    older = {**GCC, "version": "11.4.0"}
    assert remedy(GCC, [older], "desk") == (
        "on desk: apt-get install gcc-12 g++-12; or compile here with what it has: apt-get install gcc-11 g++-11"
    )
    assert remedy(GCC, [{**GCC, "version": "12.1.0"}], "desk").startswith("bring both machines to the same release")
    sun = {"family": "sun", "version": "5.15", "target": "sparc-solaris"}
    assert remedy(sun, [], "desk") == "install sun 5.15 for sparc-solaris on desk"


def test_a_firewall_is_told_in_its_own_words_where_it_is_known() -> None:
    assert Firewall(tool="nft").opens("udp 5353") == "nft insert rule inet filter input udp dport 5353 accept"
    assert Firewall().opens("tcp 3633").count("3633") == 3

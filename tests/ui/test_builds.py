"""Builds: which jobs belong together, where they were when, and what is said of them."""

from __future__ import annotations

import random

import pytest

from tests.ui.made import EPOCH, EVIL, build_of, job, local, record
from zdistcc.errors import Reason
from zdistcc.ui.builds import HERE, IDLE_S, Build, Job, job_of, lanes, load, places, report, split, stretches


def one_build(*jobs: Job) -> Build:
    (build,) = split(jobs)
    return build


# --- what belongs together -------------------------------------------------------------------------


def test_a_pause_ends_a_build_and_a_long_job_is_none() -> None:
    long = local(1, begun=100.0, running=100.0, ended=190.0)
    near, far = record(2, begun=190.0 + IDLE_S), record(3, begun=194.1 + 2 * IDLE_S)
    builds = split([job(far), job(long), job(near)])
    assert [[each.number for each in build.jobs] for build in builds] == [[3], [1, 2]]
    assert builds[1].begin == EPOCH + 100.0 and builds[1].seconds == pytest.approx(94.0 + IDLE_S)


def test_sessions_build_apart_even_at_once() -> None:
    builds = split([job(record(number, begun=100.0 + number, session=number % 2)) for number in range(1, 7)])
    assert [{each.session for each in build.jobs} for build in builds] == [{0}, {1}]


def test_nothing_is_no_build() -> None:
    assert split([]) == []


def test_the_directory_is_the_one_that_holds_all() -> None:
    assert one_build(*(job(record(n, directory=f"/home/me/p/{n}")) for n in (1, 2))).directory == "/home/me/p"
    apart = (job(record(n, directory="/b" if n else "/a")) for n in range(3))
    assert one_build(*apart).directory == "/b"
    assert one_build(job(record(1, directory="")), job(record(2))).directory in ("", "/home/me/project")


# --- jobs ------------------------------------------------------------------------------------------


def test_a_job_under_way_lasts_until_now() -> None:
    now = job_of(record(1, ended=0.0, fate="", answered=0.0), EPOCH, 107.0)
    assert now.under_way and now.ended == EPOCH + 107.0 and now.how == "under way"
    assert job_of(record(1, ended=0.0, fate=""), EPOCH, 0.0).ended == EPOCH + 100.0, "no time runs backwards"


def test_phases_stay_between_begin_and_end() -> None:
    odd = job(record(1, sent=3.0, answered=900.0))
    assert odd.sent == odd.begun and odd.answered == odd.ended


def test_the_seconds_of_a_job_are_those_of_its_compilers() -> None:
    assert job(record(1)).seconds == 3.0 and job(record(1)).work == 2.9
    assert job(record(1, wall_ms=0)).seconds == pytest.approx(3.3), "what a worker did not measure is seen from here"
    twice = job(record(1, running=104.0, ended=106.0, fate="local", reason=Reason.REMOTE_ERROR.word))
    assert twice.seconds == 5.0 and twice.place == HERE and twice.why == Reason.REMOTE_ERROR.text
    assert (job(record(1)).place, job(record(1)).how, job(local(1)).how) == ("desk", "headers", "link")


# --- where and when --------------------------------------------------------------------------------


def kinds(made: Job) -> list[tuple[str, str]]:
    return [(stretch.place, stretch.kind) for stretch in stretches(made)]


def test_where_a_job_was() -> None:
    assert kinds(job(record(1))) == [("desk", "headers")]
    assert kinds(job(local(1))) == [(HERE, "local")]
    repeated = job(record(1, running=104.0, ended=106.0, fate="local", reason="remote-error"))
    assert kinds(repeated) == [("desk", "failed"), (HERE, "local")]
    unanswered = job(record(1, answered=0.0, running=104.0, ended=106.0, fate="local", reason="workers-failed"))
    assert kinds(unanswered) == [(HERE, "local")], "when the worker was lost is not known"
    assert kinds(job(record(1, answered=0.0, fate="abandoned"))) == [("desk", "failed")]
    assert kinds(job(local(1, running=0.0, fate="abandoned"))) == []


def test_both_starts_of_a_job_are_seen_whoever_won() -> None:
    second = {"second": 102.0, "second_worker": "attic", "starts": 2}
    lost = job(record(1, **second))
    won = job(record(1, worker="attic", first_worker="desk", **second))
    for made in (lost, won):
        assert kinds(made) == [("desk", "headers"), ("attic", "second")]
        assert [stretch.begin for stretch in stretches(made)] == [EPOCH + 100.2, EPOCH + 102.0]


@pytest.mark.parametrize("seed", range(5))
def test_no_two_jobs_share_a_lane_and_no_lane_is_wasted(seed: int) -> None:
    chance = random.Random(seed)
    made = []
    for number in range(1, 200):
        begun = 100 + chance.random() * 50
        made.append(job(local(number, begun=begun, running=begun, ended=begun + chance.random() * 5)))
    row = places(one_build(*made))[HERE]
    given = lanes(row)
    until: dict[int, float] = {}
    for stretch, lane in zip(row, given, strict=True):
        assert until.get(lane, 0.0) <= stretch.begin
        until[lane] = stretch.end
    assert max(given) + 1 == max(running for _, running in load(one_build(*made)))


def test_places_are_in_the_order_of_people() -> None:
    made = [job(record(n, worker=worker)) for n, worker in enumerate(("b10", "b2", "a", "10"), 1)]
    assert list(places(one_build(*made, job(local(9))))) == ["10", "a", "b2", "b10", HERE]


# --- what is said ----------------------------------------------------------------------------------


def test_the_tail_is_where_at_most_half_are_at_work() -> None:
    even = [job(local(number, begun=100.0, running=100.0, ended=110.0)) for number in range(1, 5)]
    late = job(local(5, begun=100.0, running=109.0, ended=125.0, file="slow.c"))
    link = job(local(6, begun=125.0, running=125.0, ended=127.0, file="program"))
    tail = report(one_build(*even, late, link), 4).tail
    assert tail.begin == EPOCH + 110.0 and tail.seconds == 17.0
    assert [(each.file, spent) for each, spent in tail.jobs] == [("slow.c", 15.0), ("program", 2.0)]
    assert tail.last is link


def test_a_build_of_one_job_after_the_other_has_no_tail() -> None:
    made = [job(local(n, begun=100.0 + n, running=100.0 + n, ended=101.0 + n)) for n in range(1, 5)]
    tail = report(one_build(*made), 4).tail
    assert (tail.seconds, tail.jobs, tail.last) == (0.0, (), None)


def test_totals() -> None:
    jobs = [job(record(n)) for n in (1, 2, 3)] + [job(record(4, worker="attic", mode="preprocessed")), job(local(5))]
    jobs.append(job(local(6, running=0.0, fate="failed", reason="no-worker")))
    said = report(one_build(*jobs), 2)
    assert said.fates == {"remote": 4, "local": 1, "failed": 1}
    assert said.modes == {"headers": 3, "preprocessed": 1}
    assert [(total.name, total.jobs, total.seconds) for total in said.places] == [
        ("desk", 3, 9.0), ("attic", 1, 3.0), (HERE, 1, 2.0),
    ]  # fmt: skip
    assert sum(total.share for total in said.places) == pytest.approx(1.0)
    assert {why.word: why.jobs for why in said.reasons} == {"link": 1, "no-worker": 1}
    assert said.seconds == 14.0 and said.parallelism == pytest.approx(14.0 / 4.0)
    assert said.alone == pytest.approx((4 * 2.9 + 2.0) / 2)
    assert [each.number for each in said.slowest] == [1, 2, 3, 4, 5, 6]


def test_what_a_worker_did_in_vain_is_its_work() -> None:
    twice = job(record(1, running=104.0, ended=106.0, fate="local", reason="remote-error"))
    said = [(total.name, total.jobs, total.seconds, total.received) for total in report(one_build(twice), 2).places]
    assert said == [("desk", 0, 3.0, 34_000), (HERE, 1, 2.0, 0)]


def test_alone_is_not_quicker_than_the_longest_job() -> None:
    assert report(one_build(job(record(1))), 64).alone == 2.9


def test_a_build_without_length_or_work() -> None:
    said = report(one_build(job(local(1, running=0.0, ended=100.0, fate="abandoned", reason="abandoned"))), 2)
    assert (said.parallelism, said.peak, said.places, said.tail.seconds) == (0.0, 0, (), 0.0)


def test_made_builds_are_builds() -> None:
    for count in (1, 200):
        build = one_build(*build_of(count))
        assert len(build.jobs) == count
        assert report(build, 4).places


def test_words_of_others_are_tamed() -> None:
    evil = job(record(1, file=EVIL, worker=EVIL, detail=EVIL, directory=EVIL, mode=EVIL))
    for word in (evil.file, evil.worker, evil.detail, evil.directory, evil.mode):
        assert word.isprintable() and "<script>" in word

"""How many slots are right: readings go in, slots and a reason come out; and what of it is told, and when."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from zdistcc.worker import bulletin
from zdistcc.worker.admission import Counts
from zdistcc.worker.manners import FIRST_JOB_BYTES, GROW_AFTER_S, Limited, Manners, Reading, Standing, Times

GIB = 1 << 30


class Clock:
    """A machine whose use is dictated."""

    def __init__(self, manners: Manners, *, cores: int = 4) -> None:
        self.manners = manners
        self.cores = cores
        self.at = 0.0
        self.user = self.nice = self.system = self.own = 0.0
        self.free = 8 * GIB
        self.battery = False

    def pass_time(
        self, seconds: float, *, user: float = 0, nice: float = 0, system: float = 0, own: float = 0, running: int = 0
    ) -> Standing:
        """`user`…: cores in use meanwhile."""
        standing = self.manners.standing
        for _ in range(round(seconds)):
            self.at += 1
            self.user, self.nice = self.user + user, self.nice + nice
            self.system, self.own = self.system + system, self.own + own
            standing = self.manners.judge(
                Reading(
                    at=self.at,
                    cores=self.cores,
                    times=Times(user_s=self.user, nice_s=self.nice, system_s=self.system, own_s=self.own),
                    memory_free=self.free,
                    memory_total=8 * GIB,
                    on_battery=self.battery,
                ),
                running,
            )
        return standing


def test_slots_shrink_by_what_others_use_and_come_back() -> None:
    clock = Clock(Manners(slots=4))
    assert clock.pass_time(5) == Standing(slots=4, memory_free=8 * GIB, memory_total=8 * GIB)
    busy = clock.pass_time(10, user=2)
    assert (busy.slots, busy.limited) == (2, Limited.LOAD)
    assert 1.9 <= busy.others_load <= 2
    assert clock.pass_time(10, user=4).slots == 0
    assert clock.pass_time(2).slots == 0, "not at once"
    free = clock.pass_time(15)
    assert (free.slots, free.limited) == (4, Limited.NOT)


def test_compilers_are_not_others() -> None:
    """Niced time, its part of the system's, and the worker's own work."""
    clock = Clock(Manners(slots=4))
    standing = clock.pass_time(20, user=0.3, own=0.3, nice=3.4, system=0.4, running=4)
    assert standing.slots == 4 and standing.others_load < 0.05


def test_system_time_is_divided_as_user_time_is() -> None:
    clock = Clock(Manners(slots=4))
    assert abs(clock.pass_time(30, user=1, nice=1, system=1).others_load - 1.5) < 0.1


def test_a_load_on_the_edge_does_not_make_slots_flap() -> None:
    clock = Clock(Manners(slots=4))
    clock.pass_time(10, user=1.5)
    seen = {clock.pass_time(1, user=1.5 + wobble).slots for wobble in (0.1, -0.1) * 20}
    assert len(seen) == 1


def test_few_slots_on_many_cores_and_many_on_few() -> None:
    assert Clock(Manners(slots=2), cores=8).pass_time(20, user=5).slots == 2
    assert Clock(Manners(slots=2), cores=8).pass_time(20, user=7).slots == 1
    assert Clock(Manners(slots=8), cores=4).pass_time(20, user=2).slots == 4


def test_memory() -> None:
    clock = Clock(Manners(slots=4))
    for _ in range(20):
        clock.manners.used(GIB)
    clock.free = 3 * GIB
    short = clock.pass_time(1)
    assert (short.slots, short.limited) == (2, Limited.MEMORY)
    clock.free = GIB // 4
    assert clock.pass_time(1).slots == 1, "one is always tried"
    assert clock.pass_time(1, running=1).slots == 1
    clock.free = GIB // 32
    assert clock.pass_time(1).slots == 0, "unless there is nothing left"
    clock.free = 8 * GIB
    assert clock.pass_time(GROW_AFTER_S + 2).slots == 4


def test_running_jobs_may_grow() -> None:
    clock = Clock(Manners(slots=4))
    clock.manners.used(GIB)
    clock.free = 2 * GIB + GIB // 2
    assert clock.pass_time(1, running=2).slots == 3, "two run and want a gibibyte more: there is room for a third"


def test_what_a_job_needs_is_learnt_and_one_giant_is_not_the_rule() -> None:
    manners = Manners(slots=4)
    assert manners.job_bytes == FIRST_JOB_BYTES
    for number in range(64):
        manners.used(4 * GIB if number == 7 else 300 << 20)
    assert manners.job_bytes == 300 << 20
    for _ in range(30):
        manners.used(GIB)
    assert manners.job_bytes == GIB


def test_battery() -> None:
    clock = Clock(Manners(slots=4))
    clock.battery = True
    standing = clock.pass_time(1, running=3)
    assert (standing.slots, standing.limited) == (0, Limited.BATTERY)
    clock.battery = False
    assert clock.pass_time(GROW_AFTER_S + 2).slots == 4
    asked = Clock(Manners(slots=4, on_battery=True))
    asked.battery = True
    assert asked.pass_time(1).slots == 4


def test_impolite_workers_offer_all_and_say_what_they_see() -> None:
    clock = Clock(Manners(slots=4, polite=False))
    clock.battery = True
    clock.free = 0
    standing = clock.pass_time(20, user=4)
    assert (standing.slots, standing.limited) == (4, Limited.NOT)
    assert standing.others_load > 3.5


def test_where_nothing_can_be_read_all_slots_are_offered() -> None:
    manners = Manners(slots=3)
    for at in range(5):
        assert manners.judge(Reading(at=float(at), cores=2), 0).slots == 3


@given(
    slots=st.integers(1, 64),
    cores=st.integers(1, 64),
    steps=st.lists(
        st.tuples(st.floats(0, 64), st.integers(0, 1 << 40), st.booleans(), st.integers(0, 64)), max_size=30
    ),
)
@settings(max_examples=100, deadline=None)
def test_slots_stay_within_bounds_and_a_reason_is_given_if_and_only_if_they_are_fewer(
    slots: int, cores: int, steps: list[tuple[float, int, bool, int]]
) -> None:
    manners = Manners(slots=slots)
    clock = Clock(manners, cores=cores)
    for user, free, battery, running in steps:
        clock.free, clock.battery = free, battery
        standing = clock.pass_time(1, user=user, running=running)
        assert 0 <= standing.slots <= slots
        assert (standing.limited is not Limited.NOT) is (standing.slots < slots)
        assert 0 <= standing.others_load <= cores
        assert not battery or standing.slots == 0


def test_efficiency() -> None:
    manners = Manners(slots=1)
    assert manners.efficiency is None
    for _ in range(50):
        manners.ran(1.0, 1.0)
    assert manners.efficiency == 100
    for _ in range(50):
        manners.ran(1.0, 10.0)
    assert manners.efficiency == 10


# --- what is told -----------------------------------------------------------------------------------


def load(running: int = 0, **changes: object) -> bulletin.Load:
    fields: dict[str, object] = {"slots": 4, "others_load": 0.0, "memory_free": GIB, "memory_total": 8 * GIB, **changes}
    standing = Standing(**fields)  # type: ignore[arg-type]
    return bulletin.full(
        Counts(slots=standing.slots, running=running, queued=0), standing, configured=4, efficiency=90, draining=False
    )


def test_changes_are_told_at_once_and_drifts_at_most_every_two_seconds() -> None:
    board = bulletin.Bulletin()
    assert board.news(load(), 0.0) == load()
    assert board.news(load(), 0.1) is None
    counts = board.news(load(1), 0.2)
    assert counts is not None and counts.running == 1 and counts.memory_free is None and counts.limited is None
    assert board.news(load(1, others_load=2.0), 1.9) is None
    assert board.news(load(1, others_load=2.0), 2.1) == load(1, others_load=2.0)
    assert board.news(load(1, others_load=2.05, memory_free=GIB + 1000), 9.0) is None, "not worth a word"
    limited = load(1, slots=0, limited=Limited.BATTERY)
    assert board.news(limited, 9.1) == limited

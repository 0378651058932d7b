"""Admission under any order of events; its invariants are checked after each."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from zdistcc.worker.admission import Admission


class Work(RuleBasedStateMachine):
    """Jobs of three clients come, get ready, run and leave."""

    @initialize(slots=st.integers(1, 4))
    def open(self, slots: int) -> None:
        self.admission = Admission(slots)
        self.admitted: set[tuple[str, int]] = set()
        self.ready: set[tuple[str, int]] = set()
        self.running: set[tuple[str, int]] = set()
        self.next = 0

    def start(self, jobs: list[object]) -> None:
        for job in jobs:
            assert job in self.ready
            self.ready.remove(job)  # type: ignore[arg-type]
            self.running.add(job)  # type: ignore[arg-type]

    @rule(client=st.sampled_from("abc"))
    def come(self, client: str) -> None:
        self.next += 1
        job = (client, self.next)
        room = len(self.admitted | self.ready | self.running) < self.admission.slots + self.admission.queue_limit
        assert self.admission.admit(job, client) is (room and not self.admission.draining)
        if room and not self.admission.draining:
            self.admitted.add(job)

    @precondition(lambda self: self.admitted)
    @rule(data=st.data())
    def get_ready(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.admitted)))
        self.admitted.remove(job)
        self.ready.add(job)
        self.start(self.admission.ready(job))

    @precondition(lambda self: self.admitted or self.ready or self.running)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.admitted | self.ready | self.running)))
        for place in (self.admitted, self.ready, self.running):
            place.discard(job)
        self.start(self.admission.leave(job))
        assert self.admission.leave(job) == []

    @rule(draining=st.booleans())
    def drain(self, draining: bool) -> None:
        self.admission.draining = draining

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "admission"):
            return
        self.admission.check()
        counts = self.admission.counts
        assert counts.running == len(self.running)
        assert counts.queued == len(self.admitted) + len(self.ready)


TestWork = Work.TestCase
TestWork.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def test_ready_jobs_of_several_clients_take_turns() -> None:
    admission = Admission(1)
    order: list[object] = []
    for job in ("a1", "a2", "a3", "b1", "b2"):
        assert admission.admit(job, job[0])
        order += admission.ready(job)
    while admission.counts.running:
        order += admission.leave(order[-1])
        admission.check()
    assert order == ["a1", "a2", "b1", "a3", "b2"]

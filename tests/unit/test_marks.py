"""Marks: what each rule does, and a small world in which nothing stays invisible for long.

In that world transactions take numbers and commit later, in any order; workers claim by marks; rows
may carry a newer number than a statement's snapshot (a lock waited for). Each rule, switched off,
is seen to break it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dutiful.model.jobs import Lane, Lease
from dutiful.model.marks import AGAIN_S, AGAIN_SHARE, BEHIND_S, Marks, starting_marks

LIMIT = 5


def lease(lane: int, number: int) -> Lease:
    return Lease(str(number), lane, number, "t", 1, 1, 0, 1, 1, "task", None, b"", 0, 0)


def claim(
    marks: Marks,
    at: float,
    horizon: int,
    *got: tuple[int, int],
    lanes: tuple[int, ...] = (1,),
    took: float = 0.0,
) -> list[Lane]:
    """One claim that is answered ``at``; returns what was asked."""
    asked = marks.lanes(lanes, at)
    marks.claimed(asked, [lease(*one) for one in got], LIMIT, horizon, at, took)
    return asked


FULL = [(1, number) for number in range(11, 16)]


# ── the rules ───────────────────────────────────────────────────────────────────────────────


def test_everything_is_asked_for_at_first() -> None:
    assert Marks().lanes([3, 1, 2], 0.0) == [Lane(3), Lane(1), Lane(2)]
    assert Marks({1: 7}).lanes([1, 2], 0.0) == [Lane(1, 7), Lane(2, 0)]


def test_b_each_lane_has_a_mark_of_its_own() -> None:
    marks = Marks()
    claim(marks, 0.0, 100, lanes=(1, 2))
    claim(marks, 0.0, 100, *((2, n) for n in range(21, 26)), lanes=(1, 2))
    assert marks.values == {1: 0, 2: 25}


@pytest.mark.parametrize(
    "numbers, mark",
    [([11, 12, 13], 13), ([11, 12, 25], 12), ([25], 0), ([20], 20), ([21], 0)],
)
def test_c_a_number_that_is_newer_than_an_earlier_statement_moves_no_mark(
    numbers: list[int], mark: int
) -> None:
    marks = Marks()
    claim(marks, 0.0, 20)  # the earlier statement read 20
    claim(marks, 0.1, 30, *((1, n) for n in numbers))
    assert marks.values == {1: mark}


def test_c_the_first_claim_moves_nothing() -> None:
    marks = Marks()
    claim(marks, 0.0, 100, *FULL)
    assert marks.values == {1: 0}


def test_d_a_short_lane_is_claimed_again_from_the_number_of_5_s_ago() -> None:
    marks = Marks()
    claim(marks, 0.0, 10)
    claim(marks, 0.2, 20, *FULL)
    claim(marks, 0.3, 20, (1, 17))
    assert marks.values == {1: 17}
    # No number is known for 5 s ago: from the beginning.
    assert claim(marks, 0.4, 20) == [Lane(1, 0)]
    # Looked just now: not again before 100 ms have passed.
    assert marks.lanes([1], 0.4 + AGAIN_S - 0.01) == [Lane(1, 17)]
    assert marks.lanes([1], 0.4 + AGAIN_S) == [Lane(1, 0)]
    # 5 s after the first claim, its number is the floor.
    assert marks.lanes([1], BEHIND_S) == [Lane(1, 10)]
    assert marks.lanes([1], BEHIND_S + 0.25) == [Lane(1, 17)]  # the floor, 20, is above the mark


def test_d_a_full_lane_is_not_looked_at_again() -> None:
    marks = Marks()
    claim(marks, 0.0, 20)
    claim(marks, 1.0, 20, *FULL)
    assert marks.lanes([1], 2.0) == [Lane(1, 15)]


def test_d_a_second_look_that_comes_back_full_goes_on_until_the_mark() -> None:
    marks = Marks()
    claim(marks, 0.0, 40)
    claim(marks, 0.1, 40, (1, 30))
    late = [(1, n) for n in range(1, 6)]
    assert claim(marks, 0.2, 40, *late) == [Lane(1, 0)]
    assert claim(marks, 0.2, 40, *late) == [Lane(1, 0)], "more of them may stand below the mark"
    assert claim(marks, 0.2, 40, (1, 6)) == [Lane(1, 0)]
    assert marks.lanes([1], 0.2) == [Lane(1, 30)]
    assert marks.values == {1: 30}


def looks(took_s: Callable[[bool], float], seconds: float = 60.0) -> tuple[float, float]:
    """Of a worker whose claims take so long: the second looks' share of its time, their longest pause."""
    marks, now, last, extra, pause = Marks({1: 1, 2: 1}), 0.0, 0.0, 0.0, 0.0
    while now < seconds:
        asked = marks.lanes((1, 2), now)
        looked = bool(marks._looked)
        took = took_s(looked)
        if looked:
            extra += took - took_s(False)
            pause, last = max(pause, now - last), now
        now += took + 0.001
        marks.claimed(asked, [], LIMIT, 100, now, took)
    return extra / seconds, max(pause, now - last)


@pytest.mark.parametrize("look_s", [0.005, 0.03, 0.3])
def test_d_second_looks_take_little_of_the_time(look_s: float) -> None:
    share, pause = looks(lambda looked: look_s if looked else 0.002)
    assert share <= 1.5 / AGAIN_SHARE
    assert pause <= 1.5 * max(AGAIN_S, AGAIN_SHARE * look_s)


@pytest.mark.parametrize("seed", range(5))
def test_d_a_busy_machine_does_not_put_second_looks_off(seed: int) -> None:
    """All claims are slow and uneven there, and looks no slower than others: a look comes soon."""
    chance = random.Random(seed)
    share, pause = looks(lambda looked: chance.expovariate(1 / 0.03) + 0.004 * looked)
    assert pause <= 10 * AGAIN_S  # ten times one slow claim would be 2 s and more
    assert share <= 1.5 / AGAIN_SHARE


def test_d_an_empty_lane_moves_to_the_number_of_5_s_ago() -> None:
    marks = Marks()
    claim(marks, 0.0, 50)
    claim(marks, 1.0, 60)
    assert marks.values == {1: 0}
    claim(marks, BEHIND_S, 70)
    assert marks.values == {1: 50}
    claim(marks, BEHIND_S + 1.5, 70)
    assert marks.values == {1: 60}


def test_d_what_was_not_asked_for_any_more_is_not_empty() -> None:
    """Lanes behind the one that filled the batch say nothing, those before it are short."""
    marks = Marks()
    claim(marks, 0.0, 50, lanes=(1, 2, 3))
    claim(marks, BEHIND_S, 60, *((2, n) for n in range(11, 16)), lanes=(1, 2, 3))
    assert marks.values == {1: 50, 2: 15, 3: 0}


def test_d_a_new_worker_looks_again_from_where_it_began() -> None:
    marks = Marks({1: 40})
    claim(marks, 0.0, 60)
    claim(marks, 0.2, 60, (1, 55))
    assert marks.lanes([1], 0.4) == [Lane(1, 40)]


@pytest.mark.parametrize("lower", [0, 1, 19])
def test_f_a_lower_sequence_sets_all_marks_to_0(lower: int) -> None:
    marks = Marks({1: 5, 2: 5})
    claim(marks, 0.0, 20, lanes=(1, 2))
    claim(marks, 6.0, 20, *FULL, lanes=(1, 2))
    claim(marks, 6.1, lower, lanes=(1, 2))
    assert marks.lanes([1, 2], 6.2) == [Lane(1, 0), Lane(2, 0)]
    assert not any(marks.values.values())
    # And the old number of 5 s ago counts no more.
    claim(marks, 6.3, lower, lanes=(1, 2))
    assert marks.lanes([1, 2], 6.5) == [Lane(1, 0), Lane(2, 0)]


def test_starting_marks_are_the_lowest_of_all_who_have_one() -> None:
    assert starting_marks([]) == {}
    assert starting_marks([{1: 5, 2: 7}]) == {1: 5, 2: 7}
    assert starting_marks([{1: 5, 2: 7}, {1: 3, 3: 9}]) == {1: 3}
    assert starting_marks([{1: 5}, {}]) == {}


@given(st.lists(st.dictionaries(st.integers(1, 4), st.integers(0, 99)), max_size=4))
def test_starting_marks_pass_nobody(beats: list[dict[int, int]]) -> None:
    start = starting_marks(beats)
    for lane, mark in start.items():
        assert all(mark <= marks[lane] for marks in beats)


@given(st.lists(st.tuples(st.floats(0, 3), st.lists(st.integers(1, 60), max_size=LIMIT)), max_size=30))
def test_marks_only_grow_and_never_pass_what_an_earlier_statement_knew(
    steps: list[tuple[float, list[int]]],
) -> None:
    marks, now, horizon, before = Marks(), 0.0, 0, 0
    for pause, numbers in steps:
        now += pause
        earlier, horizon = horizon, max([horizon, *numbers])
        claim(marks, now, horizon, *((1, n) for n in sorted(set(numbers))))
        mark = marks.values[1]
        assert before <= mark <= earlier
        before = mark


# ── a world ─────────────────────────────────────────────────────────────────────────────────


@dataclass
class Job:
    number: int
    lane: int
    visible: float
    open_s: float


@dataclass
class World:
    """One table of ready jobs, one sequence, and workers that claim from it."""

    rng: random.Random
    make: Callable[[], Marks]
    workers: int = 2
    locks: float = 0.2
    """The share of rows that carry a newer number when they are taken."""
    now: float = 0.0
    sequence: int = 0
    jobs: list[Job] = field(default_factory=list)
    longest: float = 0.0
    """How long a job was visible, with claims that came back short, before somebody took it."""

    def enqueue(self, open_s: float, size: int) -> None:
        """A transaction takes its numbers now, and commits after ``open_s``."""
        for _ in range(size):
            self.sequence += 1
            self.jobs.append(Job(self.sequence, self.rng.choice((1, 2, 3)), self.now + open_s, open_s))

    def claim(self, marks: Marks) -> int:
        asked = marks.lanes((1, 2, 3), self.now)
        snapshot = self.now
        got: list[Job] = []
        for lane in asked:
            fit = [
                job
                for job in self.jobs
                if job.lane == lane.id and job.number > lane.mark and job.visible <= snapshot
            ]
            got += sorted(fit, key=lambda job: job.number)[: LIMIT - len(got)]
        horizon = self.sequence
        for job in got:
            self.jobs.remove(job)
        # Some of the rows were locked when we came, and carry a newer number than our snapshot.
        for job in got:
            if self.rng.random() < self.locks:
                self.sequence += self.rng.randint(1, 5)
                for number in range(horizon + 1, self.sequence):
                    self.jobs.append(Job(number, job.lane, self.now + 0.05, 0.05))
                self.sequence += 1
                job.number = self.sequence
        leases = [lease(job.lane, job.number) for job in got]
        marks.claimed(asked, leases, LIMIT, horizon, self.now, 0.001)
        return len(got)

    def waits(self) -> float:
        """How long the oldest visible job has been so, whose transaction was short enough for rule (d)."""
        return max((self.now - job.visible for job in self.jobs if job.open_s < BEHIND_S - 0.5), default=0.0)


def run(seed: int, make: Callable[[], Marks], seconds: float = 12.0) -> World:
    """Enqueues of many lengths while workers claim more than that; the longest wait is noted."""
    world = World(random.Random(seed), make)
    crew = [make() for _ in range(world.workers)]
    while world.now < seconds:
        world.now += world.rng.choice((0.005, 0.02, 0.05))
        if world.rng.random() < 0.4:
            open_s = world.rng.choice((0.0, 0.0, 0.03, 0.3, 1.0, 4.0))
            world.enqueue(open_s, world.rng.choice((1, 1, 2, 8)))
        for marks in crew:
            while world.claim(marks) == LIMIT:
                pass
        world.longest = max(world.longest, world.waits())
    return world


BOUND_S = AGAIN_S + 0.1  # the second look, and a claim of each worker


@settings(max_examples=40)
@given(st.integers(0, 10**9))
def test_no_job_is_invisible_for_longer_than_a_second_look(seed: int) -> None:
    assert run(seed, Marks).longest <= BOUND_S


class OneMark(Marks):
    """Without (b): one mark for all lanes."""

    def claimed(self, *arguments: object) -> None:
        super().claimed(*arguments)  # type: ignore[arg-type]
        highest = max(self._marks.values(), default=0)
        self._marks = dict.fromkeys(self._marks, highest)


class Greedy(Marks):
    """Without (c): a mark moves to whatever number a row carries, and second looks are not due yet."""

    def claimed(self, asked, leases, limit, horizon, now, took_s):  # type: ignore[no-untyped-def]
        leases = list(leases)
        super().claimed(asked, leases, limit, horizon, now, took_s)
        for one in leases:
            self._marks[one.lane] = max(self._marks[one.lane], one.ready_seq)
            self._first[one.lane] = max(self._first.get(one.lane, 0), one.ready_seq)


class NoSecondLook(Marks):
    """Without (d): a short lane is never claimed again from behind its mark."""

    def lanes(self, ids, now):  # type: ignore[no-untyped-def]
        self._short.clear()
        return super().lanes(ids, now)


class Hasty(Marks):
    """Without the 5 s of (d): an empty lane moves its mark to the number of now."""

    def _old(self, now: float) -> int:
        return self._horizon


@pytest.mark.parametrize("broken", [Greedy, NoSecondLook, Hasty], ids=lambda kind: kind.__name__)
def test_each_rule_that_is_switched_off_is_seen(broken: type[Marks]) -> None:
    assert any(run(seed, broken).longest > BOUND_S for seed in range(10))


@pytest.mark.parametrize("kind, hides", [(Marks, False), (OneMark, True)], ids=["b", "without b"])
def test_b_a_busy_lane_hides_no_other(kind: type[Marks], hides: bool) -> None:
    """A low lane waits for longer than a second look reaches back, while a high one fills each batch."""
    marks, world = kind(), World(random.Random(2), kind, locks=0)
    world.jobs = [Job(number, 3, 0.0, 0.0) for number in range(1, 21)]
    world.sequence = 20
    while world.now < 2 * BEHIND_S:
        world.now += 0.05
        world.sequence += LIMIT
        numbers = range(world.sequence - LIMIT + 1, world.sequence + 1)
        world.jobs += [Job(number, 1, world.now, 0.0) for number in numbers]
        assert world.claim(marks) == LIMIT
    for _ in range(20):
        world.now += 0.05
        world.claim(marks)
    assert bool(world.jobs) is hides


@pytest.mark.parametrize("rule", [True, False], ids=["f", "without f"])
def test_f_a_restore_hides_nothing(rule: bool) -> None:
    marks = Marks()
    world = World(random.Random(1), Marks, locks=0)
    for _ in range(100):
        world.now += 0.1
        world.enqueue(0.0, 3)
        while world.claim(marks) == LIMIT:
            pass
    world.jobs.clear()
    world.sequence = 5  # as it was long ago
    if not rule:
        marks._horizon = 0
    for _ in range(3):
        world.now += 0.1
        world.enqueue(0.0, 3)
        while world.claim(marks) == LIMIT:
            pass
    assert (world.jobs == []) is rule

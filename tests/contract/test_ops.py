"""People's verbs through the service layer: who may, once, on what was seen, with an audit row of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dutiful import App
from dutiful.model.errors import (
    ActionReused,
    Changed,
    ChoiceNeeded,
    DeclarationError,
    DutyTaken,
    NotAllowed,
    ReadOnly,
    ReasonNeeded,
)
from dutiful.model.operators import NEEDS, PERMISSIONS, PRESETS, Operator
from dutiful.supervise.ops import Ops, Seen, action_id
from tests.contract.people import dead, ops_in
from tests.contract.world import World, world_at

APP = App("people", "sqlite://")


@APP.task(name="t")
def TASK(n: int) -> None: ...


@pytest.fixture
def world(rows_url: str) -> Iterator[World]:
    with world_at(rows_url) as world:
        yield world


def rows(ops: Ops) -> list[tuple[str, str, str]]:
    return [(row.verb, row.before, row.after) for row in ops.audit()]


# ── D5, D6 ──────────────────────────────────────────────────────────────────────────────────


def test_d5_an_action_that_comes_twice_is_done_once(world: World) -> None:
    job, ops, once = dead(world), ops_in(world), action_id()
    seen = Seen.of(ops.job(job)).rev
    first = ops.retry(job, seen=seen, action_id=once, reason="mended")
    tables = world.tables()
    second = ops.retry(job, seen=seen, action_id=once, reason="mended")
    assert (first.replayed, second.replayed) == (False, True)
    assert first.said == second.said == f"job {job} is ready"
    assert world.tables() == tables
    assert rows(ops) == [("retry", "dead", "ready")]


def test_d5_the_id_of_a_refused_action_is_free_again(world: World) -> None:
    job, ops, once = dead(world, "k"), ops_in(world), action_id()
    other = world.enqueue("k")
    with pytest.raises(DutyTaken):
        ops.retry(job, action_id=once)
    ops.cancel(other)
    assert not ops.retry(job, action_id=once).replayed


def test_an_action_id_is_for_one_verb_of_one_person(world: World) -> None:
    job, once = dead(world), action_id()
    ops_in(world).retry(job, action_id=once)
    for ops in (ops_in(world), ops_in(world, Operator("ben", perms="operator"))):
        with pytest.raises(ActionReused):
            ops.discard(job, reason="no", action_id=once)


def test_d6_a_job_that_changed_since_it_was_seen_is_left_alone(world: World) -> None:
    job, ops = dead(world), ops_in(world)
    seen = Seen.of(ops.job(job)).rev
    ops.retry(job)
    world.claim()
    before = world.tables()
    with pytest.raises(Changed) as refused:
        ops.discard(job, reason="no", seen=seen)
    assert "running on worker" in refused.value.now
    assert world.tables() == before


def test_d6_one_that_died_again_is_another(world: World) -> None:
    job, ops = dead(world), ops_in(world)
    seen = Seen.of(ops.job(job)).rev
    ops.retry(job)
    [lease] = world.claim()
    world.end(lease, "bury")
    with pytest.raises(Changed, match="dead after run 2"):
        ops.retry(job, seen=seen)


# ── S1's other half: every verb and every role ──────────────────────────────────────────────


def verbs(ops: Ops, job: str) -> dict[str, object]:
    """A call of every verb; none would be refused for another reason but the last ones."""
    return {
        "cancel": lambda: ops.cancel(job),
        "retry": lambda: ops.retry(job),
        "discard": lambda: ops.discard(job, reason="r"),
        "undo": lambda: ops.undo(job),
        "confirm": lambda: ops.confirm(job),
        "resume": lambda: ops.resume(job),
        "refute": lambda: ops.refute(job),
        "pause_queue": lambda: ops.pause_queue("default", reason="r"),
        "resume_queue": lambda: ops.resume_queue("default"),
        "pause_schedule": lambda: ops.pause_schedule("s", reason="r"),
        "resume_schedule": lambda: ops.resume_schedule("s"),
        "skip_schedule": lambda: ops.skip_schedule("s", 1, reason="r"),
        "limit_queue": lambda: ops.limit_queue("default", 1, reason="r"),
        "break_lock": lambda: ops.break_lock("l", reason="r"),
        "enqueue": lambda: ops.enqueue(TASK, [1]),
    }


@pytest.mark.parametrize("permission", [*PERMISSIONS, "viewer", "operator"])
def test_s1_each_verb_asks_for_its_permission(store_world: World, permission: str) -> None:
    world, job = store_world, dead(store_world)
    ops = ops_in(world, Operator("ann", perms=permission))
    before = world.tables()
    for verb, call in verbs(ops, job).items():
        if ops.actor.may(NEEDS[verb]):
            continue
        with pytest.raises(NotAllowed, match=NEEDS[verb]):
            call()  # type: ignore[operator]
    assert world.tables() == before


def test_s1_read_only_refuses_every_verb_of_everybody(world: World) -> None:
    job = dead(world)
    ops = ops_in(world, Operator("ann", perms="admin"), readonly=True)
    before = world.tables()
    for call in verbs(ops, job).values():
        with pytest.raises(ReadOnly):
            call()  # type: ignore[operator]
    assert ops.job(job).state == "dead"
    assert world.tables() == before


def test_who_is_held_to_a_queue_touches_no_other(world: World) -> None:
    mine, other = dead(world, queue="mail"), dead(world, queue="bank")
    ops = ops_in(world, Operator("ann", perms="operator", queues=("ma*",)))
    with pytest.raises(NotAllowed, match="queue bank"):
        ops.retry(other)
    with pytest.raises(NotAllowed):
        ops.job(other)
    with pytest.raises(NotAllowed):
        ops.break_lock("any", reason="it is nobody's queue")
    assert ops.retry(mine).value is not None


def test_permissions_are_words_that_are_known() -> None:
    assert Operator("a", perms=["view", "retry"]).may("retry")
    assert set(PRESETS["admin"]) == set(PERMISSIONS) and set(NEEDS.values()) <= set(PERMISSIONS)
    assert not Operator("a").may("retry")
    for wrong in ("views", ["retry", "everything"]):
        with pytest.raises(DeclarationError):
            Operator("a", perms=wrong)
    with pytest.raises(DeclarationError):
        Operator(" ")


# ── the verbs ───────────────────────────────────────────────────────────────────────────────


def test_an_audit_row_says_how_its_actor_came_here(world: World) -> None:
    ops, once = ops_in(world), action_id()
    ops.retry(dead(world), reason="mended", action_id=once)
    [row] = ops.audit()
    assert (row.actor, row.how, row.address, row.action_id) == ("ann", "web", "10.0.0.7", once)
    assert row.reason == "mended"


def test_d9_a_discard_is_undone(world: World) -> None:
    job, ops = dead(world, "k"), ops_in(world)
    before, failures = world.row(job), world.failures(job)
    ops.discard(job, reason="the customer left")
    assert world.state(job) == "done(waived)"
    ops.undo(job)
    after = world.row(job)
    assert {**after, "died_at": 0} == {**before, "died_at": 0}
    assert world.failures(job) == failures
    assert world.table("duty")[0]["job_id"] == job
    assert [row[0] for row in rows(ops)] == ["unwaive", "waive"]


def test_what_must_have_a_reason_has_one(world: World) -> None:
    ops, job = ops_in(world), dead(world)
    for call in (
        lambda: ops.discard(job, reason=" "),
        lambda: ops.pause_queue("default", reason=""),
        lambda: ops.break_lock("l", reason=""),
    ):
        with pytest.raises(ReasonNeeded):
            call()


def test_d4_what_nobody_can_know_is_not_run_without_a_choice(world: World) -> None:
    job = world.enqueue(delivery="at_most_once")
    [lease] = world.claim()
    from dutiful.operations import starts
    from tests.contract.stores import APP

    world.run(starts.start(APP, lease))
    assert world.end(lease, "bury", started=True)
    ops = ops_in(world)
    with pytest.raises(ChoiceNeeded, match="at_most_once"):
        ops.retry(job)
    assert world.state(job) == "dead"
    ops.retry(job, choice="retry")
    assert (world.state(job), world.row(job)["epoch"]) == ("ready", 2)


def test_a_queue_is_paused_and_opened_again(world: World) -> None:
    world.enqueue()
    ops = ops_in(world)
    ops.pause_queue("default", reason="the mail host", span_us=10**9)
    assert world.claim() == []
    ops.resume_queue("default")
    assert len(world.claim()) == 1
    assert rows(ops) == [("resume", "paused", "open"), ("pause", "open", "paused")]


def test_an_enqueue_by_a_person_is_audited_and_done_once(world: World) -> None:
    ops, once = ops_in(world), action_id()
    first = ops.enqueue(TASK.using(once="k"), [1], reason="the shop asked", action_id=once)
    assert ops.enqueue(TASK.using(once="k"), [1], reason="the shop asked", action_id=once).replayed
    again = ops.enqueue(TASK.using(once="k"), [1])
    assert first.value is not None and again.value is not None
    assert (again.value.id, again.value.duplicate) == (first.value.id, True)
    assert rows(ops) == [
        ("enqueue", "duty k", f"the job that was there, {first.value.id}"),
        ("enqueue", "duty k", "enqueued in default"),
    ]

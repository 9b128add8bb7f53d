"""People decide what became of jobs in doubt: what each verb demands, writes, and refuses."""

from __future__ import annotations

from typing import Any

import pytest

from dutiful.model.effects import QUIET_US, Terms
from dutiful.model.errors import DoubtRefused, DutyTaken, JobNotFound, NotProven, WrongState
from dutiful.model.jobs import Failure, Lease
from dutiful.operations import doubts, effects, enqueue, people, starts, workers
from tests.contract.sessions import gated, sessions
from tests.contract.stores import APP, SECOND, new, pruned
from tests.contract.ways import cut_off, dead, in_doubt, running, started
from tests.contract.world import DAY, World

LONG = QUIET_US + SECOND


def decide(world: World, verb: Any, job: str, **how: Any) -> Any:
    return world.run(verb(APP, job, **({"actor": "ann", "reason": "looked"} | how)))


def caller(world: World, lease: Lease, name: str = "charge") -> effects.Caller:
    key = str(world.row(lease.job_id)["key"])
    return effects.Caller(APP, lease.task, key, name, f"key of {name}", lease.job_id, lease.token)


# ── looking ─────────────────────────────────────────────────────────────────────────────────


def test_doubts_are_listed_the_latest_first_a_page_at_a_time(world: World) -> None:
    ids = []
    for queue in ("a", "b", "a"):
        world.clock.advance(SECOND)
        ids.append(cut_off(world, queue, False).job)
    running(world, "a", False), dead(world, "a", False)
    first = world.run(doubts.page(APP, limit=2))
    assert [one.id for one in first] == [ids[2], ids[1]]
    rest = world.run(doubts.page(APP, after=(first[-1].doubt_at_us, first[-1].id)))
    assert [one.id for one in rest] == [ids[0]]
    assert [one.id for one in world.run(doubts.page(APP, queue="b"))] == [ids[1]]
    assert world.run(doubts.page(APP, task="other")) == world.run(doubts.page("other")) == []
    [one] = world.run(doubts.page(APP, queue="b"))
    assert (one.doubt, one.last.kind, one.last.run_no) == ("the body was cut off", "Killed", 1)


def test_what_is_shown_of_one(world: World) -> None:
    case = in_doubt(world, "default", False)
    doubt, [effect] = world.run(doubts.show(APP, case.job))
    assert (doubt.id, doubt.doubt, doubt.started_at_us) == (case.job, "who knows", None)
    assert (effect.name, effect.key, effect.last.kind) == ("charge", "its key", "Ended")
    with pytest.raises(WrongState):
        world.run(doubts.show(APP, running(world, "other", False).job))
    with pytest.raises(JobNotFound):
        world.run(doubts.show("other", case.job))


# ── it was done ─────────────────────────────────────────────────────────────────────────────


def test_a_confirmation_keeps_the_evidence_and_the_doubt(world: World) -> None:
    case = cut_off(world, "default", False)
    job = decide(world, doubts.confirm, case.job, result=b'{"mail":"seen"}')
    assert (job.state, job.outcome, job.result, job.doubt) == (
        "done", "performed", b'{"mail":"seen"}', "the body was cut off",
    )  # fmt: skip
    assert world.audits(case.job) == ["confirm"]
    assert world.run(enqueue.one(APP, new(job.key))).id == case.job, "the duty is done"
    assert world.verify() == []


def test_a_finding_about_another_run_is_refused(world: World) -> None:
    case = cut_off(world, "default", False)
    for verb in (doubts.confirm, doubts.refute, doubts.waive):
        with pytest.raises(WrongState, match="after run 1"):
            decide(world, verb, case.job, run_no=2)
    assert decide(world, doubts.confirm, case.job, run_no=1).outcome == "performed"


def test_an_effects_doubt_is_not_confirmed_but_resumed(world: World) -> None:
    case = in_doubt(world, "default", False)
    with pytest.raises(DoubtRefused, match="at_least_once"):
        decide(world, doubts.confirm, case.job)
    job = decide(world, doubts.resume, case.job, result=b'{"charge":7}')
    assert (job.state, job.attempt, job.doubt) == ("ready", 0, None)
    [effect] = world.table("effect")
    assert (effect["state"], effect["settled_by"], effect["result"]) == ("done", "person ann", '{"charge":7}')
    assert world.verify() == []
    [lease] = world.claim()
    row = world.run(effects.look(caller(world, lease))).row
    assert row is not None and (row.state, row.result) == ("done", b'{"charge":7}')


def test_a_late_answer_does_not_change_what_a_person_settled(world: World) -> None:
    case = in_doubt(world, "default", False)
    decide(world, doubts.resume, case.job, result=b"1")
    assert not world.run(effects.settle(caller(world, case.lease), 1, b"2"))
    assert world.table("effect")[0]["result"] == "1"


def test_of_several_effects_one_is_named(world: World) -> None:
    case = running(world, "default", False)
    for name in ("charge", "mail"):
        world.run(effects.intend(caller(world, case.lease, name), Terms.of(name), None))
    world.end(case.lease, "doubt")
    for how, problem in (({}, "several"), ({"effect": "post"}, "no open effect 'post'")):
        with pytest.raises(DoubtRefused, match=problem):
            decide(world, doubts.resume, case.job, **how)
    decide(world, doubts.resume, case.job, effect="mail", result=b"1")
    assert sorted((row["name"], row["state"]) for row in world.table("effect")) == [
        ("charge", "intended"),
        ("mail", "done"),
    ]


def test_an_at_most_once_body_is_never_run_on(world: World) -> None:
    case = cut_off(world, "default", False)
    with pytest.raises(DoubtRefused, match="never run on"):
        decide(world, doubts.resume, case.job, result=b"1")


# ── it was surely not done ──────────────────────────────────────────────────────────────────


def check_a_refuted_body_begins_in_a_new_epoch(world: World) -> None:
    case = cut_off(world, "default", False)
    world.clock.advance(LONG)
    job = decide(world, doubts.refute, case.job)
    assert (job.state, job.epoch, job.started_at_us, job.attempt) == ("ready", 2, None, 0)
    assert [row["epoch"] for row in world.table("duty")] == [2]
    assert not world.end(case.lease, "complete", started=True), "the old run's late word"
    [lease] = world.claim()
    assert (lease.epoch, lease.run_no) == (2, 2)
    assert world.run(starts.start(APP, lease)).what == "stored"
    assert not world.end(case.lease, "complete", started=True), "the old run's late word"
    assert world.end(lease, "complete", started=True)
    assert sorted(row["epoch"] for row in world.table("ledger")) == [1, 2]
    assert world.verify() == []


def test_a_refuted_body_begins_in_a_new_epoch(world: World) -> None:
    check_a_refuted_body_begins_in_a_new_epoch(world)


# (what the failure says, how the worker is gone) → whether that proves the run dead
PROOFS = [
    ("Killed", None, True),
    ("Cancelled", None, True),
    ("EffectInDoubt", None, True),
    ("CutOff", None, False),
    ("CutOff", "lapsed", False),
    ("CutOff", "left", True),
    ("TimedOut", None, False),
    ("TimedOut", "died", True),
    ("WorkerLost", "lapsed", False),
    ("WorkerLost", "died", True),
    ("WorkerLost", "left", True),
    ("WorkerLost", "reported", True),
    ("WorkerLost", "forgotten", False),
]


def lost(world: World, kind: str, how: str | None) -> str:
    """A job whose run left a failure of this kind, and whose worker is gone in this way."""
    case = started(world, f"{kind} {how}", False)
    if kind == "WorkerLost":
        world.sql("UPDATE dutiful.worker SET gone_at = 1, gone_how = 'lapsed' WHERE id = %s", case.worker)
        world.run(workers.lapse())
    else:
        assert world.end(case.lease, "release", started=True, failure=Failure(kind, "cut"))
    if how == "forgotten":
        world.sql("DELETE FROM dutiful.worker WHERE id = %s", case.worker)
    elif how is not None:
        at = world.clock()
        world.sql("UPDATE dutiful.worker SET gone_at = %s, gone_how = %s WHERE id = %s", at, how, case.worker)
    assert world.state(case.job) == "in_doubt"
    return case.job


def check_what_proves_a_run_dead(world: World) -> None:
    for kind, how, proven in PROOFS:
        job = lost(world, kind, how)
        if proven:
            with pytest.raises(NotProven, match="on its way"):
                decide(world, doubts.refute, job)
        world.clock.advance(LONG)
        if not proven:
            with pytest.raises(NotProven) as refused:
                decide(world, doubts.refute, job)
            assert len(refused.value.missing) == 1, (kind, how)
            assert world.state(job) == "in_doubt" and world.audits(job) == []
        else:
            decide(world, doubts.refute, job)
            assert world.state(job) == "ready", (kind, how)


def test_what_proves_a_run_dead(world: World) -> None:
    check_what_proves_a_run_dead(world)


@pytest.mark.parametrize(
    ("kind", "how", "said"),
    [
        ("CutOff", None, "lives, and may still be in it"),
        ("WorkerLost", "lapsed", "fell silent, and may only be stopped"),
        ("WorkerLost", "forgotten", "has no row any more"),
    ],
)
def test_what_is_missing_is_named(store_world: World, kind: str, how: str | None, said: str) -> None:
    job = lost(store_world, kind, how)
    with pytest.raises(NotProven, match=said):
        decide(store_world, doubts.refute, job)


def test_the_risk_is_taken_by_name(world: World) -> None:
    job = lost(world, "WorkerLost", "lapsed")
    decide(world, doubts.refute, job, accept_risk=True)
    assert world.state(job) == "ready"
    [noted] = [row for row in world.table("audit") if row["subject"] == job]
    assert "risk accepted: worker" in noted["after"] and "fell silent" in noted["after"]
    assert (noted["actor"], noted["reason"], noted["before"]) == ("ann", "looked", "in_doubt, run 1")


def test_a_silent_worker_that_is_found_dead_later_is_proof_from_then_on(world: World) -> None:
    job = lost(world, "WorkerLost", "lapsed")
    world.sql("UPDATE dutiful.worker SET file = 'f'")
    world.clock.advance(DAY)
    [(worker, host, file)] = world.run(doubts.unproven())
    assert (host, file) == ("here", "f")
    assert world.run(doubts.prove(worker)) and not world.run(doubts.prove(worker))
    with pytest.raises(NotProven, match="on its way"):
        decide(world, doubts.refute, job)
    world.clock.advance(LONG)
    assert decide(world, doubts.refute, job).state == "ready"


def test_the_proof_is_kept_while_the_doubt_stands(world: World) -> None:
    job = lost(world, "WorkerLost", "died")
    world.sql("UPDATE dutiful.worker SET reaped_at = gone_at")
    world.clock.advance(30 * DAY)
    pruned(world.run, 7 * DAY)
    assert len(world.table("worker")) == 1
    decide(world, doubts.refute, job)
    pruned(world.run, 7 * DAY)
    assert world.table("worker") == []


def test_a_refuted_effect_is_sent_again_under_its_key(world: World) -> None:
    case = in_doubt(world, "default", False)
    with pytest.raises(NotProven, match="on its way"):
        decide(world, doubts.refute, case.job)
    world.clock.advance(LONG)
    job = decide(world, doubts.refute, case.job)
    assert (job.state, job.epoch, job.attempt) == ("ready", 1, 0)
    [row] = world.table("effect")
    assert (row["state"], row["calls_open"], row["key"]) == ("refused", 0, "its key")
    assert world.verify() == []


def test_or_under_a_new_one_if_a_person_says_so(world: World) -> None:
    case = in_doubt(world, "default", False)
    world.clock.advance(LONG)
    decide(world, doubts.refute, case.job, new_key=True)
    [row] = world.table("effect")
    assert row["key"] != "its key" and len(row["key"]) == 32
    [noted] = [row for row in world.table("audit") if row["subject"] == case.job]
    assert f"new key {row['key']}" in noted["after"]
    plain = cut_off(world, "other", False)
    world.clock.advance(LONG)
    with pytest.raises(DoubtRefused, match="no effect"):
        decide(world, doubts.refute, plain.job, new_key=True)


def test_an_effects_proof_is_about_its_last_caller_and_those_before(world: World) -> None:
    case = running(world, "default", False)
    world.run(effects.intend(caller(world, case.lease), Terms.of("charge"), None))
    world.end(case.lease, "doubt", failure=Failure("TimedOut", "out of time"))
    world.clock.advance(LONG)
    with pytest.raises(NotProven, match="lives, and may still be in it"):
        decide(world, doubts.refute, case.job)
    world.run(workers.leave(case.worker))
    world.clock.advance(LONG)
    world.sql("UPDATE dutiful.effect SET calls_alive = 1")
    with pytest.raises(NotProven, match="1 earlier callers"):
        decide(world, doubts.refute, case.job)
    world.sql("UPDATE dutiful.effect SET calls_alive = 0")
    assert decide(world, doubts.refute, case.job).state == "ready"


def test_a_refuted_body_takes_its_open_effects_with_it(world: World) -> None:
    case = started(world, "default", False)
    world.run(effects.intend(caller(world, case.lease), Terms.of("charge"), None))
    world.end(case.lease, "doubt", started=True)
    world.clock.advance(LONG)
    decide(world, doubts.refute, case.job)
    assert [row["state"] for row in world.table("effect")] == ["refused"]
    assert world.verify() == []


# ── given up ────────────────────────────────────────────────────────────────────────────────


def test_a_waiver_has_a_reason_and_keeps_what_it_was(world: World) -> None:
    one, other = dead(world, "a", False), cut_off(world, "b", False)
    for case in (one, other):
        with pytest.raises(DoubtRefused, match="without a reason"):
            decide(world, doubts.waive, case.job, reason=" ")
        job = decide(world, doubts.waive, case.job, reason="refunded by hand")
        assert (job.state, job.outcome) == ("done", "waived")
        assert world.audits(case.job) == ["waive"]
    assert world.row(one.job)["reason"] == "exhausted" and world.row(one.job)["doubt"] is None
    assert world.row(other.job)["reason"] is None and world.row(other.job)["doubt"] is not None
    assert world.run(enqueue.one(APP, new(world.row(one.job)["key"]))).id == one.job
    assert not world.end(other.lease, "complete", started=True), "a late word comes too late"
    assert world.verify() == []


@pytest.mark.parametrize("way", [dead, cut_off])
def test_a_waiver_taken_back_restores_what_it_was(store_world: World, way: Any) -> None:
    world = store_world
    case = way(world, "default", False)
    before = world.row(case.job)
    decide(world, doubts.waive, case.job)
    world.clock.advance(SECOND)
    decide(world, doubts.unwaive, case.job)
    after = world.row(case.job)
    moved = {"died_at", "doubt_at"}
    assert {k: v for k, v in after.items() if k not in moved} == {
        k: v for k, v in before.items() if k not in moved
    }
    assert sorted(world.audits(case.job)) == ["unwaive", "waive"]
    assert world.verify() == []
    with pytest.raises(WrongState):
        decide(world, doubts.unwaive, case.job)
    if way is cut_off:  # and everything that a doubt allows is allowed again
        world.clock.advance(SECOND)
        assert world.end(case.lease, "complete", started=True)
        assert world.verify() == []


@pytest.mark.parametrize("way", [dead, cut_off])
def test_a_waiver_is_not_taken_back_beside_a_newer_job(store_world: World, way: Any) -> None:
    world = store_world
    case = way(world, "default", False)
    key = world.row(case.job)["key"]
    decide(world, doubts.waive, case.job)
    other = world.run(enqueue.one(APP, new(key, again="once more")))
    assert not other.duplicate
    before = world.tables()
    with pytest.raises(DutyTaken) as refused:
        decide(world, doubts.unwaive, case.job)
    assert refused.value.holder == other.id
    assert world.tables() == before


# ── retry ───────────────────────────────────────────────────────────────────────────────────


def test_a_dead_at_most_once_job_that_is_retried_begins_a_new_epoch(world: World) -> None:
    case = started(world, "default", False)
    assert world.end(case.lease, "bury", started=True, reason="error")
    decide(world, people.retry, case.job)
    row = world.row(case.job)
    assert (row["state"], row["epoch"], row["started_at"]) == ("ready", 2, None)
    assert [duty["epoch"] for duty in world.table("duty")] == [2]
    [lease] = world.claim()
    assert world.run(starts.start(APP, lease)).what == "stored"
    assert world.verify() == []


def test_one_that_never_began_keeps_its_epoch(world: World) -> None:
    """Else it could begin beside a job that did the duty meanwhile."""
    case = running(world, "default", False)
    assert world.end(case.lease, "bury", reason="error")
    decide(world, people.retry, case.job)
    assert world.row(case.job)["epoch"] == 1


# ── at the same time ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("statement", ["close_doubt", "reopen_doubt"])
def test_a_late_report_and_a_person_at_once(pg_world: World, statement: str) -> None:
    """The person waits in the middle of the statement for the report, and then changes nothing."""
    world = pg_world
    case = cut_off(world, "default", False)
    params: dict[str, Any] = {"id": case.job, "run_no": 1}
    params |= {"outcome": "waived", "result": None} if statement == "close_doubt" else {"epoch": 2}
    with sessions(world, 1) as [person]:
        with gated(world, person, "job"):
            deciding = person.start(statement, **params)
            person.wait_until_blocked()
            assert world.end(case.lease, "complete", started=True)
        assert deciding.result(20) == []
    assert world.state(case.job) == "done(performed)"
    assert world.verify() == []

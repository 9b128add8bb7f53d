"""Every verb on every state, by the one table.

What the table allows happens and writes what it says; all else is refused and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from dutiful.model.errors import JobNotFound, WrongState
from dutiful.model.jobs import Lease
from dutiful.model.states import STATES, VERBS
from dutiful.operations import enqueue, people, retention, workers
from tests.contract.stores import APP, SECOND, new
from tests.contract.world import DAY, JOB_TABLES, OTHER, World

LATER = {
    "start", "abort", "doubt", "lapse_in_doubt", "skip", "expire", "report", "report_failed",
    "confirm", "resume", "refute", "waive", "unwaive",
}  # fmt: skip
"""Verbs of the table that no operation carries out yet."""


@dataclass
class Case:
    """One job in one state: ``lease`` is its run, or the last one, which is over."""

    world: World
    queue: str
    job: str
    lease: Lease
    worker: int


# ── ways into each state ────────────────────────────────────────────────────────────────────


def absent(world: World, queue: str, alone: bool) -> Case:
    """No such job (any more): what a worker might still hold of it names nothing."""
    worker = world.worker(alone=alone)
    lease = Lease(new().id, 0, 0, "0" * 32, 1, 1, 0, 1, 1, "send", None, b"{}", 0, 0)
    return Case(world, queue, lease.job_id, lease, worker)


def running(world: World, queue: str, alone: bool) -> Case:
    job = world.keyed(queue=queue, crashes_max=1 if alone else 3)
    worker = world.worker(alone=alone)
    [lease] = world.claim(worker, queue=queue)
    return Case(world, queue, job, lease, worker)


def ready(world: World, queue: str, alone: bool) -> Case:
    """Tried before, and due again."""
    case = running(world, queue, alone)
    assert world.end(case.lease, "fail", delay_us=0)
    return case


def waiting(world: World, queue: str, alone: bool) -> Case:
    """Ready, but not due."""
    case = running(world, queue, alone)
    assert world.end(case.lease, "fail", delay_us=10 * SECOND)
    return case


def dead(world: World, queue: str, alone: bool) -> Case:
    case = running(world, queue, alone)
    assert world.end(case.lease, "bury")
    return case


def done(world: World, queue: str, alone: bool) -> Case:
    case = running(world, queue, alone)
    assert world.end(case.lease, "complete")
    return case


def cancelled(world: World, queue: str, alone: bool) -> Case:
    case = ready(world, queue, alone)
    world.run(people.cancel(APP, case.job, actor="ann"))
    return case


def done_in_another_way(outcome: str) -> Callable[[World, str, bool], Case]:
    """By hand, for no verb leads there yet."""

    def make(world: World, queue: str, alone: bool) -> Case:
        case = cancelled(world, queue, alone)
        world.sql("UPDATE dutiful.history SET state = 'done', outcome = %s WHERE id = %s", outcome, case.job)
        return case

    return make


def in_doubt(world: World, queue: str, alone: bool) -> Case:
    """By hand, for no verb leads there yet."""
    case = running(world, queue, alone)
    world.sql(
        "UPDATE dutiful.job SET state = 'in_doubt', last_token = token, token = NULL, worker = NULL,"
        " doubt_at = 1, doubt = 'test'"
        " WHERE id = %s",
        case.job,
    )
    return case


WAYS: dict[str, Callable[[World, str, bool], Case]] = {
    "": absent,
    "ready": ready,
    "ready, not due": waiting,
    "running": running,
    "in_doubt": in_doubt,
    "dead": dead,
    "done(performed)": done,
    "done(skipped)": done_in_another_way("skipped"),
    "done(waived)": done_in_another_way("waived"),
    "cancelled": cancelled,
}


# ── the verbs: each returns whether something was done ──────────────────────────────────────


def enqueue_again(case: Case) -> bool:
    """A producer that lost the answer repeats its enqueue with the same id."""
    key = case.world.row(case.job).get("key") or f"key of {case.job}"
    job = replace(new(key, queue=case.queue), id=case.job, repeated=True)
    return not case.world.run(enqueue.one(APP, job)).duplicate


def claim(case: Case) -> bool:
    return bool(case.world.claim(case.worker, queue=case.queue))


def settle(verb: str) -> Callable[[Case], bool]:
    return lambda case: case.world.end(case.lease, verb)


def lapse(case: Case) -> bool:
    case.world.run(workers.bury([case.worker], silent=False))
    return bool(case.world.run(workers.lapse()))


def lapse_last(case: Case) -> bool:
    return bool(case.world.run(workers.report_dead(case.worker)))


def person(verb: Callable[..., Any]) -> Callable[[Case], bool]:
    def act(case: Case) -> bool:
        missing = case.world.state(case.job) is None
        try:
            case.world.run(verb(APP, case.job, actor="ann", reason="because"))
        except (WrongState, JobNotFound) as error:
            assert isinstance(error, JobNotFound) == missing
            return False
        return True

    return act


def prune(case: Case) -> bool:
    before = case.world.row(case.job)
    case.world.clock.advance(9 * DAY)
    case.world.run(retention.prune(7 * DAY))
    return case.world.row(case.job) != before


ACTS: dict[str, Callable[[Case], bool]] = {
    "enqueue": enqueue_again,
    "claim": claim,
    "complete": settle("complete"),
    "duplicate": settle("duplicate"),
    "fail": settle("fail"),
    "bury": settle("bury"),
    "snooze": settle("snooze"),
    "release": settle("release"),
    "lapse": lapse,
    "lapse_last": lapse_last,
    "retry": person(people.retry),
    "cancel": person(people.cancel),
    "prune": prune,
}


# ── what the table says is written ──────────────────────────────────────────────────────────


def written(verb: str, case: Case, before: dict[str, Any]) -> dict[str, Any]:
    """The columns that the verb sets, and what to."""
    now, token = case.world.clock(), before.get("token")
    back = {"token": None, "worker": None, "last_token": token, "run_no": before.get("run_no")}
    tried = before.get("attempt")
    match verb:
        case "enqueue":
            return {"run_no": 0, "attempt": 0, "token": None, "enqueued_at": now, "run_at": now, "epoch": 1}
        case "claim":
            return {
                "worker": case.worker, "run_no": before["run_no"] + 1, "attempt": tried + 1,
                "claimed_at": now, "ready_seq": before["ready_seq"], "last_token": before["last_token"],
            }  # fmt: skip
        case "complete":
            gone = {"place": "history", "finished_at": now, "outcome": "performed", "attempt": tried}
            return gone | {"last_token": token, "run_no": before["run_no"], "result": '{"ok":1}'}
        case "duplicate":
            gone = {"place": "history", "finished_at": now, "outcome": "duplicate", "attempt": tried}
            return gone | {"last_token": token, "run_no": before["run_no"], "same_as": OTHER, "result": None}
        case "fail":
            return back | {"attempt": tried, "run_at": now + 15 * SECOND, "ready_seq": None, "suspect": 0}
        case "bury":
            gone = {"place": "dead", "died_at": now, "reason": "exhausted", "attempt": tried}
            return gone | {"last_token": token, "run_no": before["run_no"], "crashes": before["crashes"]}
        case "snooze":
            return back | {"attempt": tried - 1, "run_at": now + 15 * SECOND, "ready_seq": None}
        case "release":
            return back | {"attempt": tried - 1, "run_at": before["run_at"]}
        case "lapse":
            return back | {"attempt": tried - 1, "suspect": 1, "crashes": 0, "losses": 0}
        case "lapse_last":
            gone = {"place": "dead", "died_at": now, "reason": "poison", "attempt": tried - 1}
            return gone | {"last_token": token, "run_no": before["run_no"], "crashes": 1}
        case "retry":
            same = {name: before[name] for name in ("run_no", "last_token", "key", "args", "epoch")}
            return same | {"place": "job", "attempt": 0, "crashes": 0, "run_at": now, "token": None}
        case "cancel":
            same = {name: before[name] for name in ("run_no", "attempt", "last_token", "key", "args")}
            return same | {"place": "history", "finished_at": now, "outcome": None}
    return {"place": None}


def beside(verb: str, case: Case) -> list[str]:
    """What else must be there: failure and audit rows, the duty, a new number."""
    world, found = case.world, []
    kinds = [row["kind"] for row in world.failures(case.job)]
    expected = {"fail": "ValueError", "bury": "ValueError", "lapse": "WorkerLost", "lapse_last": "WorkerLost"}
    if verb in expected and kinds[-1:] != [expected[verb]]:
        found.append(f"failures {kinds}")
    if verb in ("retry", "cancel") and world.audits(case.job)[-1:] != [verb]:
        found.append("no audit row")
    held = [row["key"] for row in world.table("duty") if row["job_id"] == case.job]
    if len(held) != (0 if verb in ("cancel", "prune") else 1):
        found.append(f"duties {held}")
    return found


def sources(verb: str) -> set[str]:
    """Where the table lets the verb begin."""
    transition = VERBS[verb]
    if not transition.sources:
        return {""}
    found = set()
    for name in WAYS:
        state, _, outcome = name.partition(",")[0].partition("(")
        if name and transition.allows(state, outcome.rstrip(")") or None):
            found.add(name)
    return found


def test_each_verb_of_the_table_is_tried_here_or_is_not_built_yet() -> None:
    assert set(ACTS) | LATER == set(VERBS)
    assert not set(ACTS) & LATER
    assert {name.partition("(")[0].partition(",")[0] for name in WAYS} == {"", *STATES}


def wrongs_of(world: World, verb: str, way: str) -> list[str]:
    """What is wrong with one pair."""
    queue = f"{verb} {way}"
    case = WAYS[way](world, queue, verb == "lapse_last")
    allowed = way in sources(verb)
    if (verb, way) == ("claim", "ready, not due"):
        allowed = False  # due is the claim's guard
    before, tables = world.row(case.job), world.tables(JOB_TABLES)
    acted = ACTS[verb](case)
    after = world.row(case.job)
    if not allowed:
        same = world.tables(JOB_TABLES) == tables if verb != "prune" else after == before
        return ([f"{way} × {verb}: done"] if acted else []) + ([] if same else [f"{way} × {verb}: wrote"])
    found = [] if acted else ["refused"]
    if verb != "prune" and after["state"] != VERBS[verb].targets[0]:
        found.append(f"led to {after['state']}")
    if verb == "prune":
        world.run(retention.prune_duties(retention.START))
    if verb == "retry":
        kept = len([row for row in world.table("history") if row["id"] == case.job])
        found += [] if kept == (before["place"] == "history") else ["its ending was not kept"]
    if verb in ("release", "lapse", "retry") and not after["ready_seq"] > (before.get("ready_seq") or 0):
        found.append("no new number")
    wanted = written(verb, case, before)
    found += [
        f"{name}: {after.get(name)}, not {wanted[name]}" for name in wanted if after.get(name) != wanted[name]
    ]
    if verb == "claim" and not (after["token"] and after["token"] != before["last_token"]):
        found.append("no new token")
    return [f"{way} × {verb}: {text}" for text in found + beside(verb, case)]


def test_all_pairs_of_state_and_verb(world: World) -> None:
    wrong = []
    for verb in ACTS:
        for way in WAYS:
            wrong += wrongs_of(world, verb, way)
        if verb != "prune":
            wrong += [f"after {verb}: {finding}" for finding in world.verify()]
    assert wrong == []


@pytest.mark.parametrize("verb", ["retry", "cancel"])
def test_a_person_is_told_what_the_job_is_and_what_it_should_be(store_world: World, verb: str) -> None:
    case = running(store_world, "default", False)
    with pytest.raises(WrongState) as refused:
        store_world.run(getattr(people, verb)(APP, case.job, actor="ann"))
    assert (refused.value.verb, refused.value.job_id, refused.value.state) == (verb, case.job, "running")

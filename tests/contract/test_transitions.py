"""Every verb on every state, by the one table.

What the table allows happens and writes what it says; all else is refused and changes nothing.
"""

from __future__ import annotations

from typing import Any

import pytest

from dutiful.model.errors import WrongState
from dutiful.model.states import STATES, VERBS
from dutiful.operations import people, retention
from tests.contract.stores import APP, SECOND
from tests.contract.ways import ACTS, WAYS, Case, running
from tests.contract.world import JOB_TABLES, OTHER, World

GUARDED = {
    ("claim", "ready, not due"), ("skip", "ready, not due"), ("expire", "ready, not due"),
    ("abort", "running"), ("abort", "running, started"),
    ("fail", "running, started"), ("snooze", "running, started"),
    ("release", "running, started"), ("duplicate", "running, started"),
    ("report", "in_doubt"), ("report_failed", "in_doubt"), ("confirm", "in_doubt"),
    ("resume", "in_doubt, started"),
}  # fmt: skip
"""What the table allows by the state, and the verb's guard does not."""

HANDED_BACK = {
    (verb, way) for verb in ("skip", "expire") for way in ("running", "running, asked to stop")
}  # fmt: skip
"""What the table has from ready is done by the run that claimed it: handed back and ended at once."""

NAMED = {
    ("complete", "in_doubt, started"): "report", ("bury", "in_doubt, started"): "report_failed",
    ("report", "running"): "complete", ("report_failed", "running"): "bury",
    ("report", "running, started"): "complete", ("report_failed", "running, started"): "bury",
    ("lapse_in_doubt", "running"): "lapse", ("lapse", "running, started"): "lapse_in_doubt",
    ("lapse_last", "running, started"): "lapse_in_doubt",
    ("report", "running, asked to stop"): "complete", ("report_failed", "running, asked to stop"): "bury",
    ("lapse_in_doubt", "running, asked to stop"): "lapse",
}  # fmt: skip
"""What the same act is called when it meets this state: it is tried by that name."""


# ── what the table says is written ──────────────────────────────────────────────────────────


def written(verb: str, case: Case, before: dict[str, Any]) -> dict[str, Any]:
    """The columns that the verb sets, and what to."""
    now, token = case.world.clock(), before.get("token")
    back = {"token": None, "worker": None, "last_token": token, "run_no": before.get("run_no")}
    tried: Any = before.get("attempt")
    match verb:
        case "enqueue":
            return {"run_no": 0, "attempt": 0, "token": None, "enqueued_at": now, "run_at": now, "epoch": 1}
        case "claim":
            return {
                "worker": case.worker, "run_no": before["run_no"] + 1, "attempt": tried + 1,
                "claimed_at": now, "ready_seq": before["ready_seq"], "last_token": before["last_token"],
            }  # fmt: skip
        case "start":
            begun = {"state": "running", "token": token, "worker": before["worker"], "attempt": tried}
            return begun | {"delivery": "at_most_once", "started_at": before["started_at"] or now}
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
        case "doubt":
            return back | {"attempt": tried, "ready_seq": None, "doubt_at": now, "doubt": "who knows"}
        case "report":
            gone = {
                "place": "history",
                "finished_at": now,
                "outcome": "performed",
                "doubt": "the body was cut off",
            }
            gone |= {"started_at": before["started_at"], "last_token": before["last_token"]}
            return gone | {"run_no": before["run_no"], "attempt": tried, "result": '{"ok":1}'}
        case "report_failed":
            gone = {"place": "dead", "died_at": now, "reason": "exhausted", "attempt": tried}
            return gone | {"last_token": before["last_token"], "run_no": before["run_no"]}
        case "abort":
            gone = {"place": "history", "finished_at": now, "outcome": None, "attempt": tried}
            return gone | {"last_token": token, "run_no": before["run_no"]}
        case "skip" | "expire":
            held = token is not None
            gone = {"attempt": tried - held, "run_no": before["run_no"] + (not held), "started_at": None}
            if held:
                gone["last_token"] = token
            if verb == "expire":
                return gone | {"place": "dead", "died_at": now, "reason": "stale"}
            return gone | {"place": "history", "finished_at": now, "outcome": "skipped", "reason": "too late"}
        case "snooze":
            return back | {"attempt": tried - 1, "run_at": now + 15 * SECOND, "ready_seq": None}
        case "release":
            return back | {"attempt": tried - 1, "run_at": before["run_at"]}
        case "lapse":
            return back | {"attempt": tried - 1, "suspect": 1, "crashes": 0, "losses": 0}
        case "lapse_last":
            gone = {"place": "dead", "died_at": now, "reason": "poison", "attempt": tried - 1}
            return gone | {"last_token": token, "run_no": before["run_no"], "crashes": 1}
        case "lapse_in_doubt":
            cut = {"attempt": tried, "suspect": 0, "crashes": 0, "losses": 0, "ready_seq": None}
            return back | cut | {"doubt_at": now, "doubt": "the body was cut off: its worker died"}
        case "confirm":
            gone = {"place": "history", "finished_at": now, "outcome": "performed", "result": '{"seen":1}'}
            same = {name: before[name] for name in ("run_no", "attempt", "last_token", "started_at", "doubt")}
            return gone | same
        case "resume":
            same = {name: before[name] for name in ("run_no", "last_token", "key", "args", "epoch")}
            return same | {"attempt": tried - 1, "doubt": None, "started_at": None}
        case "refute":
            epoch = before["epoch"] + (before["started_at"] is not None)
            same = {name: before[name] for name in ("run_no", "last_token", "key", "args", "crashes")}
            return same | {"attempt": tried - 1, "doubt": None, "started_at": None, "epoch": epoch}
        case "waive":
            gone = {"place": "history", "finished_at": now, "outcome": "waived", "attempt": tried}
            kept = {"reason": before.get("reason"), "doubt": before.get("doubt")}
            return (
                gone | kept | {name: before[name] for name in ("run_no", "last_token", "started_at", "epoch")}
            )
        case "unwaive":
            same = {name: before[name] for name in ("run_no", "attempt", "last_token", "started_at", "epoch")}
            if before["doubt"] is None:
                return same | {"place": "dead", "died_at": now, "reason": before["reason"]}
            return same | {"place": "job", "state": "in_doubt", "doubt": before["doubt"], "doubt_at": now}
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
    expected |= {"expire": "TooLate"}
    expected |= {
        "lapse_in_doubt": "WorkerLost",
        "doubt": "EffectInDoubt",
        "report": "Killed",
        "report_failed": "ValueError",
    }
    if verb in expected and kinds[-1:] != [expected[verb]]:
        found.append(f"failures {kinds}")
    if VERBS[verb].by == "person" and world.audits(case.job)[-1:] != [verb]:
        found.append("no audit row")
    held = [row["key"] for row in world.table("duty") if row["job_id"] == case.job]
    if len(held) != (0 if verb in ("cancel", "abort", "skip", "prune") else 1):
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


def test_each_verb_of_the_table_is_tried_here() -> None:
    assert set(ACTS) == set(VERBS)
    assert {name.partition("(")[0].partition(",")[0] for name in WAYS} == {"", *STATES}


def wrongs_of(world: World, verb: str, way: str) -> list[str]:
    """What is wrong with one pair."""
    queue = f"{verb} {way}"
    case = WAYS[way](world, queue, verb == "lapse_last")
    allowed = (way in sources(verb) and (verb, way) not in GUARDED) or (verb, way) in HANDED_BACK
    before, tables = world.row(case.job), {} if allowed else world.tables(JOB_TABLES)
    acted = ACTS[verb](case)
    after = world.row(case.job)
    if not allowed:
        same = world.tables(JOB_TABLES) == tables if verb != "prune" else after == before
        return ([f"{way} × {verb}: done"] if acted else []) + ([] if same else [f"{way} × {verb}: wrote"])
    found = [] if acted else ["refused"]
    if verb != "prune" and after["state"] not in VERBS[verb].targets:
        found.append(f"led to {after['state']}")
    if verb == "prune":
        world.run(retention.prune_duties(retention.START))
    if verb == "retry":
        kept = len([row for row in world.table("history") if row["id"] == case.job])
        found += [] if kept == (before["place"] == "history") else ["its ending was not kept"]
    if verb in ("release", "lapse", "retry", "resume", "refute") and not after["ready_seq"] > (
        before.get("ready_seq") or 0
    ):
        found.append("no new number")
    wanted = written(verb, case, before)
    found += [
        f"{name}: {after.get(name)}, not {wanted[name]}" for name in wanted if after.get(name) != wanted[name]
    ]
    if verb == "claim" and not (after["token"] and after["token"] != before["last_token"]):
        found.append("no new token")
    return [f"{way} × {verb}: {text}" for text in found + beside(verb, case)]


@pytest.mark.parametrize("verb", ACTS)
def test_all_pairs_of_state_and_verb(world: World, verb: str) -> None:
    wrong = []
    for way in WAYS:
        if (verb, way) not in NAMED:
            wrong += wrongs_of(world, verb, way)
    if verb != "prune":  # with the duty of what was pruned still there, the checker would be right to object
        wrong += [f"after {verb}: {finding}" for finding in world.verify()]
    world.touched = True  # was looked at
    assert wrong == []


@pytest.mark.parametrize("verb", ["retry", "cancel"])
def test_a_person_is_told_what_the_job_is_and_what_it_should_be(store_world: World, verb: str) -> None:
    case = running(store_world, "default", False)
    with pytest.raises(WrongState) as refused:
        store_world.run(getattr(people, verb)(APP, case.job, actor="ann"))
    assert (refused.value.verb, refused.value.job_id, refused.value.state) == (verb, case.job, "running")

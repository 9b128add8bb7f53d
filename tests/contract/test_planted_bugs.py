"""Planted bugs: each weakens one line of our SQL, and the test that guards the line must notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psycopg
import pytest

from dutiful.model.jobs import Lease
from dutiful.model.marks import Marks
from dutiful.operations import enqueue, people
from dutiful.sql import EngineName
from tests.contract import test_claim_forms as forms
from tests.contract import test_claim_plans as plans
from tests.contract import test_claims as claiming
from tests.contract import test_fencing as fencing
from tests.contract import test_lapses as lapses
from tests.contract import test_reaping as reaping
from tests.contract import test_retention as retention
from tests.contract import test_transitions as transitions
from tests.contract.planting import Change, planted
from tests.contract.stores import APP, new
from tests.contract.world import World, world_at

NOTICED = (AssertionError, psycopg.errors.LockNotAvailable)
"""A check that waits for a lock which it must not wait for has noticed, too."""

RC = "read committed"


def check_by_verify(world: World) -> None:
    """A working day with everything in it, and then the checker looks."""
    for key in ("a", "b", "c", "d", "e", "f", None, "twice", "twice"):
        world.clock.advance(1)
        world.run(enqueue.one(APP, new(key)))
    done, dead, back = world.claim(limit=3)
    for lease, verb in ((done, "complete"), (dead, "bury"), (back, "release")):
        world.end(lease, verb)
    gone = world.worker()
    lost = world.claim(gone, 2)
    world.die(gone)
    world.clock.advance(1)
    world.run(people.retry(APP, dead.job_id, actor="ann"))
    world.run(people.cancel(APP, lost[0].job_id, actor="ann"))
    world.clock.advance(1)
    world.run(people.retry(APP, lost[0].job_id, actor="ann", args_hash='{"n":1}'))
    world.claim(limit=2)
    said = [f"{one.invariant}: {row['problem']}" for one in world.verify() for row in one.rows]
    assert not said, "; ".join(said)


LIE = "j.lane, CASE WHEN j.state = 'running' THEN 'ready' ELSE j.state END AS state,"


def check_all_pairs_of(*verbs: str) -> Callable[[World], None]:
    def check(world: World) -> None:
        wrong = [
            text
            for verb in verbs
            for way in transitions.WAYS
            for text in transitions.wrongs_of(world, verb, way)
        ]
        assert wrong == []

    return check


@dataclass(frozen=True)
class Bug:
    """What is broken, who is to notice, how on each engine, and a word of what will be said."""

    name: str
    check: Callable[[World], None]
    postgres: dict[str, list[Change]] = field(default_factory=dict)
    sqlite: dict[str, list[Change]] = field(default_factory=dict)
    says: str = ""


def both(name: str, check: Callable[[World], None], statement: str, *changes: Change, says: str = "") -> Bug:
    """A line that reads alike on both engines."""
    return Bug(name, check, {statement: list(changes)}, {statement: list(changes)}, says)


FENCE = (
    r"WHERE j\.id = (?:e\.id|ANY \(ARRAY\[e\.id\]\)) AND (?:j\.token = e\.token|\(j\.token = e\.token.*?\))"
)
BY_ID = "WHERE j.id = e.id"
BY_STATE = "WHERE j.id = e.id AND j.state = 'running'"
LITE_FENCE = r"WHERE json_extract\(e\.value, '\$\.token'\) =\s+CASE .*? END"
LITE_DELETE = (
    r"WHERE \(id, CASE .*? END\) IN \(\s+SELECT json_extract\(e\.value, '\$\.id'\),"
    r" json_extract\(e\.value, '\$\.token'\)"
)
LITE_BY_ID = "WHERE id IN (SELECT json_extract(e.value, '$.id')"
CHARGED = r"w\.alone IS TRUE AND \(.*?\) AS charged"

BUGS = [
    # ── the fence ───────────────────────────────────────────────────────────────────────────
    Bug(
        "completion by id",
        fencing.check_a_stale_worker_writes_nothing,
        {"complete_jobs": [(FENCE, BY_ID)]},
        {"complete_jobs": [(LITE_FENCE, "WHERE true"), (LITE_DELETE, LITE_BY_ID)]},
        "a stale complete",
    ),
    Bug(
        "completion by id and state",
        fencing.check_a_stale_worker_writes_nothing,
        {"complete_jobs": [(FENCE, BY_STATE)]},
        {"complete_jobs": [(LITE_FENCE, "WHERE j.state = 'running'"), (LITE_DELETE, LITE_BY_ID)]},
        "a stale complete",
    ),
    Bug(
        "a burial without the fence",
        fencing.check_a_stale_worker_writes_nothing,
        {"bury_jobs": [(FENCE, BY_ID)]},
        {"bury_jobs": [(LITE_FENCE, "WHERE true"), (LITE_DELETE, LITE_BY_ID)]},
        "a stale bury",
    ),
    both(
        "a failure without the fence",
        fencing.check_a_stale_worker_writes_nothing,
        "return_jobs",
        (FENCE, BY_STATE),
        says="a stale fail",
    ),
    # ── numbers and charges ─────────────────────────────────────────────────────────────────
    both(
        "an attempt that is not given back",
        fencing.check_numbers,
        "return_jobs",
        (r"attempt = j\.attempt - e\.back", "attempt = j.attempt"),
    ),
    both(
        "a lapse that costs an attempt",
        fencing.check_numbers,
        "lapse_jobs",
        (r"attempt = j\.attempt - 1", "attempt = j.attempt"),
    ),
    Bug(
        "a lapse in company that is charged",
        lapses.check_company_is_charged_to_nobody,
        {"lapse_jobs": [(CHARGED, "true AS charged")]},
        {"lapse_jobs": [(r"crashes = j\.crashes \+ l\.charged", "crashes = j.crashes + 1")]},
    ),
    Bug(
        "a crash alone that is not charged",
        lapses.check_the_crash_budget,
        {"lapse_jobs": [(CHARGED, "false AS charged")]},
        {"lapse_jobs": [(r"w\.gone_how = 'reported'", "false")]},
    ),
    both(
        "a return to ready with its old number",
        check_all_pairs_of("release"),
        "return_jobs",
        (r"THEN (nextval\('dutiful\.ready_seq'\)|e\.seq)", "THEN j.ready_seq"),
        says="no new number",
    ),
    # ── who may take what ───────────────────────────────────────────────────────────────────
    both(
        "a claim of suspects among others",
        lapses.test_suspects_are_claimed_one_at_a_time_and_only_by_who_asks_for_one,
        "claim_jobs",
        (r" AND NOT j\.suspect", ""),
    ),
    both(
        "a claim by a worker that is gone",
        reaping.check_a_gone_worker_claims_nothing,
        "claim_jobs",
        (r"o\.gone_at IS NULL", "true"),
    ),
    Bug(
        "a cancel of what runs",
        check_all_pairs_of("cancel"),
        {
            "find_job": [(r"j\.lane, j\.state,", LIE)],
            "cancel_ready": [(r"AND j\.state = 'ready'", "")],
        },
        {
            "find_job": [(r"j\.lane, j\.state,", LIE)],
            "cancel_ready": [(r"AND (g\.)?state = 'ready'", "")],
        },
        "running × cancel",
    ),
    # ── duties ──────────────────────────────────────────────────────────────────────────────
    both(
        "duties that are not remembered beyond the history",
        retention.check_a_duty_is_remembered_for_longer_than_its_job,
        "remember_long",
        (r"d\.remember > :keep", "d.remember > :keep AND false"),
        says="forgotten with its job",
    ),
    Bug(
        "a duty that does not keep others out",
        check_by_verify,
        {"enqueue_keyed_job": [(r"d\.epoch\s+FROM place AS p, taken AS d", "1 FROM place AS p")]},
        {"enqueue_keyed_job": [(r" AND changes\(\) = 1", "")]},
        "I8",
    ),
    Bug(
        "a duty that is to be taken later",
        check_by_verify,
        {
            "enqueue_keyed_job": [
                (r"d\.epoch\s+FROM place AS p, taken AS d", "1 FROM place AS p"),
                (r"(FROM place AS p)(\s+ON CONFLICT \(app)", r"\1 WHERE false\2"),
            ]
        },
        {
            "enqueue_keyed_job": [
                (r"(AND l\.priority = :priority)(\s+ON CONFLICT \(app)", r"\1 AND false\2"),
                (r" AND changes\(\) = 1", ""),
            ]
        },
        "I8",
    ),
    # ── what the checker is for ─────────────────────────────────────────────────────────────
    Bug(
        "one token for all",
        check_by_verify,
        {"claim_jobs": [(r"gen_random_uuid\(\)", "'01234567-89ab-cdef-0123-456789abcdef'::uuid")]},
        {"claim_jobs": [(r"lower\(hex\(randomblob\(16\)\)\)", "'0123456789abcdef0123456789abcdef'")]},
        "I7",
    ),
    both(
        "a retry without an audit row",
        check_by_verify,
        "add_audit",
        (r"VALUES \((.*)\)", r"SELECT \1 WHERE :verb = 'nothing'"),
        says="I12",
    ),
    Bug(
        "a job that is brought back and stays dead",
        check_by_verify,
        {
            "revive_dead": [
                (
                    r"DELETE (FROM dutiful\.dead AS d WHERE d\.id = :id::uuid) RETURNING d\.\*",
                    r"SELECT d.* \1",
                )
            ]
        },
        {
            "revive_dead": [
                (r"DELETE (FROM main\.dutiful_dead WHERE id = :id)", r"SELECT id \1"),
            ]
        },
        "live and dead at once",
    ),
    Bug(
        "a completion that leaves the live row",
        check_by_verify,
        {
            "complete_jobs": [
                (
                    r"DELETE (FROM dutiful\.job AS j)\s+USING (.*?)\s+RETURNING ([^)]*\)[^)]*)",
                    r"SELECT \3 \1, \2",
                ),
            ]
        },
        {"complete_jobs": [(r"DELETE FROM main\.dutiful_job", "UPDATE main.dutiful_job SET lane = lane")]},
        "live, though it is done",
    ),
    both(
        "an ending that loses its token",
        check_by_verify,
        "return_jobs",
        (r"last_token = j\.token", "last_token = NULL"),
        says="I9",
    ),
    both(
        "run numbers that begin anew",
        check_by_verify,
        "revive_ended",
        (r"h\.last_token,\s+h\.run_no", "h.last_token, 0"),
        says="I7",
    ),
    # ── what takes two sessions in one moment: PostgreSQL's alone ───────────────────────────
    Bug(
        "a claim without SKIP LOCKED",
        forms.check_a_claim_locks_only_what_it_takes,
        {"claim_jobs": [(r" SKIP LOCKED", "")]},
    ),
    Bug(
        "a claim that sorts",
        plans.check_the_claims_plan,
        {"claim_jobs": [(r"ORDER BY w\.place", "ORDER BY w.place, j.id")]},
        says="a sort locks",
    ),
    Bug(
        "workers that are marked gone by id",
        lambda world: reaping.check_a_beat_in_the_middle_of_a_pass_saves_its_worker(world, RC),
        {
            "bury_workers": [
                (r"FOR UPDATE SKIP LOCKED", ""),
                (r" AND w\.gone_at IS NULL\s+AND \(\(:silent.*?RETURNING", " RETURNING"),
            ]
        },
        says="was marked gone",
    ),
    Bug(
        "a pass that waits for a beat",
        lambda world: reaping.check_a_beat_that_is_under_way_saves_its_worker(world, RC),
        {"bury_workers": [(r"FOR UPDATE SKIP LOCKED", "FOR UPDATE")]},
    ),
    Bug(
        "jobs that are lapsed by id",
        lambda world: reaping.check_a_job_claimed_anew_is_not_taken_back(world, RC),
        {"lapse_jobs": [(r" AND j\.token = h\.token", "")]},
        says="a live worker's job",
    ),
    Bug(
        "jobs that are lapsed by a join with their worker",
        lambda world: reaping.check_a_job_claimed_anew_is_not_taken_back(world, RC),
        {
            "lapse_jobs": [
                (r"LIMIT 1000", "LIMIT 1000 FOR UPDATE OF j SKIP LOCKED"),
                (r"FROM held AS h\s+JOIN .*?SKIP LOCKED\n\), back", "FROM held AS h), back"),
            ]
        },
        says="a live worker's job",
    ),
    Bug(
        "duties that are forgotten by key",
        retention.check_a_duty_that_is_taken_anew_stays,
        {"prune_duties": [(r" AND d\.turn = e\.turn", "")]},
    ),
]

CASES = [
    pytest.param(bug, engine, id=f"{bug.name}-{engine}")
    for bug in BUGS
    for engine in ("postgres", "sqlite")
    if getattr(bug, engine)
]


@pytest.fixture
def world(engine: EngineName, request: pytest.FixtureRequest) -> Iterator[World]:
    with world_at(request.getfixturevalue(f"{engine}_url")) as world:
        yield world


def prepared(bug: Bug, world: World) -> None:
    """What the check's own fixtures would have made."""
    if bug.check in (forms.check_a_claim_locks_only_what_it_takes, plans.check_the_claims_plan):
        world.worker()
        world.enqueue()


@pytest.mark.parametrize(("bug", "engine"), CASES)
def test_a_planted_bug_is_noticed(bug: Bug, engine: EngineName, world: World) -> None:
    prepared(bug, world)
    with planted(engine, getattr(bug, engine)):
        with pytest.raises(NOTICED, match=bug.says or None):
            bug.check(world)


@pytest.mark.parametrize("engine", ["postgres", "sqlite"])
def test_without_a_bug_nothing_is_noticed(engine: EngineName, world: World) -> None:
    """Else the tests above would show nothing. (The other checks are tests of their own.)"""
    check_by_verify(world)
    check_all_pairs_of("release", "cancel")(world)


# ── bugs that are not in a statement ────────────────────────────────────────────────────────


class CarelessMarks(Marks):
    """Without rule (c): a mark moves to the highest number seen."""

    def claimed(self, asked, leases, limit, horizon, now, took_s) -> None:  # type: ignore[no-untyped-def]
        taken: list[Lease] = list(leases)
        super().claimed(asked, taken, limit, horizon, now, took_s)
        for lease in taken:
            self._marks[lease.lane] = max(self._marks.get(lease.lane, 0), lease.ready_seq)


def test_a_mark_moved_without_rule_c_is_noticed(pg_world: World) -> None:
    with pytest.raises(AssertionError, match="the mark jumped over jobs"):
        claiming.check_a_mark_never_jumps_over_a_job(pg_world, CarelessMarks())


def test_an_index_on_what_a_claim_writes_is_noticed(pg_world: World) -> None:
    pg_world.sql("CREATE INDEX careless ON dutiful.job (lane) WHERE state = 'ready'")
    with pytest.raises(AssertionError, match="wrote an index entry"):
        plans.check_claims_are_hot(pg_world)


def test_a_table_without_room_for_hot_updates_is_noticed(pg_world: World) -> None:
    pg_world.sql("ALTER TABLE dutiful.job SET (fillfactor = 100)")
    with pytest.raises(AssertionError, match="wrote an index entry"):
        plans.check_claims_are_hot(pg_world)

"""The link from code to model: what real operations do to jobs is a step of the model, or it is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dutiful.model.states import STATES, VERBS
from dutiful.operations.people import call_off, retry
from dutiful.operations.starts import start
from dutiful.operations.workers import lapse
from tests.contract.planting import Change, planted
from tests.contract.stores import APP
from tests.contract.ways import ACTS, WAYS
from tests.contract.world import JOB_TABLES, World, world_at
from tests.protocol.recorder import Recorder
from tests.protocol.relation import CHANGES, Look, explanations, objections


@pytest.fixture
def watched(sqlite_url: str) -> Iterator[tuple[World, Recorder]]:
    recorder = Recorder()
    with world_at(sqlite_url) as world:
        recorder.watch(world)
        yield world, recorder


def test_every_verb_that_is_built_is_carried_out_as_in_the_model(watched: tuple[World, Recorder]) -> None:
    world, recorder = watched
    ways = [(verb, way) for verb in ACTS for way in WAYS]
    for number, (verb, way) in enumerate(ways):
        ACTS[verb](WAYS[way](world, f"{number}", verb == "lapse_last"))
        if number % len(WAYS) == 0:
            for table in (*JOB_TABLES, "worker", "effect", "ledger"):
                world.sql(f"DELETE FROM dutiful.{table}")
    assert recorder.illegal == []
    assert not recorder.unwatched
    assert set(recorder.verbs) == set(ACTS)


# ── planted bugs ────────────────────────────────────────────────────────────────────────────


def a_late_failure(world: World) -> None:
    world.keyed()
    zombie = world.worker()
    [late] = world.claim(zombie)
    world.die(zombie, recorded=[zombie])  # had not begun, so nobody is suspect
    assert world.claim()
    world.end(late, "fail")


def a_failure(world: World) -> None:
    world.keyed()
    [lease] = world.claim()
    world.end(lease, "fail")


def a_lapse(world: World) -> None:
    world.keyed()
    worker = world.worker()
    world.claim(worker)
    world.worker()
    world.die(worker)


def a_retry(world: World) -> None:
    job = world.keyed()
    for lease in world.claim(limit=9):
        world.end(lease, "bury")
    world.run(retry(APP, job, actor="ann"))


def a_pass_of_the_reaper(world: World) -> None:
    world.keyed()
    world.claim()
    world.run(lapse())


def an_unasked_abort(world: World) -> None:
    world.keyed()
    [lease] = world.claim()
    world.end(lease, "abort")


def a_failure_of_who_was_asked_to_stop(world: World) -> None:
    job = world.keyed()
    [lease] = world.claim()
    world.run(call_off(APP, job, actor="ann"))
    world.end(lease, "fail")


def too_late_though_begun(verb: str) -> Callable[[World], None]:
    def act(world: World) -> None:
        world.keyed()
        [lease] = world.claim()
        world.run(start(APP, lease))
        world.end(lease, verb)

    return act


def a_zombies_judgement(verb: str) -> Callable[[World], None]:
    def act(world: World) -> None:
        world.keyed()
        zombie = world.worker()
        [late] = world.claim(zombie)
        world.die(zombie, recorded=[zombie])
        assert world.claim()
        world.end(late, verb)

    return act


BEGUN = (r"(j\.)?started_at IS NULL", "(1 = 1)")

BUGS: list[tuple[str, Callable[[World], None], str, Change, str]] = [
    ("no fence", a_late_failure, "return_jobs",
     (r"AND j\.token = e\.token AND", "AND"), "not given the job's token"),
    ("whose run it was is forgotten", a_failure, "return_jobs",
     (r"last_token = j\.token,", "last_token = j.last_token,"), "token: over"),
    ("a run number is skipped", a_failure, "claim_jobs", (r"run_no \+ 1", "run_no + 2"), "run_no: 0 to 2"),
    ("the living lapse", a_pass_of_the_reaper, "lapse_jobs",
     (r"\(w\.id IS NULL OR w\.gone_at IS NOT NULL\)", "(1 = 1)"), "its worker is not marked gone"),
    ("who was not asked is cancelled", an_unasked_abort, "close_jobs",
     (r"\w+\.cancel_at IS NOT NULL", "(1 = 1)"), "nobody asked it to stop"),
    ("a request to stop is forgotten", a_failure_of_who_was_asked_to_stop, "return_jobs",
     (r"last_token = j\.token,", "last_token = j.token, cancel_at = NULL,"), "asked to stop was forgotten"),
    ("skipped though begun", too_late_though_begun("skip"), "close_jobs", BEGUN,
     "state running to done"),
    ("expired though begun", too_late_though_begun("expire"), "expire_jobs", BEGUN,
     "state running to dead"),
    ("a zombie skips", a_zombies_judgement("skip"), "close_jobs",
     (r"json_extract\(e\.value, '\$\.token'\)", "token"),
     "not given the job's token"),
    ("a retry leaves no trace", a_retry, "add_audit",
     (r"INSERT INTO \S*audit.*", "SELECT 1"), "no audit row"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("act", "statement", "change", "noticed"), [pytest.param(*bug[1:], id=bug[0]) for bug in BUGS]
)
def test_a_planted_bug_is_no_step_of_the_model(
    watched: tuple[World, Recorder],
    act: Callable[[World], None],
    statement: str,
    change: Change,
    noticed: str,
) -> None:
    world, recorder = watched
    act(world)
    assert recorder.illegal == []
    with planted("sqlite", {statement: [change]}):
        act(world)
    assert noticed in "\n".join(recorder.illegal)


# ── the relation itself ─────────────────────────────────────────────────────────────────────

RUNNING = Look("running", None, "t2", "t1", 2, 2, 0, 1, False, False)


def test_each_verb_of_the_table_has_a_row_in_the_relation() -> None:
    assert set(CHANGES) | {"enqueue", "prune"} == set(VERBS)


def test_looks_that_no_verb_explains() -> None:
    failed = RUNNING._replace(state="ready", token=None, last="t2")
    assert "fail" in explanations(RUNNING, failed)
    for wrong in (
        RUNNING._replace(state="ready", token=None),  # whose run it was is lost
        failed._replace(attempt=0),
        failed._replace(state="dead", run_no=3),
        failed._replace(epoch=2),
        failed._replace(state="done"),  # without an outcome
        RUNNING._replace(token="t3"),  # claimed while it runs
    ):
        assert not explanations(RUNNING, wrong), wrong


def test_a_started_body_goes_nowhere_but_to_its_end_or_into_doubt() -> None:
    begun = RUNNING._replace(at_most_once=True, started=True)
    for state in STATES:
        after = begun._replace(state=state, token=None, last="t2", attempt=1)
        assert not [
            verb for verb in ("fail", "snooze", "release", "lapse") if not objections(verb, begun, after)
        ]


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_job_that_is_not_there_has_no_verb_but_enqueue(verb: str) -> None:
    new = Look("ready", None, None, None, 0, 0, 0, 1, False, False)
    assert (objections(verb, None, new) == []) == (verb == "enqueue")

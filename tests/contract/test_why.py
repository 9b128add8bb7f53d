"""Why isn't it running? The decision as a table; then the facts, read on every engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from dutiful.engines.contract import Engine
from dutiful.model.errors import JobNotFound
from dutiful.model.ids import make_id
from dutiful.model.jobs import Failure, Lane, Lease, NewWorker
from dutiful.model.states import REASONS as ALL_REASONS
from dutiful.operations import claims, people, workers
from dutiful.operations.inspect import FailureView, JobView
from dutiful.operations.why import REASONS, decide, shown_state, why
from dutiful.operations.why_facts import AHEAD_MAX, Facts, Note, WorkerFact
from tests.contract.stores import APP, SECOND, Clock, Run, end, face, look, new, opened, store, write

NOW = 1_800_000_000 * SECOND
MINUTE = 60 * SECOND
LEASE = 30 * SECOND


def job(**fields: Any) -> JobView:
    """A job that has been ready for a minute, unless said otherwise."""
    told: dict[str, Any] = dict(
        place=1, id="J", app=APP, queue="pdf", priority=0, state="ready", outcome=None, reason=None,
        task="render", key=None, args=b"{}", args_version=1, epoch=1, run_no=0, attempt=0, crashes=0,
        losses=0, suspect=False, delivery="at_least_once", run_at_us=NOW - MINUTE,
        enqueued_at_us=NOW - MINUTE, claimed_at_us=None, ended_at_us=None, worker=None, ready_seq=7,
        gate=None, result=None, started_at_us=None, doubt_at_us=None, doubt=None,
        cancel_at_us=None, deadline_us=None, now_us=NOW,
    )  # fmt: skip
    return JobView(**(told | fields))


ABLE = WorkerFact(1, "w-1", 11, ("pdf", "mail"), {"render": 1}, release="r1", slots=4, beat_age_us=SECOND)
BLIND = replace(ABLE, id=2, tasks={"rendr": 1, "merge": 1})
OLD = replace(ABLE, id=3, tasks={"render": 1})
ELSEWHERE = replace(ABLE, id=4, queues=("mail",))
SILENT = replace(ABLE, id=5, beat_age_us=LEASE + 1)
CHILD = replace(ABLE, id=6, alone=True)
FAILED = FailureView(3, 2, NOW - 2 * MINUTE, 1, "TimeoutError", "no answer\nat all", "")
RUNNING = job(state="running", worker=1, attempt=2, run_no=3, claimed_at_us=NOW - 12 * SECOND)

TABLE: list[tuple[str, Facts, str, str]] = [
    ("done", Facts(job(state="done", outcome="performed", ended_at_us=NOW)), "done", "done just now: "),
    ("duplicate", Facts(job(state="done", outcome="duplicate", ended_at_us=NOW)), "done", "as a duplicate"),
    ("dead", Facts(job(state="dead", reason="exhausted", attempt=9, ended_at_us=NOW - MINUTE)), "dead",
     "dead: it died 1m ago, after 9 tries; its last try failed."),
    ("dead says its error", Facts(job(state="dead", reason="error", attempt=1), failure=FAILED),
     "dead", "The last run said TimeoutError: no answer."),
    ("dead without a try", Facts(job(state="dead", reason="poison")), "dead", "before a try was charged"),
    ("cancelled", Facts(job(state="cancelled", ended_at_us=NOW), note=Note("ann", "cancel", "not wanted")),
     "cancelled", "By ann: not wanted"),
    ("in doubt", Facts(job(state="in_doubt", doubt="the body was cut off")),
     "in_doubt", "in doubt: the body was cut off; whether it was done is not known."),
    ("running", Facts(RUNNING, [ABLE], ABLE), "running",
     "running for 12s on worker 1 (w-1, pid 11, release r1), attempt 2, run 3; it last said"),
    ("its worker is silent", Facts(RUNNING, [SILENT, ABLE], SILENT), "worker_silent", "within seconds"),
    ("all are silent", Facts(RUNNING, [SILENT], SILENT), "worker_silent", "Start one: dutiful worker"),
    ("its worker is gone", Facts(RUNNING, [ABLE], replace(ABLE, gone=True)), "worker_gone", "gone"),
    ("its worker has no row", Facts(RUNNING, [ABLE], None), "worker_gone", "on a worker that is gone"),
    ("no worker at all", Facts(job()), "queue_untaken",
     'waiting for 1m: no live worker takes queue "pdf".\nNo worker of app "shop" is alive.\n'
     "Start one: dutiful worker -q pdf"),
    ("other queues only", Facts(job(), [ELSEWHERE]), "queue_untaken", "1 live worker takes: mail."),
    ("its worker fell silent", Facts(job(), [SILENT]), "queue_untaken",
     "Worker 5 (w-1, pid 11, release r1) took it, and has been silent for 30s."),
    ("a child takes no queue", Facts(job(), [CHILD]), "queue_untaken", 'No worker of app "shop" is alive.'),
    ("no task of that name", Facts(job(), [BLIND]), "task_unknown",
     'waiting for 1m: no live worker of its queue knows task "render".\n'
     '1 worker takes queue "pdf" (w-1 pid 11; release r1); it knows merge, rendr.'),
    ("the nearest name", Facts(job(), [BLIND]), "task_unknown", 'aliases=["rendr"]'),
    ("one elsewhere knows it", Facts(job(), [BLIND, ELSEWHERE]), "task_unknown",
     "Worker 4 (w-1, pid 11, release r1) knows it, but takes only mail."),
    ("newer arguments", Facts(job(args_version=2), [OLD]), "args_too_new",
     'its arguments are of version 2 of "render", and the live workers know only 1.'),
    ("one able is enough", Facts(job(), [BLIND, ABLE]), "queued", "it is next in line"),
    ("scheduled", Facts(job(run_at_us=NOW + 5 * MINUTE), [ABLE]), "not_due", "scheduled, due in 5m: "),
    ("retrying", Facts(job(run_at_us=NOW + 5 * SECOND, attempt=2), [ABLE], failure=FAILED), "not_due",
     "retrying, due in 5s: it is not due yet.\nThe last try failed with TimeoutError: no answer."),
    ("all places are taken", Facts(job(), [ABLE], full=4, higher=2), "queue_full",
     'all 4 places of queue "pdf" are taken.'),
    ("the only place is taken", Facts(job(), [ABLE], full=1), "queue_full", "the only place"),
    ("suspect", Facts(job(suspect=True), [ABLE]), "suspect", "run alone"),
    ("outranked", Facts(job(), [ABLE], higher=3, earlier=1), "outranked",
     '3 jobs go first of higher priority in queue "pdf".\n1 job goes first of its own priority.'),
    ("many outrank it", Facts(job(), [ABLE], higher=AHEAD_MAX), "outranked", "1,000 or more jobs go first"),
    ("in line", Facts(job(), [ABLE], earlier=4), "queued", "it is number 5 in line"),
    ("far back", Facts(job(), [ABLE], earlier=AHEAD_MAX), "queued", "number 1,000 or more"),
    ("just due", Facts(job(ready_seq=None), [ABLE]), "queued", "next poll"),
    ("slots are told", Facts(job(), [ABLE, replace(ABLE, id=9, slots=8)]), "queued",
     "2 live workers take the queue, with 12 slots in all."),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "cause", "says"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_the_cause_is_told(facts: Facts, cause: str, says: str) -> None:
    answer = decide(facts)
    assert answer.cause == cause
    assert says in "\n".join((answer.sentence, *answer.details))


# From the hardest cause to the mildest: what makes each true, beside all that comes after it.
WORSE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("queue_untaken", {}, {"workers": [ELSEWHERE]}),
    ("task_unknown", {}, {"workers": [BLIND]}),
    ("not_due", {"run_at_us": NOW + MINUTE}, {}),
    ("queue_full", {}, {"full": 2}),
    ("suspect", {"suspect": True}, {}),
    ("outranked", {}, {"higher": 2}),
    ("queued", {}, {"earlier": 2}),
]


def test_the_hardest_cause_comes_first() -> None:
    for at, (cause, _, _) in enumerate(WORSE):
        of_job: dict[str, Any] = {}
        facts: dict[str, Any] = {"workers": [ABLE]}
        for _, mine, its in reversed(WORSE[at:]):
            of_job |= mine
            facts |= its
        assert decide(Facts(job(**of_job), **facts)).cause == cause


def test_a_hand_in_the_middle_of_the_state_never_breaks_the_answer() -> None:
    for state in ("ready", "running", "in_doubt", "done", "dead", "cancelled"):
        for worker in (None, ABLE, SILENT, CHILD):
            found = decide(Facts(job(state=state, attempt=1), [worker] if worker else [], worker))
            assert found.sentence.endswith(".") and all(detail for detail in found.details)


def test_every_reason_has_its_words() -> None:
    assert set(REASONS) == set(ALL_REASONS)


@pytest.mark.parametrize(
    ("state", "run_at", "attempt", "word"),
    [
        ("ready", NOW, 0, "waiting"),
        ("ready", NOW + 1, 0, "scheduled"),
        ("ready", NOW + 1, 1, "retrying"),
        ("ready", NOW - 1, 1, "waiting"),
        ("running", NOW + 1, 1, "running"),
        ("in_doubt", NOW, 1, "in doubt"),
    ],
)
def test_people_read_a_word_that_tells_waiting_from_retrying(
    state: str, run_at: int, attempt: int, word: str
) -> None:
    assert shown_state(state, run_at, attempt, NOW) == word


# ── the facts, on every engine ──────────────────────────────────────────────────────────────


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    with opened(store_url) as engine:
        yield engine


@pytest.fixture(params=["run", "arun"])
def run(engine: Engine, request: pytest.FixtureRequest) -> Run:
    return face(engine, request.param)


@pytest.fixture
def clock(engine: Engine) -> Clock:
    engine.clock = Clock()
    return engine.clock


def start(run: Run, queues: list[str], tasks: dict[str, int], **fields: Any) -> int:
    """A worker's row, written as a worker writes it."""
    told: dict[str, Any] = {"app": APP, "host": "w-1", "pid": 11, "lease_us": LEASE, "concurrency": 4}
    told |= {"queues": json.dumps(queues), "tasks": json.dumps(tasks), "release": "r1"}
    number: int = run(workers.register(NewWorker(**(told | fields))))
    return number


def take(engine: Engine, worker: int) -> Lease:
    lanes = [Lane(row[0]) for row in look(engine, "SELECT id FROM dutiful.lane ORDER BY id")]
    for _ in range(2):  # on PostgreSQL what comes due is claimed by the statement after that
        if leases := engine.run(claims.claim(worker, lanes, {"send": 9}, 1, promote=True)).leases:
            return leases[0]
    raise AssertionError("there is nothing to claim")


def test_from_the_first_worker_to_the_end_of_the_job(run: Run, engine: Engine, clock: Clock) -> None:
    id = store(run, new(args_version=2, delay_us=MINUTE)).id

    def cause() -> str:
        found: str = run(why(APP, id)).cause
        return found

    assert cause() == "queue_untaken"
    start(run, ["default"], {"sent": 1})
    assert cause() == "task_unknown"
    start(run, ["default"], {"send": 1})
    assert cause() == "args_too_new"
    start(run, ["mail"], {"send": 2})
    assert cause() == "args_too_new"
    worker = start(run, ["default", "mail"], {"send": 2})
    assert cause() == "not_due"
    assert run(why(APP, id)).due_us == clock.at_us + MINUTE
    clock.advance(LEASE + SECOND)
    assert cause() == "queue_untaken"  # they are silent
    run(workers.beat([worker]))
    assert cause() == "not_due"
    clock.advance(MINUTE)
    run(workers.beat([worker]))
    assert cause() == "queued"
    lease = take(engine, worker)
    assert lease.job_id == id
    answer = run(why(APP, id))
    assert answer.cause == "running" and f"worker {worker} (w-1, pid 11, release r1)" in answer.sentence
    clock.advance(LEASE + SECOND)
    assert cause() == "worker_silent"
    run(workers.bury())
    assert cause() == "worker_gone"
    run(workers.lapse())
    worker = start(run, ["default"], {"send": 2})
    assert cause() == "suspect"


def test_those_who_go_first_are_counted(run: Run) -> None:
    start(run, ["default"], {"send": 1})
    first, second = (store(run, new()).id for _ in range(2))
    assert run(why(APP, first)).sentence.endswith('it is next in line in queue "default".')
    assert run(why(APP, second)).sentence.endswith('it is number 2 in line in queue "default".')
    for _ in range(3):
        store(run, new(priority=5))
    store(run, new(priority=-5))
    store(run, new(priority=9, queue="other"))
    answer = run(why(APP, second))
    assert answer.cause == "outranked" and "3 jobs go first" in answer.sentence
    assert answer.details[0] == "1 job goes first of its own priority."


def test_the_dead_say_what_they_died_of(run: Run, engine: Engine) -> None:
    store(run, new())
    id = end(engine, "bury", reason="error", failure=Failure("ValueError", "no such order"))
    answer = run(why(APP, id))
    assert answer.cause == "dead"
    assert answer.details[0] == "The last run said ValueError: no such order."
    run(people.retry(APP, id, actor="ann"))
    assert run(why(APP, id)).cause == "queue_untaken"
    run(people.cancel(APP, id, actor="bob", reason="not wanted"))
    answer = run(why(APP, id))
    assert answer.cause == "cancelled" and answer.details == ("By bob: not wanted",)


def test_what_is_done_is_done(run: Run, engine: Engine) -> None:
    store(run, new())
    assert run(why(APP, end(engine, "complete"))).cause == "done"


def test_workers_of_another_app_do_not_count(run: Run) -> None:
    start(run, ["default"], {"send": 1}, app="other")
    assert run(why(APP, store(run, new()).id)).cause == "queue_untaken"


def test_rows_that_another_release_wrote_are_no_trouble(run: Run, engine: Engine) -> None:
    worker = start(run, ["default"], {"send": 1})
    id = store(run, new()).id
    write(engine, "UPDATE dutiful.worker SET queues = 'default', tasks = '[1]' WHERE id = %s", worker)
    assert run(why(APP, id)).cause == "queue_untaken"


def test_a_job_that_is_not_there_is_said_to_be_missing(run: Run) -> None:
    with pytest.raises(JobNotFound):
        run(why(APP, make_id()))
    id = store(run, new()).id
    with pytest.raises(JobNotFound):
        run(why("other", id))

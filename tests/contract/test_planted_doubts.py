"""Planted bugs of starts and doubts: each weakens one line, and the check that guards it must notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dutiful import testing
from dutiful.engines import sqlite_transactions
from dutiful.model.doubts import LastRun
from dutiful.operations import starts
from dutiful.operations.plan import Operation
from dutiful.sql import EngineName
from tests.contract import test_doubts as doubts
from tests.contract import test_lasting_starts as lasting
from tests.contract import test_late_reports as reports
from tests.contract import test_starts as starting
from tests.contract.planting import Change, planted
from tests.contract.test_planted_bugs import NOTICED, Bug, both
from tests.contract.world import World, world_at

STARTED = r" AND j\.started_at IS NULL"
LITE_LATE = (
    r"CASE WHEN j\.state = 'in_doubt' AND j\.started_at IS NOT NULL THEN j\.last_token ELSE j\.token END"
)
TO_READY: dict[str, list[Change]] = {
    "lapse_started": [(r"j\.started_at IS NOT NULL", "false")],
    "lapse_jobs": [(STARTED, "")],
}

BUGS = [
    both(
        "a started job that is handed back",
        reports.check_a_started_body_is_never_made_ready,
        "return_jobs",
        (STARTED, ""),
        says="handed back",
    ),
    Bug(
        "a started job that lapses to ready",
        reports.check_a_started_body_lapses_into_doubt,
        TO_READY,
        TO_READY,
        says="taken back",
    ),
    Bug(
        "a lapse that does not look again",
        reports.check_a_start_in_the_middle_of_a_lapse,
        {"lapse_jobs": [(r"j\.token = h\.token AND j\.started_at IS NULL", "j.token = h.token")]},
        says="taken back",
    ),
    Bug(
        "a report by any token",
        reports.check_only_the_last_token_closes_a_doubt,
        {"complete_jobs": [(r" AND j\.last_token = e\.token", "")]},
        {"complete_jobs": [(LITE_LATE, "json_extract(e.value, '$.token')")]},
        says="stranger",
    ),
    Bug(
        "a late error by any token",
        reports.check_only_the_last_token_closes_a_doubt,
        {"bury_jobs": [(r" AND j\.last_token = e\.token", "")]},
        {"bury_jobs": [(LITE_LATE, "json_extract(e.value, '$.token')")]},
        says="stranger",
    ),
    Bug(
        "a start without the fence",
        starting.check_a_run_that_lost_its_job_starts_nothing,
        {"start_job": [(r" AND j\.token = :token::uuid FOR", " FOR"), (" AND j\\.token = o\\.token", "")]},
        {"start_job": [(r" AND j\.token = :token", ""), (r"j\.id, j\.token", "j.id, :token")]},
    ),
    both(
        "a start whose key is not the duty's",
        starting.check_the_ledger_outlives_the_duty,
        "start_job",
        (r"'start', :now", "'start', :now"),
        (r"(SELECT :app, :task, ):key", r"\1:key || 'x' || :token"),
        (r"g\.key = :key", "g.key = :key || 'x' || :token"),
    ),
    both(
        "a refuted body in its old epoch",
        doubts.check_a_refuted_body_begins_in_a_new_epoch,
        "reopen_doubt",
        (r"epoch = :epoch", "epoch = epoch + 0 * :epoch"),
    ),
    Bug(
        "a start that does not wait for the disk",
        lasting.check_a_start_waits_for_the_disk,
        {"start_job": [(r"'off', 'local'", "'never'")]},
        says="before it was on the disk",
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


@pytest.mark.parametrize(("bug", "engine"), CASES)
def test_a_planted_bug_is_noticed(bug: Bug, engine: EngineName, world: World) -> None:
    with planted(engine, getattr(bug, engine)):
        with pytest.raises(NOTICED, match=bug.says or None):
            bug.check(world)


# ── bugs that are not in a statement ────────────────────────────────────────────────────────


def test_a_refutation_without_proof_is_noticed(store_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LastRun, "missing", lambda self, now_us, quiet_us=0: "")
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        doubts.check_what_proves_a_run_dead(store_world)


@pytest.mark.parametrize("kind", ["CutOff", "TimedOut", "WorkerLost"])
def test_taking_silence_for_proof_is_noticed(
    store_world: World, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dutiful.model.doubts.MAY_GO_ON", {"CutOff", "TimedOut", "WorkerLost"} - {kind})
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        doubts.check_what_proves_a_run_dead(store_world)


def iter_of(result: Any) -> Any:
    """Steps that are none."""
    yield from ()
    return result


class Unstored:
    """A start that is not stored before the body begins."""

    @staticmethod
    def start(app: str, lease: Any) -> Operation[Any]:
        return Operation("start", lambda: iter_of(starts.Start("stored")))


def test_a_body_that_begins_before_its_start_is_noticed(
    rows_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = starting.Mail(rows_url)
    try:
        sound = mail.tasks["send"].enqueue(1).id
        testing.run_all(mail.app)
        assert mail.job(sound).outcome == "performed"
        monkeypatch.setattr("dutiful.worker.starting.starts", Unstored)
        for look in (True, False):  # by what the body sees; and, where it looks at nothing, by the checker
            if not look:
                monkeypatch.setattr(mail, "began", lambda run: None)
            mail.tasks["send"].enqueue(2 + look)
            [done] = testing.run_all(mail.app)
            assert done.verb == ("bury" if look else "complete")
        assert not mail.clean()
    finally:
        mail.app.close()


def test_a_lax_commit_on_sqlite_is_noticed(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    careful: Callable[..., None] = sqlite_transactions.OwnTransaction.__init__

    def lax(self: Any, *given: Any) -> None:
        careful(self, *given)
        self._usual = None

    with world_at(sqlite_url) as world:
        monkeypatch.setattr(sqlite_transactions.OwnTransaction, "__init__", lax)
        assert lasting.synchronous_levels(world) == [1, 1]

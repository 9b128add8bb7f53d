"""The app whose exactly_once jobs each leave one row in a table of the user's, which has no unique key."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable

from dutiful import App, Run
from dutiful.app.transactions import AsyncTransaction, Transaction
from dutiful.model.fates import Fate
from dutiful.worker import work
from tests.processes.support.jobs import note

TABLE = "CREATE TABLE public.payment (job_id text NOT NULL, try text NOT NULL)"
ROW = "INSERT INTO public.payment (job_id, try) VALUES (:job, :try)"

app = App(
    "tests",
    os.environ.get("DUTIFUL_TEST_URL", "sqlite://"),
    databases={"till": os.environ.get("DUTIFUL_TEST_TILL", "sqlite://")},
)


def row(run: Run) -> dict[str, object]:
    """A row that names this try of this job, and of no other."""
    one: dict[str, object] = {"job": run.job_id, "try": uuid.uuid4().hex}
    note("try", run.job_id, run.run_no, one["try"])
    return one


@app.task(delivery="exactly_once")
def pay(n: int, *, tx: Transaction, run: Run = Run.given) -> None:
    tx.execute(ROW, row(run))


@app.task(delivery="exactly_once")
async def apay(n: int, *, tx: AsyncTransaction, run: Run = Run.given) -> None:
    await tx.execute(ROW, row(run))


@app.task(delivery="exactly_once", database="till")
def pay_elsewhere(n: int, *, tx: Transaction, run: Run = Run.given) -> None:
    tx.execute(ROW, row(run))


# ── planted bugs: what is reported of a commit without an answer ────────────────────────────


def _impatient(asked: work.Work, patience_s: float = 0.0) -> Fate:
    """By token at once, though the server may be at it still."""
    return work._by_token(asked)


PLANTED: dict[str, Callable[..., Fate]] = {
    "kept": lambda asked, patience_s=0.0: Fate.COMMITTED,
    "not kept": lambda asked, patience_s=0.0: Fate.NOT_COMMITTED,
    "impatient": _impatient,
}

if planted := os.environ.get("DUTIFUL_TEST_PLANTED"):
    work.read_back = PLANTED[planted]

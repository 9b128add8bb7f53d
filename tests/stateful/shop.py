"""The app that the stateful tests drive: a task of each kind, whose bodies do what their arguments say."""

from __future__ import annotations

from typing import Any

from dutiful import App, GiveUp, Retry, RetryIn, Run, Snooze
from dutiful.app.transactions import Transaction
from dutiful.testing import Clock

RETRY = Retry(2, first="10s", longest="1m", jitter=0)
RETRIES = 2
REMEMBER_S = 3600
SNOOZE_S = 20
ASK_S = 5
KEEP_S = 7200

PLANS = ("ok", "ok", "ok", "fail", "second", "give_up", "snooze", "retry_in")
TASKS = ("plain", "urgent", "keyed", "exact", "most")
KEYED = ("keyed", "exact", "most")

WORK = "shop_work"


def body(plan: str, attempt: int) -> None:
    """What every task does."""
    if plan == "fail" or (plan == "second" and attempt == 1):
        raise ValueError("no")
    if plan == "give_up":
        raise GiveUp("enough")
    if plan == "snooze" and attempt == 1:
        raise Snooze(SNOOZE_S)
    if plan == "retry_in":
        raise RetryIn(ASK_S)


def delay_s(attempt: int) -> int:
    """The backoff of RETRY."""
    return min(10 << (attempt - 1), 60)


def make_app(url: str, clock: Clock) -> tuple[App, dict[str, Any]]:
    """The app on one store, and its tasks by name."""
    app = App("shop", url, clock=clock, keep=KEEP_S)
    task = app.task

    @task(name="plain", retry=RETRY, result=True)
    def plain(n: int, plan: str, note: str = "", *, run: Run = Run.given) -> int:
        body(plan, run.attempt)
        return n

    @task(name="urgent", retry=RETRY, priority=5, queue="other")
    def urgent(n: int, plan: str, note: str = "", *, run: Run = Run.given) -> None:
        body(plan, run.attempt)

    @task(name="keyed", once="{n}", retry=RETRY, remember=REMEMBER_S)
    def keyed(n: int, plan: str, note: str = "", *, run: Run = Run.given) -> None:
        body(plan, run.attempt)

    @task(name="exact", once="{n}", retry=RETRY, remember=REMEMBER_S, delivery="exactly_once", result=True)
    def exact(n: int, plan: str, note: str = "", *, tx: Transaction, run: Run = Run.given) -> int:
        tx.execute(f"INSERT INTO {WORK} VALUES (:duty, :job)", {"duty": run.duty, "job": run.job_id})
        body(plan, run.attempt)
        return n

    @task(name="most", once="{n}", remember=REMEMBER_S, delivery="at_most_once")
    def most(n: int, plan: str, note: str = "", *, run: Run = Run.given) -> None:
        body(plan, run.attempt)

    return app, {"plain": plain, "urgent": urgent, "keyed": keyed, "exact": exact, "most": most}

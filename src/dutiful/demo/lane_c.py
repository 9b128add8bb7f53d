"""Lane C: what a user of dutiful writes. The task is a dozen lines; all else only lets it be watched."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

# A user writes: from dutiful import App, Retry, Run
from ..app.app import App
from ..app.running import Run
from ..model.retry import Retry
from .bank import Bank
from .instruments import CardRefused, Instruments
from .places import this_folder
from .remote import bank_at

folder = this_folder()
app = App("demo", folder.jobs_url)
bank = bank_at(folder.bank, call_s=folder.settings().bank_s)
demo = Instruments(app, folder)


# dutiful: ok DU017, DU041 — cents and currency follow from the order; the bank answers within BUSY_S
@app.task(once="charge:{order_id}", retry=Retry(8, never=(CardRefused,)))
def charge(order_id: str, cents: int, currency: str, run: Run = Run.given) -> None:
    """Charge one order: one duty for each order, and its key goes along with the call."""
    demo.refuse_poison(order_id)
    demo.point("before", order_id, run)
    bank.charge("C", order_id, cents, currency, key=run.key("charge"))
    demo.point("gap", order_id, run)


def charged(since: datetime, until: datetime) -> list[dict[str, Any]]:
    """What is done, by the bank's own records."""
    return Bank(folder.bank).charged("C")


@app.reconcile(charge, name="bank", done=charged, every="10s", grace="0s", window="1d")
def ordered(since: datetime, until: datetime) -> Iterator[dict[str, Any]]:
    """What is expected: every order that was placed is to be charged once."""
    yield from folder.placed()

"""The README's quick start as a program: declare, enqueue, run, look."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dutiful import App, Run
from dutiful.testing import run_all

folder = tempfile.TemporaryDirectory()
app = App("shop", f"sqlite:///{Path(folder.name) / 'shop.db'}")
sent: list[tuple[int, str]] = []


@app.task(once="receipt:{order_id}", queue="mail", retry=8, timeout="30s")
def send_receipt(order_id: int, *, run: Run = Run.given) -> None:
    sent.append((order_id, run.key("mail")))  # dutiful: ok DU034 — stands for the mail server, in one process


first = send_receipt.enqueue(42)
again = send_receipt.enqueue(42)
assert again.duplicate and again.id == first.id

outcomes = run_all(app)
assert [outcome.verb for outcome in outcomes] == ["complete"]
assert len(sent) == 1
print(f"job {first.id}: {first.job().state}, sent once with key {sent[0][1]}")

app.close()
folder.cleanup()

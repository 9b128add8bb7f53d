"""``dutiful queue``: what stands in each queue, how late it is, and who serves it."""

from __future__ import annotations

from collections import Counter

import click

from ..model.spans import span
from ..operations import health, inspect
from ..operations.inspect import QueueView
from .documents import is_late, of_queue
from .lazy import SharedGroup
from .reach import Reach, reach
from .session import Session, pass_session
from .tables import Column

COLUMNS = [
    Column("QUEUE"),
    Column("DUE", right=True),
    Column("LATER", right=True),
    Column("RUNNING", right=True),
    Column("IN DOUBT", right=True, spare=2),
    Column("DEAD", right=True),
    Column("OLDEST DUE", right=True),
    Column("TARGET", right=True, spare=1),
    Column("WORKERS", right=True),
    Column("", spare=1),
]


@click.group("queue", cls=SharedGroup)
def queue_command() -> None:
    """Look at queues."""


@queue_command.command("list")
@pass_session
def list_(session: Session) -> None:
    """Every queue: jobs due and later, the oldest that is due, and the workers that take it."""
    printer = session.printer
    with reach(session) as store:
        queues = store.run(inspect.queues(store.name))
        workers = _workers(store)
    if printer.json:
        listed = [of_queue(one, workers[one.name]) for one in queues]
        printer.document("queue.list/1", {"app": store.name, "queues": listed})
        return
    if not queues:
        app = f'App "{store.name}"' if store.name else "This database"
        printer.say(f"{app} has no queues yet: the first enqueue, or the first worker, makes them.")
        return
    printer.table(COLUMNS, [_row(one, workers[one.name]) for one in queues])
    for one in queues:
        if one.due and not workers[one.name]:
            jobs = "job is" if one.due == 1 else "jobs are"
            printer.say(
                f"{one.due:,} {jobs} due in {one.name}, and no live worker takes that queue: "
                f"dutiful worker -q {one.name}"
            )


def _workers(store: Reach) -> Counter[str]:
    """How many live workers take each queue."""
    workers, _due, _now = store.run(health.workforce(store.name))
    live = [worker for worker in workers if not (worker.silent or worker.alone)]
    return Counter(queue for worker in live for queue in worker.queues)


def _row(queue: QueueView, workers: int) -> list[str]:
    return [
        queue.name,
        f"{queue.due:,}",
        f"{queue.later:,}",
        f"{queue.running:,}",
        f"{queue.in_doubt:,}" if queue.in_doubt else "",
        f"{queue.dead:,}",
        "" if queue.oldest_us is None else span(queue.now_us - queue.oldest_us),
        "" if queue.target_us is None else span(queue.target_us),
        str(workers),
        "LATE" if is_late(queue) else "",
    ]

"""Jobs in doubt: the only place where a person must say what happened."""

from __future__ import annotations

from msgspec import Struct

from ...operations import doubts, health
from ..asking import Ask
from ..cursors import of_death, to_death
from .rows import redacted_key

PAGE = 50


class DoubtRow(Struct, frozen=True):
    """A job of which nobody knows whether it was done."""

    id: str
    task: str
    queue: str
    key: str | None
    delivery: str
    run_no: int
    doubt: str
    since_us: int
    body: bool
    """Whether the at_most_once body is in doubt; else it is an effect."""


class DoubtList(Struct, frozen=True):
    """A page of them, the latest first."""

    rows: list[DoubtRow]
    next: str | None
    now_us: int


def doubt_list(ask: Ask) -> DoubtList:
    """Jobs in doubt."""
    after = to_death(ask.text("after"))
    found = ask.run(
        doubts.page(
            ask.site.name, task=ask.text("task"), queue=ask.text("queue"), after=after, limit=PAGE + 1
        )
    )
    shown = found[:PAGE]
    rows = []
    for one in shown:
        args = ask.site.redactor.args(one.task, one.args)
        rows.append(
            DoubtRow(
                id=one.id,
                task=one.task,
                queue=one.queue,
                key=redacted_key(ask, one.key, args),
                delivery=one.delivery,
                run_no=one.run_no,
                doubt=ask.site.redactor.text(one.doubt, args.hidden, whole=args.whole),
                since_us=one.doubt_at_us,
                body=one.started_at_us is not None,
            )
        )
    more = ask.here(after=of_death(shown[-1].doubt_at_us, shown[-1].id)) if len(found) > PAGE else None
    return DoubtList(rows, more, shown[0].now_us if shown else ask.run(health.now()))

"""Home: what stands where, and the verdict where it is told."""

from __future__ import annotations

from msgspec import Struct

from ...model.checklist import Sum
from ...operations import health, inspect
from ..asking import Ask
from .checklist import checks
from .machinery import QueueRow, queues
from .rows import JobRow, rows_of

LATEST = 8


class Home(Struct, frozen=True):
    """The first thing that a person sees."""

    due: int
    later: int
    running: int
    in_doubt: int
    dead: int
    workers: int
    silent: int
    late: list[QueueRow]
    latest: list[JobRow]
    """The newest of the dead."""
    checks: Sum
    """How many tasks pass the checklist, and how many of its lines are missing or waived."""
    empty: bool
    """Whether there is no job at all yet."""
    now_us: int


def home(ask: Ask) -> Home:
    """All queues summed up, and the newest of the dead."""
    listed = queues(ask).rows
    workforce, now = ask.run(health.workforce(ask.site.name))
    latest = ask.run(inspect.dead(ask.site.name, limit=LATEST))
    newest = ask.run(inspect.jobs(ask.site.name, limit=1))
    return Home(
        due=sum(one.due for one in listed),
        later=sum(one.later for one in listed),
        running=sum(one.running for one in listed),
        in_doubt=sum(one.in_doubt for one in listed),
        dead=sum(one.dead for one in listed),
        workers=sum(1 for one in workforce if not one.silent and not one.alone),
        silent=sum(1 for one in workforce if one.silent),
        late=[one for one in listed if one.late],
        latest=rows_of(ask, latest),
        checks=checks(ask),
        empty=not newest,
        now_us=now,
    )

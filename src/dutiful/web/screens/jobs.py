"""The lists of jobs: all of them, and the dead; every filter is in the address."""

from __future__ import annotations

from msgspec import Struct

from ...operations import health, inspect, page_reads, pages
from ...operations.inspect import JobLine, JobView
from ..asking import Ask
from ..cursors import of_death, to_death
from .groups import GroupList, GroupRow, find, group_list, wanted
from .rows import JobRow, rows_of

PAGE = 50
PAGE_MAX = 200
STATES = ("ready", "running", "in_doubt", "dead", "done", "cancelled")


class JobList(Struct, frozen=True):
    """A page of jobs. ``next`` is the address of the one behind it; ``filters`` those that are set."""

    rows: list[JobRow]
    filters: dict[str, str]
    states: tuple[str, ...]
    next: str | None
    first: str
    deep: bool
    """Whether this is a later page: then an empty one is no empty list."""
    now_us: int
    group: GroupRow | None = None
    """The cause of death that the filter names."""


def all_jobs(ask: Ask) -> JobList:
    """Jobs in any state, newest first."""
    state = ask.text("state")
    state = state if state in STATES else None
    limit = ask.number("limit", PAGE, 1, PAGE_MAX)
    after = _id(ask.text("after"))
    if (key := ask.text("key")) is not None:
        held = ask.run(page_reads.by_key(ask.site.name, key))
        fit = [one for one in held if _fits(ask, one, state)]
        filters = _filters(ask, "task", "queue", "key") | ({"state": state} if state else {})
        return _list(ask, [_line(one) for one in fit], filters, None, False)
    found = ask.run(
        inspect.jobs(
            ask.site.name,
            state=state,
            task=ask.text("task"),
            queue=ask.text("queue"),
            after=after,
            limit=limit + 1,
        )
    )
    shown = found[:limit]
    more = ask.here(after=shown[-1].id) if len(found) > limit else None
    filters = _filters(ask, "task", "queue") | ({"state": state} if state else {})
    return _list(ask, shown, filters, more, after is not None)


def _fits(ask: Ask, one: JobView, state: str | None) -> bool:
    wanted = ((state, one.state), (ask.text("task"), one.task), (ask.text("queue"), one.queue))
    return all(meant in (None, is_) for meant, is_ in wanted)


def _line(one: JobView) -> JobLine:
    """A job that was found by its key, as a row."""
    because = one.reason if one.state == "dead" else one.outcome
    head = (one.id, one.state, because, one.task, one.queue, one.priority, one.key, one.attempt)
    times = (one.enqueued_at_us, one.run_at_us, one.claimed_at_us, one.ended_at_us)
    return JobLine(*head, *times, "", one.now_us, crashes=one.crashes)


def dead_jobs(ask: Ask) -> JobList:
    """Dead jobs, the latest death first."""
    limit = ask.number("limit", PAGE, 1, PAGE_MAX)
    after = to_death(ask.text("after"))
    meant = wanted(ask)
    group = find(ask, meant.fingerprint) if meant.fingerprint else None
    if meant.error or meant.fingerprint or meant.unseen:
        found = ask.run(pages.dead(ask.site.name, meant, after=after, limit=limit + 1))
    else:
        found = ask.run(
            inspect.dead(ask.site.name, task=meant.task, queue=meant.queue, after=after, limit=limit + 1)
        )
    shown = found[:limit]
    last = shown[-1] if shown else None
    more = None
    if last is not None and len(found) > limit:
        more = ask.here(after=of_death(last.ended_at_us or 0, last.id))
    return _list(
        ask, shown, _filters(ask, "task", "queue", "error", "fp", "unseen"), more, after is not None, group
    )


def dead(ask: Ask) -> JobList | GroupList:
    """Causes of death; or, with a filter that groups do not have, the jobs."""
    if any(ask.text(name) for name in ("fp", "queue", "error")) or ask.operator.scoped:
        return dead_jobs(ask)
    return group_list(ask)


def _list(
    ask: Ask,
    found: list[inspect.JobLine],
    filters: dict[str, str],
    more: str | None,
    deep: bool,
    group: GroupRow | None = None,
) -> JobList:
    now = found[0].now_us if found else ask.run(health.now())
    return JobList(
        rows_of(ask, found), filters, STATES, more, ask.link(ask.path, **filters), deep, now, group
    )


def _filters(ask: Ask, *names: str) -> dict[str, str]:
    return {name: value for name in names if (value := ask.text(name)) is not None}


def _id(text: str | None) -> str | None:
    from ...model.ids import parse_id

    try:
        return parse_id(text) if text else None
    except ValueError:
        return None

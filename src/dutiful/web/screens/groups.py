"""Causes of death: one line for a person, however many jobs; and the filter that bulk verbs take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from ...model.ids import parse_id
from ...operations import acks, groups, health
from ...operations.acks import GROUP, Ack
from ...operations.bulk import Wanted
from ..asking import Ask
from ..cursors import of_group, to_group

PAGE = 50
CHOSEN_MAX = 200
HIDDEN = "what it said is not shown: the task has secrets"


class GroupRow(Struct, frozen=True):
    """Deaths with one cause: ``jobs`` are dead now, ``deaths`` there were.

    ``seen``: somebody has acknowledged it, and that has not lapsed by time, by growth, or by a newer release.
    """

    fingerprint: str
    task: str
    reason: str
    kind: str
    title: str
    jobs: int
    deaths: int
    first_us: int
    last_us: int
    last_release: str
    owner: str
    seen: bool
    acked_by: str | None
    note: str | None
    until_us: int | None


class GroupList(Struct, frozen=True):
    """A page of causes; their counts are exact, also of deaths a moment ago."""

    rows: list[GroupRow]
    filters: dict[str, str]
    total: int
    jobs: int
    unseen: int
    next: str | None
    first: str
    deep: bool
    now_us: int


def group_list(ask: Ask) -> GroupList:
    """Causes of death, the latest first."""
    after, task = to_group(ask.text("after")), ask.text("task")
    found = ask.run(groups.groups(ask.site.name, task=task))
    known = {one.thing: one for one in ask.run(acks.listed(ask.site.name))}
    rows = [_row(ask, one, known) for one in found]
    unseen_only = ask.text("unseen") is not None
    shown = [
        one
        for one in rows
        if (after is None or (one.last_us, one.fingerprint) < after) and not (unseen_only and one.seen)
    ]
    shown.sort(key=lambda one: (one.last_us, one.fingerprint), reverse=True)
    page = shown[:PAGE]
    more = ask.here(after=of_group(page[-1].last_us, page[-1].fingerprint)) if len(shown) > PAGE else None
    filters = {"task": task} if task else {}
    filters |= {"unseen": "1"} if unseen_only else {}
    return GroupList(
        rows=page,
        filters=filters,
        total=len(rows),
        jobs=sum(one.jobs for one in rows),
        unseen=sum(1 for one in rows if not one.seen),
        next=more,
        first=ask.link(ask.path, **filters),
        deep=after is not None,
        now_us=found[0].now_us if found else ask.run(health.now()),
    )


def find(ask: Ask, fingerprint: str) -> GroupRow | None:
    """One cause; None where it is not known."""
    found = ask.run(groups.group(ask.site.name, fingerprint))
    if found is None:
        return None
    said = ask.run(acks.of(ask.site.name, GROUP + fingerprint))
    return _row(ask, found, {} if said is None else {said.thing: said})


def rows_of_task(ask: Ask, found: Sequence[groups.Group]) -> list[GroupRow]:
    """The same of one task, at most a page."""
    known = {one.thing: one for one in ask.run(acks.listed(ask.site.name))} if found else {}
    return [_row(ask, one, known) for one in found[:PAGE]]


def _row(ask: Ask, one: groups.Group, known: Mapping[str, Ack]) -> GroupRow:
    # The title is an error with digits, ids and quoted text left out. A task with marked secrets may have
    # said one bare, and no job's arguments are at hand here to look for it.
    hides = bool(one.title) and bool(ask.site.redactor.marked.get(one.task))
    ack = known.get(GROUP + one.fingerprint)
    task = ask.site.tasks.get(one.task)
    owner = (ack.owner if ack is not None else None) or ("" if task is None else task.policy.owner)
    return GroupRow(
        fingerprint=one.fingerprint,
        task=one.task,
        reason=one.reason,
        kind=one.kind,
        title=HIDDEN if hides else ask.site.redactor.text(one.title),
        jobs=one.n,
        deaths=one.deaths,
        first_us=one.first_at_us,
        last_us=one.last_at_us,
        last_release=one.last_release,
        owner=owner,
        seen=_seen(one, ack),
        acked_by=None if ack is None else ack.acked_by,
        note=None if ack is None else ack.note,
        until_us=None if ack is None else ack.until_us,
    )


def _seen(one: groups.Group, ack: Ack | None) -> bool:
    if ack is None or ack.acked_at_us is None or ack.until_us is None:
        return False
    if ack.until_us <= one.now_us or one.n >= 2 * max(1, ack.count_then or 1):
        return False
    newer = one.last_release != (ack.release_then or "") and one.last_at_us > ack.acked_at_us
    return not newer


def wanted(ask: Ask) -> Wanted:
    """The filter of the address, as bulk verbs take it."""
    return Wanted(
        task=ask.text("task"),
        queue=ask.text("queue"),
        error=ask.text("error"),
        fingerprint=ask.text("fp"),
        unseen=ask.text("unseen") is not None,
        ids=_chosen(ask),
    )


def _chosen(ask: Ask) -> tuple[str, ...] | None:
    """The rows that somebody chose one by one; None where it is the filter that counts."""
    if "id" not in ask.query:
        return None
    found = []
    for one in ask.texts("id", CHOSEN_MAX):
        try:
            found.append(parse_id(one))
        except ValueError:
            continue  # what is no id means no job
    return tuple(dict.fromkeys(found))

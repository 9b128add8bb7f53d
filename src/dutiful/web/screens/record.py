"""What people did, one by one and in bulk; and what needs them now."""

from __future__ import annotations

from msgspec import Struct

from ...operations import attention as things
from ...operations import audit, bulk, health
from ...operations.attention import Item
from ...operations.audit import AuditRow
from ...operations.bulk import Bulk
from ..asking import Ask

PAGE = 50
THINGS = 100
ITEMS_MAX = 200


class AuditList(Struct, frozen=True):
    """A page of the audit, the latest first."""

    rows: list[AuditRow]
    filters: dict[str, str]
    next: str | None
    first: str
    deep: bool
    now_us: int


def audit_list(ask: Ask) -> AuditList:
    """Who did what; filters are an actor, a verb and a subject."""
    filters = {name: value for name in ("actor", "verb", "subject") if (value := ask.text(name)) is not None}
    before = ask.number("before", 0, 0, 1 << 62) or None
    found = ask.run(
        audit.page(
            ask.site.name,
            actor=filters.get("actor"),
            verb=filters.get("verb"),
            subject=filters.get("subject"),
            before=before,
            limit=PAGE + 1,
        )
    )
    shown = found[:PAGE]
    more = ask.here(before=shown[-1].id) if len(found) > PAGE else None
    now = ask.run(health.now())
    return AuditList(shown, filters, more, ask.link(ask.path, **filters), before is not None, now)


class BulkList(Struct, frozen=True):
    """Bulk operations, the latest first; with one of them open, what it left out."""

    rows: list[Bulk]
    items: list[bulk.Item]
    next: str | None
    now_us: int


def bulk_list(ask: Ask) -> BulkList:
    """All that are kept."""
    before = ask.number("before", 0, 0, 1 << 62) or None
    found = ask.run(bulk.listed(ask.site.name, before_us=before, limit=PAGE + 1))
    shown = found[:PAGE]
    more = ask.here(before=shown[-1].began_at_us) if len(found) > PAGE else None
    return BulkList(shown, [], more, ask.run(health.now()))


def one_bulk(ask: Ask) -> BulkList:
    """One, and the jobs that it left out or could not do. Raises BulkNotFound."""
    found = ask.run(bulk.show(ask.site.name, ask.names["id"]))
    return BulkList([found], ask.run(bulk.items(found.id, limit=ITEMS_MAX)), None, found.now_us)


class AttentionList(Struct, frozen=True):
    """A page of the things that need a person, worst first; those that somebody knows of come last."""

    rows: list[Item]
    next: str | None
    first: str
    deep: bool
    waiting: int
    seen: int
    lapsing: int
    mine: bool
    cleared: tuple[str, int] | None
    now_us: int


def attention_list(ask: Ask) -> AttentionList:
    """One row for each thing."""
    mine = ask.text("mine") is not None
    found = ask.run(things.look(ask.site.name, mine=ask.operator.id if mine else None))
    start = ask.number("from", 0, 0, len(found.items))
    more = ask.here(**{"from": start + THINGS}) if len(found.items) > start + THINGS else None
    first = ask.link(ask.path, mine="1" if mine else "")
    return AttentionList(
        list(found.items[start : start + THINGS]), more, first, start > 0, found.waiting, found.seen,
        found.lapsing, mine, found.cleared, found.verdict.as_of_us,
    )  # fmt: skip

"""The verdict of an app's store: read, judged, and as a document; all faces show this one object.

A store that cannot be read is no error here but an answer: it cannot be said.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

from ..model.errors import StoreError
from ..model.verdict import NAMES, Name, Number, Numbers, Queue, Thing, Verdict, Watch, judge
from ..operations.numbers import numbers
from ..operations.plan import Operation

T = TypeVar("T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Reads(Protocol):
    """What carries out queries: an engine, or a reader of one."""

    def run(self, operation: Operation[T]) -> T:
        """Carry it out."""
        ...


def verdict(store: Reads, app: str) -> Verdict:
    """Look now. Raises nothing of the store's: what cannot be read cannot be said."""
    try:
        return judge(store.run(numbers(app)))
    except StoreError as error:
        return unreadable(app, " ".join(str(error).split()))


def unreadable(app: str, why: str, now_us: int | None = None) -> Verdict:
    """The verdict where nothing could be read."""
    now = now_us if now_us is not None else round(datetime.now(UTC).timestamp() * 1e6)
    unread: dict[Name, str] = dict.fromkeys(NAMES, f"the store cannot be read ({why.rstrip('.')})")
    return judge(Numbers(app, now, unread=unread))


def document(found: Verdict) -> dict[str, Any]:
    """The fields of ``verdict/1``: the same for ``/verdict.json`` and ``dutiful verdict --json``."""
    return {
        "app": found.app,
        "verdict": found.state,
        "headline": found.headline,
        "as_of": _iso(found.as_of_us),
        "since": _iso(found.since_us),
        "numbers": {one.name: _number(one) for one in found.numbers},
        "things": [_thing(one) for one in found.things],
        "watchers": [_watch(one) for one in found.watches],
        "unchecked": list(found.unchecked),
        "facts": dict(found.facts),
        "queues": [_queue(one) for one in found.queues],
    }


def _number(one: Number) -> dict[str, Any]:
    return {"amount": one.amount, "state": one.state, "unknown": one.unknown or None}


def _thing(one: Thing) -> dict[str, Any]:
    return {
        "key": one.key,
        "number": one.number,
        "sentence": one.sentence,
        "amount": one.amount,
        "since": _iso(one.since_us),
        "owner": one.owner or None,
        "link": one.link,
        "command": one.command,
    }


def _queue(one: Queue) -> dict[str, Any]:
    return {
        "name": one.name,
        "oldest_due_s": None if one.oldest_us is None else one.oldest_us / 1e6,
        "target_s": None if one.target_us is None else one.target_us / 1e6,
        "late": one.late,
        "paused_by": one.paused_by,
        "due": one.depth,
        "due_as_of": _iso(one.sampled_us),
    }


def _watch(one: Watch) -> dict[str, Any]:
    return {
        "name": one.name,
        "period_s": one.period_us / 1e6,
        "age_s": None if one.age_us is None else one.age_us / 1e6,
        "needed": one.needed,
        "silent": one.silent,
        "note": one.note,
    }


def _iso(us: int | None) -> str | None:
    return None if us is None else (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

"""A job's story: the newest page of it, and the way to what came before."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from ...model.spans import span
from ...operations import timeline
from ...operations.inspect import JobView
from ...operations.timeline import Cursor, Entry
from ...operations.why import REASONS
from ..asking import Ask
from .rows import cut

EVENTS_MAX = 200
DETAIL_CHARS = 200

Say = Callable[[str | None], str]

ENDINGS = {
    "performed": ("done", "good"),
    "duplicate": ("done as a duplicate", "good"),
    "skipped": ("done by being skipped", "good"),
    "waived": ("given up by a person", "good"),
    "cancelled": ("cancelled", "bad"),
    "died": ("died", "bad"),
}


class Event(Struct, frozen=True):
    """Something that happened to the job. ``mark``: "", "good", "bad", "person"."""

    at_us: int
    words: str
    detail: str = ""
    mark: str = ""


class Story(Struct, frozen=True):
    """A page of it, oldest first; the addresses of the page before it, and of the last one."""

    events: list[Event]
    earlier: str | None
    latest: str | None


def story(ask: Ask, job: JobView, say: Say) -> Story:
    """The newest events, or those before the address's cursor."""
    before = _cursor(ask.text("before"))
    found = ask.run(timeline.backwards(ask.site.name, job.id, before=before, limit=EVENTS_MAX + 1))
    shown = found[:EVENTS_MAX]
    events = [_event(one, job, say) for one in reversed(shown)]
    if before is None and job.doubt_at_us is not None and job.state == "in_doubt":
        events.append(Event(job.doubt_at_us, "in doubt", say(job.doubt), "bad"))
        events.sort(key=lambda event: event.at_us)
    more = ask.here(before=_word(shown[-1].cursor)) if len(found) > EVENTS_MAX else None
    return Story(events, more, None if before is None else ask.here(before=None))


def _event(one: Entry, job: JobView, say: Say) -> Event:
    by = _by(one)
    if one.what == "accepted":
        return Event(one.at_us, "accepted", f"queue {job.queue}")
    if one.what == "began":
        return Event(one.at_us, f"run {one.run_no} began", by)
    if one.what == "failed":
        return Event(
            one.at_us, f"run {one.run_no} failed", _joined(by, cut(say(one.detail), DETAIL_CHARS)), "bad"
        )
    if one.what in ("snoozed", "released"):
        words = {"snoozed": "put itself off", "released": "was handed back"}[one.what]
        later = "" if one.delay_us is None else f"for {span(one.delay_us)}"
        return Event(one.at_us, f"run {one.run_no} {words}", _joined(later, by))
    if one.what == "called":
        return Event(one.at_us, f"effect {one.detail} sent", f"run {one.run_no}")
    if one.what.startswith("effect "):
        state = one.what.removeprefix("effect ")
        settled = "" if one.who is None else f"by {one.who}"
        return Event(one.at_us, f"effect {one.detail} {state}", settled, "good" if state == "done" else "bad")
    if one.who is not None:
        return Event(one.at_us, f"{one.who} did {one.what}", say(one.detail), "person")
    words, mark = ENDINGS.get(one.what, (one.what, ""))
    return Event(one.at_us, words, _joined(REASONS.get(one.detail or "", say(one.detail)), by), mark)


def _by(one: Entry) -> str:
    if one.worker is None:
        return ""
    where = "" if one.host is None else f" ({one.host}{f', release {one.release}' if one.release else ''})"
    return f"worker {one.worker}{where}"


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _word(cursor: Cursor) -> str:
    return ".".join(str(number) for number in cursor)


def _cursor(text: str | None) -> Cursor | None:
    """What :func:`_word` made; None for anything else: then it begins with the newest."""
    try:
        at, place, no = (int(part) for part in (text or "").split("."))
    except ValueError:
        return None
    return (at, place, no) if max(abs(at), abs(place), abs(no)) < 1 << 62 else None

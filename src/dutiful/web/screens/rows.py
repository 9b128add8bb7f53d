"""Jobs as rows of a table: bounded, and with what is secret masked."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from ...model.redaction import ARGS_BYTES_MAX, FAILED, Shown
from ...operations import pages
from ...operations.inspect import JobLine
from ...operations.why import REASONS, shown_state
from ..asking import Ask

ARGS_CHARS = 160
ERROR_CHARS = 200
ARGS_READ_MAX = 8_192
"""Larger arguments are not fetched for a list; nothing of them, nor of their job's error, is shown there."""

ELSEWHERE = "not shown in lists: the arguments are large"


class JobRow(Struct, frozen=True):
    """One job in a list. ``args`` and ``error`` are cut and masked; instants are microseconds."""

    id: str
    state: str
    shown: str
    because: str
    task: str
    queue: str
    priority: int
    key: str | None
    attempt: int
    enqueued_at_us: int
    run_at_us: int
    claimed_at_us: int | None
    ended_at_us: int | None
    args: str | None
    kind: str | None
    error: str | None


def rows_of(ask: Ask, lines: Sequence[JobLine]) -> list[JobRow]:
    """The rows of a page; the arguments of all of them are read by one statement."""
    may = ask.operator.may
    lines = [line for line in lines if may("view", queue=line.queue, task=line.task)]
    if not lines:
        return []
    stored = ask.run(pages.args_of([line.id for line in lines], min(ARGS_READ_MAX, ARGS_BYTES_MAX)))
    return [
        _row(ask, line, stored.get(line.id), ask.may("view_args", line.queue, line.task)) for line in lines
    ]


def _row(ask: Ask, line: JobLine, data: bytes | None, sees: bool) -> JobRow:
    redactor = ask.site.redactor
    if data is None:
        args = Shown(ELSEWHERE, whole=False)
    else:
        args = redactor.args(line.task, data, indent=None)
    error = None if line.kind is None else redactor.text(line.message, args.hidden, whole=args.whole)
    because = line.outcome or ""
    return JobRow(
        id=line.id,
        state=line.state,
        shown=shown_state(line.state, line.run_at_us, line.attempt, line.now_us),
        because=REASONS.get(because, because) if line.state == "dead" else because,
        task=line.task,
        queue=line.queue,
        priority=line.priority,
        key=redacted_key(ask, line.key, args),
        attempt=line.attempt,
        enqueued_at_us=line.enqueued_at_us,
        run_at_us=line.run_at_us,
        claimed_at_us=line.claimed_at_us,
        ended_at_us=line.ended_at_us,
        args=cut(args.text, ARGS_CHARS) if sees else None,
        kind=line.kind,
        error=None if error is None else cut(error, ERROR_CHARS),
    )


def redacted_key(ask: Ask, key: str | None, args: Shown) -> str | None:
    """A business key may be made of a secret argument."""
    if key is None:
        return None
    return ask.site.redactor.text(key, args.hidden) if args.text != FAILED else FAILED


def cut(text: str, chars: int) -> str:
    """At most so many characters, with a mark where something is left out."""
    return text if len(text) <= chars else text[: chars - 1] + "…"

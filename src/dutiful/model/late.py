"""What becomes of a job that nobody came to in time: run, skip, bury it, or do something else.

Judged by the database's clock when the job is claimed, before its body begins. A job is due when it was
to run first: a retry does not move that, a snooze does, for the run itself asked for it.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from .durations import Duration, microseconds, text
from .errors import InvalidTask
from .jobs import Lease
from .spans import span

WORDS = ("run", "skip", "dead")


class Late(Struct, frozen=True):
    """``Late("1d", then="skip")``: so long after it was due a job is too late, and ``then`` is done.

    "run": it runs, and is logged as late. "skip": it is done, with the outcome skipped. "dead": it waits
    for a person (reason stale). A task of the same app: it is skipped, and that one is enqueued with the
    same arguments, in one transaction. Raises InvalidTask, InvalidDuration.
    """

    after: Duration
    then: Any = "run"

    def __post_init__(self) -> None:
        microseconds(self.after, what="late", zero_ok=False)
        if isinstance(self.then, str) and self.then not in WORDS:
            raise InvalidTask(f'Late(then={self.then!r}): it is "run", "skip", "dead", or a task.')

    @property
    def after_us(self) -> int:
        """How late is too late, in microseconds."""
        return microseconds(self.after, what="late")


class Verdict(Struct, frozen=True):
    """A job that is too late: what is to be done (``then``), and why, for people."""

    then: Any
    why: str


def judge_late(late: Late | None, lease: Lease) -> Verdict | None:
    """None: it is in time, or has no bound. A deadline of the job's own without ``late=`` buries it."""
    now, due = lease.claimed_at_us, lease.run_at_us
    if lease.deadline_us is not None and now > lease.deadline_us:
        then = "dead" if late is None else late.then
        return Verdict(then, f"too late: its deadline passed {span(now - lease.deadline_us)} ago")
    if late is not None and now - due > late.after_us:
        return Verdict(
            late.then, f"too late: it was due {span(now - due)} ago, and may be {text(late.after_us)} late"
        )
    return None
